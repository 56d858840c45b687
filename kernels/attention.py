"""softmax(q kᵀ / √Dh) v for each packed sequence and head. The formula is `composed.attention`."""

from __future__ import annotations

import math

import numpy as np

from .jit import jit
from .registry import variant


@variant("attention", tolerance=2e-6, why="float32 rounding: two products and a softmax in a row")
def attention_naive(query, key, value, bounds, key_mask, heads):
    """One query, one head at a time: its scores, their softmax, the values' weighted sum."""
    kept = np.ones(len(query), np.bool_) if key_mask is None else key_mask
    return attention_rows(query, key, value, np.asarray(bounds), kept, heads)


@jit()
def attention_rows(query, key, value, bounds, kept, heads):
    context = np.zeros_like(query)
    size = query.shape[1] // heads
    for sequence in range(len(bounds) - 1):
        start, stop = bounds[sequence], bounds[sequence + 1]
        level = not kept[start:stop].any()  # nothing kept: the same share for each
        shares = np.empty(stop - start, np.float64)
        for head in range(heads):
            first = head * size
            for row in range(start, stop):
                largest = -np.inf
                for other in range(start, stop):
                    score = 0.0
                    for i in range(first, first + size):
                        score += query[row, i] * key[other, i]
                    shares[other - start] = 0.0 if level else score / math.sqrt(size)
                    if (kept[other] or level) and shares[other - start] > largest:
                        largest = shares[other - start]
                total = 0.0
                for other in range(stop - start):
                    if kept[start + other] or level:
                        shares[other] = math.exp(shares[other] - largest)
                        total += shares[other]
                    else:
                        shares[other] = 0.0
                for other in range(stop - start):
                    for i in range(first, first + size):
                        context[row, i] += shares[other] / total * value[start + other, i]
    return context
