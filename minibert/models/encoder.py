"""The forward pass of BERT and its kin, from packed ids to hidden states, top to bottom.

    B batch   T tokens of a padded row   N packed tokens   S sequences   L tokens of one sequence
    D width   H heads   Dh = D / H       F feed-forward    V vocabulary   E width of the embeddings, usually D

All families are this one model. DistilBERT has no token types (a row of zeros takes their place); ELECTRA's embeddings
may be narrower than its hidden states (a linear layer follows them); MPNet's attention adds a bias for the distance of two
tokens; Longformer's sees a window (`window_layers.py`). `ops` is a table of operations, `Ops` in `kernels/catalog.py`, which lists each with its formula in
`kernels/reference.py` or `kernels/composed.py`; whether their compiled variants are in it changes no line here. Next:
`heads.py`, hidden states to logits.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import NamedTuple

import numpy as np

from minibert.kernels.catalog import Ops, variants
from minibert.kernels.composed import attention_probabilities
from minibert.kernels.registry import Composition, Variant

from ..config import Architecture
from ..errors import KernelError
from ..weights import drop_pages
from .checkpoint import EncoderNames
from .packing import Packed
from .quantized import QUANTIZED_LINEARS, packed_linear, word_table
from .query_masks import attention_by_sequence, probabilities_by_sequence, sequence_biases
from .relative_bias import bias_of_longest
from .window_layers import attend_to_windows


class Layer(NamedTuple):
    """One layer's parameters, as `ops.pack_weights` made them of its (out, in) weights."""

    query_key_value: tuple
    attention_out: tuple
    attention_norm: tuple
    feed_forward_in: tuple
    feed_forward_out: tuple
    output_norm: tuple
    window: int | None = None  # how many tokens away one sees; None: all of the sequence
    global_attention: tuple = ()  # of the tokens that see all, if there is a window
    global_tensors: tuple[np.ndarray, ...] = ()  # the same as they are in the checkpoint


class Encoder(NamedTuple):
    """All parameters of an encoder; `eps` is part of each norm's."""

    tables: tuple  # words (V, E), floats or an Int8Table; types, positions
    embedding_norm: tuple
    embedding_projection: tuple | None  # (D, E); None if the embeddings are of width D
    layers: list[Layer]
    heads: int
    linear_act: str  # the operation linear + activation
    takes_rounded: bool  # whether attention takes queries, keys and values in bf16, which it would round them to
    relative_bias: np.ndarray | None = None  # a table (buckets, H), if attention has a bias for the distance of two tokens


class Intermediates(NamedTuple):
    """Intermediate results that a caller requested: lists to be filled, or None."""

    hidden_states: list[np.ndarray] | None  # layers + 1 of (N, D)
    attentions: list[list[np.ndarray]] | None  # layers of S arrays (H, L, L); with windows, those of `window_layers.py`


NO_INTERMEDIATES = Intermediates(None, None)


def encode(
    packed: Packed, encoder: Encoder, ops: Ops, intermediates: Intermediates = NO_INTERMEDIATES, cls_only: bool = False
) -> np.ndarray:
    """Packed tokens -> the last layer's hidden states (N, D); with `cls_only`, those of each sequence's first token
    (S, D), for heads that read no others: of six layers that saves an eighth of all multiplications."""
    ids = packed.token_ids, packed.type_ids, packed.position_ids
    tables = encoder.tables if packed.words is None else (packed.words, *encoder.tables[1:])
    hidden = ops.embed(*ids, tables, *encoder.embedding_norm)  # (N, E)
    if encoder.embedding_projection is not None:
        hidden = ops.linear(hidden, *encoder.embedding_projection)  # (N, D)
    relative_bias = None if encoder.relative_bias is None else bias_of_longest(encoder.relative_bias, packed.bounds)
    bias: np.ndarray | list[np.ndarray] | None = relative_bias
    if packed.score_bias is not None:
        check_takes_bias(ops)
        bias = sequence_biases(packed.score_bias, relative_bias, encoder.heads)
    for layer_idx, layer in enumerate(encoder.layers):
        if intermediates.hidden_states is not None:
            intermediates.hidden_states.append(hidden)
        query_rows = packed.first if cls_only and layer_idx == len(encoder.layers) - 1 else None
        hidden = encode_layer(hidden, layer, packed, encoder, ops, intermediates, bias, query_rows)
    if intermediates.hidden_states is not None:
        intermediates.hidden_states.append(hidden)
    return hidden


def encode_layer(
    hidden: np.ndarray,
    layer: Layer,
    packed: Packed,
    encoder: Encoder,
    ops: Ops,
    intermediates: Intermediates,
    bias: np.ndarray | list[np.ndarray] | None,
    query_rows: np.ndarray | None = None,
) -> np.ndarray:
    """hidden (N, D), bias (H, L, L), a list of one for each sequence, or None -> (N, D): attention, then the feed-forward;
    each adds to what came in, and normalizes the sum.

    With `query_rows` (S,), one token of each sequence, -> those alone (S, D); the other tokens are only keys and values.
    """
    query_input = hidden if query_rows is None else ops.take(hidden, query_rows)
    if layer.window is not None:
        context = attend_to_windows(hidden, layer, packed, encoder.heads, ops, intermediates.attentions, query_rows)
    else:
        rounded = encoder.takes_rounded and intermediates.attentions is None and not isinstance(bias, list)
        query, key, value = ops.query_key_value(query_input, hidden, *layer.query_key_value, rounded=rounded)
        if isinstance(bias, list):
            context = attention_by_sequence(ops, query, key, value, packed.bounds, bias)
        else:
            biases = () if bias is None else (bias,)  # not every variant of attention takes one
            context = ops.attention(query, key, value, packed.bounds, packed.key_mask, encoder.heads, *biases)
        if intermediates.attentions is not None:
            intermediates.attentions.append(layer_probabilities(query, key, packed, encoder, ops, bias))
    hidden = ops.layer_norm(ops.linear_add(context, query_input, *layer.attention_out), *layer.attention_norm)

    linear_act = getattr(ops, encoder.linear_act)
    inner = linear_act(hidden, *layer.feed_forward_in)  # (N, F)
    return ops.layer_norm(ops.linear_add(inner, hidden, *layer.feed_forward_out), *layer.output_norm)


def layer_probabilities(
    query: np.ndarray, key: np.ndarray, packed: Packed, encoder: Encoder, ops: Ops, bias: np.ndarray | list[np.ndarray] | None
) -> list[np.ndarray]:
    """One layer's attention probabilities, for each sequence (H, L, L)."""
    if isinstance(bias, list):
        return list(probabilities_by_sequence(ops, query, key, packed.bounds, bias))
    return list(attention_probabilities(ops, query, key, packed.bounds, packed.key_mask, encoder.heads, bias))


def check_takes_bias(ops: Ops) -> None:
    """Raise KernelError if the chosen attention takes no bias, for the distance of two tokens or as a mask for each query."""
    if not takes_bias(ops.chosen["attention"]):
        names = [name for name, variant in variants("attention").items() if takes_bias(variant)]
        raise KernelError(
            "attention adds a bias here, for the distance of two tokens or as a mask for each query, so kernels must have one that "
            f"takes it: {', '.join(names)}; got {ops.names['attention']}."
        )


def takes_bias(attention: Variant | Composition) -> bool:
    code = attention.function.__code__
    return "bias" in code.co_varnames[: code.co_argcount]


def build_encoder(tensors: Mapping[str, np.ndarray], names: EncoderNames, arch: Architecture, ops: Ops) -> Encoder:
    """Tensors by their checkpoint names -> the encoder's parameters, prepared once for the chosen kernels."""

    def pair(module: str) -> tuple[np.ndarray, np.ndarray]:
        return tensors[f"{module}.weight"], tensors[f"{module}.bias"]

    def prepare(operation: str, *modules: str, reader: str = "") -> tuple:
        arrays = list(chain(*(pair(module) for module in modules)))
        prepared = ops.pack_weights(operation.format(activation=arch.activation), *arrays, reader=reader)
        for array in arrays:
            drop_pages(array)  # if the kernels packed them, they are in memory twice now
        return prepared

    def layer_linear(index: int, name: str, reader: str = "") -> tuple:
        """One linear layer's parameters: prepared, or as they are in the file of an int8 checkpoint."""
        outputs = arch.feed_forward if name == "feed_forward_in" else arch.width
        if packed := packed_linear(tensors, f"{names.layer.format(index)}.{name}", outputs):
            return packed
        parts, operation = QUANTIZED_LINEARS[name]
        return prepare(operation, *(names.of_layer(index, part) for part in parts), reader=reader)

    def global_linears(index: int) -> dict[str, tuple]:
        modules = [names.of_layer(index, part) for part in names.global_parts]
        if not modules:
            return {}
        arrays = chain(*(pair(module) for module in modules))
        return {"global_attention": prepare("global_attention", *modules), "global_tensors": tuple(arrays)}

    def norm(module: str) -> tuple:
        return (*pair(module), arch.eps)

    def build_layer(index: int) -> Layer:
        return Layer(
            query_key_value=layer_linear(index, "query_key_value"),
            attention_out=layer_linear(index, "attention_out"),
            attention_norm=norm(names.of_layer(index, "attention_norm")),
            feed_forward_in=layer_linear(index, "feed_forward_in", reader="linear_add"),
            feed_forward_out=layer_linear(index, "feed_forward_out"),
            output_norm=norm(names.of_layer(index, "output_norm")),
            window=arch.window_of(index),
            **global_linears(index),
        )

    if names.relative_bias:
        check_takes_bias(ops)
    types = tensors[f"{names.types}.weight"] if names.types else np.zeros((1, arch.embedding_width), np.float32)
    projection = None if arch.embedding_width == arch.width else names.embedding_projection
    return Encoder(
        tables=(word_table(tensors, names.words), types, tensors[f"{names.positions}.weight"]),
        embedding_norm=norm(names.embedding_norm),
        embedding_projection=None if projection is None else prepare("linear", projection),
        layers=[build_layer(index) for index in range(arch.layers)],
        heads=arch.heads,
        linear_act=f"linear_{arch.activation}",
        takes_rounded=ops.attention_takes_rounded(arch.width // arch.heads),
        relative_bias=tensors[f"{names.relative_bias}.weight"] if names.relative_bias else None,
    )
