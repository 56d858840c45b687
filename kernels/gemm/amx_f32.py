"""float32 on AMX's tiles: a block whose weights are split into bf16 parts while the tiles are busy.

In float32 each value is three bf16 (`split_floats.py`). Packed x has, for each 32 of k, a tile of the high parts, one of the
middle parts and one of the low parts. A panel is float32, as for `register`, and split while the tiles are busy (`SplitBlock`).
Five pairs of parts are multiplied first, over all k of the panel's part, in an order that changes one side at a time; then high
parts with high parts, which are most of the sum: added in turn with the others, it would be rounded six times as often.
"""

from __future__ import annotations

from collections.abc import Iterator

from llvmlite import ir

from ..compiler.intrinsic import intrinsic
from ..compiler.toolchain import cgutils, types
from ..simd.emit import ADDRESS, INT, byte_offset, smaller
from .amx import WHOLE, AmxSpec, Block, microkernel_of
from .amx_epilogue import ROW_FLOATS, TILE_BYTES, TILE_SIZE, Epilogue, LeftBlock, memory_of
from .dtypes import identity, multiply_scales
from .split_floats import PARTS, ROW_BYTES, SPLIT_TILES, SPLIT_UNITS, SPLIT_VALUES, split_pair

SIX = (((0, 2), (0, 1), (1, 1), (1, 0), (2, 0)), *WHOLE)
SPLIT_PAIRS = len(SIX[0])  # of parts, beside which panels are split


class SplitBlock(Block):
    """A block of float32, whose panel is split into `parts`, bytes of this thread.

    The first block of a task splits its first panel itself: each tile of k while the one before it is multiplied. Beside the other
    blocks the next panel is split into `spare_parts`, `share` units after each pair; `units` of it are done. Then both memories
    change places. In a task with one block for each panel, that block splits it."""

    splits_own = False  # whether the code that is emitted splits its own panel

    def multiply_rows(self) -> None:
        builder, left, operands = self.builder, self.left, self.operands
        self.weight_stride, self.slot_mask = INT(2 * TILE_BYTES), left.read("slot_mask")
        self.all_units = builder.mul(self.k_tiles, INT(SPLIT_UNITS))
        with builder.if_then(builder.icmp_unsigned("!=", operands.panel, left.read("split_panel"))):
            self.begin_panel()
        self.parts, self.spare_parts, self.next_panel = map(left.read, ("parts", "spare_parts", "next_panel"))
        with builder.if_else(builder.icmp_unsigned("==", operands.panel, left.read("split_panel"))) as (is_split, is_new):
            with is_split:
                super().multiply_rows()
            with is_new:
                self.splits_own = True
                for unit in range(SPLIT_UNITS):
                    self.split_own(unit, operands.panel, INT(0))
                super().multiply_rows()
                left.write("split_panel", operands.panel)

    def begin_panel(self) -> None:
        """Take the parts of a panel that was split meanwhile; the next one is to be split from now on, unless it is this one."""
        builder, left, panel, next_panel = self.builder, self.left, self.operands.panel, self.operands.next_panel
        is_next = builder.icmp_unsigned("==", panel, left.read("next_panel"))
        is_done = builder.icmp_unsigned(">=", left.read("units"), self.all_units)
        with builder.if_then(builder.and_(is_next, is_done)):
            parts, spare = left.read("parts"), left.read("spare_parts")
            left.write("parts", spare)
            left.write("spare_parts", parts)
            left.write("split_panel", panel)
        left.write("next_panel", next_panel)
        left.write("units", builder.select(builder.icmp_unsigned("==", next_panel, panel), self.all_units, INT(0)))

    def part_tiles(self, parts: ir.Value, k: ir.Value) -> list[ir.Value]:
        """Their places: high parts, which a second pass reads, of each tile of k; then the others. Where a panel is multiplied with
        one block only, these have two places in turn, which stay in L1."""
        builder, size = self.builder, 2 * TILE_SIZE
        high = byte_offset(builder, parts, builder.mul(k, INT(size)))
        slot = builder.mul(builder.and_(k, self.slot_mask), INT(2 * size))
        middle, low = (byte_offset(builder, parts, SPLIT_TILES * size + part * size, slot) for part in (0, 1))
        return [high, middle, low]

    def weight_tiles(self, k: ir.Value) -> list[ir.Value]:
        return self.part_tiles(self.parts, k)

    def split_own(self, unit: int, weights: ir.Value, k: ir.Value) -> None:
        """Split a unit of this panel's tile k, which begins at `weights`."""
        pair, half = divmod(unit, 2)
        self.split_unit(weights, self.weight_tiles(k), pair * ROW_BYTES, half * TILE_BYTES)

    def split_unit(self, weights: ir.Value, tiles: list[ir.Value], row: ir.Value | int, half: ir.Value | int) -> None:
        """Split the two rows of weights that are one of each part's tiles, which begins `row` bytes after the first."""
        places = [byte_offset(self.builder, tile, row, half) for tile in tiles]
        split_pair(self.builder, byte_offset(self.builder, weights, row, row, half), places)

    def split_next(self) -> None:
        """Split the next panel's share of units."""
        builder, done = self.builder, self.left.read("units")
        end = smaller(builder, builder.add(done, self.left.read("share")), self.all_units)
        with cgutils.for_range(builder, end, start=done, intp=INT) as loop:
            k, unit = builder.udiv(loop.index, INT(SPLIT_UNITS)), builder.urem(loop.index, INT(SPLIT_UNITS))
            pair, half = builder.udiv(unit, INT(2)), builder.mul(builder.urem(unit, INT(2)), INT(TILE_BYTES))
            weights = byte_offset(builder, self.next_panel, builder.mul(k, INT(SPLIT_VALUES * ROW_BYTES)))
            self.split_unit(weights, self.part_tiles(self.spare_parts, k), builder.mul(pair, INT(ROW_BYTES)), half)
        self.left.write("units", end)

    def work_on_panels(self, k: ir.Value, products: int) -> Iterator[None]:
        """A block that splits its panel splits the next tile of k; after the last one, that one again, which is not used. Others split
        a share of the next panel."""
        prefetching, builder = super().work_on_panels(k, products), self.builder
        next_k = builder.add(k, INT(1))
        existing = builder.select(builder.icmp_unsigned("<", next_k, self.k_tiles), next_k, k)
        rows = byte_offset(builder, self.operands.panel, builder.mul(existing, INT(SPLIT_VALUES * ROW_BYTES)))
        for product in range(products):
            if self.splits_own:
                for unit in range(product * SPLIT_UNITS // products, (product + 1) * SPLIT_UNITS // products):
                    self.split_own(unit, rows, next_k)
            elif product % (products // SPLIT_PAIRS) == 0:
                self.split_next()
            yield next(prefetching)


F32_BLOCK = AmxSpec(
    "tdpbf16ps", SIX, Epilogue("f32", ROW_FLOATS, identity, multiply_scales), panel_steps=SPLIT_VALUES, block=SplitBlock
)


@intrinsic
def begin_panels(typing, scratch, tiles_per_task):
    """No panel is split yet. The parts of one, and of the next, go into `scratch`; each panel is multiplied with that many blocks."""

    def emit(context, builder, signature, values):
        left, array = LeftBlock(builder, memory_of(builder)), context.make_array(scratch)(context, builder, values[0])
        parts = builder.bitcast(array.data, ADDRESS)
        left.write("parts", parts)
        left.write("spare_parts", byte_offset(builder, parts, SPLIT_TILES * PARTS * 2 * TILE_SIZE))
        left.write("split_panel", ir.Constant(ADDRESS, None))
        left.write("next_panel", ir.Constant(ADDRESS, None))
        left.write("units", INT(0))
        others = builder.mul(builder.sub(values[1], INT(1)), INT(SPLIT_PAIRS))  # pairs after which the next panel is split
        is_alone = builder.icmp_signed("==", others, INT(0))
        share = builder.udiv(builder.add(others, INT(SPLIT_UNITS - 1)), builder.select(is_alone, INT(1), others))
        left.write("share", builder.select(is_alone, INT(0), share))
        left.write("slot_mask", builder.select(is_alone, INT(1), INT(-1)))
        return context.get_dummy_value()

    return types.none(scratch, types.int64), emit


# x is split. With `last`, epilogue_vectors (2, ·), each output's bias and scale, and row_scales (M, 2), each row's scale and a value
# that is not read, turn the totals into y.
microkernel_amx_f32 = microkernel_of(F32_BLOCK, __name__)
