"""x weightᵀ + bias in whole numbers: weights of 8 bits, and x rounded to 8 bits a row at a time, on the way in.

The formula is `int8_reference.py`, the weights' place in memory `int8_layout.py`, the machines `vectors_int8.py`. Two steps:

    lay           each row of x, mixed, to 0..255, by its own least and largest value
    multiply      the loops of `tiles.py`: exact sums over a span, times its scale; at the end the row's scale and the
                  bias; then gelu, a residual, ...

A row's numbers depend on nothing but the row, so a text's answer does not change with its neighbours.

What was tried, by the least cosine between all-MiniLM-L6-v2's float and int8 vectors of SST-2's dev sentences:

    0.9872    x to 7 bits, one scale a row; weights one an output     0.9969   x to 8 bits
    0.9891    x to 8 bits around 0, without a zero of its own         0.9953   ... and smoothed by the norms' weights
    0.9989    scales for each 128 of k, both sides                    0.9993   for each 64
    0.9995    mixed, one scale a row and an output: every 8th sentence, as those above; all 872 sentences: 0.9988
    0.9990    mixed, and the weights' scales for each 128 of k: all 872 sentences
    0.9990    mixed, with up to 8 scales, here each 64 or 256 of k, and attention in bf16. This is what is done here

The mean is 0.99974 (before the last step 0.99971), which hardly anything changes any more; the least is one sentence's, of
five words, and a matter of luck: 0.99904 as it is, 0.99883 with attention in float32, which costs the mean nothing. So
attention is in bf16 where the machine multiplies that (`attention_bf16.py`): it takes a quarter to a third less. Norms,
embeddings and heads stay float32. ONNX Runtime's dynamic int8 has 0.79 (0.97 a channel).

Random signs before mixing, and a third step that mixes all of a row, changed nothing. To take the inputs' mean from each
row, and its product into the bias, would leave 0.8 of the squared error; but it must be known: the norms' biases are not
near it, and what a model makes of random tokens made the error larger. Dividing the feed-forward's inputs by what the
norms' weights let expect, and multiplying the weights by it, would take a third from that product's, a tenth from all.
"""

from __future__ import annotations

import numpy as np

from ..compiler.jit import jit
from ..gemm.gemm import Format, Weights, multiply, product
from ..gemm.int8_isa import INT8_ISA
from ..gemm.int8_layout import INT8_NR, K_PACK, span_of
from ..gemm.int8_layout import lay as lay_weights
from ..gemm.microkernel import add_scaled_product
from ..gemm.quantize_rows import mix, round_row
from ..registry import variant
from ..simd.scalar_math import NO_ACTIVATION
from ..simd.shuffle import interleave_rows
from .epilogues import fused
from .quantization import product_of_rounded, quantise_rows, quantise_weight, weighted_sums

F = np.float32
VALUE = np.dtype(INT8_ISA.value)  # of x, rounded
STEP = np.dtype(f"u{INT8_ISA.x_bytes}")  # what a row has in a step
BOUND = {"tolerance": 0.02, "tolerance_reason": "both sides are rounded to 8 bits: a value is off by up to 1/510 of its row's range"}


def rounded(weight, bias):
    """weight (N, K), bias (N,) -> whole numbers (N, K) int8, their scales (spans, N), bias."""
    return *quantise_weight(weight), bias


@variant("linear", pack_weights=rounded, **BOUND)
def linear_int8_reference(x, weight, scales, bias):
    """NumPy's whole numbers."""
    return product_of_rounded(*quantise_rows(x), weight, scales, bias)


@variant("linear", pack_weights=rounded, **BOUND)
def linear_int8_naive(x, weight, scales, bias):
    """The product as loops over whole numbers."""
    sums = weighted_sums(weight, scales)
    return multiply_naive(*quantise_rows(x), weight, scales, sums, bias, span_of(weight.shape[1]))


@jit()
def multiply_naive(values, x_scale, zero, weight, scales, sums, bias, span):
    y = np.empty((len(values), len(weight)), F)
    for m in range(len(values)):
        for n in range(len(weight)):
            total = F(0)
            for number in range(len(scales)):
                whole = np.int32(0)
                for k in range(number * span, min(number * span + span, values.shape[1])):
                    whole += np.int32(values[m, k]) * np.int32(weight[n, k])
                total += F(whole) * scales[number, n]
            y[m, n] = (total - zero[m] * sums[n]) * x_scale[m] + bias[n]
    return y


def pack(*arrays):
    """weight (N, K), bias (N,), once or three times -> Weights whose panels are (P, K / GROUP, 4 COLUMNS) int8.

    `columns` has each output's bias, and the sum of its weights: what a tile ends with.
    """
    outputs = len(arrays[0])
    made = [pack_one(weight, bias) for weight, bias in zip(arrays[0::2], arrays[1::2])]
    panels, scales, columns = zip(*made)
    return Weights(np.concatenate(panels), np.stack(scales), np.stack(columns), outputs)


def pack_one(weight, bias):
    values, scales = quantise_weight(weight)
    spare = ((0, 0), (0, -len(values) % INT8_NR))
    columns = np.stack([bias.astype(F), weighted_sums(values, scales)])
    return lay_weights(values), np.pad(scales, spare), np.pad(columns, spare)


@jit(error_model="numpy")
def lay(x, coming, scratch, laid, ranges):
    """A tile's rows of x (R, K) -> laid: for each step the rows' GROUP values, mixed, from 0 to 255; and each row's scale
    and zero: x, mixed, is near scale (value - zero)."""
    lines, values = scratch
    for row in range(len(x)):
        line = mixed(x[row], lines[0], x[row + 1] if row + 1 < len(x) else coming)
        scale, inverse, zero = range_of(line)
        ranges[row, 0], ranges[row, 1] = scale, zero
        round_row(line, values[row].view(VALUE), inverse, zero)
    interleave_rows(values[: len(x)].view(STEP), laid.view(STEP))


@jit(inline="always", error_model="numpy")
def mixed(line, room, coming):
    """A row (K,), and room for what it is filled up to -> the row as `int8_reference.mix` has it."""
    if len(line) == len(room):
        mix(line, room, coming)
        return room
    for i in range(len(line)):
        room[i] = line[i]
    for i in range(len(line), len(room)):
        room[i] = 0
    mix(room, room, coming)
    return room


@jit(inline="always", error_model="numpy")
def range_of(line):
    """-> scale, 1 / scale, and the value that stands for 0; where the line holds what is no number, NaN, 0 and 0.

    Floats are compared as whole numbers of the same order, which a compiler makes vectors of.
    """
    low, high = np.int32(0), np.int32(0)
    for i in range(len(line)):
        bits = F(line[i]).view(np.int32)
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


def lines_and_values(steps):
    return (1, K_PACK * steps), (INT8_ISA.rows, steps * STEP.itemsize // 4)


INT8 = Format(
    INT8_ISA.rows, STEP.itemsize, multiply.specialize("multiply_int8", lay=lay, add_tile=add_scaled_product),
    lambda steps: span_of(K_PACK * steps) // K_PACK, lines_and_values,
)  # fmt: skip


def multiplied(finish, x, *packed, **options):
    return product(INT8, finish, x, packed, **options)


@variant("linear", pack_weights=pack, **BOUND, capturable=True)
def linear_int8_tile(x, *packed):
    """Sums in registers, x mixed and rounded row by row on the way in.

    On one thread of a Zen 4, 1,024 rows of 768 → 3,072: 327 GOP/s, 81 % of what vpdpbusd does between registers; the
    tiles alone 95 %. (With totals kept in y and a pass of its own for scales and bias it was 130.)"""
    return multiplied(NO_ACTIVATION, x, *packed)[0]


fused("int8", multiplied, pack, **BOUND)
