"""A row on its way to whole numbers: mixed, as `int8_reference.mix` has it, and rounded."""

from __future__ import annotations

import numpy as np
from llvmlite import ir

from ..compiler.intrinsic import intrinsic
from ..compiler.toolchain import cgutils, types
from ..simd.emit import ADDRESS, FLOAT, INT, WORD, byte_offset, emit_fma, load_unaligned, prefetch, splat, store_unaligned
from ..simd.scalar_math import ROUND_MAGIC
from ..simd.shapes import WIDTH
from ..simd.shuffle import shuffle_mask
from .int8_layout import ROTATION

ROW, WORDS = ir.VectorType(FLOAT, ROTATION), ir.VectorType(WORD, ROTATION)


@intrinsic
def mix(typing, source, target, coming):
    """target (K,) = source (K,), mixed: K is a multiple of MIXED. The two may be one.

    A vector of each of the row's MIXED parts is in registers at once. Where parts are whole rows of MIXED neighbours, so
    are these, and are mixed before they are written; and `coming`, a row like this one, is asked for meanwhile.
    """

    def emit(context, builder, signature, values):
        arrays = [context.make_array(kind)(context, builder, v) for kind, v in zip(signature.args, values)]
        begun, ended, later = (builder.bitcast(array.data, ADDRESS) for array in arrays)
        count = builder.extract_value(arrays[0].shape, 0)
        part = builder.udiv(count, INT(ROTATION))
        fits = builder.icmp_unsigned("==", builder.urem(part, INT(ROTATION)), INT(0))
        with builder.if_else(fits) as (at_once, in_turn):
            with at_once:
                mix_parts(builder, begun, ended, part, INT(0), ROTATION, whole=True, later=later)
            with in_turn:
                done = INT(0)
                for lanes in (WIDTH, WIDTH // 2, 1):
                    done = mix_parts(builder, begun, ended, part, done, lanes)
                with cgutils.for_range(builder, part) as group:
                    place = byte_offset(builder, ended, builder.mul(group.index, INT(4 * ROTATION)))
                    store_unaligned(builder, within(builder, load_unaligned(builder, place, ROW)), place)

    return types.void(source, target, coming), emit


def mix_parts(builder, begun, ended, part, first, lanes, whole=False, later=None) -> ir.Value:
    """From place `first` of each part on, as long as there are so many `lanes` -> the place that is next. If they are
    `whole` rows of neighbours, these are mixed, too, and `later` is asked for."""
    vector = ir.VectorType(FLOAT, lanes)
    groups = builder.udiv(builder.sub(part, first), INT(lanes))
    with cgutils.for_range(builder, groups) as group:
        place = builder.add(first, builder.mul(group.index, INT(lanes)))
        distances = [builder.mul(INT(4), builder.add(place, builder.mul(INT(number), part))) for number in range(ROTATION)]
        held = [load_unaligned(builder, byte_offset(builder, begun, distance), vector) for distance in distances]
        for value, distance in zip(across(builder, held), distances):
            if whole:
                prefetch(builder, byte_offset(builder, later, distance))
                value = within(builder, value)
            store_unaligned(builder, value, byte_offset(builder, ended, distance))
    return builder.add(first, builder.mul(groups, INT(lanes)))


def across(builder, held: list[ir.Value]) -> list[ir.Value]:
    """MIXED vectors, mixed with each other."""
    for apart in (4, 1):
        sums = {place: builder.fadd(held[place], held[place ^ apart]) for place in range(ROTATION) if not place & apart}
        totals = {place: builder.fadd(sums[place], sums[place ^ 2 * apart]) for place in sums if not place & 2 * apart}
        held = [without_twice(builder, totals[place & ~(3 * apart)], value) for place, value in enumerate(held)]
    return held


def within(builder, value: ir.Value) -> ir.Value:
    """The MIXED lanes of a vector, mixed with each other."""
    for apart in (4, 1):
        total = value
        for distance in (apart, 2 * apart):
            others = builder.shuffle_vector(total, total, shuffle_mask(lane ^ distance for lane in range(ROTATION)))
            total = builder.fadd(total, others)
        value = without_twice(builder, total, value)
    return value


def without_twice(builder, total: ir.Value, value: ir.Value) -> ir.Value:
    return emit_fma(builder, value, ir.Constant(value.type, [-2.0] * value.type.count), total)


@intrinsic
def round_row(typing, source, target, factor, zero):
    """target (K,) = the nearest whole numbers to source (K,) times factor, plus zero; from 0 to 255. K is a multiple of MIXED.

    A compiler's loop over `np.rint`, `min` and `max` took 14 cycles for 16 values, half of all that is done to a row.
    """
    whole = ir.IntType(target.dtype.bitwidth)

    def emit(context, builder, signature, values):
        source, target = (context.make_array(kind)(context, builder, v) for kind, v in zip(signature.args, values[:2]))
        begun, ended = (builder.bitcast(array.data, ADDRESS) for array in (source, target))
        factor, zero = splat(builder, values[2], ROTATION), builder.fptosi(values[3], WORD)
        start = splat(builder, builder.sub(zero, ir.Constant(WORD, ROUND_MAGIC.view(np.int32).item())), ROTATION)
        with cgutils.for_range(builder, builder.udiv(builder.extract_value(source.shape, 0), INT(ROTATION))) as group:
            first = builder.mul(group.index, INT(ROTATION))
            value = builder.fmul(load_unaligned(builder, byte_offset(builder, begun, builder.mul(first, INT(4))), ROW), factor)
            rounded = builder.bitcast(builder.fadd(value, ir.Constant(ROW, [ROUND_MAGIC.item()] * ROTATION)), WORDS)
            number = builder.add(rounded, start)
            for limit, beyond in ((0, "<"), (255, ">")):
                limit = ir.Constant(WORDS, [limit] * ROTATION)
                number = builder.select(builder.icmp_signed(beyond, number, limit), limit, number)
            place = byte_offset(builder, ended, builder.mul(first, INT(whole.width // 8)))
            store_unaligned(builder, builder.trunc(number, ir.VectorType(whole, ROTATION)), place)

    return types.void(source, target, types.float32, types.float32), emit
