"""A softmax of rows of scores whose weights become bf16, in registers from the maximum to the sum.

With a row's scores side by side, its weights come out as a product on tiles reads them: `lanes.py` has a query in each lane, whose
weights would have to be transposed first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle

from llvmlite import ir

from ..compiler.intrinsic import intrinsic
from ..compiler.toolchain import cgutils, types
from .bf16 import shift_right
from .elementwise import counted_loop
from .emit import ADDRESS, INT, WORD, byte_offset, load_unaligned, smaller, splat, store_unaligned
from .lanes import Combine, emit_max
from .scalar_math import exp_nonpositive
from .shapes import NR, WIDTH
from .shuffle import shuffle_mask
from .trace import FLOATS, WORDS, trace

HALVES = tuple(range(0, NR, WIDTH))  # the first scores of a block's two vectors
LINE_BYTES = 2 * NR
MINUS_INFINITY = ir.Constant(FLOATS, [-math.inf] * WIDTH)
ROWS_AT_ONCE = 2  # while one waits for its maximum, or for its sum, the other has work


@intrinsic
def exp_of_rows(typing, scores, count, lines, sums):
    """The first `count` scores of each row (R, W) -> exp(score - the row's maximum) as bf16: for each NR of them, 0 after the last
    one, a line of each row, whose words are score i and score i + WIDTH. sums (R, 2): the exponentials' sum, and the maximum. The
    scores up to a multiple of NR become -infinity."""

    def emit(context, builder, signature, values):
        arrays = [context.make_array(signature.args[i])(context, builder, values[i]) for i in (0, 2, 3)]
        scores, lines, sums = (builder.bitcast(array.data, ADDRESS) for array in arrays)
        count = values[1]
        rows, stride = builder.extract_value(arrays[0].shape, 0), builder.extract_value(arrays[0].strides, 0)
        groups = builder.udiv(builder.add(rows, INT(ROWS_AT_ONCE - 1)), INT(ROWS_AT_ONCE))
        with counted_loop(builder, groups) as group:
            first, last = builder.mul(group, INT(ROWS_AT_ONCE)), builder.sub(rows, INT(1))
            numbers = [
                smaller(builder, builder.add(first, INT(i)), last) for i in range(ROWS_AT_ONCE)
            ]  # the last row more than once
            addresses = [byte_offset(builder, scores, builder.mul(number, stride)) for number in numbers]
            softmax = RowSoftmax(builder, addresses, count)
            softmax.mask_rest()
            maxima = softmax.maxima()
            targets = [byte_offset(builder, lines, builder.mul(number, INT(LINE_BYTES))) for number in numbers]
            totals = softmax.exponentials(maxima, targets, builder.mul(rows, INT(LINE_BYTES)))
            for number, *results in zip(numbers, totals, maxima):
                for i, vector in enumerate(results):
                    value = builder.extract_element(vector, WORD(0))
                    store_unaligned(builder, value, byte_offset(builder, sums, builder.mul(number, INT(8)), 4 * i))
        return context.get_dummy_value()

    return types.none(scores, types.int64, lines, sums), emit


class RowSoftmax:
    """The passes over some rows, given the addresses of their scores. Lists go row by row, and vector by vector of NR scores."""

    def __init__(self, builder: ir.IRBuilder, rows: list[ir.Value], count: ir.Value):
        self.builder, self.rows, self.count = builder, rows, count
        self.blocks = builder.udiv(builder.add(count, INT(NR - 1)), INT(NR))

    def vectors(self, block: ir.Value) -> list[ir.Value]:
        """The addresses of a block's vectors, of all rows."""
        builder = self.builder
        offset = builder.mul(block, INT(4 * NR))
        return [byte_offset(builder, row, offset, 4 * half) for row in self.rows for half in HALVES]

    def mask_rest(self) -> None:
        """Set the last block's scores after the first `count` to -infinity."""
        builder = self.builder
        whole, rest = builder.udiv(self.count, INT(NR)), builder.urem(self.count, INT(NR))
        with builder.if_then(builder.icmp_unsigned(">", rest, INT(0))):
            limit = splat(builder, builder.trunc(rest, WORD), WIDTH)
            for half, address in zip(cycle(HALVES), self.vectors(whole)):
                lanes = ir.Constant(ir.VectorType(WORD, WIDTH), list(range(half, half + WIDTH)))
                counts = builder.icmp_unsigned("<", lanes, limit)
                store_unaligned(
                    builder, builder.select(counts, load_unaligned(builder, address, FLOATS), MINUS_INFINITY), address
                )

    def maxima(self) -> list[ir.Value]:
        """Each row's maximum, in all lanes."""
        with self.reduce(emit_max, MINUS_INFINITY) as (block, combine):
            for i, address in enumerate(self.vectors(block)):
                combine(i, load_unaligned(self.builder, address, FLOATS))
        return self.results

    def exponentials(self, maxima: list[ir.Value], targets: list[ir.Value], block_bytes: ir.Value) -> list[ir.Value]:
        """Store a line of each row for each block -> the rows' sums, in all lanes."""
        builder, zero = self.builder, ir.Constant(FLOATS, None)
        with self.reduce(ir.IRBuilder.fadd, zero) as (block, combine):
            words = []
            for i, address in enumerate(self.vectors(block)):
                score = load_unaligned(builder, address, FLOATS)
                power = trace(exp_nonpositive, builder, builder.fsub(score, maxima[i // len(HALVES)]))
                combine(i, power)
                words.append(round_number(builder, power))
            for target, first, second in zip(targets, words[0::2], words[1::2]):
                line = builder.or_(shift_right(builder, first), second)
                store_unaligned(builder, line, byte_offset(builder, target, builder.mul(block, block_bytes)))
        return self.results

    @contextmanager
    def reduce(self, combine: Combine, initial: ir.Value) -> Iterator[tuple[ir.Value, Callable[[int, ir.Value], None]]]:
        """Emit a loop over blocks; in the `with` statement, combine(i, value) adds to vector i. Afterwards `results` are the rows'."""
        builder = self.builder
        places = [cgutils.alloca_once(builder, FLOATS) for _ in range(len(self.rows) * len(HALVES))]
        for place in places:
            builder.store(initial, place)
        with counted_loop(builder, self.blocks) as block:
            yield block, lambda i, value: builder.store(combine(builder, builder.load(places[i]), value), places[i])
        vectors = [builder.load(place) for place in places]
        self.results = [reduce_lanes(builder, combine, list(pair)) for pair in zip(vectors[0::2], vectors[1::2])]


def round_number(builder: ir.IRBuilder, values: ir.Value) -> ir.Value:
    """As `bf16.nearest_bf16`, but NaN may become any number: the row's sum is NaN then."""
    bits = builder.bitcast(values, WORDS)
    half, one, upper = (ir.Constant(WORDS, [value] * WIDTH) for value in (0x7FFF, 1, 0xFFFF0000))
    odd = builder.and_(shift_right(builder, bits), one)
    return builder.and_(builder.add(builder.add(bits, half), odd), upper)


def reduce_lanes(builder: ir.IRBuilder, combine: Combine, vectors: list[ir.Value]) -> ir.Value:
    """All lanes of two vectors, combined -> the result in every lane."""
    value = combine(builder, *vectors)
    for distance in (1 << i for i in reversed(range(WIDTH.bit_length() - 1))):
        other = builder.shuffle_vector(value, value, shuffle_mask(lane ^ distance for lane in range(WIDTH)))
        value = combine(builder, value, other)
    return value
