"""The gradient of a softmax's scores. The formula is `reference.softmax_grad`.

A model's attention does it within its tiles (`attention_grad.py`); this is the operation by itself.
"""

from __future__ import annotations

import numpy as np

from ..compiler.jit import jit
from ..registry import variant
from ..runtime.buffer_pool import empty
from ..runtime.threads import run
from ..simd.elementwise import add_reassoc
from ..simd.emit import fetch_add
from .softmax import SOFTMAX_TASK_VALUES


@variant("softmax_grad", tolerance=1e-6, tolerance_reason="float32 rounding of the result; the sum is float64")
def softmax_grad_naive(grad, probabilities, mask=None):
    """Two passes over a row: the sum of its products, then its result."""
    rows, unmasked = rows_of(grad, probabilities, mask)
    return softmax_grad_rows(*rows, unmasked).reshape(grad.shape)


def rows_of(grad, probabilities, mask):
    """-> both as rows (R, L), and which of the L columns have a gradient."""
    length = grad.shape[-1]
    unmasked = np.ones(length, np.bool_) if mask is None else mask
    return tuple(np.ascontiguousarray(array).reshape(-1, length) for array in (grad, probabilities)), unmasked


@jit()
def softmax_grad_rows(grad, probabilities, unmasked):
    scores_grad = np.zeros_like(grad)
    for row in range(len(grad)):
        total = 0.0
        for i in range(len(unmasked)):
            total += grad[row, i] * probabilities[row, i]
        for i in range(len(unmasked)):
            if unmasked[i]:
                scores_grad[row, i] = probabilities[row, i] * (grad[row, i] - total)
    return scores_grad


@variant("softmax_grad", tolerance=1e-6, tolerance_reason="float32 rounding: a sum of up to 512 products")
def softmax_grad_vector(grad, probabilities, mask=None):
    """The same passes as loops over vectors; blocks of rows on threads."""
    rows, unmasked = rows_of(grad, probabilities, mask)
    scores_grad = empty(*rows[0].shape)
    run(softmax_grad_tasks, -(-scores_grad.size // SOFTMAX_TASK_VALUES), *rows, unmasked.astype(np.float32), scores_grad)
    return scores_grad.reshape(grad.shape)


@jit(nogil=True, error_model="numpy")
def softmax_grad_tasks(counter, grad, probabilities, factors, scores_grad):
    """Do one task after another until none is left: some rows. `factors` (L,) are 1, and 0 where a column is masked."""
    rows_per_task = max(SOFTMAX_TASK_VALUES // len(factors), 1)
    task = fetch_add(counter)
    while task * rows_per_task < len(grad):
        for row in range(task * rows_per_task, min(task * rows_per_task + rows_per_task, len(grad))):
            g, p, target, total = grad[row], probabilities[row], scores_grad[row], np.float32(0)
            for i in range(len(factors)):
                total = add_reassoc(total, g[i] * p[i])
            for i in range(len(factors)):
                target[i] = p[i] * (g[i] - total) * factors[i]
        task = fetch_add(counter)
