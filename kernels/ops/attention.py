"""softmax(q kᵀ / √Dh) v for each packed sequence and head. The formula is `composed.attention`."""

from __future__ import annotations

import math

import numpy as np

from ..compiler.jit import jit
from ..composed import query_bounds
from ..gemm.microkernel import microkernel_f32 as add_product
from ..gemm.shapes import K_ACCUMULATE
from ..registry import variant
from ..runtime.buffer_pool import empty
from ..runtime.threads import THREAD, run
from ..simd.elementwise import max_nnan
from ..simd.emit import fetch_add, fma
from ..simd.scalar_math import exp_below
from ..simd.shapes import MR, NR, WIDTH
from ..simd.shuffle import interleave, transpose_block


@variant("attention", tolerance=2e-6, tolerance_reason="float32 rounding: two products and a softmax in a row")
def attention_naive(query, key, value, bounds, key_mask, heads):
    """One query, one head at a time: its scores, their softmax, the values' weighted sum."""
    kept = np.ones(len(key), np.bool_) if key_mask is None else key_mask
    bounds = np.asarray(bounds)
    return attention_rows(query, key, value, query_bounds(query, bounds), bounds, kept, heads)


@jit()
def attention_rows(query, key, value, asking, bounds, kept, heads):
    context = np.zeros_like(query)
    size = query.shape[1] // heads
    for sequence in range(len(bounds) - 1):
        start, stop = bounds[sequence], bounds[sequence + 1]
        level = not kept[start:stop].any()  # nothing kept: the same share for each
        shares = np.empty(stop - start, np.float64)
        for head in range(heads):
            first = head * size
            for row in range(asking[sequence], asking[sequence + 1]):
                largest = -np.inf
                for other in range(start, stop):
                    score = 0.0
                    for i in range(first, first + size):
                        score += query[row, i] * key[other, i]
                    shares[other - start] = 0.0 if level else score / math.sqrt(size)
                    if (kept[other] or level) and shares[other - start] > largest:
                        largest = shares[other - start]
                total = 0.0
                for other in range(stop - start):
                    if kept[start + other] or level:
                        shares[other] = math.exp(shares[other] - largest)
                        total += shares[other]
                    else:
                        shares[other] = 0.0
                for other in range(stop - start):
                    for i in range(first, first + size):
                        context[row, i] += shares[other] / total * value[start + other, i]
    return context


@variant("attention", tolerance=2e-6, tolerance_reason="float32 rounding: two products and a softmax in a row")
def attention_turned(query, key, value, bounds, key_mask, heads):
    """A head's kept keys are copied and turned: a loop over keys then runs along memory, and becomes vectors.

    On one thread of a Zen 4, GFLOP/s at 128 and 512 tokens: 23 and 30, where `naive` has 1.5."""
    return attend_blocks(query, key, value, bounds, key_mask, heads, len(query))


@variant("attention", tolerance=2e-6, tolerance_reason="float32 rounding: two products and a softmax in a row")
def attention_online(query, key, value, bounds, key_mask, heads):
    """STEP keys at a time for all queries: a row of scores is never whole (arXiv:1805.02867).

    Each query keeps the largest score so far, the sum of its shares and of its weighted values; where a block has a
    larger score, both sums shrink to what they are beside that. So what is in use stays in the caches: 29 GFLOP/s at 512
    tokens, 30 at 2,048 and at 8,192, where `turned` has 30, 29 and 24."""
    return attend_blocks(query, key, value, bounds, key_mask, heads, STEP)


STEP = 128  # keys: turned they take 32 KiB, half of the nearest cache; with 64 it is a fifth slower


def attend_blocks(query, key, value, bounds, key_mask, heads, step):
    kept = np.ones(len(key), np.bool_) if key_mask is None else key_mask
    context, asking = np.zeros_like(query), query_bounds(query, bounds)
    for above, below, start, stop in zip(asking[:-1], asking[1:], bounds[:-1], bounds[1:]):
        places = start + np.flatnonzero(kept[start:stop])
        scale = 1 / math.sqrt(query.shape[1] // heads)
        if not len(places):  # nothing kept: the same share for each
            places, scale = np.arange(start, stop), 0.0
        for left in range(0, query.shape[1], query.shape[1] // heads):
            mine = slice(left, left + query.shape[1] // heads)
            queries = query[above:below, mine] * np.float32(scale)
            context[above:below, mine] = attend_head(queries, key[places, mine], value[places, mine], step)
    return context


@jit(error_model="numpy")
def attend_head(queries, keys, values, step):
    """queries (T, Dh), keys and values (L, Dh) -> (T, Dh), the keys in blocks of `step`."""
    context, scores = np.zeros_like(queries), np.empty(step, np.float32)
    largest, totals = np.full(len(queries), -np.inf, np.float32), np.zeros(len(queries), np.float32)
    for first in range(0, len(keys), step):
        turned, block = np.ascontiguousarray(keys[first : first + step].T), values[first : first + step]
        shares = scores[: len(block)]
        for row in range(len(queries)):
            found = context[row]
            high = score(queries[row], turned, shares, largest[row])
            shrink = exp_below(largest[row] - high)  # of what is minus infinity at first: 0
            for i in range(len(found)):
                found[i] *= shrink
            totals[row] = totals[row] * shrink + add_shares(shares, high, block, found)
            largest[row] = high
    for row in range(len(queries)):
        found, total = context[row], totals[row]
        for i in range(len(found)):
            found[i] /= total
    return context


@jit(error_model="numpy")
def score(query, turned, scores, high):
    """scores (L,) = query (Dh,) @ turned (Dh, L), a key a lane -> the largest, or `high` where that is larger."""
    for other in range(len(scores)):
        scores[other] = 0
    for i in range(len(query)):
        line, factor = turned[i], query[i]
        for other in range(len(scores)):
            scores[other] = fma(factor, line[other], scores[other])
    for other in range(len(scores)):
        high = max_nnan(high, scores[other])
    return high


@jit(error_model="numpy")
def add_shares(scores, high, values, found):
    """found (Dh,) += exp(scores - high) (L,) @ values (L, Dh) -> the sum of those shares."""
    for other in range(len(scores)):
        scores[other] = exp_below(scores[other] - high)
    total = np.float32(0)
    for other in range(len(scores)):
        share, line = scores[other], values[other]
        total += share
        for i in range(len(found)):
            found[i] = fma(share, line[i], found[i])
    return total


BLOCK = 256  # queries of a task, which copies its keys and values first: at 512 tokens that is a thirtieth of its work


@variant("attention", tolerance=2e-6, tolerance_reason="float32 rounding: two products and a softmax in a row", capturable=True)
def attention_register(query, key, value, bounds, key_mask, heads):
    """Both products by register tiles, a vector's lanes being queries: no lane ever needs another's largest or sum.

    On one thread of a Zen 4: 62 % of what multiply-adds between registers reach at 8 × 128 tokens, 79 % at 512."""
    return attention_on_threads(attend, query, key, value, bounds, key_mask, heads)


def attention_on_threads(kernel, query, key, value, bounds, key_mask, heads):
    """The work of `attend`, or of a kernel like it, in tasks."""
    query, key, value = (np.ascontiguousarray(x) for x in (query, key, value))
    kept = np.ones(len(key), np.bool_) if key_mask is None else key_mask
    context = empty(*query.shape)
    asking = query_bounds(query, bounds)
    lengths, queries = np.diff(bounds), np.diff(asking)
    work = int(lengths @ queries) * query.shape[1] * 2  # multiply-adds
    if work:
        blocks = np.zeros(len(bounds), np.int64)  # how many blocks of queries lie before each sequence
        np.cumsum(-(-queries // BLOCK), out=blocks[1:])
        useful = min(int(blocks[-1]) * heads, work // 200_000 + 1)
        longest, size = int(lengths.max()), query.shape[1] // heads
        scratch = ((2, longest, size), (longest * size,), (longest, NR), (2, size, NR), (3, NR))
        run(kernel, useful, query, key, value, kept, (asking, bounds, blocks), heads, context, scratch=scratch)
    return context


@jit(nogil=True, error_model="numpy")
def attend(counter, scratch, query, key, value, kept, places, heads, context):
    """Do one task after another until none is left: a sequence's head, and BLOCK of its queries."""
    size = query.shape[1] // heads
    own = fetch_add(counter[THREAD:])
    copies, laid, scores, turned, sums = scratch[0][own], scratch[1][own], scratch[2][own], scratch[3][own], scratch[4][own]
    (asking, bounds, blocks), sequence = places, 0
    task = fetch_add(counter)
    while task < blocks[-1] * heads:
        place = task // heads
        while blocks[sequence + 1] <= place:
            sequence += 1
        start, stop, left = bounds[sequence], bounds[sequence + 1], task % heads * size
        first, last, right = asking[sequence] + (place - blocks[sequence]) * BLOCK, asking[sequence + 1], left + size
        count = copy_kept(key[start:stop], value[start:stop], kept[start:stop], left, copies, laid)
        for row in range(first, min(first + BLOCK, last), NR):
            end = min(row + NR, first + BLOCK, last)
            transpose(query[row:end, left:right], turned[0])  # lanes that have no query keep what they had
            attend_lanes(turned, laid, copies[1, :count], scores[:count], sums)
            transpose(turned[1][:, : end - row], context[row:end, left:right])
        task = fetch_add(counter)


@jit(error_model="numpy")
def copy_kept(key, value, kept, left, copies, laid):
    """One head's kept keys, laid for the tile (`tiles.py`), and its values. -> how many."""
    size = copies.shape[2]
    count = gather(key, value, kept, left, copies)
    for top in range(0, count, MR):
        bottom = min(top + MR, count)
        interleave(copies[0, top:bottom], laid[top * size : bottom * size])
    return count


@jit(error_model="numpy")
def gather(key, value, kept, left, copies):
    """Keys, over √Dh, and values; a masked one is left out, unless all are: then they get the same share. -> how many."""
    found, count, size = 0, 0, copies.shape[2]
    for other in range(len(kept)):
        found += kept[other]
    scale = np.float32(1 / math.sqrt(size)) if found else np.float32(0)
    for other in range(len(kept)):
        if kept[other] or not found:
            put_key(key[other][left : left + size], scale, copies[0, count])  # sliced so, Numba knows them contiguous
            source, target = value[other][left : left + size], copies[1, count]
            for i in range(len(source)):
                target[i] = source[i]
            count += 1
    return count


@jit(error_model="numpy")
def put_key(key, scale, target):
    for i in range(len(key)):
        target[i] = key[i] * scale


@jit(error_model="numpy")
def transpose(source, target):
    """target = sourceᵀ, a block of registers at a time."""
    rows, columns = source.shape
    for row in range(0, rows, WIDTH):
        for column in range(0, columns, WIDTH):
            if row + WIDTH <= rows and column + WIDTH <= columns:
                transpose_block(source[row:, column:], target[column:, row:])
            else:
                for i in range(row, min(row + WIDTH, rows)):
                    for j in range(column, min(column + WIDTH, columns)):
                        target[j, i] = source[i, j]


@jit(error_model="numpy")
def attend_lanes(turned, laid, values, scores, sums):
    """turned[0] (Dh, C), a query a lane -> turned[1] (Dh, C): softmax(keys turned[0])ᵀ values, with scores (L, C) between.
    The keys are `laid`, the values are (L, Dh)."""
    count, size = values.shape
    largest, total = sums[0], sums[1]
    for top in range(0, count, MR):
        bottom = min(top + MR, count)
        place = top, bottom - top, 0, top * size, 0, 0, K_ACCUMULATE
        add_product(scores, laid, turned[0], turned[0], sums, sums, sums, sums, place, True, False)
    for lane in range(len(largest)):  # not range(COLUMNS): of a loop of known length the compiler makes no vectors
        largest[lane], total[lane] = scores[0, lane], 0
    find_largest(scores, largest)
    for first in range(0, count, K_ACCUMULATE):
        exponentials(scores[first : min(first + K_ACCUMULATE, count)], largest, total, sums[2])
    for top in range(0, size, MR):
        bottom = min(top + MR, size)
        place = top, bottom - top, 0, top, 0, 0, K_ACCUMULATE
        add_product(turned[1], values, scores, scores, sums, sums, sums, sums, place, True, False)
    for lane in range(len(total)):
        total[lane] = np.float32(1) / total[lane]  # to divide each value took 4 % of a short text's attention
    for i in range(size):
        line = turned[1, i]
        for lane in range(len(line)):
            line[lane] *= total[lane]


# Both go over four rows at a time: what they keep for each lane lies in memory, and to get it back takes as long as that.


@jit(error_model="numpy")
def find_largest(scores, largest):
    """Of each lane of scores (L, C)."""
    count = len(scores)
    for row in range(0, count, 4):
        a, b = scores[row], scores[min(row + 1, count - 1)]
        c, d = scores[min(row + 2, count - 1)], scores[min(row + 3, count - 1)]
        for lane in range(len(largest)):
            left, right = max_nnan(a[lane], b[lane]), max_nnan(c[lane], d[lane])
            largest[lane] = max_nnan(largest[lane], max_nnan(left, right))


@jit(error_model="numpy")
def exponentials(scores, largest, total, part):
    """scores (L, C) -> exp(scores - largest), in their place; their sum is added to the total."""
    for lane in range(len(part)):
        part[lane] = 0
    whole = len(scores) // 4 * 4
    for row in range(0, whole, 4):
        a, b, c, d = scores[row], scores[row + 1], scores[row + 2], scores[row + 3]
        for line in (a, b, c, d):
            for lane in range(len(line)):
                line[lane] = exp_below(line[lane] - largest[lane])
        for lane in range(len(part)):
            part[lane] += (a[lane] + b[lane]) + (c[lane] + d[lane])
    for row in range(whole, len(scores)):
        line = scores[row]
        for lane in range(len(line)):
            line[lane] = exp_below(line[lane] - largest[lane])
            part[lane] += line[lane]
    for lane in range(len(part)):
        total[lane] += part[lane]
