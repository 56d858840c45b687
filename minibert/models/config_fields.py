"""What configurations of several families share: BERT's names of the fields, and RoBERTa's count of positions.

Each family's own class is in its file in `minibert/families/`; one of them is never another's base, so that a model takes no
other family's configuration.
"""

from __future__ import annotations

from ..config import Architecture, DropoutRates, PreTrainedConfig
from ..errors import ConfigError, short_repr

FIELDS = {  # of every family that has BERT's names of them, and bert-base's values
    "attention_probs_dropout_prob": 0.1,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 768,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
}
SIZES = (
    "hidden_size",
    "intermediate_size",
    "max_position_embeddings",
    "num_attention_heads",
    "num_hidden_layers",
    "vocab_size",
)


class BertFieldsConfig(PreTrainedConfig):
    """A configuration whose fields have BERT's names: BERT's own, and the base of other families'."""

    sizes: tuple[str, ...] = (*SIZES, "type_vocab_size")

    @property
    def architecture(self) -> Architecture:
        return Architecture(
            layers=self.num_hidden_layers,
            width=self.hidden_size,
            heads=self.num_attention_heads,
            feed_forward=self.intermediate_size,
            vocabulary=self.vocab_size,
            positions=self.max_position_embeddings,
            types=self.type_vocab_size if "type_vocab_size" in self.defaults else 1,
            activation=self.activation_named(self.hidden_act),
            eps=self.layer_norm_eps,
            embedding_width=self.hidden_size,
        )

    @property
    def dropout_rates(self) -> DropoutRates:
        hidden = self.hidden_dropout_prob
        head = self.classifier_dropout if "classifier_dropout" in self.defaults else None
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


class RobertaFieldsConfig(BertFieldsConfig):
    """What RoBERTa's configuration has in common with Longformer's."""

    defaults = {**FIELDS, "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1, "type_vocab_size": 2}

    @property
    def architecture(self) -> Architecture:
        return super().architecture._replace(position_padding_id=self.pad_token_id)

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
