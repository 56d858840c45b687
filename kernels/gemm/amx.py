"""The microkernel on AMX's tiles: y (R, 32) += x (R, K) @ panel (K, 32) for up to 32 rows, in bf16 or int8.

A tile register has 16 rows of 64 bytes, and an instruction multiplies two of them: it adds to 16 × 16 sums the products of 64
bytes of k, 32 values in bf16 (tdpbf16ps), 64 in int8 (tdpbusd). A block is 2 × 2 such sums, so that four loads serve four
multiplications:

    tile 6 = panel[k], outputs 0 to 15      tile 7 = panel[k], outputs 16 to 31
    tile 4 = x[k], rows 0 to 15             tile 0 += 4 · 6            tile 1 += 4 · 7
    tile 5 = x[k], rows 16 to 31            tile 2 += 5 · 6            tile 3 += 5 · 7

The packed panels of the other microkernels are such tiles as they stand: a step is a word of each output, and 16 steps are a
tile's rows, 128 bytes apart. Only x is packed otherwise: for each 16 steps, 64 bytes of each row of the block (`pack_line`).
A block of fewer rows also loads bytes that follow; their sums are not stored.

A row's bits depend on its own values alone. In bf16, the products of even and of odd k are chains of fused multiply-adds, whose
two results are added, and added to the sum (Intel's Architectures Software Developer's Manual, "TDPBF16PS"). In int8 the sums
are exact, and are scaled in the order of `microkernel.py`, so that the bits are those of vpdpbusd.

LLVM does not allocate tile registers here: the intrinsics take their numbers, and the configuration is ours. It belongs to a
thread, so each task loop begins with `configure_tiles` and ends with `release_tiles`, which spares the operating system 8 KiB
at each switch of context.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from llvmlite import ir

from ..compiler.intrinsic import Intrinsic, intrinsic
from ..compiler.jit import Kernel, jit
from ..compiler.toolchain import cgutils, types
from ..simd.emit import ADDRESS, BYTE, FLOAT, INT, WORD, byte_offset, call, load_unaligned, prefetch, store_unaligned
from .dtypes import add_bias, dequantize, identity, no_scale, scale_reduced
from .gemm import GemmSpec, gemm_tasks
from .microkernel import TileOperands, read_operands
from .microkernel import signature as kernel_signature

TILE_ROWS, TILE_BYTES = 16, 64  # of a row
TILE_STEPS, STEP_BYTES = 16, 4  # steps that a multiplication takes; bytes of a row of x in a step
TILE = TILE_ROWS * TILE_BYTES
ROW_FLOATS, ROW_WORDS = ir.VectorType(FLOAT, TILE_ROWS), ir.VectorType(WORD, TILE_ROWS)
NOTHING, LINE = ir.VoidType(), 64  # bytes of a cache line


class TileUnit:
    """The tile instructions. Tests replace them, for processors that have none."""

    @staticmethod
    def configure(builder: ir.IRBuilder) -> None:
        """Eight tiles of 16 rows of 64 bytes: palette 1, as in Intel's manual, "LDTILECFG"."""
        widths, rows = [TILE_BYTES, 0] * 8 + [0] * 16, [TILE_ROWS] * 8 + [0] * 8
        content = bytearray([1, *[0] * 15, *widths, *rows])
        value = ir.Constant(ir.ArrayType(BYTE, len(content)), content)
        call(builder, "llvm.x86.ldtilecfg", NOTHING, builder.bitcast(cgutils.global_constant(builder, "tiles", value), ADDRESS))

    @staticmethod
    def release(builder: ir.IRBuilder) -> None:
        call(builder, "llvm.x86.tilerelease", NOTHING)

    @staticmethod
    def zero(builder: ir.IRBuilder, tile: int) -> None:
        call(builder, "llvm.x86.tilezero", NOTHING, BYTE(tile))

    @staticmethod
    def load(builder: ir.IRBuilder, tile: int, address: ir.Value, stride: int) -> None:
        call(builder, "llvm.x86.tileloadd64", NOTHING, BYTE(tile), address, INT(stride))

    @staticmethod
    def store(builder: ir.IRBuilder, tile: int, address: ir.Value) -> None:
        call(builder, "llvm.x86.tilestored64", NOTHING, BYTE(tile), address, INT(TILE_BYTES))

    @staticmethod
    def multiply(builder: ir.IRBuilder, instruction: str, sums: int, x: int, weights: int) -> None:
        call(builder, f"llvm.x86.{instruction}", NOTHING, BYTE(sums), BYTE(x), BYTE(weights))


UNIT: type[TileUnit] = TileUnit


class AmxSpec(NamedTuple):
    """What differs between the data types."""

    instruction: str
    grouped: bool  # whether groups of k have scales of their own; else one running sum takes all of the panel
    sums: ir.Type  # a vector of them
    scale: Callable  # as in `dtypes.MicrokernelSpec`
    epilogue: Callable


BF16 = AmxSpec("tdpbf16ps", False, ROW_FLOATS, no_scale, add_bias)
INT8 = AmxSpec("tdpbusd", True, ROW_WORDS, scale_reduced(identity), dequantize)


@intrinsic
def configure_tiles(typing):
    """Give this thread its tiles."""

    def emit(context, builder, signature, values):
        UNIT.configure(builder)
        return context.get_dummy_value()

    return types.none(), emit


@intrinsic
def release_tiles(typing):
    def emit(context, builder, signature, values):
        UNIT.release(builder)
        return context.get_dummy_value()

    return types.none(), emit


def on_tiles(spec: GemmSpec, name: str, pack_rows: Kernel, microkernel: Intrinsic) -> GemmSpec:
    """The same data type's product on tiles; `name` is the kernel's."""
    hooks = {"start_tasks": configure_tiles, "end_tasks": release_tiles}
    return spec._replace(
        mr=2 * TILE_ROWS,
        tasks=gemm_tasks.specialize(name, pack_rows=pack_rows, microkernel=microkernel, **hooks),
        mc_tiles=8,  # blocks of a task: with 3 KiB of each row 768 KiB, of an L2 of 2 MiB
        x_slack=(TILE_ROWS - 1) * TILE_STEPS,  # as a tile is loaded whole
    )


@jit(inline="always", error_model="numpy")
def pack_line(line, row, rows, packed_x):
    """Put a row's words, a multiple of TILE_STEPS, into the packed x of a block of `rows` rows."""
    for step in range(0, len(line), TILE_STEPS):
        source, target = line[step : step + TILE_STEPS], packed_x[step * rows + row * TILE_STEPS :]
        for i in range(TILE_STEPS):
            target[i] = source[i]


@intrinsic
def microkernel_amx_bf16(
    typing, y, x, panel, next_panel, scales, epilogue_vectors, row_scales, residual, tile_args, first, last
):
    """As `microkernel.microkernel_bf16`, for up to 32 rows; a running sum takes all of the panel."""
    arrays = (y, x, panel, next_panel, scales, epilogue_vectors, row_scales, residual)
    return kernel_signature(*arrays, tile_args), emitter(BF16)


@intrinsic
def microkernel_amx_int8(
    typing, y, x, panel, next_panel, scales, epilogue_vectors, row_scales, residual, tile_args, first, last
):
    """As `microkernel.microkernel_int8`, to the bit, for up to 32 rows."""
    arrays = (y, x, panel, next_panel, scales, epilogue_vectors, row_scales, residual)
    return kernel_signature(*arrays, tile_args), emitter(INT8)


def emitter(spec: AmxSpec) -> Callable:
    """What Numba calls to emit a call of the block."""

    def emit(context, builder, signature, values):
        rows, operands = read_operands(context, builder, signature, values, STEP_BYTES)
        builder.call(get_or_build_block(builder.module, spec), [rows, *operands])

    return emit


def get_or_build_block(module: ir.Module, spec: AmxSpec) -> ir.Function:
    """The block, as one function for all calls in a module."""
    function_type = ir.FunctionType(NOTHING, [INT] + [ADDRESS] * 8 + [INT] * 9 + [ir.IntType(1)] * 3)
    function = cgutils.get_or_insert_function(module, function_type, f"minibert_block_{spec.instruction}")
    if function.is_declaration:
        function.linkage = "internal"
        function.attributes.add("noinline")
        rows, *operands = function.args
        Block(ir.IRBuilder(function.append_basic_block("entry")), spec, rows, TileOperands(*operands)).emit()
    return function


class Block:
    """The parts of a block's code, and what they share."""

    def __init__(self, builder: ir.IRBuilder, spec: AmxSpec, rows: ir.Value, operands: TileOperands):
        self.builder, self.spec, self.rows, self.operands = builder, spec, rows, operands
        self.k_tiles = builder.udiv(operands.k_steps, INT(TILE_STEPS))  # how many tiles of a panel are multiplied
        self.sums, self.totals = self.buffer(), self.buffer()  # of a group, and of all: four tiles, one after another

    def buffer(self) -> ir.Value:
        memory = self.builder.alloca(ir.ArrayType(BYTE, 4 * TILE))
        memory.align = LINE
        return self.builder.bitcast(memory, ADDRESS)

    def emit(self) -> None:
        if self.spec.grouped:
            self.multiply_groups()
        else:
            self.multiply(INT(0), self.k_tiles)
        self.for_each_vector(self.store_output)
        self.builder.ret_void()

    def multiply_groups(self) -> None:
        """For each group of k: multiply, then add the scaled sums to the totals."""
        builder, operands = self.builder, self.operands
        self.for_each_vector(lambda row, half: self.store(self.totals, row, half, self.initial_total(row, half)))
        group_tiles = builder.udiv(operands.k_accumulate, INT(TILE_STEPS))
        groups = builder.udiv(builder.add(self.k_tiles, builder.sub(group_tiles, INT(1))), group_tiles)
        with cgutils.for_range(builder, groups) as group:
            start = builder.mul(group.index, group_tiles)
            full_stop = builder.add(start, group_tiles)
            stop = builder.select(builder.icmp_unsigned("<", full_stop, self.k_tiles), full_stop, self.k_tiles)
            self.multiply(start, stop)
            scales = byte_offset(builder, operands.scales, builder.mul(group.index, operands.scales_stride))
            self.for_each_vector(lambda row, half: self.add_to_total(row, half, scales))

    def for_each_vector(self, emit: Callable) -> None:
        """emit(row, half) in a loop over rows, for both halves of a row."""
        with cgutils.for_range(self.builder, self.rows) as row:
            for half in (0, 1):
                emit(row.index, half)

    def multiply(self, start: ir.Value, stop: ir.Value) -> None:
        """The sums of tiles of k from `start` to `stop`, in four tiles, or two for 16 rows and fewer; stored in `sums`."""
        builder = self.builder
        with builder.if_else(builder.icmp_unsigned(">", self.rows, INT(TILE_ROWS))) as (tall, short):
            with tall:
                self.multiply_tiles(start, stop, tiles=4)
            with short:
                self.multiply_tiles(start, stop, tiles=2)

    def multiply_tiles(self, start: ir.Value, stop: ir.Value, tiles: int) -> None:
        builder, operands = self.builder, self.operands
        for tile in range(tiles):
            UNIT.zero(builder, tile)
        x_stride, prefetched = (
            builder.mul(stride, INT(TILE_STEPS)) for stride in (operands.x_stride, operands.prefetch_stride)
        )
        share = builder.udiv(builder.add(prefetched, INT(tiles * LINE - 1)), INT(tiles * LINE))  # lines after each product
        with cgutils.for_range_slice(builder, start, stop, INT(1), INT) as (k, _):
            x = byte_offset(builder, operands.x, builder.mul(k, x_stride))
            weights = byte_offset(builder, operands.panel, builder.mul(k, INT(2 * TILE)))
            for done, _ in enumerate(self.products(x, weights, tiles)):
                first_line = builder.mul(share, builder.add(builder.mul(k, INT(tiles)), INT(done)))
                self.prefetch_next_panel(first_line, share)
        for tile in range(tiles):
            UNIT.store(builder, tile, byte_offset(builder, self.sums, tile * TILE))

    def products(self, x: ir.Value, weights: ir.Value, tiles: int) -> Iterator[None]:
        """Multiply; yield after each multiplication. What is emitted between them runs while the tiles are busy."""
        builder, instruction = self.builder, self.spec.instruction
        UNIT.load(builder, 4, x, TILE_BYTES)
        UNIT.load(builder, 6, weights, 2 * TILE_BYTES)
        UNIT.multiply(builder, instruction, 0, 4, 6)
        yield
        UNIT.load(builder, 7, byte_offset(builder, weights, TILE_BYTES), 2 * TILE_BYTES)
        UNIT.multiply(builder, instruction, 1, 4, 7)
        yield
        if tiles == 4:
            UNIT.load(builder, 5, byte_offset(builder, x, TILE), TILE_BYTES)
            UNIT.multiply(builder, instruction, 2, 5, 6)
            yield
            UNIT.multiply(builder, instruction, 3, 5, 7)
            yield

    def prefetch_next_panel(self, first_line: ir.Value, count: ir.Value) -> None:
        with cgutils.for_range(self.builder, count) as line:
            distance = self.builder.mul(self.builder.add(first_line, line.index), INT(LINE))
            prefetch(self.builder, byte_offset(self.builder, self.operands.next_panel, distance))

    def add_to_total(self, row: ir.Value, half: int, scales: ir.Value) -> None:
        sums = self.load(self.sums, row, half, self.spec.sums)
        scaled = self.spec.scale(self.builder, sums, byte_offset(self.builder, scales, half * TILE_BYTES))
        self.store(self.totals, row, half, self.builder.fadd(self.load(self.totals, row, half, ROW_FLOATS), scaled))

    def total(self, row: ir.Value, half: int) -> ir.Value:
        if self.spec.grouped:
            return self.load(self.totals, row, half, ROW_FLOATS)
        return self.builder.fadd(self.initial_total(row, half), self.load(self.sums, row, half, ROW_FLOATS))

    def initial_total(self, row: ir.Value, half: int) -> ir.Value:
        """0 the first time, then y."""
        y = load_unaligned(self.builder, self.at(self.operands.y, self.operands.y_stride, row, half), ROW_FLOATS)
        return self.builder.select(self.operands.first, ir.Constant(ROW_FLOATS, None), y)

    def store_output(self, row: ir.Value, half: int) -> None:
        """y = the total; the last time, after the epilogue."""
        builder, operands, total = self.builder, self.operands, self.total(row, half)
        target = self.at(operands.y, operands.y_stride, row, half)
        with builder.if_else(operands.last) as (complete, partial):
            with complete:
                bias = byte_offset(builder, operands.epilogue_vectors, half * TILE_BYTES)
                row_scales = byte_offset(builder, operands.row_scales, builder.mul(row, INT(8)))
                weight_sums = byte_offset(builder, bias, operands.epilogue_stride)
                output = self.spec.epilogue(builder, total, bias, weight_sums, row_scales)
                with builder.if_else(operands.has_residual) as (added, alone):
                    with added:
                        residual = self.at(operands.residual, operands.residual_stride, row, half)
                        store_unaligned(builder, builder.fadd(output, load_unaligned(builder, residual, ROW_FLOATS)), target)
                    with alone:
                        store_unaligned(builder, output, target)
            with partial:
                store_unaligned(builder, total, target)

    def at(self, address: ir.Value, stride: ir.Value, row: ir.Value, half: int) -> ir.Value:
        return byte_offset(self.builder, address, self.builder.mul(row, stride), half * TILE_BYTES)

    def load(self, tiles: ir.Value, row: ir.Value, half: int, vector: ir.Type) -> ir.Value:
        return load_unaligned(self.builder, self.in_tiles(tiles, row, half), vector)

    def store(self, tiles: ir.Value, row: ir.Value, half: int, value: ir.Value) -> None:
        store_unaligned(self.builder, value, self.in_tiles(tiles, row, half))

    def in_tiles(self, tiles: ir.Value, row: ir.Value, half: int) -> ir.Value:
        """The address of half a row in four tiles: two for the first 16 rows, two for the others."""
        builder = self.builder
        pair, inner = builder.udiv(row, INT(TILE_ROWS)), builder.urem(row, INT(TILE_ROWS))
        return byte_offset(builder, tiles, builder.mul(pair, INT(2 * TILE)), half * TILE, builder.mul(inner, INT(TILE_BYTES)))
