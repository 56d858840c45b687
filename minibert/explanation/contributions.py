"""A logit as an exact sum over all that was added up on its way: embeddings, heads, feed-forwards and biases.

What a token's hidden state is in the end, it is by additions: an embedding, then what each head and each feed-forward of each
layer adds, and biases. Between them stand norms, and the head's activations. If a norm's divisor √(variance + eps), and the
factor f(z) / z of each activation f, are held at the values that they have for this text, what is left is linear, so that the
logit is the sum of what each part gives alone. (What a part did to the divisors and to later layers is not in its share.)

The sum is taken backwards: g, the held-linear map from here to the logit, is a vector, and a part's share is its product with
g. Everything is computed in float64 from the steps of `model.intermediates`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..kernels import reference
from ..models.base import PreTrainedModel
from .targets import Target

F64 = np.float64


class Contributions(NamedTuple):
    names: list[str]  # of P parts, in the order of the forward pass
    values: np.ndarray  # (P,)
    head_tokens: np.ndarray  # (layers, H, T): a head's share, by the token that it read


class Shares:
    """The parts of one logit, collected from the last to the first."""

    def __init__(self, model: PreTrainedModel, steps: Mapping[str, Any], target: Target) -> None:
        self.tensors, self.names, self.arch = model.tensors, model.encoder_names, model.architecture
        self.layers = model.loss_heads(model.config)[0].layers
        self.steps, self.target = steps, target
        self.parts: list[tuple[str, float]] = []
        self.head_tokens: list[np.ndarray] = []

    def tensor(self, name: str) -> np.ndarray:
        return self.tensors[name].astype(F64)

    def step(self, name: str) -> np.ndarray:
        """The step's array at the target's token."""
        return self.steps[name].array[0, self.target.row].astype(F64)

    def add(self, name: str, part: np.ndarray, g: np.ndarray) -> None:
        self.parts.append((name, float(part @ g)))

    def norm(self, g: np.ndarray, x: np.ndarray, module: str, name: str) -> np.ndarray:
        """g of a norm's output -> of its input x, with the divisor held."""
        self.add(f"{name}.bias", self.tensor(f"{module}.bias"), g)
        scaled = g * self.tensor(f"{module}.weight") / np.sqrt(x.var() + self.arch.eps)
        return scaled - scaled.mean()

    def linear(self, g: np.ndarray, module: str, name: str) -> np.ndarray:
        """g of a linear layer's output -> of its input."""
        self.add(f"{name}.bias", self.tensor(f"{module}.bias"), g)
        return g @ self.tensor(f"{module}.weight")

    def head(self) -> np.ndarray:
        """-> g of the last hidden state (D,)."""
        x, inputs = self.step(f"layer.{self.arch.layers - 1}.output_norm"), []
        layers = [layer for layer in self.layers if layer.operation != "dropout"]
        for layer in layers[:-1]:
            inputs.append(x)
            if layer.operation == "linear":
                x = self.tensor(layer.weight) @ x + self.tensor(layer.bias)
            elif layer.operation == "layer_norm":
                x = reference.layer_norm(x[None], self.tensor(layer.weight), self.tensor(layer.bias), self.arch.eps)[0]
            else:
                x = getattr(reference, layer.operation)(x)
        last = layers[-1]
        self.parts.append(("head.output.bias", float(self.tensors[last.bias][self.target.column])))
        g = self.tensors[last.weight][self.target.column].astype(F64)
        for index, layer in reversed(list(enumerate(layers[:-1]))):
            module, name = layer.weight.removesuffix(".weight"), f"head.{index}"
            if layer.operation == "linear":
                g = self.linear(g, module, name)
            elif layer.operation == "layer_norm":
                g = self.norm(g, inputs[index], module, name)
            else:
                g = g * held_factor(layer.operation, inputs[index])
        return g

    def layer(self, g: np.ndarray, index: int) -> np.ndarray:
        """g of a layer's output -> of what came in along the residual."""
        stem = f"layer.{index}"
        g = self.norm(g, self.step(f"{stem}.output_sum"), self.names.of_layer(index, "output_norm"), f"{stem}.output_norm")
        inner = self.step(f"{stem}.feed_forward_in.{self.arch.activation}")
        through = self.linear(g, self.names.of_layer(index, "feed_forward_out"), f"{stem}.feed_forward_out")
        self.add(f"{stem}.feed_forward", inner, through)
        module = self.names.of_layer(index, "attention_norm")
        g = self.norm(g, self.step(f"{stem}.attention_sum"), module, f"{stem}.attention_norm")
        through = self.linear(g, self.names.of_layer(index, "attention_out"), f"{stem}.attention_out")
        values = self.steps[f"{stem}.value"].array[0].astype(F64)  # (T, D)
        shares = (values * through).reshape(len(values), self.arch.heads, -1).sum(axis=2).T  # (H, T)
        self.head_tokens.append(shares * self.steps[f"{stem}.attention"].array[0, :, self.target.row].astype(F64))
        of_heads = enumerate(self.head_tokens[-1].sum(axis=1))
        self.parts += [(f"{stem}.head.{head}", float(share)) for head, share in reversed(list(of_heads))]
        return g

    def embeddings(self, g: np.ndarray) -> None:
        if "embeddings.projection" in self.steps:
            g = self.linear(g, str(self.names.embedding_projection), "embeddings.projection")
        g = self.norm(g, self.step("embeddings.sum"), self.names.embedding_norm, "embeddings.norm")
        for name in ("types", "positions", "words"):
            if f"embeddings.{name}" in self.steps:
                self.add(f"embeddings.{name}", self.step(f"embeddings.{name}"), g)


def contributions(model: PreTrainedModel, steps: Mapping[str, Any], target: Target) -> Contributions:
    """A model, the steps of one text and a logit of its -> the parts whose sum it is."""
    shares = Shares(model, steps, target)
    g = shares.head()
    for index in reversed(range(model.architecture.layers)):
        g = shares.layer(g, index)
    shares.embeddings(g)
    names, values = zip(*reversed(shares.parts))
    return Contributions(list(names), np.array(values), np.stack(shares.head_tokens[::-1]))


def held_factor(activation: str, z: np.ndarray) -> np.ndarray:
    """f(z) / z, and 0 where z is 0, for f(0) is 0 there."""
    return np.divide(getattr(reference, activation)(z), z, out=np.zeros_like(z), where=z != 0)
