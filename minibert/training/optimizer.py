"""AdamW: Adam with decoupled weight decay (arXiv:1711.05101, algorithm 2), as torch.optim.AdamW; the formula of one update is
`adamw_step` in `kernels/reference.py`.

    optimizer = AdamW(parameters, lr=2e-5, weight_decay=0.01)
    loss, gradients = loss_and_gradients(model, **batch, labels=labels, parameters=parameters)
    grad_scale = clip_factor(gradient_norm(gradients), 1.0)
    optimizer.step(gradients, grad_scale=grad_scale)      # changes the arrays of `parameters`

Matrices decay; biases and norms, which are vectors, do not. Next: `schedules.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from minibert.kernels.catalog import TrainingOps
from minibert.kernels.reference import AdamWSettings

from ..errors import InputError, InputTypeError, short_repr, strict_arguments
from .lazy_rows import LazyRows, RowGradient
from .operations import choose_ops
from .option_readers import read_real


class AdamW:
    """`AdamW(parameters)` holds the two moments of each parameter; `step(gradients)` changes the parameters in place.

    `parameters` maps names to arrays, float32 or float64; `kernels` are a preset, as of `loss_and_gradients`. `lr_scales` maps
    names to factors of the learning rate, 1 if it has none. A parameter without a gradient is left as it is. One that gets a
    `RowGradient` is read after `catch_up` of the rows that are read, or after `flush`, and never without.
    """

    @strict_arguments
    def __init__(
        self,
        parameters: Mapping[str, np.ndarray],
        *,
        lr: float = 5e-5,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        lr_scales: Mapping[str, float] | None = None,
        kernels: str = "auto",
    ):
        check_parameters(parameters)
        self.parameters = parameters
        self.lr = read_real("lr", lr)
        self.betas = read_betas(betas)
        self.eps = read_real("eps", eps)
        self.weight_decay = read_real("weight_decay", weight_decay)
        self.lr_scales = read_scales(lr_scales)
        self.kernels = kernels
        self.steps = 0
        self.moments = {name: (np.zeros_like(array), np.zeros_like(array)) for name, array in parameters.items()}
        self.lazy: dict[str, LazyRows] = {}  # of the tables that had a RowGradient

    @strict_arguments
    def step(self, gradients: Mapping[str, np.ndarray | RowGradient], lr: float | None = None, grad_scale: float = 1.0) -> None:
        """One step along the gradients times `grad_scale`; with `lr`, at this learning rate in place of the optimizer's."""
        rate, grad_scale = self.lr if lr is None else read_real("lr", lr), read_real("grad_scale", grad_scale)
        self.check_gradients(gradients)
        self.steps += 1
        for name, grad in gradients.items():
            parameter = self.parameters[name]
            decay = self.weight_decay if decays(name, parameter) else 0.0
            scaled_rate = rate * self.lr_scales.get(name, 1.0)
            settings = AdamWSettings(self.steps, scaled_rate, *self.betas, self.eps, decay, grad_scale)
            if isinstance(grad, RowGradient):
                lazy_rows_of(self, name, settings).update(grad, settings)
                continue
            if name in self.lazy:
                self.lazy[name].flush()
            update = ops_for(parameter, self.kernels).adamw_step
            update(parameter, np.asarray(grad, parameter.dtype), *self.moments[name], settings)

    @strict_arguments
    def flush(self) -> None:
        """Before all rows of all parameters are read: do the updates that any have missed."""
        for lazy in self.lazy.values():
            lazy.flush()

    def check_gradients(self, gradients: Mapping[str, np.ndarray | RowGradient]) -> None:
        known = np.ndarray, RowGradient
        if not isinstance(gradients, Mapping) or not all(isinstance(grad, known) for grad in gradients.values()):
            raise InputTypeError(f"gradients must map names of parameters to arrays; got {short_repr(gradients)}.")
        for name, grad in gradients.items():
            if name not in self.parameters or grad.shape != self.parameters[name].shape:
                raise InputError(f"each gradient must have the name and the shape of a parameter; {short_repr(name)} has not.")

    @strict_arguments
    def state_dict(self) -> dict[str, np.ndarray]:
        """The moments by name: `exp_avg.NAME` and `exp_avg_sq.NAME`, after torch's names. Not copied."""
        self.flush()
        first = {f"exp_avg.{name}": moments[0] for name, moments in self.moments.items()}
        return first | {f"exp_avg_sq.{name}": moments[1] for name, moments in self.moments.items()}

    @strict_arguments
    def load_state_dict(self, state: Mapping[str, np.ndarray], steps: int) -> None:
        """What `state_dict` returned after so many steps. InputError if it is of other parameters."""
        own = self.state_dict()
        if not isinstance(state, Mapping) or set(state) != set(own):
            raise InputError("an optimizer's state must hold two moments for each of its parameters; this one does not.")
        for name, array in own.items():
            if getattr(state[name], "shape", None) != array.shape:
                raise InputError(f"an optimizer's state must have the shapes of its parameters; {name} has another.")
            array[...] = state[name]  # of all rows, none of which misses a step
        self.steps = int(read_real("steps", steps))


def catch_up(optimizer: AdamW, name: str, rows: np.ndarray) -> None:
    """Before a batch reads these rows of a parameter, each named once: do the updates that they have missed."""
    if name in optimizer.lazy:
        optimizer.lazy[name].catch_up(rows)


def lazy_rows_of(optimizer: AdamW, name: str, settings: AdamWSettings) -> LazyRows:
    if name not in optimizer.lazy:
        parameter = optimizer.parameters[name]
        ops = ops_for(parameter, optimizer.kernels)
        optimizer.lazy[name] = LazyRows(parameter, optimizer.moments[name], settings, ops)
    return optimizer.lazy[name]


def ops_for(parameter: np.ndarray, kernels: str) -> TrainingOps:
    """Compiled ones write rows in one piece."""
    return choose_ops(kernels if parameter.flags.c_contiguous else "reference", parameter.dtype)


def decays(name: str, parameter: np.ndarray) -> bool:
    """Whether weight decay is for this tensor: not for biases and norms; MPNet's table of relative biases is one of them."""
    return parameter.ndim > 1 and "bias" not in name


def gradient_norm(gradients: Mapping[str, np.ndarray | RowGradient], kernels: str = "auto") -> float:
    """The norm of all gradients together. Sums are of float64, row by row in the mapping's order: the same bits on any number
    of threads, and whether or not a gradient lists the rows that are 0."""
    return math.sqrt(sum(squared_sum(grad, kernels) for grad in gradients.values()))


def squared_sum(grad: np.ndarray | RowGradient, kernels: str) -> float:
    values = grad.values if isinstance(grad, RowGradient) else grad
    if not values.size:
        return 0.0
    rows = values.reshape(len(values), -1) if values.ndim > 1 else values.reshape(1, -1)
    sums = choose_ops(kernels, values.dtype).squared_sums(rows)
    return float(np.cumsum(sums)[-1])  # one after another, as np.sum does not: a 0 more changes no bit


def clip_factor(norm: float, max_norm: float) -> float:
    """What gradients of this norm are multiplied by so that it is `max_norm` at most; 1 if that is 0. (As
    `torch.nn.utils.clip_grad_norm_`; arXiv:1211.5063, algorithm 1.)"""
    return min(1.0, max_norm / (norm + 1e-6)) if max_norm > 0 else 1.0


def check_parameters(parameters: Any) -> None:
    if not isinstance(parameters, Mapping) or not all(isinstance(array, np.ndarray) for array in parameters.values()):
        raise InputTypeError(f"parameters must map names to arrays; got {short_repr(parameters)}.")
    for name, array in parameters.items():
        if array.dtype not in (np.float32, np.float64) or not array.flags.writeable:
            raise InputError(
                f"parameters are changed in place: float32 or float64 arrays that may be written; {short_repr(name)} is none. "
                "Copy the model's: {name: tensor.copy() for name, tensor in model.tensors.items()}"
            )


def read_betas(betas: Any) -> tuple[float, float]:
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        raise InputTypeError(f"betas must be two numbers from 0 to below 1; got {short_repr(betas)}.")
    first, second = betas
    return read_real("betas", first, below=1.0), read_real("betas", second, below=1.0)


def read_scales(scales: Any) -> dict[str, float]:
    if scales is None:
        return {}
    if not isinstance(scales, Mapping):
        raise InputTypeError(f"lr_scales must map names of parameters to numbers; got {short_repr(scales)}.")
    return {name: read_real("lr_scales", scale) for name, scale in scales.items()}
