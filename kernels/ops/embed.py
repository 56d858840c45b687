"""Rows of tables. Word + type + position, then layer norm: the first layer, whose formula is `composed.embed`; and `take`,
rows as they are."""

from __future__ import annotations

import math

import numpy as np

from ..compiler.jit import jit
from ..registry import variant
from ..runtime.buffer_pool import MIN_POOLED_FLOATS, empty, exceeds_llc
from ..runtime.threads import THREAD, run
from ..simd.elementwise import prefetch_row, store_nontemporal
from ..simd.emit import fetch_add
from .layer_norm import LONG, TASK, normalise


@variant("embed", tolerance=5e-6, tolerance_reason="the sum of three rows is rounded to float32 before its mean is taken away")
def embed_naive(token_ids, type_ids, position_ids, tables, weight, bias, eps):
    """A token at a time: its three rows are added where they are normalised."""
    words, types, positions = tables
    summed = embed_rows(token_ids, type_ids, position_ids, words, types, positions)
    normalise_rows(summed, weight, bias, eps)
    return summed


@jit()
def embed_rows(token_ids, type_ids, position_ids, words, types, positions):
    rows = np.empty((len(token_ids), words.shape[1]), words.dtype)
    for n in range(len(rows)):
        for i in range(words.shape[1]):
            rows[n, i] = words[token_ids[n], i] + types[type_ids[n], i] + positions[position_ids[n], i]
    return rows


@jit()
def normalise_rows(rows, weight, bias, eps):
    width = rows.shape[1]
    for n in range(len(rows)):
        mean = 0.0
        for i in range(width):
            mean += rows[n, i]
        mean /= width
        variance = 0.0
        for i in range(width):
            variance += (rows[n, i] - mean) ** 2
        scale = 1 / math.sqrt(variance / width + eps)
        for i in range(width):
            rows[n, i] = (rows[n, i] - mean) * scale * weight[i] + bias[i]


@variant("embed", tolerance=5e-6, tolerance_reason="the sum of three rows is rounded to float32 before its mean is taken away", capturable=True)
def embed_vector(token_ids, type_ids, position_ids, tables, weight, bias, eps):
    """A token at a time still, with the vectors of `layer_norm_vector`; the next token's word is asked for meanwhile."""
    ids = tuple(np.ascontiguousarray(one, np.int64) for one in (token_ids, type_ids, position_ids))
    tables = tuple(np.ascontiguousarray(table) for table in tables)
    y = empty(len(token_ids), tables[0].shape[1])
    norm = weight, bias, eps
    size, own = (LONG, max(y.shape[1], MIN_POOLED_FLOATS)) if exceeds_llc(y) else (TASK, y.shape[1])
    run(embed_tasks, -(-y.size // size), ids, tables, norm, y, size, scratch=((own,),) * 4)
    return y


@jit(nogil=True, error_model="numpy")
def embed_tasks(counter, scratch, ids, tables, norm, y, size):
    (tokens, kinds, places), (words, types, positions) = ids, tables
    weight, bias, eps = norm
    number, width = fetch_add(counter[THREAD:]), y.shape[1]
    summed, summed_other = scratch[0][number][:width], scratch[1][number][:width]
    own, own_other = scratch[2][number][:width], scratch[3][number][:width]
    each = max(size // width, 1)
    task = fetch_add(counter)
    while task * each < len(y):
        stop = min(task * each + each, len(y))
        for row in range(task * each, stop, 2):
            other = min(row + 1, stop - 1)
            for n, line in ((row, summed), (other, summed_other)):
                prefetch_row(words[tokens[min(n + 2, len(y) - 1)]])
                word, kind, position = words[tokens[n]], types[kinds[n]], positions[places[n]]
                for i in range(width):
                    line[i] = word[i] + kind[i] + position[i]
            to, to_other = (own, own_other) if size == LONG else (y[row], y[other])
            normalise(summed, summed_other, weight, bias, eps, to, to_other)
            if size == LONG:
                store_nontemporal(y[row], to, 1)
                store_nontemporal(y[other], to_other, 1)
        task = fetch_add(counter)


@variant("take", tolerance=0, tolerance_reason="nothing is computed", capturable=True)
def take_vector(x, rows):
    """Rows of x, copied by kernels, so that a pass need not be interrupted for them."""
    x, rows = np.ascontiguousarray(x), np.ascontiguousarray(rows, np.int64)
    y = empty(len(rows), x.shape[1])
    run(take_rows, -(-y.size // TASK), x, rows, y)
    return y


@jit(nogil=True, error_model="numpy")
def take_rows(counter, x, rows, y):
    row = fetch_add(counter)
    while row < len(y):
        source, target = x[rows[row]], y[row]
        for i in range(len(target)):
            target[i] = source[i]
        row = fetch_add(counter)
