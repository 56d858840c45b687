"""Attention in layers with a window, for training: `minibert/models/window_layers.py` with dropout, and its gradient.

`forward.py` and `backward.py` call it in the place of attention to all tokens. The formulas and their gradients are in
`kernels/sparse_attention.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minibert.kernels.sparse_attention import Block, block_attention, block_attention_grad, global_blocks, window_blocks

from ..models.packing import Packed

if TYPE_CHECKING:
    from .backward import Gradients
    from .forward import LayerRecord, Network

# Sites of dropout (`philox.DropoutSettings`): of layer i's attention to its window, and of its global tokens
WINDOW_ATTENTION, GLOBAL_ATTENTION = 1, 1 << 31


class GlobalRecord(NamedTuple):
    """What the backward pass of G global tokens reads."""

    rows: np.ndarray  # (G,) of the hidden states
    query: np.ndarray  # (G, D)
    key: np.ndarray  # (N, D)
    value: np.ndarray  # (N, D)


def attend_to_windows(
    hidden: np.ndarray, query_key_value: tuple[np.ndarray, np.ndarray, np.ndarray], packed: Packed, network: Network, index: int
) -> tuple[np.ndarray, GlobalRecord | None]:
    """hidden (N, D), its queries, keys and values (N, D) -> the context (N, D), and the record if a token is global."""
    ops, rate, (heads, window) = network.ops, network.rates.attention, sizes(network, index)
    settings = network.dropout_settings(rate, 3 * index + WINDOW_ATTENTION)
    if settings is None:
        query, key, value = query_key_value
        context = ops.window_attention(query, key, value, packed.bounds, packed.key_mask, heads, window, packed.global_mask)
    else:
        context = block_attention(ops, *query_key_value, blocks_of_windows(packed, window), heads, settings)
    if packed.global_mask is None:
        return context, None
    rows = np.flatnonzero(packed.global_mask)
    pairs = [network.pair(module) for module in global_modules(network, index)]
    record = GlobalRecord(rows, *(network.linear(x, *pair) for x, pair in zip((hidden[rows], hidden, hidden), pairs)))
    settings = network.dropout_settings(rate, GLOBAL_ATTENTION + index)
    blocks = global_blocks(rows, packed.bounds, packed.key_mask)
    context[rows] = block_attention(ops, record.query, record.key, record.value, blocks, heads, settings)
    return context, record


def windows_backward(
    grad: np.ndarray, record: LayerRecord, index: int, packed: Packed, network: Network, gradients: Gradients
) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """grad of the context (N, D) -> those of the queries, keys and values (N, D), and of hidden (N, D) as the input of the global
    tokens' projections."""
    ops, rate, (heads, window) = network.ops, network.rates.attention, sizes(network, index)
    hidden_grad, of_global = np.zeros_like(record.hidden), record.of_global
    if of_global is not None and packed.global_mask is not None:
        rows = of_global.rows
        settings = network.dropout_settings(rate, GLOBAL_ATTENTION + index)
        blocks = global_blocks(rows, packed.bounds, packed.key_mask)
        of_rows = of_global.query, of_global.key, of_global.value
        grads = block_attention_grad(ops, grad[rows], *of_rows, blocks, heads, settings)
        inputs = record.hidden[rows], record.hidden, record.hidden
        for module, projected_grad, x in zip(global_modules(network, index), grads, inputs):
            x_grad, *parameter_grads = ops.linear_grad(projected_grad, x, network.pair(module)[0])
            gradients.accumulate(module, *parameter_grads)
            hidden_grad[rows if x is inputs[0] else slice(None)] += x_grad
        grad = np.where(packed.global_mask[:, None], 0, grad)  # their contexts are not of the window
    settings = network.dropout_settings(rate, 3 * index + WINDOW_ATTENTION)
    projected = record.query, record.key, record.value
    return block_attention_grad(ops, grad, *projected, blocks_of_windows(packed, window), heads, settings), hidden_grad


def sizes(network: Network, index: int) -> tuple[int, int]:
    """The heads of a layer that has a window, and the window."""
    return network.arch.heads, network.arch.window_of(index) or 0


def blocks_of_windows(packed: Packed, window: int) -> Iterator[Block]:
    return window_blocks(packed.bounds, packed.key_mask, window, packed.global_mask)


def global_modules(network: Network, index: int) -> list[str]:
    return [network.names.of_layer(index, part) for part in network.names.global_parts]
