"""The microkernel: a register tile, y (R, NR) += x (R, K) @ panel (K, NR), written once for three data types.

A step multiplies one row of the panel, 4 bytes for each of NR outputs, with 4 bytes of each of R rows of x:

    float32     one value of k            fma
    bf16        two neighbors of k        vdpbf16ps; without it widened to float32, and two fmas
    int8        four neighbors of k       vpdpbusd; without it pmaddwd, or scalar products

    panel[k]                  b0 = a vector of outputs     b1 = the next
    x[0, k] = a, splat        sums00 += a · b0             sums01 += a · b1
    x[1, k] = a, splat        sums10 += a · b0             sums11 += a · b1       ... 2 R multiply-adds for 2 + R loads

x is packed, the rows of a step side by side, so that a step reads one place in memory (`gemm.pack_rows`). A running sum
takes `k_accumulate` steps and is then added to a total, which keeps float32 exact. With 32 registers the totals stay in
registers too; with 16 LLVM keeps them on the stack meanwhile. A sum of integers is exact, and takes all steps.

Each step also prefetches some bytes of the next panel. Reading weights from memory takes as long as multiplying them with
ten rows; prefetched, it overlaps with the arithmetic. A row's instructions do not depend on R.

`dtypes.py` defines what differs between the data types.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from llvmlite import ir

from ..compiler.intrinsic import intrinsic
from ..compiler.jit import jit
from ..compiler.toolchain import cgutils, types
from ..simd.emit import ADDRESS, CACHE_LINE, FLOAT, INT, byte_offset, load_unaligned, prefetch, store_unaligned, switch_on_rows
from ..simd.shapes import UNROLL
from .dtypes import MicrokernelSpec, bf16, float32, int8

PREFETCH_ROWS = 2  # rows of y and of the residual that are prefetched at a time


class TileArgs(NamedTuple):
    """A tile's indices and sizes. They are integers, not slices: each sliced array costs a tile some 15 instructions."""

    row: int  # of y, the tile's first
    rows: int
    column: int  # of y, the tile's first
    x_start: int  # index in packed x
    prefetch_row: int  # of the next panel, the first that this tile prefetches
    prefetch_stride: int  # bytes to prefetch in each step
    k_accumulate: int  # steps in a running sum


@jit(inline="always")
def tile_of_rows(row, rows, x_start, k_accumulate):
    """`rows` rows of y from `row` on, whose x begins at x_start. y has one panel's columns, and nothing is prefetched."""
    return TileArgs(row, rows, 0, x_start, 0, 0, k_accumulate)


class TileOperands(NamedTuple):
    """A tile's function in LLVM IR takes these: addresses, then distances in bytes, counts and flags."""

    y: ir.Value
    x: ir.Value
    panel: ir.Value
    next_panel: ir.Value
    epilogue_vectors: ir.Value
    row_scales: ir.Value
    residual: ir.Value
    y_stride: ir.Value  # from one row of y to the next
    x_stride: ir.Value  # from one step of x to the next
    panel_stride: ir.Value
    epilogue_stride: ir.Value  # from the bias to the scales, and from these to the weight sums
    residual_stride: ir.Value
    k_steps: ir.Value
    prefetch_stride: ir.Value  # bytes of the next panel to prefetch in a step
    k_accumulate: ir.Value  # steps in a running sum
    first: ir.Value  # whether the totals begin at 0
    last: ir.Value  # whether the epilogue follows
    has_residual: ir.Value  # whether it adds the residual


@intrinsic
def microkernel_f32(typing, y, x, panel, next_panel, epilogue_vectors, row_scales, residual, tile_args, first, last):
    """float32: the tile of y at (row, column) += x (K, R)ᵀ @ panel (K, 4 NR bytes).

    With `first`, y is not read: the totals begin at 0. With `last`, epilogue_vectors (1, ·), the bias, is added, and
    `residual`, an array like y, unless it is empty. `row_scales` is not read."""
    arrays = (y, x, panel, next_panel, epilogue_vectors, row_scales, residual)
    return signature(*arrays, tile_args), emitter(float32())


@intrinsic
def microkernel_bf16(typing, y, x, panel, next_panel, epilogue_vectors, row_scales, residual, tile_args, first, last):
    """bf16: y += x (K / 2, ·)ᵀ @ panel (K / 2, 4 NR bytes); x has two bf16 a step."""
    arrays = (y, x, panel, next_panel, epilogue_vectors, row_scales, residual)
    return signature(*arrays, tile_args), emitter(bf16())


@intrinsic
def microkernel_int8(typing, y, x, panel, next_panel, epilogue_vectors, row_scales, residual, tile_args, first, last):
    """int8: y += x (K / 4, ·)ᵀ @ panel (K / 4, 4 NR bytes), whose integer sums are exact.

    With `last`, epilogue_vectors (3, ·), each output's bias, scale and sum of weights, and row_scales (M, 2), each row's
    scale and zero point, turn the totals into y."""
    arrays = (y, x, panel, next_panel, epilogue_vectors, row_scales, residual)
    return signature(*arrays, tile_args), emitter(int8())


def signature(*arguments):
    return types.void(*arguments, types.boolean, types.boolean)


def emitter(spec: MicrokernelSpec) -> Callable:
    """What Numba calls to emit a call of the tile. Arrays have two axes, the second contiguous. x may have one axis: each
    row's bytes of a step, then those of the next step, ..."""

    def emit(context, builder, signature, values):
        args, operands = read_operands(context, builder, signature, values, spec.x_step_bytes)
        for rows in switch_on_rows(builder, args.rows, spec.mr):
            tile = get_or_build_tile(builder.module, spec, rows)
            if signature.args[1].ndim == 1:  # a constant, which LLVM folds into the tile's addresses
                operands = operands._replace(x_stride=INT(rows * spec.x_step_bytes))
            for column in range(0, spec.nr, 2 * spec.outputs):
                further = (4 * column, 0, 4 * column, 0, 4 * column, 0, 4 * column)
                addresses = [byte_offset(builder, start, distance) for start, distance in zip(operands, further)]
                builder.call(tile, [*addresses, *operands[len(addresses) :]])

    return emit


def read_operands(context, builder, signature, values, x_step_bytes: int) -> tuple[TileArgs, TileOperands]:
    """A microkernel's arguments -> the tile's indices and sizes, and what its function takes."""
    *arrays, tile_args, first, last = values
    arrays = [context.make_array(array_type)(context, builder, value) for array_type, value in zip(signature.args, arrays)]
    y, x, panel, next_panel, epilogue_vectors, row_scales, residual = arrays
    args = TileArgs(*(builder.extract_value(tile_args, i) for i in range(len(TileArgs._fields))))
    y_stride, next_stride, row_scales_stride, *strides = (
        builder.extract_value(array.strides, 0) for array in (y, next_panel, row_scales, panel, epilogue_vectors, residual)
    )
    packed = signature.args[1].ndim == 1
    x_stride = builder.mul(args.rows, INT(x_step_bytes)) if packed else builder.extract_value(x.strides, 0)
    across = builder.mul(INT(4), args.column)
    offsets = [
        [builder.mul(args.row, y_stride), across],
        [builder.mul(INT(4), args.x_start)],
        [],
        [builder.mul(args.prefetch_row, next_stride)],
        [across],
        [builder.mul(args.row, row_scales_stride)],
        [builder.mul(args.row, strides[-1]), across],
    ]
    starts = [byte_offset(builder, builder.bitcast(array.data, ADDRESS), *begin) for array, begin in zip(arrays, offsets)]
    k_steps = builder.extract_value(panel.shape, 0)
    has_residual = builder.and_(last, builder.icmp_signed(">", builder.extract_value(residual.shape, 0), INT(0)))
    counts = k_steps, args.prefetch_stride, args.k_accumulate
    return args, TileOperands(*starts, y_stride, x_stride, *strides, *counts, first, last, has_residual)


def get_or_build_tile(module: ir.Module, spec: MicrokernelSpec, rows: int) -> ir.Function:
    """The tile for this number of rows, as one function for all calls in a module: each copy takes a second to compile."""
    function_type = ir.FunctionType(ir.VoidType(), [ADDRESS] * 7 + [INT] * 8 + [ir.IntType(1)] * 3)
    tile = cgutils.get_or_insert_function(module, function_type, f"minibert_tile_{spec.multiply_add.__name__}_{rows}")
    if tile.is_declaration:
        tile.linkage = "internal"
        tile.attributes.add("noinline")
        emit_tile(ir.IRBuilder(tile.append_basic_block("entry")), spec, rows, TileOperands(*tile.args))
    return tile


class Tile:
    """The parts of a tile's code, and what they share. A row has two vectors of y: all lists here go row by row."""

    def __init__(self, builder: ir.IRBuilder, spec: MicrokernelSpec, rows: int, operands: TileOperands):
        self.builder, self.spec, self.rows, self.operands = builder, spec, rows, operands
        self.size, self.floats = 4 * spec.outputs, ir.VectorType(FLOAT, spec.outputs)
        self.vectors = [(row, half * self.size) for row in range(rows) for half in (0, 1)]  # row, offset in bytes

    def at(self, address: ir.Value, offset: ir.Value | int, *steps: tuple) -> ir.Value:
        """address + offset + count · stride for each (count, stride)."""
        distances = [self.builder.mul(INT(count) if isinstance(count, int) else count, stride) for count, stride in steps]
        return byte_offset(self.builder, address, offset, *distances)

    def y_addresses(self) -> list[ir.Value]:
        return [self.at(self.operands.y, half, (row, self.operands.y_stride)) for row, half in self.vectors]

    def residual_addresses(self) -> list[ir.Value]:
        return [self.at(self.operands.residual, half, (row, self.operands.residual_stride)) for row, half in self.vectors]

    def load_y(self) -> list[ir.Value]:
        return [load_unaligned(self.builder, address, self.floats) for address in self.y_addresses()]

    def store_y(self, values: list[ir.Value]) -> None:
        for address, value in zip(self.y_addresses(), values, strict=True):
            store_unaligned(self.builder, value, address)

    def initial_totals(self) -> list[ir.Value]:
        """0 the first time, then y."""
        zero = ir.Constant(self.floats, None)
        return [self.builder.select(self.operands.first, zero, value) for value in self.load_y()]

    def initial_accumulators(self) -> list[ir.Value]:
        """What the first group begins with: exact sums of 0, or the totals."""
        return self.zero_sums() if self.spec.exact else self.initial_totals()

    def zero_sums(self) -> list[ir.Value]:
        return [ir.Constant(self.spec.sums, None)] * len(self.vectors)

    def prefetch_outputs(self, group: ir.Value) -> None:
        """Prefetch some rows of y and of the residual: with the first group of steps the first rows, with the next the next.
        Zen 4 drops prefetches issued beyond its queue depth."""
        builder, operands = self.builder, self.operands
        with builder.if_then(builder.icmp_unsigned("<", group, INT(-(-self.rows // PREFETCH_ROWS)))):
            first = builder.mul(group, INT(PREFETCH_ROWS))
            for i, half in self.vectors[: 2 * PREFETCH_ROWS]:
                row = builder.add(first, INT(i))
                prefetch(builder, self.at(operands.y, half, (row, operands.y_stride)), to_write=True)
                prefetch(builder, self.at(operands.residual, half, (row, operands.residual_stride)))

    def fma_steps(self, k: ir.Value, sums: list[ir.Value], count: int) -> list[ir.Value]:
        """The sums, plus the products of `count` rows of the panel."""
        self.prefetch_panel(k, count)
        for step in range(count):
            sums = self.fma_step(self.builder.add(k, INT(step)), sums)
        return sums

    def fma_step(self, k: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
        builder, operands = self.builder, self.operands
        addresses = [self.at(operands.panel, half, (k, operands.panel_stride)) for half in (0, self.size)]
        weights = [load_unaligned(builder, address, self.spec.weights) for address in addresses]
        new_sums = []
        for row in range(self.rows):
            x = self.at(operands.x, row * self.spec.x_step_bytes, (k, operands.x_stride))
            new_sums += self.spec.multiply_add(builder, sums[2 * row : 2 * row + 2], x, weights)
        return new_sums

    def prefetch_panel(self, k: ir.Value, count: int) -> None:
        """Prefetch what these steps should of the next panel: one cache line if they all lie in it."""
        builder, stride = self.builder, self.operands.prefetch_stride
        self.prefetch_line(k)
        if count > 1:
            with builder.if_then(builder.icmp_unsigned(">", builder.mul(stride, INT(count)), INT(CACHE_LINE))):
                for step in range(1, count):
                    self.prefetch_line(builder.add(k, INT(step)))

    def prefetch_line(self, k: ir.Value) -> None:
        for start in range(0, 2 * self.size, CACHE_LINE):
            prefetch(self.builder, self.at(self.operands.next_panel, start, (k, self.operands.prefetch_stride)))

    def flush_accumulators(self, accumulators: list[ir.Value], sums: list[ir.Value]) -> list[ir.Value]:
        """What the next group begins with: exact sums go on, others are added to the totals."""
        return sums if self.spec.exact else self.add_sums(accumulators, sums)

    def add_sums(self, totals: list[ir.Value], sums: list[ir.Value]) -> list[ir.Value]:
        """totals + sums, as floats."""
        return [self.builder.fadd(total, self.spec.to_floats(self.builder, value)) for total, value in zip(totals, sums)]

    def store_outputs(self, totals: list[ir.Value]) -> None:
        """Store the totals in y; the last time, apply the epilogue first."""
        builder, operands = self.builder, self.operands
        with builder.if_else(operands.last) as (complete, partial):
            with complete:
                outputs = []
                for total, (row, half) in zip(totals, self.vectors):
                    vectors = [self.at(operands.epilogue_vectors, half, (i, operands.epilogue_stride)) for i in range(3)]
                    outputs.append(self.spec.epilogue(builder, total, vectors, self.at(operands.row_scales, 8 * row)))
                with builder.if_else(operands.has_residual) as (added, alone):
                    with added:
                        residuals = [load_unaligned(builder, address, self.floats) for address in self.residual_addresses()]
                        self.store_y([builder.fadd(value, residual) for value, residual in zip(outputs, residuals)])
                    with alone:
                        self.store_y(outputs)
            with partial:
                self.store_y(totals)


def emit_tile(builder: ir.IRBuilder, spec: MicrokernelSpec, rows: int, operands: TileOperands) -> None:
    """A loop over groups of `k_accumulate` steps, and in it loops over steps. Accumulators go from group to group: totals, or sums
    that are exact."""
    tile = Tile(builder, spec, rows, operands)
    before, group, done = (builder.append_basic_block(name) for name in ("before", "group", "done"))
    initial = tile.initial_accumulators()
    builder.branch(before)
    builder.position_at_end(before)
    builder.branch(group)

    builder.position_at_end(group)
    index, start = builder.phi(INT), builder.phi(INT)
    accumulators = [builder.phi(value.type) for value in initial]
    tile.prefetch_outputs(index)
    full_stop = builder.add(start, operands.k_accumulate)
    stop = builder.select(builder.icmp_signed("<", full_stop, operands.k_steps), full_stop, operands.k_steps)
    k, sums = start, accumulators if spec.exact else tile.zero_sums()
    for count in dict.fromkeys((UNROLL, 1)):
        k, sums = emit_steps(tile, k, stop, sums, count)
    flushed, next_index = tile.flush_accumulators(accumulators, sums), builder.add(index, INT(1))
    flush = builder.block
    builder.cbranch(builder.icmp_signed("<", stop, operands.k_steps), group, done)
    add_incoming([index, start], before, [INT(0), INT(0)], flush, [next_index, stop])
    add_incoming(accumulators, before, initial, flush, flushed)

    builder.position_at_end(done)
    tile.store_outputs(tile.add_sums(tile.initial_totals(), flushed) if spec.exact else flushed)
    builder.ret_void()


def emit_steps(tile: Tile, start: ir.Value, stop: ir.Value, initial: list, count: int) -> tuple[ir.Value, list]:
    """Steps from `start`, `count` at a time while as many are left before `stop` -> the next step, the sums."""
    builder = tile.builder
    before, header, body, after = builder.block, *(builder.append_basic_block(name) for name in ("header", "steps", "after"))
    builder.branch(header)
    builder.position_at_end(header)
    k, sums = builder.phi(INT), [builder.phi(value.type) for value in initial]
    next_k = builder.add(k, INT(count))
    builder.cbranch(builder.icmp_signed("<=", next_k, stop), body, after)
    builder.position_at_end(body)
    new_sums = tile.fma_steps(k, sums, count)
    add_incoming([k, *sums], before, [start, *initial], builder.block, [next_k, *new_sums])
    builder.branch(header)
    builder.position_at_end(after)
    return k, sums


def add_incoming(phis: list, left: ir.Block, lefts: list, right: ir.Block, rights: list) -> None:
    """Add both incoming edges to each phi."""
    for phi, from_left, from_right in zip(phis, lefts, rights, strict=True):
        phi.add_incoming(from_left, left)
        phi.add_incoming(from_right, right)
