"""x weightᵀ + bias with the weights as bf16: half the memory, and half the bytes where a short text waits for them.

A bf16 is a float32 without its lower 16 bits. Where the machine multiplies them (AVX512-BF16), x is rounded to bf16 too
and the sums stay float32; elsewhere the weights are widened in registers, two for one load, and nothing else is rounded.
A panel's line is two neighbours of k for COLUMNS outputs. The loops are in `tiles.py`.
"""

from __future__ import annotations

import numpy as np

from ..compiler.cpu import HAS_AVX512_BF16
from ..compiler.jit import jit
from ..gemm.gemm import Format, Weights, multiply, product
from ..gemm.microkernel import add_product_of_pairs
from ..gemm.shapes import K_ACCUMULATE
from ..registry import variant
from ..simd.scalar_math import NO_ACTIVATION
from ..simd.shapes import MR, NR
from ..simd.shuffle import interleave_rows
from .epilogues import fused

STEP = np.dtype(np.uint32 if HAS_AVX512_BF16 else np.uint64)  # what a row has in a step
BOUND = {"tolerance": 0.01, "tolerance_reason": "weights keep 8 of 24 bits, each is off by up to 1/512; and so does x if HAS_AVX512_BF16"}


def to_bf16(x):
    """float32 -> the nearest bf16, as the uint16 that its bits are; NaN stays one."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    nearest = (bits + np.uint32(0x7FFF) + (bits >> 16 & 1)) >> 16
    return np.where(np.isnan(x), bits >> 16 | 0x40, nearest).astype(np.uint16)


def pack(*arrays):
    """weight (N, K), bias (N,), once or three times -> Weights whose panels are (P, K / 2, 4 COLUMNS bytes)."""
    weights, biases = arrays[0::2], arrays[1::2]
    outputs, inputs = weights[0].shape
    across = -(-outputs // NR)
    panels = np.zeros((len(weights), across, NR, inputs + inputs % 2), np.uint16)
    columns = np.zeros((len(weights), 1, across * NR), np.float32)
    for part, weight in enumerate(weights):
        panels[part].reshape(across * NR, -1)[:outputs, :inputs] = to_bf16(weight)
        columns[part, 0, :outputs] = biases[part]
    words = panels.view("<u4").reshape(-1, NR, panels.shape[-1] // 2)  # the first of a pair is the lower half
    return Weights(np.ascontiguousarray(words.transpose(0, 2, 1)).view(np.uint8), columns, columns, outputs)


@jit(error_model="numpy")
def lay(x, coming, scratch, laid, ranges):
    """A tile's rows of x (R, K) -> laid: for each step the rows' two neighbours of k, 0 after an odd last one; rounded and
    put into one word if HAS_AVX512_BF16, else as two floats. Nothing is in `ranges`."""
    rows, inputs = x.shape
    lines, length = scratch[1], len(laid) // rows
    for row in range(rows):
        line = x[row]
        if HAS_AVX512_BF16:
            halves = lines[row].view(np.uint16)
            for i in range(inputs):
                halves[i] = np.uint16(rounded(line[i]) >> np.uint32(16))
            for i in range(inputs, 2 * length):
                halves[i] = 0
        else:
            floats = lines[row]
            for i in range(inputs):
                floats[i] = line[i]
            for i in range(inputs, length):
                floats[i] = 0
    interleave_rows(lines[:rows].view(STEP), laid.view(STEP))


@jit(inline="always", error_model="numpy")
def rounded(value):
    """A float -> the word whose upper half is its bf16, and the lower one of no meaning; NaN stays one."""
    bits = np.float32(value).view(np.uint32)
    nearest = np.uint32(bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1)))
    return nearest if value == value else np.uint32(bits | np.uint32(0x400000))


def lines(steps):
    return (1,), (MR, steps * STEP.itemsize // 4)


BF16 = Format(
    MR, STEP.itemsize, multiply.specialize("multiply_bf16", lay=lay, add_tile=add_product_of_pairs),
    lambda steps: K_ACCUMULATE // 2, lines,
)  # fmt: skip


def multiplied(finish, x, *packed, **options):
    return product(BF16, finish, x, packed, **options)


@variant("linear", pack_weights=pack, **BOUND, capturable=True)
def linear_bf16(x, *packed):
    """Half the bytes of the register one; with AVX512-BF16 nearly twice its speed (Zen 4, one thread, in a forward pass of
    1,024 tokens: 216 GFLOP/s for its 109 in query, key and value)."""
    return multiplied(NO_ACTIVATION, x, *packed)[0]


fused("bf16", multiplied, pack, **BOUND)
