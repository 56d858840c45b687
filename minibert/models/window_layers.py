"""Attention in layers with a window: `encoder.py` calls it in the place of attention to all tokens.

A context is computed for each token over its window and the global tokens, then for each global token over all tokens, with
projections of its own. The formulas are in `kernels/sparse_attention.py`. Such a pass is not captured (`graph_cache.py`): it
reads results.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minibert.kernels.catalog import Ops
from minibert.kernels.reference import linear
from minibert.kernels.sparse_attention import block_probabilities, global_blocks, window_blocks

from ..errors import InputError
from .packing import Packed, as_array

if TYPE_CHECKING:
    from .encoder import Layer


class Masks(NamedTuple):
    """What a call has in the place of its attention_mask, if it has a global_attention_mask too."""

    attention: Any
    global_attention: Any


def with_global_mask(model: Any, attention_mask: Any, global_attention_mask: Any) -> Any:
    """What `model.pack` takes as its attention_mask. InputError for a global mask and a family that has no windows."""
    if global_attention_mask is None:
        return attention_mask
    if model.architecture.windows is None:
        raise InputError(
            f"global_attention_mask is of models with windows, such as Longformer; each token of a {type(model).__name__} sees "
            "all. Leave it out."
        )
    return Masks(attention_mask, global_attention_mask)


def read_global_mask(values: Any, shape: tuple[int, ...], packed: Packed) -> np.ndarray:
    """A caller's global_attention_mask, which must have the inputs' shape -> which packed tokens are global (N,) bool."""
    mask = as_array(values, "global_attention_mask")
    if mask.shape != shape:
        raise InputError(f"global_attention_mask must have the shape of input_ids, {shape}; got {mask.shape}.")
    if mask.dtype.kind not in "biuf" or not np.isin(mask, (0, 1)).all():
        raise InputError(
            "global_attention_mask must hold 1 for a token with global attention and 0 for others; got other values."
        )
    return mask.astype(bool).reshape(packed.token_mask.shape)[packed.token_mask]


class WindowProbabilities(NamedTuple):
    """One layer's attention probabilities, padded, as transformers lays them out. X is the most global tokens of a row, W the
    window on each side."""

    local: np.ndarray  # (B, H, T, X + 2 W + 1): of each token for the global ones, then for those W before to W after it
    of_global: np.ndarray  # (B, H, T, X): of the global tokens for each token


def attend_to_windows(
    hidden: np.ndarray,
    layer: Layer,
    packed: Packed,
    heads: int,
    ops: Ops,
    attentions: list | None,
    query_rows: np.ndarray | None,
) -> np.ndarray:
    """hidden (N, D) -> the context (N, D); with `query_rows` (S,), each sequence's first token, of those alone (S, D)."""
    global_mask, places, window = packed.global_mask, (packed.bounds, packed.key_mask, heads), layer.window or 0
    if query_rows is not None and global_mask is not None and global_mask[query_rows].all():
        return ops.global_attention(hidden, query_rows, *places, *layer.global_attention)  # no other projection is read
    query, key, value = ops.query_key_value(hidden, hidden, *layer.query_key_value)
    context = ops.window_attention(query, key, value, *places, window, global_mask)
    if global_mask is not None:
        rows = np.flatnonzero(global_mask)
        context[rows] = ops.global_attention(hidden, rows, *places, *layer.global_attention)
    if attentions is not None:
        attentions.append(window_probabilities(hidden, query, key, layer, packed, heads, ops))
    return context if query_rows is None else context[query_rows]


def window_probabilities(
    hidden: np.ndarray, query: np.ndarray, key: np.ndarray, layer: Layer, packed: Packed, heads: int, ops: Ops
) -> WindowProbabilities:
    """hidden, query, key (N, D) -> the layer's probabilities. All keys of a local query are in its window or global."""
    bounds, window, global_mask = packed.bounds, layer.window or 0, packed.global_mask
    is_global = np.zeros(len(hidden), bool) if global_mask is None else global_mask
    rows, first_rows = np.flatnonzero(is_global), np.searchsorted(np.flatnonzero(is_global), bounds)
    most = int(np.diff(first_rows).max(initial=0))
    batch, tokens = packed.token_mask.shape
    local = np.zeros((batch, heads, tokens, most + 2 * window + 1), np.float32)
    for block in window_blocks(bounds, packed.key_mask, window, global_mask):
        probabilities = block_probabilities(ops, query, key, block, heads)  # (H, Q, K)
        queries = np.arange(block.queries.start, block.queries.stop)
        row = int(np.searchsorted(bounds, queries[0], side="right")) - 1
        columns = np.where(is_global[block.keys], 0, most + window) + block.keys - queries[:, None]  # (Q, K)
        columns[:, is_global[block.keys]] = np.arange(is_global[block.keys].sum())
        q, k = np.nonzero(block.visible & ~is_global[queries, None])
        local[row][:, queries[q] - bounds[row], columns[q, k]] = probabilities[:, q, k]
    of_global = np.zeros((batch, heads, tokens, most), np.float32)
    if most:
        query_weight, query_bias, key_weight, key_bias = layer.global_tensors[:4]
        queries, keys = linear(hidden[rows], query_weight, query_bias), linear(hidden, key_weight, key_bias)
        for block in global_blocks(rows, bounds, packed.key_mask):
            row = int(np.searchsorted(first_rows, block.queries.start, side="right")) - 1
            probabilities = block_probabilities(ops, queries, keys, block, heads)  # (H, G, L)
            of_global[row][:, : probabilities.shape[2], : probabilities.shape[1]] = probabilities.transpose(0, 2, 1)
    return WindowProbabilities(local, of_global)
