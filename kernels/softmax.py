"""exp(scores) over its sum, along the last axis. The formula is `reference.softmax`."""

from __future__ import annotations

import math

import numpy as np

from .buffers import empty
from .functions import exp
from .jit import jit
from .layer_norm import total
from .registry import variant
from .threads import run
from .vectors import next_task


@variant("softmax", tolerance=1e-6, why="float32 rounding: an exp and a sum of up to 512 shares")
def softmax_naive(scores, mask=None):
    """Three passes over a row: the largest, the exponentials and their sum, the division."""
    length = scores.shape[-1]
    kept = np.ones(length, np.bool_) if mask is None or not mask.any() else mask
    rows = np.ascontiguousarray(scores).reshape(-1, length)
    level = rows * 0 if mask is not None and not mask.any() else rows  # nothing kept: the same share for each
    return softmax_rows(level, kept).reshape(scores.shape)


@jit()
def softmax_rows(scores, mask):
    shares = np.zeros_like(scores)
    for row in range(len(scores)):
        largest = -np.inf
        for i in range(len(mask)):
            if mask[i] and scores[row, i] > largest:
                largest = scores[row, i]
        total = 0.0
        for i in range(len(mask)):
            if mask[i]:
                shares[row, i] = math.exp(scores[row, i] - largest)
                total += shares[row, i]
        for i in range(len(mask)):
            shares[row, i] /= total
    return shares


TASK = 16_384  # scores: some 10 µs


@variant("softmax", tolerance=1e-6, why="float32 rounding: an exp and a sum of up to 512 shares")
def softmax_vector(scores, mask=None):
    """The same passes, each in vectors, with an exp that has no branch; blocks of rows on threads."""
    length = scores.shape[-1]
    level = mask is not None and not mask.any()  # nothing kept: the same share for each
    kept = np.ones(length, np.bool_) if mask is None or level else np.ascontiguousarray(mask)
    rows = np.ascontiguousarray(np.zeros_like(scores) if level else scores).reshape(-1, length)
    shares = empty(*rows.shape)
    run(softmax_tasks, -(-rows.size // TASK), rows, kept, shares)
    return shares.reshape(scores.shape)


@jit(nogil=True, error_model="numpy")
def softmax_tasks(counter, scores, kept, shares):
    each = max(TASK // len(kept), 1)
    task = next_task(counter)
    while task * each < len(scores):
        for row in range(task * each, min(task * each + each, len(scores))):
            line, found = scores[row], shares[row]
            high = largest(line, kept)
            for i in range(len(line)):
                share = exp(line[i] - high)  # computed in any case: a branch would not become vectors
                found[i] = share if kept[i] else np.float32(0)
            scale = np.float32(1 / total(found))
            for i in range(len(line)):
                found[i] *= scale
        task = next_task(counter)


@jit(fastmath={"nnan", "nsz"})  # a largest value is the same in any order
def largest(line, kept):
    found = np.float32(-np.inf)
    for i in range(len(line)):
        found = max(found, line[i] if kept[i] else np.float32(-np.inf))
    return found
