"""Hidden states -> the logits and scores of the targets. The head is the chain of layers that training goes through."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import InputError
from ..kernels.reference import softmax
from ..models.base import PreTrainedModel
from ..models.heads import sigmoid
from ..training.gradients import make_network
from ..training.heads import head_forward
from .targets import Target


class Readout:
    """A model's head by itself."""

    def __init__(self, model: PreTrainedModel) -> None:
        heads = model.loss_heads(model.config)
        if not heads:
            raise InputError(f"a model without a head has no logits to explain; got {type(model).__name__}.")
        self.network = make_network(model, None, None, heads, "auto")
        self.layers = heads[0].layers

    def logits(self, x: np.ndarray) -> np.ndarray:
        """x (R, D) -> (R, C)."""
        return head_forward(x, self.layers, self.network, 0)[0]

    def targets(
        self, sequences: Sequence[np.ndarray], targets: list[Target], rows: Sequence[Sequence[int | None]]
    ) -> tuple[np.ndarray, np.ndarray]:
        """S sequences of hidden states (L, D), and in each the row of each target -> their logits and scores, (S, G) each.
        NaN where the row is None: the token is not in that sequence."""
        over_tokens = any(target.score == "softmax over tokens" for target in targets)
        read: list[list[int]] = [  # the rows of each sequence that go through the head
            list(range(len(hidden))) if over_tokens else sorted({row for row in own if row is not None})
            for hidden, own in zip(sequences, rows)
        ]
        all_logits = self.logits(np.concatenate([hidden[own] for hidden, own in zip(sequences, read)]))
        logits = np.full((len(sequences), len(targets)), np.nan)
        scores = logits.copy()
        end = 0
        for index, own in enumerate(read):
            start, end = end, end + len(own)
            for column, (target, row) in enumerate(zip(targets, rows[index])):
                if row is not None:
                    place = own.index(row)
                    logits[index, column] = all_logits[start + place, target.column]
                    scores[index, column] = score(all_logits[start:end], place, target)
        return logits, scores


def score(logits: np.ndarray, row: int, target: Target) -> float:
    """A sequence's logits (R, C) -> the target's score."""
    if target.score == "none":
        return float(logits[row, target.column])
    if target.score == "sigmoid":
        return float(sigmoid(logits[row])[target.column])
    if target.score == "softmax":
        return float(softmax(logits[row])[target.column])
    return float(softmax(logits[:, target.column])[row])
