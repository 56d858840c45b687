"""Heads in training: hidden states -> logits -> loss, and the gradient of the hidden states back.

A head is a chain of layers (`minibert/models/losses.py`), so its backward pass is the same chain in reverse. It reads only
the rows of which its loss is made: each sequence's first token, or the tokens that have a label. Next: `gradients.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import InputError
from ..models.labels import as_labels, position_labels, token_labels
from ..models.losses import OF_TOKENS, HeadLayer, LossHead, LossOptions, loss_and_grad, tokens_of_loss
from ..models.packing import Packed
from .backward import Gradients
from .forward import Network


def head_forward(
    x: np.ndarray, layers: tuple[HeadLayer, ...], network: Network, site: int
) -> tuple[np.ndarray, list[np.ndarray]]:
    """x (R, D) -> logits (R, C), and each layer's input."""
    inputs = []
    for index, layer in enumerate(layers):
        inputs.append(x)
        if layer.operation == "linear":
            x = network.linear(x, network.parameters[layer.weight], network.parameters[layer.bias])
        elif layer.operation == "layer_norm":
            x = network.ops.layer_norm(x, network.parameters[layer.weight], network.parameters[layer.bias], network.arch.eps)
        elif layer.operation == "dropout":
            x = network.dropout(x, layer.rate, site + index)
        else:
            x = getattr(network.ops, layer.operation)(x)
    return x, inputs


def head_backward(
    grad: np.ndarray, inputs: list, layers: tuple[HeadLayer, ...], network: Network, site: int, gradients: Gradients
) -> np.ndarray:
    """grad of the logits (R, C) -> of x (R, D)."""
    for index, layer in reversed(list(enumerate(layers))):
        x = inputs[index]
        if layer.operation in ("linear", "layer_norm"):
            eps = (network.arch.eps,) if layer.operation == "layer_norm" else ()
            operation = getattr(network.ops, f"{layer.operation}_grad")
            grad, weight_grad, bias_grad = operation(grad, x, network.parameters[layer.weight], *eps)
            gradients.accumulate_tensor(layer.weight, weight_grad)
            gradients.accumulate_tensor(layer.bias, bias_grad)
        elif layer.operation == "dropout":
            grad = network.dropout(grad, layer.rate, site + index)
        else:
            grad = getattr(network.ops, f"{layer.operation}_grad")(grad, x)
    return grad


class TrainingHead:
    """One head of a batch: its labels, read before the forward pass, and the rows of hidden states that it needs."""

    def __init__(
        self, head: LossHead, model: Any, labels: Mapping[str, Any], packed: Packed, cls_only: bool, shares: Mapping[str, float]
    ) -> None:
        """`cls_only`: whether the hidden states are those of each sequence's first token. `shares`: factors of the losses, by
        the names of their labels; one of 0 is not computed."""
        self.shares = [head.share * shares[name] for name in head.labels]
        self.head, self.config, self.packed = head, model.config, packed
        self.labels = [as_labels(name, labels[name]) for name in head.labels]
        self.rows: np.ndarray | None = None  # of the packed tokens; None: all
        self.read: np.ndarray | None = None  # (B, T) bool: the tokens that have a label, if each token may
        token_mask = tokens_of_loss(head.form, packed.token_mask, packed.key_mask)
        if head.form == "position":
            self.labels = [position_labels(name, values, token_mask) for name, values in zip(head.labels, self.labels)]
        elif head.form in OF_TOKENS:
            of_tokens, self.read = token_labels(head.form, head.labels[0], self.labels[0], token_mask)
            self.labels, self.rows = [of_tokens], np.flatnonzero(self.read[packed.token_mask])
        elif not cls_only:
            self.rows = packed.first

    def run(
        self, hidden: np.ndarray, network: Network, site: int, options: LossOptions, gradients: Gradients
    ) -> tuple[float, np.ndarray]:
        """hidden (N, D), or (S, D) of first tokens -> the loss, and the gradient of hidden."""
        x = hidden if self.rows is None else network.ops.take(hidden, self.rows)
        logits, inputs = head_forward(x, self.head.layers, network, site)
        loss, grad = self.loss(logits, options)
        grad = head_backward(grad, inputs, self.head.layers, network, site, gradients)
        return loss, grad if self.rows is None else network.ops.take_grad(grad, self.rows, len(hidden))

    def loss(self, logits: np.ndarray, options: LossOptions) -> tuple[float, np.ndarray]:
        """logits (R, C) -> the loss, and their gradient (R, C)."""
        if self.read is not None and options.teacher_logits is not None:
            options = options._replace(teacher_logits=rows_of_teacher(options.teacher_logits, self.read))
        losses, grads = [], []
        for name, share, labels, values in zip(self.head.labels, self.shares, self.labels, self.split(logits)):
            loss, grad = 0.0, np.zeros_like(values)
            if share:
                loss, grad = loss_and_grad(self.head.form, self.config, name, values, labels, options)
            losses.append(share * loss)
            grads.append(share * grad)
        return sum(losses), self.join(grads).astype(logits.dtype, copy=False).reshape(logits.shape)

    def split(self, logits: np.ndarray) -> list[np.ndarray]:
        """The head's logits (R, C), in the shape that each of its losses takes."""
        if self.head.form == "choice":
            return [logits.reshape(-1, self.packed.choices)]  # (B, C)
        if self.head.form == "replaced":
            return [logits[:, 0]]
        if self.head.form != "position":
            return [logits]
        padded = np.full((2, *self.packed.token_mask.shape), -np.inf, logits.dtype)  # (2, B, T)
        padded[:, self.packed.token_mask] = logits.T
        return list(padded)

    def join(self, grads: list[np.ndarray]) -> np.ndarray:
        """The gradients of what `split` returned -> of the logits."""
        if self.head.form != "position":
            return grads[0]
        return np.stack([grad[self.packed.token_mask] for grad in grads], axis=1)  # (N, 2)


def rows_of_teacher(logits: np.ndarray, read: np.ndarray) -> np.ndarray:
    """A teacher's logits (B, T, C) -> those of the tokens that have a label (R, C)."""
    if logits.shape[:2] != read.shape:
        raise InputError(f"teacher_logits must be of shape (B, T, C), B and T {read.shape}; got {logits.shape}.")
    return logits[read]
