"""exp(scores) over its sum, along the last axis. The formula is `reference.softmax`."""

from __future__ import annotations

import math

import numpy as np

from ..compiler.jit import jit
from ..registry import variant
from ..runtime.buffer_pool import MIN_POOLED_FLOATS, empty, exceeds_llc
from ..runtime.threads import THREAD, run
from ..simd.elementwise import add_reassoc, max_nnan, store_nontemporal
from ..simd.emit import fetch_add
from ..simd.scalar_math import exp_below
from .layer_norm import CHUNK


@variant("softmax", tolerance=1e-6, tolerance_reason="float32 rounding: an exp and a sum of up to 512 shares")
def softmax_naive(scores, mask=None):
    """Three passes over a row: the largest, the exponentials and their sum, the division."""
    length = scores.shape[-1]
    kept = np.ones(length, np.bool_) if mask is None or not mask.any() else mask
    rows = np.ascontiguousarray(scores).reshape(-1, length)
    level = rows * 0 if mask is not None and not mask.any() else rows  # nothing kept: the same share for each
    return softmax_rows(level, kept).reshape(scores.shape)


@jit()
def softmax_rows(scores, mask):
    shares = np.zeros_like(scores)
    for row in range(len(scores)):
        largest = -np.inf
        for i in range(len(mask)):
            if mask[i] and scores[row, i] > largest:
                largest = scores[row, i]
        total = 0.0
        for i in range(len(mask)):
            if mask[i]:
                shares[row, i] = math.exp(scores[row, i] - largest)
                total += shares[row, i]
        for i in range(len(mask)):
            shares[row, i] /= total
    return shares


TASK = 16_384  # scores: some 10 µs
LONG = 8 * TASK  # of a result that is larger than the caches: a task's beginning is read before its reading ahead has begun


@variant("softmax", tolerance=1e-6, tolerance_reason="float32 rounding: an exp and a sum of up to 512 shares", capturable=True)
def softmax_vector(scores, mask=None):
    """In vectors, with an exp that has no branch; the next row's largest is found meanwhile. Blocks of rows on threads."""
    length = scores.shape[-1]
    level = mask is not None and not mask.any()  # nothing kept: the same share for each
    kept = np.ones(length, np.bool_) if mask is None or level else mask
    highest = np.where(kept, np.float32(np.inf), np.float32(-np.inf))
    rows = np.ascontiguousarray(np.zeros_like(scores) if level else scores).reshape(-1, length)
    shares = empty(*rows.shape)
    size, own = (LONG, max(length, MIN_POOLED_FLOATS)) if exceeds_llc(shares) else (TASK, 0)
    run(softmax_tasks, -(-rows.size // size), rows, highest, shares, size, scratch=((own,),))
    return shares.reshape(scores.shape)


@jit(nogil=True, error_model="numpy")
def softmax_tasks(counter, scratch, scores, highest, shares, size):
    """`highest` (L,) is what a score may be: anything, or where it is masked, minus infinity."""
    own = scratch[0][fetch_add(counter[THREAD:])][: len(highest)]
    each = max(size // len(highest), 1)
    task = fetch_add(counter)
    while task * each < len(scores):
        stop = min(task * each + each, len(scores))
        high = largest(scores[task * each], highest)
        for row in range(task * each, stop):
            to = own if size == LONG else shares[row]
            total, high = exponentials(scores[row], scores[min(row + 1, stop - 1)], highest, high, to)
            scale = np.float32(1 / total)
            if size == LONG:
                store_nontemporal(shares[row], to, scale)
            else:
                for i in range(len(to)):
                    to[i] *= scale
        task = fetch_add(counter)


@jit(forceinline=True, error_model="numpy")
def exponentials(line, coming, highest, high, shares):
    """shares = exp(line - high) -> their sum, and the largest of the line that comes."""
    total, high_coming = 0.0, np.float32(-np.inf)
    for first in range(0, len(line), CHUNK):
        part = slice(first, first + CHUNK)
        added, found = exponentials_of_chunk(line[part], coming[part], highest[part], high, shares[part])
        total += added
        high_coming = max_nnan(high_coming, found)
    return total, high_coming


@jit(forceinline=True, error_model="numpy")
def exponentials_of_chunk(line, coming, highest, high, shares):
    """One loop: exps leave the memory idle, so the coming line is read meanwhile."""
    added, high_coming = np.float32(0), np.float32(-np.inf)
    for i in range(len(line)):
        shares[i] = exp_below(min(line[i], highest[i]) - high)
        added = add_reassoc(added, shares[i])
        high_coming = max_nnan(high_coming, min(coming[i], highest[i]))
    return added, high_coming


@jit(forceinline=True, error_model="numpy")
def largest(line, highest):
    found = np.float32(-np.inf)
    for i in range(len(line)):
        found = max_nnan(found, min(line[i], highest[i]))
    return found
