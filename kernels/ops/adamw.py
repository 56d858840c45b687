"""AdamW's update in one pass over memory. The formula is `reference.adamw_step`."""

from __future__ import annotations

import math

import numpy as np

from ..compiler.jit import jit
from ..reference import adamw_factors
from ..registry import variant
from ..runtime.threads import run
from ..simd.emit import fetch_add

ADAMW_TASK_VALUES = 1 << 14  # 64 KiB of each of four arrays
ONE_ROUNDING = {"tolerance": 1e-6, "tolerance_reason": "float32 rounding of each step of the formula"}


@variant("adamw_step", **ONE_ROUNDING)
def adamw_step_naive(parameter, grad, first_moment, second_moment, settings):
    """One value at a time, in float64: 28 bytes read and written, where NumPy's passes move some 100."""
    constants = (*adamw_factors(settings), settings.beta1, settings.beta2, settings.eps, settings.grad_scale)
    update_values(*flat(parameter, grad, first_moment, second_moment), constants)


def flat(*arrays):
    """The arrays as (N,), without a copy: all but the gradient are changed."""
    parameter, grad, *moments = arrays
    for array in (parameter, *moments):
        if not array.flags.c_contiguous:
            raise ValueError("adamw_step changes its arrays in place, so they must be contiguous.")
    return parameter.reshape(-1), np.ascontiguousarray(grad).reshape(-1), *(moment.reshape(-1) for moment in moments)


@jit()
def update_values(parameter, grad, first_moment, second_moment, constants):
    keep, length, correction, beta1, beta2, eps, grad_scale = constants
    for i in range(len(parameter)):
        g = grad[i] * grad_scale
        first = first_moment[i] + (g - first_moment[i]) * (1 - beta1)
        second = second_moment[i] * beta2 + g * g * (1 - beta2)
        parameter[i] = parameter[i] * keep - length * (first / (math.sqrt(second) / correction + eps))
        first_moment[i], second_moment[i] = first, second


@variant("adamw_step", **ONE_ROUNDING)
def adamw_step_vector(parameter, grad, first_moment, second_moment, settings):
    """In float32, in vectors; blocks on threads. A value's bits depend on nothing but its own row of arguments, so rows may be
    updated by themselves."""
    arrays = flat(parameter, grad, first_moment, second_moment)
    constants = (
        *adamw_factors(settings),
        1 - settings.beta1,
        settings.beta2,
        1 - settings.beta2,
        settings.eps,
        settings.grad_scale,
    )
    run(adamw_tasks, -(-parameter.size // ADAMW_TASK_VALUES), *arrays, tuple(map(float, constants)))


@jit(nogil=True, error_model="numpy")
def adamw_tasks(counter, parameter, grad, first_moment, second_moment, constants):
    """Do one task after another until none is left: ADAMW_TASK_VALUES values of the arrays (N,)."""
    first = fetch_add(counter) * ADAMW_TASK_VALUES
    while first < len(parameter):
        part = slice(first, first + ADAMW_TASK_VALUES)
        update_block(parameter[part], grad[part], first_moment[part], second_moment[part], constants)
        first = fetch_add(counter) * ADAMW_TASK_VALUES


@jit(error_model="numpy")
def update_block(parameter, grad, first_moment, second_moment, constants):
    """Each line one IEEE operation after another, none fused: the same bits in a vector and in a loop's remainder."""
    keep, length, correction, new_share, beta2, square_share, eps, grad_scale = constants
    keep, length, inverse_correction = np.float32(keep), np.float32(length), np.float32(1 / correction)
    new_share, beta2, square_share = np.float32(new_share), np.float32(beta2), np.float32(square_share)
    eps, grad_scale = np.float32(eps), np.float32(grad_scale)
    for i in range(len(parameter)):
        g = grad[i] * grad_scale
        mean = first_moment[i] + (g - first_moment[i]) * new_share
        square = second_moment[i] * beta2 + g * g * square_share
        first_moment[i] = mean
        second_moment[i] = square
        parameter[i] = parameter[i] * keep - length * (mean / (math.sqrt(square) * inverse_correction + eps))
