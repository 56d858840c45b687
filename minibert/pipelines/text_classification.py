"""Text classification: text -> tokens -> logits -> probabilities -> labels."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ..config import PreTrainedConfig
from ..errors import InputError, InputTypeError, MinibertWarning, short_repr, strict_arguments
from ..kernels.reference import softmax
from ..models.heads import sigmoid
from .base import Pipeline, batches, check_choice, check_count, check_labels
from .call_options import cuts
from .streaming import type_name
from .task import STRIDE, TRUNCATE, Option

FUNCTIONS: dict[str, Callable] = {"softmax": softmax, "sigmoid": sigmoid, "none": np.asarray}
UNSET = object()  # top_k=None means all labels; not giving it, the best one without a list around it


class TextClassificationPipeline(Pipeline):
    """`pipe("text")`: labels with their scores, in the shapes `transformers` returns.

        pipe("a")                          [{"label": ..., "score": ...}]
        pipe(["a", "b"])                   [{...}, {...}]
        pipe("a", top_k=2)                 [{...}, {...}], best first; None for all. Of a pipeline with top_k: [[{...}, {...}]]
        pipe(["a", "b"], top_k=2)          a list of those
        pipe({"text": "a", "text_pair": "b"}), pipe(("a", "b"))    {...}
        pipe([("a", "b")]), pipe([[["a", "b"]]])                   [{...}]
        pipe(text for text in file)        an iterator, which reads on as it is asked

    The score is the softmax of the logits; their sigmoid where labels do not exclude each other (problem_type
    "multi_label_classification", or one label only); themselves for a regression. `function_to_apply` ("softmax",
    "sigmoid", "none") says otherwise. A text that is longer than the model's limit is an InputError, unless
    `truncation=True` cuts it, or `stride=n` reads it all: in windows of the model's limit or `max_length` tokens, each
    sharing n with the one before. The logits are then the mean of the windows', weighted by how many tokens each has.
    Other options are of the tokenizer's (TOKENIZER_OPTIONS).
    """

    task = "text-classification"
    option_names = ("top_k", "function_to_apply", "stride")
    inputs = "a text, a pair of texts, a list or an iterable of them"
    default_model = "minibert-sst2"
    command_options = (
        Option(
            "pair_column", "the column with the second text of each pair", metavar="NAME", input="text_pair", is_column=True
        ),
        Option("top_k", "the N best labels of each text", int, "N", parameter="top_k"),
        TRUNCATE,
        STRIDE,
    )

    @staticmethod
    def auto_class() -> Any:
        from ..auto import AutoModelForSequenceClassification

        return AutoModelForSequenceClassification

    @strict_arguments
    def __call__(self, inputs: Any, **options: Any) -> Any:
        answer = super().__call__(inputs, **options)
        return [answer] if isinstance(inputs, str) and "top_k" not in options else answer

    @property
    def answer_types(self) -> dict[str, Any]:
        answer = {"label": str, "score": float}
        return {"labels": [answer]} if "top_k" in self.options else answer

    def to_columns(self, answer: Any) -> dict[str, Any]:
        return {"labels": answer} if isinstance(answer, list) else answer

    def answers(
        self,
        inputs: Iterable,
        batch_size: int,
        *,
        top_k: Any = UNSET,
        function_to_apply: str | None = None,
        stride: int | None = None,
        **tokenizer_options: Any,
    ) -> Iterator:
        """The three steps, a batch at a time."""
        name = function_to_apply.lower() if function_to_apply else default_function(self.model.config)
        for batch in batches(inputs, batch_size, as_pair):
            texts, pairs = columns(batch)
            if stride is None:
                logits = self.model(**self.encode(texts, pairs, **tokenizer_options)).logits  # (B, labels)
            else:
                logits = self.logits_of_windows(texts, pairs, batch_size, stride=stride, **tokenizer_options)
            if logits.shape[-1] > len(self.model.config.id2label):  # here, as a single text's call passes few functions
                check_labels(self.model.config, logits)
            for scores in FUNCTIONS[name](logits):
                yield self.top_labels(scores, top_k)

    def logits_of_windows(self, texts: list, pairs: list | None, batch_size: int, **options: Any) -> np.ndarray:
        """Texts of any length -> the mean of their windows' logits (B, labels), weighted by the windows' tokens."""
        if pairs is not None:
            raise InputError("stride reads one long text in windows; got pairs of texts. Pass truncation=True instead.")
        encoded, bounds = self.windows(texts, **options)
        weights = (encoded["special_tokens_mask"] == 0).sum(axis=1, keepdims=True)  # (windows, 1)
        logits = self.run(encoded, batch_size)["logits"]
        means = []
        for start, stop in zip(bounds[:-1], bounds[1:]):
            shares = weights[start:stop] / max(weights[start:stop].sum(), 1) if stop - start > 1 else 1.0
            means.append((logits[start:stop] * shares).sum(axis=0, dtype=np.float64).astype(np.float32))
        return np.stack(means)

    def top_labels(self, scores: np.ndarray, top_k: Any) -> Any:
        """scores (labels,) -> the best as a dictionary, or the best `top_k` as a list of them."""
        labels = self.model.config.id2label
        ranked = np.argsort(-scores, kind="stable")  # equal scores: in the labels' order
        best = [{"label": labels[int(index)], "score": float(scores[index])} for index in ranked]
        return best[0] if top_k is UNSET else best[:top_k]

    def read_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        options = dict(options)
        if "return_all_scores" in options:
            del options["return_all_scores"]
            warnings.warn(
                "return_all_scores does nothing, as in transformers 5. Pass top_k=None for every label, best first.",
                MinibertWarning,
                stacklevel=5,
            )
        return super().read_options(options)

    def check(self, options: Mapping[str, Any]) -> None:
        super().check(options)
        if options.get("top_k") is not None:
            check_count("top_k", options["top_k"], ", or None for all")
        if options.get("function_to_apply") is not None:
            check_choice("function_to_apply", options["function_to_apply"], FUNCTIONS)
        if options.get("stride") is not None:
            check_count("stride", options["stride"], least=0)
            if "truncation" in options and not cuts(truncation := options["truncation"]):
                raise InputError(
                    f"stride reads a long text in windows; got truncation={short_repr(truncation)} beside it. Leave one out."
                )


def default_function(config: PreTrainedConfig) -> str:
    """Which function turns this model's logits into scores."""
    if config.problem_type == "regression":
        return "none"
    if config.problem_type == "multi_label_classification" or len(config.id2label) == 1:
        return "sigmoid"
    return "softmax"


def as_pair(row: Any) -> tuple[str, str | None]:
    """A text, (text, pair), [[text, pair]] or {"text": ..., "text_pair": ...} -> (text, pair or None)."""
    if isinstance(row, str):
        return row, None
    texts = row
    if isinstance(row, list):  # as `transformers` has it: a list of two could as well be two texts
        texts = row[0] if len(row) == 1 and isinstance(row[0], list) else None
    if isinstance(row, Mapping) and "text" in row and not set(row) - {"text", "text_pair"}:
        texts = (row["text"], row.get("text_pair"))
    is_pair = isinstance(texts, (tuple, list)) and len(texts) == 2
    if is_pair and isinstance(texts[0], str) and isinstance(texts[1], (str, type(None))):
        return tuple(texts)
    pair = " Pass a pair as {'text': ..., 'text_pair': ...}." if isinstance(row, list) else ""
    keys = f" with {short_repr(list(row))}" if isinstance(row, Mapping) else ""
    raise InputTypeError(
        f"each input is a text, a (text, pair) or {{'text': ..., 'text_pair': ...}}; got {type_name(row)}{keys}.{pair}"
    )


def columns(batch: list[tuple[str, str | None]]) -> tuple[list, list | None]:
    """Rows of (text, pair or None) -> the texts, and the pairs where there are any."""
    texts, pairs = map(list, zip(*batch))
    if pairs.count(None) == len(pairs):
        return texts, None
    if None not in pairs:
        return texts, pairs
    raise InputError("a batch is of texts or of pairs of texts, not of both; pass batch_size=1 to mix them.")
