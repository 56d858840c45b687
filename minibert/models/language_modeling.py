"""Heads that guess words: hidden state -> linear, activation, norm -> a number for each word of the vocabulary.

The last step is a product with the word embeddings themselves: the weights are tied, and a file may hold them once. With
tie_word_embeddings=False in the configuration, it is one with weights of its own, the decoder's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ..config import BertConfig, DistilBertConfig, PreTrainedConfig
from ..weights import NAMES, linear_shapes, norm_shapes
from .base import ModelWithHead, check_finite
from .classification import BertForNextSentencePrediction
from .heads import guess_words, tell_sequence
from .outputs import BertForPreTrainingOutput, MaskedLMOutput
from .packing import Packed


class WordHeadNames(NamedTuple):
    """Where a model type keeps this head."""

    transform: str
    norm: str
    bias: str  # of the decoder, where it is tied
    decoder: str  # the module that holds the decoder's own weights, where it is not


class WordGuesser(ModelWithHead):
    """Each word for each place: logits (B, T, V), zeros where padding was."""

    output_class = MaskedLMOutput
    purpose = "guess words"
    names: WordHeadNames

    @classmethod
    def head_shapes(cls, config: PreTrainedConfig) -> dict[str, tuple[int, ...]]:
        made = config.architecture
        transform = linear_shapes(cls.names.transform, made.width, made.width)
        shapes = transform | norm_shapes(cls.names.norm, made.width) | {cls.names.bias: (made.vocabulary,)}
        return shapes if config.tie_word_embeddings else shapes | linear_shapes(cls.names.decoder, made.vocabulary, made.width)

    def prepare_head(self) -> dict[str, tuple]:
        made, names, tensors = self.config.architecture, self.names, self.tensors
        if self.config.tie_word_embeddings:
            decoder = tensors[f"{NAMES[self.config.model_type].words}.weight"], tensors[names.bias]  # (V, D), (V,)
        else:
            decoder = tensors[f"{names.decoder}.weight"], tensors[f"{names.decoder}.bias"]
        transform = tensors[f"{names.transform}.weight"], tensors[f"{names.transform}.bias"]
        return {
            "transform": self.kernels.pack_weights(f"linear_{made.activation}", *transform),
            "norm": (tensors[f"{names.norm}.weight"], tensors[f"{names.norm}.bias"], made.eps),
            "words": self.kernels.pack_weights("linear", *decoder),
        }

    def guess(self, hidden: np.ndarray) -> np.ndarray:
        """hidden (N, D) -> logits (N, V)."""
        return guess_words(hidden, self.head, self.encoder.activated_linear, self.kernels)

    def answer(self, packed: Packed, hidden: np.ndarray) -> dict[str, np.ndarray]:
        return {"logits": packed.unpack(self.guess(hidden))}

    def guess_at(self, places: np.ndarray, **inputs) -> np.ndarray:
        """A call's inputs and P places of them, (B, T) bool -> the logits (P, V) of those alone.

        In BERT-base the table of words is 23 of the 108 million products a token costs, and a text of 128 tokens would
        get 16 MB of logits.
        """
        packed = self.pack(**inputs)
        hidden = self.encode(packed)[places[packed.kept]]
        with np.errstate(all="ignore"):
            logits = self.guess(hidden)
            check_finite(logits)
        return logits


class DistilBertForMaskedLM(WordGuesser):
    """DistilBERT that guesses masked words."""

    config_class = DistilBertConfig
    names = WordHeadNames("vocab_transform", "vocab_layer_norm", "vocab_projector.bias", "vocab_projector")
    tied = {"vocab_projector.weight": "embeddings.word_embeddings.weight"}


class BertWordGuesser(WordGuesser):
    """What both classes of BERT have."""

    config_class = BertConfig
    names = WordHeadNames(
        "cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions.bias",
        "cls.predictions.decoder",
    )  # fmt: skip
    tied = {
        "cls.predictions.decoder.weight": "embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    }
    stand_ins = (  # transformers before 5 tied the biases whatever the configuration says, and wrote one of them
        ("cls.predictions.bias", "cls.predictions.decoder.bias"),
        ("cls.predictions.decoder.bias", "cls.predictions.bias"),
    )


class BertForMaskedLM(BertWordGuesser):
    """BERT that guesses masked words."""


class BertForPreTraining(BertWordGuesser):
    """BERT with both heads it was trained with: prediction_logits (B, T, V) and seq_relationship_logits (B, 2)."""

    output_class = BertForPreTrainingOutput
    purpose = "guess words and to tell whether a sentence follows another"

    @classmethod
    def head_shapes(cls, config: BertConfig) -> dict[str, tuple[int, ...]]:
        return super().head_shapes(config) | BertForNextSentencePrediction.head_shapes(config)

    @classmethod
    def may_lack(cls, stored: Mapping, config: BertConfig) -> list[str]:
        """Either head by itself."""
        return BertForMaskedLM.may_lack(stored, config) + BertForNextSentencePrediction.may_lack(stored, config)

    def prepare_head(self) -> dict[str, tuple]:
        pair = {name: self.prepare_linear(name) for name in ("pooler.dense", "cls.seq_relationship")}
        return super().prepare_head() | pair

    def answer(self, packed: Packed, hidden: np.ndarray) -> dict[str, np.ndarray]:
        return {
            "prediction_logits": packed.unpack(self.guess(hidden)),
            "seq_relationship_logits": tell_sequence(hidden[packed.first], self.head, self.kernels),
        }
