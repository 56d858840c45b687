"""Heads that give a few numbers for each sequence, choice or token. The families derive their classes from these."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..config import PreTrainedConfig
from ..errors import InputError
from .base import ModelWithHead
from .checkpoint import linear_shapes
from .encoder import Intermediates
from .losses import HeadLayer, LossHead, linear_layer
from .outputs import (
    ModelOutput,
    MultipleChoiceModelOutput,
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
    loss_form = "sequence"

    @classmethod
    def num_outputs(cls, config: PreTrainedConfig) -> int:
        return config.num_labels

    @classmethod
    def head_layers(cls, config: PreTrainedConfig) -> tuple[HeadLayer, ...]:
        """The steps of `head_outputs`, and the dropouts of training."""
        raise NotImplementedError

    @classmethod
    def loss_heads(cls, config: PreTrainedConfig) -> tuple[LossHead, ...]:
        return (LossHead(cls.loss_form, cls.head_layers(config)),)


class DenseClassifier(SequenceClassifier):
    """Two layers on the first token, with an activation between them."""

    dense: str  # the module's name, (D, D)
    activation: str  # an operation
    projection: str  # the module's name, (outputs, D)
    drops_input = False  # whether training has a dropout before the first layer too

    @classmethod
    def head_shapes(cls, config: PreTrainedConfig) -> dict[str, tuple[int, ...]]:
        width = config.architecture.width
        return linear_shapes(cls.dense, width, width) | linear_shapes(cls.projection, cls.num_outputs(config), width)

    @classmethod
    def head_layers(cls, config: PreTrainedConfig) -> tuple[HeadLayer, ...]:
        dropout = HeadLayer("dropout", rate=config.dropout_rates.sequence_head)
        layers = (linear_layer(cls.dense), HeadLayer(cls.activation), dropout, linear_layer(cls.projection))
        return (dropout, *layers) if cls.drops_input else layers

    def head_outputs(self, packed: Packed, hidden: np.ndarray) -> dict[str, np.ndarray]:
        activation = getattr(self.kernels, self.activation)
        inner = activation(self.kernels.linear(hidden, *self.head[self.dense]))
        return {"logits": self.kernels.linear(inner, *self.head[self.projection])}


# --- One answer a choice ---------------------------------------------------------------------------------------------


class MultipleChoice(SequenceClassifier):
    """Which of C texts: ids, mask and types (B, C, T) -> logits (B, C). To be combined with a SequenceClassifier."""

    output_class: type[ModelOutput] = MultipleChoiceModelOutput
    loss_form = "choice"
    purpose = "choose"

    @classmethod
    def num_outputs(cls, config: PreTrainedConfig) -> int:
        return 1

    def pack(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        inputs_embeds: Any = None,
    ) -> Packed:
        """As of every model, but all inputs are of shape (B, C, T)."""
        choices, flat = flatten_choices(input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        return super().pack(**flat)._replace(choices=choices)

    def run_head(self, packed: Packed, intermediates: Intermediates) -> dict[str, Any]:
        fields = super().run_head(packed, intermediates)
        rows = len(fields["logits"]) // max(packed.choices, 1)
        return {**fields, "logits": fields["logits"].reshape(rows, packed.choices)}


def flatten_choices(
    input_ids: Any, attention_mask: Any, token_type_ids: Any, position_ids: Any, inputs_embeds: Any
) -> tuple[int, dict[str, np.ndarray]]:
    """Inputs (B, C, T), and embeddings (B, C, T, E) in place of ids -> C, and those that are not None as (B · C, T)."""
    source, axes = ("input_ids", "B, C, T") if inputs_embeds is None else ("inputs_embeds", "B, C, T, E")
    shape = as_array(input_ids if inputs_embeds is None else inputs_embeds, source).shape
    if len(shape) != len(axes.split()):
        raise InputError(
            f"{source} must be of shape ({axes}), C choices for each question; got {shape}. "
            "For one question, add the batch axis: np.array([ids])."
        )
    rows, choices, length = shape[:3]
    flat = {}
    for name, values in {
        "input_ids": input_ids,
        "attention_mask": attention_mask,
        "token_type_ids": token_type_ids,
        "position_ids": position_ids,
        "inputs_embeds": inputs_embeds,
    }.items():
        if values is not None:
            array = as_array(values, name)
            if array.shape[:3] != shape[:3] or (array.ndim > 3 and name != "inputs_embeds"):
                raise InputError(f"{name} must have the shape of {source}, {shape[:3]}; got {array.shape}.")
            flat[name] = array.reshape(rows * choices, *array.shape[2:])
    return choices, flat


# --- One answer a token ----------------------------------------------------------------------------------------------


class TokenClassifier(ModelWithHead):
    """A classifier on every token: logits (B, T, labels), zeros at padding."""

    output_class: type[ModelOutput] = TokenClassifierOutput
    purpose = "label tokens"

    @classmethod
    def head_shapes(cls, config: PreTrainedConfig) -> dict[str, tuple[int, ...]]:
        return linear_shapes("classifier", config.num_labels, config.architecture.width)

    @classmethod
    def loss_heads(cls, config: PreTrainedConfig) -> tuple[LossHead, ...]:
        dropout = HeadLayer("dropout", rate=config.dropout_rates.token_head)
        return (LossHead("token", (dropout, linear_layer("classifier"))),)

    def head_outputs(self, packed: Packed, hidden: np.ndarray) -> dict[str, np.ndarray]:
        return {"logits": packed.unpack(self.kernels.linear(hidden, *self.head["classifier"]))}


class QuestionAnswerer(ModelWithHead):
    """Where in a text the answer begins and ends: start_logits and end_logits (B, T), zeros at padding."""

    output_class: type[ModelOutput] = QuestionAnsweringModelOutput
    purpose = "find answers"

    @classmethod
    def head_shapes(cls, config: PreTrainedConfig) -> dict[str, tuple[int, ...]]:
        return linear_shapes("qa_outputs", 2, config.architecture.width)

    @classmethod
    def loss_heads(cls, config: PreTrainedConfig) -> tuple[LossHead, ...]:
        dropout = HeadLayer("dropout", rate=config.dropout_rates.answer_head)
        fields, labels = ("start_logits", "end_logits"), ("start_positions", "end_positions")
        return (LossHead("position", (dropout, linear_layer("qa_outputs")), fields, labels, share=0.5),)

    def head_outputs(self, packed: Packed, hidden: np.ndarray) -> dict[str, np.ndarray]:
        logits = packed.unpack(self.kernels.linear(hidden, *self.head["qa_outputs"]))  # (B, T, 2)
        return {"start_logits": logits[..., 0], "end_logits": logits[..., 1]}
