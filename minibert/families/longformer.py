"""Longformer: its configuration, the names in its checkpoints, its classes.

"Longformer: The Long-Document Transformer", https://arxiv.org/abs/2004.05150. RoBERTa for long texts: a token sees those in a
window around it, and a few global tokens see all and are seen by all, with projections of their own
(`models/window_layers.py`). A call's global_attention_mask says which are global. Without one it is a class's own choice: the
first token to classify a sequence, the question's tokens to answer it, each choice's own to choose, none for the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..config import Architecture
from ..errors import ConfigError, InputError, short_repr, strict_arguments
from ..models.classification import DenseClassifier, MultipleChoice, QuestionAnswerer, TokenClassifier
from ..models.config_fields import RobertaFieldsConfig
from ..models.language_modeling import RobertaLMHead
from ..models.outputs import (
    LongformerBaseModelOutputWithPooling,
    LongformerMaskedLMOutput,
    LongformerMultipleChoiceModelOutput,
    LongformerQuestionAnsweringModelOutput,
    LongformerSequenceClassifierOutput,
    LongformerTokenClassifierOutput,
)
from ..models.packing import Packed
from ..models.pooling import ModelWithPooler, PooledClassifier
from ..models.window_layers import Masks, read_global_mask, with_global_mask
from .roberta import NAMES as ROBERTA_NAMES

if TYPE_CHECKING:
    from ..models.base import PreTrainedModel as WithWindows
else:
    WithWindows = object

SEPARATORS = 3  # in a pair of texts: <s> A </s></s> B </s>


class LongformerConfig(RobertaFieldsConfig):
    """Longformer's configuration; the defaults are transformers'. longformer-base-4096 has 4,098 positions and one token
    type. attention_window is even, its half on each side of a token: one for all layers, or a list of one for each."""

    model_type = "longformer"
    defaults = {**RobertaFieldsConfig.defaults, "attention_window": 512, "sep_token_id": 2, "vocab_size": 30522}

    @property
    def architecture(self) -> Architecture:
        return super().architecture._replace(windows=read_windows(self.attention_window, self.num_hidden_layers))

    def check_architecture(self, arch: Architecture) -> None:
        super().check_architecture(arch)
        if self.sep_token_id is not None and type(self.sep_token_id) is not int:
            raise ConfigError(f"sep_token_id must be a whole number or None; got {short_repr(self.sep_token_id)}.")


def read_windows(attention_window: Any, layers: int) -> tuple[int, ...]:
    """attention_window -> how many tokens away one sees, of all layers or of each. ConfigError for what is none."""
    each = attention_window if isinstance(attention_window, list) else [attention_window]
    if not all(type(window) is int and 0 < window < 2**31 and window % 2 == 0 for window in each):
        raise ConfigError(
            f"attention_window must be an even whole number, 2 or more, or a list of them; got {short_repr(attention_window)}."
        )
    if isinstance(attention_window, list) and len(each) != layers:
        raise ConfigError(f"attention_window must have one value for each of the {layers} layers; got {len(each)}.")
    return tuple(window // 2 for window in each)


NAMES = ROBERTA_NAMES._replace(
    prefix="longformer.",
    global_query="attention.self.query_global",
    global_key="attention.self.key_global",
    global_value="attention.self.value_global",
)


class GlobalAttention(WithWindows):
    """What all classes share: the argument global_attention_mask of a call."""

    @strict_arguments
    def __call__(  # type: ignore[override]  # the global mask stands third, as in transformers
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        global_attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        **options: Any,
    ) -> Any:
        """As of every model. global_attention_mask (B, T) holds 1 for the tokens that see all and are seen by all; a masked
        token is not global."""
        masks = with_global_mask(self, attention_mask, global_attention_mask)
        return super().__call__(input_ids, masks, token_type_ids, position_ids, **options)

    def pack(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        inputs_embeds: Any = None,
    ) -> Packed:
        """As of every model, but attention_mask may be `Masks`."""
        masks = attention_mask if isinstance(attention_mask, Masks) else Masks(attention_mask, None)
        packed = super().pack(input_ids, masks.attention, token_type_ids, position_ids, inputs_embeds)
        if packed.score_bias is not None:
            raise InputError(
                "a model with windows takes one mask for all queries: attention_mask must have the shape of input_ids."
            )
        if masks.global_attention is None:
            global_mask = self.default_global_mask(packed)
        else:
            global_mask = read_global_mask(masks.global_attention, self.mask_shape(packed), packed)
        if global_mask is not None and packed.key_mask is not None:
            global_mask = global_mask & packed.key_mask
        return packed._replace(global_mask=global_mask if global_mask is not None and global_mask.any() else None)

    def mask_shape(self, packed: Packed) -> tuple[int, ...]:
        return packed.token_mask.shape

    def default_global_mask(self, packed: Packed) -> np.ndarray | None:
        """Which tokens (N,) are global if the call does not say; None for none."""
        return None

    def tokens_beside_separator(self, packed: Packed) -> tuple[np.ndarray, np.ndarray] | None:
        """For each token (N,) its index among all, and that of its sequence's first separator. None if it cannot be known:
        the call has embeddings, or the configuration no sep_token_id."""
        separator = self.config.sep_token_id
        if separator is None or packed.words is not None:
            return None
        is_separator = packed.token_ids == separator
        counts = np.diff(np.concatenate([[0], np.cumsum(is_separator)])[packed.bounds])
        if (counts != SEPARATORS).any():
            wrong = int(counts[counts != SEPARATORS][0])
            raise InputError(
                f"a pair of texts must have {SEPARATORS} separators, tokens of id {separator}, which say what is global; got {wrong}. "
                "For other inputs pass global_attention_mask."
            )
        first = np.flatnonzero(is_separator)[::SEPARATORS]  # (S,)
        return np.arange(len(packed.token_ids)), np.repeat(first, np.diff(packed.bounds))

    def unpack_attentions(self, packed: Packed, attentions: list) -> dict[str, Any]:
        fields = {"attentions": tuple(layer.local for layer in attentions)}
        if packed.global_mask is not None:
            fields["global_attentions"] = tuple(layer.of_global for layer in attentions)
        return fields


class LongformerModel(GlobalAttention, ModelWithPooler):
    """The Longformer encoder: last_hidden_state (B, T, D), and pooler_output (B, D) if the checkpoint has a pooler."""

    config_class = LongformerConfig
    encoder_names = NAMES
    output_class = LongformerBaseModelOutputWithPooling


class LongformerForSequenceClassification(GlobalAttention, DenseClassifier):
    """Longformer with a two-layer classifier on the first token, which is global: logits (B, labels)."""

    config_class = LongformerConfig
    encoder_names = NAMES
    output_class = LongformerSequenceClassifierOutput
    dense, activation, projection = "classifier.dense", "tanh", "classifier.out_proj"
    drops_input = True

    def default_global_mask(self, packed: Packed) -> np.ndarray | None:
        global_mask = np.zeros(len(packed.token_ids), bool)
        global_mask[packed.first] = True
        return global_mask


class LongformerForMultipleChoice(GlobalAttention, MultipleChoice, PooledClassifier):
    """Longformer that chooses among texts: the tokens of each are global, those before them are not."""

    config_class = LongformerConfig
    encoder_names = NAMES
    output_class = LongformerMultipleChoiceModelOutput

    def mask_shape(self, packed: Packed) -> tuple[int, ...]:
        rows, tokens = packed.token_mask.shape
        return rows // max(packed.choices, 1), packed.choices, tokens

    def default_global_mask(self, packed: Packed) -> np.ndarray | None:
        indices = self.tokens_beside_separator(packed)
        return None if indices is None else indices[0] > indices[1] + 1  # behind both separators


class LongformerForTokenClassification(GlobalAttention, TokenClassifier):
    """Longformer with a classifier on every token."""

    config_class = LongformerConfig
    encoder_names = NAMES
    output_class = LongformerTokenClassifierOutput


class LongformerForQuestionAnswering(GlobalAttention, QuestionAnswerer):
    """Longformer that finds answers: the question's tokens, before the first separator, are global."""

    config_class = LongformerConfig
    encoder_names = NAMES
    output_class = LongformerQuestionAnsweringModelOutput

    def default_global_mask(self, packed: Packed) -> np.ndarray | None:
        indices = self.tokens_beside_separator(packed)
        return None if indices is None else indices[0] < indices[1]


class LongformerForMaskedLM(GlobalAttention, RobertaLMHead):
    """Longformer that guesses masked words."""

    config_class = LongformerConfig
    encoder_names = NAMES
    output_class = LongformerMaskedLMOutput
