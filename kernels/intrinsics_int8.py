"""Mixing a row, a step of it: what `int8_reference.mix` does, in vectors."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core.cgutils import for_range
from numba.extending import intrinsic

from .int8_reference import MIXED
from .intrinsics import ADDRESS, FLOAT, INT, WORD, loaded, moved, stored
from .intrinsics_layout import riffled


@intrinsic
def mix_four_times(typing, source, target):
    """Four rounds of `mix_once`, 16 vectors at a time, in registers: K is a multiple of 16 vectors, of 16 values or of 8.

    A round makes vectors 2 j and 2 j + 1 of j and j + n / 2 (n of them). So 16 that lie n / 16 apart are, four rounds
    later, 16 neighbours. Eight rounds over memory took 3 cycles a value, two of these one.
    """

    def emit(context, builder, signature, values):
        source, target = (context.make_array(kind)(context, builder, v) for kind, v in zip(signature.args, values))
        begun, ended = (builder.bitcast(array.data, ADDRESS) for array in (source, target))
        count = builder.extract_value(source.shape, 0)
        wide = builder.icmp_unsigned("==", builder.urem(count, INT(16 * 16)), INT(0))
        with builder.if_else(wide) as (sixteen, eight):
            for block, lanes in ((sixteen, 16), (eight, 8)):
                with block:
                    emit_rounds(builder, begun, ended, count, lanes)

    return types.void(source, target), emit


def emit_rounds(builder, begun, ended, count, lanes) -> None:
    vector, groups = ir.VectorType(FLOAT, lanes), builder.udiv(count, INT(16 * lanes))
    with for_range(builder, groups) as loop:
        first, apart = builder.mul(loop.index, INT(4 * lanes)), builder.mul(groups, INT(4 * lanes))
        held = [loaded(builder, moved(builder, begun, first, builder.mul(apart, INT(place))), vector) for place in range(16)]
        mixed = riffled(builder, held, 4, lambda a, b: (builder.fadd(a, b), builder.fsub(a, b)))
        for place, value in enumerate(mixed):
            stored(builder, value, moved(builder, ended, builder.mul(first, INT(16)), 4 * lanes * place))


@intrinsic
def mix_once(typing, source, target):
    """target (K,) = the sums and the differences of source's halves, in turn; K is a multiple of 2 MIXED.

    Numba makes no vectors of such a loop, for its writes do not lie side by side: a row took 2.8 ns a value for 0.8 now.
    """

    def emit(context, builder, signature, values):
        halves = ir.VectorType(FLOAT, MIXED)
        source, target = (context.make_array(kind)(context, builder, v) for kind, v in zip(signature.args, values))
        begun, ended = (builder.bitcast(array.data, ADDRESS) for array in (source, target))
        half = builder.udiv(builder.extract_value(source.shape, 0), INT(2))
        order = ir.Constant(ir.VectorType(WORD, 2 * MIXED), [i // 2 + i % 2 * MIXED for i in range(2 * MIXED)])
        with for_range(builder, builder.udiv(half, INT(MIXED))) as loop:
            first = builder.mul(loop.index, INT(4 * MIXED))
            left = loaded(builder, moved(builder, begun, first), halves)
            right = loaded(builder, moved(builder, begun, first, builder.mul(half, INT(4))), halves)
            pairs = builder.shuffle_vector(builder.fadd(left, right), builder.fsub(left, right), order)
            stored(builder, pairs, moved(builder, ended, builder.mul(first, INT(2))))

    return types.void(source, target), emit
