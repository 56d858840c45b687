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
def softmax(logits: Any, axis: int = -1) -> np.ndarray:
    """Logits -> probabilities that sum to 1 along `axis`."""
    logits = real_numbers(logits, "logits")
    if not is_integer(axis) or not -logits.ndim <= axis < logits.ndim:
        raise InputError(f"axis must be one of the {logits.ndim} axes that the logits have; got {short_repr(axis)}.")
    moved_last = np.moveaxis(logits, axis, -1)
    if not moved_last.size:
        return logits
    return np.moveaxis(reference.softmax(moved_last), -1, axis)


@strict_arguments
def sigmoid(logits: Any) -> np.ndarray:
    """Each logit -> a probability, 1 / (1 + exp(−x)), written with tanh, which does not overflow."""
    return (1 + np.tanh(real_numbers(logits, "logits") * 0.5)) * 0.5


def real_numbers(values: Any, name: str) -> np.ndarray:
    """A caller's values -> an array of real numbers."""
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:  # rows of several lengths; a sparse tensor
        raise InputTypeError(f"{name} must be an array of numbers; got {type(values).__name__}: {error!s:.200}") from None
    if array.dtype.kind not in "iuf":
        raise InputTypeError(f"{name} must be an array of numbers; got {type(values).__name__} of {array.dtype}.")
    return array if array.dtype.kind == "f" else array.astype(np.float64)
