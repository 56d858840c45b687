"""The register tile: y (R, C) += x (R, K) @ panel (K, C), summed in registers, written once for three kinds of numbers.

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
same whatever R is. What differs between the numbers is in `intrinsics_numbers.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from llvmlite import ir

from ..compiler.intrinsic import intrinsic
from ..compiler.toolchain import cgutils, types
from ..simd.emit import ADDRESS, FLOAT, INT, byte_offset, load_unaligned, prefetch, store_unaligned, switch_on_rows
from ..simd.shapes import TOTALS_IN_REGISTERS
from .dtypes import Numbers, bf16, float32, int8

AT_ONCE = 2  # rows of which both lines of y and of the residual are asked for at a time


class Arguments(NamedTuple):
    """What a tile is called with: addresses, distances in bytes, and numbers."""

    y: ir.Value
    x: ir.Value
    panel: ir.Value
    coming: ir.Value
    scales: ir.Value
    columns: ir.Value
    ranges: ir.Value
    residual: ir.Value
    y_row: ir.Value  # from one row of y to the next
    x_step: ir.Value
    line: ir.Value  # of the panel
    scales_line: ir.Value
    columns_line: ir.Value
    residual_row: ir.Value
    steps: ir.Value
    ahead: ir.Value  # bytes of `coming` a step
    chunk: ir.Value  # steps in a running sum
    first: ir.Value  # whether y is yet to be begun
    last: ir.Value  # whether it is then whole
    adds: ir.Value  # whether the residual is then added


@intrinsic
def add_product(typing, y, x, panel, coming, scales, columns, ranges, residual, place, first, last):
    """float32: the tile of y at (row, column) += x (K, R)ᵀ @ panel (K, 4 C bytes); at last + columns (1, ·), the bias, and
    + residual, an array like y, or an empty one. Of what else follows nothing is read.

    `place` is (row, R, column, where in x the tile begins, which line of `coming` is asked for first, how many bytes of it
    a step, steps of a running sum): numbers, because each array that is cut costs a tile some 15 instructions."""
    return signature(y, x, panel, coming, scales, columns, ranges, residual, place), emitter(float32())


@intrinsic
def add_product_of_pairs(typing, y, x, panel, coming, scales, columns, ranges, residual, place, first, last):
    """bf16: y += x (K / 2, ·)ᵀ @ panel (K / 2, 4 C bytes); x has two bf16 a step if HAS_AVX512_BF16, else two floats."""
    return signature(y, x, panel, coming, scales, columns, ranges, residual, place), emitter(bf16())


@intrinsic
def add_scaled_product(typing, y, x, panel, coming, scales, columns, ranges, residual, place, first, last):
    """int8: y += scales[span] · (x (K / 4, ·)ᵀ @ panel (K / 4, 4 C bytes)) of each span, whose sums are exact; at last with
    columns (2, ·), the bias and the weights' sums, and ranges (M, 2), each row's scale and zero."""
    return signature(y, x, panel, coming, scales, columns, ranges, residual, place), emitter(int8())


def signature(*arguments):
    return types.void(*arguments, types.boolean, types.boolean)


def emitter(numbers: Numbers) -> Callable:
    """What Numba calls to have a tile's instructions written. Arrays are of two axes, the second contiguous; x may be of
    one: a step's bytes for each row, the next step's, ..."""

    def emit(context, builder, signature, values):
        *arrays, place, first, last = values
        arrays = [context.make_array(kind)(context, builder, value) for kind, value in zip(signature.args, arrays)]
        y, x, panel, coming, scales, columns, ranges, residual = arrays
        row, rows, column, start, asked, ahead, chunk = (builder.extract_value(place, i) for i in range(7))
        y_row, coming_row, ranges_row, *distances = (
            builder.extract_value(array.strides, 0) for array in (y, coming, ranges, panel, scales, columns, residual)
        )
        x_step = None if signature.args[1].ndim == 1 else builder.extract_value(x.strides, 0)
        across = builder.mul(INT(4), column)
        begins = [
            [builder.mul(row, y_row), across], [builder.mul(INT(4), start)], [], [builder.mul(asked, coming_row)],
            [across], [across], [builder.mul(row, ranges_row)], [builder.mul(row, distances[-1]), across],
        ]  # fmt: skip
        places = [byte_offset(builder, builder.bitcast(array.data, ADDRESS), *begin) for array, begin in zip(arrays, begins)]
        steps = builder.extract_value(panel.shape, 0)
        adds = builder.and_(last, builder.icmp_signed(">", builder.extract_value(residual.shape, 0), INT(0)))
        for count in switch_on_rows(builder, rows, numbers.rows):
            tile = tile_of(builder.module, numbers, count)
            for column in range(0, numbers.columns, 2 * numbers.outputs):
                further = (4 * column, 0, 4 * column, 0, 4 * column, 4 * column, 0, 4 * column)
                starts = [byte_offset(builder, place, distance) for place, distance in zip(places, further)]
                step = x_step or INT(count * numbers.x_bytes)
                builder.call(tile, [*starts, y_row, step, *distances, steps, ahead, chunk, first, last, adds])

    return emit


def tile_of(module: ir.Module, numbers: Numbers, rows: int) -> ir.Function:
    """The tile of so many rows, as a function that all places in a module call: a copy takes a second to compile."""
    kind = ir.FunctionType(ir.VoidType(), [ADDRESS] * 8 + [INT] * 9 + [ir.IntType(1)] * 3)
    tile = cgutils.get_or_insert_function(module, kind, f"minibert_tile_{numbers.add.__name__}_{rows}")
    if tile.is_declaration:
        tile.linkage = "internal"
        tile.attributes.add("noinline")
        emit_tile(ir.IRBuilder(tile.append_basic_block("entry")), numbers, rows, Arguments(*tile.args))
    return tile


class Tile:
    """A tile's instructions in pieces, and what they share. A row has two vectors of y: all its lists go row by row."""

    def __init__(self, builder: ir.IRBuilder, numbers: Numbers, rows: int, given: Arguments):
        self.builder, self.numbers, self.rows, self.given = builder, numbers, rows, given
        self.size, self.floats = 4 * numbers.outputs, ir.VectorType(FLOAT, numbers.outputs)
        self.halves = [(row, half * self.size) for row in range(rows) for half in (0, 1)]

    def at(self, address: ir.Value, distance: ir.Value | int, *steps: tuple) -> ir.Value:
        """An address, so many bytes further on, and so many steps of a length."""
        counted = [self.builder.mul(INT(count) if isinstance(count, int) else count, length) for count, length in steps]
        return byte_offset(self.builder, address, distance, *counted)

    def places(self) -> list[ir.Value]:
        return [self.at(self.given.y, half, (row, self.given.y_row)) for row, half in self.halves]

    def residuals(self) -> list[ir.Value]:
        return [self.at(self.given.residual, half, (row, self.given.residual_row)) for row, half in self.halves]

    def read(self) -> list[ir.Value]:
        return [load_unaligned(self.builder, place, self.floats) for place in self.places()]

    def write(self, values: list[ir.Value]) -> None:
        for place, value in zip(self.places(), values, strict=True):
            store_unaligned(self.builder, value, place)

    def begin(self) -> list[ir.Value]:
        """What the totals begin with: 0 the first time, then what is in y. Nothing, where y itself keeps them."""
        builder, zero = self.builder, ir.Constant(self.floats, None)
        if TOTALS_IN_REGISTERS:
            return [builder.select(self.given.first, zero, found) for found in self.read()]
        with builder.if_then(self.given.first):
            self.write([zero] * len(self.halves))
        return []

    def ask(self, chunk: ir.Value) -> None:
        """Some rows of y and of the residual are asked for: with the first chunk the first rows, with the next the next. Of
        many lines that are asked for at once, a Zen 4 forgets what is too much."""
        builder, given, most = self.builder, self.given, AT_ONCE
        with builder.if_then(builder.icmp_unsigned("<", chunk, INT(-(-self.rows // most)))):
            first = builder.mul(chunk, INT(most))
            for row, half in self.halves[: 2 * most]:
                number = builder.add(first, INT(row))
                prefetch(builder, self.at(given.y, half, (number, given.y_row)), to_write=True)
                prefetch(builder, self.at(given.residual, half, (number, given.residual_row)))

    def step(self, k: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
        """The sums, with one line's products added."""
        builder, given = self.builder, self.given
        places = [self.at(given.panel, half, (k, given.line)) for half in (0, self.size)]
        weights = [load_unaligned(builder, place, self.numbers.weights) for place in places]
        for line in range(0, 2 * self.size, 64):
            prefetch(builder, self.at(given.coming, line, (k, given.ahead)))
        new = []
        for row in range(self.rows):
            x = self.at(given.x, row * self.numbers.x_bytes, (k, given.x_step))
            new += self.numbers.add(builder, sums[2 * row : 2 * row + 2], x, weights)
        return new

    def add_up(self, totals: list[ir.Value], sums: list[ir.Value], chunk: ir.Value) -> list[ir.Value]:
        """The totals, with a chunk's sums added."""
        scales = [self.at(self.given.scales, half, (chunk, self.given.scales_line)) for _, half in self.halves]
        scaled = [self.numbers.scale(self.builder, one, place) for one, place in zip(sums, scales)]
        new = [self.builder.fadd(total, one) for total, one in zip(totals or self.read(), scaled)]
        if not TOTALS_IN_REGISTERS:
            self.write(new)
        return new

    def end(self, totals: list[ir.Value]) -> None:
        """The totals into y; the last time what follows is done to them."""
        builder, given = self.builder, self.given
        with builder.if_else(given.last) as (whole, partial):
            with whole:
                finished = []
                for total, (row, half) in zip(totals, self.halves):
                    columns, ranges = self.at(given.columns, half), self.at(given.ranges, 8 * row)
                    following = self.at(columns, given.columns_line)
                    finished.append(self.numbers.finish(builder, total, columns, following, ranges))
                with builder.if_else(given.adds) as (added, alone):
                    with added:
                        others = [load_unaligned(builder, residual, self.floats) for residual in self.residuals()]
                        self.write([builder.fadd(value, other) for value, other in zip(finished, others)])
                    with alone:
                        self.write(finished)
            with partial:
                self.write(totals)


def emit_tile(builder: ir.IRBuilder, numbers: Numbers, rows: int, given: Arguments) -> None:
    """A loop over chunks, and in it one over steps."""
    tile = Tile(builder, numbers, rows, given)
    blocks = [builder.append_basic_block(name) for name in ("before", "chunk", "step", "added", "done")]
    before, chunk, step, added, done = blocks
    begun = tile.begin()
    builder.branch(before)
    builder.position_at_end(before)
    builder.branch(chunk)

    builder.position_at_end(chunk)
    number, start = builder.phi(INT), builder.phi(INT)
    totals = [builder.phi(tile.floats) for _ in begun]
    tile.ask(number)
    wanted = builder.add(start, given.chunk)
    stop = builder.select(builder.icmp_signed("<", wanted, given.steps), wanted, given.steps)
    asked = builder.block
    builder.branch(step)

    builder.position_at_end(step)
    k, sums = builder.phi(INT), [builder.phi(numbers.sums) for _ in tile.halves]
    new = tile.step(k, sums)
    next_k = builder.add(k, INT(1))
    builder.cbranch(builder.icmp_signed("<", next_k, stop), step, added)
    join([k, *sums], asked, [start, *[ir.Constant(numbers.sums, None)] * len(sums)], step, [next_k, *new])

    builder.position_at_end(added)
    later, next_number = tile.add_up(totals, new, number), builder.add(number, INT(1))
    builder.cbranch(builder.icmp_signed("<", stop, given.steps), chunk, done)
    join([number, start], before, [INT(0), INT(0)], added, [next_number, stop])
    if TOTALS_IN_REGISTERS:
        join(totals, before, begun, added, later)

    builder.position_at_end(done)
    tile.end(later)
    builder.ret_void()


def join(phis: list, left: ir.Block, lefts: list, right: ir.Block, rights: list) -> None:
    """Each phi's value, by the block from which it is come to."""
    for phi, from_left, from_right in zip(phis, lefts, rights, strict=True):
        phi.add_incoming(from_left, left)
        phi.add_incoming(from_right, right)
