"""Attention of the global tokens to all others of their sequence. The formula is `sparse_attention.global_attention`.

It projects all N tokens to keys and values for G queries. That is not necessary: for one head, with query q (Dh,),

    score of token x   q · (K x + b) / √Dh = (Kᵀ q) · x / √Dh + the same for all tokens
    context            Σ p (V x + c) = V (Σ p x) + c

so Kᵀ q takes the projection to the query's side, and V is multiplied with one sum of hidden states: G H rows for each product
instead of N. With 12 heads and one global token, that is less from 13 tokens up. (DeepSeek-V2 does the same with the weights
of its compressed keys and values, arXiv:2405.04434, 2.1.2.)
"""

from __future__ import annotations

import math

import numpy as np

from ..gemm.packing import as_weights, pack_columns_of, pack_rows_of, transposed
from ..registry import variant
from ..simd.scalar_math import NO_ACTIVATION
from .linear_f32 import gemm_f32, pack_f32
from .softmax import softmax_vector

EMPTY_BIAS = np.zeros(0, np.float32)


def pack_absorbed(query_weight, query_bias, key_weight, key_bias, value_weight, value_bias):
    """Weights (D, D) and biases (D,) -> those of the queries, of the keys transposed, and of the values, as panels. The keys'
    bias adds the same to all scores of a query, so it is left out."""
    return (
        pack_f32(query_weight, query_bias),
        pack_f32(np.ascontiguousarray(key_weight.T), np.zeros_like(key_bias)),
        pack_f32(value_weight, value_bias),
    )


@variant(
    "global_attention",
    tolerance=6e-6,
    tolerance_reason="float32 rounding: a score is a sum over D products of a projected query, not over Dh",
    pack_weights=pack_absorbed,
)
def global_attention_register(hidden, rows, bounds, key_mask, heads, query, key, value):
    """The projections of keys and values on the queries' side, in register tiles."""
    hidden, width = np.ascontiguousarray(hidden), hidden.shape[1]
    queries = gemm_f32(NO_ACTIVATION, hidden[rows], *query)[0] * np.float32(1 / math.sqrt(width // heads))  # (G, D)
    absorbed = gemm_f32(NO_ACTIVATION, by_head(queries, heads), *key)[0]  # (G H, D)
    sums = np.empty_like(absorbed)
    first_rows = np.searchsorted(rows, bounds) * heads
    for first, last, start, stop in zip(first_rows[:-1], first_rows[1:], bounds[:-1], bounds[1:]):
        if first < last:
            mask = None if key_mask is None else key_mask[start:stop]
            sums[first:last] = weighted_sums(absorbed[first:last], hidden[start:stop], mask)
    projected = gemm_f32(NO_ACTIVATION, sums, *value)[0]  # (G H, D), of which each row's own head counts
    own = np.arange(heads)
    context = projected.reshape(len(rows), heads, heads, width // heads)[:, own, own]  # (G, H, Dh)
    return context.reshape(len(rows), width)


def by_head(queries, heads):
    """queries (G, D) -> (G H, D): a row for each head, 0 outside of it."""
    count, width = queries.shape
    size, own = width // heads, np.arange(heads)
    rows = np.zeros((count, heads, heads, size), np.float32)
    rows[:, own, own] = queries.reshape(count, heads, size)
    return rows.reshape(count * heads, width)


def weighted_sums(queries, hidden, mask):
    """queries (R, D), hidden (L, D) -> softmax(queries hiddenᵀ) hidden (R, D), over the unmasked tokens."""
    scores = gemm_f32(NO_ACTIVATION, hidden, *as_weights(pack_rows_of(queries), (EMPTY_BIAS,), len(queries)))[0]  # (L, R)
    probabilities = softmax_vector(transposed(scores), mask)  # (R, L)
    columns = as_weights(pack_columns_of(hidden), (EMPTY_BIAS,), hidden.shape[1])
    return gemm_f32(NO_ACTIVATION, probabilities, *columns)[0]
