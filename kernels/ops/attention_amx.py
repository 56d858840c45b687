"""softmax(q kᵀ / √Dh) v with both products in bf16 on AMX's tiles; imported as `linear_amx.py` is.

What is rounded is as in `attention_bf16.py`; but a row of scores is a query, not a lane. Then queries, and later the softmax's
weights, are packed as the x of a product of `../gemm/amx.py` by rounding them, the context's rows are its y, and only keys are
transposed:

    panels of keys       (Dh / 2, NR words): NR keys are the outputs, two neighbors of Dh a word      scores = queries panel
    panels of values     (L / 2, NR words): NR of Dh are the outputs, two keys a word                 context = weights panel

The two keys of a word are i and i + WIDTH of NR keys, so that two vectors of weights become a line without a shuffle. Panels are
filled up with 0 to a multiple of NR keys; heads whose size is no such multiple are `register`'s.
"""

from __future__ import annotations

import math

import numpy as np

from minibert.errors import KernelError

from ..compiler.jit import jit
from ..gemm.amx import configure_tiles, microkernel_amx_bf16_scaled, microkernel_amx_bf16_sums, release_tiles
from ..gemm.amx_epilogue import begin_blocks, finish_blocks
from ..gemm.microkernel import TileArgs
from ..gemm.packing import transpose
from ..registry import variant
from ..simd.bf16 import LINE, pair, round_lines
from ..simd.elementwise import prefetch_row
from ..simd.row_softmax import exp_of_rows
from ..simd.scalar_math import NO_ACTIVATION
from ..simd.shapes import NR, WIDTH
from ..simd.shuffle import as_rows
from .attention_bf16 import BF16_ATTENTION, copy_key_bf16
from .attention_f32 import MASKED, ROWS_AHEAD, attention_register, attention_tasks, run_attention

SCORES_APART = 16  # scores after each row: rows whose distance is a power of two would share few lines of L1


@jit(error_model="numpy")
def pack_keys_amx(key, value, unmasked, left, kv, packed):
    """Pack a head's unmasked keys, times 1 / √Dh, in the first half of `packed`, and its values in kv[1], a word for two keys; if
    all are masked, all with scores of 0. -> how many keys."""
    found, count, size = 0, 0, kv.shape[2]
    for k in range(len(unmasked)):
        found += unmasked[k]
    scale, last = np.float32(1 / math.sqrt(size)) if found else np.float32(0), len(unmasked) - 1
    keys, pairs, right = kv[0], kv[1], left + size
    positions = keys[:, size - 1].view(np.int32)  # of each key in the sequence: half of a row is free, as its values are bf16
    for k in range(len(unmasked)):
        ahead = min(k + ROWS_AHEAD, last)
        prefetch_row(key[ahead][left:right])
        prefetch_row(value[ahead][left:right])
        if unmasked[k] or not found:
            copy_key_bf16(key[k][left:right], scale, keys[count])
            positions[count] = k
            count += 1
    padded = padded_count(count)
    for k in range(count, padded + 1):
        clear(keys[k])
    panels, zeros = as_rows(packed, NR), keys[padded].view(value.dtype)[:size]  # zeros of the type of a value's row
    for first in range(0, padded, NR):
        for k in range(first, first + WIDTH):
            one = value[positions[k]][left:right] if k < count else zeros
            other = value[positions[k + WIDTH]][left:right] if k + WIDTH < count else zeros
            pair(one, other, pairs[first // 2 + k - first])
        transpose(keys[first : first + NR, : size // 2], panels[first // NR * (size // 2) :])
    return count


@jit(inline="always")
def padded_count(count):
    return (count + NR - 1) // NR * NR


@jit(error_model="numpy")
def clear(row):
    for i in range(len(row)):
        row[i] = 0


@jit(error_model="numpy")
def attention_tile_amx(query, context, tile, packed, kv, scores, count, sums, relative, queries):
    """As `attention_f32.attention_tile`, with keys and values as `pack_keys_amx` packs them."""
    (rows, size), padded = query.shape, padded_count(count)
    packed_query, weights = as_rows(tile[0], NR * size)[0], packed[len(packed) // 2 :]  # in which no keys are packed
    for row in range(rows):
        round_lines(query[row], packed_query.view(np.uint16)[row * LINE :], rows * LINE)
    panels, scores, row_sums = as_rows(packed, NR), as_rows(scores, padded + SCORES_APART), as_rows(sums, 2)[:rows]
    for first in range(0, padded, NR):
        panel, args = panels[first // NR * (size // 2) :][: size // 2], TileArgs(0, rows, first, 0, 0, 0, 0)
        microkernel_amx_bf16_sums(scores, packed_query, panel, panel, sums, sums, sums, args, True, False)
    scores = scores[:rows]
    adjust_rows(scores, relative, queries)
    exp_of_rows(scores, count, weights, row_sums)
    invert_sums(row_sums)
    begin_blocks(NO_ACTIVATION)
    for first in range(0, size, NR):
        panel, args = kv[1][: padded // 2, first : first + NR], TileArgs(0, rows, first, 0, 0, 0, 0)
        microkernel_amx_bf16_scaled(context, weights, panel, panel, sums, row_sums, sums[:0], args, True, True)
    finish_blocks()


@jit(inline="always")
def adjust_rows(scores, relative, queries):
    """Without a bias and a window there is nothing to do."""


@jit(error_model="numpy")
def add_bias_and_window_to_rows(scores, relative, queries):
    """Add the bias to scores (R, ·) of the unmasked keys, a query a row; MASKED outside the window."""
    (bias, window), (head, first_query, unmasked) = relative, queries
    all_masked, none_masked, count = not unmasked.any(), unmasked.all(), len(unmasked)
    for row in range(len(scores)):
        i, row_scores = first_query + row, scores[row]
        if none_masked:
            if len(bias):
                row_bias = bias[head, i]
                for j in range(count):
                    row_scores[j] += row_bias[j]
            if window >= 0:
                for j in range(max(i - window, 0)):
                    row_scores[j] = MASKED
                for j in range(i + window + 1, count):
                    row_scores[j] = MASKED
            continue
        k = 0
        for j in range(count):
            if unmasked[j] or all_masked:
                if window >= 0 and (all_masked or abs(i - j) > window):
                    row_scores[k] = MASKED
                elif len(bias) and not all_masked:
                    row_scores[k] += bias[head, i, j]
                k += 1


@jit(error_model="numpy")
def invert_sums(row_sums):
    """row_sums (R, 2), each row's sum and maximum: its inverse sum in the place of the sum."""
    for row in range(len(row_sums)):
        row_sums[row, 0] = np.float32(1) / row_sums[row, 0]


@jit(error_model="numpy")
def invert_visible_sums(row_sums):
    """As `invert_sums`; 0 for a query that sees no key, unless its sum is NaN."""
    for row in range(len(row_sums)):
        total, row_max = row_sums[row]
        row_sums[row, 0] = np.float32(1) / total if row_max > MASKED else np.float32(0) * total


ON_TILES = {"pack_keys": pack_keys_amx, "start_tasks": configure_tiles, "end_tasks": release_tiles}
attention_tasks_amx = attention_tasks.specialize("attention_tasks_amx", attention_tile=attention_tile_amx, **ON_TILES)
attention_tile_amx_biased = attention_tile_amx.specialize(
    "attention_tile_amx_biased", adjust_rows=add_bias_and_window_to_rows, invert_sums=invert_visible_sums
)
attention_tasks_amx_biased = attention_tasks.specialize(
    "attention_tasks_amx_biased", attention_tile=attention_tile_amx_biased, **ON_TILES
)


def takes_rounded(head_size: int) -> bool:
    """Whether 1 / √Dh is a power of two: then a key that is rounded before it is multiplied with it gives the same bf16 as one that
    is rounded after. (Not below 2⁻¹²³, where the tile unit takes it for 0 or not; nor above 3.39e38, which rounds to infinity.)"""
    return head_size % NR == 0 and math.frexp(math.sqrt(head_size))[0] == 0.5


@variant("attention", **BF16_ATTENTION, capturable=True, takes_rounded=takes_rounded)
def attention_amx_bf16(query, key, value, bounds, key_mask, heads, bias=None, window=None):
    """`bf16` on tiles. Queries, keys and values may be in bf16 already, as uint16, if `takes_rounded`; else KernelError."""
    size = query.shape[1] // heads
    if query.dtype == np.uint16 and not takes_rounded(size):
        raise KernelError(
            f"heads of queries, keys and values in bf16 have a size of 64, 256 or 1024; got {size}. Pass float32."
        )
    if size % NR:
        return attention_register(query, key, value, bounds, key_mask, heads, bias, window)
    kernel = attention_tasks_amx if bias is None and window is None else attention_tasks_amx_biased
    spare = NR + SCORES_APART  # keys up to a multiple of NR and one more row of 0; scores of NR rows, as tiles write them all
    return run_attention(kernel, query, key, value, bounds, key_mask, heads, bias, window, spare)
