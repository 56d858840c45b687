"""A model of 8 words and one layer, which runs every operation of an encoder and a classifier.

`precompile.py` captures its forward pass to learn which kernels to compile; `minibert.warm_up` runs it.
"""

from __future__ import annotations

from ..config import Architecture, PreTrainedConfig
from .checkpoint import EncoderNames
from .classification import DenseClassifier


class TinyConfig(PreTrainedConfig):
    """Sizes that are the same for every tiny model."""

    model_type = "tiny"
    defaults = {"initializer_range": 0.02, "pad_token_id": 0}

    @property
    def architecture(self) -> Architecture:
        return Architecture(
            layers=1,
            width=64,
            heads=1,
            feed_forward=64,
            vocabulary=8,
            positions=4,
            types=1,
            activation="gelu",
            eps=1e-12,
            embedding_width=64,
        )


class TinyClassifier(DenseClassifier):
    """A two-layer classifier on the first token, as DistilBERT's."""

    config_class = TinyConfig
    encoder_names = EncoderNames(
        prefix="",
        words="words",
        positions="positions",
        types=None,
        embedding_norm="embedding_norm",
        layer="layer.{}",
        query="query",
        key="key",
        value="value",
        attention_out="attention_out",
        attention_norm="attention_norm",
        feed_forward_in="feed_forward_in",
        feed_forward_out="feed_forward_out",
        output_norm="output_norm",
    )
    dense, activation, projection = "dense", "relu", "projection"
