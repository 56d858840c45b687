"""softmax(q kᵀ / √Dh) v for each packed sequence and head. The formula is `composed.attention`."""

from __future__ import annotations

import math

import numpy as np

from .buffers import empty
from .functions import exp
from .jit import jit
from .registry import variant
from .threads import run
from .vectors import COLUMNS, ROWS, add_product, fma, larger, next_task


@variant("attention", tolerance=2e-6, why="float32 rounding: two products and a softmax in a row")
def attention_naive(query, key, value, bounds, key_mask, heads):
    """One query, one head at a time: its scores, their softmax, the values' weighted sum."""
    kept = np.ones(len(query), np.bool_) if key_mask is None else key_mask
    return attention_rows(query, key, value, np.asarray(bounds), kept, heads)


@jit()
def attention_rows(query, key, value, bounds, kept, heads):
    context = np.zeros_like(query)
    size = query.shape[1] // heads
    for sequence in range(len(bounds) - 1):
        start, stop = bounds[sequence], bounds[sequence + 1]
        level = not kept[start:stop].any()  # nothing kept: the same share for each
        shares = np.empty(stop - start, np.float64)
        for head in range(heads):
            first = head * size
            for row in range(start, stop):
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


@variant("attention", tolerance=2e-6, why="float32 rounding: two products and a softmax in a row")
def attention_turned(query, key, value, bounds, key_mask, heads):
    """A head's kept keys are copied and turned: a loop over keys then runs along memory, and becomes vectors.

    On one thread of a Zen 4, GFLOP/s at 128 and 512 tokens: 23 and 30, where `naive` has 1.5."""
    return attend_blocks(query, key, value, bounds, key_mask, heads, len(query))


@variant("attention", tolerance=2e-6, why="float32 rounding: two products and a softmax in a row")
def attention_online(query, key, value, bounds, key_mask, heads):
    """STEP keys at a time for all queries: a row of scores is never whole (arXiv:1805.02867).

    Each query keeps the largest score so far, the sum of its shares and of its weighted values; where a block has a
    larger score, both sums shrink to what they are beside that. So what is in use stays in the caches: 29 GFLOP/s at 512
    tokens, 30 at 2,048 and at 8,192, where `turned` has 30, 29 and 24."""
    return attend_blocks(query, key, value, bounds, key_mask, heads, STEP)


STEP = 128  # keys: turned they take 32 KiB, half of the nearest cache; with 64 it is a fifth slower


def attend_blocks(query, key, value, bounds, key_mask, heads, step):
    kept = np.ones(len(query), np.bool_) if key_mask is None else key_mask
    context = np.zeros_like(query)
    for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist()):
        places = start + np.flatnonzero(kept[start:stop])
        scale = 1 / math.sqrt(query.shape[1] // heads)
        if not len(places):  # nothing kept: the same share for each
            places, scale = np.arange(start, stop), 0.0
        for left in range(0, query.shape[1], query.shape[1] // heads):
            mine = slice(left, left + query.shape[1] // heads)
            queries = query[start:stop, mine] * np.float32(scale)
            context[start:stop, mine] = attend_head(queries, key[places, mine], value[places, mine], step)
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
            shrink = exp(largest[row] - high)  # of what is minus infinity at first: 0
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
        high = larger(high, scores[other])
    return high


@jit(error_model="numpy")
def add_shares(scores, high, values, found):
    """found (Dh,) += exp(scores - high) (L,) @ values (L, Dh) -> the sum of those shares."""
    for other in range(len(scores)):
        scores[other] = exp(scores[other] - high)
    total = np.float32(0)
    for other in range(len(scores)):
        share, line = scores[other], values[other]
        total += share
        for i in range(len(found)):
            found[i] = fma(share, line[i], found[i])
    return total


BLOCK = 256  # queries of a task, which copies its keys and values first: at 512 tokens that is a thirtieth of its work
CHUNK = 128  # keys in one running sum, as in linear_register.py


@variant("attention", tolerance=2e-6, why="float32 rounding: two products and a softmax in a row")
def attention_register(query, key, value, bounds, key_mask, heads):
    """Both products by register tiles, a vector's lanes being queries: no lane ever needs another's largest or sum."""
    query, key, value = (np.ascontiguousarray(x) for x in (query, key, value))
    kept = np.ones(len(query), np.bool_) if key_mask is None else key_mask
    context = empty(*query.shape)
    places = [
        (start, stop, first)
        for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist())
        for first in range(start, stop, BLOCK)
    ]
    if places:
        work = int(np.square(np.diff(bounds)).sum()) * query.shape[1] * 2  # multiply-adds
        useful = min(len(places) * heads, work // 2_000_000 + 1)
        longest, size = int(np.diff(bounds).max()), query.shape[1] // heads
        scratch = ((2, longest, size), (longest, COLUMNS), (2, size, COLUMNS), (3, COLUMNS))
        run(attend, useful, query, key, value, kept, np.array(places), heads, context, scratch=scratch)
    return context


@jit(nogil=True, error_model="numpy")
def attend(counter, scratch, query, key, value, kept, places, heads, context):
    """Do one task after another until none is left: a sequence's head, and BLOCK of its queries."""
    size = query.shape[1] // heads
    own = next_task(counter[1:])
    copies, scores, turned, sums = scratch[0][own], scratch[1][own], scratch[2][own], scratch[3][own]
    task = next_task(counter)
    while task < len(places) * heads:
        start, stop, row = places[task // heads]
        left = task % heads * size
        found = copy_kept(key[start:stop], value[start:stop], kept[start:stop], left, copies)
        scale = np.float32(1 / math.sqrt(size)) if found else np.float32(0)
        count = found if found else stop - start  # nothing kept: the same share for each
        end = min(row + BLOCK, stop)
        while row < end:
            for lane in range(COLUMNS):
                line = query[min(row + lane, stop - 1)][left : left + size]  # a lane too many does the last query again
                for i in range(size):
                    turned[0, i, lane] = line[i] * scale
            attend_lanes(turned, copies[0, :count], copies[1, :count], scores[:count], sums)
            for lane in range(min(end - row, COLUMNS)):
                line = context[row + lane][left : left + size]
                for i in range(size):
                    line[i] = turned[1, i, lane]
            row += COLUMNS
        task = next_task(counter)


@jit(error_model="numpy")
def copy_kept(key, value, kept, left, copies):
    """One head's keys and values, side by side; a masked one is left out, unless all are. -> how many were kept."""
    found = 0
    for other in range(len(kept)):
        found += kept[other]
    to = 0
    for other in range(len(kept)):
        if kept[other] or not found:
            size = copies.shape[2]
            for i, part in ((0, key[other][left : left + size]), (1, value[other][left : left + size])):
                line = copies[i, to]
                for place in range(size):
                    line[place] = part[place]
            to += 1
    return found


@jit(error_model="numpy")
def attend_lanes(turned, keys, values, scores, sums):
    """turned[0] (Dh, C), a query a lane -> turned[1] (Dh, C): softmax(keys turned[0])ᵀ values, with scores (L, C) between."""
    count, size = keys.shape
    largest, total, part = sums[0], sums[1], sums[2]
    for other in range(count):
        for lane in range(COLUMNS):
            scores[other, lane] = 0
    for tile in range(-(-count // ROWS)):
        top, bottom = tile * ROWS, min(tile * ROWS + ROWS, count)
        add_product(scores[top:bottom], keys[top:bottom], turned[0], turned[0][:0])
    for lane in range(COLUMNS):
        largest[lane], total[lane] = scores[0, lane], 0
    for other in range(1, count):
        for lane in range(COLUMNS):
            largest[lane] = max(largest[lane], scores[other, lane])
    for i in range(size):
        for lane in range(COLUMNS):
            turned[1, i, lane] = 0
    for first in range(0, count, CHUNK):
        last = min(first + CHUNK, count)
        for lane in range(COLUMNS):
            part[lane] = 0
        for other in range(first, last):
            line = scores[other]
            for lane in range(COLUMNS):
                line[lane] = exp(line[lane] - largest[lane])
            for lane in range(COLUMNS):
                part[lane] += line[lane]
        for lane in range(COLUMNS):
            total[lane] += part[lane]
        tiles = -(-size // ROWS)
        for tile in range(tiles):
            top, bottom = tile * size // tiles, (tile + 1) * size // tiles
            add_product(turned[1, top:bottom], values[first:last].T[top:bottom], scores[first:last], scores[:0])
    for i in range(size):
        for lane in range(COLUMNS):
            turned[1, i, lane] /= total[lane]
