"""Attention's gradients, and attention with dropout, as register tiles on threads. The formulas, and the letters p, s, t and u,
are explained in `attention_grad.py`.

A tile is NR queries of one sequence and head; all its arrays have keys as rows and queries as lanes (L, NR), so that a softmax
needs no sum over lanes. The probabilities of one tile exist at a time, as in FlashAttention (arXiv:2205.14135, 3.1). Five
products of a tile:

    p   from keys queryᵀ            t   from values gᵀ             query's gradient  keysᵀ u
    values' gradient += (s p) g     keys' gradient += u query      (s p and u are transposed in registers for these)
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ..compiler.jit import jit
from ..composed import query_bounds
from ..gemm.microkernel import microkernel_f32, tile_of_rows
from ..gemm.packing import transpose
from ..gemm.shapes import K_ACCUMULATE
from ..registry import variant
from ..runtime.buffer_pool import empty
from ..runtime.threads import THREAD, run
from ..simd.elementwise import scale_row
from ..simd.emit import fetch_add
from ..simd.shapes import MR, NR, WIDTH
from .attention_f32 import MASKED, add_values, divide_visible_lanes, pack_rows, score_keys, softmax_lanes
from .attention_grad import AttentionOptions, QueryPosition, arguments_of
from .attention_naive import ROUNDING
from .dropout import philox_words


class Scratch(NamedTuple):
    """A thread's memory: the arrays, or their shapes."""

    kv: Any  # keys over √Dh, values
    packed: Any  # the same, packed for the microkernel
    tiles: Any  # queries and gradients as columns, and a result
    rows: Any  # the first two as rows
    scores: Any  # p, s, t
    transposes: Any  # (s p)ᵀ, uᵀ
    sums: Any  # gradients of keys and values
    lane_sums: Any  # maxima and sums
    means: Any  # Σ p t and Σ p in float64: in float32 the gradients' errors were 2 % larger


@variant("attention_dropout", tolerance=2e-6, tolerance_reason=ROUNDING)
def attention_dropout_register(query, key, value, bounds, key_mask, heads, settings, bias=None, window=None):
    """Both products as register tiles; the zeros of four keys and NR queries at a time."""
    bounds, options = arguments_of(key, bounds, key_mask, settings, bias, window)
    arrays = tuple(map(np.ascontiguousarray, (query, query, key, value)))  # the first is not read
    context = empty(*query.shape)
    run_tiles(context_tasks, arrays, bounds, heads, options, (context, context, context), len(bounds) - 1)
    return context


@variant("attention_grad", tolerance=4e-6, tolerance_reason=ROUNDING)
def attention_grad_register(grad, query, key, value, bounds, key_mask, heads, settings=None, bias=None, window=None):
    """Five products as register tiles. A task is one sequence and head, whose gradients no other task has; with a bias a head of
    all sequences in turn, for these share its gradient. So it has the same bits on any number of threads."""
    bounds, options = arguments_of(key, bounds, key_mask, settings, bias, window)
    arrays = tuple(map(np.ascontiguousarray, (grad, query, key, value)))
    grads = empty(*query.shape), empty(*key.shape), empty(*key.shape)
    if bias is None:
        run_tiles(gradient_tasks, arrays, bounds, heads, options, grads, len(bounds) - 1)
        return grads
    bias_grad = np.zeros(bias.shape, np.float32)
    run_tiles(gradient_tasks_biased, arrays, bounds, heads, options, (*grads, bias_grad), 1)
    return *grads, bias_grad


def run_tiles(kernel, arrays, bounds, heads, options, results, groups) -> None:
    """Run one of the kernels on threads: `groups` tasks for each head, each for as many sequences."""
    lengths = np.diff(bounds)
    longest, size = int(lengths.max(initial=0)), arrays[1].shape[1] // heads
    rows, width = -(-longest // WIDTH) * WIDTH, -(-size // NR) * NR  # so that transposing needs no remainder
    scratch = Scratch(
        kv=(2, longest, size),
        packed=(2, longest * size),
        tiles=(3, size, NR),
        rows=(2, NR, width),
        scores=(3, rows, NR),
        transposes=(2, NR, rows),
        sums=(2, longest, width),
        lane_sums=(2, NR),
        means=(2, 2 * NR),
    )
    spans = query_bounds(arrays[1], bounds), bounds
    run(kernel, groups * heads, arrays, spans, (heads, groups), options, results, scratch=scratch)


@jit(nogil=True, error_model="numpy")
def gradient_tasks(counter, scratch, arrays, spans, counts, options, results):
    """Do one task after another until none is left: a head, and one sequence or all."""
    thread, (heads, groups), sequences = fetch_add(counter[THREAD:]), counts, len(spans[1]) - 1
    kv, packed, tiles, rows, scores, transposes, sums, lane_sums, means = scratch
    memory = Scratch(
        kv[thread],
        packed[thread],
        tiles[thread],
        rows[thread],
        scores[thread],
        transposes[thread],
        sums[thread],
        lane_sums[thread],
        means[thread].view(np.float64),
    )
    options = AttentionOptions(*options)
    task = fetch_add(counter)
    while task < groups * heads:
        first = task // heads
        for sequence in range(first, first + 1 if groups > 1 else sequences):
            sequence_task(memory, arrays, spans, sequence, task % heads, heads, options, results)
        task = fetch_add(counter)


@jit(error_model="numpy")
def sequence_gradients(memory, arrays, spans, sequence, head, heads, options, results):
    """One sequence and head: for each tile of queries its probabilities again, then what it adds to the gradients."""
    kv, packed, tiles, rows, scores, transposes, sums, lane_sums, means = memory
    (grad, query, key, value), (q_bounds, bounds) = arrays, spans
    query_grad, key_grad, value_grad = results[:3]
    size, start, stop = kv.shape[2], bounds[sequence], bounds[sequence + 1]
    left, right, count = head * size, head * size + size, stop - start
    scale, padded = np.float32(1 / math.sqrt(size)), (count + WIDTH - 1) // WIDTH * WIDTH
    pack_head(key[start:stop], value[start:stop], left, scale, kv, packed)
    p, s, t = scores[0, :count], scores[1, :count], scores[2, :count]
    frozen = options.window < 0 and not options.unmasked[start:stop].any()  # all masked: the scores are constants
    for top in range(q_bounds[sequence], q_bounds[sequence + 1], NR):
        end, first = min(top + NR, q_bounds[sequence + 1]), top == q_bounds[sequence]
        load_tile(query[top:end], left, tiles[0], rows[0])
        load_tile(grad[top:end], left, tiles[1], rows[1])
        at = QueryPosition(top, top - q_bounds[sequence], start, head, heads)
        probability_tile(tiles[0], packed[0], p, lane_sums, options, at)
        dropout_tile(s, options, at)
        score_keys(tiles[1], packed[1], 0, t, lane_sums)  # of the values
        score_gradients(p, s, t, frozen, means)  # p becomes s p, t becomes u
        add_bias_gradient(t, at, end - top, results)
        for i in range(2):  # keys, then values
            transpose(scores[2 - 2 * i, :padded], transposes[i][:, :padded])
            add_products(sums[i], transposes[i], rows[i][: end - top], lane_sums, count, first)
        add_values(tiles[2], kv[0, :count], t, lane_sums, True)  # of the keys
        store_tile(tiles[2], rows[0], query_grad[top:end], left)
    if q_bounds[sequence] == q_bounds[sequence + 1]:
        clear_sums(sums, count)
    for k in range(count):
        scale_row(sums[0, k][:size], scale, key_grad[start + k][left:right])
        scale_row(sums[1, k][:size], np.float32(1), value_grad[start + k][left:right])


@jit(error_model="numpy")
def sequence_context(memory, arrays, spans, sequence, head, heads, options, results):
    """One sequence and head: for each tile of queries its probabilities, their zeros, and the weighted sum of the values."""
    kv, packed, tiles, rows, scores, _, _, lane_sums, _ = memory
    (_, query, key, value), (q_bounds, bounds) = arrays, spans
    size, start, stop, context = kv.shape[2], bounds[sequence], bounds[sequence + 1], results[0]
    left, count = head * size, stop - start
    pack_head(key[start:stop], value[start:stop], left, np.float32(1 / math.sqrt(size)), kv, packed)
    p, s = scores[0, :count], scores[1, :count]
    for top in range(q_bounds[sequence], q_bounds[sequence + 1], NR):
        end = min(top + NR, q_bounds[sequence + 1])
        load_tile(query[top:end], left, tiles[0], rows[0])
        at = QueryPosition(top, top - q_bounds[sequence], start, head, heads)
        probability_tile(tiles[0], packed[0], p, lane_sums, options, at)
        dropout_tile(s, options, at)
        for k in range(count):
            for lane in range(p.shape[1]):
                p[k, lane] *= s[k, lane]
        add_values(tiles[2], kv[1, :count], p, lane_sums, True)
        store_tile(tiles[2], rows[0], context[top:end], left)


@jit(error_model="numpy")
def pack_head(key, value, left, scale, kv, packed):
    """A head's keys over √Dh and its values to kv (2, L, Dh), and the same packed for the microkernel."""
    size = kv.shape[2]
    for k in range(len(key)):
        scale_row(key[k][left : left + size], scale, kv[0, k])
        scale_row(value[k][left : left + size], np.float32(1), kv[1, k])
    pack_rows(kv[0], 0, len(key), packed[0])
    pack_rows(kv[1], 0, len(key), packed[1])


@jit(error_model="numpy")
def load_tile(source, left, columns, rows):
    """A head's part of some rows (R, D), R up to NR, as rows (NR, ·) and as columns (Dh, NR). Lanes without a query keep what
    they had: no lane reads another one."""
    size = len(columns)
    for r in range(len(source)):
        scale_row(source[r][left : left + size], np.float32(1), rows[r][:size])
    transpose(rows[:, :size], columns)


@jit(error_model="numpy")
def store_tile(columns, rows, target, left):
    """columns (Dh, NR) to a head's part of some rows (R, D), by way of rows (NR, ·)."""
    size = len(columns)
    transpose(columns, rows[:, :size])
    for r in range(len(target)):
        scale_row(rows[r][:size], np.float32(1), target[r][left : left + size])


@jit(error_model="numpy")
def probability_tile(query, packed_keys, p, lane_sums, options, at):
    """p (L, NR) = softmax(keys query) over the keys that each lane sees. `at` is the first query's QueryPosition."""
    score_keys(query, packed_keys, 0, p, lane_sums)
    adjust_tile(p, options, at)
    softmax_lanes(p, lane_sums)
    divide_visible_lanes(p, lane_sums)


@jit(error_model="numpy")
def adjust_tile(scores, options, at):
    """Add the bias; MASKED for a key that a lane does not see. If a sequence's keys are all masked, and there is no window, all
    get the same score."""
    bias, window = options.bias, options.window
    keys = options.unmasked[at.first_key : at.first_key + len(scores)]
    if window < 0 and len(bias) == 0 and keys.all():
        return
    uniform = window < 0 and not keys.any()
    for k in range(len(scores)):
        for lane in range(scores.shape[1]):
            i = at.position + lane
            if uniform:
                scores[k, lane] = 0
            elif not keys[k] or (window >= 0 and abs(i - k) > window):
                scores[k, lane] = MASKED
            elif len(bias):
                scores[k, lane] += bias[at.head, min(i, bias.shape[1] - 1), k]  # a lane without a query reads the last row


@jit(error_model="numpy")
def dropout_tile(s, options, at):
    """s (L, NR) = 0 or 1 / (1 − rate) for each probability; 1 without dropout. `at` is the first query's QueryPosition."""
    scale, numbers = np.float32(options.dropout_scale), options.dropout_numbers
    if scale == 0:
        for k in range(len(s)):
            for lane in range(s.shape[1]):
                s[k, lane] = 1
        return
    least, last = np.uint32(numbers[0]), len(s) - 1
    for k in range(0, len(s), 4):
        s0, s1, s2, s3 = s[k], s[min(k + 1, last)], s[min(k + 2, last)], s[min(k + 3, last)]
        for lane in range(len(s0)):
            a, b, c, d = philox_words(k // 4, (at.row + lane) * at.heads + at.head, numbers)
            # From the fourth to the first: past the end all are the last row, and the first that counts must come last.
            s3[lane] = scale if np.uint32(d) >= least else np.float32(0)
            s2[lane] = scale if np.uint32(c) >= least else np.float32(0)
            s1[lane] = scale if np.uint32(b) >= least else np.float32(0)
            s0[lane] = scale if np.uint32(a) >= least else np.float32(0)


@jit(error_model="numpy")
def score_gradients(p, s, t, frozen, means):
    """From p, s and t (L, NR): t becomes u, 0 if `frozen`; p becomes s p. `means` (2, NR) is scratch.

    The mean of t is divided by Σ p, which rounding keeps from being 1: so Σ u is 0, as a softmax's gradient has it."""
    means, total = means[0], means[1]
    for lane in range(len(means)):
        means[lane], total[lane] = 0, 0
    for k in range(len(p)):
        for lane in range(len(means)):
            t[k, lane] *= s[k, lane]
            means[lane] += np.float64(p[k, lane]) * t[k, lane]
            total[lane] += p[k, lane]
    for lane in range(len(means)):
        means[lane] /= max(total[lane], 1e-300)
    for k in range(len(p)):
        for lane in range(len(means)):
            t[k, lane] = np.float32(0) if frozen else p[k, lane] * np.float32(t[k, lane] - means[lane])
            p[k, lane] *= s[k, lane]


@jit(error_model="numpy")
def ignore_bias(u, at, queries, results):
    """Without a bias there is nothing to do."""


@jit(error_model="numpy")
def add_to_bias(u, at, queries, results):
    """Add u (L, NR) of that many queries to the bias's gradient, the last result. `at` is the first query's QueryPosition."""
    for i in range(queries):
        target = results[3][at.head, at.position + i]
        for k in range(len(u)):
            target[k] += u[k, i]


@jit(error_model="numpy")
def clear_sums(sums, count):
    for i in range(2):
        for k in range(count):
            for j in range(sums.shape[2]):
                sums[i, k, j] = 0


@jit(error_model="numpy")
def add_products(sums, transposed, rows, unread, count, first):
    """sums (L, ·) += transposedᵀ rows, for transposed (NR, L) and rows (R, ·) of R queries; = if it is the first. `unread` is
    passed for what the microkernel does not read."""
    for column in range(0, sums.shape[1], NR):
        panel, target = rows[:, column : column + NR], sums[:, column : column + NR]
        for top in range(0, count, MR):
            args = tile_of_rows(top, min(MR, count - top), top, K_ACCUMULATE)
            microkernel_f32(target, transposed, panel, panel, unread, unread, unread, args, first, False)


sequence_task = sequence_gradients  # what `gradient_tasks` does; the other kernels have other parts
add_bias_gradient = ignore_bias  # of `sequence_gradients`
sequence_gradients_biased = sequence_gradients.specialize("sequence_gradients_biased", add_bias_gradient=add_to_bias)
gradient_tasks_biased = gradient_tasks.specialize("gradient_tasks_biased", sequence_task=sequence_gradients_biased)
context_tasks = gradient_tasks.specialize("context_tasks", sequence_task=sequence_context)
