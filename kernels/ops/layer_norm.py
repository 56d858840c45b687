"""Each row to mean 0 and variance 1, then scaled and shifted. The formula is `reference.layer_norm`."""

from __future__ import annotations

import math

import numpy as np

from ..compiler.jit import jit
from ..registry import variant
from ..runtime.buffer_pool import MIN_POOLED_FLOATS, empty, exceeds_llc
from ..runtime.threads import THREAD, run
from ..simd.elementwise import store_nontemporal
from ..simd.emit import fetch_add, fma


@variant("layer_norm", tolerance=1e-6, tolerance_reason="float32 rounding of the result; the sums are float64")
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


TASK = 12_288  # values: 16 rows of 768, 3 µs, of which another thread saves none: to hand something over takes 1 to 3
LONG = 16 * TASK  # of a result that is larger than the caches: a task's beginning is read before its reading ahead has begun
CHUNK = 1024  # values in a float32 sum, which the compiler makes of some 64 sums of 16; chunks are added in float64


@variant("layer_norm", tolerance=1e-6, tolerance_reason="float32 rounding of the result, and of sums around a mean that is near", capturable=True)
def layer_norm_vector(x, weight, bias, eps):
    """Two rows at a time; sums whose order the compiler may choose, so that it keeps many. Blocks of rows on threads."""
    x = np.ascontiguousarray(x)
    y = empty(*x.shape)
    size, own = (LONG, max(x.shape[1], MIN_POOLED_FLOATS)) if exceeds_llc(y) else (TASK, 0)
    run(normalise_rows, -(-x.size // size), x, weight, bias, eps, y, size, scratch=((own,), (own,)))
    return y


@jit(nogil=True, error_model="numpy")
def normalise_rows(counter, scratch, x, weight, bias, eps, y, size):
    number, width = fetch_add(counter[THREAD:]), x.shape[1]
    own, own_other = scratch[0][number][:width], scratch[1][number][:width]
    each = max(size // width, 1)
    task = fetch_add(counter)
    while task * each < len(x):
        stop = min(task * each + each, len(x))
        for row in range(task * each, stop, 2):
            other = min(row + 1, stop - 1)
            to, to_other = (own, own_other) if size == LONG else (y[row], y[other])
            normalise(x[row], x[other], weight, bias, eps, to, to_other)
            if size == LONG:
                store_nontemporal(y[row], to, 1)
                store_nontemporal(y[other], to_other, 1)
        task = fetch_add(counter)


# Put where they are called: seven words an array, passed from one to the next, took a fifth of the time.
@jit(forceinline=True, error_model="numpy")
def normalise(x, other, weight, bias, eps, y, y_other):
    """Two rows, in float32: while one's sums are added up, or wait for a division or a root, the other goes on. (A last
    row without another is its own.)"""
    near, near_other = mean(x), mean(other)
    (off, square), (off_other, square_other) = means_around(x, near), means_around(other, near_other)
    (scale, shift), (scale_other, shift_other) = to_variance_1(off, square, eps), to_variance_1(off_other, square_other, eps)
    for i in range(len(x)):
        y[i] = fma(fma(x[i] - near, scale, shift), weight[i], bias[i])
    for i in range(len(x)):
        y_other[i] = fma(fma(other[i] - near_other, scale_other, shift_other), weight[i], bias[i])


@jit(forceinline=True, error_model="numpy")
def to_variance_1(off, square, eps):
    """x - near, of this mean and mean square, times the first, plus the second, has mean 0 and variance 1."""
    scale = 1 / math.sqrt(max(square - off * off, 0.0) + eps)
    return np.float32(scale), np.float32(-off * scale)


@jit(forceinline=True, error_model="numpy")
def means_around(line, near):
    """-> the mean of line - near, and of its square."""
    found, squares = 0.0, 0.0
    for first in range(0, len(line), CHUNK):
        part, of_squares = add_around(line[first : first + CHUNK], near)
        found += part
        squares += of_squares
    return found / len(line), squares / len(line)


# "reassoc": the compiler may make several sums of one; which, depends on the row's length and nothing else. "contract": a
# product and its sum may be one instruction.
@jit(forceinline=True, fastmath={"reassoc"})
def add(line):
    found = np.float32(0)
    for i in range(len(line)):
        found += line[i]
    return found


@jit(forceinline=True, fastmath={"reassoc", "contract"})
def add_around(line, near):
    found, squares = np.float32(0), np.float32(0)
    for i in range(len(line)):
        away = line[i] - near
        found += away
        squares += away * away
    return found, squares


@jit(forceinline=True, error_model="numpy")
def mean(line):
    """But for the rounding of float32."""
    return add(line) * np.float32(1 / len(line))
