"""Intrinsics for loops over one row: prefetch, non-temporal stores, scaled copies, reassociable sums, maximum and clamps.

The first two are for operations limited by memory bandwidth, on arrays larger than the last-level cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from llvmlite import ir

from ..compiler.intrinsic import intrinsic
from ..compiler.toolchain import types
from .emit import ADDRESS, CACHE_LINE, FLOAT, INT, byte_offset, load_unaligned, prefetch, splat, store_unaligned
from .shapes import WIDTH


@contextmanager
def counted_loop(builder: ir.IRBuilder, count: ir.Value) -> Iterator[ir.Value]:
    """Emit a loop: what is emitted inside the `with` statement runs for i = 0, 1, ... below `count`."""
    before, body, after = builder.block, builder.append_basic_block("body"), builder.append_basic_block("after")
    builder.cbranch(builder.icmp_signed("<", INT(0), count), body, after)
    builder.position_at_end(body)
    i = builder.phi(INT)
    i.add_incoming(INT(0), before)
    yield i
    next_i = builder.add(i, INT(1))
    i.add_incoming(next_i, builder.block)  # the body's last block, if it has loops of its own
    builder.cbranch(builder.icmp_signed("<", next_i, count), body, after)
    builder.position_at_end(after)


def vectors_of_row(builder: ir.IRBuilder, length: ir.Value) -> Iterator[tuple[ir.Value, int]]:
    """Emit loops over a row: over four vectors at a time, over the vectors that are left, and over the values that are left.
    Yield, once for each loop, the index of the first value, and how many they are: 4 WIDTH, WIDTH or 1."""
    done = INT(0)
    for count in (4 * WIDTH, WIDTH, 1):
        with counted_loop(builder, builder.udiv(builder.sub(length, done), INT(count))) as i:
            yield builder.add(done, builder.mul(i, INT(count))), count
        done = builder.mul(builder.udiv(length, INT(count)), INT(count))


@intrinsic
def scale_row(typing, source, factor, target):
    """target (K,) = source (K,) times the factor, all float32 and contiguous. For a head's part of a row, a compiler's loop takes
    as long to find out whether the two overlap, and how long they are, as to copy."""

    def emit(context, builder, signature, values):
        arrays = [context.make_array(array)(context, builder, values[i]) for i, array in ((0, source), (2, target))]
        start, to = (builder.bitcast(array.data, ADDRESS) for array in arrays)
        for first, lanes in vectors_of_row(builder, builder.extract_value(arrays[0].shape, 0)):
            offset = builder.mul(first, INT(4))
            x = load_unaligned(builder, byte_offset(builder, start, offset), ir.VectorType(FLOAT, lanes))
            store_unaligned(builder, builder.fmul(x, splat(builder, values[1], lanes)), byte_offset(builder, to, offset))

    return types.void(source, factor, target), emit


@intrinsic
def prefetch_row(typing, row):
    """Prefetch every cache line of a contiguous row."""

    def emit(context, builder, signature, values):
        array = context.make_array(row)(context, builder, values[0])
        start = builder.bitcast(array.data, ADDRESS)
        size = builder.mul(builder.extract_value(array.shape, 0), INT(row.dtype.bitwidth // 8))
        with counted_loop(builder, builder.udiv(builder.add(size, INT(CACHE_LINE - 1)), INT(CACHE_LINE))) as i:
            prefetch(builder, builder.gep(start, [builder.mul(i, INT(CACHE_LINE))]))

    return types.void(row), emit


@intrinsic
def store_nontemporal(typing, target, source, factor):
    """target[:] = source * factor with non-temporal stores (x86 `movnt`), which skip the caches. An ordinary store reads a
    cache line before it overwrites it: a third of the traffic of a kernel that reads and writes as many bytes.

    Both arrays are contiguous, of a multiple of 16 floats, and `target` is aligned to a cache line. Other threads see the
    values after this thread's next locked instruction, such as `fetch_add`.
    """

    def emit(context, builder, signature, values):
        vector = ir.VectorType(FLOAT, WIDTH).as_pointer()
        arrays = [context.make_array(array)(context, builder, value) for array, value in zip(signature.args, values[:2])]
        to, of = (builder.bitcast(array.data, vector) for array in arrays)
        factor, one = splat(builder, values[2], WIDTH), builder.module.add_metadata([ir.IntType(32)(1)])
        with counted_loop(builder, builder.udiv(builder.extract_value(arrays[0].shape, 0), INT(WIDTH))) as i:
            value = builder.fmul(builder.load(builder.gep(of, [i]), align=4), factor)
            builder.store(value, builder.gep(to, [i]), align=4 * WIDTH).set_metadata("nontemporal", one)

    return types.void(target, source, types.float32), emit


@intrinsic
def add_reassoc(typing, a, b):
    """a + b that LLVM may reassociate: a loop that adds so is vectorized, with several partial sums."""

    def emit(context, builder, signature, values):
        return builder.fadd(*values, flags=("reassoc",))

    return types.float32(types.float32, types.float32), emit


@intrinsic
def max_nnan(typing, a, b):
    """The larger of two float32 that are not NaN. A loop over it is vectorized, for a maximum is the same in any order.

    A loop over Python's `max` is not: LLVM 22 requires the nnan and nsz flags on the select, and Numba sets them on the
    comparison only."""

    def emit(context, builder, signature, values):
        flags = ("nnan", "nsz")
        greater = builder.fcmp_ordered(">", *values, flags=flags)
        return builder.select(greater, *values, flags=flags)

    return types.float32(types.float32, types.float32), emit


@intrinsic
def clamp_max(typing, a, b):
    """b if a > b else a: a NaN in `a` stays NaN."""
    return types.float32(types.float32, types.float32), emit_clamp(">")


@intrinsic
def clamp_min(typing, a, b):
    """b if a < b else a: a NaN in `a` stays NaN."""
    return types.float32(types.float32, types.float32), emit_clamp("<")


def emit_clamp(comparison: str) -> Callable:
    """The function that emits a clamp: values[1] if values[0] `comparison` values[1], else values[0]."""

    def emit(context, builder, signature, values):
        return builder.select(builder.fcmp_ordered(comparison, *values), values[1], values[0])

    return emit
