"""Each row to mean 0 and variance 1, then scaled and shifted. The formula is `reference.layer_norm`."""

from __future__ import annotations

import math

import numpy as np

from .jit import jit
from .registry import variant


@variant("layer_norm", tolerance=1e-6, why="float32 rounding of the result; the sums are float64")
@jit()
def layer_norm_naive(x, weight, bias, eps):
    """A row at a time: its mean, its variance, its result, and no array in between."""
    y = np.empty_like(x)
    for row in range(len(x)):
        width = x.shape[1]
        mean = 0.0
        for i in range(width):
            mean += x[row, i]
        mean /= width
        variance = 0.0
        for i in range(width):
            variance += (x[row, i] - mean) ** 2
        scale = 1 / math.sqrt(variance / width + eps)
        for i in range(width):
            y[row, i] = (x[row, i] - mean) * scale * weight[i] + bias[i]
    return y
