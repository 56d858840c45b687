"""A pooler, tanh of a linear layer on each sequence's first token, and what is built on it: BERT's and MPNet's."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..config import PreTrainedConfig
from .base import PreTrainedModel
from .checkpoint import linear_shapes
from .classification import SequenceClassifier
from .heads import classify_pooled, pool
from .losses import HeadLayer, linear_layer
from .outputs import BaseModelOutputWithPooling, ModelOutput
from .packing import Packed


def pooler_shapes(config: PreTrainedConfig) -> dict[str, tuple[int, ...]]:
    return linear_shapes("pooler.dense", config.architecture.width, config.architecture.width)


class ModelWithPooler(PreTrainedModel):
    """An encoder: last_hidden_state (B, T, D), and pooler_output (B, D) if the checkpoint has a pooler."""

    output_class: type[ModelOutput] = BaseModelOutputWithPooling

    @classmethod
    def head_shapes(cls, config: PreTrainedConfig) -> dict[str, tuple[int, ...]]:
        return pooler_shapes(config)

    @classmethod
    def optional_tensors(cls, stored: Mapping, config: PreTrainedConfig) -> list[str]:
        pooler = list(pooler_shapes(config))
        return [] if any(name in stored for name in pooler) else pooler

    def head_outputs(self, packed: Packed, hidden: np.ndarray) -> dict[str, np.ndarray]:
        outputs = {"last_hidden_state": packed.unpack(hidden)}
        if self.head:
            outputs["pooler_output"] = pool(hidden[packed.first], self.head, self.kernels)
        return outputs


class PooledClassifier(SequenceClassifier):
    """A linear classifier on the pooler: logits (B, labels)."""

    @classmethod
    def head_shapes(cls, config: PreTrainedConfig) -> dict[str, tuple[int, ...]]:
        return pooler_shapes(config) | linear_shapes("classifier", cls.num_outputs(config), config.architecture.width)

    @classmethod
    def head_layers(cls, config: PreTrainedConfig) -> tuple[HeadLayer, ...]:
        dropout = HeadLayer("dropout", rate=config.dropout_rates.sequence_head)
        return linear_layer("pooler.dense"), HeadLayer("tanh"), dropout, linear_layer("classifier")

    def head_outputs(self, packed: Packed, hidden: np.ndarray) -> dict[str, np.ndarray]:
        return {"logits": classify_pooled(hidden, self.head, self.kernels)}
