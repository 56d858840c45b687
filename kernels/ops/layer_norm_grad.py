"""The gradients of layer norm. The formula is `reference.layer_norm_grad`."""

from __future__ import annotations

import math

import numpy as np

from ..compiler.jit import jit
from ..gemm.packing import sum_of_rows
from ..registry import variant
from ..runtime.buffer_pool import empty
from ..runtime.threads import run
from ..simd.emit import fetch_add, fma
from .layer_norm import SUM_VALUES, mean, scale_and_shift, shifted_moments

BLOCK_ROWS = 16  # of a task, which sums their weights' gradients in float32


@variant("layer_norm_grad", tolerance=2e-6, tolerance_reason="float32 rounding of the result; the sums are float64")
@jit()
def layer_norm_grad_naive(grad, x, weight, eps):
    """One row at a time: its mean and variance again, two sums of its gradient, its result."""
    width = x.shape[1]
    x_grad, weight_sum, bias_sum = np.empty_like(x), np.zeros(width), np.zeros(width)
    for row in range(len(x)):
        mean = 0.0
        for i in range(width):
            mean += x[row, i]
        mean /= width
        variance = 0.0
        for i in range(width):
            variance += (x[row, i] - mean) ** 2
        scale = 1 / math.sqrt(variance / width + eps)
        total, total_z = 0.0, 0.0
        for i in range(width):
            z = (x[row, i] - mean) * scale
            total += grad[row, i] * weight[i]
            total_z += grad[row, i] * weight[i] * z
            weight_sum[i] += grad[row, i] * z
            bias_sum[i] += grad[row, i]
        for i in range(width):
            z = (x[row, i] - mean) * scale
            x_grad[row, i] = (grad[row, i] * weight[i] - total / width - z * total_z / width) * scale
    return x_grad, weight_sum.astype(x.dtype), bias_sum.astype(x.dtype)


@variant(
    "layer_norm_grad", tolerance=4e-6, tolerance_reason="float32 rounding of z, and of sums that are subtracted from each other"
)
def layer_norm_grad_vector(grad, x, weight, eps):
    """Loops over vectors, blocks of rows on threads. A block sums its rows' part of the weight's and the bias's gradient; the
    blocks' sums are then added in float64, in their order: the same bits on any number of threads."""
    grad, x = np.ascontiguousarray(grad), np.ascontiguousarray(x)
    blocks, width = -(-len(x) // BLOCK_ROWS), x.shape[1]
    x_grad, sums = empty(*x.shape), empty(blocks, 2 * width)
    run(layer_norm_grad_tasks, blocks, grad, x, weight, float(eps), x_grad, sums)
    totals = sum_of_rows(sums)
    return x_grad, totals[:width], totals[width:]


@jit(nogil=True, error_model="numpy")
def layer_norm_grad_tasks(counter, grad, x, weight, eps, x_grad, sums):
    """Do one task after another until none is left: BLOCK_ROWS rows of x (N, D), and their row of sums (·, 2 D)."""
    width, task = x.shape[1], fetch_add(counter)
    while task < len(sums):
        weight_sum, bias_sum = sums[task][:width], sums[task][width:]
        for i in range(width):
            weight_sum[i] = 0
            bias_sum[i] = 0
        for row in range(task * BLOCK_ROWS, min(task * BLOCK_ROWS + BLOCK_ROWS, len(x))):
            row_grad(grad[row], x[row], weight, eps, x_grad[row], weight_sum, bias_sum)
        task = fetch_add(counter)


@jit(error_model="numpy")
def row_grad(grad, x, weight, eps, x_grad, weight_sum, bias_sum):
    """One row: z is kept in x_grad, where its gradient replaces it."""
    pivot, width = mean(x), len(x)
    mean_offset, mean_square = shifted_moments(x, pivot)
    scale, shift = scale_and_shift(mean_offset, mean_square, eps)
    for i in range(width):
        x_grad[i] = fma(x[i] - pivot, scale, shift)
    total, total_z = 0.0, 0.0
    for first in range(0, width, SUM_VALUES):
        part = slice(first, first + SUM_VALUES)
        part_total, part_total_z = sum_products(grad[part], weight[part], x_grad[part])
        total += part_total
        total_z += part_total_z
    mean_grad, mean_z = np.float32(total / width), np.float32(total_z / width)
    for i in range(width):
        z = x_grad[i]
        weight_sum[i] = fma(grad[i], z, weight_sum[i])
        bias_sum[i] += grad[i]
        x_grad[i] = fma(-z, mean_z, fma(grad[i], weight[i], -mean_grad)) * scale


# "reassoc": the compiler may split a sum into several; how, depends on the row's length and nothing else.
@jit(forceinline=True, fastmath={"reassoc", "contract"})
def sum_products(grad, weight, z):
    """-> the sums of grad weight and of grad weight z."""
    total, total_z = np.float32(0), np.float32(0)
    for i in range(len(grad)):
        g = grad[i] * weight[i]
        total += g
        total_z += g * z[i]
    return total, total_z
