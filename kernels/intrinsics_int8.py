"""The register tile of whole numbers: x (R, K) of 8-bit values @ a panel of 8-bit weights, summed exactly in 32 bits.

Like `add_product` in `intrinsics.py`; the layout is told in `int8_layout.py`, the three ways in `vectors_int8.py`.
"""

from __future__ import annotations

from llvmlite import ir
from llvmlite.binding import llvm_version_info
from numba import types
from numba.core.cgutils import for_range, get_or_insert_function
from numba.extending import intrinsic

from .int8_layout import GROUP
from .int8_reference import MIXED
from .intrinsics import each_height, prefetch
from .vectors_int8 import ROWS, WAY

BYTE, SHORT, WORD, INT = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.IntType(64)


@intrinsic
def add_scaled_product(typing, y, x, panel, scale, coming, apart):
    """y (R, WIDE) += scale (WIDE,) · (x (R, K) @ panel (K / GROUP, ·)) for R from 1 to ROWS: the sums over K are exact.

    The panel's second vector lies `apart` bytes after its first. On the way the lines of `coming` are asked for, one a
    step: reading weights from memory then costs little beside the arithmetic. A row's numbers do not depend on R.
    """

    def emit(context, builder, signature, values):
        arrays = [context.make_array(kind)(context, builder, value) for kind, value in zip(signature.args, values[:5])]
        rows = builder.extract_value(arrays[0].shape, 0)
        for count in each_height(builder, rows, ROWS):
            emit_tile(builder, count, *arrays, values[5])

    return types.void(y, x, panel, scale, coming, types.int64), emit


def emit_tile(builder: ir.IRBuilder, rows: int, y, x, panel, scale, coming, apart) -> None:
    """The instructions of `add_scaled_product` for a fixed number of rows."""
    add, sums_type, finish = WAYS[WAY.name]
    sums = ir.VectorType(WORD, sums_type())
    x_rows = [moved(builder, x, builder.mul(INT(row), stride(builder, x, 0))) for row in range(rows)]
    before, loop, done = builder.block, builder.append_basic_block("step"), builder.append_basic_block("sums")
    lines = builder.extract_value(panel.shape, 0)
    builder.branch(loop)

    builder.position_at_end(loop)
    step = builder.phi(INT)
    old = [[builder.phi(sums) for _ in range(2)] for _ in range(rows)]
    line = moved(builder, panel, builder.mul(step, stride(builder, panel, 0)))
    prefetch(builder, moved(builder, coming, builder.mul(step, stride(builder, coming, 0))))
    vector = ir.VectorType(BYTE, WAY.outputs * GROUP)
    weights = [load(builder, start, vector) for start in (line, builder.gep(line, [apart]))]
    size = GROUP * (2 if WAY.value == "int16" else 1)
    four = [load(builder, builder.gep(start, [builder.mul(step, INT(size))]), ir.IntType(8 * size)) for start in x_rows]
    new = [[add(builder, old[row][which], four[row], weights[which]) for which in range(2)] for row in range(rows)]
    step_next = builder.add(step, INT(1))
    builder.cbranch(builder.icmp_signed("<", step_next, lines), loop, done)
    step.add_incoming(INT(0), before)
    step.add_incoming(step_next, loop)
    for row in range(rows):
        for which in range(2):
            old[row][which].add_incoming(ir.Constant(sums, [0] * sums.count), before)
            old[row][which].add_incoming(new[row][which], loop)

    builder.position_at_end(done)
    floats = ir.VectorType(ir.FloatType(), WAY.outputs)
    places = [INT(which * WAY.outputs * 4) for which in range(2)]
    scales = [load(builder, moved(builder, scale, place), floats) for place in places]
    for row in range(rows):
        target = moved(builder, y, builder.mul(INT(row), stride(builder, y, 0)))
        for which in range(2):
            total = builder.sitofp(finish(builder, new[row][which]), floats)
            place = builder.bitcast(builder.gep(target, [places[which]]), floats.as_pointer())
            value = builder.fadd(builder.load(place, align=4), builder.fmul(total, scales[which]))
            builder.store(value, place, align=4)


@intrinsic
def mix_once(typing, source, target):
    """target (K,) = the sums and the differences of source's halves, in turn; K is a multiple of 2 MIXED.

    Numba makes no vectors of such a loop, for its writes do not lie side by side: a row took 2.8 ns a value for 0.8 now.
    """

    def emit(context, builder, signature, values):
        halves = ir.VectorType(ir.FloatType(), MIXED)
        source, target = (context.make_array(kind)(context, builder, v) for kind, v in zip(signature.args, values))
        half = builder.udiv(builder.extract_value(source.shape, 0), INT(2))
        order = ir.Constant(ir.VectorType(WORD, 2 * MIXED), [i // 2 + i % 2 * MIXED for i in range(2 * MIXED)])
        with for_range(builder, builder.udiv(half, INT(MIXED))) as loop:
            first = builder.mul(loop.index, INT(4 * MIXED))
            left = load(builder, moved(builder, source, first), halves)
            right = load(builder, moved(builder, source, builder.add(first, builder.mul(half, INT(4)))), halves)
            pairs = builder.shuffle_vector(builder.fadd(left, right), builder.fsub(left, right), order)
            place = moved(builder, target, builder.mul(first, INT(2)))
            builder.store(pairs, builder.bitcast(place, pairs.type.as_pointer()), align=4)

    return types.void(source, target), emit


def moved(builder: ir.IRBuilder, array, offset: ir.Value) -> ir.Value:
    return builder.gep(builder.bitcast(array.data, BYTE.as_pointer()), [offset])


def stride(builder: ir.IRBuilder, array, axis: int) -> ir.Value:
    return builder.extract_value(array.strides, axis)


def load(builder: ir.IRBuilder, place: ir.Value, kind: ir.Type) -> ir.Value:
    return builder.load(builder.bitcast(place, kind.as_pointer()), align=1)


def spread(builder: ir.IRBuilder, value: ir.Value, count: int) -> ir.Value:
    """A value in every lane of a vector."""
    undefined = ir.Constant(ir.VectorType(value.type, count), ir.Undefined)
    lanes = ir.Constant(ir.VectorType(WORD, count), [0] * count)
    return builder.shuffle_vector(builder.insert_element(undefined, value, WORD(0)), undefined, lanes)


def call(builder: ir.IRBuilder, name: str, result: ir.Type, *values: ir.Value) -> ir.Value:
    kind = ir.FunctionType(result, [value.type for value in values])
    return builder.call(get_or_insert_function(builder.module, kind, name), values)


def add_vnni(builder, sums, four, weights):
    """sums[n] += four · weights[4 n : 4 n + 4], in one instruction."""
    x, bits = spread(builder, four, sums.type.count), 32 * sums.type.count
    if llvm_version_info[0] >= 21:  # older ones take the bytes as words
        x = builder.bitcast(x, weights.type)
    else:
        weights = builder.bitcast(weights, x.type)
    return call(builder, f"llvm.x86.avx512.vpdpbusd.{bits}", sums.type, sums, x, weights)


def add_pairs(builder, sums, four, weights):
    """sums[2 n] += the first two products of output n, sums[2 n + 1] += the last two."""
    wide = ir.VectorType(SHORT, weights.type.count)
    x = builder.bitcast(spread(builder, four, WAY.outputs), wide)
    name = "llvm.x86.avx2.pmadd.wd" if WAY.outputs == 4 else "llvm.x86.sse2.pmadd.wd"
    return builder.add(sums, call(builder, name, sums.type, x, builder.sext(weights, wide)))


def add_plain(builder, sums, four, weights):
    """sums[4 n + i] += product i of output n."""
    x = builder.bitcast(spread(builder, four, WAY.outputs), weights.type)
    return builder.add(sums, builder.mul(builder.zext(x, sums.type), builder.sext(weights, sums.type)))


def as_they_are(builder, sums):
    return sums


def halves(builder, sums):
    """[a0 a1 b0 b1 ...] -> [a0 + a1, b0 + b1, ...]."""
    undefined, count = ir.Constant(sums.type, ir.Undefined), sums.type.count // 2
    parts = [ir.Constant(ir.VectorType(WORD, count), list(range(first, 2 * count, 2))) for first in (0, 1)]
    return builder.add(*(builder.shuffle_vector(sums, undefined, part) for part in parts))


def quarters(builder, sums):
    return halves(builder, halves(builder, sums))


WAYS = {  # name -> how a line is added, how many sums a vector has, how they become one an output
    "vnni": (add_vnni, lambda: WAY.outputs, as_they_are),
    "pairs": (add_pairs, lambda: 2 * WAY.outputs, halves),
    "plain": (add_plain, lambda: 4 * WAY.outputs, quarters),
}
