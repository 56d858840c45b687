"""The Auto classes: `AutoModelFor...from_pretrained(name)` is of the class that the checkpoint's configuration names."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

from minibert.kernels.catalog import make_ops

from .. import hub
from ..config import PreTrainedConfig
from ..errors import ConfigError, read_flag, strict_arguments
from . import classification, language_modeling, modeling
from .base import PreTrainedModel, config_for


class AutoClass:
    """The class of `classes` that a configuration's model_type names."""

    classes: Mapping[str, type[PreTrainedModel]] = {}

    @classmethod
    @strict_arguments
    def from_pretrained(cls, name: str | PathLike, *, config: PreTrainedConfig | None = None,
                        kernels: str | Mapping[str, str] = "auto", revision: str | None = None,
                        cache_dir: str | PathLike | None = None, token: str | bool | None = None,
                        local_files_only: bool = False, strict: bool = True, **overrides: Any):  # fmt: skip
        """As `PreTrainedModel.from_pretrained`, for whichever model type the checkpoint has."""
        strict = read_flag("strict", strict)
        make_ops(kernels)
        checkpoint = hub.locate(
            name, revision=revision, cache_dir=cache_dir, token=token, local_files_only=local_files_only
        )
        config = config_for(checkpoint, config, PreTrainedConfig, overrides)
        return cls.class_for(type(config)).from_checkpoint(checkpoint, config, kernels, strict)

    @classmethod
    @strict_arguments
    def from_config(cls, config: PreTrainedConfig, **options: Any):
        """A model with random weights."""
        return cls.class_for(type(config))(config, **options)

    @classmethod
    def class_for(cls, config_class: type[PreTrainedConfig]) -> type[PreTrainedModel]:
        model_type = getattr(config_class, "model_type", None)
        if model_type not in cls.classes:
            known = " or a ".join(made.config_class.__name__ for made in cls.classes.values())
            raise ConfigError(f"{cls.__name__} wants a {known}; got {config_class.__name__}.")
        return cls.classes[model_type]


class AutoModel(AutoClass):
    """An encoder without a head."""

    classes = {"bert": modeling.BertModel, "distilbert": modeling.DistilBertModel}


class AutoModelForSequenceClassification(AutoClass):
    """An encoder that labels texts."""

    classes = {
        "bert": classification.BertForSequenceClassification,
        "distilbert": classification.DistilBertForSequenceClassification,
    }


class AutoModelForTokenClassification(AutoClass):
    """An encoder that labels tokens."""

    classes = {
        "bert": classification.BertForTokenClassification,
        "distilbert": classification.DistilBertForTokenClassification,
    }


class AutoModelForQuestionAnswering(AutoClass):
    """An encoder that finds answers."""

    classes = {
        "bert": classification.BertForQuestionAnswering,
        "distilbert": classification.DistilBertForQuestionAnswering,
    }


class AutoModelForMultipleChoice(AutoClass):
    """An encoder that chooses among texts."""

    classes = {
        "bert": classification.BertForMultipleChoice,
        "distilbert": classification.DistilBertForMultipleChoice,
    }


class AutoModelForNextSentencePrediction(AutoClass):
    """An encoder that tells whether a sentence follows another."""

    classes = {"bert": classification.BertForNextSentencePrediction}


class AutoModelForMaskedLM(AutoClass):
    """An encoder that guesses masked words."""

    classes = {"bert": language_modeling.BertForMaskedLM, "distilbert": language_modeling.DistilBertForMaskedLM}


class AutoModelForPreTraining(AutoClass):
    """An encoder with the heads it was trained with; DistilBERT's is the one that guesses words."""

    classes = {"bert": language_modeling.BertForPreTraining, "distilbert": language_modeling.DistilBertForMaskedLM}
