"""Integrated gradients over the word embeddings ("Axiomatic attribution for deep networks", arXiv:1703.01365, 3).

A token's share of f(x) − f(x′) is the integral of its gradient along the straight way from a baseline x′ to the text x, times
the difference of the two. The gradients are those of training; the integral is a Gauss-Legendre sum. Special tokens are the
same in both, so they get nothing; all others are [PAD]'s embedding in the baseline.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..kernels import composed
from ..kernels.catalog import TrainingOps, make_training_ops
from ..models.base import PreTrainedModel
from ..models.packing import Packed
from ..training.backward import Gradients, encode_backward
from ..training.forward import Network, encode_for_training
from ..training.heads import head_backward, head_forward
from ..training.lazy_rows import dense
from .readout import Readout
from .targets import Target

STEPS = (16, 32)  # of the sum; the second if the first misses the difference by more than TOLERANCE of it
TOLERANCE = 0.05
TOKENS = 512  # computed at once: the backward pass keeps every layer's values


class IntegratedGradients(NamedTuple):
    values: np.ndarray  # (G, T)
    error: np.ndarray  # (G,): the sum of the values, less f(x) − f(x′)
    baseline_logits: np.ndarray  # (G,): f(x′)
    steps: int


def integrated_gradients(
    model: PreTrainedModel, readout: Readout, packed: Packed, baseline_ids: np.ndarray, targets: list[Target]
) -> IntegratedGradients:
    """One sequence of T tokens and the ids of its baseline (T,) -> each token's share of each target's logit."""
    words = readout.network.parameters[f"{model.encoder_names.words}.weight"]
    network = readout.network._replace(ops=input_grad_ops(str(readout.network.ops.preset)))
    way = Way(model, readout, network, packed, words[baseline_ids], words[packed.token_ids], targets)
    ends = np.concatenate([way.logits(np.array([alpha])) for alpha in (0.0, 1.0)])  # (2, G)
    difference = ends[1] - ends[0]
    for steps in STEPS:
        nodes, weights = np.polynomial.legendre.leggauss(steps)
        values = way.integral((nodes + 1) / 2, weights / 2)
        error = values.sum(axis=1) - difference
        if (np.abs(error) <= TOLERANCE * np.abs(difference)).all():
            break
    return IntegratedGradients(values, error, ends[0], steps)


def input_grad_ops(preset: str) -> TrainingOps:
    """The operations of training, but of a linear layer they compute the gradient of the input alone: those of the weights are
    a third of all multiplications, and are not read here. Weights are packed for it once."""
    ops: Any = make_training_ops(preset)
    transposed: dict[int, tuple] = {}

    def linear_grad(grad: np.ndarray, x: np.ndarray, weight: np.ndarray) -> tuple:
        if id(weight) not in transposed:
            zeros = np.zeros(weight.shape[1], grad.dtype)
            transposed[id(weight)] = ops.pack_weights("linear", np.ascontiguousarray(weight.T), zeros)
        return ops.linear(grad, *transposed[id(weight)]), None, None

    ops.linear_grad = linear_grad
    ops.query_key_value_grad = partial(composed.query_key_value_grad, ops)
    return ops


class Way(NamedTuple):
    """The straight way from a baseline to a text."""

    model: PreTrainedModel
    readout: Readout
    network: Network
    packed: Packed
    start: np.ndarray  # (T, E)
    end: np.ndarray  # (T, E)
    targets: list[Target]

    def at(self, alphas: np.ndarray) -> tuple[Packed, Network]:
        """The texts at these points of the way as sequences of a batch, each token with a word embedding of its own."""
        count, length = len(alphas), len(self.end)
        table = self.start + alphas.astype(np.float32)[:, None, None] * (self.end - self.start)  # (S, T, E)
        packed = self.packed._replace(
            token_ids=np.arange(count * length),
            type_ids=np.tile(self.packed.type_ids, count),
            position_ids=np.tile(self.packed.position_ids, count),
            bounds=np.arange(count + 1) * length,
            token_mask=np.ones((count, length), bool),
        )
        words = {f"{self.network.names.words}.weight": table.reshape(-1, table.shape[2])}
        return packed, self.network._replace(parameters={**self.network.parameters, **words})

    def rows(self, target: Target, count: int) -> np.ndarray:
        """Where the target's token is in the hidden states of a batch."""
        return np.arange(count) * (1 if self.model.cls_only else len(self.end)) + target.row

    def logits(self, alphas: np.ndarray) -> np.ndarray:
        """-> (S, G)."""
        hidden, _ = encode_for_training(*self.at(alphas), self.model.cls_only)
        columns = [
            self.readout.logits(hidden[self.rows(target, len(alphas))])[:, target.column].astype(np.float64)
            for target in self.targets
        ]
        return np.stack(columns, axis=1)

    def integral(self, alphas: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """-> (G, T)."""
        total = np.zeros((len(self.targets), len(self.end)))
        chunk = max(1, TOKENS // len(self.end))
        for first in range(0, len(alphas), chunk):
            points = alphas[first : first + chunk]
            packed, network = self.at(points)
            hidden, record = encode_for_training(packed, network, self.model.cls_only)
            for index, target in enumerate(self.targets):
                grad = np.zeros_like(hidden)
                rows = self.rows(target, len(points))
                grad[rows] = self.head_gradient(hidden[rows], target)
                gradients = Gradients()
                encode_backward(grad, record, packed, network, gradients)
                words_grad = dense(gradients[f"{network.names.words}.weight"]).reshape(len(points), *self.end.shape)
                weighted = np.tensordot(weights[first : first + chunk], words_grad.astype(np.float64), 1)  # (T, E)
                total[index] += (weighted * (self.end - self.start)).sum(axis=1)
        return total

    def head_gradient(self, x: np.ndarray, target: Target) -> np.ndarray:
        """x (S, D) -> the gradient of the target's logit by each row."""
        layers, network = self.readout.layers, self.network
        logits, inputs = head_forward(x, layers, network, 0)
        grad = np.zeros_like(logits)
        grad[:, target.column] = 1
        return head_backward(grad, inputs, layers, network, 0, Gradients())
