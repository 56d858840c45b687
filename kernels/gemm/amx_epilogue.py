"""A block's epilogue, applied while the tiles multiply the next block.

A product of two tiles takes 16 cycles, and the processor does other work meanwhile if there is some. A block's epilogue (scales,
bias, residual, activation) can take as long as its products: gelu 213 ns, 768 of k in int8 208 ns (a Xeon with AMX). So a block
leaves its sums, and what its epilogue reads, in memory of the function that calls it, and the next block applies that epilogue:
some rows after each few of its products.

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
from ..compiler.jit import Kernel
from ..compiler.toolchain import cgutils, types
from ..simd.bf16 import nearest_bf16, upper_halves
from ..simd.emit import ADDRESS, BYTE, CACHE_LINE, FLOAT, INT, byte_offset, load_unaligned, store_unaligned
from ..simd.scalar_math import ACTIVATIONS
from ..simd.trace import trace
from .microkernel import TileOperands

TILE_ROWS, TILE_BYTES = 16, 64  # of a row
TILE_SIZE = TILE_ROWS * TILE_BYTES
SUMS = 4 * TILE_SIZE  # bytes of four tiles
UNIT = 4  # rows whose epilogue is applied at a time: fewer calls, and eight vectors that do not wait for each other
ROW_FLOATS = ir.VectorType(FLOAT, TILE_ROWS)
FIELDS = (  # after the sums, 8 bytes each; those of `TileOperands` have their names
    ("y", "epilogue_vectors", "row_scales", "residual", "y_stride", "epilogue_stride", "residual_stride")
    + ("first", "last", "has_residual", "rows", "activation", "finish")
    + ("parts", "spare_parts", "split_panel", "next_panel", "units", "share", "slot_mask")
)
OF_OPERANDS, ADDRESSES = FIELDS[:10], (*FIELDS[:4], "parts", "spare_parts", "split_panel", "next_panel")
MEMORY = "minibert_left_block"  # a name that no variable of a kernel has
FINISH = ir.FunctionType(ir.VoidType(), [ADDRESS, INT, INT])  # the memory; the first of its rows of y, and their end


class LeftBlock:
    """What a block leaves: the sums of its tiles, and fields. `rows` is 0 if there is no block. `finish` is the address of the
    function that applies its epilogue. The fields from `parts` on are `amx_f32.SplitBlock`'s own."""

    def __init__(self, builder: ir.IRBuilder, memory: ir.Value):
        self.builder, self.memory = builder, memory

    def address_of(self, field: str) -> ir.Value:
        return byte_offset(self.builder, self.memory, SUMS + 8 * FIELDS.index(field))

    def read(self, field: str) -> ir.Value:
        return load_unaligned(self.builder, self.address_of(field), ADDRESS if field in ADDRESSES else INT)

    def write(self, field: str, value: ir.Value) -> None:
        if value.type == ir.IntType(1):
            value = self.builder.zext(value, INT)
        store_unaligned(self.builder, value, self.address_of(field))

    def leave(self, operands: TileOperands, rows: ir.Value, finish: ir.Function) -> None:
        """Of a block whose sums are stored."""
        for field in OF_OPERANDS:
            self.write(field, getattr(operands, field))
        self.write("rows", rows)
        self.write("finish", self.builder.ptrtoint(finish, INT))

    def finish(self, first: ir.Value, end: ir.Value) -> None:
        """Apply the epilogue to these rows."""
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
        left.write("rows", INT(0))
        left.write("activation", values[0])
        return context.get_dummy_value()

    return types.none(types.int64), emit


@intrinsic
def finish_blocks(typing):
    """Apply the epilogue of the block that is left, if one is."""

    def emit(context, builder, signature, values):
        left = LeftBlock(builder, memory_of(builder))
        left.finish(INT(0), left.read("rows"))
        left.write("rows", INT(0))
        return context.get_dummy_value()

    return types.none(), emit


AS_FLOATS, AS_BF16, AS_PACKED = "floats", "bf16", "packed"  # y as float32; as bf16; as bf16, packed as the x of another product


class Epilogue(NamedTuple):
    """How a data type's sums become y."""

    name: str
    sums: ir.Type  # a vector of them
    to_floats: Callable  # as in `dtypes.MicrokernelSpec`
    apply: Callable  # as `epilogue` there
    y: str = AS_FLOATS


def finish_function(module: ir.Module, epilogue: Epilogue) -> ir.Function:
    """Applies the epilogue to some rows of a block that is left; one function for all calls in a module.

    It has a loop for each activation: in one loop with all of them, their constants would be loaded for every few rows."""
    function = cgutils.get_or_insert_function(module, FINISH, f"minibert_finish_{epilogue.name}")
    if function.is_declaration:
        function.linkage = "internal"
        function.attributes.add("noinline")
        memory, first, end = function.args
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        left = LeftBlock(builder, memory)
        fields = {field: left.read(field) for field in FIELDS}
        rows = Rows(builder, memory, epilogue, fields)
        after = function.append_basic_block("after")
        if epilogue.y == AS_FLOATS:  # of others all of k is multiplied at once
            with builder.if_then(builder.icmp_unsigned("==", fields["last"], INT(0))):
                rows.finish(first, end, lambda row, totals: totals)
                builder.branch(after)
        switch = builder.switch(fields["activation"], function.append_basic_block("no_activation"))
        for code, kernel in ACTIVATIONS.items():
            switch.add_case(INT(code), builder.append_basic_block(kernel.__name__))
            builder.position_at_end(switch.cases[-1][1])
            rows.finish(first, end, partial(rows.activated, kernel))
            builder.branch(after)
        builder.position_at_end(switch.default)
        rows.finish(first, end, rows.outputs)
        builder.branch(after)
        builder.position_at_end(after)
        builder.ret_void()
    return function


class Rows:
    """Rows of a block that is left; a row is two vectors of 16 outputs."""

    def __init__(self, builder: ir.IRBuilder, memory: ir.Value, epilogue: Epilogue, fields: dict[str, ir.Value]):
        self.builder, self.memory, self.epilogue, self.fields = builder, memory, epilogue, fields

    def finish(self, first: ir.Value, end: ir.Value, apply: Callable[[ir.Value, list], list]) -> None:
        """y = what `apply` makes of the sums, which are added to y unless it is the first time."""
        builder = self.builder
        with cgutils.for_range(builder, end, start=first, intp=INT) as loop:
            row, sums = loop.index, self.epilogue.sums
            addresses = self.both(self.sums_of(row), 2 * TILE_SIZE)
            totals = [self.epilogue.to_floats(builder, load_unaligned(builder, address, sums)) for address in addresses]
            if self.epilogue.y != AS_FLOATS:
                for address, output in zip(self.both(self.at("y", "y_stride", row), TILE_BYTES // 2), apply(row, totals)):
                    store_unaligned(builder, upper_halves(builder, nearest_bf16(builder, output)), address)
                return
            y = self.both(self.at("y", "y_stride", row), TILE_BYTES)
            for output, address in zip(apply(row, self.added_if("first", 0, totals, y)), y):
                store_unaligned(builder, output, address)

    def activated(self, kernel: Kernel, row: ir.Value, totals: list[ir.Value]) -> list[ir.Value]:
        return [trace(kernel, self.builder, output) for output in self.outputs(row, totals)]

    def outputs(self, row: ir.Value, totals: list[ir.Value]) -> list[ir.Value]:
        """Both vectors' totals after scales, bias and residual."""
        builder = self.builder
        vectors = [self.at("epilogue_vectors", "epilogue_stride", INT(i)) for i in range(3)]
        row_scales = byte_offset(builder, self.fields["row_scales"], builder.mul(row, INT(8)))
        outputs = [
            self.epilogue.apply(
                builder, total, [byte_offset(builder, vector, half * TILE_BYTES) for vector in vectors], row_scales
            )
            for half, total in enumerate(totals)
        ]
        residual = self.both(self.at("residual", "residual_stride", row), TILE_BYTES)
        return self.added_if("has_residual", 1, outputs, residual)

    def added_if(self, field: str, value: int, values: list[ir.Value], addresses: list[ir.Value]) -> list[ir.Value]:
        """The values; plus the floats at these addresses where the field has this value."""
        builder, before = self.builder, self.builder.block
        with builder.if_then(builder.icmp_unsigned("==", self.fields[field], INT(value))):
            sums = [builder.fadd(v, load_unaligned(builder, address, ROW_FLOATS)) for v, address in zip(values, addresses)]
            inside = builder.block
        results = [builder.phi(ROW_FLOATS) for _ in values]
        for result, unchanged, changed in zip(results, values, sums):
            result.add_incoming(unchanged, before)
            result.add_incoming(changed, inside)
        return results

    def both(self, address: ir.Value, distance: int) -> list[ir.Value]:
        """The addresses of a row's two vectors."""
        return [address, byte_offset(self.builder, address, distance)]

    def at(self, address: str, stride: str, row: ir.Value) -> ir.Value:
        return byte_offset(self.builder, self.fields[address], self.builder.mul(row, self.fields[stride]))

    def sums_of(self, row: ir.Value) -> ir.Value:
        return byte_offset(self.builder, self.memory, self.builder.mul(row, INT(TILE_BYTES)))
