"""Rows of a gradient added to the rows that they were taken from: the gradient of tables. The formula is
`reference.take_grad`."""

from __future__ import annotations

import numpy as np

from ..compiler.jit import jit
from ..registry import variant
from ..runtime.buffer_pool import empty
from ..runtime.threads import run
from ..simd.emit import fetch_add

ZEROS_TASK_VALUES = 1 << 16  # 256 KiB
TASK_COLUMNS = 32  # columns of a task: two cache lines of each row


@variant("take_grad", tolerance=1e-6, tolerance_reason="one float32 sum of all rows that were taken from the same")
@jit()
def take_grad_naive(grad, rows, count):
    """One row after another."""
    x_grad = np.zeros((count, grad.shape[1]), grad.dtype)
    for n in range(len(rows)):
        for i in range(grad.shape[1]):
            x_grad[rows[n], i] += grad[n, i]
    return x_grad


@variant("take_grad", tolerance=1e-6, tolerance_reason="one float32 sum of all rows that were taken from the same")
def take_grad_vector(grad, rows, count):
    """On threads: first the zeros, then the sums, where a task is some columns of all rows. So no two threads add to the same
    value, and a value's terms are added in their order: the same bits on any number of threads."""
    grad, rows = np.ascontiguousarray(grad), np.ascontiguousarray(rows, np.int64)
    x_grad = empty(count, grad.shape[1])
    run(fill_with_zeros, -(-x_grad.size // ZEROS_TASK_VALUES), x_grad.reshape(-1))
    run(add_rows, -(-grad.shape[1] // TASK_COLUMNS), grad, rows, x_grad)
    return x_grad


@jit(nogil=True, error_model="numpy")
def fill_with_zeros(counter, values):
    first = fetch_add(counter) * ZEROS_TASK_VALUES
    while first < len(values):
        block = values[first : first + ZEROS_TASK_VALUES]
        for i in range(len(block)):
            block[i] = 0
        first = fetch_add(counter) * ZEROS_TASK_VALUES


@jit(nogil=True, error_model="numpy")
def add_rows(counter, grad, rows, x_grad):
    left = fetch_add(counter) * TASK_COLUMNS
    while left < grad.shape[1]:
        for n in range(len(rows)):
            source, target = grad[n][left : left + TASK_COLUMNS], x_grad[rows[n]][left : left + TASK_COLUMNS]
            for i in range(len(source)):
                target[i] += source[i]
        left = fetch_add(counter) * TASK_COLUMNS
