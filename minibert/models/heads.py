"""From hidden states to what was asked: the small layers on top of the encoder, and the functions that end a task.

`head` holds a head's linear layers by their checkpoint names, as `ops.pack_weights` made them of their weights.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from minibert.kernels import reference
from minibert.kernels.registry import Ops

from ..errors import InputError, InputTypeError, brief, is_whole, strict_arguments


def pool(first: np.ndarray, head: Mapping[str, tuple], ops: Ops) -> np.ndarray:
    """BERT's pooler: each sequence's first hidden state (S, D) -> tanh of a linear (S, D)."""
    return ops.tanh(ops.linear(first, *head["pooler.dense"]))


def classify_bert(first: np.ndarray, head: Mapping[str, tuple], ops: Ops) -> np.ndarray:
    """(S, D) -> pooler -> classifier -> logits (S, labels)."""
    return ops.linear(pool(first, head, ops), *head["classifier"])


def classify_distilbert(first: np.ndarray, head: Mapping[str, tuple], ops: Ops) -> np.ndarray:
    """(S, D) -> linear -> relu -> classifier -> logits (S, labels)."""
    return ops.linear(ops.relu(ops.linear(first, *head["pre_classifier"])), *head["classifier"])


def tell_sequence(first: np.ndarray, head: Mapping[str, tuple], ops: Ops) -> np.ndarray:
    """(S, D) -> pooler -> it follows, it does not (S, 2)."""
    return ops.linear(pool(first, head, ops), *head["cls.seq_relationship"])


def guess_words(hidden: np.ndarray, head: Mapping[str, tuple], activated_linear: str, ops: Ops) -> np.ndarray:
    """(N, D) -> linear + activation -> norm -> the product with the word embeddings (N, V)."""
    transformed = getattr(ops, activated_linear)(hidden, *head["transform"])
    return ops.linear(ops.layer_norm(transformed, *head["norm"]), *head["words"])


@strict_arguments
def softmax(logits, axis: int = -1) -> np.ndarray:
    """Logits -> probabilities that sum to 1 along `axis`."""
    numbers = real_numbers(logits, "logits")
    if not is_whole(axis) or not -numbers.ndim <= axis < numbers.ndim:
        raise InputError(f"axis must be one of the {numbers.ndim} axes that the logits have; got {brief(axis)}.")
    turned = np.moveaxis(numbers, axis, -1)
    if not turned.size:
        return numbers
    return np.moveaxis(reference.softmax(turned), -1, axis)


@strict_arguments
def sigmoid(logits) -> np.ndarray:
    """Logits -> a probability each, by itself: 1 / (1 + exp(−x)), written with tanh, which does not overflow."""
    return (1 + np.tanh(real_numbers(logits, "logits") * 0.5)) * 0.5


def real_numbers(values, name: str) -> np.ndarray:
    """Whatever the caller has -> an array of numbers."""
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:  # rows of several lengths; a sparse tensor
        raise InputTypeError(f"{name} must be an array of numbers; got {type(values).__name__}: {error!s:.200}") from None
    if array.dtype.kind not in "iuf":
        raise InputTypeError(f"{name} must be an array of numbers; got {type(values).__name__} of {array.dtype}.")
    return array if array.dtype.kind == "f" else array.astype(np.float64)
