"""x weightᵀ + bias in int8: weights of 8 bits, and each row of x quantized to 8 bits when it is packed.

The formulas are in `quantization.py`, the layout of the weights in `../gemm/int8_layout.py`, the instructions in
`../gemm/int8_isa.py`.

The ladder, one idea a rung; GOP/s of one thread for 128 × 768 → 3,072 (AMD EPYC, Zen 4, 2026-11-28, by the thread's own
time):

    int8_naive       2.3    three loops, and one over groups of k
    int8_tiled       8.0    2 × 2 sums at a time, of 32 bits
    int8_tiled_2x4  10      2 × 4 sums at a time
    int8_packed     33      each group contiguous, so that the compiler vectorizes over k
    int8_threads    35      the same for each thread: blocks of y are tasks, shared by all threads
    int8_tile      410      vpdpbusd, the instruction that the compiler does not find by itself, in a register tile: the one leap

`python -m benchmarks.ops linear` measures them. Up to `int8_threads`, x is quantized in NumPy. The top rung has two steps:

    pack_rows_int8    rotates each row of x and rounds it to 0..255, between its own least and largest value
    gemm_tasks        the loops of `../gemm/gemm.py`: exact sums over a group, times the group's scale; in the epilogue
                      the row's scale, the bias, an activation, a residual

A row's values depend on nothing but the row, so a text's answer does not depend on its neighbors.

The least cosine between all-MiniLM-L6-v2's float and int8 vectors of SST-2's dev sentences is 0.9990, the mean 0.99974.
Attention is in bf16 where the machine multiplies that (`attention_bf16.py`); norms, embeddings and heads stay float32.
What was tried, and what each idea costs or gains, is in `kernels/README.md`, "Experiments with int8".
"""

from __future__ import annotations

import numpy as np

from ..compiler.cpu import HAS_AMX
from ..compiler.jit import jit
from ..gemm.amx import TILE_STEPS, microkernel_amx_int8, on_tiles, pack_line
from ..gemm.gemm import ALL, GemmSpec, Weights, gemm, gemm_tasks
from ..gemm.int8_isa import INT8_ISA
from ..gemm.int8_layout import INT8_NR, K_PACK, group_size, pack_panels
from ..gemm.microkernel import microkernel_int8
from ..gemm.quantize_rows import rotate_and_quantize
from ..registry import variant
from ..runtime.buffer_pool import empty
from ..runtime.threads import run
from ..simd.emit import fetch_add
from ..simd.scalar_math import NO_ACTIVATION
from ..simd.shuffle import interleave_rows
from .epilogues import register_fused
from .linear_naive import OUTPUTS, ROWS, four_rows
from .quantization import F, quantize_rows, quantize_weight, quantized_matmul, zero_point_correction

X_DTYPE = np.dtype(INT8_ISA.x_dtype)  # of a quantized row of x
X_STEP_INT8 = np.dtype(f"u{INT8_ISA.x_step_bytes}")  # one row of packed x in a step
INT8_TOLERANCE = {
    "tolerance": 0.02,
    "tolerance_reason": "both sides are rounded to 8 bits: a value is off by up to 1/510 of its row's range",
}


def quantize_parameters(weight, bias):
    """weight (N, K), bias (N,) -> int8 (N, K), its scales (groups, N), bias."""
    return *quantize_weight(weight), bias


@variant("linear", pack_weights=quantize_parameters, **INT8_TOLERANCE)
def linear_int8_reference(x, weight, scales, bias):
    """The formula in NumPy."""
    return quantized_matmul(*quantize_rows(x), weight, scales, bias)


@variant("linear", pack_weights=quantize_parameters, **INT8_TOLERANCE)
def linear_int8_naive(x, weight, scales, bias):
    """The formula as loops over integers."""
    weight_sums = zero_point_correction(weight, scales)
    return int8_loops(quantize_rows(x), (weight, scales, weight_sums, bias), group_size(weight.shape[1]))


@jit()
def int8_loops(quantized_x, packed, size):
    (values, _, _), (weight, scales, _, _) = quantized_x, packed
    y = np.empty((len(values), len(weight)), F)
    for m in range(len(values)):
        for n in range(len(weight)):
            total = F(0)
            for group in range(len(scales)):
                dot = np.int32(0)
                for k in range(group * size, min(group * size + size, values.shape[1])):
                    dot += np.int32(values[m, k]) * np.int32(weight[n, k])
                total += F(dot) * scales[group, n]
            y[m, n] = dequantize(total, quantized_x, packed, m, n)
    return y


@jit(inline="always")
def dequantize(total, quantized_x, packed, m, n):
    """scale_x (total - zero_point · weight_sum) + bias."""
    (_, x_scale, zero_point), (_, _, weight_sums, bias) = quantized_x, packed
    return (total - zero_point[m] * weight_sums[n]) * x_scale[m] + bias[n]


@variant("linear", pack_weights=quantize_parameters, **INT8_TOLERANCE)
def linear_int8_tiled(x, weight, scales, bias):
    """2 × 2 sums at a time, as in `linear_tiled`, in 32 bits (`+=` makes the naive sums 64 bits wide): 3.6 times as fast."""
    weight_sums = zero_point_correction(weight, scales)
    return int8_tiles(quantize_rows(x), (weight, scales, weight_sums, bias), group_size(weight.shape[1]))


@jit()
def int8_tiles(quantized_x, packed, size):
    (values, _, _), (weight, scales, _, _) = quantized_x, packed
    rows, inputs = values.shape
    y = np.empty((rows, len(weight)), F)
    for m in range(0, rows, 2):
        next_m = min(m + 1, rows - 1)
        for n in range(0, len(weight), 2):
            next_n = min(n + 1, len(weight) - 1)
            total00 = total01 = total10 = total11 = F(0)
            for group in range(len(scales)):
                dot00 = dot01 = dot10 = dot11 = np.int32(0)
                for k in range(group * size, min(group * size + size, inputs)):
                    dot00 = multiply_add(values[m, k], weight[n, k], dot00)
                    dot01 = multiply_add(values[m, k], weight[next_n, k], dot01)
                    dot10 = multiply_add(values[next_m, k], weight[n, k], dot10)
                    dot11 = multiply_add(values[next_m, k], weight[next_n, k], dot11)
                total00, total01 = total00 + F(dot00) * scales[group, n], total01 + F(dot01) * scales[group, next_n]
                total10, total11 = total10 + F(dot10) * scales[group, n], total11 + F(dot11) * scales[group, next_n]
            y[m, n] = dequantize(total00, quantized_x, packed, m, n)
            y[m, next_n] = dequantize(total01, quantized_x, packed, m, next_n)
            y[next_m, n] = dequantize(total10, quantized_x, packed, next_m, n)
            y[next_m, next_n] = dequantize(total11, quantized_x, packed, next_m, next_n)
    return y


@variant("linear", pack_weights=quantize_parameters, **INT8_TOLERANCE)
def linear_int8_tiled_2x4(x, weight, scales, bias):
    """2 × 4 sums at a time: 6 loads for 8 multiply-adds, where 2 × 2 needs 8. 1.25 times as fast."""
    weight_sums = zero_point_correction(weight, scales)
    return int8_tiles_2x4(quantize_rows(x), (weight, scales, weight_sums, bias), group_size(weight.shape[1]))


@jit()
def int8_tiles_2x4(quantized_x, packed, size):
    (values, _, _), (weight, scales, _, _) = quantized_x, packed
    rows, inputs = values.shape
    y = np.empty((rows, len(weight)), F)
    for m in range(0, rows, 2):
        x_rows = values[m], values[min(m + 1, rows - 1)]
        for n in range(0, len(weight), 4):
            weight_rows = four_rows(weight, n)
            totals = np.zeros((2, 4), F)
            for group in range(len(scales)):
                dots = int8_dots_2x4(x_rows, weight_rows, group * size, min(group * size + size, inputs))
                for i in range(2):
                    for j in range(min(4, len(weight) - n)):
                        totals[i, j] += F(dots[i][j]) * scales[group, n + j]
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


def split_groups(values):
    """(M, K) -> (groups, M, group size), the last group padded with 0: the values of a row's group are neighbors."""
    size = group_size(values.shape[1])
    padded = np.pad(values, ((0, 0), (0, -values.shape[1] % size)))
    return np.ascontiguousarray(padded.reshape(len(values), -1, size).transpose(1, 0, 2))


def pack_groups(weight, bias):
    """weight (N, K), bias (N,) -> int8 (groups, N, group size), scales (groups, N), weight sums (N,), bias."""
    values, scales = quantize_weight(weight)
    return split_groups(values), scales, zero_point_correction(values, scales), bias


def quantize_and_split(x):
    values, x_scale, zero_point = quantize_rows(x)
    return split_groups(values), x_scale, zero_point


@variant("linear", pack_weights=pack_groups, **INT8_TOLERANCE)
def linear_int8_packed(x, *packed):
    """Both sides are packed by group. The innermost loop runs over one contiguous group, and the compiler vectorizes it: 3.3
    times as fast."""
    y = np.empty((len(x), packed[0].shape[1]), F)
    fill_int8_block(quantize_and_split(x), packed, y, 0, 0, y.shape)
    return y


@jit(error_model="numpy")
def fill_int8_block(quantized_x, packed, y, top, left, shape):
    """Fill the block of y that begins at row `top` and output `left`, or what is left of it."""
    (values, _, _), (weight, scales, _, _) = quantized_x, packed
    groups, rows, size = values.shape
    for m in range(top, min(top + shape[0], rows)):
        for n in range(left, min(left + shape[1], y.shape[1])):
            total = F(0)
            for group in range(groups):
                a, b, dot = values[group, m], weight[group, n], np.int32(0)
                for k in range(size):
                    dot = multiply_add(a[k], b[k], dot)
                total += F(dot) * scales[group, n]
            y[m, n] = dequantize(total, quantized_x, packed, m, n)


@variant("linear", pack_weights=pack_groups, **INT8_TOLERANCE)
def linear_int8_threads(x, *packed):
    """Blocks of ROWS × OUTPUTS are tasks, which threads share. Each of two threads was as fast as `int8_packed` by itself."""
    y = empty(len(x), packed[0].shape[1])
    tasks = -(-len(x) // ROWS) * -(-y.shape[1] // OUTPUTS)
    run(int8_block_tasks, tasks, quantize_and_split(x), packed, y)
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

    The epilogue vectors are each output's bias, and the sum of its weights.
    """
    outputs = len(arrays[0])
    parts = [pack_int8_weight(weight, bias) for weight, bias in zip(arrays[0::2], arrays[1::2])]
    panels, scales, epilogue_vectors = zip(*parts)
    return Weights(np.concatenate(panels), np.stack(scales), np.stack(epilogue_vectors), outputs)


def pack_int8_weight(weight, bias):
    values, scales = quantize_weight(weight)
    padding = ((0, 0), (0, -len(values) % INT8_NR))
    epilogue_vectors = np.stack([bias.astype(F), zero_point_correction(values, scales)])
    return pack_panels(values), np.pad(scales, padding), np.pad(epilogue_vectors, padding)


@jit(error_model="numpy")
def pack_rows_int8(x, next_row, scratch, packed_x, row_scales):
    """A tile's rows of x (R, K) -> packed_x: for each step K_PACK values of each row, rotated, from 0 to 255; and each row's
    scale and zero point: rotated x ≈ scale (value - zero_point)."""
    rotated, values = scratch
    for i in range(len(x)):
        next_of_x = x[i + 1] if i + 1 < len(x) else next_row
        rotate_and_quantize(x[i], next_of_x, rotated[0], values[i].view(X_DTYPE), row_scales[i])
    interleave_rows(values[: len(x)].view(X_STEP_INT8), packed_x.view(X_STEP_INT8))


@jit(error_model="numpy")
def pack_rows_amx_int8(x, next_row, scratch, packed_x, row_scales):
    """As `pack_rows_int8`, in the order of AMX's tiles."""
    rotated, values = scratch
    for i in range(len(x)):
        next_of_x = x[i + 1] if i + 1 < len(x) else next_row
        rotate_and_quantize(x[i], next_of_x, rotated[0], values[0].view(X_DTYPE), row_scales[i])
        pack_line(values[0], i, len(x), packed_x)


def scratch_int8(steps):
    return (1, K_PACK * steps), (INT8_ISA.mr, steps * X_STEP_INT8.itemsize // 4)


INT8 = GemmSpec(
    INT8_ISA.mr,
    X_STEP_INT8.itemsize,
    gemm_tasks.specialize("gemm_tasks_int8", pack_rows=pack_rows_int8, microkernel=microkernel_int8),
    lambda steps: group_size(K_PACK * steps) // K_PACK,
    scratch_int8,
)
INT8_AMX = on_tiles(INT8, "gemm_tasks_amx_int8", pack_rows_amx_int8, microkernel_amx_int8)


def gemm_int8(activation, x, *packed, residual=None, parts=ALL):
    """-> (parts, M, N). A panel whose K is not a multiple of 64 is no sequence of whole tiles; the bits are the same."""
    tiles = HAS_AMX and packed[0].shape[1] % TILE_STEPS == 0
    return gemm(INT8_AMX if tiles else INT8, activation, x, *packed, residual=residual, parts=parts)


@variant("linear", pack_weights=pack_int8, **INT8_TOLERANCE, capturable=True)
def linear_int8_tile(x, *packed):
    """vpdpbusd in a register tile, for panels in its order; x is rotated and quantized in LLVM IR when it is packed.

    On one thread of a Zen 4, 1,024 rows of 768 → 3,072: 327 GOP/s, 81 % of what vpdpbusd does on registers only; the
    tiles alone 95 %. (With totals kept in y, and scales and bias in a pass of their own, it was 130.)"""
    return gemm_int8(NO_ACTIVATION, x, *packed)[0]


register_fused("int8", gemm_int8, pack_int8, **INT8_TOLERANCE)
