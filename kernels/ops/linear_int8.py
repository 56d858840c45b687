"""x weightᵀ + bias in int8: weights of 8 bits, and each row of x quantized to 8 bits when it is packed.

The formulas are in `quantization.py`, the layout of the weights in `../gemm/int8_layout.py`, the instructions in
`../gemm/int8_isa.py`. The top rung has two steps:

    pack_rows_int8    rotates each row of x and rounds it to 0..255, between its own least and largest value
    gemm_tasks        the loops of `../gemm/gemm.py`: exact sums over a group, times the group's scale; in the epilogue
                      the row's scale, the bias, an activation, a residual

A row's values depend on nothing but the row, so a text's answer does not depend on its neighbors.

The least cosine between all-MiniLM-L6-v2's float and int8 vectors of SST-2's dev sentences is 0.9990, the mean 0.99974.
Attention is in bf16 where the machine multiplies that (`attention_bf16.py`); norms, embeddings and heads stay float32.
What was tried, and what each idea costs or gains, is in `kernels/README.md`, "Experiments with int8".
"""

from __future__ import annotations

from functools import partial

import numpy as np

from ..compiler.jit import jit
from ..gemm.gemm import GemmSpec, Weights, gemm, gemm_tasks
from ..gemm.int8_isa import INT8_ISA
from ..gemm.int8_layout import INT8_NR, K_PACK, group_size, pack_panels
from ..gemm.microkernel import microkernel_int8
from ..gemm.quantize_rows import quantize_row, rotate_row
from ..registry import variant
from ..simd.scalar_math import NO_ACTIVATION
from ..simd.shuffle import interleave
from .epilogues import register_fused
from .quantization import quantize_rows, quantize_weight, quantized_matmul, zero_point_correction

F = np.float32
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
    return int8_loops(*quantize_rows(x), weight, scales, weight_sums, bias, group_size(weight.shape[1]))


@jit()
def int8_loops(values, x_scale, zero_point, weight, scales, weight_sums, bias, size):
    y = np.empty((len(values), len(weight)), F)
    for m in range(len(values)):
        for n in range(len(weight)):
            total = F(0)
            for group in range(len(scales)):
                dot = np.int32(0)
                for k in range(group * size, min(group * size + size, values.shape[1])):
                    dot += np.int32(values[m, k]) * np.int32(weight[n, k])
                total += F(dot) * scales[group, n]
            y[m, n] = (total - zero_point[m] * weight_sums[n]) * x_scale[m] + bias[n]
    return y


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
        row = rotate_padded(x[i], rotated[0], x[i + 1] if i + 1 < len(x) else next_row)
        scale, inverse, zero_point = asymmetric_qparams(row)
        row_scales[i, 0], row_scales[i, 1] = scale, zero_point
        quantize_row(row, values[i].view(X_DTYPE), inverse, zero_point)
    interleave(values[: len(x)].view(X_STEP_INT8), packed_x.view(X_STEP_INT8))


@jit(inline="always", error_model="numpy")
def rotate_padded(row, padded, next_row):
    """A row (K,) -> it as `quantization.rotate` pads and rotates it, in the array `padded`."""
    if len(row) == len(padded):
        rotate_row(row, padded, next_row)
        return padded
    for i in range(len(row)):
        padded[i] = row[i]
    for i in range(len(row), len(padded)):
        padded[i] = 0
    rotate_row(padded, padded, next_row)
    return padded


@jit(inline="always", error_model="numpy")
def asymmetric_qparams(row):
    """-> scale, 1 / scale, zero point; NaN, 0, 0 if the row holds NaN or infinity.

    Floats are compared as integers of the same order: the compiler vectorizes that.
    """
    low, high = np.int32(0), np.int32(0)
    for i in range(len(row)):
        bits = F(row[i]).view(np.int32)
        order = np.int32(bits ^ np.int32(np.int32(bits >> 31) & np.int32(0x7FFFFFFF)))
        low = order if order < low else low
        high = order if order > high else high
    largest = np.int32(high).view(F)
    least = np.int32(low ^ np.int32(0x7FFFFFFF)).view(F) if low < 0 else F(0)
    value_range = largest - least
    if not value_range < F(np.inf):
        return F(np.nan), F(0), F(0)
    value_range = max(value_range, F(1e-30))
    inverse = F(255) / value_range
    return value_range / F(255), inverse, np.rint(-least * inverse)


def scratch_int8(steps):
    return (1, K_PACK * steps), (INT8_ISA.mr, steps * X_STEP_INT8.itemsize // 4)


INT8 = GemmSpec(
    INT8_ISA.mr, X_STEP_INT8.itemsize,
    gemm_tasks.specialize("gemm_tasks_int8", pack_rows=pack_rows_int8, microkernel=microkernel_int8),
    lambda steps: group_size(K_PACK * steps) // K_PACK, scratch_int8,
)  # fmt: skip
gemm_int8 = partial(gemm, INT8)  # (activation, x, *packed, residual=None, parts=ALL) -> (parts, M, N)


@variant("linear", pack_weights=pack_int8, **INT8_TOLERANCE, capturable=True)
def linear_int8_tile(x, *packed):
    """Sums in registers; x is rotated and quantized row by row when it is packed.

    On one thread of a Zen 4, 1,024 rows of 768 → 3,072: 327 GOP/s, 81 % of what vpdpbusd does on registers only; the
    tiles alone 95 %. (With totals kept in y, and scales and bias in a pass of their own, it was 130.)"""
    return gemm_int8(NO_ACTIVATION, x, *packed)[0]


register_fused("int8", gemm_int8, pack_int8, **INT8_TOLERANCE)
