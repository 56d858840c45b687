"""Rows of a data set -> batches: which rows a step takes, and how they become arrays.

    rows       {"input_ids": [2, 5, 3], "attention_mask": [1, 1, 1], "label": 1}, ...
    batch      {"input_ids": (B, T), "attention_mask": (B, T), "labels": (B,)}

The order of an epoch depends on the seed and the epoch's number alone, so a resumed training needs no state of a generator.
Next: `evaluation.py`, then `trainer.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import InputError, InputTypeError, short_repr, strict_arguments
from ..models.labels import IGNORED
from ..tensors import as_array

INPUTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids", "global_attention_mask")
LABELS = ("labels", "next_sentence_label", "start_positions", "end_positions")
TEACHER = "teacher_logits"  # a classifier's logits of the row (C,), learned beside the label
LABEL_ALIASES = {"label": "labels", "label_ids": "labels"}  # as transformers' collator has them
GROUP = 50  # batches whose rows are sorted by length among themselves
Row = dict[str, Any]


class Rows:
    """A data set by index: a list of rows, a mapping of columns, or anything with a length and integer indices that gives
    rows, such as a `datasets.Dataset`."""

    def __init__(self, name: str, dataset: Any):
        self.name, self.dataset = name, dataset
        self.is_columns = isinstance(dataset, Mapping)
        if self.is_columns:
            self.length = check_columns(name, dataset)
        else:
            self.length = length_of(name, dataset)
        if not self.length:
            raise InputError(f"{name} must have a row; got none.")

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Row:
        """The row under the names that models take, other columns left out."""
        row = {key: column[index] for key, column in self.dataset.items()} if self.is_columns else self.dataset[index]
        if not isinstance(row, Mapping):
            raise InputTypeError(f"each row of {self.name} must be a dictionary; row {index} is {short_repr(row)}.")
        names = {LABEL_ALIASES.get(name, name): name for name in row if row[name] is not None}
        if "input_ids" not in names:
            raise InputError(
                f"each row of {self.name} must have input_ids; row {index} has {short_repr(list(row))}. "
                "Tokenize the texts first: dataset = [{**tokenizer(text, truncation=True), 'label': label} for ...]"
            )
        return {name: row[names[name]] for name in (*INPUTS, *LABELS, TEACHER) if name in names}

    def lengths(self) -> np.ndarray:
        """Tokens of each row."""
        return np.array([np.size(self[index]["input_ids"]) for index in range(len(self))])

    def digest(self) -> str:
        """What tells this data from others: SHA-256 of all rows."""
        sha = hashlib.sha256()
        for index in range(len(self)):
            for name, value in self[index].items():
                array = as_array(value, name)
                sha.update(f"{name} {array.dtype.kind} {array.shape} ".encode())
                sha.update(array.astype(np.float64 if array.dtype.kind == "f" else np.int64).tobytes())
        return sha.hexdigest()


def evaluation_rows(dataset: Any) -> Rows | dict[str, Rows]:
    """`eval_dataset`: one data set, or a dictionary of several, which has rows, or columns, where one of columns has values."""
    if isinstance(dataset, Mapping) and "input_ids" not in dataset and any(map(has_rows, dataset.values())):
        return {str(name): Rows(f"eval_dataset[{name!r}]", rows) for name, rows in dataset.items()}
    return Rows("eval_dataset", dataset)


def has_rows(values: Any) -> bool:
    """Whether values are a dictionary of columns, or have a dictionary as their first."""
    if isinstance(values, Mapping):
        return True
    try:
        return isinstance(values[0], Mapping)
    except (TypeError, LookupError):
        return False


def length_of(name: str, dataset: Any) -> int:
    indexed = hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__") and not isinstance(dataset, (str, bytes))
    if not indexed or getattr(dataset, "shape", None) == ():  # an array of one number has a length that it refuses to say
        raise InputTypeError(
            f"{name} must be a list of rows, a dictionary of columns, or have a length and rows by index; "
            f"got {short_repr(dataset)}."
        )
    return len(dataset)


def check_columns(name: str, columns: Mapping) -> int:
    lengths = {key: len(column) for key, column in columns.items() if hasattr(column, "__len__")}
    if len(lengths) < len(columns) or len(set(lengths.values())) > 1:
        raise InputError(f"the columns of {name} must be of one length; got {short_repr(lengths)}.")
    return next(iter(lengths.values()), 0)


# --- Which rows a batch has ------------------------------------------------------------------------------------------


def epoch_batches(rows: Rows, batch_size: int, *, sampling: str, seed: int, epoch: int, drop_last: bool) -> list[np.ndarray]:
    """The rows' indices of each batch of an epoch: "random" order; "group_by_length", random but for the rows of a batch,
    which are of like lengths; or "sequential"."""
    random = np.random.default_rng([seed, epoch])
    order = np.arange(len(rows)) if sampling == "sequential" else random.permutation(len(rows))
    if sampling == "group_by_length":
        return group_by_length(order, rows.lengths(), batch_size, random, drop_last)
    return split(order, batch_size, drop_last)


def split(order: np.ndarray, batch_size: int, drop_last: bool) -> list[np.ndarray]:
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    return batches[:-1] if drop_last and len(batches[-1]) < batch_size else batches


def group_by_length(
    order: np.ndarray, lengths: np.ndarray, batch_size: int, random: np.random.Generator, drop_last: bool
) -> list[np.ndarray]:
    """A random order, cut into groups of GROUP batches, each sorted by length; then the batches in random order."""
    size = GROUP * batch_size
    groups = [order[start : start + size] for start in range(0, len(order), size)]
    by_length = np.concatenate([group[np.argsort(lengths[group], kind="stable")] for group in groups])
    batches = split(by_length, batch_size, drop_last)
    return [batches[index] for index in random.permutation(len(batches))]


# --- Rows -> arrays --------------------------------------------------------------------------------------------------


class DataCollatorWithPadding:
    """Rows -> a batch of arrays, padded to the longest row; labels of tokens are padded with −100, which no loss reads.

    Under transformers' name. The padding's token is the tokenizer's. `pad_to_multiple_of`, `max_length` and `padding` change
    nothing here, where padding is not computed.
    """

    @strict_arguments
    def __init__(
        self,
        tokenizer: Any,
        padding: Any = True,
        max_length: Any = None,
        pad_to_multiple_of: Any = None,
        return_tensors: Any = "np",
    ):
        self.tokenizer = tokenizer
        self.pad_token_id = getattr(tokenizer, "pad_token_id", None) or 0

    @strict_arguments
    def __call__(self, features: Sequence[Mapping]) -> dict[str, np.ndarray]:
        rows = Rows("features", features)
        return collate([rows[index] for index in range(len(rows))], self.pad_token_id)


def collate(rows: list[Row], pad_token_id: int) -> dict[str, np.ndarray]:
    """Rows of the same names -> arrays. Without a mask of their own, all tokens of a row are attended."""
    names = set(rows[0])
    for row in rows:
        if set(row) != names:
            raise InputError(f"the rows of a batch must have the same columns; got {sorted(names)} and {sorted(row)}.")
    columns = {name: [as_array(row[name], name) for row in rows] for name in rows[0]}
    if "attention_mask" not in columns:
        columns["attention_mask"] = [np.ones(ids.shape, np.int64) for ids in columns["input_ids"]]
    paddings = {"input_ids": pad_token_id, **dict.fromkeys(LABELS, IGNORED)}
    return {name: pad(name, arrays, paddings.get(name, 0)) for name, arrays in columns.items()}


def pad(name: str, arrays: list[np.ndarray], value: int) -> np.ndarray:
    """Arrays of any one number of axes -> one array, each filled up on the right to the largest."""
    if any(array.dtype.kind not in "biuf" for array in arrays) or len({array.ndim for array in arrays}) > 1:
        shapes = sorted({f"{array.dtype} {array.shape}" for array in arrays})
        raise InputError(f"{name} must be numbers, with as many axes in each row; got {short_repr(shapes)}.")
    shape = tuple(max(sizes) for sizes in zip(*(array.shape for array in arrays)))
    padded = np.full((len(arrays), *shape), value, np.result_type(*arrays))
    for index, array in enumerate(arrays):
        filled = (slice(index, index + 1), *map(slice, array.shape))
        padded[filled] = array
    return padded


def load_batch(
    rows: Rows, indices: np.ndarray, collator: Callable, names: Sequence[str], key: tuple[int, ...]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Rows of these indices -> what the model takes, and its labels by the names of their arguments. What a collator draws
    at random depends on `key` alone."""
    if hasattr(collator, "with_key"):
        collator = collator.with_key(key)
    batch = collator([rows[int(index)] for index in indices])
    if not isinstance(batch, Mapping):
        raise InputTypeError(f"data_collator must return a mapping of names to arrays; got {short_repr(batch)}.")
    batch = {LABEL_ALIASES.get(name, name): as_array(values, name) for name, values in batch.items()}
    inputs = {name: batch[name] for name in INPUTS if name in batch}
    return inputs, {name: batch[name] for name in names if name in batch}


def label_count(labels: Mapping[str, np.ndarray], class_weights: Sequence[float] | None) -> float:
    """What a batch's loss is divided by: the labels that are not −100, or the sum of their classes' weights."""
    for array in labels.values():
        if array.dtype.kind not in "iu":
            return len(array)
        counted = array[array != IGNORED]
        if class_weights is not None and counted.size and counted.min() >= 0 and counted.max() < len(class_weights):
            return float(np.asarray(class_weights)[counted].sum())
        return counted.size
    return 1.0  # without labels: an error of the loss
