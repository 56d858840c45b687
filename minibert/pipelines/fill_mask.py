"""Fill in the blank: text with [MASK] -> the words that fit best."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ..errors import InputError, InputTypeError, MinibertWarning, short_repr, strict_arguments
from ..models.heads import softmax
from .base import Pipeline, as_list, as_text, batches, check_count
from .task import TRUNCATE, Option


class FillMaskPipeline(Pipeline):
    """`pipe("a [MASK] movie")`: the best words, in the shapes of `transformers`.

        pipe("a [MASK] movie")        [{"score", "token", "token_str", "sequence"}, ...], best first
        pipe("[MASK] [MASK]")         one such list for each mask; each mask is filled by itself
        pipe(["a [MASK]", "[MASK]"])  a list of those; of one text, that text's answer

    `top_k` words (5), or, with `targets`, the best of those; a target that is not a token stands for its first one, with
    a warning. Scores are of all words. The tokenizer's options stand beside the others (`truncation=True`) or in
    `tokenizer_kwargs`; one that is in both is an InputError.
    """

    task = "fill-mask"
    option_names = ("top_k", "targets", "tokenizer_kwargs")
    tokenizer_mapping = "tokenizer_kwargs"
    may_start_from = ()
    command_options = (Option("top_k", "the N best words for each mask (5)", int, "N", parameter="top_k"), TRUNCATE)
    answer_types = {"words": [{"token_str": str, "score": float, "sequence": str}]}

    @staticmethod
    def auto_class() -> Any:
        from ..auto import AutoModelForMaskedLM

        return AutoModelForMaskedLM

    @strict_arguments
    def __call__(self, inputs: Any, **options: Any) -> Any:
        answer = super().__call__(inputs, **options)
        return answer[0] if isinstance(inputs, list) and len(inputs) == 1 else answer

    def to_columns(self, answer: Any) -> dict[str, Any]:
        masks = [answer] if isinstance(answer[0], dict) else answer
        return {"words": [{key: word[key] for key in ("token_str", "score", "sequence")} for words in masks for word in words]}

    def answers(
        self, inputs: Iterable, batch_size: int, *, top_k: int | None = 5, targets: Any = None, **tokenizer_options: Any
    ) -> Iterator:
        if self.tokenizer.mask_token_id is None:
            raise InputError("fill-mask needs a tokenizer with a mask_token; this one has none.")
        choice = None if targets is None else self.target_ids(targets)
        for texts in batches(inputs, batch_size, as_text):
            encoded = self.encode(texts, **tokenizer_options)
            masks = encoded["input_ids"] == self.tokenizer.mask_token_id  # (B, T)
            for text, row in zip(texts, masks):
                if not row.any():
                    raise InputError(f"each text must have a {self.tokenizer.mask_token} to fill; got {text!r:.80}.")
            if choice is not None and choice.max() >= self.model.config.vocab_size:
                raise InputError(
                    f"a target must be one of the model's {self.model.config.vocab_size} tokens; got the id {choice.max()}. "
                    "Was a token added to the tokenizer alone?"
                )
            logits = np.split(self.model.logits_at(masks, **encoded), masks.sum(axis=1).cumsum()[:-1])
            for ids, row in zip(encoded["input_ids"], logits):
                yield self.filled(ids, row, 5 if top_k is None else top_k, choice)

    def filled(self, ids: np.ndarray, logits: np.ndarray, top_k: int, choice: np.ndarray | None) -> list:
        """ids (T,) of a row, logits (masks, V) -> its answer."""
        positions = np.flatnonzero(ids == self.tokenizer.mask_token_id)
        answers = []
        for position, scores in zip(positions.tolist(), softmax(logits)):
            among = np.arange(len(scores)) if choice is None else choice
            best = among[np.argsort(-scores[among], kind="stable")[:top_k]]
            answers.append([self.proposal(ids, position, int(token), scores, len(positions) == 1) for token in best])
        return answers[0] if len(positions) == 1 else answers

    def proposal(self, ids: np.ndarray, position: int, token: int, scores: np.ndarray, only: bool) -> dict:
        """Where there are other masks, the sequence shows the special tokens, for they are of them."""
        row = ids.copy()
        row[position] = token
        sequence = self.tokenizer.decode(row[row != self.tokenizer.pad_token_id], skip_special_tokens=only)
        return {
            "score": float(scores[token]),
            "token": token,
            "token_str": self.tokenizer.decode([token]),
            "sequence": sequence,
        }

    def target_ids(self, targets: list[str]) -> np.ndarray:
        """Words -> the ids of those that are tokens, and of the others' first tokens, each once."""
        vocabulary = self.tokenizer.get_vocab()
        ids = []
        for target in targets:
            if target in vocabulary:
                ids.append(vocabulary[target])
                continue
            pieces = self.tokenizer.encode(target, add_special_tokens=False)
            if not pieces:
                raise InputError(f"a target must have a letter or a sign; got {target!r}.")
            instead = self.tokenizer.convert_ids_to_tokens(pieces[0])
            message = f"the target {target!r} is no token; {instead!r} stands for it."
            warnings.warn(message, MinibertWarning, stacklevel=4)
            ids.append(pieces[0])
        return np.array(list(dict.fromkeys(ids)))

    def read_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        options = super().read_options(options)
        if options.get("targets") is not None:
            options["targets"] = read_targets(options["targets"])
        return options

    def check(self, options: Mapping[str, Any]) -> None:
        super().check(options)
        if options.get("top_k") is not None:
            check_count("top_k", options["top_k"])


def read_targets(targets: Any) -> list[str]:
    words = [targets] if isinstance(targets, str) else as_list(targets)
    if not words or not all(isinstance(word, str) for word in words):
        raise InputTypeError(f"targets must be a word or a list of words; got {short_repr(targets)}.")
    return words
