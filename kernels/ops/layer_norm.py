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
    """One row at a time: its mean, its variance, its result, with no array in between."""
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


NORM_TASK_VALUES = 12_288  # 16 rows of 768: some 3 µs, about what handing a task to another thread costs
# If y exceeds the last-level cache: fewer task starts, where nothing is prefetched.
NORM_STREAM_TASK_VALUES = 16 * NORM_TASK_VALUES
SUM_VALUES = 1024  # values in one float32 sum; these sums are added in float64


@variant(
    "layer_norm",
    tolerance=1e-6,
    tolerance_reason="float32 rounding of the result, and of sums around a pivot near the mean",
    capturable=True,
)
def layer_norm_vector(x, weight, bias, eps):
    """Two rows at a time, with sums that the compiler may split into vectors; blocks of rows on threads."""
    x = np.ascontiguousarray(x)
    y = empty(*x.shape)
    nontemporal = exceeds_llc(y)
    task_values = NORM_STREAM_TASK_VALUES if nontemporal else NORM_TASK_VALUES
    scratch = (2, max(x.shape[1], MIN_POOLED_FLOATS) if nontemporal else 0)
    run(layer_norm_tasks, -(-x.size // task_values), x, (weight, bias, eps), y, task_values, nontemporal, scratch=(scratch,))
    return y


@jit(nogil=True, error_model="numpy")
def layer_norm_tasks(counter, scratch, x, norm, y, task_values, nontemporal):
    """Do one task after another until none is left: some rows of x (N, D)."""
    thread, width = fetch_add(counter[THREAD:]), x.shape[1]
    rows_per_task = max(task_values // width, 1)
    task = fetch_add(counter)
    while task * rows_per_task < len(x):
        end = min(task * rows_per_task + rows_per_task, len(x))
        for row in range(task * rows_per_task, end, 2):
            row2 = min(row + 1, end - 1)
            normalize_into(x[row], x[row2], norm, y, row, row2, scratch[0][thread], nontemporal)
        task = fetch_add(counter)


# Inlined, like all below: passing arrays from one function to the next, seven words each, took a fifth of the time.
@jit(forceinline=True, error_model="numpy")
def normalize_into(x, x2, norm, y, row, row2, scratch, nontemporal):
    """y[row] and y[row2] from the rows x and x2. If `nontemporal`, by way of scratch (2, ·) and past the caches."""
    width = len(x)
    out, out2 = (scratch[0][:width], scratch[1][:width]) if nontemporal else (y[row], y[row2])
    normalize_two_rows(x, x2, norm, out, out2)
    if nontemporal:
        store_nontemporal(y[row], out, 1)
        store_nontemporal(y[row2], out2, 1)


@jit(forceinline=True, error_model="numpy")
def normalize_two_rows(x, x2, norm, y, y2):
    """In float32. While one row waits for its sums, its division or its root, the other's arithmetic goes on. (A last row
    without a second is its own second.)"""
    weight, bias, eps = norm
    pivot, pivot2 = mean(x), mean(x2)
    (mean_offset, mean_square), (mean_offset2, mean_square2) = shifted_moments(x, pivot), shifted_moments(x2, pivot2)
    scale, shift = scale_and_shift(mean_offset, mean_square, eps)
    scale2, shift2 = scale_and_shift(mean_offset2, mean_square2, eps)
    for i in range(len(x)):
        y[i] = fma(fma(x[i] - pivot, scale, shift), weight[i], bias[i])
    for i in range(len(x)):
        y2[i] = fma(fma(x2[i] - pivot2, scale2, shift2), weight[i], bias[i])


@jit(forceinline=True, error_model="numpy")
def scale_and_shift(mean_offset, mean_square, eps):
    """The (scale, shift) with which (x - pivot) scale + shift has mean 0 and variance 1; the means are of x - pivot and of its
    square."""
    scale = 1 / math.sqrt(max(mean_square - mean_offset * mean_offset, 0.0) + eps)
    return np.float32(scale), np.float32(-mean_offset * scale)


@jit(forceinline=True, error_model="numpy")
def shifted_moments(row, pivot):
    """-> the mean of row - pivot, and of its square. With a pivot near the mean the variance is not lost to rounding
    (the shifted-data algorithm)."""
    total, total_square = 0.0, 0.0
    for first in range(0, len(row), SUM_VALUES):
        part, part_square = sum_shifted(row[first : first + SUM_VALUES], pivot)
        total += part
        total_square += part_square
    return total / len(row), total_square / len(row)


# "reassoc": the compiler may split a sum into several; how, depends on the row's length and nothing else. "contract": a
# product and a sum may become one multiply-add.
@jit(forceinline=True, fastmath={"reassoc"})
def sum_of(row):
    total = np.float32(0)
    for i in range(len(row)):
        total += row[i]
    return total


@jit(forceinline=True, fastmath={"reassoc", "contract"})
def sum_shifted(row, pivot):
    """-> the sums of row - pivot and of its square."""
    total, total_square = np.float32(0), np.float32(0)
    for i in range(len(row)):
        offset = row[i] - pivot
        total += offset
        total_square += offset * offset
    return total, total_square


@jit(forceinline=True, error_model="numpy")
def mean(row):
    """The mean, in float32: near enough for a pivot."""
    return sum_of(row) * np.float32(1 / len(row))
