"""x weightᵀ + bias with weights in bf16, a float32 without its lower 16 bits.

If the processor multiplies bf16 faster than float32 (`HAS_FAST_BF16`), x is rounded too, and the sums stay float32. A panel's
row is then two neighbors of k for NR outputs: half the memory, and half the bytes to wait for in a short text. The loops
are in `../gemm/gemm.py`. Elsewhere the product is `register`'s, of x as it is with the rounded weights; where there are
tiles, `linear_amx.py` has another.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from ..compiler.cpu import HAS_FAST_BF16
from ..compiler.jit import jit
from ..gemm.gemm import GemmSpec, Weights, gemm, gemm_tasks
from ..gemm.microkernel import microkernel_bf16
from ..gemm.packing import as_weights, pack_columns_of, pack_rows_of
from ..gemm.shapes import K_ACCUMULATE
from ..registry import variant
from ..runtime.buffer_pool import aligned_copy, empty
from ..runtime.threads import run
from ..simd.bf16 import round_scaled, round_to_bf16
from ..simd.emit import fetch_add
from ..simd.scalar_math import NO_ACTIVATION
from ..simd.shapes import MR, NR
from ..simd.shuffle import interleave_rows
from .epilogues import register_fused
from .linear_f32 import gemm_f32, pack_f32, repack_f32

X_STEP_BF16 = np.dtype(np.uint32)  # one row of packed x in a step
BF16_TOLERANCE = {
    "tolerance": 0.01,
    "tolerance_reason": "weights keep 8 of 24 bits: each is off by up to 1/512; so is x if the processor multiplies bf16",
}


def to_bf16(x):
    """float32 -> the nearest bf16, as uint16 bits; NaN stays NaN."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    nearest = (bits + np.uint32(0x7FFF) + (bits >> 16 & 1)) >> 16
    return np.where(np.isnan(x), bits >> 16 | 0x40, nearest).astype(np.uint16)


def steps_of(inputs: int, multiple: int) -> int:
    """How many steps of two neighbors K values are, up to a multiple."""
    return -(-inputs // (2 * multiple)) * multiple


def pack_bf16(*arrays, multiple=1):
    """weight (N, K), bias (N,), once or three times -> Weights whose panels are (P, K / 2, 4 NR bytes). Their steps are
    rounded up to a multiple, and the last ones are 0."""
    weights, biases = arrays[0::2], arrays[1::2]
    outputs, inputs = weights[0].shape
    panels_per_weight = -(-outputs // NR)
    panels = np.zeros((len(weights), panels_per_weight, NR, 2 * steps_of(inputs, multiple)), np.uint16)
    bias = np.zeros((len(weights), 1, panels_per_weight * NR), np.float32)
    for part, weight in enumerate(weights):
        panels[part].reshape(panels_per_weight * NR, -1)[:outputs, :inputs] = to_bf16(weight)
        bias[part, 0, :outputs] = biases[part]
    words = panels.view("<u4").reshape(-1, NR, panels.shape[-1] // 2)  # the first of a pair is the lower half
    return Weights(aligned_copy(words.transpose(0, 2, 1)).view(np.uint8), bias, outputs)


def repack_bf16(*arrays, multiple=1):
    """As `pack_bf16`, by kernels on threads, into memory that is reused."""
    words = []
    for weight in arrays[0::2]:
        words.append(empty(len(weight), steps_of(weight.shape[1], multiple)))
        run(round_neighbors, len(weight), np.ascontiguousarray(weight), words[-1].view(np.uint32))
    return as_weights(pack_rows_of(*words), arrays[1::2], len(arrays[0]))


def pack_columns_of_bf16(matrix, multiple=1):
    """matrix (K, N) -> panels (P, K / 2, NR) of words: two neighbors of k of a column."""
    words = empty(steps_of(len(matrix), multiple), matrix.shape[1])
    run(round_row_pairs, len(words), np.ascontiguousarray(matrix), words.view(np.uint32))
    return pack_columns_of(words)


@jit(nogil=True, error_model="numpy")
def round_neighbors(counter, matrix, words):
    """words (N, K / 2): each row's neighbors as two bf16, the first in the lower half; 0 after the last one. A task is a row."""
    row, inputs = fetch_add(counter), matrix.shape[1]
    while row < len(matrix):
        source, target = matrix[row], words[row]
        for i in range(inputs // 2):
            target[i] = pair_of_bf16(source[2 * i], source[2 * i + 1])
        if inputs % 2:
            target[inputs // 2] = pair_of_bf16(source[inputs - 1], np.float32(0))
        for i in range(-(-inputs // 2), len(target)):
            target[i] = 0
        row = fetch_add(counter)


@jit(nogil=True, error_model="numpy")
def round_row_pairs(counter, matrix, words):
    """words (K / 2, N): rows 2 i and 2 i + 1 as two bf16; 0 after the last one. A task is a row of words."""
    row = fetch_add(counter)
    while row < len(words):
        first, target = matrix[min(2 * row, len(matrix) - 1)], words[row]
        second = matrix[min(2 * row + 1, len(matrix) - 1)]
        for i in range(len(target)):
            target[i] = pair_of_bf16(first[i], second[i])
        if 2 * row + 1 == len(matrix):
            for i in range(len(target)):
                target[i] &= np.uint32(0xFFFF)
        if 2 * row >= len(matrix):
            for i in range(len(target)):
                target[i] = 0
        row = fetch_add(counter)


@jit(inline="always", error_model="numpy")
def pair_of_bf16(first, second):
    """Two floats -> a word with the nearest bf16 of each, the first in the lower half."""
    return np.uint32((round_to_bf16(first) >> np.uint32(16)) | round_to_bf16(second))


@jit(error_model="numpy")
def pack_rows_bf16(x, next_row, scratch, packed_x, row_scales):
    """A tile's rows of x (R, K) -> packed_x: for each step a word of the rows' two neighbors of k, rounded, with 0 after an
    odd last one. `row_scales` is not used."""
    rows, lines = len(x), scratch[1]
    for row in range(rows):
        round_row(x[row], lines[row].view(np.uint16)[: 2 * (len(packed_x) // rows)])
    interleave_rows(lines[:rows].view(X_STEP_BF16), packed_x.view(X_STEP_BF16))


@jit(inline="always", error_model="numpy")
def round_row(values, halves):
    """halves = values as bf16, and 0 after them."""
    round_scaled(values, np.float32(1), halves)
    for i in range(len(values), len(halves)):
        halves[i] = 0


def scratch_bf16(steps):
    return (1,), (MR, steps * X_STEP_BF16.itemsize // 4)


BF16 = GemmSpec(
    MR,
    X_STEP_BF16.itemsize,
    gemm_tasks.specialize("gemm_tasks_bf16", pack_rows=pack_rows_bf16, microkernel=microkernel_bf16),
    K_ACCUMULATE // 2,
    scratch_bf16,
)


def pack_rounded(*arrays):
    """As `pack_f32`, the weights rounded to bf16."""
    return pack_f32(*with_rounded_weights(arrays))


def repack_rounded(*arrays):
    """As `pack_rounded`, by kernels on threads, into memory that is reused."""
    return repack_f32(*with_rounded_weights(arrays))


def with_rounded_weights(arrays):
    """(weight, bias), once or three times -> the same, each weight rounded."""
    return [rounded(array) if i % 2 == 0 else array for i, array in enumerate(arrays)]


def rounded(matrix):
    """matrix (M, N) -> float32, each value the nearest bf16."""
    result = empty(*matrix.shape)
    run(round_rows, len(matrix), np.ascontiguousarray(matrix), result.view(np.uint32))
    return result


@jit(nogil=True, error_model="numpy")
def round_rows(counter, matrix, result):
    """result = matrix, each value the nearest bf16. A task is a row."""
    row = fetch_add(counter)
    while row < len(matrix):
        source, target = matrix[row], result[row]
        for i in range(len(source)):
            target[i] = round_to_bf16(source[i])
        row = fetch_add(counter)


class Bf16Product(NamedTuple):
    """A product with rounded weights, and how they are packed for it."""

    gemm: Callable  # (activation, x, *packed, residual=None, parts=ALL) -> (parts, M, N)
    pack: Callable
    repack: Callable
    pack_columns: Callable  # matrix (K, N) -> panels


if HAS_FAST_BF16:
    PRODUCT = Bf16Product(partial(gemm, BF16), pack_bf16, repack_bf16, pack_columns_of_bf16)
else:
    PRODUCT = Bf16Product(gemm_f32, pack_rounded, repack_rounded, lambda matrix: pack_columns_of(rounded(matrix)))
gemm_bf16 = PRODUCT.gemm


PACKING = {"repack_weights": PRODUCT.repack, "packs_by_kernels": not HAS_FAST_BF16}


@variant("linear", pack_weights=PRODUCT.pack, **BF16_TOLERANCE, capturable=True, **PACKING)
def linear_bf16(x, *packed):
    """Half the bytes of `register` and twice its speed where the processor multiplies bf16: 216 GFLOP/s instead of 109 (Zen 4,
    one thread, query, key and value in a forward pass of 1,024 tokens)."""
    return gemm_bf16(NO_ACTIVATION, x, *packed)[0]


register_fused("bf16", gemm_bf16, PRODUCT.pack, **BF16_TOLERANCE, **PACKING)
