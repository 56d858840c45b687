"""DistilBERT: its configuration, the names in its checkpoints, its classes.

"DistilBERT, a distilled version of BERT: smaller, faster, cheaper and lighter", https://arxiv.org/abs/1910.01108. The
encoder is BERT's without token types; a row of zeros takes their place.
"""

from __future__ import annotations

from ..config import Architecture, DropoutRates, PreTrainedConfig
from ..models.base import PreTrainedModel
from ..models.checkpoint import EncoderNames
from ..models.classification import DenseClassifier, MultipleChoice, QuestionAnswerer, TokenClassifier
from ..models.language_modeling import MaskedLM, MaskedLMNames


class DistilBertConfig(PreTrainedConfig):
    """DistilBERT's configuration; the defaults are distilbert-base-uncased's."""

    model_type = "distilbert"
    defaults = {
        "activation": "gelu",
        "attention_dropout": 0.1,
        "dim": 768,
        "dropout": 0.1,
        "hidden_dim": 3072,
        "initializer_range": 0.02,
        "max_position_embeddings": 512,
        "n_heads": 12,
        "n_layers": 6,
        "pad_token_id": 0,
        "qa_dropout": 0.1,
        "seq_classif_dropout": 0.2,
        "sinusoidal_pos_embds": False,
        "vocab_size": 30522,
    }
    aliases = {"hidden_size": "dim", "num_attention_heads": "n_heads", "num_hidden_layers": "n_layers"}
    sizes = ("dim", "hidden_dim", "max_position_embeddings", "n_heads", "n_layers", "vocab_size")

    @property
    def architecture(self) -> Architecture:
        return Architecture(
            layers=self.n_layers,
            width=self.dim,
            heads=self.n_heads,
            feed_forward=self.hidden_dim,
            vocabulary=self.vocab_size,
            positions=self.max_position_embeddings,
            types=1,  # DistilBERT has no token types: the encoder adds one row of zeros
            activation=self.activation_named(self.activation),
            eps=1e-12,  # not configurable there
            embedding_width=self.dim,
        )

    @property
    def dropout_rates(self) -> DropoutRates:
        return DropoutRates(
            embeddings=self.dropout,
            attention=self.attention_dropout,
            attention_out=0.0,
            feed_forward_out=self.dropout,
            sequence_head=self.seq_classif_dropout,
            token_head=self.dropout,
            answer_head=self.qa_dropout,
        )


NAMES = EncoderNames(
    prefix="distilbert.",
    words="embeddings.word_embeddings",
    positions="embeddings.position_embeddings",
    types=None,
    embedding_norm="embeddings.LayerNorm",
    layer="transformer.layer.{}",
    query="attention.q_lin",
    key="attention.k_lin",
    value="attention.v_lin",
    attention_out="attention.out_lin",
    attention_norm="sa_layer_norm",
    feed_forward_in="ffn.lin1",
    feed_forward_out="ffn.lin2",
    output_norm="output_layer_norm",
)


class DistilBertModel(PreTrainedModel):
    """The DistilBERT encoder: last_hidden_state (B, T, D)."""

    config_class = DistilBertConfig
    encoder_names = NAMES


class DistilBertForSequenceClassification(DenseClassifier):
    """DistilBERT with a two-layer classifier on the first token: logits (B, labels)."""

    config_class = DistilBertConfig
    encoder_names = NAMES
    dense, activation, projection = "pre_classifier", "relu", "classifier"


class DistilBertForMultipleChoice(MultipleChoice, DistilBertForSequenceClassification):
    """DistilBERT that chooses among texts."""


class DistilBertForTokenClassification(TokenClassifier):
    """DistilBERT with a classifier on every token."""

    config_class = DistilBertConfig
    encoder_names = NAMES


class DistilBertForQuestionAnswering(QuestionAnswerer):
    """DistilBERT that finds answers."""

    config_class = DistilBertConfig
    encoder_names = NAMES


class DistilBertForMaskedLM(MaskedLM):
    """DistilBERT that guesses masked words."""

    config_class = DistilBertConfig
    encoder_names = NAMES
    head_names = MaskedLMNames(
        transform="vocab_transform", norm="vocab_layer_norm", bias="vocab_projector.bias", decoder="vocab_projector"
    )
    tied_weights = {"vocab_projector.weight": "embeddings.word_embeddings.weight"}
