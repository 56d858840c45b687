"""x weightᵀ + bias, the operation nine tenths of a forward pass goes into. The formula is `reference.linear`."""

from __future__ import annotations

import numpy as np

from .jit import jit
from .registry import variant


@variant("linear", tolerance=5e-6, why="one running float32 sum of up to 3,072 products, no pairwise help")
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
