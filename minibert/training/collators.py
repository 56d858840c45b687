"""Collators: rows -> a batch of arrays of one length, under transformers' names.

    DataCollatorWithPadding(tokenizer)                  pads to the longest row, or to max_length
    DataCollatorForTokenClassification(tokenizer)       the same, where each token has a label
    default_data_collator, DefaultDataCollator()        rows that are of one length already
    DataCollatorForLanguageModeling(tokenizer)          words to guess: `masking.py`

They return NumPy arrays unless return_tensors="pt" asks for torch's tensors, or None for lists. A Trainer takes all three.
Next: `data.py`, which pads.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import InputError, InputTypeError, MinibertWarning, is_bool, short_repr, strict_arguments
from ..models.labels import IGNORED
from ..tensors import as_array, to_torch
from .data import LABEL_ALIASES, PADDED, Padding, Row, Rows, collate
from .option_readers import read_choice, read_count
from .overrides import check_collator_methods

PADDINGS = {True: "longest", "longest": "longest", "max_length": "max_length", False: None, "do_not_pad": None}
TENSOR_TYPES = ("np", "pt")
UNLIMITED = 10**20  # a tokenizer's model_max_length beyond it means no limit


def read_tensor_type(value: Any) -> str | None:
    return None if value is None else read_choice("return_tensors", value, TENSOR_TYPES)


def read_padding(value: Any) -> str | None:
    value = getattr(value, "value", value)  # of transformers' PaddingStrategy
    value = bool(value) if is_bool(value) else value
    if not isinstance(value, (bool, str)) or value not in PADDINGS:
        raise InputError(f"padding must be one of {', '.join(map(repr, PADDINGS))}; got {short_repr(value)}.")
    return PADDINGS[value]


def padding_of(collator: Any, **others: Any) -> Padding:
    """The options of a collator, and of its tokenizer, which may be None -> Padding."""
    tokenizer, strategy = collator.tokenizer, read_padding(collator.padding)
    max_length = None if collator.max_length is None else read_count("max_length", collator.max_length)
    if max_length is None and strategy == "max_length":
        limit = getattr(tokenizer, "model_max_length", None)
        max_length, strategy = (limit, strategy) if limit is not None and limit <= UNLIMITED else (None, None)
    multiple = collator.pad_to_multiple_of
    return Padding(
        token_id=getattr(tokenizer, "pad_token_id", None) or 0,
        strategy=strategy,
        max_length=max_length,
        multiple=1 if multiple is None else read_count("pad_to_multiple_of", multiple, 1),
        side=getattr(tokenizer, "padding_side", "right"),
        **others,
    )


def read_rows(features: Any) -> list[Row]:
    rows = Rows("features", features)
    return [rows.every_column(index) for index in range(len(rows))]


def converted(batch: Mapping[str, np.ndarray], rows: Sequence[Row], tensor_type: str | None) -> dict[str, Any]:
    """Arrays -> what return_tensors asks for. As there, fractions that came as Python's are float32 in torch."""
    if tensor_type == "np":
        return dict(batch)
    if tensor_type is None:
        return {name: array.tolist() for name, array in batch.items()}
    narrow = {name for name, array in batch.items() if array.dtype == np.float64 and not hasattr(rows[0].get(name), "dtype")}
    return {name: to_torch(array.astype(np.float32) if name in narrow else array) for name, array in batch.items()}


class DataCollatorWithPadding:
    """Rows -> a batch, padded as the tokenizer's `pad` does: `padding` is True for the longest row, "max_length" for
    max_length or else the model's limit, False for rows of one length; `pad_to_multiple_of` rounds up.

    Other columns of numbers are kept. Labels of tokens are padded too, with −100, which no loss reads.
    """

    @strict_arguments
    def __init__(
        self,
        tokenizer: Any,
        padding: Any = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        return_tensors: str | None = "np",
    ):
        check_collator_methods(self)
        self.tokenizer, self.padding, self.max_length = tokenizer, padding, max_length
        self.pad_to_multiple_of, self.return_tensors = pad_to_multiple_of, return_tensors
        read_tensor_type(return_tensors)  # a wrong value is an error now
        if padding_of(self).strategy == "longest" and max_length is not None:
            warnings.warn(
                f"max_length={max_length} is ignored, as in transformers: rows are padded to the longest and not truncated. "
                "Pass padding='max_length', and truncation=True to the tokenizer.",
                MinibertWarning,
                stacklevel=3,
            )

    @strict_arguments
    def __call__(self, features: Sequence[Mapping]) -> dict[str, Any]:
        return collated(read_rows(features), padding_of(self), read_tensor_type(self.return_tensors))


class DataCollatorForTokenClassification(DataCollatorWithPadding):
    """The same for rows with a label for each token, padded with `label_pad_token_id` to the length of the ids."""

    @strict_arguments
    def __init__(
        self,
        tokenizer: Any,
        padding: Any = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        label_pad_token_id: int = IGNORED,
        return_tensors: str | None = "np",
    ):
        super().__init__(tokenizer, padding, max_length, pad_to_multiple_of, return_tensors)
        self.label_pad_token_id = label_pad_token_id
        self.read_label()

    def read_label(self) -> int:
        return read_count("label_pad_token_id", self.label_pad_token_id, -(2**31))

    @strict_arguments
    def __call__(self, features: Sequence[Mapping], return_tensors: str | None = None) -> dict[str, Any]:
        tensor_type = read_tensor_type(self.return_tensors if return_tensors is None else return_tensors)
        return collated(read_rows(features), padding_of(self, label=self.read_label(), labels_of_tokens=True), tensor_type)


def collated(rows: list[Row], padding: Padding, tensor_type: str | None) -> dict[str, Any]:
    if tensor_type is not None:
        return converted(collate(rows, padding), rows, tensor_type)
    if padding.strategy is None:  # lists may be of several lengths
        return {name: [listed(row[name]) for row in rows] for name in rows[0]}
    tokens = collate([{name: row[name] for name in row if name in PADDED} for row in rows], padding)
    others = {name: [listed(row[name]) for row in rows] for name in rows[0] if name not in PADDED}
    return {**converted(tokens, rows, None), **others}


def listed(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value


# --- Rows of one length ----------------------------------------------------------------------------------------------


@strict_arguments
def default_data_collator(features: Sequence[Any], return_tensors: str = "np") -> dict[str, Any]:
    """Rows of one length -> a batch: nothing is padded. `label` and `label_ids` become `labels`; texts, and what is None in
    the first row, are left out."""
    tensor_type = read_choice("return_tensors", return_tensors, TENSOR_TYPES)
    if not isinstance(features, (list, tuple)) or not features:
        raise InputTypeError(f"features must be a list of rows, at least one; got {short_repr(features)}.")
    rows = [row if isinstance(row, Mapping) else getattr(row, "__dict__", None) for row in features]
    if not all(isinstance(row, Mapping) and all(isinstance(name, str) for name in row) for row in rows):
        raise InputTypeError(f"each row must be a dictionary of columns; got {short_repr(features)}.")
    first: dict[str, Any] = dict(rows[0] or {})
    batch = {
        LABEL_ALIASES.get(name, name): stacked(name, rows)
        for name, value in first.items()
        if value is not None and not isinstance(value, str)
    }
    for name in LABEL_ALIASES.keys() & first.keys():
        if first[name] is not None and batch["labels"].dtype.kind == "f":
            batch["labels"] = batch["labels"].astype(np.float32)
    return converted(batch, [first], tensor_type)


def stacked(name: str, rows: Sequence[Any]) -> np.ndarray:
    if any(row.get(name) is None for row in rows):
        raise InputError(f"the rows of a batch must have the same columns; one has no {name!r}.")
    arrays = [as_array(row[name], name) for row in rows]
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1 or arrays[0].dtype.kind not in "biuf":
        raise InputError(
            f"{name} must be numbers, as many in each row; got {short_repr(sorted(map(str, shapes)))} of {arrays[0].dtype}. "
            "DataCollatorWithPadding pads."
        )
    return np.stack(arrays)


class DefaultDataCollator:
    """`default_data_collator` as an object."""

    @strict_arguments
    def __init__(self, return_tensors: str = "np"):
        check_collator_methods(self)
        self.return_tensors = read_choice("return_tensors", return_tensors, TENSOR_TYPES)

    @strict_arguments
    def __call__(self, features: Sequence[Any], return_tensors: str | None = None) -> dict[str, Any]:
        return default_data_collator(features, self.return_tensors if return_tensors is None else return_tensors)
