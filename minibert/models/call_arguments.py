"""The arguments of a model's call that are checked before anything is computed. Next: `packing.py`, which reads the inputs."""

from __future__ import annotations

from typing import Any

from ..config import PreTrainedConfig
from ..errors import InputTypeError, read_flag
from ..tensors import check_without_effect


def check_source(input_ids: Any, inputs_embeds: Any) -> None:
    """InputTypeError unless a call has one of the two, and not its inputs in one dictionary."""
    if (input_ids is None) is (inputs_embeds is None):
        passed = "neither" if input_ids is None else "both"
        raise InputTypeError(f"a model takes input_ids (B, T) or inputs_embeds (B, T, E), one of the two; got {passed}.")
    if hasattr(input_ids, "keys"):
        raise InputTypeError(
            f"input_ids must be whole numbers of shape (B, T); got a {type(input_ids).__name__}. "
            "To pass them by their names, call `model(**inputs)`."
        )


def check_of_decoders(head_mask: Any, hidden_states: Any, hidden_mask: Any, past_key_values: Any, use_cache: Any) -> None:
    """InputError for an argument that would mean something to a decoder, or switch heads off."""
    if head_mask is hidden_states is hidden_mask is past_key_values is use_cache is None:
        return
    names = "head_mask", "encoder_hidden_states", "encoder_attention_mask", "past_key_values"
    for name, value in zip(names, (head_mask, hidden_states, hidden_mask, past_key_values)):
        check_without_effect(name, value, (None, False))
    if use_cache is not None:
        read_flag("use_cache", use_cache)  # of an encoder there is nothing to cache: transformers ignores it too


def passed_labels(labels: Any, next_sentence_label: Any, start_positions: Any, end_positions: Any) -> dict[str, Any]:
    """The labels that a call has, by the names of their arguments."""
    if labels is next_sentence_label is start_positions is end_positions is None:
        return {}
    every = {
        "labels": labels,
        "next_sentence_label": next_sentence_label,
        "start_positions": start_positions,
        "end_positions": end_positions,
    }
    return {name: values for name, values in every.items() if values is not None}


def requested(config: PreTrainedConfig, name: str, argument: bool | None) -> bool:
    """A call's flag, or the configuration's if the call has none."""
    value = config.__dict__.get(name) if argument is None else argument
    return value is not None and read_flag(name, value)
