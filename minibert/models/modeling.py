"""The model classes: an encoder, with or without a head, by the names that `transformers` gave them."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np

from minibert.kernels.registry import table

from .. import hub
from ..config import BertConfig, DistilBertConfig, PreTrainedConfig
from ..errors import ConfigError
from ..weights import linear_shapes
from .base import PreTrainedModel, config_for
from .heads import classify_bert, classify_distilbert, pool
from .outputs import BaseModelOutputWithPooling, SequenceClassifierOutput
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


class SequenceClassifier(PreTrainedModel):
    """An encoder with a classifier on each sequence's first token: logits (B, labels)."""

    output_class = SequenceClassifierOutput
    has_head = True

    @classmethod
    def may_lack(cls, stored: Mapping, config: PreTrainedConfig) -> list[str]:
        """A checkpoint that was not trained to classify has no classifier (in DistilBERT two layers of it), and BERT
        trained to guess words only has no pooler either."""
        head = list(cls.head_shapes(config))
        classifier = [name for name in head if not name.startswith("pooler.")]
        if any(name in stored for name in classifier):
            return []
        return classifier if any(name in stored for name in head) else head


class DistilBertForSequenceClassification(SequenceClassifier):
    """DistilBERT with a two-layer classifier."""

    config_class = DistilBertConfig

    @classmethod
    def head_shapes(cls, config: DistilBertConfig) -> dict[str, tuple[int, ...]]:
        before = linear_shapes("pre_classifier", config.dim, config.dim)
        return before | linear_shapes("classifier", config.num_labels, config.dim)

    def answer(self, packed: Packed, hidden: np.ndarray) -> dict[str, np.ndarray]:
        return {"logits": classify_distilbert(hidden[packed.first], self.head, self.kernels)}


class BertForSequenceClassification(SequenceClassifier):
    """BERT with a classifier on its pooler."""

    config_class = BertConfig

    @classmethod
    def head_shapes(cls, config: BertConfig) -> dict[str, tuple[int, ...]]:
        pooler = linear_shapes("pooler.dense", config.hidden_size, config.hidden_size)
        return pooler | linear_shapes("classifier", config.num_labels, config.hidden_size)

    def answer(self, packed: Packed, hidden: np.ndarray) -> dict[str, np.ndarray]:
        return {"logits": classify_bert(hidden[packed.first], self.head, self.kernels)}


class AutoClass:
    """The class of `classes` that a configuration's model_type names."""

    classes: Mapping[str, type[PreTrainedModel]] = {}

    @classmethod
    def from_pretrained(cls, name: str | PathLike, *, config: PreTrainedConfig | None = None,
                        kernels: str | Mapping[str, str] = "auto", revision: str | None = None,
                        cache_dir: str | PathLike | None = None, token: str | bool | None = None,
                        local_files_only: bool = False, **overrides: Any):  # fmt: skip
        """As `PreTrainedModel.from_pretrained`, for whichever model type the checkpoint has."""
        table(kernels)
        checkpoint = hub.locate(
            name, revision=revision, cache_dir=cache_dir, token=token, local_files_only=local_files_only
        )
        config = config_for(checkpoint, config, PreTrainedConfig, overrides)
        return cls.class_for(type(config)).from_checkpoint(checkpoint, config, kernels)

    @classmethod
    def from_config(cls, config: PreTrainedConfig, **options: Any):
        """A model with random weights."""
        return cls.class_for(type(config))(config, **options)

    @classmethod
    def class_for(cls, config_class: type[PreTrainedConfig]) -> type[PreTrainedModel]:
        model_type = getattr(config_class, "model_type", None)
        if model_type not in cls.classes:
            raise ConfigError(f"{cls.__name__} wants a BertConfig or a DistilBertConfig; got {config_class.__name__}.")
        return cls.classes[model_type]


class AutoModel(AutoClass):
    """An encoder without a head."""

    classes = {"bert": BertModel, "distilbert": DistilBertModel}


class AutoModelForSequenceClassification(AutoClass):
    """An encoder with a classifier."""

    classes = {"bert": BertForSequenceClassification, "distilbert": DistilBertForSequenceClassification}
