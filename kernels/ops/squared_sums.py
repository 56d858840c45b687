"""The squares of each row, summed: what the norm of all gradients is made of. The formula is `reference.squared_sums`."""

from __future__ import annotations

import numpy as np

from ..compiler.jit import jit
from ..registry import variant
from ..runtime.threads import run
from ..simd.emit import fetch_add
from .layer_norm_grad import sum_squares

SQUARES_TASK_VALUES = 1 << 16  # 256 KiB
FLOAT64_SUM = {"tolerance": 1e-12, "tolerance_reason": "another order of a float64 sum"}


@variant("squared_sums", **FLOAT64_SUM)
@jit()
def squared_sums_naive(x):
    """One value after another."""
    sums = np.zeros(len(x))
    for row in range(len(x)):
        for value in x[row]:
            sums[row] += np.float64(value) * value
    return sums


@variant("squared_sums", **FLOAT64_SUM)
def squared_sums_vector(x):
    """With sums that the compiler may split into vectors; blocks of rows on threads. A row's sum depends on nothing else."""
    x, sums = np.ascontiguousarray(x), np.empty(len(x))
    rows_per_task = max(1, SQUARES_TASK_VALUES // max(1, x.shape[1]))
    run(squared_sums_tasks, -(-len(x) // rows_per_task), x, sums, rows_per_task)
    return sums


@jit(nogil=True, error_model="numpy")
def squared_sums_tasks(counter, x, sums, rows_per_task):
    """A task is some rows."""
    first = fetch_add(counter) * rows_per_task
    while first < len(x):
        for row in range(first, min(first + rows_per_task, len(x))):
            sums[row] = sum_squares(x[row], 0.0)
        first = fetch_add(counter) * rows_per_task
