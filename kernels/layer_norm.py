"""Each row to mean 0 and variance 1, then scaled and shifted. The formula is `reference.layer_norm`."""

from __future__ import annotations

import math

import numpy as np

from .buffers import beyond_caches, empty
from .jit import jit
from .registry import variant
from .threads import run
from .vectors import fma, next_task, stream


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


TASK = 24_576  # values: 32 rows of 768, 10 µs when they come from memory
LONG = 8 * TASK  # of a result that is larger than the caches: a task's beginning is read before its reading ahead has begun
CHUNK = 1024  # values in a float32 sum, which the compiler makes of some 64 sums of 16; chunks are added in float64


@variant("layer_norm", tolerance=1e-6, why="float32 rounding of the result, and of sums around a mean that is near", noted=True)
def layer_norm_vector(x, weight, bias, eps):
    """Sums whose order the compiler may choose, so that it can keep many; blocks of rows on threads."""
    x = np.ascontiguousarray(x)
    y = empty(*x.shape)
    size = LONG if beyond_caches(y) else TASK
    run(normalise_rows, -(-x.size // size), x, weight, bias, eps, y, size, scratch=((x.shape[1],),))
    return y


@jit(nogil=True, error_model="numpy")
def normalise_rows(counter, scratch, x, weight, bias, eps, y, size):
    own = scratch[0][next_task(counter[1:])]
    each = max(size // x.shape[1], 1)
    task = next_task(counter)
    while task * each < len(x):
        for row in range(task * each, min(task * each + each, len(x))):
            if size == LONG:
                normalise(x[row], weight, bias, eps, own)
                stream(y[row], own)
            else:
                normalise(x[row], weight, bias, eps, y[row])
        task = next_task(counter)


@jit(error_model="numpy")
def normalise(x, weight, bias, eps, y):
    """One row, in float32: around a mean that is rounded, what its sums lack of the true one's is small, and known.

    The mean of x - near is how far `near` is off; the variance is the mean square of x - near, less that squared.
    """
    near = np.float32(total(x) / len(x))
    off, squares = total_around(x, near)
    off /= len(x)
    scale = np.float32(1 / math.sqrt(max(squares / len(x) - off * off, 0.0) + eps))
    rest = np.float32(off)
    for i in range(len(x)):
        y[i] = fma((x[i] - near - rest) * scale, weight[i], bias[i])


@jit(error_model="numpy")
def total(line):
    found = 0.0
    for first in range(0, len(line), CHUNK):
        found += add(line[first : first + CHUNK])
    return found


@jit(error_model="numpy")
def total_around(line, near):
    """-> the sum of line - near, and of its squares."""
    found, squares = 0.0, 0.0
    for first in range(0, len(line), CHUNK):
        part, of_squares = add_around(line[first : first + CHUNK], near)
        found += part
        squares += of_squares
    return found, squares


# "reassoc": the compiler may make several sums of one; which, depends on the row's length and nothing else.
@jit(fastmath={"reassoc"})
def add(line):
    found = np.float32(0)
    for i in range(len(line)):
        found += line[i]
    return found


@jit(fastmath={"reassoc"})
def add_around(line, near):
    found, squares = np.float32(0), np.float32(0)
    for i in range(len(line)):
        away = line[i] - near
        found += away
        squares += away * away
    return found, squares
