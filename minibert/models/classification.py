"""Heads that give a few numbers for each sequence, pair, choice or token."""

from __future__ import annotations

import numpy as np

from ..config import BertConfig, DistilBertConfig, PreTrainedConfig
from ..errors import InputError, read_flag, strict_arguments
from ..weights import linear_shapes
from .base import ModelWithHead
from .heads import classify_bert, classify_distilbert, tell_sequence
from .outputs import (
    ModelOutput,
    MultipleChoiceModelOutput,
    NextSentencePredictorOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)
from .packing import Packed, as_array

# --- One answer a sequence: from its first token ---------------------------------------------------------------------


class SequenceClassifier(ModelWithHead):
    """A classifier on each sequence's first token: logits (B, labels)."""

    output_class: type[ModelOutput] = SequenceClassifierOutput
    cls_only = True

    @classmethod
    def outputs(cls, config: PreTrainedConfig) -> int:
        return config.num_labels


class DistilBertClassifier(SequenceClassifier):
    """Two layers on the first token."""

    config_class = DistilBertConfig

    @classmethod
    def head_shapes(cls, config: DistilBertConfig) -> dict[str, tuple[int, ...]]:
        before = linear_shapes("pre_classifier", config.dim, config.dim)
        return before | linear_shapes("classifier", cls.outputs(config), config.dim)

    def answer(self, packed: Packed, hidden: np.ndarray) -> dict[str, np.ndarray]:
        return {"logits": classify_distilbert(hidden, self.head, self.kernels)}


class BertClassifier(SequenceClassifier):
    """One layer on the pooler."""

    config_class = BertConfig

    @classmethod
    def head_shapes(cls, config: BertConfig) -> dict[str, tuple[int, ...]]:
        pooler = linear_shapes("pooler.dense", config.hidden_size, config.hidden_size)
        return pooler | linear_shapes("classifier", cls.outputs(config), config.hidden_size)

    def answer(self, packed: Packed, hidden: np.ndarray) -> dict[str, np.ndarray]:
        return {"logits": classify_bert(hidden, self.head, self.kernels)}


class DistilBertForSequenceClassification(DistilBertClassifier):
    """DistilBERT with a two-layer classifier."""


class BertForSequenceClassification(BertClassifier):
    """BERT with a classifier on its pooler."""


class BertForNextSentencePrediction(ModelWithHead):
    """BERT that tells whether the second text of a pair follows the first: logits (B, 2), "it does" first."""

    config_class = BertConfig
    output_class = NextSentencePredictorOutput
    cls_only = True
    purpose = "tell whether a sentence follows another"

    @classmethod
    def head_shapes(cls, config: BertConfig) -> dict[str, tuple[int, ...]]:
        pooler = linear_shapes("pooler.dense", config.hidden_size, config.hidden_size)
        return pooler | linear_shapes("cls.seq_relationship", 2, config.hidden_size)

    def answer(self, packed: Packed, hidden: np.ndarray) -> dict[str, np.ndarray]:
        return {"logits": tell_sequence(hidden, self.head, self.kernels)}


# --- One answer a choice ---------------------------------------------------------------------------------------------


class MultipleChoice(SequenceClassifier):
    """Which of C texts: ids, mask and types (B, C, T) -> logits (B, C)."""

    output_class = MultipleChoiceModelOutput
    purpose = "choose"

    @classmethod
    def outputs(cls, config: PreTrainedConfig) -> int:
        return 1

    @strict_arguments
    def __call__(self, input_ids, attention_mask=None, token_type_ids=None, position_ids=None, *,
                 return_dict: bool | None = None, **options):  # fmt: skip
        """As of every model, but all inputs are of shape (B, C, T)."""
        shape = as_array(input_ids, "input_ids").shape
        if len(shape) != 3:
            raise InputError(
                f"input_ids must be of shape (B, C, T), C choices for each question; got {shape}. "
                "For one question, add the batch axis: np.array([ids])."
            )
        rows, choices, length = shape
        flat = {}
        for name, values in {"input_ids": input_ids, "attention_mask": attention_mask,
                             "token_type_ids": token_type_ids, "position_ids": position_ids}.items():  # fmt: skip
            if values is not None:
                array = as_array(values, name)
                if array.shape != shape:
                    raise InputError(f"{name} must have the shape of input_ids, {shape}; got {array.shape}.")
                flat[name] = array.reshape(rows * choices, length)
        output = super().__call__(**flat, return_dict=True, **options)
        output["logits"] = output.logits.reshape(rows, choices)
        return output if return_dict is None or read_flag("return_dict", return_dict) else output.to_tuple()


class DistilBertForMultipleChoice(MultipleChoice, DistilBertClassifier):
    """DistilBERT that chooses among texts."""


class BertForMultipleChoice(MultipleChoice, BertClassifier):
    """BERT that chooses among texts."""


# --- One answer a token ----------------------------------------------------------------------------------------------


class TokenClassifier(ModelWithHead):
    """A classifier on every token: logits (B, T, labels), zeros where padding was."""

    output_class = TokenClassifierOutput
    purpose = "label tokens"

    @classmethod
    def head_shapes(cls, config: PreTrainedConfig) -> dict[str, tuple[int, ...]]:
        return linear_shapes("classifier", config.num_labels, config.architecture.width)

    def answer(self, packed: Packed, hidden: np.ndarray) -> dict[str, np.ndarray]:
        return {"logits": packed.unpack(self.kernels.linear(hidden, *self.head["classifier"]))}


class DistilBertForTokenClassification(TokenClassifier):
    """DistilBERT with a classifier on every token."""

    config_class = DistilBertConfig


class BertForTokenClassification(TokenClassifier):
    """BERT with a classifier on every token."""

    config_class = BertConfig


class QuestionAnswerer(ModelWithHead):
    """Where in a text the answer is: start_logits and end_logits (B, T), zeros where padding was."""

    output_class = QuestionAnsweringModelOutput
    purpose = "find answers"

    @classmethod
    def head_shapes(cls, config: PreTrainedConfig) -> dict[str, tuple[int, ...]]:
        return linear_shapes("qa_outputs", 2, config.architecture.width)

    def answer(self, packed: Packed, hidden: np.ndarray) -> dict[str, np.ndarray]:
        logits = packed.unpack(self.kernels.linear(hidden, *self.head["qa_outputs"]))  # (B, T, 2)
        return {"start_logits": logits[..., 0], "end_logits": logits[..., 1]}


class DistilBertForQuestionAnswering(QuestionAnswerer):
    """DistilBERT that finds answers."""

    config_class = DistilBertConfig


class BertForQuestionAnswering(QuestionAnswerer):
    """BERT that finds answers."""

    config_class = BertConfig
