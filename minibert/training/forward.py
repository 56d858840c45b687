"""The forward pass of training: the steps of `minibert/models/encoder.py` in the same order, with dropout, keeping what the
backward pass reads. The axes' letters are explained there. Next: `backward.py`, the same steps in reverse.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from minibert.kernels.catalog import TrainingOps
from minibert.kernels.philox import DropoutSettings

from ..config import Architecture, DropoutRates
from ..models.checkpoint import EncoderNames
from ..models.packing import Packed
from ..models.relative_bias import bias_of_longest
from .window_layers import GlobalRecord, attend_to_windows

# Which of a model's dropouts it is: `site` in `philox.DropoutSettings`. Those of layer i are 3 i further, a head's are last.
EMBEDDINGS, ATTENTION, ATTENTION_OUT, FEED_FORWARD_OUT = 0, 1, 2, 3


class DropoutKey(NamedTuple):
    """What the zeros of a step depend on."""

    seed: int
    step: int


class Network(NamedTuple):
    """What both passes read: tensors by their names in a checkpoint, and what they are to each other."""

    parameters: Mapping[str, np.ndarray]
    names: EncoderNames
    arch: Architecture
    ops: TrainingOps
    rates: DropoutRates
    dropout_key: DropoutKey | None  # None: no dropout
    frozen_layers: int | None = None  # the embeddings and so many layers get no gradient; None: everything does

    def pair(self, module: str) -> tuple[np.ndarray, np.ndarray]:
        return self.parameters[f"{module}.weight"], self.parameters[f"{module}.bias"]

    def linear(self, x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
        return self.ops.linear(x, *self.ops.pack_weights("linear", weight, bias))

    def dropout_settings(self, rate: float, site: int) -> DropoutSettings | None:
        """None if this dropout changes nothing."""
        if self.dropout_key is None or rate == 0:
            return None
        return DropoutSettings(rate, self.dropout_key.seed, self.dropout_key.step, site)

    def dropout(self, x: np.ndarray, rate: float, site: int) -> np.ndarray:
        """x (M, K), or a gradient of it -> the same with its zeros."""
        settings = self.dropout_settings(rate, site)
        return x if settings is None else self.ops.dropout(x, settings)

    def tables(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Words (V, E), types, positions; a row of zeros for types if the family has none."""
        words = self.parameters[f"{self.names.words}.weight"]
        types = self.parameters[f"{self.names.types}.weight"] if self.names.types else np.zeros_like(words[:1])
        return words, types, self.parameters[f"{self.names.positions}.weight"]

    def relative_bias(self, packed: Packed) -> np.ndarray | None:
        """The bias (H, L, L) for the longest sequence, or None."""
        if not self.names.relative_bias:
            return None
        return bias_of_longest(self.parameters[f"{self.names.relative_bias}.weight"], packed.bounds)


class LayerRecord(NamedTuple):
    """What one layer's backward pass reads, in the order it was computed. A is N, or S in a last layer that computes each
    sequence's first token alone."""

    hidden: np.ndarray  # (N, D)
    query_rows: np.ndarray | None  # (S,)
    query_input: np.ndarray  # (A, D)
    query: np.ndarray  # (A, D)
    key: np.ndarray  # (N, D)
    value: np.ndarray  # (N, D)
    bias: np.ndarray | None  # (H, L, L) for the distance of two tokens, if the family has one; the same in all layers
    context: np.ndarray  # (A, D)
    attention_sum: np.ndarray  # (A, D): the attention's output and what came in, before the norm
    attended: np.ndarray  # (A, D): after it
    inner_sum: np.ndarray  # (A, F): before the activation
    inner: np.ndarray  # (A, F): after it
    output_sum: np.ndarray  # (A, D): before the norm
    of_global: GlobalRecord | None = None  # of tokens that see all, if the layer has a window


class EncoderRecord(NamedTuple):
    embedded: np.ndarray  # (N, E), after dropout
    layers: list[LayerRecord]


def encode_for_training(packed: Packed, network: Network, cls_only: bool) -> tuple[np.ndarray, EncoderRecord]:
    """Packed tokens -> the last layer's hidden states (N, D), with `cls_only` those of each sequence's first token (S, D);
    and the record that `backward.encode_backward` takes."""
    names, arch, ops = network.names, network.arch, network.ops
    ids = packed.token_ids, packed.type_ids, packed.position_ids
    embedded = ops.embed(*ids, network.tables(), *network.pair(names.embedding_norm), arch.eps)  # (N, E)
    hidden = embedded = network.dropout(embedded, network.rates.embeddings, EMBEDDINGS)
    if names.embedding_projection is not None and arch.embedding_width != arch.width:
        hidden = network.linear(embedded, *network.pair(names.embedding_projection))  # (N, D)
    bias, records, has_windows = network.relative_bias(packed), [], arch.windows is not None
    for index in range(arch.layers):
        query_rows = packed.first if cls_only and index == arch.layers - 1 and not has_windows else None
        hidden, record = encode_layer(hidden, index, packed, network, bias, query_rows)
        records.append(record)
    return hidden[packed.first] if cls_only and has_windows else hidden, EncoderRecord(embedded, records)


def encode_layer(
    hidden: np.ndarray, index: int, packed: Packed, network: Network, bias: np.ndarray | None, query_rows: np.ndarray | None
) -> tuple[np.ndarray, LayerRecord]:
    """hidden (N, D) -> (N, D), or of each sequence's first token (S, D); and what the backward pass reads."""
    names, arch, ops, rates = network.names, network.arch, network.ops, network.rates
    weights = [array for part in ("query", "key", "value") for array in network.pair(names.of_layer(index, part))]
    query_input = hidden if query_rows is None else ops.take(hidden, query_rows)
    query, key, value = ops.query_key_value(query_input, hidden, *ops.pack_weights("query_key_value", *weights))
    of_global = None
    if arch.windows is None:
        context = attention(query, key, value, packed, network, index, bias)
    else:
        context, of_global = attend_to_windows(hidden, (query, key, value), packed, network, index)

    output = network.linear(context, *network.pair(names.of_layer(index, "attention_out")))
    attention_sum = query_input + network.dropout(output, rates.attention_out, 3 * index + ATTENTION_OUT)
    attended = ops.layer_norm(attention_sum, *network.pair(names.of_layer(index, "attention_norm")), arch.eps)

    inner_sum = network.linear(attended, *network.pair(names.of_layer(index, "feed_forward_in")))  # (A, F)
    inner = getattr(ops, arch.activation)(inner_sum)
    output = network.linear(inner, *network.pair(names.of_layer(index, "feed_forward_out")))
    output_sum = attended + network.dropout(output, rates.feed_forward_out, 3 * index + FEED_FORWARD_OUT)
    attended_record = hidden, query_rows, query_input, query, key, value, bias, context, attention_sum, attended
    record = LayerRecord(*attended_record, inner_sum, inner, output_sum, of_global)
    return ops.layer_norm(output_sum, *network.pair(names.of_layer(index, "output_norm")), arch.eps), record


def attention(
    query: np.ndarray, key: np.ndarray, value: np.ndarray, packed: Packed, network: Network, index: int, bias: np.ndarray | None
) -> np.ndarray:
    """The attention of one layer, with dropout of its probabilities if there is any."""
    inputs = query, key, value, packed.bounds, packed.key_mask, network.arch.heads
    settings = network.dropout_settings(network.rates.attention, 3 * index + ATTENTION)
    if settings is None:
        return network.ops.attention(*inputs, bias)
    return network.ops.attention_dropout(*inputs, settings, bias)
