"""Any number of inputs -> their answers, in order: a chunk at a time, each chunk in batches of equal size in tokens.

    inputs       a  b  c  d  e  f  g  ...       read as answers are asked for
    a chunk      a  b  c  d                     CHUNK_ROWS inputs, or fewer long ones
    batches      (c a) (d b)                    sorted by length, BATCH_TOKENS tokens each
    answers      a  b  c  d

Chunk boundaries and batches depend only on the rows of the chunk, so a run resumed at a chunk boundary is bit-identical
to an uninterrupted one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ..errors import InputError, InputTypeError

CHUNK_ROWS = 1024
CHUNK_CHARS = 1 << 18  # some 60,000 tokens: half a minute of a base model on one core
BATCH_TOKENS = 4096  # the widest array of a base model then has 50 MB
BATCH_ROWS = 256  # bounds what is computed per row and not per token: the logits over a vocabulary
TRUNCATION_HINT = "Cut it with pipe(..., truncation=True)."  # ends a message; the command line replaces it


def stream(inputs, predict: Callable[[list], Iterable[tuple[int, Any]]]) -> Iterator:
    """Inputs -> their answers. `predict` takes the inputs of a chunk and yields (index, answer or InputError) of each."""
    rows = as_rows(inputs)
    if rows is None:
        raise InputTypeError(
            f"stream takes an iterable of inputs; got {type_name(inputs)}. For one input, call the pipeline itself."
        )
    return stream_answers(rows, predict)


def as_rows(inputs) -> Iterable | None:
    """Many inputs -> an iterable of them; None for a single input, and for a value that cannot hold inputs.

    Many inputs are any iterable (a list, a Series, a generator), or a data set that has only `__len__` and `__getitem__`
    (a torch Dataset, KeyDataset). InputTypeError for a table, because iterating over one yields its columns.
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
    """Whether this is an array without axes or a sparse tensor, which only look like iterables."""
    axes = getattr(inputs, "ndim", None)
    return type(axes) is int and (axes == 0 or getattr(inputs, "is_sparse", False) is True)


def type_name(value) -> str:
    """The name of a value's type, for a message; with its module if another library defines the type."""
    module, name = type(value).__module__, type(value).__qualname__
    return name if module.partition(".")[0] in ("builtins", "minibert") else f"{module}.{name}"


def stream_answers(inputs: Iterable, predict: Callable) -> Iterator:
    """As `stream`, which is no generator so that it checks its inputs when it is called."""
    for chunk in chunks(inputs, num_chars):
        answers = dict(predict(chunk))
        for index in range(len(chunk)):
            if isinstance(answers[index], InputError):
                raise answers[index]
            yield answers[index]


def chunks(rows: Iterable, size_of: Callable[[Any], int]) -> Iterator[list]:
    """Rows -> lists of CHUNK_ROWS of them, or of fewer whose sizes reach CHUNK_CHARS."""
    chunk, size = [], 0
    for row in rows:
        chunk.append(row)
        size += size_of(row)
        if len(chunk) == CHUNK_ROWS or size >= CHUNK_CHARS:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def in_batches(rows: list, tokenizer, answer: Callable[[list], Iterable]) -> Iterator[tuple[int, Any]]:
    """A chunk's rows -> (index, answer) of each, batch by batch; a row that is refused has its InputError as the answer."""
    for batch in batches_of_tokens([num_tokens(row, tokenizer) for row in rows]):
        yield from zip(batch, try_batch([rows[index] for index in batch], answer))


def batches_of_tokens(lengths: list[int], max_rows: int = BATCH_ROWS) -> Iterator[list[int]]:
    """[3, 2000, 4000, 5] -> [0, 3, 1], [2]: indices, shortest first, at most BATCH_TOKENS tokens and `max_rows` rows."""
    batch: list[int] = []
    total = 0
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (total + lengths[index] > BATCH_TOKENS or len(batch) == max_rows):
            yield batch
            batch, total = [], 0
        batch.append(index)
        total += lengths[index]
    if batch:
        yield batch


def try_batch(rows: list, answer: Callable[[list], Iterable]) -> list:
    """The answers of a batch. If a row is refused, the batch is halved until that row alone gets the InputError."""
    try:
        return list(answer(rows))
    except InputError as error:
        if len(rows) == 1:
            return [error]
    half = len(rows) // 2
    return try_batch(rows[:half], answer) + try_batch(rows[half:], answer)


def num_tokens(row, tokenizer) -> int:
    """Tokens of an input that the model sees at once; 0 if it has no text that can be encoded, which the task refuses."""
    try:
        encoded = [tokenizer(text, verbose=False)["input_ids"] for text in texts_of(row)]
    except InputError:  # a lone surrogate
        return 0
    return min(sum(map(len, encoded)), tokenizer.model_max_length)


def num_chars(row) -> int:
    return sum(map(len, texts_of(row)))


def texts_of(row) -> list[str]:
    """The texts of an input: itself, those of a pair, or those of a dictionary."""
    parts = row.values() if isinstance(row, Mapping) else row if isinstance(row, (tuple, list)) else [row]
    if isinstance(parts, list) and len(parts) == 1 and isinstance(parts[0], list):  # [["a text", "its pair"]]
        parts = parts[0]
    return [part for part in parts if isinstance(part, str)]
