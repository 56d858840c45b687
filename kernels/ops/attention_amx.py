"""softmax(q kᵀ / √Dh) v with both products in bf16 on AMX's tiles; imported as `linear_amx.py` is.

What is rounded, and in what order the rest is done, is as in `attention_bf16.py`. The products are those of `../gemm/amx.py`: up
to 32 keys, then up to 32 of a head's values, are the rows of a block, and NR queries are the panel's outputs. k, the values of
a head and then the keys, must be a multiple of a tile's: keys are filled up with 0, and heads of other sizes are `register`'s.
"""

from __future__ import annotations

from ..compiler.jit import jit
from ..gemm.amx import TILE_STEPS, configure_tiles, microkernel_amx_bf16, pack_line, release_tiles
from ..gemm.amx_epilogue import TILE_ROWS, begin_blocks, finish_blocks
from ..gemm.microkernel import tile_of_rows
from ..gemm.packing import transpose
from ..registry import variant
from ..simd.bf16 import pair_rows
from ..simd.scalar_math import NO_ACTIVATION
from ..simd.shuffle import as_rows
from .attention_bf16 import BF16_ATTENTION, gather_bf16
from .attention_f32 import (
    add_bias_and_window,
    adjust_scores,
    attention_register,
    attention_tasks,
    divide_lanes,
    divide_visible_lanes,
    run_attention,
    softmax_lanes,
)

BLOCK, TILE_KEYS = 2 * TILE_ROWS, 2 * TILE_STEPS  # rows of a block of tiles; keys, or values of a head, of a tile


@jit(error_model="numpy")
def pack_keys_amx(key, value, unmasked, left, kv, packed):
    """As `attention_bf16.pack_keys_bf16`, in the order of tiles: the keys in one half of `packed`, in the other the values."""
    count, k_steps = gather_bf16(key, value, unmasked, left, kv), kv.shape[2] // 2
    for top in range(0, count, BLOCK):
        rows = min(BLOCK, count - top)
        for row in range(rows):
            pack_line(kv[0, top + row, :k_steps], row, rows, packed[top * k_steps :])
    pairs, values = kv[1, : pad_and_pair(kv[1], count)], packed[len(packed) // 2 :]
    for column in range(0, kv.shape[2], BLOCK):
        for first in range(0, len(pairs), TILE_STEPS):
            start = column * len(pairs) + first * BLOCK
            block = as_rows(values[start : start + BLOCK * TILE_STEPS], TILE_STEPS)
            transpose(pairs[first : first + TILE_STEPS, column : column + BLOCK], block)
    return count


@jit(error_model="numpy")
def pad_and_pair(rows, count):
    """The first `count` rows, and 0 up to a multiple of TILE_KEYS, become words of two rows' bf16 -> how many rows of these."""
    padded = -(-count // TILE_KEYS) * TILE_KEYS
    for row in range(count, padded):
        target = rows[row]
        for i in range(len(target)):
            target[i] = 0
    pair_rows(rows[:padded])
    return padded // 2


@jit(error_model="numpy")
def attention_tile_amx(tile, packed, kv, scores, count, lane_sums, relative, queries):
    """As `attention_f32.attention_tile`; the values are those that `pack_keys_amx` has packed."""
    size, values, scored = kv.shape[2], packed[len(packed) // 2 :], scores[:count]
    pair_rows(tile[0])
    panel = tile[0][: size // 2]
    begin_blocks(NO_ACTIVATION)
    for top in range(0, count, BLOCK):
        args = tile_of_rows(top, min(BLOCK, count - top), top * len(panel), 0)
        microkernel_amx_bf16(scored, packed, panel, panel, lane_sums, lane_sums, lane_sums, args, True, False)
    finish_blocks()
    adjust_scores(scored, relative, queries)
    softmax_lanes(scored, lane_sums)
    weights = scores[: pad_and_pair(scores, count)]
    for top in range(0, size, BLOCK):
        args = tile_of_rows(top, BLOCK, top * len(weights), 0)
        microkernel_amx_bf16(tile[1], values, weights, weights, lane_sums, lane_sums, lane_sums, args, True, False)
    finish_blocks()
    divide_lanes(tile[1], lane_sums)


ON_TILES = {"pack_keys": pack_keys_amx, "start_tasks": configure_tiles, "end_tasks": release_tiles}
attention_tasks_amx = attention_tasks.specialize("attention_tasks_amx", attention_tile=attention_tile_amx, **ON_TILES)
attention_tile_amx_biased = attention_tile_amx.specialize(
    "attention_tile_amx_biased", adjust_scores=add_bias_and_window, divide_lanes=divide_visible_lanes
)
attention_tasks_amx_biased = attention_tasks.specialize(
    "attention_tasks_amx_biased", attention_tile=attention_tile_amx_biased, **ON_TILES
)


@variant("attention", **BF16_ATTENTION, capturable=True)
def attention_amx_bf16(query, key, value, bounds, key_mask, heads, bias=None, window=None):
    """`bf16` on tiles."""
    if query.shape[1] // heads % BLOCK:
        return attention_register(query, key, value, bounds, key_mask, heads, bias, window)
    kernel = attention_tasks_amx if bias is None and window is None else attention_tasks_amx_biased
    return run_attention(kernel, query, key, value, bounds, key_mask, heads, bias, window, multiple=TILE_KEYS)
