"""exp(scores) over its sum, along the last axis. The formula is `reference.softmax`."""

from __future__ import annotations

import math

import numpy as np

from .jit import jit
from .registry import variant


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
