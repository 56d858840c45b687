"""What a model returns: fields by name, by key or by index; absent fields are left out."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import InputError, InputTypeError, check_option_names, short_repr, strict_arguments
from ..tensors import to_torch


class ModelOutput(dict):
    """`output.logits`, `output["logits"]`, `output[0]`, `output.to_tuple()`; a field that was not computed is None by name
    and absent otherwise."""

    fields: tuple[str, ...] = ()

    @strict_arguments
    def __init__(self, **values: Any):
        super().__init__()
        if not values.keys() <= set(self.fields):
            check_option_names(type(self).__name__, values, self.fields)
        for name in self.fields:
            if values.get(name) is not None:
                self[name] = values[name]

    def __getattr__(self, name: str) -> Any:
        if name in type(self).fields:
            return self.get(name)
        raise AttributeError(f"{type(self).__name__} has no {name!r}; it has {', '.join(self)}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in type(self).fields:
            raise AttributeError(f"{type(self).__name__} has no {name!r}; it has {', '.join(self.fields)}")
        self[name] = value

    def __getitem__(self, key: str | int | slice) -> Any:
        if isinstance(key, str):
            return super().__getitem__(key)
        try:
            return self.to_tuple()[key]
        except TypeError:
            raise InputTypeError(f"a field's key is its name or its index; got {short_repr(key)}.") from None

    @strict_arguments
    def to_tuple(self) -> tuple:
        return tuple(self.values())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.items())})"


class Loss(np.float32):
    """`output.loss`, a number."""

    def backward(self, *arguments: Any, **options: Any) -> None:
        """InputError: a call computes no gradients."""
        refuse_backward()


def refuse_backward(*arguments: Any, **options: Any) -> None:
    """What `output.loss.backward()` does."""
    raise InputError(
        "a model's call computes no gradients. minibert.loss_and_gradients(model, **batch, labels=labels) returns the loss and "
        "the gradient of each weight; minibert.Trainer trains."
    )


def to_tensors(value: Any) -> Any:
    """A field of an output, NumPy -> torch, memory shared."""
    if value is None:
        return None
    if isinstance(value, tuple):
        return tuple(map(to_torch, value))
    tensor = to_torch(value)
    if isinstance(value, Loss):
        tensor.backward = refuse_backward
    return tensor


class BaseModelOutput(ModelOutput):
    """last_hidden_state (B, T, D); hidden_states, layers + 1 of the same; attentions, layers of (B, H, T, T)."""

    fields = ("last_hidden_state", "hidden_states", "attentions")


class BaseModelOutputWithPooling(ModelOutput):
    """As BaseModelOutput, and pooler_output (B, D) if the checkpoint has a pooler."""

    fields = ("last_hidden_state", "pooler_output", "hidden_states", "attentions")


class SequenceClassifierOutput(ModelOutput):
    """logits (B, labels); loss, if the call had labels, of every output below."""

    fields = ("loss", "logits", "hidden_states", "attentions")


class TokenClassifierOutput(ModelOutput):
    """logits (B, T, labels)."""

    fields = ("loss", "logits", "hidden_states", "attentions")


class QuestionAnsweringModelOutput(ModelOutput):
    """start_logits and end_logits (B, T): how well the answer begins, and ends, with each token."""

    fields = ("loss", "start_logits", "end_logits", "hidden_states", "attentions")


class MaskedLMOutput(ModelOutput):
    """logits (B, T, V): of each word, for each token."""

    fields = ("loss", "logits", "hidden_states", "attentions")


class MultipleChoiceModelOutput(ModelOutput):
    """logits (B, C): each choice's; hidden_states and attentions have all choices one behind the other."""

    fields = ("loss", "logits", "hidden_states", "attentions")


class NextSentencePredictorOutput(ModelOutput):
    """logits (B, 2): it follows, and it does not."""

    fields = ("loss", "logits", "hidden_states", "attentions")


class BertForPreTrainingOutput(ModelOutput):
    """prediction_logits (B, T, V) and seq_relationship_logits (B, 2), what BERT was trained for."""

    fields = ("loss", "prediction_logits", "seq_relationship_logits", "hidden_states", "attentions")


class ElectraForPreTrainingOutput(ModelOutput):
    """logits (B, T): above 0 if the token is a replaced one."""

    fields = ("loss", "logits", "hidden_states", "attentions")


# Longformer's attentions are (B, H, T, X + window + 1), global_attentions (B, H, T, X): `window_layers.py`


class LongformerBaseModelOutputWithPooling(ModelOutput):
    """As BaseModelOutputWithPooling, and global_attentions, if attentions are requested and a token is global."""

    fields = (*BaseModelOutputWithPooling.fields, "global_attentions")


class LongformerSequenceClassifierOutput(ModelOutput):
    """logits (B, labels)."""

    fields = (*SequenceClassifierOutput.fields, "global_attentions")


class LongformerTokenClassifierOutput(ModelOutput):
    """logits (B, T, labels)."""

    fields = (*TokenClassifierOutput.fields, "global_attentions")


class LongformerQuestionAnsweringModelOutput(ModelOutput):
    """start_logits and end_logits (B, T)."""

    fields = (*QuestionAnsweringModelOutput.fields, "global_attentions")


class LongformerMaskedLMOutput(ModelOutput):
    """logits (B, T, V)."""

    fields = (*MaskedLMOutput.fields, "global_attentions")


class LongformerMultipleChoiceModelOutput(ModelOutput):
    """logits (B, C)."""

    fields = (*MultipleChoiceModelOutput.fields, "global_attentions")
