"""float32 as three bf16: x = high + middle + low, each the upper half of a float32.

A float32 has 24 significant bits, a bf16 has 8. So what is left of a value after its nearest bf16 is subtracted, and the
nearest of that, is a bf16 too, and

    x w  =  Σ x_i w_j  ≈  the six products with i + j ≤ 2

What is left out is some 2⁻²⁵ of x w, as much as float32 rounds a product by. (Henry, Tang and Heinecke, "Leveraging the bfloat16
artificial intelligence datatype for higher-precision computations", arXiv:1904.06376.)

Infinity times a weight must stay infinity of the right sign, and infinity has three parts that are infinite. So a weight's parts
all have its sign, and none is 0: a part is cut off from the next float towards 0, so that a remainder is always left.
1.5 = 0x1.7e + 0x0.01fe + 0x0.0002 in hexadecimal.

The tile unit takes numbers below 2⁻¹²⁶ for 0. So each row is multiplied by a power of two that makes its largest value nearly
2⁵⁷, each output's weights too, and the epilogue divides by both: no product that counts, beside that of the largest values, is
then below 2⁻¹²⁶, and no sum of `MAX_SUMMED` products above 2¹²⁸.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir

from ..compiler.intrinsic import intrinsic
from ..compiler.jit import jit
from ..compiler.toolchain import types
from ..simd.bf16 import nearest_bf16, shift_right, upper_halves
from ..simd.elementwise import counted_loop
from ..simd.emit import ADDRESS, FLOAT, INT, WORD, byte_offset, fetch_add, load_unaligned, splat, store_unaligned
from ..simd.shapes import NR, WIDTH

F, U = np.float32, np.uint32
PARTS, SPLIT_VALUES = 3, 32  # values whose parts stand together: those of a tile's row
SPLIT_UNITS = 32  # in which as many rows of a panel are split: two neighbors of k, for one of two vectors of outputs
VECTOR_FLOATS, VECTOR_WORDS = ir.VectorType(FLOAT, WIDTH), ir.VectorType(WORD, WIDTH)
ROW_BYTES = 4 * NR  # of a panel
BELOW = ir.Constant(VECTOR_FLOATS, [float(np.nextafter(F(1), F(0)))] * WIDTH)  # x times it is the float next to x, towards 0
BLOCK_FLOATS, BLOCK_WORDS = ir.VectorType(FLOAT, SPLIT_VALUES), ir.VectorType(WORD, SPLIT_VALUES)
MAGNITUDE, EXPONENT, UPPER = U(0x7FFFFFFF), U(0x7F800000), U(0xFFFF0000)
TARGET = 127 + 56  # the exponent that a row's largest value gets
# Of such a value, the low part is at least 2⁻⁸ of its last bit, 2⁻¹²⁶: what the tile unit does not take for 0.
LEAST = F(2.0**-95)
SPLIT_KC = 384  # of k, summed in tiles. Twice as many give values of all magnitudes 1.2 times float32's error
SPLIT_TILES = SPLIT_KC // SPLIT_VALUES + 1  # places for a panel's parts, and one that is written and not read
MAX_SUMMED = 16_384  # products of two such values, whose sum may be 2¹²⁸


@jit(inline="always", error_model="numpy")
def power_scale(values):
    """-> the power of two that a row is multiplied with, and its inverse. A row with infinity counts as one of the largest
    floats."""
    largest = U(0)
    for i in range(len(values)):
        bits = U(F(values[i]).view(np.uint32) & MAGNITUDE)
        largest = bits if bits > largest else largest
    return scale_of(largest)


@jit(inline="always", error_model="numpy")
def scale_of(largest):
    """`power_scale` of values the largest of which has these bits."""
    if largest == 0:
        return F(1), F(1)
    exponent = max(np.int32(largest >> U(23)), np.int32(TARGET + 127 - 253))  # of a smaller value neither power is a float
    return power_of_two(TARGET + 127 - exponent), power_of_two(127 + exponent - TARGET)


@jit(inline="always", error_model="numpy")
def power_of_two(exponent):
    return U(exponent << 23).view(np.float32)


@jit(inline="always", error_model="numpy")
def split_row(values, scale, padded, halves, offset, stride):
    """Split a row of x, times the scale. The parts of its first 32 values are written to `halves` from `offset` on, and from
    `stride` and twice that after it; those of the next 32 after these, `stride` apart again. A last 32 are filled up with 0, in
    the array `padded`."""
    whole = len(values) // SPLIT_VALUES * SPLIT_VALUES
    split_blocks(values[:whole], scale, halves[offset:], stride)
    if whole < len(values):
        pad_rest(values, whole, padded)
        split_blocks(padded, scale, halves[offset + whole // SPLIT_VALUES * PARTS * stride :], stride)


@jit(error_model="numpy")
def pad_rest(values, first, padded):
    """padded = the values from `first` on, and 0 after them."""
    for i in range(len(padded)):
        padded[i] = values[first + i] if first + i < len(values) else F(0)


@intrinsic
def split_blocks(typing, values, scale, halves, stride):
    """Blocks of SPLIT_VALUES values, times the scale -> their parts' upper halves: PARTS lines for each, `stride` apart.

    As a compiler's loop it took 0.64 ns a value."""

    def emit(context, builder, signature, arguments):
        scale = splat(builder, arguments[1], SPLIT_VALUES)
        arrays = [context.make_array(array)(context, builder, arguments[i]) for i, array in ((0, values), (2, halves))]
        source, target = (builder.bitcast(array.data, ADDRESS) for array in arrays)
        length = builder.extract_value(arrays[0].shape, 0)
        distance = builder.mul(arguments[3], INT(2))
        with counted_loop(builder, builder.udiv(length, INT(SPLIT_VALUES))) as block:
            address = byte_offset(builder, source, builder.mul(block, INT(4 * SPLIT_VALUES)))
            lines = split_block(builder, builder.fmul(load_unaligned(builder, address, BLOCK_FLOATS), scale))
            first = builder.mul(block, INT(PARTS))
            for part, line in enumerate(lines):
                place = byte_offset(builder, target, builder.mul(builder.add(first, INT(part)), distance))
                store_unaligned(builder, line, place)
        return context.get_dummy_value()

    return types.none(values, scale, halves, types.int64), emit


def split_block(builder: ir.IRBuilder, x: ir.Value) -> list[ir.Value]:
    """SPLIT_VALUES values -> the upper halves of their parts."""
    high = nearest_bf16(builder, x)
    rest = builder.fsub(x, builder.bitcast(high, BLOCK_FLOATS))
    middle = nearest_bf16(builder, rest)
    low = builder.bitcast(builder.fsub(rest, builder.bitcast(middle, BLOCK_FLOATS)), BLOCK_WORDS)
    magnitude = builder.and_(builder.bitcast(x, BLOCK_WORDS), words(MAGNITUDE))
    finite = builder.icmp_unsigned("<", magnitude, words(EXPONENT))
    return [upper_halves(builder, builder.select(finite, part, high)) for part in (high, middle, low)]


def words(value: int) -> ir.Constant:
    return ir.Constant(BLOCK_WORDS, [int(value)] * SPLIT_VALUES)


@jit(nogil=True, error_model="numpy")
def scale_panels(counter, panels, vectors, scales, refused):
    """Each output of panels (P, K, NR) float32 is multiplied with scales (P, NR), as `power_scale`; its sums are to be multiplied with
    vectors[:, 1] (weights, 2, ·). refused (P,): 1 if a part of some weight would be 0, or a weight is not finite, else 0. A task is a panel."""
    task, per_weight, nr = fetch_add(counter), len(panels) // len(vectors), panels.shape[2]
    while task < len(panels):
        panel, left, scale = panels[task], task % per_weight * nr, scales[task]
        bits, inverse = panel.view(np.uint32), vectors[task // per_weight, 1, left : left + nr]
        largest, least = inverse.view(np.uint32), scale.view(np.uint32)
        for n in range(nr):
            largest[n], least[n] = U(0), U(EXPONENT - U(1))
        for k in range(len(bits)):
            row = bits[k]
            for n in range(nr):
                magnitude = U(row[n] & MAGNITUDE)
                largest[n] = max(largest[n], magnitude)
                least[n] = min(least[n], U(magnitude - U(1)))  # 0 becomes the largest integer
        refused[task] = 0
        for n in range(nr):
            smallest, is_finite = U(least[n] + U(1)).view(np.float32), largest[n] < EXPONENT
            scale[n], inverse[n] = scale_of(largest[n])
            if not is_finite or smallest * scale[n] < LEAST:
                refused[task] = 1
        for k in range(len(panel)):
            values = panel[k]
            for n in range(nr):
                values[n] *= scale[n]
        task = fetch_add(counter)


def split_pair(builder: ir.IRBuilder, weights: ir.Value, tiles: list[ir.Value]) -> None:
    """Emit code that splits a unit, given the address of the first neighbors and of their words in each part's tile."""
    neighbors = (load_unaligned(builder, byte_offset(builder, weights, k * ROW_BYTES), VECTOR_FLOATS) for k in (0, 1))
    for tile, one, other in zip(tiles, *(cut(builder, vector) for vector in neighbors), strict=True):
        store_unaligned(builder, builder.or_(shift_right(builder, one), other), tile)


def cut(builder: ir.IRBuilder, weights: ir.Value) -> list[ir.Value]:
    """A vector of weights -> its parts, as words whose upper halves they are."""

    def upper(floats):
        return builder.and_(builder.bitcast(floats, VECTOR_WORDS), ir.Constant(VECTOR_WORDS, [int(UPPER)] * WIDTH))

    high = upper(builder.fmul(weights, BELOW))
    rest = builder.fsub(weights, builder.bitcast(high, VECTOR_FLOATS))
    middle = upper(builder.fmul(rest, BELOW))
    return [high, middle, upper(builder.fsub(rest, builder.bitcast(middle, VECTOR_FLOATS)))]
