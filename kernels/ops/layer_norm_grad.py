"""The gradients of layer norm. The formula is `reference.layer_norm_grad`."""

from __future__ import annotations

import math

import numpy as np

from ..compiler.jit import jit
from ..gemm.packing import sum_of_rows
from ..registry import variant
from ..runtime.buffer_pool import empty
from ..runtime.threads import run
from ..simd.emit import fetch_add

BLOCK_ROWS = 16  # of a task


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


@variant("layer_norm_grad", tolerance=2e-6, tolerance_reason="float32 rounding of the result; all else is float64")
def layer_norm_grad_vector(grad, x, weight, eps):
    """Loops over vectors, blocks of rows on threads. A block sums its rows' part of the weight's and the bias's gradient; the
    blocks' sums are then added in their order: the same bits on any number of threads.

    In float64, as in the formula: with float32 the errors of a model's gradients were 3 % larger."""
    grad, x = np.ascontiguousarray(grad), np.ascontiguousarray(x)
    blocks, width = -(-len(x) // BLOCK_ROWS), x.shape[1]
    x_grad, sums = empty(*x.shape), np.empty((blocks, 2 * width))
    run(layer_norm_grad_tasks, blocks, grad, x, np.ascontiguousarray(weight), float(eps), x_grad, sums)
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
    """One row: its gradient, and what it adds to the sums."""
    width = len(x)
    mean = sum_values(x) / width
    scale = 1 / math.sqrt(sum_squares(x, mean) / width + eps)
    total, total_z = sum_products(grad, x, weight, mean)
    mean_grad, mean_z = total / width, total_z * scale / width
    for i in range(width):
        value, z = np.float64(grad[i]), (x[i] - mean) * scale
        weight_sum[i] += value * z
        bias_sum[i] += value
        x_grad[i] = np.float32((value * weight[i] - mean_grad - z * mean_z) * scale)


# "reassoc": the compiler may split a sum into several; how, depends on the row's length and nothing else. Float64 each.
@jit(forceinline=True, fastmath={"reassoc", "contract"})
def sum_values(x):
    total = 0.0
    for i in range(len(x)):
        total += np.float64(x[i])
    return total


@jit(forceinline=True, fastmath={"reassoc", "contract"})
def sum_squares(x, mean):
    total = 0.0
    for i in range(len(x)):
        offset = x[i] - mean
        total += offset * offset
    return total


@jit(forceinline=True, fastmath={"reassoc", "contract"})
def sum_products(grad, x, weight, mean):
    """-> the sums of grad weight, and of grad weight (x - mean)."""
    total, total_z = 0.0, 0.0
    for i in range(len(grad)):
        g = np.float64(grad[i]) * weight[i]
        total += g
        total_z += g * (x[i] - mean)
    return total, total_z
