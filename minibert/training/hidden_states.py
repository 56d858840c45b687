"""Learning a teacher's hidden states: the mean squared error between the layers of two encoders.

Each layer of the student learns one of the teacher's, evenly spaced, the last the last: of 12, a student of 6 learns 2, 4, ... 12
(TinyBERT, arXiv:1909.10351, 3.1 and its uniform mapping). The two are of one width, so there is no projection between them, as in
DistilBERT (arXiv:1910.01108), which compares states too. Next: `gradients.py`, which adds this loss to that of the labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError, InputTypeError, short_repr
from ..models.losses import mean_squared_error, mean_squared_error_grad
from ..models.packing import Packed
from ..tensors import as_array


class HiddenTargets(NamedTuple):
    """What a model returned as `hidden_states` for the same batch: of the embeddings, and of each of its layers."""

    states: Sequence[np.ndarray]  # layers + 1 of (B, T, D)
    weight: float  # of this loss, beside that of the labels


def teacher_layer(index: int, layers: int, teacher_layers: int) -> int:
    """Which layer of the teacher layer `index` of `layers` learns; layers are counted from 0."""
    return -(-(index + 1) * teacher_layers // layers) - 1


def read_hidden_targets(states: Any, weight: float) -> HiddenTargets:
    if not isinstance(states, (list, tuple)) or len(states) < 2:
        raise InputTypeError(
            "teacher_hidden_states must be the hidden_states of an output, of the embeddings and of each layer; "
            f"got {short_repr(states)}."
        )
    return HiddenTargets([as_array(state, "teacher_hidden_states") for state in states], weight)


def hidden_loss(outputs: list[np.ndarray], targets: HiddenTargets, packed: Packed) -> tuple[float, list[np.ndarray]]:
    """Each layer's output (N, D) -> the weighted mean of the layers' errors, and its gradient by each output (N, D).

    Tokens that the others do not attend to, such as padding, have no part in it. InputError for states of another shape."""
    attended = slice(None) if packed.key_mask is None else packed.key_mask
    share, loss, grads = targets.weight / len(outputs), 0.0, []
    for index, output in enumerate(outputs):
        state = targets.states[teacher_layer(index, len(outputs), len(targets.states) - 1) + 1]
        check_state(state, (*packed.token_mask.shape, output.shape[1]))
        target = state[packed.token_mask].astype(output.dtype, copy=False)[attended]
        grad = np.zeros_like(output)
        grad[attended] = share * mean_squared_error_grad(output[attended], target)
        loss += share * float(mean_squared_error(output[attended], target))
        grads.append(grad)
    return loss, grads


def check_state(state: np.ndarray, shape: tuple[int, ...]) -> None:
    if state.shape != shape or state.dtype.kind != "f":
        raise InputError(
            f"teacher_hidden_states must be of the shape of the model's own, {shape}; got {state.dtype} {state.shape}. "
            "A teacher is as wide as its student."
        )
