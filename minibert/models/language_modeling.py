"""The masked-LM head: hidden state -> linear, activation, norm -> a logit for each word of the vocabulary.

The last step multiplies by the word embeddings: the weights are tied, and a file may hold them once. With
tie_word_embeddings=False in the configuration, the decoder has weights of its own.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..config import PreTrainedConfig
from .base import ModelWithHead, check_finite
from .checkpoint import linear_shapes, norm_shapes
from .heads import mlm_logits
from .losses import HeadLayer, LossHead, linear_layer
from .outputs import MaskedLMOutput, ModelOutput
from .packing import Packed
from .parameters import Decoder, read_only


class MaskedLMNames(NamedTuple):
    """The names of this head's tensors in a family's checkpoints."""

    transform: str  # module, (E, D)
    norm: str  # module
    bias: str  # tensor: the decoder's bias, if the decoder is tied
    decoder: str  # module: the decoder's own weights, if it is not


class MaskedLM(ModelWithHead):
    """Each word for each token: logits (B, T, V), zeros at padding."""

    output_class: type[ModelOutput] = MaskedLMOutput
    purpose = "guess words"
    head_names: MaskedLMNames
    activation: str | None = None  # an operation; None for the encoder's

    @classmethod
    def head_shapes(cls, config: PreTrainedConfig) -> dict[str, tuple[int, ...]]:
        arch, names = config.architecture, cls.head_names
        transform = linear_shapes(names.transform, arch.embedding_width, arch.width)
        shapes = transform | norm_shapes(names.norm, arch.embedding_width) | {names.bias: (arch.vocabulary,)}
        if not config.tie_word_embeddings:
            shapes |= linear_shapes(names.decoder, arch.vocabulary, arch.embedding_width)
        return shapes

    @classmethod
    def decoder_names(cls, config: PreTrainedConfig) -> tuple[str, str]:
        """The tensors of the last product: the weight (V, E), which is the word embeddings' if tied, and the bias (V,)."""
        names = cls.head_names
        if config.tie_word_embeddings:
            return f"{cls.encoder_names.words}.weight", names.bias
        return f"{names.decoder}.weight", f"{names.decoder}.bias"

    @classmethod
    def loss_heads(cls, config: PreTrainedConfig) -> tuple[LossHead, ...]:
        names = cls.head_names
        transform = linear_layer(names.transform), HeadLayer(cls.activation or config.architecture.activation)
        norm = HeadLayer("layer_norm", f"{names.norm}.weight", f"{names.norm}.bias")
        return (LossHead("token", (*transform, norm, HeadLayer("linear", *cls.decoder_names(config)))),)

    def prepare_head(self) -> dict[str, tuple]:
        arch, names, tensors = self.architecture, self.head_names, self.tensors
        decoder = [tensors[name] for name in self.decoder_names(self.config)]
        transform = tensors[f"{names.transform}.weight"], tensors[f"{names.transform}.bias"]
        return {
            "transform": self.kernels.pack_weights(self.transform_operation, *transform),
            "norm": (tensors[f"{names.norm}.weight"], tensors[f"{names.norm}.bias"], arch.eps),
            "words": self.kernels.pack_weights("linear", *decoder),
        }

    def get_output_embeddings(self) -> Decoder:
        return Decoder(*(read_only(self.tensors[name]) for name in self.decoder_names(self.config)))

    @property
    def transform_operation(self) -> str:
        return f"linear_{self.activation or self.architecture.activation}"

    def mlm_logits(self, hidden: np.ndarray) -> np.ndarray:
        """hidden (N, D) -> logits (N, V)."""
        return mlm_logits(hidden, self.head, self.transform_operation, self.kernels)

    def head_outputs(self, packed: Packed, hidden: np.ndarray) -> dict[str, np.ndarray]:
        return {"logits": packed.unpack(self.mlm_logits(hidden))}

    def logits_at(self, selected: np.ndarray, **inputs: Any) -> np.ndarray:
        """A call's inputs, and P selected tokens of them (B, T) bool -> the logits (P, V) of those alone.

        The product with the word embeddings is 23 of the 108 million multiplications that BERT-base does for a token,
        and a text of 128 tokens would get 16 MB of logits.
        """
        packed = self.pack(**inputs)
        hidden = self.encode(packed)[selected[packed.token_mask]]
        with np.errstate(all="ignore"):
            logits = self.mlm_logits(hidden)
            check_finite(logits)
        return logits


class RobertaLMHead(MaskedLM):
    """RoBERTa's head, which MPNet and Longformer have too."""

    activation = "gelu"  # whatever the encoder's is
    head_names = MaskedLMNames(
        transform="lm_head.dense", norm="lm_head.layer_norm", bias="lm_head.bias", decoder="lm_head.decoder"
    )
    tied_weights = {"lm_head.decoder.weight": "embeddings.word_embeddings.weight", "lm_head.decoder.bias": "lm_head.bias"}
    stand_ins = (  # either bias is enough
        ("lm_head.bias", "lm_head.decoder.bias"),
        ("lm_head.decoder.bias", "lm_head.bias"),
    )
