"""The register tile, written once for three kinds of numbers: y (R, C) += x (R, K) @ panel (K, C), summed in registers.

A step multiplies one line of the panel, 4 bytes for each of C outputs, with 4 bytes of each of R rows:

    float32     one value of k            fma
    bf16        two neighbours of k       vdpbf16ps; elsewhere widened, and two fmas
    int8        four neighbours of k      vpdpbusd; elsewhere pmaddwd, or plain products

    panel[k]                  b0 = a vector of outputs     b1 = the next
    x[0, k] = a, spread       sums00 += a · b0             sums01 += a · b1
    x[1, k] = a, spread       sums10 += a · b0             sums11 += a · b1       ... 2 R multiply-adds for 2 + R reads

x comes as its transpose, rows side by side, so that a step reads it in one place (`tiles.py` lays it so). A running sum
takes `chunk` steps and is then added to a total: so float32 stays exact, and each chunk of int8 has its own scales.
Where there are 32 registers the totals stay in them, too; elsewhere they wait in y.

On the way the bytes of `coming`, which are soon to be read, are asked for, a little at each step: reading weights from
memory takes as long as the arithmetic of some ten rows, and so costs little beside it. A row's instructions are the
same whatever R is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from llvmlite import ir
from llvmlite.binding import llvm_version_info
from numba import types
from numba.core.cgutils import for_range, get_or_insert_function
from numba.extending import intrinsic

from . import int8_layout
from .int8_layout import GROUP
from .int8_reference import SPAN
from .intrinsics import ADDRESS, BYTE, FLOAT, INT, WORD, call, each_height, loaded, moved, multiply_add, prefetch, spread, stored
from .vectors import CHUNK, COLUMNS, PAIRED, ROWS, TOTALS_IN_REGISTERS, WIDTH
from .vectors_int8 import WAY

SHORT = ir.IntType(16)


class Numbers(NamedTuple):
    """What a kind of numbers is to the tile."""

    rows: int  # of a tile at most
    chunk: int  # steps in a running sum
    columns: int  # outputs of a panel
    outputs: int  # of one vector; a panel wider than two is taken in several parts
    x_bytes: int  # of a row, in a step
    weights: ir.Type  # of one vector of outputs in a line
    sums: ir.Type
    add: Callable  # (builder, two vectors of sums, where a row's x is, two vectors of weights) -> two vectors of sums
    scale: Callable  # (builder, sums, where their scales are) -> what is added to the totals
    finish: Callable  # (builder, totals, where their columns are, and the next line of these, a row's ranges) -> y


class Arguments(NamedTuple):
    """What a tile is called with: addresses, distances in bytes, and numbers."""

    y: ir.Value
    x: ir.Value
    panel: ir.Value
    coming: ir.Value
    scales: ir.Value
    columns: ir.Value
    ranges: ir.Value
    y_row: ir.Value  # from one row of y to the next
    x_step: ir.Value
    line: ir.Value  # of the panel
    scales_line: ir.Value
    columns_line: ir.Value
    steps: ir.Value
    ahead: ir.Value  # bytes of `coming` a step
    first: ir.Value  # whether y is yet to be begun
    last: ir.Value  # whether it is then whole


class BFloat(ir.Type):
    """LLVM's bfloat, which llvmlite has no name for."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other) -> bool:
        return isinstance(other, BFloat)

    def __hash__(self) -> int:
        return hash(BFloat)


FLOATS, WORDS = ir.VectorType(FLOAT, WIDTH), ir.VectorType(WORD, WIDTH)
PAIRS = ir.VectorType(BFloat(), 2 * WIDTH)


def float32() -> Numbers:
    return Numbers(ROWS, CHUNK, COLUMNS, WIDTH, 4, FLOATS, FLOATS, add_floats, as_they_are, plus_bias)


def bf16() -> Numbers:
    add = add_pairs_at_once if PAIRED else add_pairs_widened
    return Numbers(ROWS, CHUNK // 2, COLUMNS, WIDTH, 4 if PAIRED else 8, WORDS, FLOATS, add, as_they_are, plus_bias)


def int8() -> Numbers:
    add, sums, unite = WAYS[WAY.name]
    weights = ir.VectorType(BYTE, WAY.outputs * GROUP)
    return Numbers(WAY.rows, SPAN // GROUP, int8_layout.COLUMNS, WAY.outputs, WAY.x_bytes, weights,
                   ir.VectorType(WORD, sums * WAY.outputs), in_both(add), scaled(unite), dequantised)  # fmt: skip


@intrinsic
def add_product(typing, y, x, panel, coming, scales, columns, ranges, first, last):
    """float32: y (R, C) += x (K, R)ᵀ @ panel (K, 4 C bytes). Of what follows, only columns (1, C), the bias, is read."""
    return signature(y, x, panel, coming, scales, columns, ranges), emitter(float32())


@intrinsic
def add_product_of_pairs(typing, y, x, panel, coming, scales, columns, ranges, first, last):
    """bf16: y (R, C) += x (K / 2, ·)ᵀ @ panel (K / 2, 4 C bytes); x has two bf16 a step if PAIRED, else two floats."""
    return signature(y, x, panel, coming, scales, columns, ranges), emitter(bf16())


@intrinsic
def add_scaled_product(typing, y, x, panel, coming, scales, columns, ranges, first, last):
    """int8: y (R, C) += scales[span] · (x (K / 4, ·)ᵀ @ panel (K / 4, 4 C bytes)) of each span, whose sums are exact; the
    last time, with columns (2, C), the bias and the weights' sums, and ranges (R, 2), each row's scale and zero."""
    return signature(y, x, panel, coming, scales, columns, ranges), emitter(int8())


@intrinsic
def interleave(typing, source, target):
    """source (R, K) of words -> target (K R,): target[k R + r] = source[r, k], for R from 1 to the rows of a tile.

    In vectors: a loop with a store for each word took 6 % of a product of 1,024 rows of 3,072 → 768."""
    words, most = ir.IntType(source.dtype.bitwidth), max(ROWS, WAY.rows)

    def emit(context, builder, signature, values):
        source, target = (context.make_array(kind)(context, builder, v) for kind, v in zip(signature.args, values))
        (rows, count), line = (builder.extract_value(source.shape, axis) for axis in (0, 1)), builder.extract_value(source.strides, 0)
        begun, ended = (builder.bitcast(array.data, ADDRESS) for array in (source, target))
        for height in each_height(builder, rows, most):
            whole = builder.udiv(count, INT(WIDTH))
            with for_range(builder, whole) as loop:
                emit_interleaved(builder, begun, ended, line, words, WIDTH, height, builder.mul(loop.index, INT(WIDTH)))
            with for_range(builder, count, builder.mul(whole, INT(WIDTH))) as loop:
                emit_interleaved(builder, begun, ended, line, words, 1, height, loop.index)

    return types.void(source, target), emit


def emit_interleaved(builder, begun, ended, line, words, width, height, first) -> None:
    """So many words of each row from the first on, put where they belong."""
    size = words.width // 8
    rows = [loaded(builder, moved(builder, begun, builder.mul(INT(row), line), builder.mul(first, INT(size))), ir.VectorType(words, width))
            for row in range(height)]  # fmt: skip
    joined = rows[0]
    for row in rows[1:]:
        lanes = [*range(joined.type.count), *range(joined.type.count, joined.type.count + width)]
        joined = builder.shuffle_vector(*widened(builder, joined, row), ir.Constant(ir.VectorType(WORD, len(lanes)), lanes))
    order = [row * width + k for k in range(width) for row in range(height)]
    joined = builder.shuffle_vector(joined, joined, ir.Constant(ir.VectorType(WORD, len(order)), order))
    stored(builder, joined, moved(builder, ended, builder.mul(first, INT(size * height))))


def widened(builder, left, right):
    """Two vectors, the shorter one filled up to the length of the other."""
    lanes = ir.Constant(ir.VectorType(WORD, left.type.count), [min(lane, right.type.count) for lane in range(left.type.count)])
    return left, builder.shuffle_vector(right, ir.Constant(right.type, ir.Undefined), lanes)


def signature(*arrays):
    return types.void(*arrays, types.boolean, types.boolean)


def emitter(numbers: Numbers) -> Callable:
    """What Numba calls to have a tile's instructions written. Arrays are of two axes, the second contiguous; x may be of
    one: a step's bytes for each row, the next step's, ..."""

    def emit(context, builder, signature, values):
        *arrays, first, last = values
        arrays = [context.make_array(kind)(context, builder, value) for kind, value in zip(signature.args, arrays)]
        y, x, panel, coming, scales, columns, _ = arrays
        x_step = None if signature.args[1].ndim == 1 else builder.extract_value(x.strides, 0)
        steps, (lines, length) = builder.extract_value(panel.shape, 0), (builder.extract_value(coming.shape, i) for i in (0, 1))
        ahead = builder.udiv(builder.mul(lines, length), steps)
        places = [builder.bitcast(array.data, ADDRESS) for array in arrays]
        y_row, *lines = (builder.extract_value(array.strides, 0) for array in (y, panel, scales, columns))
        for count in each_height(builder, builder.extract_value(y.shape, 0), numbers.rows):
            tile = tile_of(builder.module, numbers, count)
            for column in range(0, numbers.columns, 2 * numbers.outputs):
                further = (4 * column, 0, 4 * column, 0, 4 * column, 4 * column, 0)
                starts = [moved(builder, place, distance) for place, distance in zip(places, further)]
                builder.call(tile, [*starts, y_row, x_step or INT(count * numbers.x_bytes), *lines, steps, ahead, first, last])

    return emit


def tile_of(module: ir.Module, numbers: Numbers, rows: int) -> ir.Function:
    """The tile of so many rows, as a function that all places in a module call: a second copy takes a second to compile."""
    kind = ir.FunctionType(ir.VoidType(), [ADDRESS] * 7 + [INT] * 7 + [ir.IntType(1)] * 2)
    tile = get_or_insert_function(module, kind, f"minibert_tile_{numbers.add.__name__}_{rows}")
    if tile.is_declaration:
        tile.linkage = "internal"
        tile.attributes.add("noinline")
        emit_tile(ir.IRBuilder(tile.append_basic_block("entry")), numbers, rows, Arguments(*tile.args))
    return tile


def emit_tile(builder: ir.IRBuilder, numbers: Numbers, rows: int, given: Arguments) -> None:
    """A loop over chunks, and in it one over steps; before them y is read, after them it is written."""
    size, floats = 4 * numbers.outputs, ir.VectorType(FLOAT, numbers.outputs)
    halves = [(row, half * size) for row in range(rows) for half in (0, 1)]  # a row's two vectors
    places = [moved(builder, given.y, builder.mul(INT(row), given.y_row), half) for row, half in halves]
    before, chunk, step, added, done = (builder.append_basic_block(name) for name in ("before", "chunk", "step", "added", "done"))
    nothing = [ir.Constant(floats, None)] * len(halves)
    for place in places:
        prefetch(builder, place, to_write=True)
    if not TOTALS_IN_REGISTERS:
        with builder.if_then(given.first):
            store_all(builder, nothing, places)
    builder.branch(before)

    builder.position_at_end(before)
    begun = []
    if TOTALS_IN_REGISTERS:
        begun = [builder.select(given.first, zero, loaded(builder, place, floats)) for zero, place in zip(nothing, places)]
    builder.branch(chunk)

    builder.position_at_end(chunk)
    number, start = builder.phi(INT), builder.phi(INT)
    totals = [builder.phi(floats) for _ in begun]
    wanted = builder.add(start, INT(numbers.chunk))
    stop = builder.select(builder.icmp_signed("<", wanted, given.steps), wanted, given.steps)
    builder.branch(step)

    builder.position_at_end(step)
    k = builder.phi(INT)
    sums = [builder.phi(numbers.sums) for _ in halves]
    line = moved(builder, given.panel, builder.mul(k, given.line))
    weights = [loaded(builder, moved(builder, line, half), numbers.weights) for half in (0, size)]
    for further in range(0, 2 * size, 64):
        prefetch(builder, moved(builder, given.coming, builder.mul(k, given.ahead), further))
    x, new = moved(builder, given.x, builder.mul(k, given.x_step)), []
    for row in range(rows):
        new += numbers.add(builder, sums[2 * row : 2 * row + 2], moved(builder, x, row * numbers.x_bytes), weights)
    next_k = builder.add(k, INT(1))
    builder.cbranch(builder.icmp_signed("<", next_k, stop), step, added)
    join([k, *sums], chunk, [start, *[ir.Constant(numbers.sums, None)] * len(sums)], step, [next_k, *new])

    builder.position_at_end(added)
    scales = moved(builder, given.scales, builder.mul(number, given.scales_line))
    scaled = [numbers.scale(builder, one, moved(builder, scales, half)) for one, (_, half) in zip(new, halves)]
    if not TOTALS_IN_REGISTERS:
        totals = [loaded(builder, place, floats) for place in places]
    later = [builder.fadd(total, one) for total, one in zip(totals, scaled)]
    if not TOTALS_IN_REGISTERS:
        store_all(builder, later, places)
    next_number = builder.add(number, INT(1))
    builder.cbranch(builder.icmp_signed("<", stop, given.steps), chunk, done)
    join([number, start], before, [INT(0), INT(0)], added, [next_number, stop])
    if TOTALS_IN_REGISTERS:
        join(totals, before, begun, added, later)

    builder.position_at_end(done)
    with builder.if_else(given.last) as (whole, partial):
        with whole:
            finished = []
            for total, (row, half) in zip(later, halves):
                columns, ranges = moved(builder, given.columns, half), moved(builder, given.ranges, 8 * row)
                finished.append(numbers.finish(builder, total, columns, moved(builder, columns, given.columns_line), ranges))
            store_all(builder, finished, places)
        with partial:
            store_all(builder, later, places)
    builder.ret_void()


def store_all(builder: ir.IRBuilder, values: list, places: list) -> None:
    for value, place in zip(values, places):
        stored(builder, value, place)


def join(phis: list, left: ir.Block, lefts: list, right: ir.Block, rights: list) -> None:
    """Each phi's value, by the block from which it is come to."""
    for phi, from_left, from_right in zip(phis, lefts, rights, strict=True):
        phi.add_incoming(from_left, left)
        phi.add_incoming(from_right, right)


# float32 and bf16


def as_they_are(builder, sums, scales):
    return sums


def plus_bias(builder, totals, bias, _, ranges):
    return builder.fadd(totals, loaded(builder, bias, totals.type))


def add_floats(builder, sums, place, weights):
    a = builder.bitcast(spread(builder, loaded(builder, place, WORD), WIDTH), FLOATS)
    return [multiply_add(builder, a, b, c) for b, c in zip(weights, sums)]


def add_pairs_at_once(builder, sums, place, weights):
    """vdpbf16ps: both products of a pair, added to the sum, in one instruction."""
    a = builder.bitcast(spread(builder, loaded(builder, place, WORD), WIDTH), PAIRS)
    name = f"llvm.x86.avx512bf16.dpbf16ps.{32 * WIDTH}"
    return [call(builder, name, FLOATS, c, a, builder.bitcast(b, PAIRS)) for b, c in zip(weights, sums)]


def add_pairs_widened(builder, sums, place, weights):
    """A bf16 is the upper half of a float: the first of a pair is shifted up, the second's lower half is cleared."""
    sixteen, upper = ir.Constant(WORDS, [16] * WIDTH), ir.Constant(WORDS, [0xFFFF0000] * WIDTH)
    for which, widen in enumerate((lambda b: builder.shl(b, sixteen), lambda b: builder.and_(b, upper))):
        floats = [builder.bitcast(widen(b), FLOATS) for b in weights]
        sums = add_floats(builder, sums, moved(builder, place, 4 * which), floats)
    return sums


# int8: three ways to add a line's products, as `vectors_int8.py` tells them


def in_both(add: Callable) -> Callable:
    """A way to add to one vector of sums -> the same for a row's two."""

    def add_both(builder, sums, place, weights):
        x = loaded(builder, place, ir.IntType(8 * WAY.x_bytes))
        return [add(builder, total, x, b) for total, b in zip(sums, weights)]

    add_both.__name__ = add.__name__
    return add_both


def scaled(unite: Callable) -> Callable:
    """(builder, sums, where their scales are) -> floats, one an output, times its scale."""

    def scale(builder, sums, scales):
        whole = unite(builder, sums)
        floats = ir.VectorType(FLOAT, whole.type.count)
        return builder.fmul(builder.sitofp(whole, floats), loaded(builder, scales, floats))

    return scale


def dequantised(builder, totals, bias, sums, ranges):
    """What whole numbers stood for: scale · (total − zero · the weights' sum) + bias."""
    scale, zero = (spread(builder, loaded(builder, moved(builder, ranges, at), FLOAT), totals.type.count) for at in (0, 4))
    found = builder.fsub(totals, builder.fmul(zero, loaded(builder, sums, totals.type)))
    return builder.fadd(builder.fmul(found, scale), loaded(builder, bias, totals.type))


def add_vnni(builder, sums, x, weights):
    """sums[n] += x · weights[4 n : 4 n + 4], in one instruction."""
    x, bits = spread(builder, x, sums.type.count), 32 * sums.type.count
    if llvm_version_info[0] >= 21:  # older ones take the bytes as words
        x = builder.bitcast(x, weights.type)
    else:
        weights = builder.bitcast(weights, x.type)
    return call(builder, f"llvm.x86.avx512.vpdpbusd.{bits}", sums.type, sums, x, weights)


def add_pairs(builder, sums, x, weights):
    """sums[2 n] += the first two products of output n, sums[2 n + 1] += the last two."""
    wide = ir.VectorType(SHORT, weights.type.count)
    x = builder.bitcast(spread(builder, x, WAY.outputs), wide)
    name = "llvm.x86.avx2.pmadd.wd" if WAY.outputs == 4 else "llvm.x86.sse2.pmadd.wd"
    return builder.add(sums, call(builder, name, sums.type, x, builder.sext(weights, wide)))


def add_plain(builder, sums, x, weights):
    """sums[4 n + i] += product i of output n."""
    x = builder.bitcast(spread(builder, x, WAY.outputs), weights.type)
    return builder.add(sums, builder.mul(builder.zext(x, sums.type), builder.sext(weights, sums.type)))


def whole_already(builder, sums):
    return sums


def halves(builder, sums):
    """[a0 a1 b0 b1 ...] -> [a0 + a1, b0 + b1, ...]."""
    undefined, count = ir.Constant(sums.type, ir.Undefined), sums.type.count // 2
    parts = [ir.Constant(ir.VectorType(WORD, count), list(range(first, 2 * count, 2))) for first in (0, 1)]
    return builder.add(*(builder.shuffle_vector(sums, undefined, part) for part in parts))


def quarters(builder, sums):
    return halves(builder, halves(builder, sums))


WAYS = {  # name -> how a line is added, the sums of each output, how they become one
    "vnni": (add_vnni, 1, whole_already),
    "pairs": (add_pairs, 2, halves),
    "plain": (add_plain, 4, quarters),
}
