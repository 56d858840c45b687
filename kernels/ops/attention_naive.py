"""softmax(q kᵀ / √Dh) v for each packed sequence and head. The formula is `composed.attention`.

The first rungs; the top one is in `attention_f32.py`.
"""

from __future__ import annotations

import math

import numpy as np

from ..compiler.jit import jit
from ..composed import query_bounds
from ..registry import variant
from ..simd.elementwise import max_nnan
from ..simd.emit import fma
from ..simd.scalar_math import exp_nonpositive

ROUNDING = "float32 rounding: two products and a softmax in a row"


@variant("attention", tolerance=2e-6, tolerance_reason=ROUNDING)
def attention_naive(query, key, value, bounds, key_mask, heads, bias=None, window=None):
    """One query and one head at a time: its scores, their softmax, the weighted sum of the values."""
    unmasked = np.ones(len(key), np.bool_) if key_mask is None else key_mask
    bias = np.zeros((0, 1, 1), np.float32) if bias is None else np.asarray(bias)
    bounds, window = np.asarray(bounds), -1 if window is None else int(window)
    return attention_rows(query, key, value, query_bounds(query, bounds), bounds, unmasked, heads, bias, window)


@jit()
def attention_rows(query, key, value, q_bounds, bounds, unmasked, heads, bias, window):
    context = np.zeros_like(query)
    size = query.shape[1] // heads
    for sequence in range(len(bounds) - 1):
        start, stop, q_start = bounds[sequence], bounds[sequence + 1], q_bounds[sequence]
        all_masked = window < 0 and not unmasked[start:stop].any()  # then every key gets the same weight
        weights = np.empty(stop - start, np.float64)
        for head in range(heads):
            first = head * size
            for row in range(q_start, q_bounds[sequence + 1]):
                row_max, visible = -np.inf, 0
                for k in range(stop - start):
                    weights[k] = -np.inf
                    is_near = window < 0 or abs(row - q_start - k) <= window
                    if (unmasked[start + k] or all_masked) and is_near:
                        score = 0.0
                        for i in range(first, first + size):
                            score += query[row, i] * key[start + k, i]
                        relative = bias[head, row - q_start, k] if len(bias) else 0.0
                        weights[k] = 0.0 if all_masked else score / math.sqrt(size) + relative
                        visible += 1
                    if weights[k] > row_max:
                        row_max = weights[k]
                total = 0.0
                for k in range(stop - start):
                    weights[k] = math.exp(weights[k] - row_max) if visible else 0.0
                    total += weights[k]
                for k in range(stop - start if visible else 0):
                    for i in range(first, first + size):
                        context[row, i] += weights[k] / total * value[start + k, i]
    return context


@variant("attention", tolerance=2e-6, tolerance_reason=ROUNDING)
def attention_transposed(query, key, value, bounds, key_mask, heads):
    """A head's unmasked keys are copied and transposed: the loop over keys then reads contiguous memory, and is vectorized."""
    return attention_by_head(attention_head, query, key, value, bounds, key_mask, heads, max(len(key), 1))


@variant("attention", tolerance=2e-6, tolerance_reason=ROUNDING)
def attention_online(query, key, value, bounds, key_mask, heads):
    """KEY_BLOCK keys at a time for all queries, so that keys, values and scores stay in L1 (online softmax, arXiv:1805.02867).

    Each query keeps its running maximum, the sum of its weights, and the weighted sum of values. When a block raises the
    maximum, both sums are rescaled to it."""
    return attention_by_head(attention_head, query, key, value, bounds, key_mask, heads, KEY_BLOCK)


@variant("attention", tolerance=2e-6, tolerance_reason=ROUNDING)
def attention_lanes(query, key, value, bounds, key_mask, heads):
    """QUERY_LANES queries at a time, a query a lane: both products become sums of rows, and eight rows are added in one loop.

    A sum is then loaded and stored once for eight multiply-adds, not for one; no lane needs another one's maximum. On one
    thread of a Zen 4: 35 and 44 GFLOP/s at 8 × 128 and 1 × 512 tokens, where `online` has 24 and 29 (AMD EPYC, the least
    thread time of many calls at the sizes of `python -m benchmarks.ops attention`)."""
    return attention_by_head(attention_head_lanes, query, key, value, bounds, key_mask, heads, QUERY_LANES)


KEY_BLOCK = 128  # keys: transposed they take 32 KiB, half of L1; with 64 it is a fifth slower
QUERY_LANES = 128  # the scores of as many queries and 512 keys take 256 KiB, which L2 holds


def attention_by_head(kernel, query, key, value, bounds, key_mask, heads, block):
    """Call kernel(queries, keys, values, block) for each sequence and head, without the masked keys."""
    unmasked = np.ones(len(key), np.bool_) if key_mask is None else key_mask
    context, q_bounds = np.zeros_like(query), query_bounds(query, bounds)
    for first, last, start, stop in zip(q_bounds[:-1], q_bounds[1:], bounds[:-1], bounds[1:]):
        rows = start + np.flatnonzero(unmasked[start:stop])
        scale = 1 / math.sqrt(query.shape[1] // heads)
        if not len(rows):  # all masked: every key gets the same weight
            rows, scale = np.arange(start, stop), 0.0
        for left in range(0, query.shape[1], query.shape[1] // heads):
            head = slice(left, left + query.shape[1] // heads)
            queries = query[first:last, head] * np.float32(scale)
            context[first:last, head] = kernel(queries, key[rows, head], value[rows, head], block)
    return context


@jit(error_model="numpy")
def attention_head(queries, keys, values, key_block):
    """queries (T, Dh), keys and values (L, Dh) -> (T, Dh), the keys in blocks of `key_block`."""
    context, scores = np.zeros_like(queries), np.empty(key_block, np.float32)
    running_max, totals = np.full(len(queries), -np.inf, np.float32), np.zeros(len(queries), np.float32)
    for first in range(0, len(keys), key_block):
        keys_t, block = np.ascontiguousarray(keys[first : first + key_block].T), values[first : first + key_block]
        block_scores = scores[: len(block)]
        for row in range(len(queries)):
            out = context[row]
            row_max = score_block(queries[row], keys_t, block_scores, running_max[row])
            rescale = exp_nonpositive(running_max[row] - row_max)  # 0 at first, when the running maximum is -inf
            for i in range(len(out)):
                out[i] *= rescale
            totals[row] = totals[row] * rescale + add_block(block_scores, row_max, block, out)
            running_max[row] = row_max
    for row in range(len(queries)):
        out, total = context[row], totals[row]
        for i in range(len(out)):
            out[i] /= total
    return context


@jit(error_model="numpy")
def score_block(query, keys_t, scores, running_max):
    """scores (L,) = query (Dh,) @ keys_t (Dh, L), a key a lane -> the largest of them and of `running_max`."""
    for k in range(len(scores)):
        scores[k] = 0
    for i in range(len(query)):
        row, factor = keys_t[i], query[i]
        for k in range(len(scores)):
            scores[k] = fma(factor, row[k], scores[k])
    for k in range(len(scores)):
        running_max = max_nnan(running_max, scores[k])
    return running_max


@jit(error_model="numpy")
def add_block(scores, row_max, values, out):
    """out (Dh,) += exp(scores - row_max) (L,) @ values (L, Dh) -> the sum of these weights."""
    for k in range(len(scores)):
        scores[k] = exp_nonpositive(scores[k] - row_max)
    total = np.float32(0)
    for k in range(len(scores)):
        weight, row = scores[k], values[k]
        total += weight
        for i in range(len(out)):
            out[i] = fma(weight, row[i], out[i])
    return total


@jit(error_model="numpy")
def attention_head_lanes(queries, keys, values, query_lanes):
    """queries (T, Dh), keys and values (L, Dh) -> (T, Dh), the queries in blocks of C = `query_lanes`."""
    context, values_t = np.empty_like(queries), np.ascontiguousarray(values.T)
    for first in range(0, len(queries), query_lanes):
        queries_t = np.ascontiguousarray(queries[first : first + query_lanes].T)  # (Dh, C)
        scores, out_t = np.zeros((len(keys), queries_t.shape[1]), np.float32), np.zeros_like(queries_t)
        for k in range(len(keys)):
            add_rows(keys[k], queries_t, scores[k])
        total = softmax_of_lanes(scores)
        for i in range(len(out_t)):
            add_rows(values_t[i], scores, out_t[i])
        context[first : first + query_lanes] = (out_t / total).T
    return context


@jit(error_model="numpy")
def softmax_of_lanes(scores):
    """scores (L, C) become exp(scores - their maximum over L) -> the sums of these (C,)."""
    lane_max, total = scores[0].copy(), np.zeros_like(scores[0])
    for k in range(len(scores)):
        row = scores[k]
        for lane in range(len(row)):
            lane_max[lane] = max_nnan(lane_max[lane], row[lane])
    for k in range(len(scores)):
        row = scores[k]
        for lane in range(len(row)):
            row[lane] = exp_nonpositive(row[lane] - lane_max[lane])
            total[lane] += row[lane]
    return total


@jit(error_model="numpy")
def add_rows(factors, rows, out):
    """out (C,) += factors (R,) @ rows (R, C), eight rows at a time."""
    unrolled = len(factors) // 8 * 8
    for r in range(0, unrolled, 8):
        f0, f1, f2, f3 = factors[r], factors[r + 1], factors[r + 2], factors[r + 3]
        f4, f5, f6, f7 = factors[r + 4], factors[r + 5], factors[r + 6], factors[r + 7]
        r0, r1, r2, r3 = rows[r], rows[r + 1], rows[r + 2], rows[r + 3]
        r4, r5, r6, r7 = rows[r + 4], rows[r + 5], rows[r + 6], rows[r + 7]
        for i in range(len(out)):
            total = fma(f3, r3[i], fma(f2, r2[i], fma(f1, r1[i], fma(f0, r0[i], out[i]))))
            out[i] = fma(f7, r7[i], fma(f6, r6[i], fma(f5, r5[i], fma(f4, r4[i], total))))
    for r in range(unrolled, len(factors)):
        factor, row = factors[r], rows[r]
        for i in range(len(out)):
            out[i] = fma(factor, row[i], out[i])
