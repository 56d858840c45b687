"""Shuffles in registers: transpose a block, interleave rows. And a flat array seen as rows."""

from __future__ import annotations

from functools import reduce

from llvmlite import ir

from ..compiler.intrinsic import intrinsic
from ..compiler.toolchain import arrayobj, cgutils, imputils, types
from .emit import ADDRESS, FLOAT, INT, WORD, byte_offset, load_unaligned, store_unaligned, switch_on_rows
from .shapes import MR, WIDTH


def transpose_vectors(builder: ir.IRBuilder, vectors: list[ir.Value]) -> list[ir.Value]:
    """L vectors of L lanes -> their transpose, in log2(L) rounds. Each round interleaves the lanes of vector i and of vector
    i + L/2:

    [a b c d] -> [a0 c0 a1 c1 ...] [... a3 c3] [b0 d0 ...] [...]
    """
    lanes = len(vectors)
    masks = [shuffle_mask(half * lanes // 2 + lane // 2 + lane % 2 * lanes for lane in range(lanes)) for half in (0, 1)]
    for _ in range(lanes.bit_length() - 1):
        pairs = zip(vectors, vectors[len(vectors) // 2 :])
        vectors = [builder.shuffle_vector(*pair, mask) for pair in pairs for mask in masks]
    return vectors


@intrinsic
def transpose_block(typing, source, target):
    """target[:WIDTH, :WIDTH] = source[:WIDTH, :WIDTH]ᵀ, for float32 arrays whose second axis is contiguous."""

    def emit(context, builder, signature, values):
        arrays = [context.make_array(array)(context, builder, value) for array, value in zip(signature.args, values)]
        source, target = (row_pointers(builder, array, WIDTH) for array in arrays)
        vectors = [load_unaligned(builder, row, ir.VectorType(FLOAT, WIDTH)) for row in source]
        for vector, row in zip(transpose_vectors(builder, vectors), target):
            store_unaligned(builder, vector, row)

    return types.void(source, target), emit


@intrinsic
def interleave_rows(typing, source, target):
    """source (R, K) -> target (K R,): target[k R + r] = source[r, k], for R from 1 to MR and elements of any size.

    In vectors: as a loop with a store per element it took 6 % of a product of 1,024 rows of 3,072 → 768."""
    element = ir.IntType(source.dtype.bitwidth)

    def emit(context, builder, signature, values):
        source, target = (context.make_array(array)(context, builder, v) for array, v in zip(signature.args, values))
        rows, length = (builder.extract_value(source.shape, axis) for axis in (0, 1))
        vectors = builder.udiv(length, INT(WIDTH))
        target_start = builder.bitcast(target.data, ADDRESS)
        for count in switch_on_rows(builder, rows, MR):
            pointers = row_pointers(builder, source, count)
            with cgutils.for_range(builder, vectors) as loop:
                first = builder.mul(loop.index, INT(WIDTH))
                interleave_vectors(builder, pointers, target_start, ir.VectorType(element, WIDTH), first)
            with cgutils.for_range(builder, length, builder.mul(vectors, INT(WIDTH))) as loop:
                interleave_vectors(builder, pointers, target_start, ir.VectorType(element, 1), loop.index)

    return types.void(source, target), emit


@intrinsic
def as_rows(typing, array, columns):
    """N values of any shape -> as many of them as make up rows, as (N // columns, columns); both contiguous. `reshape` calls a
    function of Numba's, so that a kernel with it cannot be an object file."""
    view_type = types.Array(array.dtype, 2, "C")

    def emit(context, builder, signature, values):
        source, columns = context.make_array(array)(context, builder, values[0]), values[1]
        view = context.make_array(view_type)(context, builder)
        lengths = (builder.extract_value(source.shape, axis) for axis in range(array.ndim))
        rows = builder.sdiv(reduce(builder.mul, lengths), columns)
        strides = builder.mul(columns, source.itemsize), source.itemsize
        arrayobj.populate_array(view, source.data, (rows, columns), strides, source.itemsize, source.meminfo, source.parent)
        return imputils.impl_ret_borrowed(context, builder, view_type, view._getvalue())

    return view_type(array, types.int64), emit


def row_pointers(builder: ir.IRBuilder, array, count: int) -> list[ir.Value]:
    """The addresses of an array's first `count` rows."""
    start, stride = builder.bitcast(array.data, ADDRESS), builder.extract_value(array.strides, 0)
    return [byte_offset(builder, start, builder.mul(INT(row), stride)) for row in range(count)]


def interleave_vectors(builder, rows, target, vector_type, first) -> None:
    """Load a vector from each row, at its element `first`; store their lanes interleaved in `target`."""
    size, count, width = vector_type.element.width // 8, len(rows), vector_type.count
    offset = builder.mul(first, INT(size))
    joined, *others = (load_unaligned(builder, byte_offset(builder, row, offset), vector_type) for row in rows)
    for other in others:  # LLVM shuffles two vectors of equal length, so the next row's is first padded to joined's
        lanes = joined.type.count
        other = builder.shuffle_vector(other, other, shuffle_mask(min(lane, width - 1) for lane in range(lanes)))
        joined = builder.shuffle_vector(joined, other, shuffle_mask(range(lanes + width)))
    joined = builder.shuffle_vector(joined, joined, shuffle_mask(row * width + k for k in range(width) for row in range(count)))
    store_unaligned(builder, joined, byte_offset(builder, target, builder.mul(first, INT(size * count))))


def shuffle_mask(lanes) -> ir.Constant:
    lanes = list(lanes)
    return ir.Constant(ir.VectorType(WORD, len(lanes)), lanes)
