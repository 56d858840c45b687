"""Attention with both products as register tiles, on threads. The formula is `composed.attention`; the rungs below are in
`attention_naive.py`."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ..compiler.jit import jit
from ..composed import query_bounds
from ..gemm.gemm import end_tasks, start_tasks
from ..gemm.microkernel import microkernel_f32, tile_of_rows
from ..gemm.packing import transpose
from ..gemm.shapes import K_ACCUMULATE
from ..registry import variant
from ..runtime.buffer_pool import empty
from ..runtime.thread_count import get_num_threads
from ..runtime.threads import THREAD, run
from ..simd.elementwise import prefetch_row, scale_row
from ..simd.emit import fetch_add
from ..simd.lanes import exp_of_lanes, max_of_lanes, scale_lanes
from ..simd.shapes import MR, NR
from ..simd.shuffle import interleave_rows
from .attention_naive import ROUNDING

QUERY_BLOCK = 256  # queries of a task, which copies its keys and values first: at 512 tokens a thirtieth of its work
TASKS_PER_THREAD = 2  # at least, as long as a task has NR queries or more

ROWS_AHEAD = 4  # that are prefetched: a head's part of a row is too short, and the next one too far, for the processor to do it

NO_BIAS = np.zeros((0, 1, 1), np.float32)
MASKED = np.finfo(np.float32).min  # the score of a key outside a query's window


class QueryTile(NamedTuple):
    """Which queries are the lanes of a tile."""

    head: int
    first_query: int  # its position in the sequence
    unmasked: np.ndarray  # of the sequence's keys


@variant("attention", tolerance=2e-6, tolerance_reason=ROUNDING, capturable=True)
def attention_register(query, key, value, bounds, key_mask, heads, bias=None, window=None):
    """Both products as register tiles whose vectors' lanes are queries: no lane needs another one's maximum or sum."""
    plain = bias is None and window is None
    kernel = attention_tasks if plain else attention_tasks_biased
    return run_attention(kernel, query, key, value, bounds, key_mask, heads, bias, window)


def run_attention(kernel, query, key, value, bounds, key_mask, heads, bias, window, spare=0):
    """Run `attention_tasks`, or a kernel like it, on threads. Its scratch arrays have room for `spare` more keys than the longest
    sequence has."""
    query, key, value = (np.ascontiguousarray(x) for x in (query, key, value))
    bias = NO_BIAS if bias is None else np.ascontiguousarray(bias, np.float32)
    unmasked = np.ones(len(key), np.bool_) if key_mask is None else key_mask
    context = empty(*query.shape)
    q_bounds = query_bounds(query, bounds)
    lengths, queries = np.diff(bounds), np.diff(q_bounds)
    work = int(lengths @ queries) * query.shape[1] * 2  # multiply-adds
    if work:
        query_block, q_blocks = partition_queries(queries, heads)
        tasks = min(int(q_blocks[-1]) * heads, work // 200_000 + 1)
        longest, size = int(lengths.max()) + spare, query.shape[1] // heads
        scratch = ((2, longest, size), (longest * size,), (longest, NR), (2, size, NR), (2, NR))
        spans = q_bounds, bounds, q_blocks, query_block
        relative = bias, -1 if window is None else int(window)
        run(kernel, tasks, query, key, value, unmasked, spans, heads, relative, context, scratch=scratch)
    return context


def partition_queries(queries: np.ndarray, heads: int) -> tuple[int, np.ndarray]:
    """How many queries each sequence has (S,) -> how many a task takes, and the blocks before each sequence (S + 1,).

    Fewer than QUERY_BLOCK if threads would have nothing to do. A multiple of NR, so a tile has the same queries in any case."""
    size = QUERY_BLOCK
    while size > NR and int((-(-queries // size)).sum()) * heads < TASKS_PER_THREAD * get_num_threads():
        size //= 2
    blocks = np.zeros(len(queries) + 1, np.int64)
    np.cumsum(-(-queries // size), out=blocks[1:])
    return size, blocks


@jit(nogil=True, error_model="numpy")
def attention_tasks(counter, scratch, query, key, value, unmasked, spans, heads, relative, context):
    """Do one task after another until none is left: one sequence's head, and a block of its queries. `relative` is the
    bias and the window, which only `attention_tasks_biased` looks at."""
    size = query.shape[1] // heads
    thread = fetch_add(counter[THREAD:])
    kv, packed_keys, scores = scratch[0][thread], scratch[1][thread], scratch[2][thread]
    tile, lane_sums = scratch[3][thread], scratch[4][thread]
    (q_bounds, bounds, q_blocks, query_block), sequence = spans, 0
    start_tasks()
    task = fetch_add(counter)
    while task < q_blocks[-1] * heads:
        block = task // heads
        while q_blocks[sequence + 1] <= block:
            sequence += 1
        start, stop, left = bounds[sequence], bounds[sequence + 1], task % heads * size
        first, last, right = (
            q_bounds[sequence] + (block - q_blocks[sequence]) * query_block,
            q_bounds[sequence + 1],
            left + size,
        )
        count = pack_keys(key[start:stop], value[start:stop], unmasked[start:stop], left, kv, packed_keys)
        for row in range(first, min(first + query_block, last), NR):
            end = min(row + NR, first + query_block, last)
            for ahead in range(end, min(end + NR, last)):
                prefetch_row(query[ahead][left:right])
            for ahead in range(row, end):
                prefetch_row(context[ahead][left:right])
            queries = QueryTile(task % heads, row - q_bounds[sequence], unmasked[start:stop])
            rows = query[row:end, left:right], context[row:end, left:right]
            attention_tile(*rows, tile, packed_keys, kv, scores, count, lane_sums, relative, queries)
        task = fetch_add(counter)
    end_tasks()


@jit(error_model="numpy")
def pack_keys(key, value, unmasked, left, kv, packed_keys):
    """Copy a head's unmasked keys and values to kv (2, L, Dh), and pack the keys for the microkernel -> how many."""
    count = gather_unmasked(key, value, unmasked, left, kv)
    pack_rows(kv[0], 0, count, packed_keys)
    return count


@jit(error_model="numpy")
def pack_rows(rows, first, last, packed):
    """Pack rows (L, K) from `first` to `last` as the microkernel's x (L K,), MR rows at a time."""
    size = rows.shape[1]
    for top in range(first, last, MR):
        bottom = min(top + MR, last)
        interleave_rows(rows[top:bottom], packed[top * size : bottom * size])


@jit(error_model="numpy")
def gather_unmasked(key, value, unmasked, left, kv):
    """kv (2, L, Dh) = keys over √Dh, and values, without the masked ones; if all are masked, all with scores of 0. -> how
    many."""
    found, count, size = 0, 0, kv.shape[2]
    for k in range(len(unmasked)):
        found += unmasked[k]
    scale, last = np.float32(1 / math.sqrt(size)) if found else np.float32(0), len(unmasked) - 1
    for k in range(len(unmasked)):
        ahead = min(k + ROWS_AHEAD, last)
        prefetch_row(key[ahead][left : left + size])
        prefetch_row(value[ahead][left : left + size])
        if unmasked[k] or not found:
            copy_key(key[k][left : left + size], scale, kv[0, count])
            scale_row(value[k][left : left + size], np.float32(1), kv[1, count])
            count += 1
    return count


@jit(inline="always")
def copy_key(key, scale, target):
    """A key times the scale; `attention_bf16` replaces it."""
    scale_row(key, scale, target)


@jit(error_model="numpy")
def attention_tile(query, context, tile, packed_keys, kv, scores, count, lane_sums, relative, queries):
    """Up to NR rows of the query (R, Dh) -> of the context, softmax(query keysᵀ) values, of `count` keys. The values are kv[1]
    (L, Dh); tile (2, Dh, NR), whose lanes are queries, scores (L, NR) and lane_sums (2, NR) are scratch. `queries` is a QueryTile."""
    transpose(query, tile[0])  # lanes without a query keep what they had
    scores = scores[:count]
    score_keys(tile[0], packed_keys, 0, scores, lane_sums)
    adjust_scores(scores, relative, queries)
    softmax_lanes(scores, lane_sums)
    add_values(tile[1], kv[1, :count], scores, lane_sums, True)
    divide_lanes(tile[1], lane_sums)
    transpose(tile[1][:, : len(query)], context)


@jit(error_model="numpy")
def score_keys(queries, packed_keys, first, scores, unread):
    """scores (L, NR) = keys queries, for queries (Dh, NR) and the packed keys from `first` on. `unread` is passed for what the
    microkernel does not read."""
    size = len(queries)
    for top in range(0, len(scores), MR):
        args = tile_of_rows(top, min(MR, len(scores) - top), (first + top) * size, K_ACCUMULATE)
        microkernel_f32(scores, packed_keys, queries, queries, unread, unread, unread, args, True, False)


@jit(error_model="numpy")
def add_values(out, values, scores, unread, first):
    """out (Dh, NR) += valuesᵀ scores, for values (L, Dh) and scores (L, NR); = if it is the first."""
    for top in range(0, len(out), MR):
        args = tile_of_rows(top, min(MR, len(out) - top), top, K_ACCUMULATE)
        microkernel_f32(out, values, scores, scores, unread, unread, unread, args, first, False)


@jit(error_model="numpy")
def adjust_scores(scores, relative, queries):
    """Without a bias and a window there is nothing to do."""


@jit(error_model="numpy")
def add_bias_and_window(scores, relative, queries):
    """Add the bias to scores (L, NR) of the unmasked keys and NR queries; MASKED outside the window."""
    (bias, window), (head, first_query, unmasked) = relative, queries
    k, all_masked = 0, not unmasked.any()
    for j in range(len(unmasked)):
        if unmasked[j] or all_masked:
            for lane in range(scores.shape[1]):
                i = first_query + lane
                if window >= 0 and (all_masked or abs(i - j) > window):
                    scores[k, lane] = MASKED
                elif len(bias) and not all_masked:
                    scores[k, lane] += bias[head, min(i, bias.shape[1] - 1), j]  # a lane without a query reads the last row
            k += 1


@jit(error_model="numpy")
def softmax_lanes(scores, lane_sums):
    """scores (L, NR) become exp(scores - maximum), lane_sums (2, NR) the maxima and the sums; a lane is a softmax."""
    largest, total = lane_sums[0], lane_sums[1]
    max_of_lanes(scores, largest)
    for lane in range(len(total)):  # not range(NR): the compiler does not vectorize a loop of known length
        total[lane] = 0
    for first in range(0, len(scores), K_ACCUMULATE):
        exp_of_lanes(scores[first : min(first + K_ACCUMULATE, len(scores))], largest, total)


@jit(error_model="numpy")
def divide_lanes(out, lane_sums):
    """out (Dh, NR) /= the lanes' sums."""
    total = lane_sums[1]
    for lane in range(len(total)):
        total[lane] = np.float32(1) / total[lane]
    scale_lanes(out, total)


@jit(error_model="numpy")
def divide_visible_lanes(out, lane_sums):
    """As `divide_lanes`, for any number of rows; 0 for a query that sees no key."""
    row_max, total = lane_sums[0], lane_sums[1]
    for lane in range(len(total)):
        total[lane] = np.float32(1) / total[lane] if row_max[lane] > MASKED else np.float32(0)
    scale_lanes(out, total)


attention_tile_biased = attention_tile.specialize(
    "attention_tile_biased", adjust_scores=add_bias_and_window, divide_lanes=divide_visible_lanes
)
attention_tasks_biased = attention_tasks.specialize("attention_tasks_biased", attention_tile=attention_tile_biased)
