"""Operations composed of the plain ones: embedding, attention, and products with their epilogues.

Each is written here in terms of `ops`, the chosen plain variants. A compiled variant that does it in one pass is registered
under the same name and must give the same numbers. There is no padding here: the tokens of all sequences are packed into N
rows, and `bounds` (S+1,) says where each sequence begins and ends (`cu_seqlens` in FlashAttention).

In the order a forward pass meets them. Next: `minibert/models/encoder.py`, which calls them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from . import reference  # noqa: F401 - plain operations stand first in the registry
from .registry import composition


@composition("layer_norm")
def embed(
    ops,
    token_ids: np.ndarray,
    type_ids: np.ndarray,
    position_ids: np.ndarray,
    tables: tuple,
    weight: np.ndarray,
    bias: np.ndarray,
    eps: float,
) -> np.ndarray:
    """ids (N,) three times, tables of words (V, D), types (·, D), positions (P, D) -> layer_norm of their sum (N, D)."""
    words, types, positions = tables
    return ops.layer_norm(words[token_ids] + types[type_ids] + positions[position_ids], weight, bias, eps)


def pack_query_key_value(ops, query_weight, query_bias, key_weight, key_bias, value_weight, value_bias) -> tuple:
    return (
        ops.pack_weights("linear", query_weight, query_bias),
        ops.pack_weights("linear", key_weight, key_bias),
        ops.pack_weights("linear", value_weight, value_bias),
    )


@composition("linear", pack_weights=pack_query_key_value, capturable=True)
def query_key_value(
    ops, query_input: np.ndarray, x: np.ndarray, query: tuple, key: tuple, value: tuple
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """query_input (A, K), which are rows of x or x itself, x (M, K), and three pairs of weight (N, K), bias (N,) -> queries
    (A, N), keys and values (M, N). A fused variant reads x once."""
    return ops.linear(query_input, *query), ops.linear(x, *key), ops.linear(x, *value)


@composition("softmax")
def attention(
    ops,
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    bounds: np.ndarray,
    key_mask: np.ndarray | None,
    heads: int,
    bias: np.ndarray | None = None,
    window: int | None = None,
) -> np.ndarray:
    """query, key, value (N, D), bounds (S+1,), key_mask (N,) bool or None, heads H -> (N, D).

    Or query (S, D), one of each sequence -> (S, D).

    softmax(q kᵀ / √Dh) v for each sequence and head by itself ("Attention Is All You Need", 3.2.1); a key whose mask
    is False gets a weight of 0. If all keys of a sequence are masked, each gets the same weight.

    `bias` (H, T, T), for the longest sequence or more, is added to the scores (over √Dh) by head and positions in the sequence.
    With `window`, a query sees the keys that are at most `window` positions away; a query that sees none gets zeros.
    """
    context = np.empty_like(query)
    all_probabilities = attention_probabilities(ops, query, key, bounds, key_mask, heads, bias, window)
    q_bounds = query_bounds(query, bounds)
    for first, last, start, stop, probabilities in zip(q_bounds[:-1], q_bounds[1:], bounds[:-1], bounds[1:], all_probabilities):
        per_head = split_heads(value[start:stop], heads)  # (H, L, Dh)
        context[first:last] = (probabilities @ per_head).transpose(1, 0, 2).reshape(last - first, -1)
    return context


def query_bounds(query: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Where each sequence's queries begin and end (S+1,): one for each of its keys, or one alone. (As many queries as
    keys are both, if each sequence has one.)"""
    return bounds if len(query) == bounds[-1] else np.arange(len(bounds))


def attention_probabilities(
    ops,
    query: np.ndarray,
    key: np.ndarray,
    bounds: np.ndarray,
    key_mask: np.ndarray | None,
    heads: int,
    bias: np.ndarray | None = None,
    window: int | None = None,
) -> Iterator[np.ndarray]:
    """As `attention`; for each sequence of L tokens in turn -> probabilities (H, L, L), or (H, 1, L) of one query."""
    scale, q_bounds = 1 / math.sqrt(query.shape[1] // heads), query_bounds(query, bounds)
    for first, last, start, stop in zip(q_bounds[:-1], q_bounds[1:], bounds[:-1], bounds[1:]):
        per_head = split_heads(query[first:last], heads)  # (H, L, Dh)
        scores = per_head @ split_heads(key[start:stop], heads).transpose(0, 2, 1) * scale  # (H, L, L)
        mask = None if key_mask is None else key_mask[start:stop]
        if bias is not None:
            scores = scores + bias[:, : last - first, : stop - start]
        if window is None:
            yield ops.softmax(scores, mask)
        else:
            visible = np.abs(np.arange(last - first)[:, None] - np.arange(stop - start)) <= window  # (L, L)
            visible = visible if mask is None else visible & mask
            scores = np.where(visible, scores, np.finfo(scores.dtype).min)
            yield ops.softmax(scores) * visible.any(axis=1, keepdims=True)


def split_heads(x: np.ndarray, heads: int) -> np.ndarray:
    """x (L, D) -> (H, L, D / H)."""
    return x.reshape(len(x), heads, -1).transpose(1, 0, 2)


@composition("linear", "gelu", capturable=True)
def linear_gelu(ops, x: np.ndarray, *parameters: Any) -> np.ndarray:
    """x (M, K), weight (N, K), bias (N,) -> gelu of linear (M, N)."""
    return ops.gelu(ops.linear(x, *parameters))


@composition("linear", "gelu_tanh", capturable=True)
def linear_gelu_tanh(ops, x: np.ndarray, *parameters: Any) -> np.ndarray:
    """x (M, K), weight (N, K), bias (N,) -> gelu_tanh of linear (M, N)."""
    return ops.gelu_tanh(ops.linear(x, *parameters))


@composition("linear", "relu", capturable=True)
def linear_relu(ops, x: np.ndarray, *parameters: Any) -> np.ndarray:
    """x (M, K), weight (N, K), bias (N,) -> relu of linear (M, N)."""
    return ops.relu(ops.linear(x, *parameters))


@composition("linear", "silu", capturable=True)
def linear_silu(ops, x: np.ndarray, *parameters: Any) -> np.ndarray:
    """x (M, K), weight (N, K), bias (N,) -> silu of linear (M, N)."""
    return ops.silu(ops.linear(x, *parameters))


@composition("linear")
def linear_add(ops, x: np.ndarray, residual: np.ndarray, *parameters: Any) -> np.ndarray:
    """x (M, K), residual (M, N), weight (N, K), bias (N,) -> residual + linear (M, N)."""
    return residual + ops.linear(x, *parameters)
