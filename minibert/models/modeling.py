"""The encoders without a head, by the names that `transformers` gave them.

Next: `classification.py`, heads that give a few numbers a sequence or a token; `language_modeling.py`, heads that give
one a word of the vocabulary; `auto.py`, the class that a configuration names.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..config import BertConfig, DistilBertConfig
from ..weights import linear_shapes
from .base import PreTrainedModel
from .heads import pool
from .outputs import BaseModelOutputWithPooling
from .packing import Packed


class DistilBertModel(PreTrainedModel):
    """The DistilBERT encoder: last_hidden_state (B, T, D)."""

    config_class = DistilBertConfig


class BertModel(PreTrainedModel):
    """The BERT encoder: last_hidden_state (B, T, D), and pooler_output (B, D) where the checkpoint has a pooler."""

    config_class = BertConfig
    output_class = BaseModelOutputWithPooling

    @classmethod
    def head_shapes(cls, config: BertConfig) -> dict[str, tuple[int, ...]]:
        return linear_shapes("pooler.dense", config.hidden_size, config.hidden_size)

    @classmethod
    def may_lack(cls, stored: Mapping, config: BertConfig) -> list[str]:
        pooler = list(cls.head_shapes(config))
        return [] if any(name in stored for name in pooler) else pooler

    def answer(self, packed: Packed, hidden: np.ndarray) -> dict[str, np.ndarray | None]:
        pooled = pool(hidden[packed.first], self.head, self.kernels) if self.head else None
        return {"last_hidden_state": packed.unpack(hidden), "pooler_output": pooled}
