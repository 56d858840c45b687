"""Unaligned reads and writes of bytes and UTF-16 units, for the tokenizer's kernels, as LLVM IR.

Arrays are raw pointers here: `data_pointer(array)`, or `u8_ptr(address)` and the like. Both are indexed as p[i].
"""

from __future__ import annotations

from llvmlite import ir

from ..compiler.intrinsic import intrinsic
from ..compiler.toolchain import cgutils, types
from .emit import call, load_unaligned, splat, store_unaligned

U8, U16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))


def load_at(builder, data, index, value_type):
    """A value of this type from element `index` of `data` on, aligned or not."""
    return load_unaligned(builder, builder.gep(data, [index]), value_type)


def store_at(builder, data, index, value):
    """Write a value from element `index` of `data` on, aligned or not."""
    store_unaligned(builder, value, builder.gep(data, [index]))


# --- pointers ---


@intrinsic
def data_pointer(typing_context, array):
    """The address of an array's first value, as a pointer to values of its type."""

    def emit(context, builder, signature, arguments):
        return context.make_array(signature.args[0])(context, builder, arguments[0]).data

    return types.CPointer(array.dtype)(array), emit


def pointer_to(value_type):
    """An intrinsic: an address -> a pointer to values of this type."""

    @intrinsic
    def as_pointer(typing_context, address):
        def emit(context, builder, signature, arguments):
            return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

        return types.CPointer(value_type)(address), emit

    return as_pointer


u8_ptr, u16_ptr, u32_ptr, i64_ptr = map(pointer_to, (types.uint8, types.uint16, types.uint32, types.int64))


# --- the keys of segments ---


def load_first_bytes(builder, data, index, size):
    """16 bytes from element `index` of `data` on; those after the first `size` are zeros."""
    vector = ir.VectorType(U8, 16)
    block = load_at(builder, data, index, vector)
    lanes, most = ir.Constant(vector, list(range(16))), I64(16)
    size = builder.select(builder.icmp_unsigned("<", size, most), size, most)  # 8 bits hold it
    sizes = splat(builder, builder.trunc(size, U8), 16)
    return builder.select(builder.icmp_unsigned("<", lanes, sizes), block, ir.Constant(vector, [0] * 16))


@intrinsic
def load_key(typing_context, data, byte, size):
    """The first 16 of `size` bytes from byte `byte` of `data` on, padded with zeros, as two uint64."""

    def emit(context, builder, signature, arguments):
        data, byte, size = arguments
        key = load_first_bytes(builder, builder.bitcast(data, U8.as_pointer()), byte, size)
        words = builder.bitcast(key, ir.VectorType(I64, 2))
        return context.make_tuple(builder, signature.return_type, [builder.extract_element(words, I32(i)) for i in (0, 1)])

    return types.UniTuple(types.uint64, 2)(data, types.int64, types.int64), emit


@intrinsic
def equals_key(typing_context, rows, row, data, byte, size):
    """Whether rows[row : row + 16] are the bytes of this key."""

    def emit(context, builder, signature, arguments):
        rows, row, data, byte, size = arguments
        key = load_first_bytes(builder, builder.bitcast(data, U8.as_pointer()), byte, size)
        equal = builder.icmp_unsigned("==", load_at(builder, rows, row, key.type), key)
        return builder.icmp_unsigned("==", builder.bitcast(equal, U16), U16(0xFFFF))

    return types.boolean(rows, types.int64, data, types.int64, types.int64), emit


@intrinsic
def store_u64(typing_context, data, index, value):
    """data[index : index + 8] of bytes = a uint64."""

    def emit(context, builder, signature, arguments):
        store_at(builder, *arguments)
        return context.get_dummy_value()

    return types.none(data, types.int64, types.uint64), emit


# --- copies ---


@intrinsic
def prefetch_line(typing_context, data, index):
    """Prefetch the cache line of data[index] into the nearest cache."""

    def emit(context, builder, signature, arguments):
        address = builder.bitcast(builder.gep(arguments[0], [arguments[1]]), U8.as_pointer())
        to_read, nearest_cache, of_data = I32(0), I32(3), I32(1)
        call(builder, "llvm.prefetch.p0", ir.VoidType(), address, to_read, nearest_cache, of_data)
        return context.get_dummy_value()

    return types.none(data, types.int64), emit


@intrinsic
def copy_values(typing_context, to, data, count):
    """to[:count] = data[:count]."""

    def emit(context, builder, signature, arguments):
        cgutils.raw_memcpy(builder, *arguments, arguments[0].type.pointee.width // 8)
        return context.get_dummy_value()

    return types.none(to, data, types.int64), emit


@intrinsic
def copy_24_bytes(typing_context, to, index, data, byte):
    """to[index : index + 6] of int32 = the 24 bytes from data[byte] on."""

    def emit(context, builder, signature, arguments):
        to, index, data, byte = arguments
        for offset, value_type in ((0, ir.VectorType(I64, 2)), (16, I64)):
            value = load_at(builder, data, builder.add(byte, I64(offset)), value_type)
            store_at(builder, to, builder.add(index, I64(offset // 4)), value)
        return context.get_dummy_value()

    return types.none(to, types.int64, data, types.int64), emit


def add_u8(count):
    """An intrinsic: to[index : index + count] of int32 = `count` bytes from data[byte] on, plus `summand`."""

    @intrinsic
    def add(typing_context, to, index, data, byte, summand):
        def emit(context, builder, signature, arguments):
            to, index, data, byte, summand = arguments
            values = builder.zext(load_at(builder, data, byte, ir.VectorType(U8, count)), ir.VectorType(I32, count))
            summands = splat(builder, builder.trunc(summand, I32), count)
            store_at(builder, to, index, builder.add(values, summands))
            return context.get_dummy_value()

        return types.none(to, types.int64, data, types.int64, types.int64), emit

    return add


add_u8x12, add_u8x8 = add_u8(12), add_u8(8)


# --- the units of texts ---


@intrinsic
def space_mask(typing_context, data, index):
    """Which of the units in the 64 bytes from data[index] on are spaces, as bits of a uint64."""

    def emit(context, builder, signature, arguments):
        unit = arguments[0].type.pointee
        vector = ir.VectorType(unit, 512 // unit.width)
        spaces = ir.Constant(vector, [ord(" ")] * vector.count)
        equal = builder.icmp_unsigned("==", load_at(builder, *arguments, vector), spaces)
        mask = builder.bitcast(equal, ir.IntType(vector.count))
        return mask if vector.count == I64.width else builder.zext(mask, I64)

    return types.uint64(data, types.int64), emit


@intrinsic
def count_trailing_zeros(typing_context, bits):
    """The index of the lowest set bit of a uint64 that is not 0."""

    def emit(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.IntType(1)(1))

    return types.int64(types.uint64), emit


@intrinsic
def store_spaces(typing_context, to, index):
    """64 bytes of spaces from to[index] on."""

    def emit(context, builder, signature, arguments):
        unit = arguments[0].type.pointee
        vector = ir.VectorType(unit, 512 // unit.width)
        store_at(builder, *arguments, ir.Constant(vector, [ord(" ")] * vector.count))
        return context.get_dummy_value()

    return types.none(to, types.int64), emit


@intrinsic
def widen_u8x32(typing_context, to, index, data):
    """to[index : index + 32] of uint16 = data[index : index + 32] of uint8."""

    def emit(context, builder, signature, arguments):
        to, index, data = arguments
        store_at(builder, to, index, builder.zext(load_at(builder, data, index, ir.VectorType(U8, 32)), ir.VectorType(U16, 32)))
        return context.get_dummy_value()

    return types.none(to, types.int64, data), emit


@intrinsic
def has_surrogate(typing_context, data, index):
    """Whether data[index : index + 32] of uint16 has half of a surrogate pair."""

    def emit(context, builder, signature, arguments):
        vector = ir.VectorType(U16, 32)
        block = builder.and_(load_at(builder, *arguments, vector), ir.Constant(vector, [0xF800] * 32))
        surrogates = builder.icmp_unsigned("==", block, ir.Constant(vector, [0xD800] * 32))
        return builder.icmp_unsigned("!=", builder.bitcast(surrogates, I32), I32(0))

    return types.boolean(data, types.int64), emit
