"""RoBERTa: its configuration, the names in its checkpoints, its classes.

"RoBERTa: A Robustly Optimized BERT Pretraining Approach", https://arxiv.org/abs/1907.11692. BERT's encoder with one
difference: positions count from the padding id + 1, and leave out padding. Its classifier has two layers, its masked-LM head
other names. Longformer (`longformer.py`) is built on it.
"""

from __future__ import annotations

from ..config import Architecture, DropoutRates, PreTrainedConfig
from ..errors import ConfigError, short_repr
from ..models.checkpoint import EncoderNames
from ..models.classification import DenseClassifier, MultipleChoice, QuestionAnswerer, TokenClassifier
from ..models.language_modeling import RobertaLMHead
from ..models.pooling import ModelWithPooler, PooledClassifier


class RobertaConfig(PreTrainedConfig):
    """RoBERTa's configuration; the defaults are transformers'. roberta-base has 514 positions and one token type."""

    model_type = "roberta"
    defaults = {
        "attention_probs_dropout_prob": 0.1,
        "bos_token_id": 0,
        "classifier_dropout": None,
        "eos_token_id": 2,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": 768,
        "initializer_range": 0.02,
        "intermediate_size": 3072,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": 512,
        "num_attention_heads": 12,
        "num_hidden_layers": 12,
        "pad_token_id": 1,
        "type_vocab_size": 2,
        "vocab_size": 50265,
    }
    sizes = (
        "hidden_size",
        "intermediate_size",
        "max_position_embeddings",
        "num_attention_heads",
        "num_hidden_layers",
        "type_vocab_size",
        "vocab_size",
    )

    @property
    def architecture(self) -> Architecture:
        return Architecture(
            layers=self.num_hidden_layers,
            width=self.hidden_size,
            heads=self.num_attention_heads,
            feed_forward=self.intermediate_size,
            vocabulary=self.vocab_size,
            positions=self.max_position_embeddings,
            types=self.type_vocab_size,
            activation=self.activation_named(self.hidden_act),
            eps=self.layer_norm_eps,
            embedding_width=self.hidden_size,
            position_padding_id=self.pad_token_id,
        )

    @property
    def dropout_rates(self) -> DropoutRates:
        hidden, head = self.hidden_dropout_prob, self.classifier_dropout
        head = hidden if head is None else head
        return DropoutRates(
            embeddings=hidden,
            attention=self.attention_probs_dropout_prob,
            attention_out=hidden,
            feed_forward_out=hidden,
            sequence_head=head,
            token_head=head,
            answer_head=0.0,
        )

    def check_architecture(self, arch: Architecture) -> None:
        super().check_architecture(arch)
        check_padding_id(self.pad_token_id, arch)


def check_padding_id(padding_id: object, arch: Architecture) -> None:
    """ConfigError for a padding id from which positions cannot count."""
    if type(padding_id) is not int or not 0 <= padding_id < arch.vocabulary:
        raise ConfigError(
            f"pad_token_id must be from 0 to {arch.vocabulary - 1}, because positions count from it; got {short_repr(padding_id)}."
        )
    if arch.positions < padding_id + 2:
        raise ConfigError(
            f"max_position_embeddings must be {padding_id + 2} or more, because positions count from pad_token_id + 1; got "
            f"{arch.positions}."
        )


NAMES = EncoderNames(
    prefix="roberta.",
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
    heads=("lm_head.",),
)


class RobertaModel(ModelWithPooler):
    """The RoBERTa encoder: last_hidden_state (B, T, D), and pooler_output (B, D) if the checkpoint has a pooler."""

    config_class = RobertaConfig
    encoder_names = NAMES


class RobertaForSequenceClassification(DenseClassifier):
    """RoBERTa with a two-layer classifier on the first token: logits (B, labels)."""

    config_class = RobertaConfig
    encoder_names = NAMES
    dense, activation, projection = "classifier.dense", "tanh", "classifier.out_proj"
    drops_input = True


class RobertaForMultipleChoice(MultipleChoice, PooledClassifier):
    """RoBERTa that chooses among texts."""

    config_class = RobertaConfig
    encoder_names = NAMES


class RobertaForTokenClassification(TokenClassifier):
    """RoBERTa with a classifier on every token."""

    config_class = RobertaConfig
    encoder_names = NAMES


class RobertaForQuestionAnswering(QuestionAnswerer):
    """RoBERTa that finds answers."""

    config_class = RobertaConfig
    encoder_names = NAMES


class RobertaForMaskedLM(RobertaLMHead):
    """RoBERTa that guesses masked words."""

    config_class = RobertaConfig
    encoder_names = NAMES
