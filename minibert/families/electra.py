"""ELECTRA: its configuration, the names in its checkpoints, its classes.

"ELECTRA: Pre-training Text Encoders as Discriminators Rather Than Generators", https://arxiv.org/abs/2003.10555. A
small generator fills in masked words; the discriminator, which other tasks start from, finds the words that it replaced.
Both are BERT's encoder, but their embeddings may be narrower than their hidden states: a linear layer follows them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..config import Architecture, PreTrainedConfig
from ..errors import ConfigError, short_repr
from ..models.base import ModelWithHead, PreTrainedModel
from ..models.checkpoint import linear_shapes
from ..models.classification import DenseClassifier, MultipleChoice, QuestionAnswerer, SequenceClassifier, TokenClassifier
from ..models.config_fields import FIELDS, BertFieldsConfig
from ..models.language_modeling import MaskedLM, MaskedLMNames
from ..models.losses import HeadLayer, LossHead, linear_layer
from ..models.outputs import ElectraForPreTrainingOutput
from ..models.packing import Packed
from .bert import NAMES as BERT_NAMES


class ElectraConfig(BertFieldsConfig):
    """ELECTRA's configuration; the defaults are electra-small-discriminator's."""

    model_type = "electra"
    defaults = {
        **FIELDS,
        "classifier_dropout": None,
        "embedding_size": 128,
        "hidden_size": 256,
        "intermediate_size": 1024,
        "num_attention_heads": 4,
        "pad_token_id": 0,
        "summary_activation": "gelu",  # these of ElectraForMultipleChoice
        "summary_last_dropout": 0.1,
        "summary_type": "first",
        "summary_use_proj": True,
        "type_vocab_size": 2,
        "vocab_size": 30522,
    }
    sizes = ("embedding_size", *BertFieldsConfig.sizes)

    @property
    def architecture(self) -> Architecture:
        return super().architecture._replace(embedding_width=self.embedding_size)


NAMES = BERT_NAMES._replace(
    prefix="electra.",
    embedding_projection="embeddings_project",
    pooler=None,
    heads=("discriminator_predictions.", "generator_predictions.", "generator_lm_head.", "sequence_summary."),
)


class ElectraModel(PreTrainedModel):
    """The ELECTRA encoder: last_hidden_state (B, T, D)."""

    config_class = ElectraConfig
    encoder_names = NAMES


class ElectraForSequenceClassification(DenseClassifier):
    """ELECTRA with a two-layer classifier on the first token: logits (B, labels)."""

    config_class = ElectraConfig
    encoder_names = NAMES
    dense, activation, projection = "classifier.dense", "gelu", "classifier.out_proj"
    drops_input = True


class ElectraForMultipleChoice(MultipleChoice, SequenceClassifier):
    """ELECTRA that chooses among texts: first token -> projection -> activation -> logit."""

    config_class = ElectraConfig
    encoder_names = NAMES

    @classmethod
    def head_shapes(cls, config: PreTrainedConfig) -> dict[str, tuple[int, ...]]:
        check_summary(config)
        width = config.hidden_size
        projection = linear_shapes("sequence_summary.summary", width, width) if config.summary_use_proj else {}
        return projection | linear_shapes("classifier", 1, width)

    @classmethod
    def head_layers(cls, config: PreTrainedConfig) -> tuple[HeadLayer, ...]:
        activation = summary_activation(config)
        return (
            HeadLayer("dropout", rate=getattr(config, "summary_first_dropout", 0.0)),
            *([linear_layer("sequence_summary.summary")] if config.summary_use_proj else []),
            *([HeadLayer(activation)] if activation else []),
            HeadLayer("dropout", rate=config.summary_last_dropout),
            linear_layer("classifier"),
        )

    def head_outputs(self, packed: Packed, hidden: np.ndarray) -> dict[str, np.ndarray]:
        ops, activation = self.kernels, summary_activation(self.config)
        if self.config.summary_use_proj:
            hidden = ops.linear(hidden, *self.head["sequence_summary.summary"])
        if activation is not None:
            hidden = getattr(ops, activation)(hidden)
        return {"logits": ops.linear(hidden, *self.head["classifier"])}


def check_summary(config: PreTrainedConfig) -> None:
    """ConfigError for a summary of a sequence that this head does not compute."""
    if config.summary_type != "first":
        raise ConfigError(f"summary_type must be 'first', the first token's; got {short_repr(config.summary_type)}.")
    if type(config.summary_use_proj) is not bool:
        raise ConfigError(f"summary_use_proj must be True or False; got {short_repr(config.summary_use_proj)}.")
    if getattr(config, "summary_proj_to_labels", False):
        raise ConfigError(
            "summary_proj_to_labels must be False, for the classifier takes a summary of the model's width; got "
            f"{short_repr(config.summary_proj_to_labels)}."
        )
    summary_activation(config)


def summary_activation(config: PreTrainedConfig) -> str | None:
    """The operation between the summary and the classifier, if there is one."""
    name: Any = config.summary_activation
    if name is None or name in ("", "linear"):
        return None
    return "tanh" if name == "tanh" else config.activation_named(name)


class ElectraForTokenClassification(TokenClassifier):
    """ELECTRA with a classifier on every token."""

    config_class = ElectraConfig
    encoder_names = NAMES


class ElectraForQuestionAnswering(QuestionAnswerer):
    """ELECTRA that finds answers."""

    config_class = ElectraConfig
    encoder_names = NAMES


class ElectraForPreTraining(ModelWithHead):
    """The discriminator: logits (B, T), above 0 for a token that it takes for a replaced one; zeros at padding."""

    config_class = ElectraConfig
    encoder_names = NAMES
    output_class = ElectraForPreTrainingOutput
    purpose = "find replaced tokens"

    @classmethod
    def head_shapes(cls, config: PreTrainedConfig) -> dict[str, tuple[int, ...]]:
        width = config.hidden_size
        dense = linear_shapes("discriminator_predictions.dense", width, width)
        return dense | linear_shapes("discriminator_predictions.dense_prediction", 1, width)

    @classmethod
    def loss_heads(cls, config: PreTrainedConfig) -> tuple[LossHead, ...]:
        dense, prediction = "discriminator_predictions.dense", "discriminator_predictions.dense_prediction"
        activation = HeadLayer(config.architecture.activation)
        return (LossHead("replaced", (linear_layer(dense), activation, linear_layer(prediction))),)

    def head_outputs(self, packed: Packed, hidden: np.ndarray) -> dict[str, np.ndarray]:
        activation = getattr(self.kernels, self.architecture.activation)
        inner = activation(self.kernels.linear(hidden, *self.head["discriminator_predictions.dense"]))
        logits = self.kernels.linear(inner, *self.head["discriminator_predictions.dense_prediction"])  # (N, 1)
        return {"logits": packed.unpack(logits)[..., 0]}


class ElectraForMaskedLM(MaskedLM):
    """The generator, which guesses masked words."""

    config_class = ElectraConfig
    encoder_names = NAMES
    activation = "gelu"  # whatever the encoder's is
    head_names = MaskedLMNames(
        transform="generator_predictions.dense",
        norm="generator_predictions.LayerNorm",
        bias="generator_lm_head.bias",
        decoder="generator_lm_head",
    )
    tied_weights = {"generator_lm_head.weight": "embeddings.word_embeddings.weight"}
