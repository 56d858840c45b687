"""A text with a word left out, or another in its place, computed again by the model: what really happens then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..models.base import PreTrainedModel
from ..tokenization.stages.template import SPACE_CHARACTER
from .readout import Readout
from .targets import Target
from .words import Word, subword_of

BATCH = 32  # texts at once
CHANGED_WORDS = 5  # those whose absence changes most are replaced
NEIGHBORS = 3  # by so many words whose embeddings are nearest, each in turn


class Variant(NamedTuple):
    """A row with some of its tokens replaced by others, of any number."""

    first: int
    last: int  # tokens first to last - 1 are replaced
    ids: tuple[int, ...] = ()

    def apply(self, values: np.ndarray, fill: Sequence[int]) -> np.ndarray:
        return np.concatenate([values[: self.first], np.array(fill, values.dtype), values[self.last :]])

    def row(self, row: int) -> int | None:
        """Where a token of the row is now; None if it is not there. A replaced token is where its first successor is."""
        if row < self.first:
            return row
        if row >= self.last:
            return row + len(self.ids) - (self.last - self.first)
        return self.first if self.ids else None


def outcomes(
    model: PreTrainedModel, readout: Readout, inputs: Mapping[str, np.ndarray], targets: list[Target], variants: list[Variant]
) -> tuple[np.ndarray, np.ndarray]:
    """Each variant of a row -> the targets' logits and scores, (S, G) each; NaN if the target's token is left out."""
    logits, scores = [np.empty((0, len(targets)))], [np.empty((0, len(targets)))]
    for first in range(0, len(variants), BATCH):
        chunk = variants[first : first + BATCH]
        packed = model.pack(**padded(model, inputs, chunk))
        hidden = np.split(model.encode(packed), packed.bounds[1:-1])
        rows = [[variant.row(target.row) for target in targets] for variant in chunk]
        for collected, values in zip((logits, scores), readout.targets(hidden, targets, rows)):
            collected.append(values)
    return np.concatenate(logits), np.concatenate(scores)


def padded(model: PreTrainedModel, inputs: Mapping[str, np.ndarray], variants: list[Variant]) -> dict[str, np.ndarray]:
    """A row's inputs (1, T) and its variants -> those of a batch."""
    ids = inputs["input_ids"][0]
    types = inputs["token_type_ids"][0] if "token_type_ids" in inputs else np.zeros_like(ids)
    rows = [variant.apply(ids, variant.ids) for variant in variants]
    of_types = [variant.apply(types, (types[variant.first],) * len(variant.ids)) for variant in variants]
    longest = max(map(len, rows))
    batch = {
        "input_ids": np.full((len(rows), longest), model.config.pad_token_id or 0),
        "token_type_ids": np.zeros((len(rows), longest), np.intp),
        "attention_mask": np.zeros((len(rows), longest), np.intp),
    }
    for index, (row, own) in enumerate(zip(rows, of_types)):
        batch["input_ids"][index, : len(row)] = row
        batch["token_type_ids"][index, : len(row)] = own
        batch["attention_mask"][index, : len(row)] = 1
    return batch


class Change(NamedTuple):
    """A word, and what was put in its place."""

    word: int
    replacement: str
    variant: Variant


def proposed_changes(
    tokenizer: Any, table: np.ndarray, words: list[Word], importance: np.ndarray, replacements: Sequence[str] | None
) -> list[Change]:
    """The words whose absence changes most, by `importance` (W,) -> each with the mask in its place, and with the caller's
    words, or the nearest in the table of embeddings (V, E)."""
    ranked = [int(index) for index in np.argsort(-np.nan_to_num(importance), kind="stable")[:CHANGED_WORDS]]
    neighbors = {} if replacements is not None else nearest_words(tokenizer, table, [words[index] for index in ranked])
    changes = []
    for index in sorted(ranked):
        word = words[index]
        if tokenizer.mask_token is not None and tokenizer.mask_token_id < len(table):
            changes.append(Change(index, tokenizer.mask_token, Variant(word.first, word.last, (tokenizer.mask_token_id,))))
        before = " " if word.pieces[0].startswith(SPACE_CHARACTER) else ""  # which is part of a token of byte-level BPE
        for text in neighbors[word] if replacements is None else replacements:
            ids = tuple(tokenizer.encode(before + text, add_special_tokens=False))
            if ids:
                changes.append(Change(index, text, Variant(word.first, word.last, ids)))
    return changes


def nearest_words(tokenizer: Any, table: np.ndarray, words: list[Word]) -> dict[Word, list[str]]:
    """Words -> for each the NEIGHBORS whole words of the vocabulary whose embeddings have the largest cosine with its own, the
    mean of its pieces'."""
    prefix = SPACE_CHARACTER if subword_of(tokenizer) == "BPE" else ""  # of a token that begins a word
    vocabulary = [
        (token, index)
        for token, index in tokenizer.get_vocab().items()
        if token.startswith(prefix) and token.removeprefix(prefix).isalpha() and index < len(table)
    ]
    if not vocabulary:
        return {word: [] for word in words}
    tokens, rows = [token for token, _ in vocabulary], table[[index for _, index in vocabulary]]
    lengths = np.maximum(np.linalg.norm(rows, axis=1), 1e-12)
    nearest = {}
    for word in words:
        own = table[tokenizer.convert_tokens_to_ids(list(word.pieces))].mean(axis=0)
        order = np.argsort(-(rows @ own) / lengths, kind="stable")[: NEIGHBORS + 8]
        texts = [tokenizer.convert_tokens_to_string([tokens[int(index)]]).strip() for index in order]
        nearest[word] = [text for text in texts if text.isalpha() and text.lower() != word.text.lower()][:NEIGHBORS]
    return nearest
