"""The register tile of bf16 weights: as `add_product` in `intrinsics.py`, two values of k a step."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core.cgutils import get_or_insert_function
from numba.extending import intrinsic

from .intrinsics import FLOAT, INT, each_height, multiply_add, prefetch
from .linear_bf16 import PAIRED
from .vectors import COLUMNS, ROWS, WIDTH

BYTE, WORD = ir.IntType(8), ir.IntType(32)
FLOATS, WORDS = ir.VectorType(FLOAT, WIDTH), ir.VectorType(WORD, WIDTH)


class BFloat(ir.Type):
    """LLVM's bfloat, which llvmlite has no name for."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other) -> bool:
        return isinstance(other, BFloat)

    def __hash__(self) -> int:
        return hash(BFloat)


@intrinsic
def add_product_of_pairs(typing, y, x, panel, coming):
    """y (R, COLUMNS) += x (R, ·) @ panel (K / 2, COLUMNS), R from 1 to ROWS; a word of the panel is two neighbours of k.

    x has two floats a step; where the machine multiplies bf16 itself (PAIRED), one word, two bf16. On the way the lines
    of `coming` are asked for, one a step. A row's instructions are the same whatever R is.
    """

    def emit(context, builder, signature, values):
        arrays = [context.make_array(kind)(context, builder, value) for kind, value in zip(signature.args, values)]
        rows = builder.extract_value(arrays[0].shape, 0)
        for count in each_height(builder, rows, ROWS):
            emit_tile(builder, count, *arrays)

    return types.void(y, x, panel, coming), emit


def emit_tile(builder: ir.IRBuilder, rows: int, y, x, panel, coming) -> None:
    """The instructions of `add_product_of_pairs` for a fixed number of rows."""

    def moved(array, offset):
        return builder.gep(builder.bitcast(array.data, BYTE.as_pointer()), [offset])

    def load(place, kind):
        return builder.load(builder.bitcast(place, kind.as_pointer()), align=4)

    x_rows = [moved(x, builder.mul(INT(row), builder.extract_value(x.strides, 0))) for row in range(rows)]
    before, loop, done = builder.block, builder.append_basic_block("step"), builder.append_basic_block("sums")
    pairs = builder.extract_value(panel.shape, 0)
    builder.branch(loop)

    builder.position_at_end(loop)
    step = builder.phi(INT)
    old = [[builder.phi(FLOATS) for _ in range(2)] for _ in range(rows)]
    line = moved(panel, builder.mul(step, INT(COLUMNS * 4)))
    ahead = moved(coming, builder.mul(step, INT(COLUMNS * 4)))
    for first in range(0, COLUMNS * 4, 64):
        prefetch(builder, builder.gep(ahead, [INT(first)]))
    weights = [load(builder.gep(line, [INT(which * WIDTH * 4)]), WORDS) for which in range(2)]
    places = [builder.gep(start, [builder.mul(step, INT(4 if PAIRED else 8))]) for start in x_rows]
    add = add_paired if PAIRED else add_widened
    new = add(builder, old, [[load(builder.gep(place, [INT(4 * i)]), WORD) for i in range(1 if PAIRED else 2)]
                             for place in places], weights)  # fmt: skip
    step_next = builder.add(step, INT(1))
    builder.cbranch(builder.icmp_signed("<", step_next, pairs), loop, done)
    step.add_incoming(INT(0), before)
    step.add_incoming(step_next, loop)
    for row in range(rows):
        for which in range(2):
            old[row][which].add_incoming(ir.Constant(FLOATS, [0.0] * WIDTH), before)
            old[row][which].add_incoming(new[row][which], loop)

    builder.position_at_end(done)
    for row in range(rows):
        target = moved(y, builder.mul(INT(row), builder.extract_value(y.strides, 0)))
        for which in range(2):
            place = builder.bitcast(builder.gep(target, [INT(which * WIDTH * 4)]), FLOATS.as_pointer())
            builder.store(builder.fadd(builder.load(place, align=4), new[row][which]), place, align=4)


def spread(builder: ir.IRBuilder, word: ir.Value) -> ir.Value:
    undefined, lanes = ir.Constant(WORDS, ir.Undefined), ir.Constant(WORDS, [0] * WIDTH)
    return builder.shuffle_vector(builder.insert_element(undefined, word, WORD(0)), undefined, lanes)


def add_widened(builder, sums, x, weights):
    """A bf16 is the upper half of a float: the first of a pair is shifted up, the second's lower half is cleared."""
    sixteen, upper = ir.Constant(WORDS, [16] * WIDTH), ir.Constant(WORDS, [0xFFFF0000] * WIDTH)
    for i, halves in enumerate(([builder.shl(w, sixteen) for w in weights], [builder.and_(w, upper) for w in weights])):
        halves = [builder.bitcast(half, FLOATS) for half in halves]
        spreads = [builder.bitcast(spread(builder, values[i]), FLOATS) for values in x]
        sums = [[multiply_add(builder, a, b, c) for b, c in zip(halves, line)] for a, line in zip(spreads, sums)]
    return sums


def add_paired(builder, sums, x, weights):
    """vdpbf16ps: both products of a pair, added to the sum, in one instruction."""
    pairs = ir.VectorType(BFloat(), 2 * WIDTH)
    kind = ir.FunctionType(FLOATS, [FLOATS, pairs, pairs])
    function = get_or_insert_function(builder.module, kind, f"llvm.x86.avx512bf16.dpbf16ps.{32 * WIDTH}")
    halves = [builder.bitcast(w, pairs) for w in weights]
    spreads = [builder.bitcast(spread(builder, values[0]), pairs) for values in x]
    return [[builder.call(function, [c, a, b]) for b, c in zip(halves, line)] for a, line in zip(spreads, sums)]
