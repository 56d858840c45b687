"""Attention of each query to the keys near it and to the global ones. The formula is `sparse_attention.window_attention`.

naive       one query and one head at a time
register    both products as register tiles, whose vectors' lanes are queries; the tiles are those of `attention_f32.py`
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ..compiler.jit import jit
from ..gemm.packing import transpose
from ..registry import variant
from ..runtime.buffer_pool import empty
from ..runtime.threads import THREAD, run
from ..simd.elementwise import scale_row
from ..simd.emit import fetch_add
from ..simd.shapes import MR, NR
from .attention_f32 import MASKED, QUERY_BLOCK, add_values, divide_visible_lanes, pack_rows, score_keys, softmax_lanes
from .attention_naive import ROUNDING


def read_masks(count, bounds, key_mask, global_mask):
    """-> which tokens (N,) are not masked, which of these are not global, the rows of the global ones in order, and where
    each sequence's begin (S+1,)."""
    unmasked = np.ones(count, np.bool_) if key_mask is None else np.ascontiguousarray(key_mask, np.bool_)
    is_global = np.zeros(count, np.bool_) if global_mask is None else global_mask & unmasked
    global_rows = np.flatnonzero(is_global)
    return unmasked, unmasked & ~is_global, global_rows, np.searchsorted(global_rows, bounds).astype(np.int64)


@variant("window_attention", tolerance=2e-6, tolerance_reason=ROUNDING)
def window_attention_naive(query, key, value, bounds, key_mask, heads, window, global_mask=None):
    """One query and one head at a time: the scores of the global keys, then of those in the window; their softmax; the
    weighted sum of the values."""
    bounds = np.ascontiguousarray(bounds, np.int64)
    masks = read_masks(len(key), bounds, key_mask, global_mask)
    return window_rows(query, key, value, bounds, masks, heads, int(window))


@jit()
def window_rows(query, key, value, bounds, masks, heads, window):
    unmasked, local, global_rows, global_bounds = masks
    context, size = np.zeros_like(query), query.shape[1] // heads
    for sequence in range(len(bounds) - 1):
        start, stop = bounds[sequence], bounds[sequence + 1]
        everywhere = global_rows[global_bounds[sequence] : global_bounds[sequence + 1]]
        count = len(everywhere) + min(2 * window + 1, stop - start)
        keys, weights = np.empty(count, np.int64), np.empty(count, np.float64)
        for row in range(start, stop):
            visible = 0
            if unmasked[row]:
                for k in everywhere:
                    keys[visible] = k
                    visible += 1
                for k in range(max(row - window, start), min(row + window + 1, stop)):
                    if local[k]:
                        keys[visible] = k
                        visible += 1
            for head in range(heads):
                row_max, total = -np.inf, 0.0
                for j in range(visible):
                    score = 0.0
                    for i in range(head * size, head * size + size):
                        score += query[row, i] * key[keys[j], i]
                    weights[j] = score / math.sqrt(size)
                    row_max = max(row_max, weights[j])
                for j in range(visible):
                    weights[j] = math.exp(weights[j] - row_max)
                    total += weights[j]
                for j in range(visible):
                    for i in range(head * size, head * size + size):
                        context[row, i] += weights[j] / total * value[keys[j], i]
    return context


@variant("window_attention", tolerance=2e-6, tolerance_reason=ROUNDING)
def window_attention_register(query, key, value, bounds, key_mask, heads, window, global_mask=None):
    """A task copies and packs the global keys and those in reach of its queries; a tile reads the part in its own reach."""
    query, key, value = (np.ascontiguousarray(x) for x in (query, key, value))
    bounds = np.ascontiguousarray(bounds, np.int64)
    masks = read_masks(len(key), bounds, key_mask, global_mask)
    context, lengths = empty(*query.shape), np.diff(bounds)
    longest, most_global = int(lengths.max(initial=0)), int(np.diff(masks[3]).max(initial=0))
    if not longest:
        return context
    window = min(int(window), longest)
    q_blocks = np.zeros(len(bounds), np.int64)  # how many blocks of queries lie before each sequence
    np.cumsum(-(-lengths // QUERY_BLOCK), out=q_blocks[1:])
    size = query.shape[1] // heads
    reach = round_up(most_global) + min(QUERY_BLOCK + 2 * window, longest)  # keys of a task
    tile_reach = most_global + min(NR + 2 * window + 2 * MR, longest)  # keys of a tile
    work = len(query) * (min(2 * window, longest) + most_global) * query.shape[1] * 2  # multiply-adds
    scratch = ((2, reach, size), (reach * size,), (tile_reach, NR), (2, size, NR), (2, NR))
    tasks = min(int(q_blocks[-1]) * heads, work // 200_000 + 1)
    run(window_tasks, tasks, query, key, value, masks, (bounds, q_blocks), (heads, window), context, scratch=scratch)
    return context


def round_up(count: int) -> int:
    """To whole groups of MR keys, which the microkernel reads at a time."""
    return -(-count // MR) * MR


class WindowKeys(NamedTuple):
    """The keys that a tile of queries reads: the global ones, then those in its reach."""

    global_keys: int  # how many
    near: int  # where the others begin among the packed keys
    local: np.ndarray  # which of the others a window may show
    distance: int  # of the first query from the first of the others
    window: int


@jit(nogil=True, error_model="numpy")
def window_tasks(counter, scratch, query, key, value, masks, spans, sizes, context):
    """Do one task after another until none is left: one sequence's head, and QUERY_BLOCK of its queries."""
    (heads, window), (bounds, q_blocks), sequence = sizes, spans, 0
    size, thread = query.shape[1] // heads, fetch_add(counter[THREAD:])
    kv, packed_keys, scores = scratch[0][thread], scratch[1][thread], scratch[2][thread]
    tile, lane_sums, unmasked, local = scratch[3][thread], scratch[4][thread], masks[0], masks[1]
    task = fetch_add(counter)
    while task < q_blocks[-1] * heads:
        block = task // heads
        while q_blocks[sequence + 1] <= block:
            sequence += 1
        everywhere = masks[2][masks[3][sequence] : masks[3][sequence + 1]]
        left, first = task % heads * size, bounds[sequence] + (block - q_blocks[sequence]) * QUERY_BLOCK
        last = min(first + QUERY_BLOCK, bounds[sequence + 1])
        low, high = max(first - window, bounds[sequence]), min(last + window, bounds[sequence + 1])
        head = key[:, left : left + size], value[:, left : left + size]
        near = pack_reach(head, everywhere, low, high, kv, packed_keys)
        for row in range(first, last, NR):
            end = min(row + NR, last)
            transpose(query[row:end, left : left + size], tile[0])  # lanes without a query keep what they had
            begin = max(row - window, low)
            begin -= (begin - low) % MR  # packed keys are read in whole groups of MR
            count = min((end + window - begin + MR - 1) // MR * MR, high - begin)
            keys = WindowKeys(len(everywhere), near + begin - low, local[begin : begin + count], row - begin, window)
            window_tile(tile, packed_keys, kv[1], scores[: len(everywhere) + count], lane_sums, keys)
            transpose(tile[1][:, : end - row], context[row:end, left : left + size])
            for r in range(row, end):
                if not unmasked[r]:
                    context[r, left : left + size] = 0
        task = fetch_add(counter)


@jit(error_model="numpy")
def pack_reach(head, everywhere, low, high, kv, packed_keys):
    """Copy a head's global keys over √Dh and their values to kv (2, ·, Dh), then those from `low` to `high`, and pack the keys
    for the microkernel -> where the second part begins."""
    (key, value), size, count = head, kv.shape[2], len(everywhere)
    near, scale = (count + MR - 1) // MR * MR, np.float32(1 / math.sqrt(size))
    for k in range(count):
        scale_row(key[everywhere[k]], scale, kv[0, k])
        scale_row(value[everywhere[k]], np.float32(1), kv[1, k])
    for k in range(high - low):
        scale_row(key[low + k], scale, kv[0, near + k])
        scale_row(value[low + k], np.float32(1), kv[1, near + k])
    pack_rows(kv[0], 0, count, packed_keys)
    pack_rows(kv[0], near, near + high - low, packed_keys)
    return near


@jit(error_model="numpy")
def window_tile(tile, packed_keys, values, scores, lane_sums, keys):
    """tile[0] (Dh, NR), a query a lane -> tile[1] (Dh, NR), its context. scores (L, NR) is scratch for the L keys, which a
    WindowKeys describes."""
    count, near, local, distance, window = keys
    score_keys(tile[0], packed_keys, 0, scores[:count], lane_sums)
    score_keys(tile[0], packed_keys, near, scores[count:], lane_sums)
    hide_keys(scores[count:], local, distance, window)
    softmax_lanes(scores, lane_sums)
    if count:
        add_values(tile[1], values[:count], scores[:count], lane_sums, True)
    add_values(tile[1], values[near : near + len(local)], scores[count:], lane_sums, count == 0)
    divide_visible_lanes(tile[1], lane_sums)


@jit(error_model="numpy")
def hide_keys(scores, local, distance, window):
    """MASKED for a key that is not local, and outside a lane's window. Most keys are in the windows of all lanes."""
    last = scores.shape[1] - 1
    for k in range(len(scores)):
        row, offset = scores[k], k - distance  # of the key from the first lane's query
        if not local[k] or offset < -window or offset > last + window:
            for lane in range(len(row)):
                row[lane] = MASKED
            continue
        for lane in range(max(0, offset + window + 1), last + 1):
            row[lane] = MASKED
        for lane in range(min(max(0, offset - window), last + 1)):
            row[lane] = MASKED
