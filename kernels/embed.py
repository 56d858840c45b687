"""Word + type + position, then layer norm: the first layer. The formula is `composed.embed`."""

from __future__ import annotations

import math

import numpy as np

from .jit import jit
from .registry import variant


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
