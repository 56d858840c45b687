"""Labels the model was never trained on: for each, does the text entail "This example is {label}."?"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import InputError, InputTypeError, MinibertWarning, short_repr, strict_arguments
from ..ignored_arguments import ANY_PADDING, always_cuts
from ..models.heads import softmax
from .base import Pipeline, as_list, as_text, batches, check_flag, check_labels, check_room
from .task import Option


class ZeroShotClassificationPipeline(Pipeline):
    """`pipe("text", ["sports", "politics"])`: {"sequence", "labels", "scores"}, the best label first.

    The model is one trained to tell entailment from contradiction. A label's score is its share in the softmax of all
    labels' entailment; with `multi_label=True`, or one label only, entailment's share against contradiction, each label
    by itself. `candidate_labels` is a list, or a string with commas. A text that is too long is cut, the label never.
    """

    task = "zero-shot-classification"
    option_names = ("candidate_labels", "hypothesis_template", "multi_label")
    tokenizer_options = ("max_length",)
    ignored_options = {
        "padding": ANY_PADDING,
        "truncation": always_cuts("only_first", "A text that is too long is cut, the label never"),
    }
    trained_for = "text-classification"
    command_options = (Option("labels", "the labels to choose from", metavar="A,B,...", parameter="candidate_labels"),)
    required_options = ("labels",)
    answer_types = {"labels": [str], "scores": [float]}

    @strict_arguments
    def __init__(self, model: Any, tokenizer: Any, **options: Any) -> None:
        super().__init__(model, tokenizer, **options)
        names = [str(label).lower() for label in model.config.id2label.values()]
        entailing = [index for index, name in enumerate(names) if name.startswith("entail")]
        if not entailing:
            warnings.warn(
                f"a label of the model must begin with 'entail'; it has {', '.join(names)}. The last is taken for it.",
                MinibertWarning,
                stacklevel=3,
            )
        self.entailment = entailing[0] if entailing else len(names) - 1
        self.contradiction = len(names) - 1 if self.entailment == 0 else 0

    @staticmethod
    def auto_class() -> Any:
        from ..auto import AutoModelForSequenceClassification

        return AutoModelForSequenceClassification

    @strict_arguments
    def __call__(self, sequences: Any, candidate_labels: Any = None, **options: Any) -> Any:  # type: ignore[override]  # transformers' names
        return super().__call__(sequences, **self.with_labels(candidate_labels, options))

    def answered(self, candidate_labels: Any = None, **options: Any) -> Any:
        return super().answered(**self.with_labels(candidate_labels, options))

    def with_labels(self, labels: Any, options: dict[str, Any]) -> dict[str, Any]:
        """A call's options, which have labels, or those of the pipeline do."""
        options = options if labels is None else {**options, "candidate_labels": labels}
        if "candidate_labels" not in {**self.options, **options}:
            raise InputError("zero-shot-classification needs labels; pass candidate_labels=[...].")
        return options

    def answers(
        self,
        inputs: Iterable,
        batch_size: int,
        *,
        candidate_labels: Sequence[str] = (),  # which `with_labels` requires
        multi_label: bool = False,
        hypothesis_template: str = "This example is {}.",
        **tokenizer_options: Any,
    ) -> Iterator:
        labels = candidate_labels
        hypotheses = [hypothesis_template.format(label) for label in labels]
        for texts in batches(inputs, batch_size, as_premise):
            premises = [text for text in texts for _ in labels]
            try:
                encoded = self.encode(premises, hypotheses * len(texts), truncation="only_first", **tokenizer_options)
            except InputError:
                check_room(self, hypotheses, tokenizer_options.get("max_length") or self.limit, "label in its hypothesis")
                raise
            logits = self.run(encoded, batch_size)["logits"].reshape(len(texts), len(labels), -1)
            check_labels(self.model.config, logits)
            if multi_label or len(labels) == 1:
                scores = softmax(logits[..., [self.contradiction, self.entailment]])[..., 1]
            else:
                scores = softmax(logits[..., self.entailment])
            for text, row in zip(texts, scores):
                ranked = np.argsort(-row, kind="stable")
                yield {"sequence": text, "labels": [labels[i] for i in ranked], "scores": row[ranked].tolist()}

    def read_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        options = super().read_options(options)
        if "candidate_labels" in options:
            options["candidate_labels"] = read_labels(options["candidate_labels"])
        return options

    def check(self, options: Mapping[str, Any]) -> None:
        super().check(options)
        check_flag("multi_label", options.get("multi_label", False))
        template = options.get("hypothesis_template", "{}")
        if not isinstance(template, str) or not takes_label(template):
            raise InputError(f"hypothesis_template must have one {{}} where the label goes; got {short_repr(template)}.")


def takes_label(template: str) -> bool:
    try:
        return template.format("a") != template.format("b")
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError):
        return False


def read_labels(labels: Any) -> list[str]:
    """["a", "b"] or "a, b" -> ["a", "b"]"""
    names: list | None
    if isinstance(labels, str):
        names = [label.strip() for label in labels.split(",") if label.strip()]
    else:
        names = as_list(labels)
    if names is None or not all(isinstance(label, str) for label in names):
        raise InputTypeError(f"candidate_labels must be a list of labels, or a string with commas; got {short_repr(labels)}.")
    if not names:
        raise InputError(f"candidate_labels must have a label; got {short_repr(labels)}.")
    return names


def as_premise(row: Any) -> str:
    text = as_text(row)
    if not text:
        raise InputError("each text must have a character, of which a label can be true; got ''. Leave it out.")
    return text
