"""x weightᵀ + bias on AMX's tiles: in float32, in bf16, in int8. Imported, and so registered,
where the processor has tiles and the system gives them to this process (`catalog.load`).

    amx         each float32 is the sum of three bf16, and each product six of theirs: `../gemm/split_floats.py`
    amx_bf16    as `linear_bf16.py`
    amx_int8    as `linear_int8.py`, to the bit, with the same panels

The loops are in `../gemm/gemm.py`, the block of tiles in `../gemm/amx.py`, that of float32 in `../gemm/amx_f32.py`. A panel's part
of K is a multiple of what a tile takes, filled up with 0.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from ..compiler.jit import jit
from ..gemm.amx import (
    TILE_STEPS,
    microkernel_amx_bf16,
    microkernel_amx_bf16_packed,
    microkernel_amx_bf16_rounded,
    microkernel_amx_int8,
    microkernel_amx_int8_rounded,
    on_tiles,
    pack_line,
)
from ..gemm.amx_f32 import begin_panels, microkernel_amx_f32
from ..gemm.gemm import ALL, KC, GemmSpec, Weights, gemm, multiply
from ..gemm.quantize_rows import rotate_and_quantize
from ..gemm.split_floats import (
    MAX_SUMMED,
    PARTS,
    SPLIT_KC,
    SPLIT_TILES,
    SPLIT_VALUES,
    pad_rest,
    power_scale,
    scale_panels,
    split_row,
)
from ..registry import variant
from ..runtime.buffer_pool import empty
from ..runtime.threads import run
from ..simd.bf16 import LINE, round_lines
from ..simd.scalar_math import NO_ACTIVATION
from ..simd.shapes import NR
from .epilogues import register_fused
from .linear_bf16 import BF16, BF16_TOLERANCE, Bf16Product, pack_bf16, pack_columns_of_bf16, repack_bf16
from .linear_f32 import FLOAT32, pack_f32, repack_f32
from .linear_int8 import INT8, INT8_TOLERANCE, X_DTYPE, gemm_int8, pack_int8

SPLIT_TOLERANCE = {
    "tolerance": 2e-6,
    "tolerance_reason": "float32 rounding: sums of up to 384 products, then added to each other",
}


# float32


def pack_split(*arrays):
    """weight (N, K), bias (N,), once or three times -> Weights as `pack_f32` packs them, K filled up to a multiple of 32 and each
    output multiplied with a power of two; a panel's parts are made when it is multiplied.

    The epilogue vectors are each output's bias, and what its sums are multiplied with. A weight with infinity or NaN, with values
    so different in magnitude that parts would be 0, or with more of K than sums have room for, is not split: it is multiplied as `register` does."""
    if arrays[0].shape[1] > MAX_SUMMED:
        return pack_f32(*arrays)
    packed, refused = scaled(pack_f32(*arrays, multiple=SPLIT_VALUES))
    return pack_f32(*arrays) if refused.any() else packed


def repack_split(*arrays):
    """As `pack_split`, by kernels on threads, into memory that is reused. Outputs whose weights have infinity or NaN are NaN. A
    bias may be (0,), for none."""
    if arrays[0].shape[1] > MAX_SUMMED:
        return repack_f32(*arrays)
    return scaled(repack_f32(*arrays, multiple=SPLIT_VALUES))[0]


def scaled(packed: Weights) -> tuple[Weights, np.ndarray]:
    """Weights of floats, each output scaled, in place; and for each panel whether it cannot be split."""
    count, _, width = packed.epilogue_vectors.shape
    vectors, refused = np.zeros((count, 2, width), np.float32), np.zeros(len(packed.panels), np.int64)
    vectors[:, 0] = packed.epilogue_vectors[:, 0]
    run(scale_panels, len(refused), packed.panels.view(np.float32), vectors, empty(len(refused), NR), refused)
    return packed._replace(epilogue_vectors=vectors), refused


@jit(error_model="numpy")
def pack_rows_amx(x, next_row, scratch, packed_x, row_scales):
    """A block's rows of x (R, K) -> packed_x: for each 32 of k a tile of high parts, of middle parts, of low parts; and what
    each row's sums are multiplied with."""
    rows, halves = len(x), packed_x.view(np.uint16)
    for row in range(rows):
        scale, row_scales[row, 0] = power_scale(x[row])
        split_row(x[row], scale, scratch[0], halves, row * SPLIT_VALUES, rows * SPLIT_VALUES)


SPLIT = FLOAT32._replace(
    x_step_bytes=2 * PARTS, kc=SPLIT_KC, scratch=lambda steps: ((SPLIT_VALUES,), (2 * SPLIT_TILES * PARTS * TILE_STEPS, NR))
)
AMX_F32 = on_tiles(SPLIT, "gemm_tasks_amx", pack_rows_amx, microkernel_amx_f32, begin_panels=begin_panels)


def gemm_amx(activation, x, *packed, residual=None, parts=ALL):
    """-> (parts, M, N)."""
    is_split = packed[1].shape[1] == 2  # there are scales beside the bias
    return gemm(AMX_F32 if is_split else FLOAT32, activation, x, *packed, residual=residual, parts=parts)


# bf16


@jit(error_model="numpy")
def pack_rows_amx_bf16(x, next_row, scratch, packed_x, row_scales):
    """A block's rows of x (R, K) -> packed_x: for each TILE_STEPS steps that many words of each row. `row_scales` is not used."""
    rows, halves, padded = len(x), packed_x.view(np.uint16), scratch[0]
    whole = x.shape[1] // LINE * LINE
    for row in range(rows):
        values, lines = x[row], halves[row * LINE :]
        round_lines(values[:whole], lines, rows * LINE)
        if whole < len(values):
            pad_rest(values, whole, padded)
            round_lines(padded, lines[whole * rows :], rows * LINE)


@jit(error_model="numpy")
def leave_rows(x, next_row, scratch, packed_x, row_scales):
    """Nothing: x is packed."""


BF16_LINES = BF16._replace(scratch=lambda steps: ((LINE,), (1,)))
AMX_BF16 = on_tiles(BF16_LINES, "gemm_tasks_amx_bf16", pack_rows_amx_bf16, microkernel_amx_bf16)
AMX_BF16_TO_PACKED = on_tiles(BF16_LINES, "gemm_tasks_amx_to_packed", pack_rows_amx_bf16, microkernel_amx_bf16_packed)
AMX_BF16_ROUNDED = on_tiles(BF16_LINES, "gemm_tasks_amx_bf16_rounded", pack_rows_amx_bf16, microkernel_amx_bf16_rounded)
AMX_BF16_OF_PACKED = on_tiles(BF16_LINES, "gemm_tasks_amx_of_packed", leave_rows, microkernel_amx_bf16)


def gemm_amx_bf16(activation, x, panels, epilogue_vectors, outputs, for_product=False, residual=None, parts=ALL, rounded=False):
    """-> (parts, M, N). With `for_product` words (1, M, N / 2) of two bf16 each, in the order of `pack_rows_amx_bf16`: the
    x (M, N / 2) of the next product. With `rounded` as `gemm_rounded`, if it can."""
    weights = Weights(panels, epilogue_vectors, outputs)
    if rounded and is_in_one_piece(len(panels[0]), outputs):
        return gemm_rounded(AMX_BF16_ROUNDED, x, weights.parts(parts))
    if x.dtype == np.uint32:
        words = x.view(np.float32)
        return gemm(AMX_BF16_OF_PACKED, activation, words, *weights, residual=residual, packed_x=words.reshape(-1))
    if not for_product:
        return gemm(AMX_BF16, activation, x, *weights, residual=residual, parts=parts)
    rows, width = len(x), outputs // 2
    y = empty(rows * width + AMX_BF16.x_slack)[: rows * width].reshape(1, rows, width)
    multiply(AMX_BF16_TO_PACKED, activation, np.ascontiguousarray(x), weights, y)
    return y.view(np.uint32)


def is_in_one_piece(steps: int, outputs: int) -> bool:
    """Whether all of k is multiplied at once, into panels without padding: then y may be stored as bf16."""
    return steps <= KC and outputs % NR == 0


def gemm_rounded(spec: GemmSpec, x, weights: Weights):
    """-> (parts, M, N), each float32 rounded to bf16, as uint16: for an attention that takes it (`Variant.takes_rounded`)."""
    y = empty(len(weights.epilogue_vectors), len(x), weights.outputs // 2).view(np.uint16)
    multiply(spec, NO_ACTIVATION, np.ascontiguousarray(x), weights, y)
    return y


def pack_for_product(weight, bias):
    """As `AMX_PRODUCT.pack`, of a product whose y is the x of another one, and whether it is stored as that one's packed x: as
    bf16, half the bytes."""
    outputs, inputs = weight.shape
    return *AMX_PRODUCT.pack(weight, bias), is_in_one_piece(-(-inputs // 2), outputs)


AMX_PRODUCT = Bf16Product(
    gemm_amx_bf16,
    partial(pack_bf16, multiple=TILE_STEPS),
    partial(repack_bf16, multiple=TILE_STEPS),
    partial(pack_columns_of_bf16, multiple=TILE_STEPS),
)


# int8


@jit(error_model="numpy")
def pack_rows_amx_int8(x, next_row, scratch, packed_x, row_scales):
    """As `pack_rows_int8`, in the order of tiles."""
    rotated, values = scratch
    for i in range(len(x)):
        next_of_x = x[i + 1] if i + 1 < len(x) else next_row
        rotate_and_quantize(x[i], next_of_x, rotated[0], values[0].view(X_DTYPE), row_scales[i])
        pack_line(values[0], i, len(x), packed_x)


pack_amx_int8 = partial(pack_int8)  # the same, but what is packed with it is multiplied on tiles
AMX_INT8 = on_tiles(INT8, "gemm_tasks_amx_int8", pack_rows_amx_int8, microkernel_amx_int8)
AMX_INT8_ROUNDED = on_tiles(INT8, "gemm_tasks_amx_int8_rounded", pack_rows_amx_int8, microkernel_amx_int8_rounded)


def gemm_amx_int8(activation, x, *packed, residual=None, parts=ALL, rounded=False):
    """-> (parts, M, N); with `rounded` as `gemm_rounded`, if it can. A panel whose K is not a multiple of 64 is no sequence of
    whole tiles: vpdpbusd gives the same bits."""
    steps, outputs = packed[0].shape[1], packed[2]
    if steps % TILE_STEPS:
        return gemm_int8(activation, x, *packed, residual=residual, parts=parts)
    if rounded and is_in_one_piece(steps, outputs):
        return gemm_rounded(AMX_INT8_ROUNDED, x, Weights(*packed).parts(parts))
    return gemm(AMX_INT8, activation, x, *packed, residual=residual, parts=parts)


@variant(
    "linear", pack_weights=pack_split, **SPLIT_TOLERANCE, capturable=True, repack_weights=repack_split, packs_by_kernels=True
)
def linear_amx(x, *packed):
    """Six products of bf16 for each of float32. Tiles multiply bf16 sixteen times as fast as fma multiplies float32."""
    return gemm_amx(NO_ACTIVATION, x, *packed)[0]


@variant("linear", pack_weights=AMX_PRODUCT.pack, **BF16_TOLERANCE, capturable=True, repack_weights=AMX_PRODUCT.repack)
def linear_amx_bf16(x, *packed):
    """A product of tiles takes the place of 512 multiply-adds of vectors."""
    return AMX_PRODUCT.gemm(NO_ACTIVATION, x, *packed)[0]


@variant("linear", pack_weights=pack_amx_int8, **INT8_TOLERANCE, capturable=True)
def linear_amx_int8_tile(x, *packed):
    """`int8_tile` on tiles, eight times vpdpbusd's rate. Its bits are the same."""
    return gemm_amx_int8(NO_ACTIVATION, x, *packed)[0]


register_fused("amx", gemm_amx, pack_split, repack_split, **SPLIT_TOLERANCE, packs_by_kernels=True)
register_fused(
    "amx_bf16", AMX_PRODUCT.gemm, AMX_PRODUCT.pack, AMX_PRODUCT.repack, pack_for_product, **BF16_TOLERANCE, rounds=True
)
register_fused("amx_int8", gemm_amx_int8, pack_amx_int8, **INT8_TOLERANCE, rounds=True)
