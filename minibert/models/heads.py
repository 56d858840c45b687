"""From hidden states to what was asked: the small layers on top of the encoder, and the functions that end a task.

`head` holds a head's linear layers by their checkpoint names, as `ops.prepare` made them of their weights.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from minibert.kernels import reference
from minibert.kernels.registry import Ops


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


def softmax(logits, axis: int = -1) -> np.ndarray:
    """Logits -> probabilities that sum to 1 along `axis`."""
    turned = np.moveaxis(np.asarray(logits), axis, -1)
    return np.moveaxis(reference.softmax(turned), -1, axis)


def sigmoid(logits) -> np.ndarray:
    """Logits -> a probability each, by itself: 1 / (1 + exp(−x)), written with tanh, which does not overflow."""
    return (1 + np.tanh(np.asarray(logits) * 0.5)) * 0.5
