"""Past the caches, for arrays larger than they are: to ask for what comes, to write what nobody reads soon; and a maximum.

As in `intrinsics.py`: what Python cannot say and the machine can. Used where an operation is as fast as memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from llvmlite import ir

from ..compiler.intrinsic import intrinsic
from ..compiler.toolchain import types
from .emit import ADDRESS, FLOAT, INT, prefetch, splat
from .shapes import WIDTH

LINE = 64  # bytes


@contextmanager
def counting(builder: ir.IRBuilder, count: ir.Value) -> Iterator[ir.Value]:
    """What is emitted inside is a loop's body, for 0, 1, ... below `count`."""
    before, body, after = builder.block, builder.append_basic_block("body"), builder.append_basic_block("after")
    builder.cbranch(builder.icmp_signed("<", INT(0), count), body, after)
    builder.position_at_end(body)
    i = builder.phi(INT)
    i.add_incoming(INT(0), before)
    yield i
    following = builder.add(i, INT(1))
    i.add_incoming(following, body)
    builder.cbranch(builder.icmp_signed("<", following, count), body, after)
    builder.position_at_end(after)


@intrinsic
def prefetch_row(typing, line):
    """The contiguous `line` is on its way to the caches, a line of which is asked for at a time."""

    def emit(context, builder, signature, values):
        array = context.make_array(line)(context, builder, values[0])
        start = builder.bitcast(array.data, ADDRESS)
        size = builder.mul(builder.extract_value(array.shape, 0), INT(4))
        with counting(builder, builder.udiv(builder.add(size, INT(LINE - 1)), INT(LINE))) as i:
            prefetch(builder, builder.gep(start, [builder.mul(i, INT(LINE))]))

    return types.void(line), emit


@intrinsic
def store_nontemporal(typing, target, source, factor):
    """target[:] = source * factor, a multiple of 16 floats, past the caches: memory is not first read into a line that is
    then written whole, a third of all that is moved. `target` begins at a line of the cache; both are contiguous.

    Other threads see it after this one's next locked instruction, which `fetch_add` is.
    """

    def emit(context, builder, signature, values):
        vector = ir.VectorType(FLOAT, WIDTH).as_pointer()
        arrays = [context.make_array(kind)(context, builder, value) for kind, value in zip(signature.args, values[:2])]
        to, of = (builder.bitcast(array.data, vector) for array in arrays)
        factor, one = splat(builder, values[2], WIDTH), builder.module.add_metadata([ir.IntType(32)(1)])
        with counting(builder, builder.udiv(builder.extract_value(arrays[0].shape, 0), INT(WIDTH))) as i:
            value = builder.fmul(builder.load(builder.gep(of, [i]), align=4), factor)
            builder.store(value, builder.gep(to, [i]), align=4 * WIDTH).set_metadata("nontemporal", one)

    return types.void(target, source, types.float32), emit


@intrinsic
def add_reassoc(typing, a, b):
    """a + b, of which a compiler may make several sums: a loop that adds so, and computes as well, becomes vectors."""

    def emit(context, builder, signature, values):
        return builder.fadd(*values, flags=("reassoc",))

    return types.float32(types.float32, types.float32), emit


@intrinsic
def max_nnan(typing, a, b):
    """The larger of two float32 that are not NaN. A largest value is the same in any order, so a loop over it becomes
    vectors; over Python's `max` it does not, because LLVM 22 looks for the leave to do so where Numba does not put it."""

    def emit(context, builder, signature, values):
        leave = ("nnan", "nsz")
        first = builder.fcmp_ordered(">", *values, flags=leave)
        return builder.select(first, *values, flags=leave)

    return types.float32(types.float32, types.float32), emit


@intrinsic
def clamp_max(typing, a, b):
    """b if a > b else a: NaN stays where it is a."""
    return types.float32(types.float32, types.float32), limited(">")


@intrinsic
def clamp_min(typing, a, b):
    """b if a < b else a: NaN stays where it is a."""
    return types.float32(types.float32, types.float32), limited("<")


def limited(comparison: str) -> Callable:
    def emit(context, builder, signature, values):
        return builder.select(builder.fcmp_ordered(comparison, *values), values[1], values[0])

    return emit
