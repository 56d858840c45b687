"""Reading and writing memory as the machine has it, for `wordpiece.py`: what Python has no word for."""

from __future__ import annotations

from llvmlite import ir

from ..compiler.intrinsic import intrinsic
from ..compiler.toolchain import cgutils, types

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


def first_bytes(builder, data, index, size):
    """16 bytes from byte `index` of `data` on, those behind the first `size` as zeros."""
    vector = ir.VectorType(BYTE, 16)
    block = load(builder, builder.bitcast(data, BYTE.as_pointer()), index, vector)
    places, sizes = ir.Constant(vector, list(range(16))), filled(builder, vector, builder.trunc(size, BYTE))
    return builder.select(builder.icmp_unsigned("<", places, sizes), block, ir.Constant(vector, [0] * 16))


@intrinsic
def load_key(typing_context, data, index, size):
    """The first 16 of `size` bytes from byte `index` of `data` on as two uint64, filled up with zeros."""

    def generate(context, builder, signature, arguments):
        words = builder.bitcast(first_bytes(builder, *arguments), ir.VectorType(WORD, 2))
        halves = [builder.extract_element(words, ir.Constant(ir.IntType(32), half)) for half in (0, 1)]
        return context.make_tuple(builder, signature.return_type, halves)

    return types.UniTuple(types.uint64, 2)(data, types.int64, types.int64), generate


@intrinsic
def has_key(typing_context, rows, row, data, index, size):
    """Whether rows[row : row + 16] of bytes are the same."""

    def generate(context, builder, signature, arguments):
        key = first_bytes(builder, *arguments[2:])
        equal = builder.icmp_unsigned("==", load(builder, *arguments[:2], key.type), key)
        return builder.icmp_unsigned("==", builder.bitcast(equal, ir.IntType(16)), ir.Constant(ir.IntType(16), 0xFFFF))

    return types.boolean(rows, types.int64, data, types.int64, types.int64), generate


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
def spaces(typing_context, data, index):
    """Which of the units in the 64 bytes from data[index] on are spaces, as bits of a uint64."""

    def generate(context, builder, signature, arguments):
        unit = arguments[0].type.pointee
        vector = ir.VectorType(unit, 512 // unit.width)
        found = builder.icmp_unsigned("==", load(builder, *arguments, vector), ir.Constant(vector, [ord(" ")] * vector.count))
        found = builder.bitcast(found, ir.IntType(vector.count))
        return found if vector.count == WORD.width else builder.zext(found, WORD)

    return types.uint64(data, types.int64), generate


@intrinsic
def lowest(typing_context, bits):
    """The place of the lowest bit that is set, of a uint64 that is not 0."""

    def generate(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), generate


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


def pointer_to(kind):
    """An intrinsic: an address, as a pointer p to values of this kind, to be read and written as p[i]."""

    @intrinsic
    def generated(typing_context, address):
        def generate(context, builder, signature, arguments):
            return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

        return types.CPointer(kind)(address), generate

    return generated


bytes_at, halves_at, words_at, numbers_at = map(pointer_to, (types.uint8, types.uint16, types.uint32, types.int64))


@intrinsic
def copy(typing_context, to, data, count):
    """to[:count] = data[:count]."""

    def generate(context, builder, signature, arguments):
        cgutils.raw_memcpy(builder, *arguments, arguments[0].type.pointee.width // 8)
        return context.get_dummy_value()

    return types.none(to, data, types.int64), generate


@intrinsic
def fill_with_spaces(typing_context, to, index):
    """Spaces from to[index] on, 64 bytes of them."""

    def generate(context, builder, signature, arguments):
        unit = arguments[0].type.pointee
        vector = ir.VectorType(unit, 512 // unit.width)
        spaces = ir.Constant(vector, [ord(" ")] * vector.count)
        builder.store(spaces, address(builder, *arguments, vector)).align = 1
        return context.get_dummy_value()

    return types.none(to, types.int64), generate


@intrinsic
def widen(typing_context, to, index, data):
    """to[index : index + 32] of two bytes each = data[index : index + 32] of one."""

    def generate(context, builder, signature, arguments):
        vector = ir.VectorType(ir.IntType(16), 32)
        units = builder.zext(load(builder, arguments[2], arguments[1], ir.VectorType(BYTE, 32)), vector)
        builder.store(units, address(builder, *arguments[:2], vector)).align = 1
        return context.get_dummy_value()

    return types.none(to, types.int64, data), generate


@intrinsic
def has_surrogate(typing_context, data, index):
    """Whether data[index : index + 32] of two bytes each has one of those of which UTF-16 makes a character by two."""

    def generate(context, builder, signature, arguments):
        vector = ir.VectorType(ir.IntType(16), 32)
        block = builder.and_(load(builder, *arguments, vector), ir.Constant(vector, [0xF800] * 32))
        found = builder.icmp_unsigned("==", block, ir.Constant(vector, [0xD800] * 32))
        return builder.icmp_unsigned("!=", builder.bitcast(found, ir.IntType(32)), ir.Constant(ir.IntType(32), 0))

    return types.boolean(data, types.int64), generate
