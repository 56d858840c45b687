"""Each row to mean 0 and variance 1, then scaled and shifted. The formula is `reference.layer_norm`."""

from __future__ import annotations

import math

import numpy as np

from .buffers import empty
from .jit import jit
from .registry import variant
from .threads import run
from .vectors import fma, next_task


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


TASK = 24_576  # values: 32 rows of 768, 20 µs when they come from memory


@variant("layer_norm", tolerance=1e-6, why="float32 rounding of the result; the sums are float64")
def layer_norm_vector(x, weight, bias, eps):
    """Sums whose order the compiler may choose, so that it can keep many; blocks of rows on threads."""
    x = np.ascontiguousarray(x)
    y = empty(*x.shape)
    run(normalise_rows, -(-x.size // TASK), x, weight, bias, eps, y)
    return y


@jit(nogil=True, error_model="numpy")
def normalise_rows(counter, x, weight, bias, eps, y):
    each = max(TASK // x.shape[1], 1)
    task = next_task(counter)
    while task * each < len(x):
        for row in range(task * each, min(task * each + each, len(x))):
            source, line = x[row], y[row]
            for i in range(len(line)):
                line[i] = source[i]
            normalise(line, weight, bias, eps)
        task = next_task(counter)


@jit(error_model="numpy")
def normalise(line, weight, bias, eps):
    """One row, where it stands; while its sums are made, it is in the nearest cache."""
    mean = total(line) / len(line)
    for i in range(len(line)):
        line[i] = np.float32(line[i] - mean)
    scale = np.float32(1 / math.sqrt(total_of_squares(line) / len(line) + eps))
    for i in range(len(line)):
        line[i] = fma(line[i] * scale, weight[i], bias[i])


# "reassoc": the compiler may make several sums of one; which, depends on the row's length and nothing else.
@jit(fastmath={"reassoc"})
def total(line):
    found = 0.0
    for i in range(len(line)):
        found += line[i]
    return found


@jit(fastmath={"reassoc"})
def total_of_squares(line):
    found = 0.0
    for i in range(len(line)):
        found += np.float64(line[i]) * line[i]
    return found
