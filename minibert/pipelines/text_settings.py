"""What SentenceEncoder and Reranker share: prompts, and how many tokens of a text are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import InputError, InputTypeError, is_integer, short_repr
from .base import as_text


class TextSettings:
    """Base of the classes for models in sentence-transformers folders. A class sets these attributes in its constructor."""

    model: Any
    sentence_config: Any  # what the folder says: a NamedTuple with `prompts`, `prompt_name` and `longest`, among others
    _longest: int
    least_tokens = 3  # that max_seq_length must leave

    @property
    def prompts(self) -> Mapping[str, str]:
        """Names -> what precedes each text if the name is chosen."""
        return self.sentence_config.prompts

    @prompts.setter
    def prompts(self, prompts: Mapping[str, str]) -> None:
        if not isinstance(prompts, Mapping) or not all(isinstance(text, str) for text in [*prompts, *prompts.values()]):
            raise InputTypeError(f"prompts must map names to texts; got {short_repr(prompts)}.")
        default = self.default_prompt_name if self.default_prompt_name in prompts else None
        self.sentence_config = self.sentence_config._replace(prompts=dict(prompts), prompt_name=default)

    @property
    def default_prompt_name(self) -> str | None:
        """The prompt of calls that name none."""
        return self.sentence_config.prompt_name

    @default_prompt_name.setter
    def default_prompt_name(self, name: str | None) -> None:
        if name is not None:
            prompt_of(self.prompts, name)
        self.sentence_config = self.sentence_config._replace(prompt_name=name)

    @property
    def max_seq_length(self) -> int:
        """Tokens; what is longer is cut."""
        return self._longest

    @max_seq_length.setter
    def max_seq_length(self, longest: int) -> None:
        least, most = self.least_tokens, self.model.architecture.max_tokens
        if not is_integer(longest) or not least <= longest <= most:
            rule = f"max_seq_length must be a whole number from {least} to {most}, the model's positions"
            raise InputError(f"{rule}; got {short_repr(longest)}.")
        self._longest = int(longest)

    def chosen_prompt(self, prompt: str | None, name: str | None) -> str:
        if prompt is not None:
            return as_text(prompt)
        name = self.default_prompt_name if name is None else name
        return "" if name is None else prompt_of(self.prompts, name)


def prompt_of(prompts: Mapping[str, str], name: str) -> str:
    """A model's prompts and the name of one -> the prompt."""
    if not isinstance(name, str) or name not in prompts:
        known = ", ".join(map(repr, prompts)) or "none"
        rule = f"prompt_name is one of the model's prompts, {known}"
        raise InputError(f"{rule}; got {short_repr(name)}. Pass prompt='...' for another.")
    return as_text(prompts[name])


def longest_of(longest: int | None, tokenizer: Any, model: Any) -> int:
    """How many tokens a folder (None: it does not say), its tokenizer and its model's positions allow."""
    limits = (longest, tokenizer.model_max_length, model.architecture.max_tokens)
    return min(limit for limit in limits if limit is not None)
