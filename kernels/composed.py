"""Operations composed of the plain ones: embedding, attention, and products with their epilogues.

Each is written here in terms of `ops`, the chosen plain variants, with its gradient below it. A compiled variant that does it in one pass is registered
under the same name and must give the same numbers. There is no padding here: the tokens of all sequences are packed into N
rows, and `bounds` (S+1,) says where each sequence begins and ends (`cu_seqlens` in FlashAttention).

In the order a forward pass meets them. Next: `minibert/models/encoder.py`, which calls them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from .philox import DropoutSettings
from .reference import dropout_scale  # and the plain operations stand first in the registry
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


@composition("layer_norm_grad", "take_grad")
def embed_grad(
    ops,
    grad: np.ndarray,
    token_ids: np.ndarray,
    type_ids: np.ndarray,
    position_ids: np.ndarray,
    tables: tuple,
    weight: np.ndarray,
    eps: float,
) -> tuple[np.ndarray, ...]:
    """grad (N, D) and embed's inputs -> gradients of the three tables, of weight (D,) and of bias (D,). A row of a table
    that no token has gets 0."""
    ids = token_ids, type_ids, position_ids
    embedded = sum(table[rows] for table, rows in zip(tables, ids))
    embedded_grad, weight_grad, bias_grad = ops.layer_norm_grad(grad, embedded, weight, eps)
    return *(ops.take_grad(embedded_grad, rows, len(table)) for table, rows in zip(tables, ids)), weight_grad, bias_grad


def pack_query_key_value(ops, query_weight, query_bias, key_weight, key_bias, value_weight, value_bias) -> tuple:
    return (
        ops.pack_weights("linear", query_weight, query_bias),
        ops.pack_weights("linear", key_weight, key_bias),
        ops.pack_weights("linear", value_weight, value_bias),
    )


@composition("linear", pack_weights=pack_query_key_value, capturable=True)
def query_key_value(
    ops, query_input: np.ndarray, x: np.ndarray, query: tuple, key: tuple, value: tuple, *, rounded: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """query_input (A, K), which are rows of x or x itself, x (M, K), and three pairs of weight (N, K), bias (N,) -> queries
    (A, N), keys and values (M, N). A fused variant reads x once. With `rounded` a variant may return bf16, as uint16."""
    return ops.linear(query_input, *query), ops.linear(x, *key), ops.linear(x, *value)


@composition("linear_grad")
def query_key_value_grad(
    ops,
    grads: tuple,
    query_input: np.ndarray,
    x: np.ndarray,
    query_weight: np.ndarray,
    key_weight: np.ndarray,
    value_weight: np.ndarray,
) -> tuple[np.ndarray, ...]:
    """Gradients of queries (A, N), keys and values (M, N), and what they were computed from -> gradients of query_input
    (A, K), of x as keys' and values' input (M, K), and of weight and bias of queries, keys and values, six arrays."""
    query_input_grad, *query = ops.linear_grad(grads[0], query_input, query_weight)
    key_input_grad, *key = ops.linear_grad(grads[1], x, key_weight)
    value_input_grad, *value = ops.linear_grad(grads[2], x, value_weight)
    return query_input_grad, key_input_grad + value_input_grad, *query, *key, *value


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
    return weighted_values(
        attention_probabilities(ops, query, key, bounds, key_mask, heads, bias, window), query, value, bounds
    )


@composition("softmax", "dropout")
def attention_dropout(
    ops,
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    bounds: np.ndarray,
    key_mask: np.ndarray | None,
    heads: int,
    settings: DropoutSettings,
    bias: np.ndarray | None = None,
    window: int | None = None,
) -> np.ndarray:
    """As `attention`, with dropout of the probabilities, as `attention_dropout_scale` has it."""
    all_probabilities = attention_probabilities(ops, query, key, bounds, key_mask, heads, bias, window)
    dropped = (
        probabilities * attention_dropout_scale(first, probabilities, settings)
        for first, probabilities in zip(query_bounds(query, bounds), all_probabilities)
    )
    return weighted_values(dropped, query, value, bounds)


@composition("softmax", "softmax_grad")
def attention_grad(
    ops,
    grad: np.ndarray,
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    bounds: np.ndarray,
    key_mask: np.ndarray | None,
    heads: int,
    settings: DropoutSettings | None = None,
    bias: np.ndarray | None = None,
    window: int | None = None,
) -> tuple[np.ndarray, ...]:
    """grad and query (N, D) or (S, D), and attention's other inputs -> gradients of query, key and value, each of its shape;
    with a bias, its gradient (H, T, T) as the fourth. `settings` are those of the dropout, None without one.

    The probabilities are computed again: they would be the one intermediate result that grows with L². (FlashAttention does
    the same, arXiv:2205.14135, 3.1.)
    """
    scale, q_bounds = 1 / math.sqrt(query.shape[1] // heads), query_bounds(query, bounds)
    query_grad, key_grad, value_grad = np.empty_like(query), np.empty_like(key), np.empty_like(value)
    bias_grad = None if bias is None else np.zeros_like(bias)
    all_probabilities = attention_probabilities(ops, query, key, bounds, key_mask, heads, bias, window)
    for first, last, start, stop, probabilities in zip(q_bounds[:-1], q_bounds[1:], bounds[:-1], bounds[1:], all_probabilities):
        q, context_grad = split_heads(query[first:last], heads), split_heads(grad[first:last], heads)  # (H, L, Dh)
        k, v = split_heads(key[start:stop], heads), split_heads(value[start:stop], heads)
        dropped, probabilities_grad = probabilities, context_grad @ v.transpose(0, 2, 1)  # (H, L, L)
        if settings is not None:
            dropout = attention_dropout_scale(first, probabilities, settings)
            dropped, probabilities_grad = probabilities * dropout, probabilities_grad * dropout
        value_grad[start:stop] = join_heads(dropped.transpose(0, 2, 1) @ context_grad)
        mask = None if key_mask is None or window is not None else key_mask[start:stop]  # with a window, they are 0 already
        scores_grad = ops.softmax_grad(probabilities_grad, probabilities, mask)
        if bias_grad is not None:
            bias_grad[:, : last - first, : stop - start] += scores_grad
        query_grad[first:last] = join_heads(scores_grad @ k * scale)
        key_grad[start:stop] = join_heads(scores_grad.transpose(0, 2, 1) @ q * scale)
    return (query_grad, key_grad, value_grad) if bias_grad is None else (query_grad, key_grad, value_grad, bias_grad)


def attention_dropout_scale(first, probabilities, settings):
    """What a sequence's probabilities (H, L, L) are multiplied by: 0 or 1 / (1 − rate). That of head h for query i of all
    and the sequence's key j is at row i H + h, column j of `dropout_scale`. `first` is the sequence's first query."""
    heads, queries, keys = probabilities.shape
    rows = (first + np.arange(queries)) * heads + np.arange(heads)[:, None]  # (H, L)
    return dropout_scale(rows.ravel(), keys, settings).reshape(probabilities.shape).astype(probabilities.dtype)


def weighted_values(all_probabilities, query, value, bounds):
    """For each sequence in turn probabilities (H, L, L), query and value (N, D) -> their products with the values (N, D)."""
    context, q_bounds = np.empty_like(query), query_bounds(query, bounds)
    for first, last, start, stop, probabilities in zip(q_bounds[:-1], q_bounds[1:], bounds[:-1], bounds[1:], all_probabilities):
        context[first:last] = join_heads(probabilities @ split_heads(value[start:stop], len(probabilities)))
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


def join_heads(x):
    """x (H, L, Dh) -> (L, D)."""
    return x.transpose(1, 0, 2).reshape(x.shape[1], -1)


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
