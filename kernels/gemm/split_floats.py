"""float32 as three bf16: x = high + middle + low, each the upper half of a float32.

A float32 has 24 significant bits, a bf16 has 8. So what is left of a value after its nearest bf16 is subtracted, and the
nearest of that, is a bf16 too, and

    x w  =  Σ x_i w_j  ≈  the six products with i + j ≤ 2

What is left out is some 2⁻²⁵ of x w, as much as float32 rounds a product by. (Henry, Tang and Heinecke, "Leveraging the bfloat16
artificial intelligence datatype for higher-precision computations", arXiv:1904.06376.)

Infinity times a weight must stay infinity of the right sign. So the weights, which must be finite, are not rounded but cut off:
all three parts then have the weight's sign, and in place of one that is 0 there is ± 2⁻¹²⁶. Infinity has three parts that are
infinite.

The tile unit takes numbers below 2⁻¹²⁶ for 0. So each row is multiplied by a power of two that makes its largest value nearly
2⁵⁷, each output's weights too, and the epilogue divides by both: no product that counts is then below 2⁻¹²⁶, and no sum of
`MAX_SUMMED` products above 2¹²⁸.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir

from ..compiler.intrinsic import intrinsic
from ..compiler.jit import jit
from ..compiler.toolchain import types
from ..simd.bf16 import nearest_bf16, upper_halves
from ..simd.elementwise import counted_loop
from ..simd.emit import ADDRESS, FLOAT, INT, WORD, byte_offset, load_unaligned, splat, store_unaligned

F, U = np.float32, np.uint32
PARTS, SPLIT_VALUES = 3, 32  # values whose parts stand together: those of a tile's row
BLOCK_FLOATS, BLOCK_WORDS = ir.VectorType(FLOAT, SPLIT_VALUES), ir.VectorType(WORD, SPLIT_VALUES)
SIGN, MAGNITUDE, EXPONENT, UPPER = U(0x80000000), U(0x7FFFFFFF), U(0x7F800000), U(0xFFFF0000)
SMALLEST = U(0x00800000)  # 2⁻¹²⁶, which has an exponent of 1
TARGET = 127 + 56  # the exponent that a row's largest value gets
MAX_SUMMED = 16_384  # products of two such values, whose sum may be 2¹²⁸


@jit(inline="always", error_model="numpy")
def power_scale(values):
    """-> the power of two that a row is multiplied with, and its inverse. A row with infinity counts as one of the largest
    floats."""
    largest = U(0)
    for i in range(len(values)):
        bits = U(F(values[i]).view(np.uint32) & MAGNITUDE)
        largest = bits if bits > largest else largest
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


@jit(error_model="numpy")
def cut_row(values, scale, halves):
    """Split a row of weights, times the scale, as `split_row` does with a stride of 32: its high parts, its middle parts, ..."""
    for k in range(len(halves) // PARTS):
        high, middle, low = cut_value(values[k] * scale if k < len(values) else F(0))
        position = k // SPLIT_VALUES * PARTS * SPLIT_VALUES + k % SPLIT_VALUES
        halves[position] = np.uint16(high >> U(16))
        halves[position + SPLIT_VALUES] = np.uint16(middle >> U(16))
        halves[position + 2 * SPLIT_VALUES] = np.uint16(low >> U(16))


@jit(inline="always", error_model="numpy")
def cut_value(x):
    """A finite value -> its parts, as words whose upper halves they are. They have its sign, and none is 0 unless it is."""
    bits = F(x).view(np.uint32)
    high = U(bits & UPPER)
    rest = F(x - high.view(np.float32))
    middle = U(rest.view(np.uint32) & UPPER)
    low = F(rest - middle.view(np.float32)).view(np.uint32)
    least = U(U(bits & SIGN) | SMALLEST) if U(bits & MAGNITUDE) != 0 else U(0)
    return at_least(high, least), at_least(middle, least), at_least(low, least)


@jit(inline="always", error_model="numpy")
def at_least(part, least):
    """The part; the least one of its sign if the tile unit would take it for 0."""
    return part if U(part & EXPONENT) != 0 else least
