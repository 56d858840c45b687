"""Weights as code written for torch reads them: parameters that count themselves, and a table of embeddings that looks up."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError, read_flag, strict_arguments
from ..tensors import cpu_device, like
from .packing import as_integers, check_range


class Parameter(np.ndarray):
    """A weight, read-only: an array, with what code asks of torch's parameters before it computes anything."""

    def numel(self) -> int:
        return self.size

    nelement = numel

    def element_size(self) -> int:
        return self.itemsize

    @property
    def device(self) -> Any:
        return cpu_device()

    @property
    def is_cuda(self) -> bool:
        return False

    @property
    def requires_grad(self) -> bool:
        """True, as of a model of transformers that was just loaded: code counts the weights that can be trained by it."""
        return True

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if not read_flag("requires_grad", value):
            raise InputError(NO_FREEZING)

    def detach(self) -> Parameter:
        return self

    def cpu(self) -> Parameter:
        return self

    def numpy(self) -> np.ndarray:
        return np.asarray(self)


NO_FREEZING = (
    "a model's call computes no gradients, so there is nothing to switch off: leave it out. To train without the lower layers, "
    "pass freeze_layers to TrainingArguments or loss_and_gradients."
)


def read_only(array: np.ndarray) -> Parameter:
    """An array -> a Parameter that shares its memory."""
    parameter = array.view(Parameter)
    parameter.flags.writeable = False
    return parameter


class Embedding:
    """A table of embeddings: `table(ids)` (...) -> (..., E), tensors for tensors; `table.weight` (V, E)."""

    def __init__(self, weight: np.ndarray):
        self.weight = read_only(weight)
        self.num_embeddings, self.embedding_dim = weight.shape

    @strict_arguments
    def __call__(self, input_ids: Any) -> Any:
        ids = as_integers(input_ids, "input_ids")
        check_range(ids.ravel(), self.num_embeddings, "input_ids", "Was another model's tokenizer used?")
        return like(input_ids, self.weight.numpy()[ids])

    def __repr__(self) -> str:
        return f"Embedding({self.num_embeddings}, {self.embedding_dim})"


class Decoder(NamedTuple):
    """The last layer of a masked-LM head."""

    weight: Parameter  # (V, E)
    bias: Parameter  # (V,)
