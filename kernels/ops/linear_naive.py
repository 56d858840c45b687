"""x weightᵀ + bias: nine tenths of a forward pass. The formula is `reference.linear`.

The ladder in plain Numba, one idea a rung; GFLOP/s of one thread for 128 × 768 → 3,072 (AMD EPYC, Zen 4, 2026-11-28, by the
thread's own time):

    naive       2.5    three loops
    tiled       8.2    2 × 2 sums at a time
    tiled_4x4   9.8    4 × 4 sums at a time
    packed     32      weights transposed, so that the compiler vectorizes over the outputs
    blocked    71      4 × 4 vectors of sums in registers: no sum is stored before it is complete
    threads    76      the same for each thread: blocks of y are tasks, shared by all threads
    register  109      `linear_f32.py`: panels, a register tile in LLVM IR, prefetching; also on threads

`python -m benchmarks.ops linear` measures them. Next: `linear_f32.py`, and `linear_int8.py` for 8 bits.
"""

from __future__ import annotations

import numpy as np

from ..compiler.jit import jit
from ..registry import variant
from ..runtime.buffer_pool import empty
from ..runtime.threads import run
from ..simd.emit import fetch_add

ROWS, OUTPUTS = 16, 256  # of a block: its rows of x stay in the caches while they are multiplied with each weight
BLOCKED_TOLERANCE = {"tolerance": 5e-6, "tolerance_reason": "a float32 sum in each lane of a vector, then the lanes' sum"}


@variant("linear", tolerance=5e-6, tolerance_reason="one running float32 sum of up to 3,072 products, no pairwise help")
@jit()
def linear_naive(x, weight, bias):
    """The formula as three loops, with no help for the compiler."""
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
    """2 × 2 outputs at a time. The four sums do not wait for each other, and need four loads, not eight: 3.3 times as fast."""
    rows, inputs = x.shape
    outputs = len(weight)
    y = np.empty((rows, outputs), x.dtype)
    for m in range(0, rows, 2):
        next_m = min(m + 1, rows - 1)  # after an odd last row, that row is computed twice
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


@variant("linear", tolerance=5e-6, tolerance_reason="one running float32 sum, as the naive one")
@jit()
def linear_tiled_4x4(x, weight, bias):
    """4 × 4 outputs at a time: 8 loads for 16 multiply-adds, where 2 × 2 needs 16. 1.2 times as fast."""
    y = np.empty((len(x), len(weight)), x.dtype)
    for m in range(0, len(x), 4):
        for n in range(0, len(weight), 4):
            fill_tile(x, weight, bias, y, m, n)
    return y


@jit(inline="always")
def fill_tile(x, weight, bias, y, m, n):
    """Fill 4 × 4 of y, or what is left of it."""
    sums = dot_4x4(four_rows(x, m), four_rows(weight, n))
    for i in range(min(4, len(x) - m)):
        for j in range(min(4, len(weight) - n)):
            y[m + i, n + j] = sums[i][j] + bias[n + j]


@jit(inline="always")
def four_rows(array, first):
    """Rows `first` to `first` + 3; past the end, the last one again."""
    last = len(array) - 1
    return array[first], array[min(first + 1, last)], array[min(first + 2, last)], array[min(first + 3, last)]


@jit(inline="always")
def dot_4x4(x, weight):
    """Four rows (K,) of x and of the weight -> their 4 × 4 dot products."""
    x0, x1, x2, x3 = x
    w0, w1, w2, w3 = weight
    s00 = s01 = s02 = s03 = s10 = s11 = s12 = s13 = s20 = s21 = s22 = s23 = s30 = s31 = s32 = s33 = np.float32(0)
    for k in range(len(x0)):
        a0, a1, a2, a3, b0, b1, b2, b3 = x0[k], x1[k], x2[k], x3[k], w0[k], w1[k], w2[k], w3[k]
        s00, s01, s02, s03 = s00 + a0 * b0, s01 + a0 * b1, s02 + a0 * b2, s03 + a0 * b3
        s10, s11, s12, s13 = s10 + a1 * b0, s11 + a1 * b1, s12 + a1 * b2, s13 + a1 * b3
        s20, s21, s22, s23 = s20 + a2 * b0, s21 + a2 * b1, s22 + a2 * b2, s23 + a2 * b3
        s30, s31, s32, s33 = s30 + a3 * b0, s31 + a3 * b1, s32 + a3 * b2, s33 + a3 * b3
    return (s00, s01, s02, s03), (s10, s11, s12, s13), (s20, s21, s22, s23), (s30, s31, s32, s33)


def transpose_weight(weight, bias):
    """weight (N, K) -> (K, N), so that neighboring outputs are neighbors in memory."""
    return np.ascontiguousarray(weight.T), bias


@variant("linear", tolerance=5e-6, tolerance_reason="one running float32 sum, as the naive one", pack_weights=transpose_weight)
@jit()
def linear_packed(x, transposed, bias):
    """The weights are transposed once, at load. The innermost loop runs over outputs, and the compiler vectorizes it: 3.3
    times as fast. But each product loads a sum and stores it."""
    rows, inputs = x.shape
    y = np.empty((rows, len(bias)), x.dtype)
    for m in range(rows):
        for n in range(len(bias)):
            y[m, n] = bias[n]
        for k in range(inputs):
            for n in range(len(bias)):
                y[m, n] += x[m, k] * transposed[k, n]
    return y


@variant("linear", **BLOCKED_TOLERANCE)
@jit()
def linear_blocked(x, weight, bias):
    """The 4 × 4 sums again, in vectors over k: nothing is stored before it is complete. The sums fill half of 32 registers.
    2.2 times as fast, two thirds of what a thread can do on registers only."""
    y = np.empty((len(x), len(weight)), x.dtype)
    for top in range(0, len(x), ROWS):
        for left in range(0, len(weight), OUTPUTS):
            fill_block(x, weight, bias, y, top, left)
    return y


# "reassoc" lets the compiler keep a sum in each lane of a vector, "contract" lets it fuse multiply and add.
@jit(fastmath={"reassoc", "contract"})
def fill_block(x, weight, bias, y, top, left):
    """Fill ROWS × OUTPUTS of y, or what is left of it."""
    for n in range(left, min(left + OUTPUTS, len(weight)), 4):
        for m in range(top, min(top + ROWS, len(x)), 4):
            fill_tile(x, weight, bias, y, m, n)


@variant("linear", **BLOCKED_TOLERANCE, capturable=True)
def linear_threads(x, weight, bias):
    """The blocks of y are tasks, which threads share. They split rows and outputs, so one short text is several tasks too. Each
    of two threads was as fast as `blocked` is by itself."""
    y = empty(len(x), len(weight))
    tasks = -(-len(x) // ROWS) * -(-len(weight) // OUTPUTS)
    run(block_tasks, tasks, np.ascontiguousarray(x), weight, bias, y)
    return y


@jit(nogil=True, error_model="numpy")
def block_tasks(counter, x, weight, bias, y):
    """Fill one block after another until none is left."""
    blocks = -(-len(weight) // OUTPUTS)  # of a row
    task, tasks = fetch_add(counter), -(-len(x) // ROWS) * blocks
    while task < tasks:
        fill_block(x, weight, bias, y, task // blocks * ROWS, task % blocks * OUTPUTS)
        task = fetch_add(counter)
