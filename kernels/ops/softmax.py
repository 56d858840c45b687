"""exp(scores) over its sum, along the last axis. The formula is `reference.softmax`."""

from __future__ import annotations

import math

import numpy as np

from ..compiler.jit import jit
from ..registry import variant
from ..runtime.buffer_pool import empty
from ..runtime.threads import run
from ..simd.elementwise import add_reassoc, max_nnan
from ..simd.emit import fetch_add
from ..simd.scalar_math import exp_nonpositive


@variant("softmax", tolerance=1e-6, tolerance_reason="float32 rounding: an exp and a sum of up to 512 exponentials")
def softmax_naive(scores, mask=None):
    """Three passes over a row: the maximum, the exponentials and their sum, the division."""
    rows, unmasked = rows_and_mask(scores, mask)
    return softmax_rows(rows, unmasked).reshape(scores.shape)


def rows_and_mask(scores, mask):
    """-> scores as rows (R, L), and which of the L columns count. If the mask leaves none, all do, with equal scores."""
    length = scores.shape[-1]
    all_masked = mask is not None and not mask.any()
    unmasked = np.ones(length, np.bool_) if mask is None or all_masked else mask
    return np.ascontiguousarray(np.zeros_like(scores) if all_masked else scores).reshape(-1, length), unmasked


@jit()
def softmax_rows(scores, unmasked):
    probabilities = np.zeros_like(scores)
    for row in range(len(scores)):
        row_max = -np.inf
        for i in range(len(unmasked)):
            if unmasked[i] and scores[row, i] > row_max:
                row_max = scores[row, i]
        total = 0.0
        for i in range(len(unmasked)):
            if unmasked[i]:
                probabilities[row, i] = math.exp(scores[row, i] - row_max)
                total += probabilities[row, i]
        for i in range(len(unmasked)):
            probabilities[row, i] /= total
    return probabilities


SOFTMAX_TASK_VALUES = 16_384  # some 10 µs of work


@variant(
    "softmax", tolerance=1e-6, tolerance_reason="float32 rounding: an exp and a sum of up to 512 exponentials", capturable=True
)
def softmax_vector(scores, mask=None):
    """The same passes as loops over vectors, with an exp that has no branch; blocks of rows on threads."""
    rows, unmasked = rows_and_mask(scores, mask)
    mask_limit = np.where(unmasked, np.float32(np.inf), np.float32(-np.inf))
    probabilities = empty(*rows.shape)
    run(softmax_tasks, -(-rows.size // SOFTMAX_TASK_VALUES), rows, mask_limit, probabilities)
    return probabilities.reshape(scores.shape)


@jit(nogil=True, error_model="numpy")
def softmax_tasks(counter, scores, mask_limit, probabilities):
    """Do one task after another until none is left: some rows of scores (R, L)."""
    rows_per_task = max(SOFTMAX_TASK_VALUES // len(mask_limit), 1)
    task = fetch_add(counter)
    while task * rows_per_task < len(scores):
        first = task * rows_per_task
        for row in range(first, min(first + rows_per_task, len(scores))):
            softmax_row(scores[row], mask_limit, probabilities[row])
        task = fetch_add(counter)


@jit(error_model="numpy")
def softmax_row(scores, mask_limit, probabilities):
    """One row (L,). `mask_limit` (L,) is an upper limit of each score: infinity, or minus infinity where it is masked."""
    row_max, total = np.float32(-np.inf), np.float32(0)
    for i in range(len(scores)):
        row_max = max_nnan(row_max, min(scores[i], mask_limit[i]))
    for i in range(len(scores)):
        probabilities[i] = exp_nonpositive(min(scores[i], mask_limit[i]) - row_max)
    for i in range(len(scores)):  # a loop that also stores is vectorized only if arrays are far apart: other bits, by chance
        total = add_reassoc(total, probabilities[i])
    scale = np.float32(1) / total
    for i in range(len(probabilities)):
        probabilities[i] *= scale
