"""x weightᵀ + bias in int8: weights of 8 bits, and each row of x quantized to 8 bits when it is packed.

The formulas are in `quantization.py`, the layout of the weights in `../gemm/int8_layout.py`, the instructions in
`../gemm/int8_isa.py`.

The ladder, one idea a rung; GOP/s of one thread for 128 × 768 → 3,072 (AMD EPYC, Zen 4, 2026-11-29, of
`benchmarks.ops`; `int8_threads` and `int8_tile`: two threads):

    int8_naive       2.4    three loops
    int8_tiled       9.0    2 × 2 sums at a time, of 32 bits
    int8_tiled_2x4  12      2 × 4 sums at a time
    int8_dot        42      one sum at a time again, of neighbors in memory, so that the compiler vectorizes over k
    int8_threads    78      the same on threads: blocks of y are tasks, shared by all threads
    int8_tile      824      vpdpbusd, the instruction that the compiler does not find by itself, in a register tile: the one leap

`python -m benchmarks.ops linear` measures them. Up to `int8_threads`, x is quantized in NumPy. The top rung has two steps:

    pack_rows_int8    rotates each row of x and rounds it to 0..255, between its own least and largest value
    gemm_tasks        the loops of `../gemm/gemm.py`: exact sums; in the epilogue the scales, the bias, an activation, a
                      residual

A row's values depend on nothing but the row, so a text's answer does not depend on its neighbors.

The least cosine between all-MiniLM-L6-v2's float and int8 vectors of SST-2's dev sentences is 0.9988, the mean 0.99967.
Attention is in bf16 where the machine multiplies that (`attention_bf16.py`); norms, embeddings and heads stay float32.
What was tried, and what each idea costs or gains, is in `kernels/README.md`, "Experiments with int8".
"""

from __future__ import annotations

from functools import partial

import numpy as np

from ..compiler.jit import jit
from ..gemm.gemm import GemmSpec, Weights, gemm, gemm_tasks
from ..gemm.int8_isa import INT8_ISA
from ..gemm.int8_layout import INT8_NR, K_EXACT, K_PACK, pack_panels
from ..gemm.microkernel import microkernel_int8
from ..gemm.quantize_rows import rotate_and_quantize
from ..gemm.shapes import K_ACCUMULATE
from ..registry import variant
from ..runtime.buffer_pool import aligned, empty
from ..runtime.threads import run
from ..simd.emit import fetch_add
from ..simd.scalar_math import NO_ACTIVATION
from ..simd.shuffle import interleave_rows
from .epilogues import register_fused
from .linear_naive import OUTPUTS, ROWS, four_rows
from .quantization import F, quantize_rows, quantize_weight, quantized_matmul, sum_weights

X_DTYPE = np.dtype(INT8_ISA.x_dtype)  # of a quantized row of x
X_STEP_INT8 = np.dtype(f"u{INT8_ISA.x_step_bytes}")  # one row of packed x in a step
INT8_TOLERANCE = {
    "tolerance": 0.02,
    "tolerance_reason": "both sides are rounded to 8 bits: a value is off by up to 1/510 of its row's range",
}


def quantize_parameters(weight, bias):
    """weight (N, K), bias (N,) -> int8 (N, K), its scales (N,), bias."""
    return *quantize_weight(weight), bias


def with_weight_sums(weight, bias):
    """weight (N, K), bias (N,) -> int8 (N, K), its scales (N,), its sums (N,), bias."""
    values, scales = quantize_weight(weight)
    return values, scales, sum_weights(values), bias


@variant("linear", pack_weights=quantize_parameters, **INT8_TOLERANCE)
def linear_int8_reference(x, weight, scales, bias):
    """The formula in NumPy."""
    return quantized_matmul(*quantize_rows(x), weight, scales, bias)


@variant("linear", pack_weights=with_weight_sums, **INT8_TOLERANCE)
def linear_int8_naive(x, *packed):
    """The formula as loops over integers."""
    return int8_loops(quantize_rows(x), packed)


@jit()
def int8_loops(quantized_x, packed):
    values, weight = quantized_x[0], packed[0]
    y = np.empty((len(values), len(weight)), F)
    for m in range(len(values)):
        for n in range(len(weight)):
            total = F(0)
            for first in range(0, values.shape[1], K_EXACT):
                dot = np.int32(0)
                for k in range(first, min(first + K_EXACT, values.shape[1])):
                    dot += np.int32(values[m, k]) * np.int32(weight[n, k])
                total += F(dot)
            y[m, n] = dequantize(total, quantized_x, packed, m, n)
    return y


@jit(inline="always")
def dequantize(total, quantized_x, packed, m, n):
    """(total - zero_point · weight_sum) · scale_w · scale_x + bias."""
    (_, x_scale, zero_point), (_, scales, weight_sums, bias) = quantized_x, packed
    return (total - zero_point[m] * weight_sums[n]) * scales[n] * x_scale[m] + bias[n]


@variant("linear", pack_weights=with_weight_sums, **INT8_TOLERANCE)
def linear_int8_tiled(x, *packed):
    """2 × 2 sums at a time, as in `linear_tiled`, in 32 bits (`+=` makes the naive sums 64 bits wide): 3.7 times as fast."""
    return int8_tiles(quantize_rows(x), packed)


@jit()
def int8_tiles(quantized_x, packed):
    values, weight = quantized_x[0], packed[0]
    rows, inputs = values.shape
    y = np.empty((rows, len(weight)), F)
    for m in range(0, rows, 2):
        next_m = min(m + 1, rows - 1)
        for n in range(0, len(weight), 2):
            next_n = min(n + 1, len(weight) - 1)
            total00 = total01 = total10 = total11 = F(0)
            for first in range(0, inputs, K_EXACT):
                dot00 = dot01 = dot10 = dot11 = np.int32(0)
                for k in range(first, min(first + K_EXACT, inputs)):
                    dot00 = multiply_add(values[m, k], weight[n, k], dot00)
                    dot01 = multiply_add(values[m, k], weight[next_n, k], dot01)
                    dot10 = multiply_add(values[next_m, k], weight[n, k], dot10)
                    dot11 = multiply_add(values[next_m, k], weight[next_n, k], dot11)
                total00, total01, total10, total11 = (
                    total00 + F(dot00),
                    total01 + F(dot01),
                    total10 + F(dot10),
                    total11 + F(dot11),
                )
            y[m, n] = dequantize(total00, quantized_x, packed, m, n)
            y[m, next_n] = dequantize(total01, quantized_x, packed, m, next_n)
            y[next_m, n] = dequantize(total10, quantized_x, packed, next_m, n)
            y[next_m, next_n] = dequantize(total11, quantized_x, packed, next_m, next_n)
    return y


@variant("linear", pack_weights=with_weight_sums, **INT8_TOLERANCE)
def linear_int8_tiled_2x4(x, *packed):
    """2 × 4 sums at a time: 6 loads for 8 multiply-adds, where 2 × 2 needs 8. 1.3 times as fast."""
    return int8_tiles_2x4(quantize_rows(x), packed)


@jit()
def int8_tiles_2x4(quantized_x, packed):
    values, weight = quantized_x[0], packed[0]
    rows, inputs = values.shape
    y = np.empty((rows, len(weight)), F)
    for m in range(0, rows, 2):
        x_rows = values[m], values[min(m + 1, rows - 1)]
        for n in range(0, len(weight), 4):
            weight_rows = four_rows(weight, n)
            totals = np.zeros((2, 4), F)
            for first in range(0, inputs, K_EXACT):
                dots = int8_dots_2x4(x_rows, weight_rows, first, min(first + K_EXACT, inputs))
                for i in range(2):
                    for j in range(4):
                        totals[i, j] += F(dots[i][j])
            for i in range(min(2, rows - m)):
                for j in range(min(4, len(weight) - n)):
                    y[m + i, n + j] = dequantize(totals[i, j], quantized_x, packed, m + i, n + j)
    return y


@jit(inline="always")
def int8_dots_2x4(x_rows, weight_rows, first, end):
    """Two rows (K,) of x and four of the weight -> the 2 × 4 dot products of their values from `first` to `end` - 1."""
    x0, x1 = x_rows
    w0, w1, w2, w3 = weight_rows
    s00 = s01 = s02 = s03 = s10 = s11 = s12 = s13 = np.int32(0)
    for k in range(first, end):
        a0, a1, b0, b1, b2, b3 = x0[k], x1[k], w0[k], w1[k], w2[k], w3[k]
        s00, s01 = multiply_add(a0, b0, s00), multiply_add(a0, b1, s01)
        s02, s03 = multiply_add(a0, b2, s02), multiply_add(a0, b3, s03)
        s10, s11 = multiply_add(a1, b0, s10), multiply_add(a1, b1, s11)
        s12, s13 = multiply_add(a1, b2, s12), multiply_add(a1, b3, s13)
    return (s00, s01, s02, s03), (s10, s11, s12, s13)


@jit(inline="always")
def multiply_add(a, b, total):
    """total + a b in 32 bits."""
    return np.int32(total + np.int32(np.int32(a) * np.int32(b)))


@variant("linear", pack_weights=with_weight_sums, **INT8_TOLERANCE)
def linear_int8_dot(x, *packed):
    """One sum at a time again, of two contiguous rows: the compiler vectorizes the innermost loop. 3.6 times as fast."""
    y = np.empty((len(x), len(packed[0])), F)
    fill_int8_block(quantize_rows(x), packed, y, 0, 0, y.shape)
    return y


@jit(error_model="numpy")
def fill_int8_block(quantized_x, packed, y, top, left, shape):
    """Fill the block of y that begins at row `top` and output `left`, or what is left of it."""
    values, weight = quantized_x[0], packed[0]
    for m in range(top, min(top + shape[0], len(y))):
        for n in range(left, min(left + shape[1], y.shape[1])):
            total = F(0)
            for first in range(0, values.shape[1], K_EXACT):
                a, b, dot = values[m][first : first + K_EXACT], weight[n][first : first + K_EXACT], np.int32(0)
                for k in range(len(a)):
                    dot = multiply_add(a[k], b[k], dot)
                total += F(dot)
            y[m, n] = dequantize(total, quantized_x, packed, m, n)


@variant("linear", pack_weights=with_weight_sums, **INT8_TOLERANCE)
def linear_int8_threads(x, *packed):
    """Blocks of ROWS × OUTPUTS are tasks, which threads share. On two threads 1.9 times as fast."""
    y = empty(len(x), len(packed[0]))
    tasks = -(-len(x) // ROWS) * -(-y.shape[1] // OUTPUTS)
    run(int8_block_tasks, tasks, quantize_rows(x), packed, y)
    return y


@jit(nogil=True, error_model="numpy")
def int8_block_tasks(counter, quantized_x, packed, y):
    """Fill one block after another until none is left."""
    blocks = -(-y.shape[1] // OUTPUTS)  # of a row
    task, tasks = fetch_add(counter), -(-len(y) // ROWS) * blocks
    while task < tasks:
        fill_int8_block(quantized_x, packed, y, task // blocks * ROWS, task % blocks * OUTPUTS, (ROWS, OUTPUTS))
        task = fetch_add(counter)


def pack_int8(*arrays):
    """weight (N, K), bias (N,), once or three times -> Weights whose panels are (P, K / K_PACK, 4 INT8_NR) int8.

    The epilogue vectors are each output's bias, its scale, and the sum of its weights.
    """
    parts = [pack_int8_weight(weight, bias) for weight, bias in zip(arrays[0::2], arrays[1::2])]
    panels, epilogue_vectors = zip(*parts)
    return Weights(aligned(np.concatenate(panels)), np.stack(epilogue_vectors), len(arrays[0]))


def pack_int8_weight(weight, bias):
    values, scales = quantize_weight(weight)
    epilogue_vectors = np.stack([bias.astype(F), scales, sum_weights(values)])
    return pack_panels(values), np.pad(epilogue_vectors, ((0, 0), (0, -len(values) % INT8_NR)))


@jit(error_model="numpy")
def pack_rows_int8(x, next_row, scratch, packed_x, row_scales):
    """A tile's rows of x (R, K) -> packed_x: for each step K_PACK values of each row, rotated, from 0 to 255; and each row's
    scale and zero point: rotated x ≈ scale (value - zero_point)."""
    rotated, values = scratch
    for i in range(len(x)):
        next_of_x = x[i + 1] if i + 1 < len(x) else next_row
        rotate_and_quantize(x[i], next_of_x, rotated[0], values[i].view(X_DTYPE), row_scales[i])
    interleave_rows(values[: len(x)].view(X_STEP_INT8), packed_x.view(X_STEP_INT8))


def scratch_int8(steps):
    return (1, K_PACK * steps), (INT8_ISA.mr, steps * X_STEP_INT8.itemsize // 4)


INT8 = GemmSpec(
    INT8_ISA.mr,
    X_STEP_INT8.itemsize,
    gemm_tasks.specialize("gemm_tasks_int8", pack_rows=pack_rows_int8, microkernel=microkernel_int8),
    K_ACCUMULATE // K_PACK,
    scratch_int8,
)
gemm_int8 = partial(gemm, INT8)  # (activation, x, *packed, residual=None, parts=ALL) -> (parts, M, N)


@variant("linear", pack_weights=pack_int8, **INT8_TOLERANCE, capturable=True)
def linear_int8_tile(x, *packed):
    """vpdpbusd in a register tile, for panels in its order; x is rotated and quantized in LLVM IR when it is packed.

    On two threads of a Zen 4, 128 to 4,096 rows of 768 → 3,072: as many GOP/s as vpdpbusd does on registers only. (With totals
    kept in y, and scales and bias in a pass of their own, it was a third.)"""
    return gemm_int8(NO_ACTIVATION, x, *packed)[0]


register_fused("int8", gemm_int8, pack_int8, **INT8_TOLERANCE)
