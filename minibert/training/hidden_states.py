"""Learning a teacher's hidden states: the mean squared error between the layers of two encoders.

Each layer of the model learns one of the teacher's: those that `layers` names, or evenly spaced ones, the last the last: of
12, a model of 6 learns 2, 4, ... 12 (TinyBERT, arXiv:1909.10351, 3.1 and its uniform mapping). If the teacher is wider or
narrower, the model's states are multiplied by a matrix first, one for all layers, which is trained with the model and left
behind with the teacher (the same paper's equation 8). Next: `gradients.py`, which adds this loss to that of the labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minibert.kernels.catalog import TrainingOps

from ..errors import InputError, InputTypeError, short_repr
from ..models.losses import mean_squared_error, mean_squared_error_grad
from ..models.packing import Packed
from ..tensors import as_array
from .option_readers import read_layers

PROJECTION = "hidden_projection"  # its name among parameters and gradients


class HiddenTargets(NamedTuple):
    """What a teacher returned as `hidden_states` for the same batch: of the embeddings, and of each of its layers."""

    states: Sequence[np.ndarray]  # layers + 1 of (B, T, E)
    weight: float  # of this loss, beside that of the labels
    layers: Sequence[int] | None = None  # which of the states each layer of the model learns; None: evenly spaced
    projection: np.ndarray | None = None  # (E, D): states of the model -> states of the teacher; None: they are compared as is


def read_hidden_targets(states: Any, weight: float, layers: Any, projection: Any) -> HiddenTargets:
    if not isinstance(states, (list, tuple)) or len(states) < 2:
        raise InputTypeError(
            "teacher_hidden_states must be the hidden_states of an output, of the embeddings and of each layer; "
            f"got {short_repr(states)}."
        )
    layers = None if layers is None else read_layers("hidden_layers", layers)
    projection = None if projection is None else as_array(projection, PROJECTION)
    return HiddenTargets([as_array(state, "teacher_hidden_states") for state in states], weight, layers, projection)


def teacher_layers(chosen: Sequence[int] | None, layers: int, of_teacher: int) -> list[int]:
    """Which of the teacher's hidden states each of `layers` layers learns; 0 is that of its embeddings. InputError for layers
    that are not there, or not one for each."""
    if chosen is None:
        return [-(-(index + 1) * of_teacher // layers) for index in range(layers)]
    if len(chosen) != layers or not all(0 <= layer <= of_teacher for layer in chosen):
        raise InputError(
            f"a layer map must name a layer of the teacher, from 0 to {of_teacher}, for each of the model's {layers} layers; "
            f"got {short_repr(list(chosen))}."
        )
    return list(chosen)


def hidden_loss(
    outputs: list[np.ndarray], targets: HiddenTargets, packed: Packed, ops: TrainingOps
) -> tuple[float, list[np.ndarray], np.ndarray | None]:
    """Each layer's output (N, D) -> the weighted mean of the layers' errors, its gradient by each output (N, D), and by the
    projection (E, D) if there is one.

    Tokens that the others do not attend to, such as padding, have no part in it. InputError for states of another shape."""
    attended = np.ones(len(outputs[0]), bool) if packed.key_mask is None else packed.key_mask
    share, loss, grads, projection_grad = targets.weight / len(outputs), 0.0, [], None
    projection = check_projection(targets, outputs[0])
    learned = teacher_layers(targets.layers, len(outputs), len(targets.states) - 1)
    for output, layer in zip(outputs, learned, strict=True):
        x, state = output[attended], targets.states[layer]
        projected = x if projection is None else ops.linear(x, *ops.pack_weights("linear", projection, zeros_of(projection)))
        check_state(state, (*packed.token_mask.shape, projected.shape[1]))
        target = state[packed.token_mask].astype(output.dtype, copy=False)[attended]
        loss += share * float(mean_squared_error(projected, target))
        x_grad = (share * mean_squared_error_grad(projected, target)).astype(output.dtype, copy=False)
        if projection is not None:
            x_grad, weight_grad, _ = ops.linear_grad(x_grad, x, projection)
            projection_grad = weight_grad if projection_grad is None else projection_grad + weight_grad
        grad = np.zeros_like(output)
        grad[attended] = x_grad
        grads.append(grad)
    return loss, grads, projection_grad


def new_projection(width: int, teacher_width: int, seed: int) -> np.ndarray:
    """(E, D), as torch.nn.Linear draws one."""
    bound = width**-0.5
    return np.random.default_rng([seed, teacher_width]).uniform(-bound, bound, (teacher_width, width)).astype(np.float32)


def zeros_of(projection: np.ndarray) -> np.ndarray:
    return np.zeros(len(projection), projection.dtype)


def check_projection(targets: HiddenTargets, output: np.ndarray) -> np.ndarray | None:
    """The projection in the type of the model's states."""
    projection = targets.projection
    if projection is None:
        return None
    if projection.ndim != 2 or projection.shape[1] != output.shape[1] or projection.dtype.kind != "f":
        raise InputError(
            f"{PROJECTION} must be an array of floats of the teacher's width and the model's, (E, {output.shape[1]}); "
            f"got {projection.dtype} {projection.shape}."
        )
    return np.ascontiguousarray(projection, output.dtype)


def check_state(state: np.ndarray, shape: tuple[int, ...]) -> None:
    if state.shape != shape or state.dtype.kind != "f":
        raise InputError(
            f"teacher_hidden_states must be of shape {shape} here; got {state.dtype} {state.shape}. "
            f"Is the teacher of another width? Then pass a {PROJECTION} too, an array of its width and the model's."
        )
