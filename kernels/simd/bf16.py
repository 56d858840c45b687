"""Rounding to bf16, the upper half of a float32: of a value, of vectors, of a row, and of two rows side by side.

A row may be in bf16 already, as uint16."""

from __future__ import annotations

from llvmlite import ir

from ..compiler.intrinsic import intrinsic
from ..compiler.toolchain import types
from .elementwise import counted_loop, vectors_of_row
from .emit import ADDRESS, FLOAT, INT, WORD, byte_offset, load_unaligned, splat, store_unaligned


def nearest_bf16(builder: ir.IRBuilder, values: ir.Value) -> ir.Value:
    """The nearest bf16 to a float, or to each of a vector, as words whose lower halves are 0. NaN stays NaN."""
    is_vector = isinstance(values.type, ir.VectorType)
    words = ir.VectorType(WORD, values.type.count) if is_vector else WORD

    def constant(value):
        return ir.Constant(words, [value] * words.count if is_vector else value)

    bits = builder.bitcast(values, words)
    odd = builder.and_(builder.lshr(bits, constant(16)), constant(1))
    nearest = builder.add(builder.add(bits, constant(0x7FFF)), odd)
    not_a_number = builder.fcmp_unordered("uno", values, values)
    return builder.and_(builder.select(not_a_number, builder.or_(bits, constant(0x400000)), nearest), constant(0xFFFF0000))


def upper_halves(builder: ir.IRBuilder, words: ir.Value) -> ir.Value:
    """The upper 16 bits of each word."""
    halves = ir.VectorType(ir.IntType(16), words.type.count)
    return builder.trunc(shift_right(builder, words), halves)


def shift_right(builder: ir.IRBuilder, words: ir.Value) -> ir.Value:
    """Each word's upper half as its lower one."""
    return builder.lshr(words, ir.Constant(words.type, [16] * words.type.count))


def load_values(builder: ir.IRBuilder, row: types.Array, start: ir.Value, first: ir.Value, lanes: int) -> ir.Value:
    """A vector of a row's values from `first` on, given the row's address: of float32 as they are, of bf16 as floats."""
    if row.dtype != types.uint16:
        return load_unaligned(builder, byte_offset(builder, start, builder.mul(first, INT(4))), ir.VectorType(FLOAT, lanes))
    halves = load_unaligned(
        builder, byte_offset(builder, start, builder.mul(first, INT(2))), ir.VectorType(ir.IntType(16), lanes)
    )
    words = builder.zext(halves, ir.VectorType(WORD, lanes))
    return builder.bitcast(builder.shl(words, ir.Constant(words.type, [16] * lanes)), ir.VectorType(FLOAT, lanes))


@intrinsic
def round_to_bf16(typing, value):
    """A float32 -> a word whose upper half is the nearest bf16, and whose lower half is 0. A loop over it is vectorized."""

    def emit(context, builder, signature, values):
        return nearest_bf16(builder, values[0])

    return types.uint32(types.float32), emit


@intrinsic
def round_scaled(typing, source, scale, halves):
    """halves (K,) of 16 bits = source (K,) times the scale, as bf16; both contiguous."""

    def emit(context, builder, signature, values):
        arrays = [context.make_array(array)(context, builder, values[i]) for i, array in ((0, source), (2, halves))]
        start, target = (builder.bitcast(array.data, ADDRESS) for array in arrays)
        for first, lanes in vectors_of_row(builder, builder.extract_value(arrays[0].shape, 0)):
            x = load_values(builder, source, start, first, lanes)
            words = nearest_bf16(builder, builder.fmul(x, splat(builder, values[1], lanes)))
            store_unaligned(builder, upper_halves(builder, words), byte_offset(builder, target, builder.mul(first, INT(2))))

    return types.void(source, scale, halves), emit


LINE = 32  # bf16 of a cache line


@intrinsic
def round_lines(typing, source, halves, stride):
    """Each LINE values of source (K,) -> a line of bf16; the lines are `stride` apart in `halves`. K is a multiple of LINE."""

    def emit(context, builder, signature, values):
        arrays = [context.make_array(array)(context, builder, value) for array, value in zip((source, halves), values)]
        start, target = (builder.bitcast(array.data, ADDRESS) for array in arrays)
        distance = builder.mul(values[2], INT(2))
        with counted_loop(builder, builder.udiv(builder.extract_value(arrays[0].shape, 0), INT(LINE))) as line:
            words = nearest_bf16(builder, load_values(builder, source, start, builder.mul(line, INT(LINE)), LINE))
            place = byte_offset(builder, target, builder.mul(line, distance))
            store_unaligned(builder, upper_halves(builder, words), place)

    return types.void(source, halves, types.int64), emit


@intrinsic
def pair_rows(typing, rows):
    """rows (R, W) float32, each contiguous -> in place, rows[: (R + 1) / 2] of words with the bf16 of rows 2 r and 2 r + 1; 0 next
    to an odd last one."""

    def emit(context, builder, signature, arguments):
        array = context.make_array(rows)(context, builder, arguments[0])
        start, stride = builder.bitcast(array.data, ADDRESS), builder.extract_value(array.strides, 0)
        count, width = (builder.extract_value(array.shape, axis) for axis in (0, 1))
        pairs = builder.udiv(count, INT(2))

        def pair_at(row: ir.Value, has_second: bool) -> None:
            target = byte_offset(builder, start, builder.mul(row, stride))
            first = byte_offset(builder, target, builder.mul(row, stride))
            emit_pair(builder, rows, first, byte_offset(builder, first, stride) if has_second else None, target, width)

        with counted_loop(builder, pairs) as row:
            pair_at(row, has_second=True)
        with builder.if_then(builder.trunc(count, ir.IntType(1))):
            pair_at(pairs, has_second=False)

    return types.void(rows), emit


@intrinsic
def pair(typing, first, second, target):
    """target (W,) = words of both rows' bf16, the first one's in the lower half. All are contiguous."""

    def emit(context, builder, signature, values):
        arrays = [context.make_array(array)(context, builder, value) for array, value in zip(signature.args, values)]
        addresses = (builder.bitcast(array.data, ADDRESS) for array in arrays)
        emit_pair(builder, first, *addresses, builder.extract_value(arrays[0].shape, 0))

    return types.void(first, second, target), emit


def emit_pair(
    builder: ir.IRBuilder, row: types.Array, first: ir.Value, second: ir.Value | None, target: ir.Value, width: ir.Value
) -> None:
    """`pair` of rows at these addresses; 0 in the upper halves without a second."""
    for column, lanes in vectors_of_row(builder, width):
        words = shift_right(builder, nearest_bf16(builder, load_values(builder, row, first, column, lanes)))
        if second is not None:
            words = builder.or_(words, nearest_bf16(builder, load_values(builder, row, second, column, lanes)))
        store_unaligned(builder, words, byte_offset(builder, target, builder.mul(column, INT(4))))
