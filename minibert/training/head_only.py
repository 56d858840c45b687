"""A head on a frozen encoder: vectors of all rows once, then the head alone, to the minimum of its loss.

The head is small and its inputs stay as they are, so whole passes over all rows are cheap, and L-BFGS (Nocedal and Wright,
"Numerical Optimization", 7.2) needs some tens of them: no learning rate, no epochs, and no randomness. With many rows, the head is
fitted to every eighth of them first: the minimum for all is not far from there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError, TrainingError
from ..models.base import PreTrainedModel, rebuild
from ..models.labels import as_labels, token_labels
from ..models.losses import LossOptions, loss_and_grad, tokens_of_loss
from .backward import Gradients
from .data import Rows, load_batch, split
from .forward import Network
from .gradients import pack_inputs
from .heads import head_backward, head_forward
from .operations import choose_ops

MEMORY = 10  # steps that L-BFGS remembers
SMALLEST_STEP = 1e-10
MANY_ROWS, SUBSAMPLING = 10_000, 8  # from this many rows on, the head is first fitted to every eighth
PATIENCE, LEAST_GAIN = 10, 1e-4  # it ends when so many steps together have gained less than this share of the loss


class HeadData(NamedTuple):
    vectors: np.ndarray  # (R, D): what the head reads
    labels: np.ndarray  # (R,), or (R, C)


class HeadSolution(NamedTuple):
    loss: float
    iterations: int


def solve_head(
    model: PreTrainedModel,
    rows: Rows,
    collator: Callable,
    *,
    batch_size: int = 32,
    weight_decay: float = 1e-4,
    options: LossOptions | None = None,
    max_iterations: int = 200,
    kernels: str | None = None,
    on_progress: Callable[[str, float], None] | None = None,
) -> HeadSolution:
    """Train the head of a classifier in place, the encoder as it is: the minimum of the mean loss over all rows plus
    weight_decay / 2 times the squared weights (not biases). kernels: the encoder's, for instance "bf16"; the model's if None.
    TrainingError if the loss is NaN or infinite."""
    heads = model.loss_heads(model.config)
    if len(heads) != 1 or heads[0].form not in ("sequence", "token"):
        raise InputError(f"a head alone is trained of classifiers of texts and of tokens; got a {type(model).__name__}.")
    encoder = model if kernels is None else rebuild(type(model), model.config, model.tensors, kernels)
    data = head_data(encoder, rows, collator, batch_size, on_progress)
    names = [name for layer in heads[0].layers for name in (layer.weight, layer.bias) if name]
    start = {name: model.tensors[name] for name in names}
    solution, iterations = flatten(start), 0
    for stride in (SUBSAMPLING, 1) if len(data.labels) >= MANY_ROWS else (1,):
        sample = HeadData(np.ascontiguousarray(data.vectors[::stride]), data.labels[::stride])
        function = head_function(model, sample, start, weight_decay, options or LossOptions())
        solution, loss, steps = minimize(function, solution, max_iterations, on_progress)
        iterations += steps
    tensors = {**model.tensors, **unflatten(solution, start)}
    model.build(model.config, tensors, model.kernels.spec)
    return HeadSolution(loss, iterations)


def head_data(model: PreTrainedModel, rows: Rows, collator: Callable, batch_size: int, on_progress: Any) -> HeadData:
    """What the encoder gives the head for all rows, with their labels: rows of like lengths together, in the rows' order."""
    head = model.loss_heads(model.config)[0]
    order = np.argsort(rows.lengths(), kind="stable")
    vectors: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    batches = split(order, batch_size, drop_last=False)
    for index, indices in enumerate(batches):
        inputs, batch_labels = load_batch(rows, indices, collator, head.labels, (0, 0, index))
        if "labels" not in batch_labels:
            raise InputError(f"each row of {rows.name} must have labels.")
        values, packed = as_labels("labels", batch_labels["labels"]), pack_inputs(model, inputs)
        hidden = model.encode(packed, cls_only=head.form == "sequence")
        if head.form == "token":
            mask = tokens_of_loss(head.form, packed.token_mask, packed.key_mask)
            values, read = token_labels(head.form, "labels", values, mask)
            hidden = hidden[read[packed.token_mask]]
        vectors.append(np.array(hidden))
        labels.append(values)
        if on_progress is not None:
            on_progress("vectors", (index + 1) / len(batches))
    return HeadData(np.concatenate(vectors), np.concatenate(labels))


def head_function(
    model: PreTrainedModel, data: HeadData, start: dict[str, np.ndarray], weight_decay: float, options: LossOptions
) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    """-> a function from the head's parameters in one vector to the loss and its gradient, without dropout."""
    config, head = model.config, model.loss_heads(model.config)[0]
    base = Network(
        {}, model.encoder_names, config.architecture, choose_ops("auto", np.dtype(np.float32)), config.dropout_rates, None
    )

    def function(flat: np.ndarray) -> tuple[float, np.ndarray]:
        parameters = unflatten(flat, start)
        network, gradients = base._replace(parameters=parameters), Gradients()
        logits, inputs = head_forward(data.vectors, head.layers, network, 0)
        loss, grad = loss_and_grad(head.form, config, "labels", logits, data.labels, options)
        head_backward(grad.astype(np.float32).reshape(logits.shape), inputs, head.layers, network, 0, gradients)
        total = float(loss)
        for name, parameter in parameters.items():
            if parameter.ndim > 1:
                total += 0.5 * weight_decay * float(np.square(parameter, dtype=np.float64).sum())
                gradients[name] = gradients[name] + np.float32(weight_decay) * parameter
        return total, flatten({name: gradients[name] for name in start})

    return function


def minimize(function: Callable, x: np.ndarray, max_iterations: int, on_progress: Any = None) -> tuple[np.ndarray, float, int]:
    """L-BFGS from x with a backtracking line search -> the minimum, the loss there, and how many steps it took."""
    loss, grad = function(x)
    if not np.isfinite(loss):
        raise TrainingError(f"the loss of the head is {loss:g} at the start. Is a label wrong, or a weight NaN?")
    steps: list[tuple[np.ndarray, np.ndarray]] = []
    losses = [loss]
    for iteration in range(max_iterations):
        stalled = iteration >= PATIENCE and losses[-PATIENCE - 1] - loss < LEAST_GAIN * loss
        if stalled or np.abs(grad).max() < 1e-5:
            return x, loss, iteration
        direction = -two_loops(grad, steps)
        slope = dot(grad, direction)
        size = 1.0 if steps else min(1.0, 1.0 / float(np.abs(grad).sum()))
        while True:
            candidate = x + size * direction
            new_loss, new_grad = function(candidate)
            if new_loss <= loss + 1e-4 * size * slope:
                break
            size /= 2
            if size < SMALLEST_STEP:  # float32 cannot tell better from worse any more
                return x, loss, iteration
        change = candidate - x, new_grad - grad
        if dot(*change) > 0:
            steps = [*steps[-MEMORY + 1 :], change]
        x, loss, grad = candidate, new_loss, new_grad
        losses.append(loss)
        if on_progress is not None:
            on_progress("head", loss)
    return x, loss, max_iterations


def two_loops(grad: np.ndarray, steps: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The gradient times an approximation of the inverse Hessian (algorithm 7.4)."""
    result, factors = grad.copy(), []
    for change, grad_change in reversed(steps):
        factor = dot(change, result) / dot(change, grad_change)
        factors.append(factor)
        result -= factor * grad_change
    if steps:
        change, grad_change = steps[-1]
        result *= dot(change, grad_change) / dot(grad_change, grad_change)
    for (change, grad_change), factor in zip(steps, reversed(factors)):
        result += change * (factor - dot(grad_change, result) / dot(change, grad_change))
    return result


def dot(x: np.ndarray, y: np.ndarray) -> float:
    """A sum whose bits do not depend on threads, as BLAS's may."""
    return float(np.einsum("i,i->", x, y))


def flatten(tensors: dict[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([tensor.ravel() for tensor in tensors.values()]).astype(np.float64)


def unflatten(flat: np.ndarray, like: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    ends = np.cumsum([tensor.size for tensor in like.values()])
    parts = np.split(flat.astype(np.float32), ends[:-1])
    return {name: part.reshape(tensor.shape) for (name, tensor), part in zip(like.items(), parts)}
