"""AdamW's update in one pass over memory, and the updates that rows of a table have missed. The formulas are
`reference.adamw_step` and `reference.adamw_replay`."""

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
    constants = tuple(map(float, (*adamw_factors(settings), *constants_of(settings))))
    run(adamw_tasks, -(-parameter.size // ADAMW_TASK_VALUES), *arrays, constants)


def constants_of(settings):
    """What `update_block` takes after the factors of a step."""
    return 1 - settings.beta1, settings.beta2, 1 - settings.beta2, settings.eps, settings.grad_scale


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


@variant("adamw_replay", **ONE_ROUNDING)
def adamw_replay_naive(parameter, first_moment, second_moment, rows, done, factors, settings):
    """Step by step, and in each step row by row."""
    constants = settings.beta1, settings.beta2, settings.eps, 0.0
    zeros = np.zeros(parameter.shape[1], parameter.dtype)
    for row in rows:
        for missed in factors[done[row] :]:
            update_values(parameter[row], zeros, first_moment[row], second_moment[row], (*missed, *constants))
    done[rows] = len(factors)


@variant("adamw_replay", **ONE_ROUNDING)
def adamw_replay_vector(parameter, first_moment, second_moment, rows, done, factors, settings):
    """Row by row, on threads: a row stays in the first cache for all the steps that it has missed, where each step by itself
    reads and writes the tables in memory. The kernel of a step, so the bits are those of as many steps."""
    zeros = np.zeros(parameter.shape[1], np.float32)
    constants = tuple(map(float, constants_of(settings)))
    run(replay_tasks, len(rows), parameter, zeros, first_moment, second_moment, rows, done, factors, constants)


@jit(nogil=True, error_model="numpy")
def replay_tasks(counter, parameter, zeros, first_moment, second_moment, rows, done, factors, constants):
    """A task is a row."""
    new_share, beta2, square_share, eps, grad_scale = constants
    task = fetch_add(counter)
    while task < len(rows):
        row = rows[task]
        for step in range(done[row], len(factors)):
            keep, length, correction = factors[step, 0], factors[step, 1], factors[step, 2]
            one_step = keep, length, correction, new_share, beta2, square_share, eps, grad_scale
            update_block(parameter[row], zeros, first_moment[row], second_moment[row], one_step)
        done[row] = len(factors)
        task = fetch_add(counter)
