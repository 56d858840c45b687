"""RoBERTa: its configuration, the names in its checkpoints, its classes.

"RoBERTa: A Robustly Optimized BERT Pretraining Approach", https://arxiv.org/abs/1907.11692. BERT's encoder with one
difference: positions count from the padding id + 1, and leave out padding. Its classifier has two layers, its masked-LM head
other names. Longformer (`longformer.py`) is built on it.
"""

from __future__ import annotations

from ..models.classification import DenseClassifier, MultipleChoice, QuestionAnswerer, TokenClassifier
from ..models.config_fields import RobertaFieldsConfig
from ..models.language_modeling import RobertaLMHead
from ..models.pooling import ModelWithPooler, PooledClassifier
from .bert import NAMES as BERT_NAMES


class RobertaConfig(RobertaFieldsConfig):
    """RoBERTa's configuration; the defaults are transformers'. roberta-base has 514 positions and one token type."""

    model_type = "roberta"
    defaults = {**RobertaFieldsConfig.defaults, "classifier_dropout": None, "vocab_size": 50265}


NAMES = BERT_NAMES._replace(prefix="roberta.", heads=("lm_head.",))


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
