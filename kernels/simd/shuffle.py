"""Values put elsewhere, in registers: a block transposed, rows laid side by side."""

from __future__ import annotations

from llvmlite import ir

from ..compiler.intrinsic import intrinsic
from ..compiler.toolchain import cgutils, types
from .emit import ADDRESS, FLOAT, INT, WORD, byte_offset, load_unaligned, store_unaligned, switch_on_rows
from .shapes import MR, WIDTH


def transposed(builder: ir.IRBuilder, held: list[ir.Value]) -> list[ir.Value]:
    """As many vectors as they have lanes: log2(lanes) times, the lanes of each and of the one half the list further on are
    put in turn.

    [a b c d] -> [a0 c0 a1 c1 ...] [... a3 c3] [b0 d0 ...] [...]
    """
    lanes = len(held)
    order = [shuffle_mask(half * lanes // 2 + lane // 2 + lane % 2 * lanes for lane in range(lanes)) for half in (0, 1)]
    for _ in range(lanes.bit_length() - 1):
        held = [builder.shuffle_vector(*pair, half) for pair in zip(held, held[len(held) // 2 :]) for half in order]
    return held


@intrinsic
def transpose_block(typing, source, target):
    """target[:WIDTH, :WIDTH] = source[:WIDTH, :WIDTH]ᵀ, for float32 arrays whose second axis is contiguous."""

    def emit(context, builder, signature, values):
        arrays = [context.make_array(kind)(context, builder, value) for kind, value in zip(signature.args, values)]
        source, target = (row_pointers(builder, array, WIDTH) for array in arrays)
        held = [load_unaligned(builder, place, ir.VectorType(FLOAT, WIDTH)) for place in source]
        for value, place in zip(transposed(builder, held), target):
            store_unaligned(builder, value, place)

    return types.void(source, target), emit


@intrinsic
def interleave(typing, source, target):
    """source (R, K) of words -> target (K R,): target[k R + r] = source[r, k], for R from 1 to ROWS.

    In vectors: a loop with a store for each word took 6 % of a product of 1,024 rows of 3,072 → 768."""
    words = ir.IntType(source.dtype.bitwidth)

    def emit(context, builder, signature, values):
        source, target = (context.make_array(kind)(context, builder, v) for kind, v in zip(signature.args, values))
        rows, count = (builder.extract_value(source.shape, axis) for axis in (0, 1))
        whole = builder.udiv(count, INT(WIDTH))
        ended = builder.bitcast(target.data, ADDRESS)
        for height in switch_on_rows(builder, rows, MR):
            begun = row_pointers(builder, source, height)
            with cgutils.for_range(builder, whole) as loop:
                interleave_vectors(builder, begun, ended, ir.VectorType(words, WIDTH), builder.mul(loop.index, INT(WIDTH)))
            with cgutils.for_range(builder, count, builder.mul(whole, INT(WIDTH))) as loop:
                interleave_vectors(builder, begun, ended, ir.VectorType(words, 1), loop.index)

    return types.void(source, target), emit


def row_pointers(builder: ir.IRBuilder, array, count: int) -> list[ir.Value]:
    """Where the first so many rows of an array begin."""
    start, line = builder.bitcast(array.data, ADDRESS), builder.extract_value(array.strides, 0)
    return [byte_offset(builder, start, builder.mul(INT(row), line)) for row in range(count)]


def interleave_vectors(builder, begun, ended, vector, first) -> None:
    """A vector of each row, from its word `first` on, put where its words belong."""
    size, height, width = vector.element.width // 8, len(begun), vector.count
    joined, *others = (load_unaligned(builder, byte_offset(builder, row, builder.mul(first, INT(size))), vector) for row in begun)
    for other in others:  # LLVM shuffles vectors of one length: the next row's is first filled up
        count = joined.type.count
        other = builder.shuffle_vector(other, other, shuffle_mask(min(lane, width - 1) for lane in range(count)))
        joined = builder.shuffle_vector(joined, other, shuffle_mask(range(count + width)))
    joined = builder.shuffle_vector(joined, joined, shuffle_mask(row * width + k for k in range(width) for row in range(height)))
    store_unaligned(builder, joined, byte_offset(builder, ended, builder.mul(first, INT(size * height))))


def shuffle_mask(numbers) -> ir.Constant:
    numbers = list(numbers)
    return ir.Constant(ir.VectorType(WORD, len(numbers)), numbers)
