"""Feature extraction: text -> the last hidden state of each of its tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ..tensors import to_torch
from .base import Pipeline, as_text, batches, check_flag
from .task import TRUNCATE


class FeatureExtractionPipeline(Pipeline):
    """`pipe("text")`: nested lists [1][tokens][dim], in the shapes of `transformers`; for a list, a list of those.

    `return_tensors=True` or "np" gives arrays (1, T, D) instead, "pt" torch tensors. The tokenizer's options stand beside
    the others (`truncation=True`) or in `tokenize_kwargs`; one that is in both is an InputError. For one vector a text, see
    `SentenceEncoder`.
    """

    task = "feature-extraction"
    option_names = ("return_tensors", "tokenize_kwargs")
    tokenizer_mapping = "tokenize_kwargs"
    command_options = (TRUNCATE,)
    command_defaults = {"return_tensors": True}
    answer_types = {"features": [[float]]}

    @staticmethod
    def auto_class() -> Any:
        from ..auto import AutoModel

        return AutoModel

    def to_columns(self, answer: Any) -> dict[str, Any]:
        return {"features": answer[0]}  # (tokens, D) of (1, tokens, D)

    def answers(
        self, inputs: Iterable, batch_size: int, *, return_tensors: bool | str | None = None, **tokenizer_options: Any
    ) -> Iterator:
        forms: dict[Any, Callable] = {None: np.ndarray.tolist, False: np.ndarray.tolist, "pt": to_torch}
        as_answer = forms.get(return_tensors, np.asarray)
        for texts in batches(inputs, batch_size, as_text):
            encoded = self.encode(texts, **tokenizer_options)
            hidden = self.model(**encoded).last_hidden_state  # (B, T, D)
            for mask, row in zip(encoded["attention_mask"].astype(bool), hidden):
                features = row[mask][None]  # (1, tokens, D)
                yield as_answer(features)

    def check(self, options: Mapping[str, Any]) -> None:
        super().check(options)
        tensors = options.get("return_tensors")
        if tensors is not None and not (isinstance(tensors, str) and tensors in ("np", "pt")):
            check_flag("return_tensors", tensors)
