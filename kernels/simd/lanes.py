"""A softmax in each lane: maxima and exponentials of rows of NR floats, in registers from the first row to the last.

As loops over a row, which LLVM vectorizes, they took twice as long (Zen 3): a row is but two vectors.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from ..compiler.intrinsic import intrinsic
from ..compiler.toolchain import cgutils, types
from .elementwise import counted_loop
from .emit import ADDRESS, INT, byte_offset, load_unaligned, store_unaligned
from .scalar_math import exp_nonpositive
from .shapes import NR, WIDTH
from .trace import FLOATS, trace

GROUP = 4  # rows that are read before their maximum, or their sum, is added to that of the rows before
VECTORS = NR // WIDTH  # of a row

Combine = Callable[[ir.IRBuilder, ir.Value, ir.Value], ir.Value]
Visit = Callable[[int, ir.Value, ir.Value], ir.Value]  # (vector of a row, its address, what it holds) -> what is combined


@intrinsic
def max_of_lanes(typing, scores, largest):
    """largest (NR,) = the maximum of each lane of scores (L, NR), L > 0, which have no NaN."""

    def emit(context, builder, signature, values):
        scores, largest = (context.make_array(array)(context, builder, value) for array, value in zip(signature.args, values))
        initial = vectors_of(builder, scores)
        maxima = reduce_rows(builder, scores, initial, emit_max, lambda vector, address, value: value)
        for value, address in zip(maxima, addresses_of(builder, largest)):
            store_unaligned(builder, value, address)

    return types.void(scores, largest), emit


@intrinsic
def exp_of_lanes(typing, scores, largest, total):
    """scores (L, NR) become exp(scores - largest); total (NR,) += their sum over the rows."""

    def emit(context, builder, signature, values):
        arrays = (context.make_array(array)(context, builder, value) for array, value in zip(signature.args, values))
        scores, largest, total = arrays
        maxima = vectors_of(builder, largest)

        def exp(vector: int, address: ir.Value, value: ir.Value) -> ir.Value:
            power = trace(exp_nonpositive, builder, builder.fsub(value, maxima[vector]))
            store_unaligned(builder, power, address)
            return power

        sums = reduce_rows(builder, scores, [ir.Constant(FLOATS, None)] * VECTORS, ir.IRBuilder.fadd, exp)
        for value, address in zip(sums, addresses_of(builder, total)):
            store_unaligned(builder, builder.fadd(load_unaligned(builder, address, FLOATS), value), address)

    return types.void(scores, largest, total), emit


@intrinsic
def scale_lanes(typing, rows, factors):
    """rows (R, NR) *= factors (NR,)."""

    def emit(context, builder, signature, values):
        rows, factors = (context.make_array(array)(context, builder, value) for array, value in zip(signature.args, values))
        start, stride = builder.bitcast(rows.data, ADDRESS), builder.extract_value(rows.strides, 0)
        vectors = vectors_of(builder, factors)
        with counted_loop(builder, builder.extract_value(rows.shape, 0)) as row:
            for vector, factor in enumerate(vectors):
                address = byte_offset(builder, start, builder.mul(row, stride), INT(4 * WIDTH * vector))
                store_unaligned(builder, builder.fmul(load_unaligned(builder, address, FLOATS), factor), address)

    return types.void(rows, factors), emit


def reduce_rows(builder: ir.IRBuilder, array, initial: list[ir.Value], combine: Combine, visit: Visit) -> list[ir.Value]:
    """Combine what `visit` makes of each row's vectors, the rows of a group with each other first -> a row of vectors."""
    start, stride = builder.bitcast(array.data, ADDRESS), builder.extract_value(array.strides, 0)
    rows, results = builder.extract_value(array.shape, 0), [cgutils.alloca_once_value(builder, value) for value in initial]
    groups = builder.udiv(rows, INT(GROUP))
    for count, first, end in ((GROUP, INT(0), groups), (1, builder.mul(groups, INT(GROUP)), rows)):
        with cgutils.for_range(builder, end, start=first, intp=INT) as loop:
            row = byte_offset(builder, start, builder.mul(builder.mul(loop.index, INT(count)), stride))
            for vector, result in enumerate(results):
                values = []
                for i in range(count):
                    address = byte_offset(builder, row, builder.mul(INT(i), stride), INT(4 * WIDTH * vector))
                    values.append(visit(vector, address, load_unaligned(builder, address, FLOATS)))
                while len(values) > 1:
                    values = [combine(builder, *values[i : i + 2]) for i in range(0, len(values), 2)]
                builder.store(combine(builder, builder.load(result), *values), result)
    return [builder.load(result) for result in results]


def addresses_of(builder: ir.IRBuilder, row) -> list[ir.Value]:
    """Of the vectors of an array's first NR floats."""
    start = builder.bitcast(row.data, ADDRESS)
    return [byte_offset(builder, start, INT(4 * WIDTH * vector)) for vector in range(VECTORS)]


def vectors_of(builder: ir.IRBuilder, row) -> list[ir.Value]:
    return [load_unaligned(builder, address, FLOATS) for address in addresses_of(builder, row)]


def emit_max(builder: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)
