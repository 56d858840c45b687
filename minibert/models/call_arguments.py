"""The arguments of a model's call that are checked before anything is computed. Next: `packing.py`, which reads the inputs."""

from __future__ import annotations

from typing import Any, NoReturn

from ..errors import InputTypeError, read_flag
from ..tensors import check_without_effect


def refuse_source(input_ids: Any, inputs_embeds: Any) -> NoReturn:
    """InputTypeError for a call with neither or both of the two, or with its inputs in one dictionary."""
    if input_ids is not None and inputs_embeds is not None:
        raise InputTypeError("input_ids and inputs_embeds stand for each other; got both. Pass one of them.")
    if input_ids is None and inputs_embeds is None:
        raise InputTypeError("input_ids must be whole numbers of shape (B, T); got None, and no inputs_embeds in their place.")
    source = input_ids if inputs_embeds is None else inputs_embeds
    raise InputTypeError(
        f"input_ids must be whole numbers of shape (B, T); got a {type(source).__name__}. To pass what it holds by its names, "
        "call `model(**inputs)`."
    )


def check_of_decoders(head_mask: Any, hidden_states: Any, hidden_mask: Any, past_key_values: Any, use_cache: Any) -> None:
    """InputError for an argument that would mean something to a decoder, or switch heads off."""
    names = "head_mask", "encoder_hidden_states", "encoder_attention_mask", "past_key_values"
    for name, value in zip(names, (head_mask, hidden_states, hidden_mask, past_key_values)):
        check_without_effect(name, value, (None, False))
    if use_cache is not None:
        read_flag("use_cache", use_cache)  # of an encoder there is nothing to cache: transformers ignores it too


def passed_labels(labels: Any, next_sentence_label: Any, start_positions: Any, end_positions: Any) -> dict[str, Any]:
    """The labels that a call has, by the names of their arguments."""
    every = {
        "labels": labels,
        "next_sentence_label": next_sentence_label,
        "start_positions": start_positions,
        "end_positions": end_positions,
    }
    return {name: values for name, values in every.items() if values is not None}
