"""What each task of `minibert train` makes of a file's columns: rows of token ids with labels, and figures of predictions.

    text-classification         a text, or two, and a class
    multi-label-classification  a text, or two, and any number of labels
    regression                  a text, or two, and a number
    token-classification        words and a tag for each
    masked-lm                   a text

Labels get their names from the data. Next: `model_card.py`; `minibert/cli/train.py` reads the files.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..config import PreTrainedConfig
from ..errors import InputError, short_repr
from ..models.labels import IGNORED
from . import metrics
from .evaluation import EvalPrediction

Columns = Mapping[str, Any]  # one row of a file


class TaskOptions(NamedTuple):
    text_column: str = "text"
    pair_column: str | None = None
    label_column: str = "label"
    label_separator: str = ","
    max_length: int | None = None
    teacher_column: str | None = None


class TrainingTask(NamedTuple):
    """A task: its head, what it reads of a row, and its figures; the first is chosen if none is."""

    head: str  # the end of the class's name
    read_label: Callable[[Columns, TaskOptions], Any] | None  # a row's label, before it has a number; None: it has none
    encode: Callable[[Any, Columns, Any, TaskOptions], dict[str, Any]]  # tokenizer, row, label -> a row of ids
    figures: Callable[[EvalPrediction, list[str]], dict[str, float]] | None  # predictions, names of labels -> figures
    metrics: tuple[str, ...]
    problem_type: str | None = None


# --- A row's texts ---------------------------------------------------------------------------------------------------


def column(row: Columns, name: str) -> Any:
    if name not in row:
        raise InputError(f"there is no column {name!r}; there are {', '.join(map(repr, row))}.")
    return row[name]


def text_of(row: Columns, name: str) -> str:
    text = column(row, name)
    if not isinstance(text, str):
        raise InputError(f"column {name!r} must be text; got {short_repr(text)}.")
    return text


def encode_text(tokenizer: Any, row: Columns, label: Any, options: TaskOptions) -> dict[str, Any]:
    """A text, or a pair of them, cut to the model's limit or to max_length."""
    pair = None if options.pair_column is None else text_of(row, options.pair_column)
    encoding = tokenizer(text_of(row, options.text_column), pair, truncation=True, max_length=options.max_length)
    return {**encoding, **({} if label is None else {"labels": label})}


def encode_words(tokenizer: Any, row: Columns, tags: Any, options: TaskOptions) -> dict[str, Any]:
    """Words and their tags; the first token of each word has its tag, the others −100, as in transformers' examples."""
    words = words_of(column(row, options.text_column))
    if len(words) != len(tags):
        raise InputError(f"each word must have a tag; got {len(words)} words and {len(tags)} tags.")
    encoding = tokenizer(words, is_split_into_words=True, truncation=True, max_length=options.max_length)
    labels, previous = [], None
    for word in encoding.word_ids(0):
        labels.append(IGNORED if word is None or word == previous else tags[word])
        previous = word
    return {**encoding, "labels": labels}


def words_of(value: Any) -> list[str]:
    """A list of words, or a text that blanks separate."""
    words = value.split() if isinstance(value, str) else value
    if not isinstance(words, (list, tuple)) or not all(isinstance(word, str) for word in words) or not words:
        raise InputError(f"words must be a list, or a text with blanks between them; got {short_repr(value)}.")
    return list(words)


# --- A row's label ---------------------------------------------------------------------------------------------------


def read_class(row: Columns, options: TaskOptions) -> str:
    value = column(row, options.label_column)
    if value is None or value == "" or isinstance(value, (list, dict)):
        raise InputError(f"column {options.label_column!r} must be one label; got {short_repr(value)}.")
    return label_name(value)


def label_name(value: Any) -> str:
    return value if isinstance(value, str) else str(int(value) if isinstance(value, float) and value.is_integer() else value)


def read_labels(row: Columns, options: TaskOptions) -> list[str]:
    """A list of labels, or a text that a separator divides; the empty text has none."""
    value = column(row, options.label_column)
    parts = value.split(options.label_separator) if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)):
        raise InputError(f"column {options.label_column!r} must be labels, such as 'a,b'; got {short_repr(value)}.")
    return [name for part in parts if (name := label_name(part).strip())]


def read_number(row: Columns, options: TaskOptions) -> float:
    value = column(row, options.label_column)
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not np.isfinite(number):
        raise InputError(f"column {options.label_column!r} must be a number; got {short_repr(value)}.")
    return number


def read_tags(row: Columns, options: TaskOptions) -> list[str]:
    value = column(row, options.label_column)
    tags = value.split() if isinstance(value, str) else value
    if not isinstance(tags, (list, tuple)) or not tags:
        raise InputError(f"column {options.label_column!r} must hold a tag for each word; got {short_repr(value)}.")
    return [label_name(tag) for tag in tags]


# --- A teacher's answer ----------------------------------------------------------------------------------------------

LEAST_PROBABILITY = 1e-7  # one that was rounded to 0 has no logarithm


def read_teacher_logits(row: Columns, name: str, names: list[str]) -> list[float]:
    """A column with the scores of all labels, as `minibert run --top-k` writes them -> their logarithms, which are the
    teacher's logits but for a constant that no softmax sees."""
    answers = column(row, name)
    if not isinstance(answers, list) or not all(is_score(answer) for answer in answers):
        raise InputError(
            f"column {name!r} must be a list of labels and scores from 0 to 1, as `minibert run --top-k N` writes it; "
            f"got {short_repr(answers)}."
        )
    scores = {label_name(answer["label"]): answer["score"] for answer in answers}
    if set(scores) != set(names):
        raise InputError(f"column {name!r} must have a score for each label, {short_repr(names)}; got {short_repr(scores)}.")
    return [float(np.log(max(scores[label], LEAST_PROBABILITY))) for label in names]


def is_score(answer: Any) -> bool:
    if not isinstance(answer, dict) or not isinstance(answer.get("label"), (str, int)):
        return False
    score = answer.get("score")
    return isinstance(score, (int, float)) and not isinstance(score, bool) and 0 <= score <= 1


# --- Labels -> numbers -----------------------------------------------------------------------------------------------


def label_names(labels: Sequence[Any], config: PreTrainedConfig) -> list[str]:
    """The names of all labels of the training data, in the order of their numbers.

    Integers from 0 are the numbers themselves, with the model's names if it has as many; names that the model has already
    keep their numbers; others are in alphabetical order.
    """
    names = sorted({name for label in labels for name in ([label] if isinstance(label, str) else label)})
    own = [str(name) for name in config.id2label.values()]
    if names and all(name.isascii() and name.isdigit() and str(int(name)) == name for name in names):
        count = max(map(int, names)) + 1
        if count <= max(2 * len(names), len(own)):  # else they are names, such as years
            return own if len(own) >= count else [f"LABEL_{index}" for index in range(count)]
    return own if set(names) <= set(own) else names


def check_classes(labels: Sequence[Any], label_column: str, taught: bool) -> None:
    """InputError for classes of texts, or tags, that are numbers with fractions, or all the same; if there is a teacher, whose
    answers are learned beside them, they may be the same."""
    names = list(dict.fromkeys(name for label in labels for name in ([label] if isinstance(label, str) else label)))
    if any(map(is_fraction, names)) and all(as_number(name) is not None for name in names):
        raise InputError(
            f"column {label_column!r} holds numbers with fractions, such as {next(filter(is_fraction, names))}: pass --task "
            "regression to learn them as numbers. If they are names of classes, add a word to them, such as 'stars 1.5'."
        )
    if len(names) == 1 and not taught:
        raise InputError(
            f"a classifier learns to tell labels apart; column {label_column!r} holds {names[0]!r} alone. Is another column the "
            "label's (--label-column)?"
        )


def as_number(name: str) -> float | None:
    try:
        return float(name)
    except ValueError:
        return None


def is_fraction(name: str) -> bool:
    number = as_number(name)
    return number is not None and math.isfinite(number) and not number.is_integer()


def numbered(label: Any, names: list[str], problem_type: str | None) -> Any:
    """A row's label -> the number that stands for it, or numbers."""
    if isinstance(label, float) or label is None:
        return label
    if problem_type == "multi_label_classification":
        present = {number_of(name, names) for name in label}
        return [float(index in present) for index in range(len(names))]
    return number_of(label, names) if isinstance(label, str) else [number_of(name, names) for name in label]


def number_of(name: str, names: list[str]) -> int:
    if name in names:
        return names.index(name)
    if name.isascii() and name.isdigit() and int(name) < len(names) and not any(one.isdigit() for one in names):
        return int(name)
    raise InputError(f"a label must be one of the training data's, {short_repr(names)}; got {short_repr(name)}.")


# --- Figures ---------------------------------------------------------------------------------------------------------


def class_figures(prediction: EvalPrediction, names: list[str]) -> dict[str, float]:
    predicted, labels = prediction.predictions.argmax(axis=-1), prediction.label_ids
    return {
        "accuracy": metrics.accuracy(predicted, labels),
        "f1": metrics.f1(predicted, labels, len(names)),
        "matthews": metrics.matthews(predicted, labels),
    }


def label_figures(prediction: EvalPrediction, names: list[str]) -> dict[str, float]:
    predicted, labels = (prediction.predictions > 0).astype(int), prediction.label_ids.astype(int)
    return {name: getattr(metrics, name)(predicted, labels) for name in ("f1", "accuracy")}


def number_figures(prediction: EvalPrediction, names: list[str]) -> dict[str, float]:
    predicted, labels = prediction.predictions[:, 0], prediction.label_ids
    return {name: getattr(metrics, name)(predicted, labels) for name in ("pearson", "spearman")}


def tag_figures(prediction: EvalPrediction, names: list[str]) -> dict[str, float]:
    """F1 of entities, and the share of words whose tag is right."""
    predicted, labels = prediction.predictions.argmax(axis=-1), prediction.label_ids
    read = labels != IGNORED
    rows = [
        ([names[tag] for tag in row[keep]], [names[tag] for tag in true[keep]])
        for row, true, keep in zip(predicted, labels, read)
    ]
    return {
        "f1": metrics.entity_f1([row for row, _ in rows], [true for _, true in rows]),
        "accuracy": metrics.accuracy(predicted[read], labels[read]),
    }


SEQUENCE = "ForSequenceClassification"
TASKS = {
    "text-classification": TrainingTask(
        SEQUENCE, read_class, encode_text, class_figures, ("accuracy", "f1", "matthews"), "single_label_classification"
    ),
    "multi-label-classification": TrainingTask(
        SEQUENCE, read_labels, encode_text, label_figures, ("f1", "accuracy"), "multi_label_classification"
    ),
    "regression": TrainingTask(SEQUENCE, read_number, encode_text, number_figures, ("pearson", "spearman"), "regression"),
    "token-classification": TrainingTask("ForTokenClassification", read_tags, encode_words, tag_figures, ("f1", "accuracy")),
    "masked-lm": TrainingTask("ForMaskedLM", None, encode_text, None, ("loss",)),
}
