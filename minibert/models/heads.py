"""From hidden states to logits: the small layers on top of the encoder; and from logits to probabilities.

`head` holds a head's prepared linear layers by their names in a checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minibert.kernels import reference
from minibert.kernels.catalog import Ops

from ..errors import InputError, InputTypeError, is_integer, short_repr, strict_arguments
from ..tensors import as_array, like


def pool(first: np.ndarray, head: Mapping[str, tuple], ops: Ops) -> np.ndarray:
    """BERT's pooler: each sequence's first hidden state (S, D) -> tanh of a linear (S, D)."""
    return ops.tanh(ops.linear(first, *head["pooler.dense"]))


def classify_pooled(first: np.ndarray, head: Mapping[str, tuple], ops: Ops) -> np.ndarray:
    """(S, D) -> pooler -> classifier -> logits (S, labels)."""
    return ops.linear(pool(first, head, ops), *head["classifier"])


def nsp_logits(first: np.ndarray, head: Mapping[str, tuple], ops: Ops) -> np.ndarray:
    """Next sentence prediction: (S, D) -> pooler -> the second text follows, it does not (S, 2)."""
    return ops.linear(pool(first, head, ops), *head["cls.seq_relationship"])


def mlm_logits(hidden: np.ndarray, head: Mapping[str, tuple], transform_operation: str, ops: Ops) -> np.ndarray:
    """Masked language modeling: (N, D) -> linear + activation -> norm -> times the word embeddings (N, V)."""
    transformed = getattr(ops, transform_operation)(hidden, *head["transform"])  # (N, E)
    return ops.linear(ops.layer_norm(transformed, *head["norm"]), *head["words"])


@strict_arguments
def softmax(logits: Any, axis: int = -1) -> Any:
    """Logits -> probabilities that sum to 1 along `axis`: a torch tensor for a tensor, else NumPy."""
    numbers = real_numbers(logits, "logits")
    if not is_integer(axis) or not -numbers.ndim <= axis < numbers.ndim:
        raise InputError(f"axis must be one of the {numbers.ndim} axes that the logits have; got {short_repr(axis)}.")
    moved_last = np.moveaxis(numbers, axis, -1)
    probabilities = reference.softmax(moved_last) if moved_last.size else moved_last
    return like(logits, np.moveaxis(probabilities, -1, axis))


@strict_arguments
def sigmoid(logits: Any) -> Any:
    """Each logit -> a probability, 1 / (1 + exp(−x)), written with tanh, which does not overflow; as `softmax`."""
    return like(logits, (1 + np.tanh(real_numbers(logits, "logits") * 0.5)) * 0.5)


def real_numbers(values: Any, name: str) -> np.ndarray:
    """A caller's values -> an array of real numbers."""
    array = as_array(values, name)
    if array.dtype.kind not in "iuf":
        raise InputTypeError(f"{name} must be an array of numbers; got {type(values).__name__} of {array.dtype}.")
    return array if array.dtype.kind == "f" else array.astype(np.float64)
