"""Word + type + position, then layer norm: the first layer. The formula is `composed.embed`."""

from __future__ import annotations

import math

import numpy as np

from .buffers import empty
from .jit import jit
from .layer_norm import TASK, normalise
from .registry import variant
from .threads import run
from .vectors import next_task


@variant("embed", tolerance=5e-6, why="the sum of three rows is rounded to float32 before its mean is taken away")
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


@variant("embed", tolerance=5e-6, why="the sum of three rows is rounded to float32 before its mean is taken away")
def embed_vector(token_ids, type_ids, position_ids, tables, weight, bias, eps):
    """A token at a time still, with the vectors of `layer_norm_vector`; blocks of tokens on threads."""
    ids = np.stack([token_ids, type_ids, position_ids])
    tables = tuple(np.ascontiguousarray(table) for table in tables)
    y = empty(ids.shape[1], tables[0].shape[1])
    run(embed_tasks, -(-y.size // TASK), ids, tables, weight, bias, eps, y)
    return y


@jit(nogil=True, error_model="numpy")
def embed_tasks(counter, ids, tables, weight, bias, eps, y):
    words, types, positions = tables
    each = max(TASK // y.shape[1], 1)
    task = next_task(counter)
    while task * each < len(y):
        for row in range(task * each, min(task * each + each, len(y))):
            word, kind, position = words[ids[0, row]], types[ids[1, row]], positions[ids[2, row]]
            line = y[row]
            for i in range(len(line)):
                line[i] = word[i] + kind[i] + position[i]
            normalise(line, weight, bias, eps)
        task = next_task(counter)
