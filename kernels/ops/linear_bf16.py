"""x weightᵀ + bias with weights in bf16: half the memory, and half the bytes to wait for in a short text.

A bf16 is a float32 without its lower 16 bits. With AVX512-BF16, x is rounded to bf16 too, and the sums stay float32.
Without it, the weights are widened in registers, two for one load, and nothing else is rounded.
A panel's row is two neighbors of k for NR outputs. The loops are in `../gemm/gemm.py`.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from ..compiler.cpu import HAS_AVX512_BF16
from ..compiler.jit import jit
from ..gemm.gemm import GemmSpec, Weights, gemm, gemm_tasks
from ..gemm.microkernel import microkernel_bf16
from ..gemm.packing import as_weights, pack_columns_of, pack_rows_of
from ..gemm.shapes import K_ACCUMULATE
from ..registry import variant
from ..runtime.buffer_pool import empty
from ..runtime.threads import run
from ..simd.emit import fetch_add
from ..simd.scalar_math import NO_ACTIVATION
from ..simd.shapes import MR, NR
from ..simd.shuffle import interleave_rows
from .epilogues import register_fused

X_STEP_BF16 = np.dtype(np.uint32 if HAS_AVX512_BF16 else np.uint64)  # one row of packed x in a step
BF16_TOLERANCE = {
    "tolerance": 0.01,
    "tolerance_reason": "weights keep 8 of 24 bits: each is off by up to 1/512; with AVX512-BF16 so is x",
}


def to_bf16(x):
    """float32 -> the nearest bf16, as uint16 bits; NaN stays NaN."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    nearest = (bits + np.uint32(0x7FFF) + (bits >> 16 & 1)) >> 16
    return np.where(np.isnan(x), bits >> 16 | 0x40, nearest).astype(np.uint16)


def pack_bf16(*arrays):
    """weight (N, K), bias (N,), once or three times -> Weights whose panels are (P, K / 2, 4 NR bytes)."""
    weights, biases = arrays[0::2], arrays[1::2]
    outputs, inputs = weights[0].shape
    panels_per_weight = -(-outputs // NR)
    panels = np.zeros((len(weights), panels_per_weight, NR, inputs + inputs % 2), np.uint16)
    bias = np.zeros((len(weights), 1, panels_per_weight * NR), np.float32)
    for part, weight in enumerate(weights):
        panels[part].reshape(panels_per_weight * NR, -1)[:outputs, :inputs] = to_bf16(weight)
        bias[part, 0, :outputs] = biases[part]
    words = panels.view("<u4").reshape(-1, NR, panels.shape[-1] // 2)  # the first of a pair is the lower half
    return Weights(np.ascontiguousarray(words.transpose(0, 2, 1)).view(np.uint8), bias, bias, outputs)


def repack_bf16(*arrays):
    """As `pack_bf16`, by kernels on threads, into memory that is reused."""
    words = []
    for weight in arrays[0::2]:
        words.append(empty(len(weight), -(-weight.shape[1] // 2)))
        run(round_neighbors, len(weight), np.ascontiguousarray(weight), words[-1].view(np.uint32))
    return as_weights(pack_rows_of(*words), arrays[1::2], len(arrays[0]))


def pack_columns_of_bf16(matrix):
    """matrix (K, N) -> panels (P, K / 2, NR) of words: two neighbors of k of a column."""
    words = empty(-(-len(matrix) // 2), matrix.shape[1])
    run(round_row_pairs, len(words), np.ascontiguousarray(matrix), words.view(np.uint32))
    return pack_columns_of(words)


@jit(nogil=True, error_model="numpy")
def round_neighbors(counter, matrix, words):
    """words (N, K / 2): each row's neighbors as two bf16, the first in the lower half; 0 after an odd last one. A task is a
    row."""
    row, inputs = fetch_add(counter), matrix.shape[1]
    while row < len(matrix):
        source, target = matrix[row], words[row]
        for i in range(inputs // 2):
            target[i] = pair_of_bf16(source[2 * i], source[2 * i + 1])
        if inputs % 2:
            target[inputs // 2] = pair_of_bf16(source[inputs - 1], np.float32(0))
        row = fetch_add(counter)


@jit(nogil=True, error_model="numpy")
def round_row_pairs(counter, matrix, words):
    """words (K / 2, N): rows 2 i and 2 i + 1 as two bf16; 0 after an odd last one. A task is a row of words."""
    row = fetch_add(counter)
    while row < len(words):
        first, target = matrix[2 * row], words[row]
        second = matrix[min(2 * row + 1, len(matrix) - 1)]
        for i in range(len(target)):
            target[i] = pair_of_bf16(first[i], second[i])
        if 2 * row + 1 == len(matrix):
            for i in range(len(target)):
                target[i] &= np.uint32(0xFFFF)
        row = fetch_add(counter)


@jit(inline="always", error_model="numpy")
def pair_of_bf16(first, second):
    """Two floats -> a word with the nearest bf16 of each, the first in the lower half."""
    return np.uint32((round_to_bf16(first) >> np.uint32(16)) | (round_to_bf16(second) & np.uint32(0xFFFF0000)))


@jit(error_model="numpy")
def pack_rows_bf16(x, next_row, scratch, packed_x, row_scales):
    """A tile's rows of x (R, K) -> packed_x: for each step the rows' two neighbors of k, with 0 after an odd last one. With
    AVX512-BF16 they are rounded and share a word, else they are two floats. `row_scales` is not used."""
    rows, inputs = x.shape
    lines, length = scratch[1], len(packed_x) // rows
    for row in range(rows):
        values = x[row]
        if HAS_AVX512_BF16:
            halves = lines[row].view(np.uint16)
            for i in range(inputs):
                halves[i] = np.uint16(round_to_bf16(values[i]) >> np.uint32(16))
            for i in range(inputs, 2 * length):
                halves[i] = 0
        else:
            floats = lines[row]
            for i in range(inputs):
                floats[i] = values[i]
            for i in range(inputs, length):
                floats[i] = 0
    interleave_rows(lines[:rows].view(X_STEP_BF16), packed_x.view(X_STEP_BF16))


@jit(inline="always", error_model="numpy")
def round_to_bf16(value):
    """A float -> a word whose upper half is the nearest bf16; its lower half means nothing. NaN stays NaN."""
    bits = np.float32(value).view(np.uint32)
    nearest = np.uint32(bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1)))
    return nearest if value == value else np.uint32(bits | np.uint32(0x400000))


def scratch_bf16(steps):
    return (1,), (MR, steps * X_STEP_BF16.itemsize // 4)


BF16 = GemmSpec(
    MR,
    X_STEP_BF16.itemsize,
    gemm_tasks.specialize("gemm_tasks_bf16", pack_rows=pack_rows_bf16, microkernel=microkernel_bf16),
    lambda steps: K_ACCUMULATE // 2,
    scratch_bf16,
)
gemm_bf16 = partial(gemm, BF16)  # (activation, x, *packed, residual=None, parts=ALL) -> (parts, M, N)


@variant("linear", pack_weights=pack_bf16, **BF16_TOLERANCE, capturable=True, repack_weights=repack_bf16)
def linear_bf16(x, *packed):
    """Half the bytes of `register`. With AVX512-BF16 twice its speed: 216 GFLOP/s instead of 109 (Zen 4, one thread, query, key
    and value in a forward pass of 1,024 tokens)."""
    return gemm_bf16(NO_ACTIVATION, x, *packed)[0]


register_fused("bf16", gemm_bf16, pack_bf16, repack_bf16, **BF16_TOLERANCE)
