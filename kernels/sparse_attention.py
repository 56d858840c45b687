"""Attention for long texts: each token sees those near it, and a few global tokens, which see all.

    query   0 1 2 3 4 5 6 7      token 0 is global, the window is 1
      0     g g g g g g g g      a global token sees all, with projections of its own: `global_attention`
      1     x x x . . . . .      the others see their window and the global tokens: `window_attention`
      4     x . . x x x . .

"Longformer: The Long-Document Transformer", https://arxiv.org/abs/2004.05150, 3.1, as transformers computes it. The cost grows
with length × window. A `Block` is some neighboring queries and the keys that they see; no array is (T, T).

Registered like the operations of `composed.py`. The gradients are functions of this file, and have no other variants.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from .composed import attention_dropout_scale, join_heads, pack_query_key_value, split_heads
from .philox import DropoutSettings
from .registry import composition

BLOCK = 256  # queries: with a window of 256 on each side, their 768 keys are seen two thirds of the time


class Block(NamedTuple):
    """Q queries, the K keys that they may see, and whether they do."""

    queries: slice  # rows of the queries
    keys: np.ndarray  # (K,) rows of keys and values, none twice
    visible: np.ndarray  # (Q, K) or (1, K) bool


def window_blocks(
    bounds: np.ndarray, key_mask: np.ndarray | None, window: int, global_mask: np.ndarray | None
) -> Iterator[Block]:
    """The blocks of all sequences. The keys are the global tokens of the sequence, then the others near the block; a masked
    query sees none."""
    count = int(bounds[-1])
    unmasked = np.ones(count, bool) if key_mask is None else key_mask
    is_global = np.zeros(count, bool) if global_mask is None else global_mask
    for start, stop in zip(bounds[:-1], bounds[1:]):
        everywhere = start + np.flatnonzero(is_global[start:stop])
        for first in range(start, stop, BLOCK):
            last = min(first + BLOCK, stop)
            near = np.arange(max(first - window, start), min(last + window, stop))
            keys = np.concatenate([everywhere, near[~is_global[near]]])
            visible = np.abs(np.arange(first, last)[:, None] - keys) <= window  # (Q, K)
            visible[:, : len(everywhere)] = True
            yield Block(slice(first, last), keys, visible & unmasked[keys] & unmasked[first:last, None])


def global_blocks(rows: np.ndarray, bounds: np.ndarray, key_mask: np.ndarray | None) -> Iterator[Block]:
    """rows (G,) of the global tokens, rising -> for each sequence that has some: these see all of its unmasked tokens."""
    first_rows = np.searchsorted(rows, bounds)
    for first, last, start, stop in zip(first_rows[:-1], first_rows[1:], bounds[:-1], bounds[1:]):
        if first < last:
            visible = np.ones((1, stop - start), bool) if key_mask is None else key_mask[None, start:stop]
            yield Block(slice(first, last), np.arange(start, stop), visible)


@composition("softmax")
def window_attention(
    ops: Any,
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    bounds: np.ndarray,
    key_mask: np.ndarray | None,
    heads: int,
    window: int,
    global_mask: np.ndarray | None = None,
) -> np.ndarray:
    """query, key, value (N, D), bounds (S+1,), key_mask and global_mask (N,) bool or None, heads H -> (N, D).

    softmax(q kᵀ / √Dh) v over the unmasked keys that are at most `window` positions away or global. A masked query gets
    zeros."""
    return block_attention(ops, query, key, value, window_blocks(bounds, key_mask, window, global_mask), heads)


@composition("linear", "softmax", pack_weights=pack_query_key_value)
def global_attention(
    ops: Any,
    hidden: np.ndarray,
    rows: np.ndarray,
    bounds: np.ndarray,
    key_mask: np.ndarray | None,
    heads: int,
    query: tuple,
    key: tuple,
    value: tuple,
) -> np.ndarray:
    """hidden (N, D), rows (G,) of it that are global tokens, rising, and three pairs of weight (D, D), bias (D,) -> (G, D).

    Each row's query attends to all unmasked tokens of its sequence, of which there must be one."""
    queries, keys, values = ops.linear(hidden[rows], *query), ops.linear(hidden, *key), ops.linear(hidden, *value)
    return block_attention(ops, queries, keys, values, global_blocks(rows, bounds, key_mask), heads)


def block_attention(
    ops: Any,
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    blocks: Iterable[Block],
    heads: int,
    settings: DropoutSettings | None = None,
) -> np.ndarray:
    """query (Q, D), key and value (N, D) -> (Q, D), with dropout of the probabilities if there are settings: their columns
    are the keys of a block."""
    context = np.zeros_like(query)
    for block in blocks:
        probabilities = block_probabilities(ops, query, key, block, heads)
        if settings is not None:
            probabilities = probabilities * attention_dropout_scale(block.queries.start, probabilities, settings)
        context[block.queries] = join_heads(probabilities @ split_heads(value[block.keys], heads))
    return context


def block_attention_grad(
    ops: Any,
    grad: np.ndarray,
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    blocks: Iterable[Block],
    heads: int,
    settings: DropoutSettings | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """grad (Q, D), and `block_attention`'s other inputs -> gradients of query, key and value. `composed.attention_grad` has
    the same steps; a key's gradients are added up over the blocks that see it."""
    scale = 1 / math.sqrt(query.shape[1] // heads)
    query_grad, key_grad, value_grad = np.zeros_like(query), np.zeros_like(key), np.zeros_like(value)
    for block in blocks:
        probabilities = block_probabilities(ops, query, key, block, heads)  # (H, Q, K)
        q, context_grad = split_heads(query[block.queries], heads), split_heads(grad[block.queries], heads)
        k, v = split_heads(key[block.keys], heads), split_heads(value[block.keys], heads)
        dropped, probabilities_grad = probabilities, context_grad @ v.transpose(0, 2, 1)
        if settings is not None:
            dropout = attention_dropout_scale(block.queries.start, probabilities, settings)
            dropped, probabilities_grad = probabilities * dropout, probabilities_grad * dropout
        scores_grad = ops.softmax_grad(probabilities_grad, probabilities, None)
        value_grad[block.keys] += join_heads(dropped.transpose(0, 2, 1) @ context_grad)
        query_grad[block.queries] = join_heads(scores_grad @ k * scale)
        key_grad[block.keys] += join_heads(scores_grad.transpose(0, 2, 1) @ q * scale)
    return query_grad, key_grad, value_grad


def block_probabilities(ops: Any, query: np.ndarray, key: np.ndarray, block: Block, heads: int) -> np.ndarray:
    """-> probabilities (H, Q, K), 0 for a key that a query does not see."""
    q, k = split_heads(query[block.queries], heads), split_heads(key[block.keys], heads)
    scores = q @ k.transpose(0, 2, 1) * (1 / math.sqrt(q.shape[2]))
    scores = np.where(block.visible, scores, np.finfo(scores.dtype).min)
    return ops.softmax(scores) * block.visible.any(axis=1, keepdims=True)
