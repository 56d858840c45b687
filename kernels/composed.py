"""The operations made of the plain ones: embedding, attention, and the products with what follows them.

Each is spelt here over whatever plain variants were chosen (`ops`). A compiled variant that does it in one pass
registers itself under the same name and must give the same numbers. Padding never gets here: tokens are packed, N rows
for all sequences together, and `bounds` (S+1,) says where each sequence begins and ends.

In the order a forward pass meets them. Next: `minibert/models/encoder.py`, which calls them.
"""

from __future__ import annotations

import math

import numpy as np

from . import reference  # noqa: F401 - plain operations stand first in the registry
from .registry import composition


@composition("layer_norm")
def embed(ops, token_ids, type_ids, position_ids, tables, weight, bias, eps):
    """ids (N,) three times, tables of words (V, D), types (·, D), positions (P, D) -> layer_norm of their sum (N, D)."""
    words, types, positions = tables
    return ops.layer_norm(words[token_ids] + types[type_ids] + positions[position_ids], weight, bias, eps)


def pack_query_key_value(ops, query_weight, query_bias, key_weight, key_bias, value_weight, value_bias):
    return (
        ops.pack_weights("linear", query_weight, query_bias),
        ops.pack_weights("linear", key_weight, key_bias),
        ops.pack_weights("linear", value_weight, value_bias),
    )


@composition("linear", pack_weights=pack_query_key_value, capturable=True)
def query_key_value(ops, asking, x, query, key, value):
    """x (M, K), rows of it that ask (A, K), or x itself, and three pairs of weight (N, K), bias (N,) -> the queries (A, N),
    and keys and values (M, N); from one reading of x where fused."""
    return ops.linear(asking, *query), ops.linear(x, *key), ops.linear(x, *value)


@composition("softmax")
def attention(ops, query, key, value, bounds, key_mask, heads):
    """query, key, value (N, D), bounds (S+1,), key_mask (N,) bool or None, heads H -> (N, D).

    Or query (S, D), one of each sequence -> (S, D).

    softmax(q kᵀ / √Dh) v for each sequence and head by itself ("Attention Is All You Need", 3.2.1); a key whose mask
    is False is not looked at.
    """
    context = np.empty_like(query)
    found = attention_probabilities(ops, query, key, bounds, key_mask, heads)
    asking = query_bounds(query, bounds)
    for first, last, start, stop, probabilities in zip(asking[:-1], asking[1:], bounds[:-1], bounds[1:], found):
        per_head = split_heads(value[start:stop], heads)  # (H, L, Dh)
        context[first:last] = (probabilities @ per_head).transpose(1, 0, 2).reshape(last - first, -1)
    return context


def query_bounds(query, bounds):
    """Where each sequence's queries begin and end (S+1,): one for each of its keys, or one alone. (As many queries as
    keys are both, if each sequence has one.)"""
    return bounds if len(query) == bounds[-1] else np.arange(len(bounds))


def attention_probabilities(ops, query, key, bounds, key_mask, heads):
    """As `attention`; for each sequence of L tokens in turn -> probabilities (H, L, L), or (H, 1, L) of one query."""
    scale, asking = 1 / math.sqrt(query.shape[1] // heads), query_bounds(query, bounds)
    for first, last, start, stop in zip(asking[:-1], asking[1:], bounds[:-1], bounds[1:]):
        per_head = split_heads(query[first:last], heads)  # (H, L, Dh)
        scores = per_head @ split_heads(key[start:stop], heads).transpose(0, 2, 1) * scale  # (H, L, L)
        yield ops.softmax(scores, None if key_mask is None else key_mask[start:stop])


def split_heads(x, heads):
    """x (L, D) -> (H, L, D / H)."""
    return x.reshape(len(x), heads, -1).transpose(1, 0, 2)


@composition("linear", "gelu", capturable=True)
def linear_gelu(ops, x, *parameters):
    """x (M, K), weight (N, K), bias (N,) -> gelu of linear (M, N)."""
    return ops.gelu(ops.linear(x, *parameters))


@composition("linear", "gelu_tanh", capturable=True)
def linear_gelu_tanh(ops, x, *parameters):
    """x (M, K), weight (N, K), bias (N,) -> gelu_tanh of linear (M, N)."""
    return ops.gelu_tanh(ops.linear(x, *parameters))


@composition("linear", "relu", capturable=True)
def linear_relu(ops, x, *parameters):
    """x (M, K), weight (N, K), bias (N,) -> relu of linear (M, N)."""
    return ops.relu(ops.linear(x, *parameters))


@composition("linear", "silu", capturable=True)
def linear_silu(ops, x, *parameters):
    """x (M, K), weight (N, K), bias (N,) -> silu of linear (M, N)."""
    return ops.silu(ops.linear(x, *parameters))


@composition("linear")
def linear_add(ops, x, residual, *parameters):
    """x (M, K), residual (M, N), weight (N, K), bias (N,) -> residual + linear (M, N)."""
    return residual + ops.linear(x, *parameters)
