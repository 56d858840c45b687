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
from .collators import converted, padding_of, read_rows, read_tensor_type
from .data import collate
from .option_readers import read_count, read_real
from .overrides import check_collator_methods


class DataCollatorForLanguageModeling:
    """Rows -> a batch whose `labels` are the tokens that were masked, and −100 elsewhere; under transformers' name.

    `mask_replace_prob` of the chosen tokens become [MASK], `random_replace_prob` another token. Tokens are special if a row's
    special_tokens_mask says so, or else if the tokenizer does.
    """

    padding, max_length = True, None  # as of the other collators

    @strict_arguments
    def __init__(
        self,
        tokenizer: Any,
        mlm: bool = True,
        whole_word_mask: bool = False,
        mlm_probability: float = 0.15,
        mask_replace_prob: float = 0.8,
        random_replace_prob: float = 0.1,
        pad_to_multiple_of: int | None = None,
        return_tensors: str | None = "np",
        seed: int | None = None,
    ):
        check_collator_methods(self)
        if not read_flag("mlm", mlm):
            raise InputError("minibert trains encoders: mlm must be True.")
        if read_flag("whole_word_mask", whole_word_mask):
            raise InputError("tokens are masked one by one: whole_word_mask must be False; got True. Leave it out.")
        self.mlm_probability = read_real("mlm_probability", mlm_probability, above=0, below=1.0)
        self.mask_replace_prob = read_real("mask_replace_prob", mask_replace_prob)
        self.random_replace_prob = read_real("random_replace_prob", random_replace_prob)
        if self.mask_replace_prob + self.random_replace_prob > 1 + 1e-9:
            raise InputError(
                "mask_replace_prob and random_replace_prob are shares of the chosen tokens, at most 1 together; got "
                f"{mask_replace_prob:g} and {random_replace_prob:g}."
            )
        names = ("mask_token_id", "pad_token_id", "all_special_ids")
        if any(getattr(tokenizer, name, None) is None for name in names):
            raise InputTypeError(f"tokenizer must have a mask, padding and special tokens; got {short_repr(tokenizer)}.")
        self.mask_token_id, self.pad_token_id, special = (getattr(tokenizer, name) for name in names)
        self.special_ids, self.vocabulary = np.array(sorted(special)), len(tokenizer)
        self.tokenizer, self.pad_to_multiple_of, self.return_tensors = tokenizer, pad_to_multiple_of, return_tensors
        read_tensor_type(return_tensors)  # a wrong value is an error now
        padding_of(self)
        self.random = np.random.default_rng(None if seed is None else read_count("seed", seed))

    @strict_arguments
    def __call__(self, features: Sequence[Mapping], return_tensors: str | None = None) -> dict[str, Any]:
        return self.mask(features, self.random, return_tensors)

    def with_key(self, key: tuple[int, ...]) -> Callable:
        """The same, but with masks that depend on the key alone: how the Trainer calls it, unless a subclass has a `__call__`
        of its own."""
        if type(self).__call__ is not DataCollatorForLanguageModeling.__call__:
            return self
        return partial(self.mask, random=np.random.default_rng(key))

    def mask(
        self, features: Sequence[Mapping], random: np.random.Generator, return_tensors: str | None = None
    ) -> dict[str, Any]:
        tensor_type = read_tensor_type(self.return_tensors if return_tensors is None else return_tensors)
        rows = [{name: row[name] for name in row if name != "labels"} for row in read_rows(features)]
        batch = collate(rows, padding_of(self))
        ids, special = batch["input_ids"], batch.pop("special_tokens_mask", None)
        free = (batch["attention_mask"] != 0) & (~np.isin(ids, self.special_ids) if special is None else special == 0)
        chosen = free & (random.random(ids.shape) < self.mlm_probability)
        fate = random.random(ids.shape)
        other = random.integers(0, self.vocabulary, ids.shape)
        replaced = np.where(fate < self.mask_replace_prob + self.random_replace_prob, other, ids)
        masked = np.where(fate < self.mask_replace_prob, self.mask_token_id, replaced)
        batch |= {"input_ids": np.where(chosen, masked, ids), "labels": np.where(chosen, ids, IGNORED)}
        return converted(batch, rows, tensor_type)
