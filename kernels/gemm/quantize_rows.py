"""Rotate a row and round it to integers, as `rotate` and the rounding of `ops/quantization.py` do; what a compiler is slow at is
LLVM IR."""

from __future__ import annotations

import numpy as np
from llvmlite import ir

from ..compiler.intrinsic import intrinsic
from ..compiler.jit import jit
from ..compiler.toolchain import cgutils, types
from ..simd.emit import ADDRESS, FLOAT, INT, WORD, byte_offset, emit_fma, load_unaligned, prefetch, splat, store_unaligned
from ..simd.scalar_math import ROUND_MAGIC
from ..simd.shapes import WIDTH
from ..simd.shuffle import shuffle_mask
from .int8_layout import ROTATION

LANE_FLOATS, LANE_INTS = ir.VectorType(FLOAT, ROTATION), ir.VectorType(WORD, ROTATION)

F = np.float32


@jit(inline="always", error_model="numpy")
def rotate_and_quantize(x, next_row, rotated, values, row_scale):
    """A row of x -> values from 0 to 255; its scale and zero point in `row_scale`."""
    row = rotate_padded(x, rotated, next_row)
    scale, inverse, zero_point = asymmetric_qparams(row)
    row_scale[0], row_scale[1] = scale, zero_point
    quantize_row(row, values, inverse, zero_point)


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
    """-> scale, 1 / scale, zero point; NaN, 0, 0 if the row holds NaN or infinity, or its range is infinite.

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


@intrinsic
def rotate_row(typing, source, target, next_row):
    """target (K,) = source (K,), rotated. K is a multiple of ROTATION; the two may be the same array.

    The row has ROTATION parts, and a vector of each is in registers at once. If the parts consist of whole groups of
    ROTATION neighbors, both steps are done before the vectors are stored, and `next_row` is prefetched meanwhile.
    """

    def emit(context, builder, signature, values):
        arrays = [context.make_array(array_type)(context, builder, v) for array_type, v in zip(signature.args, values)]
        source, target, next_row = (builder.bitcast(array.data, ADDRESS) for array in arrays)
        count = builder.extract_value(arrays[0].shape, 0)
        part = builder.udiv(count, INT(ROTATION))
        fits = builder.icmp_unsigned("==", builder.urem(part, INT(ROTATION)), INT(0))
        with builder.if_else(fits) as (in_one_pass, in_two):
            with in_one_pass:
                rotate_parts(builder, source, target, part, INT(0), ROTATION, both_steps=True, next_row=next_row)
            with in_two:
                done = INT(0)
                for lanes in (WIDTH, WIDTH // 2, 1):
                    done = rotate_parts(builder, source, target, part, done, lanes)
                with cgutils.for_range(builder, part) as group:
                    address = byte_offset(builder, target, builder.mul(group.index, INT(4 * ROTATION)))
                    row = hadamard_within_vector(builder, load_unaligned(builder, address, LANE_FLOATS))
                    store_unaligned(builder, row, address)

    return types.void(source, target, next_row), emit


def rotate_parts(builder, source, target, part, first, lanes, both_steps=False, next_row=None) -> ir.Value:
    """Mix the parts with each other, from index `first` of each on, `lanes` values at a time -> the first index that is left.

    With `both_steps`, also mix the neighbors, and prefetch `next_row`."""
    vector = ir.VectorType(FLOAT, lanes)
    groups = builder.udiv(builder.sub(part, first), INT(lanes))
    with cgutils.for_range(builder, groups) as group:
        index = builder.add(first, builder.mul(group.index, INT(lanes)))
        offsets = [builder.mul(INT(4), builder.add(index, builder.mul(INT(i), part))) for i in range(ROTATION)]
        vectors = [load_unaligned(builder, byte_offset(builder, source, offset), vector) for offset in offsets]
        for value, offset in zip(hadamard_across_vectors(builder, vectors), offsets):
            if both_steps:
                prefetch(builder, byte_offset(builder, next_row, offset))
                value = hadamard_within_vector(builder, value)
            store_unaligned(builder, value, byte_offset(builder, target, offset))
    return builder.add(first, builder.mul(groups, INT(lanes)))


def hadamard_across_vectors(builder, vectors: list[ir.Value]) -> list[ir.Value]:
    """ROTATION vectors, mixed with each other."""
    for apart in (4, 1):
        sums = {i: builder.fadd(vectors[i], vectors[i ^ apart]) for i in range(ROTATION) if not i & apart}
        totals = {i: builder.fadd(sums[i], sums[i ^ 2 * apart]) for i in sums if not i & 2 * apart}
        vectors = [sub_twice(builder, totals[i & ~(3 * apart)], value) for i, value in enumerate(vectors)]
    return vectors


def hadamard_within_vector(builder, value: ir.Value) -> ir.Value:
    """The ROTATION lanes of a vector, mixed with each other."""
    for apart in (4, 1):
        total = value
        for distance in (apart, 2 * apart):
            swapped = builder.shuffle_vector(total, total, shuffle_mask(lane ^ distance for lane in range(ROTATION)))
            total = builder.fadd(total, swapped)
        value = sub_twice(builder, total, value)
    return value


def sub_twice(builder, total: ir.Value, value: ir.Value) -> ir.Value:
    """total - 2 value."""
    return emit_fma(builder, value, ir.Constant(value.type, [-2.0] * value.type.count), total)


@intrinsic
def quantize_row(typing, source, target, inverse_scale, zero_point):
    """target (K,) = round(source (K,) · inverse_scale) + zero_point, clamped to 0..255. K is a multiple of ROTATION.

    A compiler's loop over `np.rint`, `min` and `max` took 14 cycles for 16 values, half of all that is done to a row.
    """
    integer = ir.IntType(target.dtype.bitwidth)

    def emit(context, builder, signature, values):
        arrays = [context.make_array(array_type)(context, builder, v) for array_type, v in zip(signature.args, values[:2])]
        source, target = (builder.bitcast(array.data, ADDRESS) for array in arrays)
        factor, zero_point = splat(builder, values[2], ROTATION), builder.fptosi(values[3], WORD)
        # Adding ROUND_MAGIC rounds: the low bits of the sum are the integer.
        start = splat(builder, builder.sub(zero_point, ir.Constant(WORD, ROUND_MAGIC.view(np.int32).item())), ROTATION)
        with cgutils.for_range(builder, builder.udiv(builder.extract_value(arrays[0].shape, 0), INT(ROTATION))) as group:
            first = builder.mul(group.index, INT(ROTATION))
            value = builder.fmul(
                load_unaligned(builder, byte_offset(builder, source, builder.mul(first, INT(4))), LANE_FLOATS), factor
            )
            rounded = builder.bitcast(builder.fadd(value, ir.Constant(LANE_FLOATS, [ROUND_MAGIC.item()] * ROTATION)), LANE_INTS)
            result = builder.add(rounded, start)
            for limit, beyond in ((0, "<"), (255, ">")):
                limit = ir.Constant(LANE_INTS, [limit] * ROTATION)
                result = builder.select(builder.icmp_signed(beyond, result, limit), limit, result)
            address = byte_offset(builder, target, builder.mul(first, INT(integer.width // 8)))
            store_unaligned(builder, builder.trunc(result, ir.VectorType(integer, ROTATION)), address)

    return types.void(source, target, types.float32, types.float32), emit
