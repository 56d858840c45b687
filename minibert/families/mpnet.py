"""MPNet: its configuration, the names in its checkpoints, its classes.

"MPNet: Masked and Permuted Pre-training for Language Understanding", https://arxiv.org/abs/2004.09297. BERT's encoder with
two differences: attention adds a bias for how far apart two tokens are (`models/relative_bias.py`), and positions count
from 2, as in RoBERTa. It has no token types.
"""

from __future__ import annotations

from ..config import Architecture
from ..errors import ConfigError
from ..models.checkpoint import EncoderNames
from ..models.classification import DenseClassifier, MultipleChoice, QuestionAnswerer, TokenClassifier
from ..models.config_fields import FIELDS, SIZES, BertFieldsConfig
from ..models.language_modeling import RobertaLMHead
from ..models.pooling import ModelWithPooler, PooledClassifier
from ..models.relative_bias import BUCKETS

PADDING_ID = 1  # of positions: whatever the configuration's pad_token_id is, as in transformers


class MPNetConfig(BertFieldsConfig):
    """MPNet's configuration; the defaults are mpnet-base's."""

    model_type = "mpnet"
    defaults = {
        **FIELDS,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "pad_token_id": 1,
        "relative_attention_num_buckets": BUCKETS,
        "vocab_size": 30527,
    }
    sizes = (*SIZES, "relative_attention_num_buckets")

    @property
    def architecture(self) -> Architecture:
        buckets = self.relative_attention_num_buckets
        return super().architecture._replace(position_padding_id=PADDING_ID, relative_buckets=buckets)

    def check_architecture(self, arch: Architecture) -> None:
        super().check_architecture(arch)
        if arch.max_tokens < 1:
            raise ConfigError(f"max_position_embeddings must be {PADDING_ID + 2} or more; got {arch.positions}.")
        if arch.relative_buckets < BUCKETS:
            raise ConfigError(
                f"relative_attention_num_buckets must be {BUCKETS}, which distances are sorted into; got {arch.relative_buckets}."
            )


NAMES = EncoderNames(
    prefix="mpnet.",
    words="embeddings.word_embeddings",
    positions="embeddings.position_embeddings",
    types=None,
    embedding_norm="embeddings.LayerNorm",
    layer="encoder.layer.{}",
    query="attention.attn.q",
    key="attention.attn.k",
    value="attention.attn.v",
    attention_out="attention.attn.o",
    attention_norm="attention.LayerNorm",
    feed_forward_in="intermediate.dense",
    feed_forward_out="output.dense",
    output_norm="output.LayerNorm",
    relative_bias="encoder.relative_attention_bias",
    pooler="pooler.dense",
    heads=("lm_head.",),
)


class MPNetModel(ModelWithPooler):
    """The MPNet encoder: last_hidden_state (B, T, D), and pooler_output (B, D) if the checkpoint has a pooler."""

    config_class = MPNetConfig
    encoder_names = NAMES


class MPNetForSequenceClassification(DenseClassifier):
    """MPNet with a two-layer classifier on the first token: logits (B, labels)."""

    config_class = MPNetConfig
    encoder_names = NAMES
    dense, activation, projection = "classifier.dense", "tanh", "classifier.out_proj"
    drops_input = True


class MPNetForMultipleChoice(MultipleChoice, PooledClassifier):
    """MPNet that chooses among texts."""

    config_class = MPNetConfig
    encoder_names = NAMES


class MPNetForTokenClassification(TokenClassifier):
    """MPNet with a classifier on every token."""

    config_class = MPNetConfig
    encoder_names = NAMES


class MPNetForQuestionAnswering(QuestionAnswerer):
    """MPNet that finds answers."""

    config_class = MPNetConfig
    encoder_names = NAMES


class MPNetForMaskedLM(RobertaLMHead):
    """MPNet that guesses masked words."""

    config_class = MPNetConfig
    encoder_names = NAMES
