"""The backward pass: `forward.py` from its last line to its first, each step by the gradient of its operation.

In every step, `grad` is the loss's gradient by what the forward step returned. A step reads its inputs from the record, adds
the gradients of its weights to `gradients`, and hands the gradient of its input to the step before it. Where a value was
used twice, as by a residual, its gradients are added. Next: `heads.py`, where the first `grad` comes from.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..models.packing import Packed
from ..models.relative_bias import relative_bias_grad
from .forward import ATTENTION, ATTENTION_OUT, EMBEDDINGS, FEED_FORWARD_OUT, EncoderRecord, LayerRecord, Network
from .lazy_rows import RowGradient, dense
from .window_layers import windows_backward


class Gradients(dict):
    """A tensor's name in a checkpoint -> the loss's gradient by it, of its shape; of the word embeddings, those of the rows
    that were read, a `RowGradient`, if nothing but the embedding reads them."""

    def accumulate(self, module: str, weight_grad: np.ndarray, bias_grad: np.ndarray) -> None:
        self.accumulate_tensor(f"{module}.weight", weight_grad)
        self.accumulate_tensor(f"{module}.bias", bias_grad)

    def accumulate_tensor(self, name: str, grad: np.ndarray | RowGradient) -> None:
        """Word embeddings that are tied to the decoder get two gradients."""
        if name in self:
            grad = self[name] + dense(grad)
        self[name] = grad


def encode_backward(
    grad: np.ndarray,
    record: EncoderRecord,
    packed: Packed,
    network: Network,
    gradients: Gradients,
    pad_token_id: Any = None,
    layer_grads: list[np.ndarray] | None = None,
) -> None:
    """grad of the hidden states (N, D) or (S, D) -> the gradients of the encoder's tensors, down to those that are frozen.
    `layer_grads` (N, D) are those of each layer's output, if the loss reads these too."""
    names, arch, ops = network.names, network.arch, network.ops
    if arch.windows is not None and len(grad) < len(record.embedded):  # of first tokens, and the last layer computed all
        grad = ops.take_grad(grad, packed.first, len(record.embedded))
    for index in reversed(range(network.frozen_layers or 0, arch.layers)):
        if layer_grads is not None:
            grad = grad + layer_grads[index]
        grad = layer_backward(grad, record.layers[index], index, packed, network, gradients)  # (N, D)
    if network.frozen_layers is not None:
        return
    if names.embedding_projection is not None and arch.embedding_width != arch.width:
        weight, _ = network.pair(names.embedding_projection)
        grad, *parameter_grads = ops.linear_grad(grad, record.embedded, weight)  # (N, E)
        gradients.accumulate(names.embedding_projection, *parameter_grads)
    grad = network.dropout(grad, network.rates.embeddings, EMBEDDINGS)
    rows, token_rows = np.unique(packed.token_ids, return_inverse=True)  # a batch reads few rows of many
    words, *tables = network.tables()
    ids = token_rows, packed.type_ids, packed.position_ids
    weight, _ = network.pair(names.embedding_norm)
    word_rows, types, positions, *norm_grads = ops.embed_grad(grad, *ids, (words[rows], *tables), weight, arch.eps)
    if type(pad_token_id) is int:
        word_rows[rows == pad_token_id] = 0  # PyTorch's padding_idx: training leaves this row as it is
    if arch.position_padding_id is not None:
        positions[arch.position_padding_id] = 0
    gradients.accumulate_tensor(f"{names.words}.weight", RowGradient(rows, word_rows, len(words)))
    gradients.accumulate_tensor(f"{names.positions}.weight", positions)
    if names.types:
        gradients.accumulate_tensor(f"{names.types}.weight", types)
    gradients.accumulate(names.embedding_norm, *norm_grads)


def layer_backward(
    grad: np.ndarray, record: LayerRecord, index: int, packed: Packed, network: Network, gradients: Gradients
) -> np.ndarray:
    """grad of a layer's output (A, D) -> of its input (N, D): the feed-forward first, then the attention."""
    names, arch, ops, rates = network.names, network.arch, network.ops, network.rates

    def norm_backward(grad: np.ndarray, x: np.ndarray, part: str) -> np.ndarray:
        module = names.of_layer(index, part)
        x_grad, *parameter_grads = ops.layer_norm_grad(grad, x, network.pair(module)[0], arch.eps)
        gradients.accumulate(module, *parameter_grads)
        return x_grad

    def linear_backward(grad: np.ndarray, x: np.ndarray, part: str) -> np.ndarray:
        module = names.of_layer(index, part)
        x_grad, *parameter_grads = ops.linear_grad(grad, x, network.pair(module)[0])
        gradients.accumulate(module, *parameter_grads)
        return x_grad

    sum_grad = norm_backward(grad, record.output_sum, "output_norm")  # (A, D)
    grad = network.dropout(sum_grad, rates.feed_forward_out, 3 * index + FEED_FORWARD_OUT)
    grad = linear_backward(grad, record.inner, "feed_forward_out")  # (A, F)
    grad = getattr(ops, f"{arch.activation}_grad")(grad, record.inner_sum)
    grad = sum_grad + linear_backward(grad, record.attended, "feed_forward_in")  # (A, D): the residual, and the way in

    sum_grad = norm_backward(grad, record.attention_sum, "attention_norm")
    grad = network.dropout(sum_grad, rates.attention_out, 3 * index + ATTENTION_OUT)
    grad = linear_backward(grad, record.context, "attention_out")
    query_input_grad, hidden_grad = attention_backward(grad, record, index, packed, network, gradients)
    query_input_grad = sum_grad + query_input_grad
    if record.query_rows is not None:
        query_input_grad = ops.take_grad(query_input_grad, record.query_rows, len(record.hidden))  # (N, D)
    return query_input_grad + hidden_grad


def attention_backward(
    grad: np.ndarray, record: LayerRecord, index: int, packed: Packed, network: Network, gradients: Gradients
) -> tuple[np.ndarray, np.ndarray]:
    """grad of the context (A, D) -> of query_input (A, D), and of hidden as keys' and values' input (N, D)."""
    if network.arch.windows is None:
        settings = network.dropout_settings(network.rates.attention, 3 * index + ATTENTION)
        inputs = record.query, record.key, record.value, packed.bounds, packed.key_mask, network.arch.heads
        grads, global_grad = network.ops.attention_grad(grad, *inputs, settings, record.bias), None
    else:
        grads, global_grad = windows_backward(grad, record, index, packed, network, gradients)
    if record.bias is not None:
        table_grad = relative_bias_grad(grads[3], network.arch.relative_buckets)
        gradients.accumulate_tensor(f"{network.names.relative_bias}.weight", table_grad)
    modules = [network.names.of_layer(index, part) for part in ("query", "key", "value")]
    weights = [network.pair(module)[0] for module in modules]
    query_input_grad, hidden_grad, *parameter_grads = network.ops.query_key_value_grad(
        grads[:3], record.query_input, record.hidden, *weights
    )
    for module, weight_grad, bias_grad in zip(modules, parameter_grads[::2], parameter_grads[1::2]):
        gradients.accumulate(module, weight_grad, bias_grad)
    return query_input_grad, hidden_grad if global_grad is None else hidden_grad + global_grad
