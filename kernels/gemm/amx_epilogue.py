"""A block's epilogue, applied while the tiles multiply the next block.

A product of two tiles takes 16 cycles, and the processor does other work meanwhile if there is some. A block's epilogue (scales,
bias, residual, activation) can take as long as its products: gelu 213 ns, 768 of k in int8 208 ns (a Xeon with AMX). So a block
leaves its sums, and what its epilogue reads, in memory of the function that calls it, and the next block applies that epilogue:
some vectors after each of its products.

    begin_blocks(activation)     nothing is left yet; the activation that follows each block's last sums
    ...                          microkernels of `amx.py`, one after another
    finish_blocks()              the epilogue of the last one: from here on all of y is there

All three are called from one function. A block may add to what the one before it leaves, when that is an earlier part of k: it
reads y in its own epilogue, and by then the other's is done.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from llvmlite import ir

from ..compiler.intrinsic import intrinsic
from ..compiler.toolchain import cgutils, types
from ..simd.bf16 import nearest_bf16, upper_halves
from ..simd.emit import ADDRESS, BYTE, CACHE_LINE, FLOAT, INT, byte_offset, load_unaligned, store_unaligned
from ..simd.scalar_math import ACTIVATIONS
from ..simd.trace import trace
from .microkernel import TileOperands

TILE_ROWS, TILE_BYTES = 16, 64  # of a row
TILE_SIZE = TILE_ROWS * TILE_BYTES
SUMS = 4 * TILE_SIZE  # bytes of four tiles
ROW_FLOATS = ir.VectorType(FLOAT, TILE_ROWS)
FIELDS = (  # after the sums, 8 bytes each; those of `TileOperands` have their names
    ("y", "epilogue_vectors", "row_scales", "residual", "y_stride", "epilogue_stride", "residual_stride")
    + ("first", "last", "has_residual", "vectors", "activation", "finish")
)
OF_OPERANDS = FIELDS[:10]
MEMORY = "minibert_left_block"  # a name that no variable of a kernel has
FINISH = ir.FunctionType(ir.VoidType(), [ADDRESS, INT, INT])  # the memory; the first of its vectors of y, and their end


class LeftBlock:
    """What a block leaves: the sums of its tiles, one after another, and fields. `vectors` is the number of its vectors of y, two
    to a row; 0 if there is no block. `finish` is the address of the function that applies its epilogue."""

    def __init__(self, builder: ir.IRBuilder, memory: ir.Value):
        self.builder, self.memory = builder, memory

    def address_of(self, field: str) -> ir.Value:
        return byte_offset(self.builder, self.memory, SUMS + 8 * FIELDS.index(field))

    def read(self, field: str) -> ir.Value:
        return load_unaligned(self.builder, self.address_of(field), ADDRESS if field in TileOperands._fields[:7] else INT)

    def write(self, field: str, value: ir.Value) -> None:
        if value.type == ir.IntType(1):
            value = self.builder.zext(value, INT)
        store_unaligned(self.builder, value, self.address_of(field))

    def leave(self, operands: TileOperands, rows: ir.Value, finish: ir.Function) -> None:
        """Of a block whose sums are stored."""
        for field in OF_OPERANDS:
            self.write(field, getattr(operands, field))
        self.write("vectors", self.builder.shl(rows, INT(1)))
        self.write("finish", self.builder.ptrtoint(finish, INT))

    def finish(self, first: ir.Value, end: ir.Value) -> None:
        """Apply the epilogue to these vectors."""
        function = self.builder.inttoptr(self.read("finish"), FINISH.as_pointer())
        with self.builder.if_then(self.builder.icmp_unsigned("<", first, end)):
            self.builder.call(function, [self.memory, first, end])


def memory_of(builder: ir.IRBuilder) -> ir.Value:
    """Where the function that is being built has what its blocks leave."""
    for instruction in builder.function.entry_basic_block.instructions:
        if instruction.name == MEMORY:
            return builder.bitcast(instruction, ADDRESS)
    memory = cgutils.alloca_once(builder, ir.ArrayType(BYTE, SUMS + 8 * len(FIELDS)), name=MEMORY)
    memory.align = CACHE_LINE
    return builder.bitcast(memory, ADDRESS)


@intrinsic
def begin_blocks(typing, activation):
    """No block is left yet."""

    def emit(context, builder, signature, values):
        left = LeftBlock(builder, memory_of(builder))
        left.write("vectors", INT(0))
        left.write("activation", values[0])
        return context.get_dummy_value()

    return types.none(types.int64), emit


@intrinsic
def finish_blocks(typing):
    """Apply the epilogue of the block that is left, if one is."""

    def emit(context, builder, signature, values):
        left = LeftBlock(builder, memory_of(builder))
        left.finish(INT(0), left.read("vectors"))
        left.write("vectors", INT(0))
        return context.get_dummy_value()

    return types.none(), emit


class Epilogue(NamedTuple):
    """How a data type's sums become y."""

    name: str
    sums: ir.Type  # a vector of them
    to_floats: Callable  # as in `dtypes.MicrokernelSpec`
    apply: Callable  # as `epilogue` there
    packed: bool = False  # whether y is stored as bf16, for another product


def finish_function(module: ir.Module, epilogue: Epilogue) -> ir.Function:
    """Applies the epilogue to some vectors of a block that is left; one function for all calls in a module."""
    function = cgutils.get_or_insert_function(module, FINISH, f"minibert_finish_{epilogue.name}")
    if function.is_declaration:
        function.linkage = "internal"
        function.attributes.add("noinline")
        memory, first, end = function.args
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        with cgutils.for_range(builder, end, start=first, intp=INT) as vector:
            Vector(builder, memory, vector.index).finish(epilogue)
        builder.ret_void()
    return function


class Vector:
    """16 outputs of a row of a block that is left: the row's first or second half."""

    def __init__(self, builder: ir.IRBuilder, memory: ir.Value, index: ir.Value):
        self.builder, self.left = builder, LeftBlock(builder, memory)
        self.row, self.half = builder.lshr(index, INT(1)), builder.and_(index, INT(1))

    def finish(self, epilogue: Epilogue) -> None:
        """y = the sums, added to y unless it is the first time; the last time, after the epilogue."""
        builder = self.builder
        total = epilogue.to_floats(builder, load_unaligned(builder, self.sum_address(), epilogue.sums))
        if epilogue.packed:  # of all of k
            words = nearest_bf16(builder, self.apply(epilogue, total))
            store_unaligned(builder, upper_halves(builder, words), self.at("y", "y_stride", TILE_BYTES // 2))
            return
        y = self.at("y", "y_stride")
        total = self.changed_if("first", 0, total, lambda: builder.fadd(total, load_unaligned(builder, y, ROW_FLOATS)))
        output = self.changed_if("last", 1, total, lambda: self.apply(epilogue, total))
        store_unaligned(builder, output, y)

    def apply(self, epilogue: Epilogue, total: ir.Value) -> ir.Value:
        builder = self.builder
        vectors = [self.at("epilogue_vectors", "epilogue_stride", row=INT(i)) for i in range(3)]
        row_scales = byte_offset(builder, self.left.read("row_scales"), builder.mul(self.row, INT(8)))
        output = epilogue.apply(builder, total, vectors, row_scales)
        residual = self.at("residual", "residual_stride")
        output = self.changed_if(
            "has_residual", 1, output, lambda: builder.fadd(output, load_unaligned(builder, residual, ROW_FLOATS))
        )
        for code, kernel in ACTIVATIONS.items():
            output = self.changed_if("activation", code, output, partial(trace, kernel, builder, output))
        return output

    def changed_if(self, field: str, value: int, unchanged: ir.Value, change: Callable[[], ir.Value]) -> ir.Value:
        """What `change` emits, where the field has this value."""
        builder, before = self.builder, self.builder.block
        with builder.if_then(builder.icmp_unsigned("==", self.left.read(field), INT(value))):
            changed = change()
            inside = builder.block
        result = builder.phi(unchanged.type)
        result.add_incoming(unchanged, before)
        result.add_incoming(changed, inside)
        return result

    def at(self, address: str, stride: str, half_bytes: int = TILE_BYTES, row: ir.Value | None = None) -> ir.Value:
        distance = self.builder.mul(self.row if row is None else row, self.left.read(stride))
        return byte_offset(self.builder, self.left.read(address), distance, self.builder.mul(self.half, INT(half_bytes)))

    def sum_address(self) -> ir.Value:
        """Two tiles have the first 16 rows, two the others."""
        builder = self.builder
        pair, inner = builder.udiv(self.row, INT(TILE_ROWS)), builder.urem(self.row, INT(TILE_ROWS))
        distances = (
            builder.mul(pair, INT(2 * TILE_SIZE)),
            builder.mul(self.half, INT(TILE_SIZE)),
            builder.mul(inner, INT(TILE_BYTES)),
        )
        return byte_offset(builder, self.left.memory, *distances)
