"""The options of a pipeline's call: those of the tokenizer, with what they mean where texts become one array, and unknown ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import did_you_mean
from ..ignored_arguments import DOWNLOADING, LOADING, PIPELINE, PIPELINE_CALLS
from ..loading import ARGUMENTS

TOKENIZER_OPTIONS = ("truncation", "max_length", "padding", "padding_side", "pad_to_multiple_of", "add_special_tokens")


def cuts(truncation: Any) -> bool:
    """Whether this value of the tokenizer's option cuts texts; one that is none the tokenizer refuses."""
    return isinstance(truncation, (bool, str)) and truncation not in (False, "do_not_truncate")


def padded(options: Mapping[str, Any]) -> dict[str, Any]:
    """The tokenizer's options of a call -> those with which its texts are one array. No answer depends on padding.

    As in `transformers`, max_length cuts by itself if neither padding nor truncation is passed, pad_to_multiple_of does
    nothing without padding, and of a max_length that padding=True makes void the tokenizer warns.
    """
    padding, has_length = options.get("padding", False), options.get("max_length") is not None
    if not isinstance(padding, (bool, str)) or padding not in (False, "do_not_pad", "max_length"):
        return {**options, "verbose": has_length}
    options = {**options, "padding": True}
    if has_length and padding is False and options.get("truncation") is None:
        options["truncation"] = True
    if has_length and padding != "max_length":
        options.pop("pad_to_multiple_of", None)
    return options


def instead(unknown: list[str], known: Iterable[str]) -> str:
    """The end of an error about options that a task has not. No option that does nothing is proposed for a close name."""
    elsewhere = [name for name in unknown if name in (*PIPELINE, *ARGUMENTS)]
    if elsewhere:
        return f" Pass {', '.join(elsewhere)} to pipeline() instead."
    if "return_tensors" in unknown:
        return " Answers are Python's own numbers; for tensors call the model: model(**tokenizer(text, return_tensors='pt'))."
    idle = {**PIPELINE_CALLS, **LOADING, **DOWNLOADING}
    return did_you_mean(unknown, [*known, *(name for name in (*PIPELINE, *ARGUMENTS) if name not in idle)])
