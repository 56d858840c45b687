"""softmax(q kᵀ / √Dh) v with both products in bf16, if the processor multiplies bf16 faster than float32.

Scores, the softmax's sums and the result stay float32; queries, keys, values and weights are rounded. The loops over
sequences, heads and queries are those of `attention_f32.py`.
"""

from __future__ import annotations

import numpy as np

from ..compiler.cpu import HAS_FAST_BF16
from ..compiler.jit import jit
from ..gemm.microkernel import microkernel_bf16, tile_of_rows
from ..gemm.packing import transpose
from ..gemm.shapes import K_ACCUMULATE
from ..registry import variant
from ..simd.bf16 import pair_rows, round_scaled
from ..simd.shapes import MR
from .attention_f32 import (
    add_bias_and_window,
    adjust_scores,
    attention_register,
    attention_tasks,
    divide_lanes,
    divide_visible_lanes,
    gather_unmasked,
    pack_rows,
    run_attention,
    softmax_lanes,
)

BF16_ATTENTION = {"tolerance": 0.02, "tolerance_reason": "queries, keys, values and weights keep 8 of 24 bits"}


@variant("attention", **BF16_ATTENTION, capturable=True)
def attention_bf16(query, key, value, bounds, key_mask, heads, bias=None, window=None):
    """`register` with bf16 tiles; `register` itself if the processor multiplies bf16 no faster than float32."""
    if not HAS_FAST_BF16:
        return attention_register(query, key, value, bounds, key_mask, heads, bias, window)
    plain = bias is None and window is None
    kernel = attention_tasks_bf16 if plain else attention_tasks_bf16_biased
    return run_attention(kernel, query, key, value, bounds, key_mask, heads, bias, window)


@jit(error_model="numpy")
def pack_keys_bf16(key, value, unmasked, left, kv, packed_keys):
    """As `attention_f32.pack_keys`, with two bf16 in a word: two neighbors of a key, and the values of two keys."""
    count = gather_bf16(key, value, unmasked, left, kv)
    words = kv[0].view(np.uint32)[:, : (kv.shape[2] + 1) // 2]
    pack_rows(words, 0, count, packed_keys.view(np.uint32))
    pair_rows(kv[1, :count])
    return count


@jit(error_model="numpy")
def copy_key_bf16(key, scale, target):
    """As `attention_f32.copy_key`, as bf16; 0 after an odd last value."""
    halves = target.view(np.uint16)
    round_scaled(key, scale, halves)
    if len(key) % 2:
        halves[len(key)] = 0


@jit(error_model="numpy")
def attention_tile_bf16(query, context, tile, packed_keys, kv, scores, count, lane_sums, relative, queries):
    """As `attention_f32.attention_tile`, with the values in pairs of keys."""
    transpose(query, tile[0])
    values, scores, size = kv[1, :count], scores[:count], kv.shape[2]
    k_steps, key_pairs = (size + 1) // 2, (count + 1) // 2
    pair_rows(tile[0])
    panel = tile[0][:k_steps]
    for top in range(0, count, MR):
        args = tile_of_rows(top, min(MR, count - top), top * k_steps, K_ACCUMULATE // 2)
        microkernel_bf16(scores, packed_keys, panel, panel, lane_sums, lane_sums, lane_sums, args, True, False)
    adjust_scores(scores, relative, queries)
    softmax_lanes(scores, lane_sums)
    pair_rows(scores)
    weights = scores[:key_pairs]
    for top in range(0, size, MR):
        args = tile_of_rows(top, min(MR, size - top), top, K_ACCUMULATE // 2)
        microkernel_bf16(tile[1], values, weights, weights, lane_sums, lane_sums, lane_sums, args, True, False)
    divide_lanes(tile[1], lane_sums)
    transpose(tile[1][:, : len(query)], context)


gather_bf16 = gather_unmasked.specialize("gather_bf16", copy_key=copy_key_bf16)
attention_tasks_bf16 = attention_tasks.specialize(
    "attention_tasks_bf16", pack_keys=pack_keys_bf16, attention_tile=attention_tile_bf16
)
attention_tile_bf16_biased = attention_tile_bf16.specialize(
    "attention_tile_bf16_biased", adjust_scores=add_bias_and_window, divide_lanes=divide_visible_lanes
)
attention_tasks_bf16_biased = attention_tasks.specialize(
    "attention_tasks_bf16_biased", pack_keys=pack_keys_bf16, attention_tile=attention_tile_bf16_biased
)
