"""Any number of rows -> their answers, in order: a portion at a time, each portion in batches of one size in tokens.

    rows         a  b  c  d  e  f  g  ...       read as they are asked for
    a portion    a  b  c  d                     PORTION rows, or fewer long ones
    batches      (c a) (d b)                    sorted by length, TOKENS tokens each
    answers      a  b  c  d

Where a portion ends depends on its own rows and nothing else. So does what is computed together with what: to begin
anew at the end of a portion gives the same bits as never to have stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ..errors import InputError, InputTypeError

PORTION = 1024  # rows
PORTION_LETTERS = 1 << 18  # some 60,000 tokens: half a minute of a base model on one core
TOKENS = 4096  # in a batch; the widest array of a base model is then of 50 MB
CUT = "Cut it with pipe(..., truncation=True)."  # the end of a message, in which the command line says --truncate
BATCH_ROWS = 256  # so that what a row costs beside its tokens, a row of logits over a vocabulary, is bounded too


def stream(inputs, answered: Callable[[list], Iterable[tuple[int, Any]]]) -> Iterator:
    """Inputs -> their answers. `answered` takes a portion's rows and gives (place, answer or InputError) of each."""
    rows = as_rows(inputs)
    if rows is None:
        raise InputTypeError(
            f"stream takes an iterable of inputs; got {type_name(inputs)}. For one input, call the pipeline itself."
        )
    return streamed(rows, answered)


def as_rows(inputs) -> Iterable | None:
    """Many inputs -> an iterable of them; None for one input, and for what cannot hold inputs.

    Many inputs are anything that can be iterated over (a list, a Series, a generator), or a data set that has no more than
    `__len__` and `__getitem__` (a torch Dataset, KeyDataset). InputTypeError for a table, which iterates over its columns.
    """
    if isinstance(inputs, (str, bytes, bytearray, memoryview, Mapping, type)) or no_axes(inputs):
        return None
    if hasattr(inputs, "iterrows") or hasattr(inputs, "iter_rows"):
        raise InputTypeError(f"inputs come from one column; got a table ({type_name(inputs)}). Pass table['name of a column'].")
    if isinstance(inputs, Iterable):
        return inputs
    if hasattr(inputs, "__len__") and hasattr(inputs, "__getitem__"):
        return (inputs[index] for index in range(len(inputs)))
    return None


def no_axes(inputs) -> bool:
    """Whether this is an array of no axes, or a sparse tensor: Python calls both iterable, and they are not."""
    axes = getattr(inputs, "ndim", None)
    return type(axes) is int and (axes == 0 or getattr(inputs, "is_sparse", False) is True)


def type_name(value) -> str:
    """The name of a value's type for a message; with its module if another library defines it."""
    module, name = type(value).__module__, type(value).__qualname__
    return name if module.partition(".")[0] in ("builtins", "minibert") else f"{module}.{name}"


def streamed(inputs: Iterable, answered: Callable) -> Iterator:
    for rows in portions(inputs, letters):
        answers = dict(answered(rows))
        for place in range(len(rows)):
            if isinstance(answers[place], InputError):
                raise answers[place]
            yield answers[place]


def portions(rows: Iterable, weigh: Callable[[Any], int]) -> Iterator[list]:
    """Rows -> lists of PORTION of them, or of as many as weigh PORTION_LETTERS."""
    portion, weight = [], 0
    for row in rows:
        portion.append(row)
        weight += weigh(row)
        if len(portion) == PORTION or weight >= PORTION_LETTERS:
            yield portion
            portion, weight = [], 0
    if portion:
        yield portion


def in_batches(rows: list, tokenizer, answer: Callable[[list], Iterable]) -> Iterator[tuple[int, Any]]:
    """A portion's rows -> (place, answer) of each, batch by batch; an InputError stands where its row has no answer."""
    for batch in batches_of_tokens([tokens(row, tokenizer) for row in rows]):
        yield from zip(batch, attempted([rows[place] for place in batch], answer))


def batches_of_tokens(lengths: list[int]) -> Iterator[list[int]]:
    """[3, 2000, 4000, 5] -> [0, 3, 1], [2]: places, the shortest first, at most TOKENS tokens and BATCH_ROWS rows."""
    batch: list[int] = []
    total = 0
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (total + lengths[place] > TOKENS or len(batch) == BATCH_ROWS):
            yield batch
            batch, total = [], 0
        batch.append(place)
        total += lengths[place]
    if batch:
        yield batch


def attempted(rows: list, answer: Callable[[list], Iterable]) -> list:
    """The answers of a batch. Where a row is refused the batch is halved, until it is alone with its InputError."""
    try:
        return list(answer(rows))
    except InputError as error:
        if len(rows) == 1:
            return [error]
    half = len(rows) // 2
    return attempted(rows[:half], answer) + attempted(rows[half:], answer)


def tokens(row, tokenizer) -> int:
    """How many tokens the model will see at once of a row; 0 for what is no text, which the task itself refuses."""
    try:
        encoded = [tokenizer(text, verbose=False)["input_ids"] for text in texts_of(row)]
    except InputError:  # half a character
        return 0
    return min(sum(map(len, encoded)), tokenizer.model_max_length)


def letters(row) -> int:
    return sum(map(len, texts_of(row)))


def texts_of(row) -> list[str]:
    """The texts of an input: itself, those of a pair, or those of a dictionary."""
    parts = row.values() if isinstance(row, Mapping) else row if isinstance(row, (tuple, list)) else [row]
    if isinstance(parts, list) and len(parts) == 1 and isinstance(parts[0], list):  # [["a text", "its pair"]]
        parts = parts[0]
    return [part for part in parts if isinstance(part, str)]
