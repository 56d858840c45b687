"""A task and its input -> the tokenizer's row and the targets: the logits that are explained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError, InputTypeError
from ..kernels.reference import softmax
from ..pipelines.base import Pipeline, as_text, check_labels
from ..pipelines.fill_mask import FillMaskPipeline
from ..pipelines.question_answering import QuestionAnsweringPipeline
from ..pipelines.text_classification import TextClassificationPipeline, as_pair, default_function
from ..pipelines.token_classification import TokenClassificationPipeline

KEPT_OPTIONS = ("truncation", "max_length", "add_special_tokens")  # of the pipeline, that change its tokens
MAX_TARGETS = 4  # at most so many logits of a text are explained: those of the best labels, or of the tokens with one


class Target(NamedTuple):
    """One logit: output `column` of the head at token `row`."""

    label: str
    row: int
    column: int
    score: str  # how it becomes a score: "softmax" over the outputs, "softmax over tokens", "sigmoid", "none"


class Example(NamedTuple):
    """One input of a task, as the model sees it."""

    texts: tuple[str, ...]
    encoding: Any  # the tokenizer's row
    inputs: dict[str, np.ndarray]  # (1, T) each
    targets: list[Target]
    answer: str  # what the pipeline says, in words


def read_example(pipe: Pipeline, inputs: Any) -> Example:
    """What a pipeline takes as one input -> the example. InputError for a task that is not explained."""
    for pipeline_class, read in READERS.items():
        if isinstance(pipe, pipeline_class):
            return read(pipe, inputs)
    raise InputTypeError(
        "explain takes a pipeline of text-classification, token-classification, question-answering or fill-mask, or a "
        f"SentenceEncoder; got {getattr(pipe, 'task', type(pipe).__name__)}."
    )


def encode(pipe: Pipeline, texts: tuple[str, ...]) -> tuple[Any, dict[str, np.ndarray]]:
    """A text or a pair -> the tokenizer's row, and the model's inputs (1, T)."""
    first, *pair = texts
    options = {name: pipe.options[name] for name in KEPT_OPTIONS if name in pipe.options and name in pipe.tokenizer_options}
    encoded: Any = pipe.encode([first], pair or None, return_offsets_mapping=True, **options)
    inputs = {name: encoded[name] for name in ("input_ids", "token_type_ids", "attention_mask") if name in encoded}
    if inputs["input_ids"].shape[1] == 0:
        raise InputError("a text must have a token to be explained; got none.")
    return encoded[0], inputs


def read_classification(pipe: TextClassificationPipeline, inputs: Any) -> Example:
    """Each label's logit at the first token, the best label first."""
    first, pair = as_pair(inputs)
    texts = (first,) if pair is None else (first, pair)
    encoding, arrays = encode(pipe, texts)
    logits = pipe.model(**arrays).logits[0]
    check_labels(pipe.model.config, logits)
    labels, score = pipe.model.config.id2label, default_function(pipe.model.config)
    best = np.argsort(-logits, kind="stable")[:MAX_TARGETS]
    targets = [Target(labels[int(column)], 0, int(column), score) for column in best]
    return Example(texts, encoding, arrays, targets, targets[0].label)


def read_tokens(pipe: TokenClassificationPipeline, inputs: Any) -> Example:
    """The label of each token that has one other than O; of the first token, if none has."""
    text = as_text(inputs)
    encoding, arrays = encode(pipe, (text,))
    logits, labels = pipe.model(**arrays).logits[0], pipe.model.config.id2label
    check_labels(pipe.model.config, logits)
    best = logits.argmax(axis=1)
    rows = [row for row, special in enumerate(encoding.special_tokens_mask) if not special]
    if not rows:
        raise InputError("a text must have a token to be labeled; got none.")
    labeled = [row for row in rows if labels[int(best[row])] != "O"]
    targets = [
        Target(f"{encoding.tokens[row]}: {labels[int(best[row])]}", row, int(best[row]), "softmax")
        for row in (labeled or rows[:1])[:MAX_TARGETS]
    ]
    answer = ", ".join(f"{encoding.tokens[row]}: {labels[int(best[row])]}" for row in labeled) or "no token has a label"
    return Example((text,), encoding, arrays, targets, answer)


def read_question(pipe: QuestionAnsweringPipeline, inputs: Any) -> Example:
    """The logits of the answer's first token as a start and of its last one as an end."""
    is_pair = isinstance(inputs, Mapping) and set(inputs) == {"question", "context"}
    if not is_pair or not all(isinstance(text, str) for text in inputs.values()):
        raise InputTypeError("to explain an answer, pass {'question': ..., 'context': ...}, two texts.")
    texts = (inputs["question"], inputs["context"])
    encoding, arrays = encode(pipe, texts)
    answer = pipe(question=texts[0], context=texts[1], top_k=1)
    rows = [
        row
        for row, (sequence, (start, end)) in enumerate(zip(encoding.sequence_ids, encoding.offsets))
        if sequence == 1 and start < answer["end"] and end > answer["start"]
    ]
    first, last = (rows[0], rows[-1]) if rows else (0, 0)
    targets = [
        Target(f"start at {encoding.tokens[first]}", first, 0, "softmax over tokens"),
        Target(f"end at {encoding.tokens[last]}", last, 1, "softmax over tokens"),
    ]
    return Example(texts, encoding, arrays, targets, answer["answer"])


def read_mask(pipe: FillMaskPipeline, inputs: Any) -> Example:
    """The logits of the best words for the first mask."""
    text, tokenizer = as_text(inputs), pipe.tokenizer
    encoding, arrays = encode(pipe, (text,))
    selected = arrays["input_ids"] == tokenizer.mask_token_id
    if not selected.any():
        raise InputError(f"each text must have a {tokenizer.mask_token} to fill; got {text!r:.80}.")
    scores = softmax(pipe.model.logits_at(selected, **arrays)[:1])[0]
    row = int(selected[0].argmax())
    best = [int(column) for column in np.argsort(-scores, kind="stable")[:MAX_TARGETS]]
    targets = [Target(tokenizer.decode([column]), row, column, "softmax") for column in best]
    return Example((text,), encoding, arrays, targets, targets[0].label)


READERS: dict[type[Pipeline], Callable[[Any, Any], Example]] = {
    TextClassificationPipeline: read_classification,
    TokenClassificationPipeline: read_tokens,
    QuestionAnsweringPipeline: read_question,
    FillMaskPipeline: read_mask,
}
