"""Reading and writing memory as the machine has it, for `wordpiece.py`: what Python has no word for."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

BYTE, WORD = ir.IntType(8), ir.IntType(64)


def address(builder, data, index, kind):
    """data + index elements, as a pointer to `kind`."""
    return builder.bitcast(builder.gep(data, [index]), kind.as_pointer())


def load(builder, data, index, kind):
    """A value of `kind` from data[index] on, aligned or not."""
    value = builder.load(address(builder, data, index, kind))
    value.align = 1
    return value


def filled(builder, vector, value):
    """A vector with `value` in every place."""
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    nowhere = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), nowhere)


@intrinsic
def pointer(typing_context, array):
    """Where an array's values lie, to be read and written as p[i]."""

    def generate(context, builder, signature, arguments):
        return context.make_array(signature.args[0])(context, builder, arguments[0]).data

    return types.CPointer(array.dtype)(array), generate


@intrinsic
def load_word(typing_context, data, index):
    """data[index : index + 8] of bytes as one uint64, aligned or not."""

    def generate(context, builder, signature, arguments):
        return load(builder, *arguments, WORD)

    return types.uint64(data, types.int64), generate


@intrinsic
def store_word(typing_context, data, index, word):
    """data[index : index + 8] of bytes = a uint64."""

    def generate(context, builder, signature, arguments):
        builder.store(arguments[2], address(builder, *arguments[:2], WORD)).align = 1
        return context.get_dummy_value()

    return types.none(data, types.int64, types.uint64), generate


@intrinsic
def prefetch(typing_context, data, index):
    """Ask for the cache line of data[index], and go on without it."""

    def generate(context, builder, signature, arguments):
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [BYTE.as_pointer(), number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch", [BYTE.as_pointer()], kind)
        to_read, into_nearest_cache, of_data = number(0), number(3), number(1)
        builder.call(function, [address(builder, *arguments, BYTE), to_read, into_nearest_cache, of_data])
        return context.get_dummy_value()

    return types.none(data, types.int64), generate


@intrinsic
def bytes_before_space(typing_context, data, index):
    """How many bytes from data[index] on come before the first space; 17 where that is more than 16. Reads 32 bytes."""

    def generate(context, builder, signature, arguments):
        block = load(builder, *arguments, ir.VectorType(BYTE, 32))
        spaces = builder.icmp_unsigned("==", block, ir.Constant(block.type, [ord(" ")] * 32))
        spaces = builder.or_(builder.bitcast(spaces, ir.IntType(32)), ir.Constant(ir.IntType(32), 1 << 17))
        return builder.zext(builder.cttz(spaces, ir.Constant(ir.IntType(1), 1)), WORD)

    return types.int64(data, types.int64), generate


@intrinsic
def copy_six(typing_context, to, index, data, place):
    """to[index : index + 6] of int32 = the 24 bytes from data[place] on."""

    def generate(context, builder, signature, arguments):
        for part, kind in ((0, ir.VectorType(WORD, 2)), (16, WORD)):
            place = builder.add(arguments[3], ir.Constant(WORD, part))
            index = builder.add(arguments[1], ir.Constant(WORD, part // 4))
            value = load(builder, arguments[2], place, kind)
            builder.store(value, address(builder, arguments[0], index, kind)).align = 4
        return context.get_dummy_value()

    return types.none(to, types.int64, data, types.int64), generate


def spread(count):
    """An intrinsic: to[index : index + count] of int32 = `count` bytes from data[place] on, and `more` to each."""

    @intrinsic
    def generated(typing_context, to, index, data, place, more):
        def generate(context, builder, signature, arguments):
            vector = ir.VectorType(ir.IntType(32), count)
            numbers = builder.zext(load(builder, *arguments[2:4], ir.VectorType(BYTE, count)), vector)
            more = filled(builder, vector, builder.trunc(arguments[4], ir.IntType(32)))
            total = builder.add(numbers, more)
            builder.store(total, address(builder, *arguments[:2], vector)).align = 4
            return context.get_dummy_value()

        return types.none(to, types.int64, data, types.int64, types.int64), generate

    return generated


spread_twelve, spread_eight = spread(12), spread(8)
