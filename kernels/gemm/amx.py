"""The microkernel on AMX's tiles: y (R, 32) += x (R, K) @ panel (K, 32) for up to 32 rows, in float32, bf16 or int8.

A tile register has 16 rows of 64 bytes, and an instruction multiplies two of them: it adds to 16 × 16 sums the products of 64
bytes of k, 32 values in bf16 (tdpbf16ps), 64 in int8 (tdpbusd). A block is 2 × 2 such sums, so that four loads serve four
multiplications:

    tile 6 = panel[k], outputs 0 to 15      tile 7 = panel[k], outputs 16 to 31
    tile 4 = x[k], rows 0 to 15             tile 0 += 4 · 6            tile 1 += 4 · 7
    tile 5 = x[k], rows 16 to 31            tile 2 += 5 · 6            tile 3 += 5 · 7

The packed panels of the other microkernels are such tiles as they stand: a step is a word of each output, and 16 steps are a
tile's rows, 128 bytes apart. Only x is packed otherwise: for each 16 steps, 64 bytes of each row of the block (`pack_line`).
A block of fewer rows also loads bytes that follow; their sums are not stored.

In float32 each value is three bf16 (`split_floats.py`). A panel then has, for each 32 of k, a tile of the high parts, one of
the middle parts and one of the low parts; so has x. Five pairs of parts are multiplied first, over all k of the panel's part,
in an order that changes one side at a time; then high parts with high parts, which are most of the sum: added in turn with
the others, it would be rounded six times as often.

A row's bits depend on its own values alone. In bf16, the products of even and of odd k are chains of fused multiply-adds, whose
two results are added, and added to the sum (Intel's Architectures Software Developer's Manual, "TDPBF16PS"). In int8 the sums
are exact, and the epilogue is that of `microkernel.py`, so that the bits are those of vpdpbusd.

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
from .dtypes import add_bias, dequantize, floats_of, identity, multiply_scales
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
Pairs = tuple[tuple[int, int], ...]


class AmxSpec(NamedTuple):
    """What differs between the data types."""

    instruction: str
    passes: tuple[Pairs, ...]  # over all k: parts of x and of the weights that are multiplied
    sums: ir.Type  # a vector of them
    to_floats: Callable  # as in `dtypes.MicrokernelSpec`
    epilogue: Callable

    @property
    def parts(self) -> int:
        """How many values one value is split into."""
        return 1 + max(part for pairs in self.passes for pair in pairs for part in pair)


WHOLE = (((0, 0),),)
SIX = (((0, 2), (0, 1), (1, 1), (1, 0), (2, 0)), *WHOLE)
FLOAT32 = AmxSpec("tdpbf16ps", SIX, ROW_FLOATS, identity, multiply_scales)
BF16 = AmxSpec("tdpbf16ps", WHOLE, ROW_FLOATS, identity, add_bias)
INT8 = AmxSpec("tdpbusd", WHOLE, ROW_WORDS, floats_of(identity), dequantize)


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
def microkernel_amx_f32(typing, y, x, panel, next_panel, epilogue_vectors, row_scales, residual, tile_args, first, last):
    """float32, for up to 32 rows: x and the panel are split. With `last`, epilogue_vectors (2, ·), each output's bias and scale,
    and row_scales (M, 2), each row's scale and a value that is not read, turn the totals into y."""
    arrays = (y, x, panel, next_panel, epilogue_vectors, row_scales, residual)
    return kernel_signature(*arrays, tile_args), emitter(FLOAT32)


@intrinsic
def microkernel_amx_bf16(typing, y, x, panel, next_panel, epilogue_vectors, row_scales, residual, tile_args, first, last):
    """As `microkernel.microkernel_bf16`, for up to 32 rows; a running sum takes all of the panel."""
    arrays = (y, x, panel, next_panel, epilogue_vectors, row_scales, residual)
    return kernel_signature(*arrays, tile_args), emitter(BF16)


@intrinsic
def microkernel_amx_int8(typing, y, x, panel, next_panel, epilogue_vectors, row_scales, residual, tile_args, first, last):
    """As `microkernel.microkernel_int8`, to the bit, for up to 32 rows."""
    arrays = (y, x, panel, next_panel, epilogue_vectors, row_scales, residual)
    return kernel_signature(*arrays, tile_args), emitter(INT8)


def emitter(spec: AmxSpec) -> Callable:
    """What Numba calls to emit a call of the block."""

    def emit(context, builder, signature, values):
        rows, operands = read_operands(context, builder, signature, values, STEP_BYTES)
        builder.call(get_or_build_block(builder.module, spec), [rows, *operands])

    return emit


def get_or_build_block(module: ir.Module, spec: AmxSpec) -> ir.Function:
    """The block, as one function for all calls in a module."""
    function_type = ir.FunctionType(NOTHING, [INT] + [ADDRESS] * 7 + [INT] * 8 + [ir.IntType(1)] * 3)
    function = cgutils.get_or_insert_function(module, function_type, f"minibert_block_{spec.instruction}_{spec.parts}")
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
        memory = builder.alloca(ir.ArrayType(BYTE, 4 * TILE))
        memory.align = LINE
        self.sums = builder.bitcast(memory, ADDRESS)  # four tiles, one after another

    def emit(self) -> None:
        builder = self.builder
        with builder.if_else(builder.icmp_unsigned(">", self.rows, INT(TILE_ROWS))) as (tall, short):
            with tall:
                self.multiply(tiles=4)
            with short:
                self.multiply(tiles=2)
        with cgutils.for_range(builder, self.rows) as row:
            for half in (0, 1):
                self.store_output(row.index, half)
        builder.ret_void()

    def multiply(self, tiles: int) -> None:
        """The sums of all tiles of k, in four tiles, or two for 16 rows and fewer; stored in `sums`."""
        builder, operands = self.builder, self.operands
        for tile in range(tiles):
            UNIT.zero(builder, tile)
        for index, pairs in enumerate(self.spec.passes):
            with cgutils.for_range(builder, builder.udiv(operands.k_steps, INT(self.spec.parts * TILE_STEPS))) as loop:
                self.multiply_parts(loop.index, pairs, tiles, prefetching=index == 0)
        for tile in range(tiles):
            UNIT.store(builder, tile, byte_offset(builder, self.sums, tile * TILE))

    def multiply_parts(self, k: ir.Value, pairs: Pairs, tiles: int, prefetching: bool) -> None:
        """Add the products of these parts of one tile of k, and prefetch that share of the next panel's lines."""
        builder, operands, parts = self.builder, self.operands, self.spec.parts
        count = tiles * len(pairs)
        bytes_of_k = builder.mul(operands.prefetch_stride, INT(parts * TILE_STEPS))
        lines = builder.udiv(builder.add(bytes_of_k, INT(count * LINE - 1)), INT(count * LINE))  # after each product
        first = [builder.add(builder.mul(k, INT(parts)), INT(part)) for part in range(parts)]
        x_part = builder.mul(operands.x_stride, INT(TILE_STEPS))
        x = [byte_offset(builder, operands.x, builder.mul(index, x_part)) for index in first]
        weights = [byte_offset(builder, operands.panel, builder.mul(index, INT(2 * TILE))) for index in first]
        for done, _ in enumerate(self.products(pairs, x, weights, tiles)):
            if prefetching:
                first_line = builder.mul(lines, builder.add(builder.mul(k, INT(count)), INT(done)))
                self.prefetch_next_panel(first_line, lines)

    def products(self, pairs: Pairs, x: list[ir.Value], weights: list[ir.Value], tiles: int) -> Iterator[None]:
        """Multiply parts of x and of the weights, given their addresses; yield after each multiplication. What is emitted
        between them runs while the tiles are busy. A part that was multiplied just before is in its tiles still."""
        builder, instruction, loaded = self.builder, self.spec.instruction, (None, None)
        for pair in pairs:
            new_x, new_weights = pair[0] != loaded[0], pair[1] != loaded[1]
            a, b, loaded = x[pair[0]], weights[pair[1]], pair
            if new_x:
                UNIT.load(builder, 4, a, TILE_BYTES)
            if new_weights:
                UNIT.load(builder, 6, b, 2 * TILE_BYTES)
            UNIT.multiply(builder, instruction, 0, 4, 6)
            yield
            if new_weights:
                UNIT.load(builder, 7, byte_offset(builder, b, TILE_BYTES), 2 * TILE_BYTES)
            UNIT.multiply(builder, instruction, 1, 4, 7)
            yield
            if tiles == 4:
                if new_x:
                    UNIT.load(builder, 5, byte_offset(builder, a, TILE), TILE_BYTES)
                UNIT.multiply(builder, instruction, 2, 5, 6)
                yield
                UNIT.multiply(builder, instruction, 3, 5, 7)
                yield

    def prefetch_next_panel(self, first_line: ir.Value, count: ir.Value) -> None:
        with cgutils.for_range(self.builder, count) as line:
            distance = self.builder.mul(self.builder.add(first_line, line.index), INT(LINE))
            prefetch(self.builder, byte_offset(self.builder, self.operands.next_panel, distance))

    def total(self, row: ir.Value, half: int) -> ir.Value:
        """The sums, added to y unless it is the first time."""
        builder, operands = self.builder, self.operands
        y = load_unaligned(builder, self.at(operands.y, operands.y_stride, row, half), ROW_FLOATS)
        sums = load_unaligned(builder, self.sum_address(row, half), self.spec.sums)
        return builder.fadd(
            builder.select(operands.first, ir.Constant(ROW_FLOATS, None), y), self.spec.to_floats(builder, sums)
        )

    def store_output(self, row: ir.Value, half: int) -> None:
        """y = the total; the last time, after the epilogue."""
        builder, operands, total = self.builder, self.operands, self.total(row, half)
        target = self.at(operands.y, operands.y_stride, row, half)
        with builder.if_else(operands.last) as (complete, partial):
            with complete:
                vectors = [self.at(operands.epilogue_vectors, operands.epilogue_stride, INT(i), half) for i in range(3)]
                row_scales = byte_offset(builder, operands.row_scales, builder.mul(row, INT(8)))
                output = self.spec.epilogue(builder, total, vectors, row_scales)
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

    def sum_address(self, row: ir.Value, half: int) -> ir.Value:
        """Of half a row of the sums: two tiles have the first 16 rows, two the others."""
        builder = self.builder
        pair, inner = builder.udiv(row, INT(TILE_ROWS)), builder.urem(row, INT(TILE_ROWS))
        return byte_offset(
            builder, self.sums, builder.mul(pair, INT(2 * TILE)), half * TILE, builder.mul(inner, INT(TILE_BYTES))
        )
