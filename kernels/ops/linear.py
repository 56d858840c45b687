"""x weightᵀ + bias, the operation nine tenths of a forward pass goes into. The formula is `reference.linear`.

The first steps; the last one, which runs at the machine's speed, is `linear_register.py`.
"""

from __future__ import annotations

import numpy as np

from ..compiler.jit import jit
from ..registry import variant


@variant("linear", tolerance=5e-6, tolerance_reason="one running float32 sum of up to 3,072 products, no pairwise help")
@jit()
def linear_naive(x, weight, bias):
    """The formula as three loops: what a compiler makes of it when nobody helps."""
    rows, inputs = x.shape
    outputs = len(weight)
    y = np.empty((rows, outputs), x.dtype)
    for m in range(rows):
        for n in range(outputs):
            total = bias[n]
            for k in range(inputs):
                total += x[m, k] * weight[n, k]
            y[m, n] = total
    return y


@variant("linear", tolerance=5e-6, tolerance_reason="one running float32 sum, as the naive one")
@jit()
def linear_tiled(x, weight, bias):
    """2 × 2 outputs at a time: four sums that need not wait for one another, from four reads instead of eight.
    7 GFLOP/s for the naive 2.2 (Zen 3, 128 × 768 → 768)."""
    rows, inputs = x.shape
    outputs = len(weight)
    y = np.empty((rows, outputs), x.dtype)
    for m in range(0, rows, 2):
        next_m = min(m + 1, rows - 1)  # where there is no second row, the first is done twice
        for n in range(0, outputs, 2):
            next_n = min(n + 1, outputs - 1)
            total00, total01, total10, total11 = bias[n], bias[next_n], bias[n], bias[next_n]
            for k in range(inputs):
                total00 += x[m, k] * weight[n, k]
                total01 += x[m, k] * weight[next_n, k]
                total10 += x[next_m, k] * weight[n, k]
                total11 += x[next_m, k] * weight[next_n, k]
            y[m, n], y[m, next_n], y[next_m, n], y[next_m, next_n] = total00, total01, total10, total11
    return y


def turn(weight, bias):
    """weight (N, K) -> (K, N), so that neighbouring outputs are neighbours in memory."""
    return np.ascontiguousarray(weight.T), bias


@variant("linear", tolerance=5e-6, tolerance_reason="one running float32 sum, as the naive one", pack_weights=turn)
@jit()
def linear_packed(x, turned, bias):
    """The weights turned once, at load: the innermost loop runs over outputs, and the compiler makes vectors of it.
    22 GFLOP/s for the tiled 7 (the same machine and size)."""
    rows, inputs = x.shape
    y = np.empty((rows, len(bias)), x.dtype)
    for m in range(rows):
        for n in range(len(bias)):
            y[m, n] = bias[n]
        for k in range(inputs):
            for n in range(len(bias)):
                y[m, n] += x[m, k] * turned[k, n]
    return y
