"""Text classification: text -> tokens -> logits -> probabilities -> labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np

from ..config import PreTrainedConfig
from ..errors import InputError, InputTypeError
from ..models.heads import sigmoid, softmax

FUNCTIONS: dict[str, Callable] = {"softmax": softmax, "sigmoid": sigmoid, "none": np.asarray}
BATCH = 32  # rows at once for a list: past that, larger products gain little and take more memory
OPTIONS = ("top_k", "function_to_apply", "batch_size")
TOKENIZER_OPTIONS = ("truncation", "max_length", "padding", "padding_side", "pad_to_multiple_of", "add_special_tokens")
UNSET = object()  # top_k=None means all labels; not giving it, the best one without a list around it


class TextClassificationPipeline:
    """`pipe("text")`: labels with their scores, in the shapes `transformers` returns.

        pipe("a")                          [{"label": ..., "score": ...}]
        pipe(["a", "b"])                   [{...}, {...}]
        pipe("a", top_k=2)                 [{...}, {...}], best first; None for all
        pipe(["a", "b"], top_k=2)          a list of those
        pipe({"text": "a", "text_pair": "b"}), pipe(("a", "b"))    {...}
        pipe(text for text in file)        an iterator, which reads on as it is asked

    The score is the softmax of the logits; their sigmoid where labels do not exclude each other (problem_type
    "multi_label_classification", or one label only); themselves for a regression. `function_to_apply` ("softmax",
    "sigmoid", "none") says otherwise. `batch_size` rows go through the model at once. Other options are of the
    tokenizer's (TOKENIZER_OPTIONS): `truncation=True` cuts a text that is longer than the model's limit, which is otherwise an InputError.
    """

    task = "text-classification"

    def __init__(self, model, tokenizer, **options: Any):
        self.model = model
        self.tokenizer = tokenizer
        self.options = options
        check_options(**options)

    @staticmethod
    def auto_class():
        from ..models.modeling import AutoModelForSequenceClassification

        return AutoModelForSequenceClassification

    def __call__(self, inputs, **options: Any):
        options = {**self.options, **options}
        check_options(**options)
        size = options.pop("batch_size", BATCH if isinstance(inputs, list) else 1)
        if isinstance(inputs, (str, Mapping, tuple)):
            (answer,) = self.answers([inputs], size, **options)
            return answer if not isinstance(inputs, str) or isinstance(answer, list) else [answer]
        if isinstance(inputs, list):
            return list(self.answers(inputs, size, **options))
        if isinstance(inputs, Iterable) and not isinstance(inputs, (bytes, bytearray)):
            return self.answers(inputs, size, **options)
        raise InputTypeError(
            f"a pipeline takes a text, a pair of texts, a list or an iterable of them; got {type(inputs).__name__}."
        )

    def answers(self, inputs: Iterable, batch_size: int, *, top_k=UNSET, function_to_apply: str | None = None,
                **tokenizer_options: Any) -> Iterator:  # fmt: skip
        """The three steps, a batch at a time."""
        name = function_to_apply.lower() if function_to_apply else usual_function(self.model.config)
        rows = iter(inputs)
        while batch := [as_pair(row) for row in islice(rows, batch_size)]:
            encoded = self.encode(batch, tokenizer_options)
            logits = self.model(**encoded).logits  # (B, labels)
            for scores in FUNCTIONS[name](logits):
                yield self.labelled(scores, top_k)

    def encode(self, batch: list[tuple[str, str | None]], options: Mapping[str, Any]) -> Mapping[str, np.ndarray]:
        options = {"padding": True, "return_tensors": "np", "verbose": False, **options}
        texts, pairs = zip(*batch)
        if not any(isinstance(pair, str) for pair in pairs):
            return self.tokenizer(list(texts), **options)
        if all(isinstance(pair, str) for pair in pairs):
            return self.tokenizer(list(texts), list(pairs), **options)
        raise InputError("a batch is of texts or of pairs of texts, not of both; pass batch_size=1 to mix them.")

    def labelled(self, scores: np.ndarray, top_k):
        """scores (labels,) -> the best as a dictionary, or the best `top_k` as a list of them."""
        labels = self.model.config.id2label
        ranked = np.argsort(-scores, kind="stable")  # equal scores: in the labels' order
        best = [{"label": labels[int(index)], "score": float(scores[index])} for index in ranked]
        return best[0] if top_k is UNSET else best[:top_k]


def usual_function(config: PreTrainedConfig) -> str:
    """Which function turns this model's logits into scores."""
    if config.problem_type == "regression":
        return "none"
    if config.problem_type == "multi_label_classification" or config.num_labels == 1:
        return "sigmoid"
    return "softmax"


def as_pair(row) -> tuple[str, str | None]:
    """A text, (text, pair) or {"text": ..., "text_pair": ...} -> (text, pair or None)."""
    if isinstance(row, str):
        return row, None
    texts = row
    if isinstance(row, Mapping) and "text" in row and not set(row) - {"text", "text_pair"}:
        texts = (row["text"], row.get("text_pair"))
    if isinstance(texts, (tuple, list)) and len(texts) == 2:
        if isinstance(texts[0], str) and isinstance(texts[1], (str, type(None))):
            return tuple(texts)
    raise InputTypeError(
        "each input is a text, a (text, pair) or {'text': ..., 'text_pair': ...}; "
        f"got {type(row).__name__}{f' with {sorted(map(str, row))}' if isinstance(row, Mapping) else ''}."
    )


def check_options(**options: Any) -> None:
    """InputError for an option that would fail later, or mean nothing."""
    if "return_all_scores" in options:
        raise InputError("return_all_scores is gone: top_k=None returns every label, best first.")
    unknown = sorted(set(options) - {*OPTIONS, *TOKENIZER_OPTIONS})
    if unknown:
        raise InputError(f"the options are {', '.join(OPTIONS + TOKENIZER_OPTIONS)}; got {', '.join(unknown)}.")
    top_k = options.get("top_k")
    if top_k is not None and (not isinstance(top_k, int) or isinstance(top_k, bool) or top_k < 1):
        raise InputError(f"top_k must be a whole number, 1 or more, or None for all; got {top_k!r}.")
    function = options.get("function_to_apply")
    if function is not None and (not isinstance(function, str) or function.lower() not in FUNCTIONS):
        raise InputError(f"function_to_apply is one of {', '.join(FUNCTIONS)}; got {function!r}.")
    batch_size = options.get("batch_size", 1)
    if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1:
        raise InputError(f"batch_size must be a whole number, 1 or more; got {batch_size!r}.")
