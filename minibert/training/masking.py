"""Masked language modeling: tokens -> the same with some of them masked, and which ones were there as labels.

Of the tokens that are not special, a share is chosen (15 %); of those, 80 % become [MASK], 10 % another token at random, and
10 % stay (BERT, arXiv:1810.04805, 3.1). Which ones depends on the key of the batch alone: seed and step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..errors import InputError, InputTypeError, read_flag, short_repr, strict_arguments
from ..models.labels import IGNORED
from .data import Rows, collate
from .option_readers import read_count, read_real

MASKED, REPLACED = 0.8, 0.1


class DataCollatorForLanguageModeling:
    """Rows -> a batch whose `labels` are the tokens that were masked, and −100 elsewhere; under transformers' name."""

    @strict_arguments
    def __init__(self, tokenizer: Any, mlm: bool = True, mlm_probability: float = 0.15, seed: int | None = None):
        if not read_flag("mlm", mlm):
            raise InputError("minibert trains encoders: mlm must be True.")
        self.mlm_probability = read_real("mlm_probability", mlm_probability, above=0, below=1.0)
        names = ("mask_token_id", "pad_token_id", "all_special_ids")
        if any(getattr(tokenizer, name, None) is None for name in names):
            raise InputTypeError(f"tokenizer must have a mask, padding and special tokens; got {short_repr(tokenizer)}.")
        self.mask_token_id, self.pad_token_id, special = (getattr(tokenizer, name) for name in names)
        self.special_ids, self.vocabulary = np.array(sorted(special)), len(tokenizer)
        self.random = np.random.default_rng(None if seed is None else read_count("seed", seed))

    @strict_arguments
    def __call__(self, features: Sequence[Mapping]) -> dict[str, np.ndarray]:
        return self.mask(features, self.random)

    def with_key(self, key: tuple[int, ...]) -> Callable:
        """The same, but with masks that depend on the key alone: how the Trainer calls it."""
        return partial(self.mask, random=np.random.default_rng(key))

    def mask(self, features: Sequence[Mapping], random: np.random.Generator) -> dict[str, np.ndarray]:
        rows = Rows("features", features)
        inputs = [{name: row[name] for name in row if name != "labels"} for row in map(rows.__getitem__, range(len(rows)))]
        batch = collate(inputs, self.pad_token_id)
        ids = batch["input_ids"]
        free = (batch["attention_mask"] != 0) & ~np.isin(ids, self.special_ids)
        chosen = free & (random.random(ids.shape) < self.mlm_probability)
        fate = random.random(ids.shape)
        other = random.integers(0, self.vocabulary, ids.shape)
        masked = np.where(fate < MASKED, self.mask_token_id, np.where(fate < MASKED + REPLACED, other, ids))
        return {**batch, "input_ids": np.where(chosen, masked, ids), "labels": np.where(chosen, ids, IGNORED)}
