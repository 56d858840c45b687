"""Rows of a data set -> batches: which rows a step takes, and how they become arrays.

    rows       {"input_ids": [2, 5, 3], "attention_mask": [1, 1, 1], "label": 1}, ...
    batch      {"input_ids": (B, T), "attention_mask": (B, T), "labels": (B,)}

The order of an epoch depends on the seed and the epoch's number alone, so a resumed training needs no state of a generator.
Next: `collators.py`, `evaluation.py`, then `trainer.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError, InputTypeError, short_repr
from ..models.labels import IGNORED
from ..tensors import as_array

INPUTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids", "global_attention_mask")
POSITIONS = ("start_positions", "end_positions")  # of tokens; those past a batch's end are ignored
LABELS = ("labels", "next_sentence_label", *POSITIONS)
TOKEN_COLUMNS = (*INPUTS, "special_tokens_mask")  # one value for each token
TEACHER = "teacher_logits"  # a classifier's logits of the row (C,), learned beside the label
PADDED = (*TOKEN_COLUMNS, *LABELS, TEACHER)  # columns that may be of several lengths
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
        row = self.every_column(index)
        return {name: row[name] for name in (*INPUTS, *LABELS, TEACHER) if name in row}

    def every_column(self, index: int) -> Row:
        """The same with all columns but those that are None."""
        row = {key: column[index] for key, column in self.dataset.items()} if self.is_columns else self.dataset[index]
        if not isinstance(row, Mapping):
            raise InputTypeError(f"each row of {self.name} must be a dictionary; row {index} is {short_repr(row)}.")
        names = {str(LABEL_ALIASES.get(name, name)): name for name in row if row[name] is not None}
        if "input_ids" not in names:
            raise InputError(
                f"each row of {self.name} must have input_ids; row {index} has {short_repr(list(row))}. "
                "Tokenize the texts first: dataset = [{**tokenizer(text, truncation=True), 'label': label} for ...]"
            )
        return {name: row[column] for name, column in names.items()}

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


class Padding(NamedTuple):
    """How the rows of a batch get one length."""

    token_id: int = 0  # of [PAD]
    label: int = IGNORED  # where there is no token
    labels_of_tokens: bool = False  # whether each token has a label; else they are of tokens if there are as many
    strategy: str | None = "longest"  # or "max_length"; None: rows must have one length
    max_length: int | None = None
    multiple: int = 1  # of which the length is one
    side: str = "right"


LONGEST = Padding()


def collate(rows: Sequence[Row], padding: Padding = LONGEST) -> dict[str, np.ndarray]:
    """Rows of the same names -> arrays. Without a mask of their own, all tokens of a row are attended. Columns that are none
    of a model's are arrays of one shape in all rows."""
    names = set(rows[0])
    for row in rows:
        if set(row) != names:
            raise InputError(f"the rows of a batch must have the same columns; got {sorted(names)} and {sorted(row)}.")
    columns = {name: [as_array(row[name], name) for row in rows] for name in rows[0]}
    if "attention_mask" not in columns:
        columns["attention_mask"] = [np.ones(ids.shape, np.int64) for ids in columns["input_ids"]]
    values = {"input_ids": padding.token_id, "special_tokens_mask": 1, **dict.fromkeys(LABELS, padding.label)}
    length = padded_length(columns["input_ids"], padding)
    of_tokens = {*TOKEN_COLUMNS, *(("labels",) if padding.labels_of_tokens or has_token_labels(columns) else ())}
    return {
        name: pad(name, arrays, values.get(name, 0), length if name in of_tokens else None, padding)
        for name, arrays in columns.items()
    }


def padded_length(ids: list[np.ndarray], padding: Padding) -> int | None:
    """How many tokens each row has after padding; None: as many as now."""
    lengths = {array.shape[-1] if array.ndim else 0 for array in ids}
    if padding.strategy is None:
        if len(lengths) > 1:
            raise InputError(
                f"with padding=False the rows of a batch must have one length; got {min(lengths)} to {max(lengths)} tokens. "
                "Pass padding=True."
            )
        return None
    length = max(lengths) if padding.max_length is None or padding.strategy != "max_length" else padding.max_length
    length += -length % padding.multiple
    if max(lengths) > length and len(lengths) > 1:
        raise InputError(
            f"rows are padded to max_length={padding.max_length}; got one of {max(lengths)} tokens. Tokenize with truncation=True."
        )
    return max(length, *lengths)


def has_token_labels(columns: Mapping[str, list[np.ndarray]]) -> bool:
    """Whether `labels` are integers, as many in each row as tokens."""
    labels, ids = columns.get("labels", ()), columns["input_ids"]
    return bool(labels) and all(one.dtype.kind in "iu" and one.ndim and one.shape == row.shape for one, row in zip(labels, ids))


def pad(name: str, arrays: list[np.ndarray], value: int, length: int | None, padding: Padding) -> np.ndarray:
    """Arrays of any one number of axes -> one array, each filled up to the largest, the last axis to `length` if there is one."""
    if any(array.dtype.kind not in "biuf" for array in arrays) or len({array.ndim for array in arrays}) > 1:
        shapes = sorted({f"{array.dtype} {array.shape}" for array in arrays})
        raise InputError(f"{name} must be numbers, with as many axes in each row; got {short_repr(shapes)}.")
    shape = tuple(max(sizes) for sizes in zip(*(array.shape for array in arrays)))
    if name not in PADDED and any(array.shape != shape for array in arrays):
        raise InputError(f"{name} is not padded: it must have one length in all rows. Leave it out of the rows, or pad it.")
    if length is not None and shape:
        if shape[-1] > length:
            raise InputError(f"{name} must be no longer than the tokens of its row; got {shape[-1]} for {length} tokens.")
        shape = (*shape[:-1], length)
    padded = np.full((len(arrays), *shape), value, np.result_type(*arrays))
    for index, array in enumerate(arrays):
        filled = [slice(index, index + 1), *map(slice, array.shape)]
        if padding.side == "left" and length is not None and array.ndim:
            filled[-1] = slice(length - array.shape[-1], length)
        padded[tuple(filled)] = array
    return padded


def load_batch(
    rows: Rows, indices: np.ndarray, collator: Callable, names: Sequence[str], key: tuple[int, ...]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Rows of these indices -> what the model takes, and its labels by the names of their arguments. What a collator draws
    at random depends on `key` alone."""
    collator = collator.with_key(key) if hasattr(collator, "with_key") else collator
    batch = collator([rows[int(index)] for index in indices])
    if not isinstance(batch, Mapping):
        raise InputTypeError(f"data_collator must return a mapping of names to arrays; got {short_repr(batch)}.")
    batch = {LABEL_ALIASES.get(name, name): as_array(values, name) for name, values in batch.items()}
    inputs = {name: batch[name] for name in INPUTS if name in batch}
    return inputs, {name: batch[name] for name in names if name in batch}


def label_counts(
    labels: Mapping[str, np.ndarray], class_weights: Sequence[float] | None, inputs: Mapping[str, Any]
) -> dict[str, float]:
    """What a batch's loss against each array of labels is divided by."""
    return {name: label_count(name, array, class_weights, inputs) for name, array in labels.items()}


def label_count(name: str, array: np.ndarray, class_weights: Sequence[float] | None, inputs: Mapping[str, Any]) -> float:
    """The labels that are not −100, or the sum of their classes' weights; the positions that are of a token."""
    if array.dtype.kind not in "iu":
        return len(array)
    if name in POSITIONS:
        return int((array < inputs["input_ids"].shape[-1]).sum())
    counted = array[array != IGNORED]
    if class_weights is not None and counted.size and counted.min() >= 0 and counted.max() < len(class_weights):
        return float(np.asarray(class_weights)[counted].sum())
    return counted.size
