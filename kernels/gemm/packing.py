"""Panels and transposes on threads: packing of operands that are new in every step of training.

A model's weights are packed once, when it is loaded (`ops/linear_f32.py`). In training each product has other operands, and
a gradient needs the transposed ones too: three products of a layer, six matrices to read. So it is done here by kernels,
into memory that is reused: some hundredths of the product's time.

    pack_rows_of      weight (N, K)     panels of N outputs, for x weightᵀ: blocks are transposed in registers
    pack_columns_of   matrix (K, N)     panels of N outputs, for x matrix: rows are copied

A panel (K, NR) is NR outputs side by side, as in `microkernel.py`; the last one is padded with 0, and K up
to a multiple of `multiple`.
"""

from __future__ import annotations

import numpy as np

from ..compiler.jit import jit
from ..runtime.buffer_pool import empty
from ..runtime.threads import run
from ..simd.emit import fetch_add
from ..simd.shapes import NR, WIDTH
from ..simd.shuffle import transpose_block
from .gemm import Weights

STRIPE = 64  # columns of a task: 256 bytes of each row


def pack_rows_of(*weights: np.ndarray, multiple: int = 1) -> np.ndarray:
    """Weights (N, K) of one shape -> their panels (P, K, NR), one weight's after another's."""
    outputs, inputs = weights[0].shape
    per_weight = -(-outputs // NR)
    panels = empty(len(weights) * per_weight, inputs + -inputs % multiple, NR)
    for part, weight in enumerate(weights):
        run(
            transpose_into_panels, per_weight, np.ascontiguousarray(weight), panels[part * per_weight : (part + 1) * per_weight]
        )
    return panels


def pack_columns_of(matrix: np.ndarray, multiple: int = 1) -> np.ndarray:
    """matrix (K, N) -> panels (P, K, NR) of its columns."""
    inputs, outputs = matrix.shape
    panels = empty(-(-outputs // NR), inputs + -inputs % multiple, NR)
    run(copy_into_panels, len(panels), np.ascontiguousarray(matrix), panels)
    return panels


def as_weights(panels: np.ndarray, biases: tuple[np.ndarray, ...], outputs: int) -> Weights:
    """Panels of one or more matrices with that many outputs, and the bias of each ((0,) for none) -> what `gemm` takes."""
    bias = np.zeros((len(biases), 1, len(panels) // len(biases) * NR), np.float32)
    for part, values in enumerate(biases):
        bias[part, 0, : len(values)] = values
    return Weights(panels.view(np.uint8), bias, outputs)


def transposed(matrix: np.ndarray) -> np.ndarray:
    """matrix (M, N) -> its transpose (N, M), contiguous."""
    matrix = np.ascontiguousarray(matrix)
    target = empty(*matrix.shape[::-1])
    run(transpose_stripes, -(-matrix.shape[1] // STRIPE), matrix, target)
    return target


def sum_of_rows(matrix: np.ndarray) -> np.ndarray:
    """matrix (M, N) -> (N,), each column summed in float64, from the first row to the last."""
    matrix = np.ascontiguousarray(matrix)
    total, sums = np.empty(matrix.shape[1], np.float32), np.zeros(matrix.shape[1])
    run(sum_stripes, -(-matrix.shape[1] // STRIPE), matrix, sums, total)
    return total


@jit(nogil=True, error_model="numpy")
def transpose_into_panels(counter, weight, panels):
    """A task is a panel."""
    width = panels.shape[2]
    task = fetch_add(counter)
    while task < len(panels):
        rows = weight[task * width : task * width + width]
        transpose(rows, panels[task])
        if len(rows) < width:
            for k in range(weight.shape[1]):
                for n in range(len(rows), width):
                    panels[task, k, n] = 0
        clear_rows(panels[task], weight.shape[1])
        task = fetch_add(counter)


@jit(nogil=True, error_model="numpy")
def copy_into_panels(counter, matrix, panels):
    """A task is a panel."""
    width = panels.shape[2]
    task = fetch_add(counter)
    while task < len(panels):
        left = task * width
        count = min(width, matrix.shape[1] - left)
        for k in range(len(matrix)):
            source, target = matrix[k][left : left + count], panels[task, k]
            for n in range(count):
                target[n] = source[n]
            for n in range(count, width):
                target[n] = 0
        clear_rows(panels[task], len(matrix))
        task = fetch_add(counter)


@jit(inline="always", error_model="numpy")
def clear_rows(panel, first):
    """Set the panel's rows from `first` on to 0."""
    for k in range(first, len(panel)):
        for n in range(panel.shape[1]):
            panel[k, n] = 0


@jit(nogil=True, error_model="numpy")
def transpose_stripes(counter, matrix, target):
    """A task is STRIPE columns of the matrix: rows of the target, which no other task writes."""
    left = fetch_add(counter) * STRIPE
    while left < matrix.shape[1]:
        transpose(matrix[:, left : left + STRIPE], target[left : left + STRIPE])
        left = fetch_add(counter) * STRIPE


@jit(nogil=True, error_model="numpy")
def sum_stripes(counter, matrix, sums, total):
    """A task is STRIPE columns; their sums (N,) begin as 0."""
    left = fetch_add(counter) * STRIPE
    while left < matrix.shape[1]:
        stripe, result = sums[left : left + STRIPE], total[left : left + STRIPE]
        for row in range(len(matrix)):
            values = matrix[row][left : left + STRIPE]
            for i in range(len(stripe)):
                stripe[i] += values[i]
        for i in range(len(stripe)):
            result[i] = stripe[i]
        left = fetch_add(counter) * STRIPE


@jit(error_model="numpy")
def transpose(source, target):
    """target = sourceᵀ, by blocks in registers."""
    rows, columns = source.shape
    for row in range(0, rows, WIDTH):
        for column in range(0, columns, WIDTH):
            if row + WIDTH <= rows and column + WIDTH <= columns:
                transpose_block(source[row:, column:], target[column:, row:])
            else:
                for i in range(row, min(row + WIDTH, rows)):
                    for j in range(column, min(column + WIDTH, columns)):
                        target[j, i] = source[i, j]
