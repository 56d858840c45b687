"""Explanation: everything that was computed of one text, by names, with shapes; as JSON and as a page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, InputTypeError, short_repr, strict_arguments
from ..files import atomic_write
from ..models.intermediates import Step
from .targets import Target
from .words import Word


@dataclass(frozen=True)
class Explanation(Mapping):
    """Arrays by their names: the steps of `model.intermediates` for the text, and

        targets.logits (G,)             the logits that are explained, and
        targets.scores (G,)             what they become
        layer_logits (layers + 1, G)    the same head on each layer's hidden state
        layer_scores (layers + 1, G)
        norms (layers, 3, T)            the lengths of what came into a layer, of what attention adds, of what the feed-forward adds
        contributions (G, P)            each logit as a sum over `parts`
        contributions.heads (G, layers, H, T)    the share of each head, by the token that it read
        contributions.error (G,)        the sum less the logit
        integrated_gradients (G, T)     each token's share of the logit less the baseline's
        integrated_gradients.error (G,) the sum less that difference
        leave_one_out (G, W)            the logit less the one without the word; NaN if the target's own token is gone
        attention (G, T)                mean over all layers and heads of what the target's token attends to
        changes (C, G)                  the scores with a word changed, as `changes` says
        matches (T, U)                  of two texts' similarity: each pair's share

    `explanation[name]` is a `Step`: `.array`, `.shape`, and `.function`, what computed it.
    """

    task: str
    model: str  # its repr
    answer: str
    subword: str  # the tokenizer's model: WordPiece or BPE
    texts: tuple[str, ...]
    normalized: tuple[str, ...]
    tokens: list[list[str]]  # of each row
    words: list[list[Word]]  # of each row
    targets: list[Target]
    parts: list[str]  # of contributions
    changes: list[tuple[int, str]]  # the index of a word, and what was put in its place
    arrays: dict[str, Step]
    notes: dict[str, str] = field(default_factory=dict)  # a panel that is left out -> why

    def __getitem__(self, name: str) -> Step:
        if name not in self.arrays:
            raise InputError(f"an explanation has {', '.join(self.arrays)}; got {short_repr(name)}.")
        return self.arrays[name]

    def __contains__(self, name: object) -> bool:
        return name in self.arrays

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)

    def __repr__(self) -> str:
        return f"Explanation of {self.answer!r} by {self.model}: {len(self.arrays)} arrays"

    def array(self, name: str) -> np.ndarray:
        return self.arrays[name].array

    def to_json(self) -> str:
        """Everything as one JSON object; arrays as {"shape", "function", "values"}, NaN as null."""
        return json.dumps(
            {
                **self.words_and_names(),
                "arrays": {
                    name: {"shape": step.shape, "function": step.function, "values": plain(step.array)}
                    for name, step in self.arrays.items()
                },
            },
            ensure_ascii=False,
        )

    def words_and_names(self) -> dict[str, Any]:
        """All but the arrays, as JSON takes it."""
        return {
            "task": self.task,
            "model": self.model,
            "answer": self.answer,
            "texts": self.texts,
            "normalized": self.normalized,
            "tokens": self.tokens,
            "words": [[word._asdict() for word in row] for row in self.words],
            "targets": [target._asdict() for target in self.targets],
            "parts": self.parts,
            "changes": self.changes,
            "notes": self.notes,
        }

    def to_html(self) -> str:
        """One page that needs nothing else: no request, no library, no eval."""
        from .page import make_page

        return make_page(self)

    @strict_arguments
    def save(self, path: str | PathLike) -> None:
        """Write the page to a file, or the JSON if its name ends in .json."""
        if not isinstance(path, (str, PathLike)) or not isinstance(fspath(path), str):
            raise InputTypeError(f"a file is named by a string or a path; got {type(path).__name__}.")
        if not fspath(path) or "\0" in fspath(path):
            raise InputError(f"a file's name must have a character, and none that is NUL; got {short_repr(path)}.")
        text = self.to_json() + "\n" if fspath(path).endswith(".json") else self.to_html()
        atomic_write(Path(path), lambda temporary: temporary.write_text(text, encoding="utf-8"))

    def _repr_html_(self) -> str:
        """In a notebook: the page in a frame of its own, so that its style and script stay inside."""
        from html import escape

        page = escape(self.to_html(), quote=True)
        return f'<iframe srcdoc="{page}" sandbox="allow-scripts" style="width: 100%; height: 45rem; border: 0"></iframe>'


def plain(array: np.ndarray) -> Any:
    """An array -> lists, NaN as None."""
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return array.tolist()
    objects = array.astype(object)
    objects[~np.isfinite(array)] = None
    return objects.tolist()
