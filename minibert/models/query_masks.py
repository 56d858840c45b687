"""Masks that say for each query which keys it attends to: (B, T, T) in place of (B, T).

    [[1, 0, 0],        the first token attends to itself alone, the second to the first two,
     [1, 1, 0],        the third to all: a causal mask
     [1, 1, 1]]

Packed tokens and their `key_mask` cannot say this, so all T tokens of a row are computed. The mask becomes a bias of
attention's scores, one for each sequence; attention takes one for all of them, so here it is called for each by itself.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minibert.kernels.catalog import Ops
from minibert.kernels.composed import attention_probabilities, query_bounds

from ..errors import InputError

MASKED = np.float32(-1e30)  # beside which any score vanishes; kernels may scale it, so it is not float32's least


def read_query_mask(mask: np.ndarray, shape: tuple[int, ...], heads: int) -> np.ndarray:
    """A caller's mask for input_ids of shape (B, T) -> a bias (B, 1 or H, T, T) of attention's scores, 0 or MASKED.

    (B, T, T) holds 1 where a query attends to a key, and 0 elsewhere. Of four axes, (1 or B, 1 or H, T, T), it is as in
    transformers: bool, True where it attends; or floats, which are added to the scores. A query that attends to no key
    gives each the same weight.
    """
    rows, tokens = shape
    allowed = {(batch, count, tokens, tokens) for batch in (1, rows) for count in (1, heads)}
    squares = mask[:, None] if mask.ndim == 3 and len(mask) == rows else mask
    if squares.shape not in allowed:
        raise InputError(
            f"attention_mask must have the shape of input_ids, {shape}; got {mask.shape}. One for each query has the shape "
            f"{(rows, tokens, tokens)}, or ({rows}, 1 or {heads}, {tokens}, {tokens})."
        )
    if mask.ndim == 4 and mask.dtype.kind == "f":
        if np.isnan(mask).any():
            raise InputError("an attention_mask that is added to the scores must hold numbers; got NaN.")
        bias = np.clip(squares, MASKED, -MASKED)
    elif mask.dtype.kind == "b" or (mask.ndim == 3 and mask.dtype.kind in "iuf" and np.isin(mask, (0, 1)).all()):
        bias = np.where(squares, np.float32(0), MASKED)
    elif mask.ndim == 4:
        raise InputError(
            f"an attention_mask of four axes must be bool, or floats to add to the scores; got {mask.dtype}. "
            "If it holds 1 and 0, pass mask.astype(bool)."
        )
    else:
        raise InputError("attention_mask must hold 1 where a query attends to a key, and 0 elsewhere; got other values.")
    return np.broadcast_to(bias.astype(np.float32, copy=False), (rows, *squares.shape[1:]))


def sequence_biases(score_bias: np.ndarray, relative_bias: np.ndarray | None, heads: int) -> list[np.ndarray]:
    """score_bias (S, 1 or H, T, T), and the model's own bias (H, T, T) or None -> their sums, an array (H, T, T) a sequence."""
    shape = heads, *score_bias.shape[2:]
    sums = score_bias if relative_bias is None else (bias + relative_bias for bias in score_bias)
    return [np.ascontiguousarray(np.broadcast_to(bias, shape), np.float32) for bias in sums]


def attention_by_sequence(
    ops: Ops, query: np.ndarray, key: np.ndarray, value: np.ndarray, bounds: np.ndarray, biases: list[np.ndarray]
) -> np.ndarray:
    """As `ops.attention`, with a bias for each sequence."""
    context = np.empty_like(query)
    for queries, keys, own_bounds, bias in sequences(query, bounds, biases):
        context[queries] = ops.attention(query[queries], key[keys], value[keys], own_bounds, None, len(bias), bias)
    return context


def probabilities_by_sequence(
    ops: Ops, query: np.ndarray, key: np.ndarray, bounds: np.ndarray, biases: list[np.ndarray]
) -> Iterator[np.ndarray]:
    """As `attention_probabilities`, with a bias for each sequence."""
    for queries, keys, own_bounds, bias in sequences(query, bounds, biases):
        yield from attention_probabilities(ops, query[queries], key[keys], own_bounds, None, len(bias), bias)


def sequences(
    query: np.ndarray, bounds: np.ndarray, biases: list[np.ndarray]
) -> Iterator[tuple[slice, slice, np.ndarray, np.ndarray]]:
    """For each sequence the rows of its queries and of its keys, its own bounds, and its bias."""
    q_bounds = query_bounds(query, bounds)
    for first, last, start, stop, bias in zip(q_bounds[:-1], q_bounds[1:], bounds[:-1], bounds[1:], biases):
        yield slice(first, last), slice(start, stop), np.array([0, stop - start]), bias
