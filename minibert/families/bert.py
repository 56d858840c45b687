"""BERT: its configuration, the names in its checkpoints, its classes.

"BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding", https://arxiv.org/abs/1810.04805.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..config import PreTrainedConfig
from ..models.base import ModelWithHead
from ..models.checkpoint import EncoderNames, linear_shapes
from ..models.classification import MultipleChoice, QuestionAnswerer, TokenClassifier
from ..models.config_fields import FIELDS, BertFieldsConfig
from ..models.heads import nsp_logits
from ..models.language_modeling import MaskedLM, MaskedLMNames
from ..models.losses import HeadLayer, LossHead, linear_layer
from ..models.outputs import BertForPreTrainingOutput, NextSentencePredictorOutput
from ..models.packing import Packed
from ..models.pooling import ModelWithPooler, PooledClassifier, pooler_shapes


class BertConfig(BertFieldsConfig):
    """BERT's configuration; the defaults are bert-base-uncased's."""

    model_type = "bert"
    defaults = {**FIELDS, "classifier_dropout": None, "pad_token_id": 0, "type_vocab_size": 2, "vocab_size": 30522}


NAMES = EncoderNames(
    prefix="bert.",
    words="embeddings.word_embeddings",
    positions="embeddings.position_embeddings",
    types="embeddings.token_type_embeddings",
    embedding_norm="embeddings.LayerNorm",
    layer="encoder.layer.{}",
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    attention_out="attention.output.dense",
    attention_norm="attention.output.LayerNorm",
    feed_forward_in="intermediate.dense",
    feed_forward_out="output.dense",
    output_norm="output.LayerNorm",
    pooler="pooler.dense",
)


class BertModel(ModelWithPooler):
    """The BERT encoder: last_hidden_state (B, T, D), and pooler_output (B, D) if the checkpoint has a pooler."""

    config_class = BertConfig
    encoder_names = NAMES


class BertForSequenceClassification(PooledClassifier):
    """BERT with a classifier on its pooler: logits (B, labels)."""

    config_class = BertConfig
    encoder_names = NAMES


class BertForMultipleChoice(MultipleChoice, BertForSequenceClassification):
    """BERT that chooses among texts."""


class BertForTokenClassification(TokenClassifier):
    """BERT with a classifier on every token."""

    config_class = BertConfig
    encoder_names = NAMES


class BertForQuestionAnswering(QuestionAnswerer):
    """BERT that finds answers."""

    config_class = BertConfig
    encoder_names = NAMES


class BertForNextSentencePrediction(ModelWithHead):
    """BERT that says whether the second text of a pair follows the first: logits (B, 2), "it does" first."""

    config_class = BertConfig
    encoder_names = NAMES
    output_class = NextSentencePredictorOutput
    cls_only = True
    purpose = "tell whether a sentence follows another"

    @classmethod
    def head_shapes(cls, config: PreTrainedConfig) -> dict[str, tuple[int, ...]]:
        return pooler_shapes(config) | linear_shapes("cls.seq_relationship", 2, config.hidden_size)

    @classmethod
    def loss_heads(cls, config: PreTrainedConfig) -> tuple[LossHead, ...]:
        return (LossHead("class", (linear_layer("pooler.dense"), HeadLayer("tanh"), linear_layer("cls.seq_relationship"))),)

    def head_outputs(self, packed: Packed, hidden: np.ndarray) -> dict[str, np.ndarray]:
        return {"logits": nsp_logits(hidden, self.head, self.kernels)}


class BertForMaskedLM(MaskedLM):
    """BERT that guesses masked words."""

    config_class = BertConfig
    encoder_names = NAMES
    head_names = MaskedLMNames(
        transform="cls.predictions.transform.dense",
        norm="cls.predictions.transform.LayerNorm",
        bias="cls.predictions.bias",
        decoder="cls.predictions.decoder",
    )
    tied_weights = {
        "cls.predictions.decoder.weight": "embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    }
    stand_ins = (  # transformers before 5 tied the biases whatever the configuration says, and wrote one of them
        ("cls.predictions.bias", "cls.predictions.decoder.bias"),
        ("cls.predictions.decoder.bias", "cls.predictions.bias"),
    )


class BertForPreTraining(BertForMaskedLM):
    """BERT with both heads it was trained with: prediction_logits (B, T, V) and seq_relationship_logits (B, 2)."""

    output_class = BertForPreTrainingOutput
    purpose = "guess words and to tell whether a sentence follows another"

    @classmethod
    def head_shapes(cls, config: PreTrainedConfig) -> dict[str, tuple[int, ...]]:
        return super().head_shapes(config) | BertForNextSentencePrediction.head_shapes(config)

    @classmethod
    def loss_heads(cls, config: PreTrainedConfig) -> tuple[LossHead, ...]:
        """The sum of both heads' losses."""
        (words,), (pairs,) = super().loss_heads(config), BertForNextSentencePrediction.loss_heads(config)
        pairs = pairs._replace(outputs=("seq_relationship_logits",), labels=("next_sentence_label",))
        return words._replace(outputs=("prediction_logits",)), pairs

    @classmethod
    def optional_tensors(cls, stored: Mapping, config: PreTrainedConfig) -> list[str]:
        """Either head by itself."""
        heads = (BertForMaskedLM, BertForNextSentencePrediction)
        return [name for head in heads for name in head.optional_tensors(stored, config)]

    def prepare_head(self) -> dict[str, tuple]:
        sentence_pair = {module: self.prepare_linear(module) for module in ("pooler.dense", "cls.seq_relationship")}
        return super().prepare_head() | sentence_pair

    def head_outputs(self, packed: Packed, hidden: np.ndarray) -> dict[str, np.ndarray]:
        return {
            "prediction_logits": packed.unpack(self.mlm_logits(hidden)),
            "seq_relationship_logits": nsp_logits(hidden[packed.first], self.head, self.kernels),
        }
