"""The microkernel on AMX's tiles: y (R, 32) += x (R, K) @ panel (K, 32) for up to 32 rows, in bf16 or int8.
float32 is multiplied as bf16 parts: `amx_f32.py`.

A tile register has 16 rows of 64 bytes, and an instruction multiplies two of them: it adds to 16 × 16 sums the products of 64
bytes of k, 32 values in bf16 (tdpbf16ps), 64 in int8 (tdpbusd). A block is 2 × 2 such sums, so that four loads serve four
multiplications:

    tile 6 = panel[k], outputs 0 to 15      tile 7 = panel[k], outputs 16 to 31
    tile 4 = x[k], rows 0 to 15             tile 0 += 4 · 6            tile 1 += 4 · 7
    tile 5 = x[k], rows 16 to 31            tile 2 += 5 · 6            tile 3 += 5 · 7

The packed panels of the other microkernels are such tiles as they stand: a step is a word of each output, and 16 steps are a
tile's rows, 128 bytes apart. Only x is packed otherwise: for each 16 steps, 64 bytes of each row of the block (`pack_line`).
A block of fewer rows also loads bytes that follow; an epilogue does not read their sums.

A row's bits depend on its own values alone. In bf16, the products of even and of odd k are chains of fused multiply-adds, whose
two results are added, and added to the sum (Intel's Architectures Software Developer's Manual, "TDPBF16PS"). In int8 the sums
are exact, and the epilogue is that of `microkernel.py`, so that the bits are those of vpdpbusd.

The sums of a block become y while the next block is multiplied: `amx_epilogue.py`. Attention's scores are stored at once
(`SumsBlock`), its context is scaled by row.

LLVM does not allocate tile registers here: the intrinsics take their numbers, and the configuration is ours. It belongs to a
thread, so each task loop begins with `configure_tiles` and ends with `release_tiles`, which spares the operating system 8 KiB
at each switch of context.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import repeat
from typing import NamedTuple

from llvmlite import ir

from ..compiler.intrinsic import Intrinsic, intrinsic
from ..compiler.jit import Kernel, jit
from ..compiler.toolchain import cgutils, types
from ..simd.emit import ADDRESS, BYTE, CACHE_LINE, INT, WORD, byte_offset, call, prefetch, smaller
from .amx_epilogue import (
    AS_BF16,
    AS_FLOATS,
    AS_PACKED,
    ROW_FLOATS,
    TILE_BYTES,
    TILE_ROWS,
    TILE_SIZE,
    UNIT,
    Epilogue,
    LeftBlock,
    begin_blocks,
    finish_blocks,
    finish_function,
    memory_of,
)
from .dtypes import add_bias, dequantize, floats_of, identity, scale_rows
from .gemm import GemmSpec, gemm_tasks
from .microkernel import TileOperands, read_operands
from .microkernel import signature as kernel_signature

TILE_STEPS, STEP_BYTES = 16, 4  # steps that a multiplication takes; bytes of a row of x in a step
ROW_WORDS, NOTHING = ir.VectorType(WORD, TILE_ROWS), ir.VoidType()


# --- the instructions ---


def ldtilecfg(builder: ir.IRBuilder) -> None:
    """Eight tiles of 16 rows of 64 bytes: palette 1, as in Intel's manual, "LDTILECFG"."""
    widths, rows = [TILE_BYTES, 0] * 8 + [0] * 16, [TILE_ROWS] * 8 + [0] * 8
    content = bytearray([1, *[0] * 15, *widths, *rows])
    value = ir.Constant(ir.ArrayType(BYTE, len(content)), content)
    call(builder, "llvm.x86.ldtilecfg", NOTHING, builder.bitcast(cgutils.global_constant(builder, "tiles", value), ADDRESS))


def tilerelease(builder: ir.IRBuilder) -> None:
    call(builder, "llvm.x86.tilerelease", NOTHING)


def tilezero(builder: ir.IRBuilder, tile: int) -> None:
    call(builder, "llvm.x86.tilezero", NOTHING, BYTE(tile))


def tileload(builder: ir.IRBuilder, tile: int, address: ir.Value, stride: ir.Value) -> None:
    """`stride`: bytes from one row in memory to the next."""
    call(builder, "llvm.x86.tileloadd64", NOTHING, BYTE(tile), address, stride)


def tilestore(builder: ir.IRBuilder, tile: int, address: ir.Value, stride: ir.Value) -> None:
    call(builder, "llvm.x86.tilestored64", NOTHING, BYTE(tile), address, stride)


def multiply(builder: ir.IRBuilder, instruction: str, sums: int, x: int, weights: int) -> None:
    """`instruction`: tdpbf16ps or tdpbusd."""
    call(builder, f"llvm.x86.{instruction}", NOTHING, BYTE(sums), BYTE(x), BYTE(weights))


# --- the block ---

FRACTION = 32  # bits after the point of a share
Pairs = tuple[tuple[int, int], ...]
WHOLE = (((0, 0),),)  # values that are not split


class AmxSpec(NamedTuple):
    """What differs between the data types."""

    instruction: str
    passes: tuple[Pairs, ...]  # over all k: parts of x and of the weights that are multiplied
    epilogue: Epilogue
    panel_steps: int = TILE_STEPS  # that are a tile of weights
    block: type[Block] | None = None  # that is emitted, if it is not Block

    @property
    def parts(self) -> int:
        """How many values one value is split into."""
        return 1 + max(part for pairs in self.passes for pair in pairs for part in pair)


class RowShares:
    """A block's rows, evenly divided into shares, UNIT rows at a time: work that is done beside the products."""

    def __init__(self, builder: ir.IRBuilder, rows: ir.Value, shares: ir.Value):
        self.builder = builder
        without_k = builder.icmp_unsigned("==", shares, INT(0))  # all work is left for after it
        shares = builder.select(without_k, INT(1), shares)
        units = builder.select(without_k, INT(0), builder.udiv(rows, INT(UNIT)))
        self.units = builder.udiv(builder.shl(units, INT(FRACTION)), shares)  # of a share

    def before(self, share: ir.Value) -> ir.Value:
        """The first row of a share."""
        units = self.builder.lshr(self.builder.mul(self.units, share), INT(FRACTION))
        return self.builder.mul(units, INT(UNIT))

    def take(self, share: ir.Value, work: Callable[[ir.Value, ir.Value], None]) -> None:
        first, end = self.before(share), self.before(self.builder.add(share, INT(1)))
        with self.builder.if_then(self.builder.icmp_unsigned("<", first, end)):
            work(first, end)


class Block:
    """The parts of a block's code, and what they share."""

    def __init__(self, builder: ir.IRBuilder, spec: AmxSpec, left: ir.Value, rows: ir.Value, operands: TileOperands):
        self.builder, self.spec, self.rows, self.operands = builder, spec, rows, operands
        self.left = LeftBlock(builder, left)
        self.k_tiles = builder.udiv(operands.k_steps, INT(spec.panel_steps))
        self.rows_left = self.left.read("rows")  # of the block before
        self.weight_stride = operands.panel_stride  # bytes from a row of a tile to the next

    def emit(self) -> None:
        self.multiply_rows()
        self.left.leave(self.operands, self.rows, finish_function(self.builder.module, self.spec.epilogue))
        self.builder.ret_void()

    def multiply_rows(self) -> None:
        with self.builder.if_else(self.builder.icmp_unsigned(">", self.rows, INT(TILE_ROWS))) as (tall, short):
            with tall:
                self.multiply(tiles=4)
            with short:
                self.multiply(tiles=2)

    def multiply(self, tiles: int) -> None:
        """The sums of all tiles of k, in four tiles, or two for 16 rows and fewer; stored for their epilogue. Meanwhile that of the
        block before is applied, and this block's part of y is prefetched, evenly over all products."""
        builder = self.builder
        for tile in range(tiles):
            tilezero(builder, tile)
        shares = builder.mul(self.k_tiles, INT(sum(map(len, self.spec.passes))))
        rows, share_before = RowShares(builder, INT(tiles // 2 * TILE_ROWS), shares), INT(0)
        for index, pairs in enumerate(self.spec.passes):
            with cgutils.for_range(builder, self.k_tiles) as loop:
                share = builder.add(share_before, builder.mul(loop.index, INT(len(pairs))))
                for done, _ in enumerate(self.multiply_parts(loop.index, pairs, tiles, is_first=index == 0)):
                    rows.take(builder.add(share, INT(done)), self.attend)
            share_before = builder.add(share_before, builder.mul(self.k_tiles, INT(len(pairs))))
        self.left.finish(rows.before(shares), self.rows_left)
        for tile in range(tiles):
            place = (0, 2, 1, 3)[tile]  # the first halves of all rows, then the second ones
            tilestore(builder, tile, byte_offset(builder, self.left.memory, place * TILE_SIZE), INT(TILE_BYTES))

    def attend(self, first: ir.Value, end: ir.Value) -> None:
        """What is done beside the products, for some rows."""
        self.left.finish(first, smaller(self.builder, end, self.rows_left))
        self.prefetch_outputs(first, smaller(self.builder, end, self.rows))

    def prefetch_outputs(self, first: ir.Value, end: ir.Value) -> None:
        """What the epilogue will write and read: the rows lie so far apart that the processor does not foresee them."""
        builder, operands = self.builder, self.operands
        y_bytes = 2 * TILE_BYTES if self.spec.epilogue.y == AS_FLOATS else TILE_BYTES
        with cgutils.for_range(builder, end, start=first, intp=INT) as row:
            y = byte_offset(builder, operands.y, builder.mul(row.index, operands.y_stride))
            for line in range(0, y_bytes, CACHE_LINE):
                prefetch(builder, byte_offset(builder, y, line), to_write=True)
            with builder.if_then(operands.has_residual):
                residual = byte_offset(builder, operands.residual, builder.mul(row.index, operands.residual_stride))
                for line in range(0, 2 * TILE_BYTES, CACHE_LINE):
                    prefetch(builder, byte_offset(builder, residual, line))

    def multiply_parts(self, k: ir.Value, pairs: Pairs, tiles: int, is_first: bool) -> Iterator[None]:
        """Add the products of these parts of one tile of k; yield after each pair."""
        builder, parts = self.builder, self.spec.parts
        x_part = builder.mul(self.operands.x_stride, INT(TILE_STEPS))
        first = builder.mul(k, INT(parts))
        x = [byte_offset(builder, self.operands.x, builder.mul(builder.add(first, INT(i)), x_part)) for i in range(parts)]
        beside = self.work_on_panels(k, tiles * len(pairs)) if is_first else repeat(None)
        for product, _ in enumerate(self.products(pairs, x, self.weight_tiles(k), tiles), 1):
            next(beside)
            if product % tiles == 0:
                yield

    def weight_tiles(self, k: ir.Value) -> list[ir.Value]:
        """The address of each part's tiles of weights."""
        first = self.builder.mul(k, INT(TILE_STEPS))
        return [byte_offset(self.builder, self.operands.panel, self.builder.mul(first, self.weight_stride))]

    def work_on_panels(self, k: ir.Value, products: int) -> Iterator[None]:
        """What is done to panels while one tile of k is multiplied; yield after each product. Here, lines of the next panel are
        prefetched, as many for each tile of k."""
        builder, operands = self.builder, self.operands
        bytes_of_k, line_of_each = builder.mul(operands.prefetch_stride, INT(self.spec.panel_steps)), products * CACHE_LINE
        lines = builder.udiv(builder.add(bytes_of_k, INT(line_of_each - 1)), INT(line_of_each))
        for product in range(products):
            self.prefetch_next_panel(builder.mul(lines, builder.add(builder.mul(k, INT(products)), INT(product))), lines)
            yield

    def products(self, pairs: Pairs, x: list[ir.Value], weights: list[ir.Value], tiles: int) -> Iterator[None]:
        """Multiply parts of x and of the weights, given their addresses; yield after each multiplication. What is emitted
        between them runs while the tiles are busy. A part that was multiplied just before is in its tiles still."""
        builder, instruction, loaded = self.builder, self.spec.instruction, (None, None)
        for pair in pairs:
            new_x, new_weights = pair[0] != loaded[0], pair[1] != loaded[1]
            a, b, loaded = x[pair[0]], weights[pair[1]], pair
            if new_x:
                tileload(builder, 4, a, INT(TILE_BYTES))
            if new_weights:
                tileload(builder, 6, b, self.weight_stride)
            multiply(builder, instruction, 0, 4, 6)
            yield
            if new_weights:
                tileload(builder, 7, byte_offset(builder, b, TILE_BYTES), self.weight_stride)
            multiply(builder, instruction, 1, 4, 7)
            yield
            if tiles == 4:
                if new_x:
                    tileload(builder, 5, byte_offset(builder, a, TILE_SIZE), INT(TILE_BYTES))
                multiply(builder, instruction, 2, 5, 6)
                yield
                multiply(builder, instruction, 3, 5, 7)
                yield

    def prefetch_next_panel(self, first_line: ir.Value, count: ir.Value) -> None:
        with cgutils.for_range(self.builder, count) as line:
            distance = self.builder.mul(self.builder.add(first_line, line.index), INT(CACHE_LINE))
            prefetch(self.builder, byte_offset(self.builder, self.operands.next_panel, distance))


class SumsBlock(Block):
    """A block whose sums are y."""

    def emit(self) -> None:
        self.multiply_rows()
        self.builder.ret_void()

    def multiply(self, tiles: int) -> None:
        builder, operands = self.builder, self.operands
        for tile in range(tiles):
            tilezero(builder, tile)
        with cgutils.for_range(builder, self.k_tiles) as loop:
            for _ in self.multiply_parts(loop.index, *self.spec.passes, tiles, is_first=False):
                pass
        for tile in range(tiles):
            row, half = divmod(tile, 2)
            first = byte_offset(builder, operands.y, builder.mul(INT(row * TILE_ROWS), operands.y_stride), half * TILE_BYTES)
            tilestore(builder, tile, first, operands.y_stride)


# --- the microkernels ---


BF16_BLOCK = AmxSpec("tdpbf16ps", WHOLE, Epilogue("bf16", ROW_FLOATS, identity, add_bias))
BF16_PACKED_BLOCK = BF16_BLOCK._replace(epilogue=Epilogue("bf16_packed", ROW_FLOATS, identity, add_bias, AS_PACKED))
BF16_ROUNDED_BLOCK = BF16_BLOCK._replace(epilogue=Epilogue("bf16_rounded", ROW_FLOATS, identity, add_bias, AS_BF16))
BF16_SUMS_BLOCK = BF16_BLOCK._replace(epilogue=Epilogue("bf16_sums", ROW_FLOATS, identity, add_bias), block=SumsBlock)
BF16_SCALED_BLOCK = BF16_BLOCK._replace(epilogue=Epilogue("bf16_scaled", ROW_FLOATS, identity, scale_rows))
INT8_BLOCK = AmxSpec("tdpbusd", WHOLE, Epilogue("int8", ROW_WORDS, floats_of(identity), dequantize))
INT8_ROUNDED_BLOCK = INT8_BLOCK._replace(epilogue=INT8_BLOCK.epilogue._replace(name="int8_rounded", y=AS_BF16))


@intrinsic
def configure_tiles(typing):
    """Give this thread its tiles."""

    def emit(context, builder, signature, values):
        ldtilecfg(builder)
        return context.get_dummy_value()

    return types.none(), emit


@intrinsic
def release_tiles(typing):
    def emit(context, builder, signature, values):
        tilerelease(builder)
        return context.get_dummy_value()

    return types.none(), emit


@jit(inline="always")
def leave_activation(y, tile, activation):
    """Nothing: it is part of a block's epilogue."""


def on_tiles(spec: GemmSpec, name: str, pack_rows: Kernel, microkernel: Intrinsic, **hooks: Intrinsic) -> GemmSpec:
    """The same data type's product on tiles; `name` is the kernel's."""
    hooks |= {"start_tasks": configure_tiles, "begin_blocks": begin_blocks, "activate_tile": leave_activation}
    hooks |= {"finish_blocks": finish_blocks, "end_tasks": release_tiles}
    return spec._replace(
        mr=2 * TILE_ROWS,
        tasks=gemm_tasks.specialize(name, pack_rows=pack_rows, microkernel=microkernel, **hooks),
        mc_tiles=8,  # blocks of a task: with 3 KiB of each row 768 KiB, of an L2 of 2 MiB
        tasks_per_thread=2,  # large ones: for a task of few panels, L3 sends more of x than tiles multiply meanwhile
        x_slack=(TILE_ROWS - 1) * TILE_STEPS,  # as a tile is loaded whole
    )


@jit(inline="always", error_model="numpy")
def pack_line(line, row, rows, packed_x):
    """Put a row's words, a multiple of TILE_STEPS, into the packed x of a block of `rows` rows."""
    for step in range(0, len(line), TILE_STEPS):
        source, target = line[step : step + TILE_STEPS], packed_x[step * rows + row * TILE_STEPS :]
        for i in range(TILE_STEPS):
            target[i] = source[i]


def emitter(spec: AmxSpec) -> Callable:
    """What Numba calls to emit a call of the block."""

    def emit(context, builder, signature, values):
        args, operands = read_operands(context, builder, signature, values, STEP_BYTES)
        if spec.epilogue.y == AS_BF16:  # a column has 2 bytes, not 4
            operands = operands._replace(y=byte_offset(builder, operands.y, builder.mul(args.column, INT(-2))))
        elif spec.epilogue.y == AS_PACKED:  # a column has 2 bytes, which stand below those of the column before
            distance = builder.mul(args.column, builder.sub(builder.shl(args.rows, INT(1)), INT(4)))
            operands = operands._replace(y=byte_offset(builder, operands.y, distance), y_stride=INT(TILE_BYTES))
        builder.call(get_or_build_block(builder.module, spec), [memory_of(builder), args.rows, *operands])

    return emit


def get_or_build_block(module: ir.Module, spec: AmxSpec) -> ir.Function:
    """The block, as one function for all calls in a module."""
    function_type = ir.FunctionType(NOTHING, [ADDRESS, INT] + [ADDRESS] * 7 + [INT] * 8 + [ir.IntType(1)] * 3)
    function = cgutils.get_or_insert_function(module, function_type, f"minibert_block_{spec.epilogue.name}")
    if function.is_declaration:
        function.linkage = "internal"
        function.attributes.add("noinline")
        left, rows, *operands = function.args
        block = spec.block or Block
        block(ir.IRBuilder(function.append_basic_block("entry")), spec, left, rows, TileOperands(*operands)).emit()
    return function


def microkernel_of(spec: AmxSpec, module: str = __name__) -> Intrinsic:
    """The microkernel of a block, for up to 32 rows, with the arguments of `microkernel.microkernel_f32`. `module`: where it is
    defined."""

    def microkernel(typing, y, x, panel, next_panel, epilogue_vectors, row_scales, residual, tile_args, first, last):
        arrays = (y, x, panel, next_panel, epilogue_vectors, row_scales, residual)
        return kernel_signature(*arrays, tile_args), emitter(spec)

    microkernel.__name__, microkernel.__module__ = f"microkernel_amx_{spec.epilogue.name}", module
    return intrinsic(microkernel)


# As `microkernel.microkernel_bf16`; a running sum takes all of the panel.
microkernel_amx_bf16 = microkernel_of(BF16_BLOCK)
# For a y that is packed as the x of another product: the block's 32 columns of y are 16 words of two bf16 in a row, which stand as
# `pack_line` would put them. All of k is multiplied at once.
microkernel_amx_bf16_packed = microkernel_of(BF16_PACKED_BLOCK)
# For a y of bf16, as uint16. All of k is multiplied at once.
microkernel_amx_bf16_rounded = microkernel_of(BF16_ROUNDED_BLOCK)
# y = x @ panel, stored at once: no epilogue, so no `begin_blocks` and `finish_blocks` around it. 16 rows of y are written, or for
# more than 16 rows of x, 32.
microkernel_amx_bf16_sums = microkernel_of(BF16_SUMS_BLOCK)
# With `last`, each row's totals are multiplied with row_scales[row, 0], and no bias is added.
microkernel_amx_bf16_scaled = microkernel_of(BF16_SCALED_BLOCK)
# As `microkernel.microkernel_int8`, to the bit; and for a y of bf16, as uint16, with all of k at once.
microkernel_amx_int8 = microkernel_of(INT8_BLOCK)
microkernel_amx_int8_rounded = microkernel_of(INT8_ROUNDED_BLOCK)
