"""What a row asks of a model, and which columns its answer becomes.

    columns  {"id": "7", "review": "a good movie"}
    asked    "a good movie"
    answer   {"label": "POSITIVE", "score": 0.99981}

Scores and vectors are given in six digits, as far as float32 can be trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ..errors import InputError, InputTypeError, short_repr
from ..hub import locate
from ..pipelines import ALIASES, pipeline

EMBEDDINGS = "sentence-embeddings"  # not a pipeline: SentenceEncoder


class Kind(NamedTuple):
    """A task's side of the command line."""

    adds: tuple[str, ...]  # the columns of an answer
    options: tuple[str, ...] = ()  # those that mean something to it
    needs: str = ""  # one that it cannot do without


KINDS = {
    "text-classification": Kind(("label", "score"), ("pair_column", "top_k", "truncate", "stride")),
    "token-classification": Kind(("entities",), ("strategy", "stride")),
    "question-answering": Kind(("answer", "score", "start", "end"), ("question", "question_column"), "question"),
    "fill-mask": Kind(("words",), ("top_k", "truncate")),
    "zero-shot-classification": Kind(("labels", "scores"), ("labels",), "labels"),
    "feature-extraction": Kind(("features",), ("truncate",)),
    EMBEDDINGS: Kind(("vector",), ("prompt",)),
}
NAMES = {  # an option here -> the pipeline's
    "top_k": "top_k",
    "truncate": "truncation",
    "stride": "stride",
    "strategy": "aggregation_strategy",
    "labels": "candidate_labels",
}
USUAL = {"token-classification": {"aggregation_strategy": "simple"}, "feature-extraction": {"return_tensors": True}}


class Task(NamedTuple):
    """A loaded model that is asked about rows."""

    asked: Callable[[Mapping], Any]  # a row's columns -> what the model is asked; InputError where they have it not
    answered: Callable[[list], Iterator[tuple[int, Any]]]  # as a pipeline's
    shown: Callable[[Any], dict]  # an answer -> its columns
    adds: tuple[str, ...]
    needs: tuple[str, ...]  # the columns of a row that are looked at
    kernels: Mapping[str, str]


def make_task(name: str, model: str, text_column: str, options: Mapping[str, Any], **where: Any) -> Task:
    """A task's name, a model's, and what was asked of the command line (unset: None or False) -> Task."""
    name = known(name)
    given = {key: value for key, value in options.items() if value not in (None, False)}
    check_options(name, given)
    ask, needs = asker(name, text_column, given)
    adds = KINDS[name].adds if not (name == "text-classification" and "top_k" in given) else ("labels",)
    if name == EMBEDDINGS:
        from ..pipelines.sentence_encoder import SentenceEncoder

        made = SentenceEncoder.from_pretrained(model, **where)
        answered = made.answered(prompt=given.get("prompt"))
    else:
        settings = {NAMES[key]: value for key, value in given.items() if key in NAMES}
        made = pipeline(name, model, **{**USUAL.get(name, {}), **settings}, **where)
        answered = made.answered()
    return Task(ask, answered, shower(name, adds), adds, needs, made.model.kernels.names)


def known(name: str) -> str:
    """A task's name or another of its names -> its name."""
    task = ALIASES.get(name, name) if isinstance(name, str) else ""
    if task not in KINDS:
        raise InputError(f"the tasks are {', '.join((*KINDS, *ALIASES))}; got {short_repr(name)}.")
    return task


def check_options(task: str, given: Mapping[str, Any]) -> None:
    """InputError for an option that would do nothing, or one that lacks."""
    kind = KINDS[task]
    for name in given:
        if name not in kind.options:
            own = ", ".join(map(flag, kind.options))
            raise InputError(f"{flag(name)} does nothing for {task}, whose options are {own}.")
    if kind.needs and not any(name.startswith(kind.needs) for name in given):
        raise InputError(f"{task} needs {' or '.join(map(flag, kind.options))}.")


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def asker(task: str, text_column: str, given: Mapping[str, Any]) -> tuple[Callable[[Mapping], Any], tuple[str, ...]]:
    """What the model is asked of a row's columns, and which columns that are."""
    if "pair_column" in given:
        names = (text_column, given["pair_column"])
        return lambda columns: tuple(text_of(columns, name) for name in names), names
    if task != "question-answering":
        return lambda columns: text_of(columns, text_column), (text_column,)
    if "question" in given:
        return lambda columns: {"question": given["question"], "context": text_of(columns, text_column)}, (text_column,)
    names = (given["question_column"], text_column)
    return lambda columns: dict(zip(("question", "context"), (text_of(columns, name) for name in names))), names


def text_of(columns: Mapping, name: str) -> str:
    if name not in columns:
        raise InputError(f"there is no column {name!r} in this row; it has {', '.join(map(repr, columns))}")
    if not isinstance(columns[name], str):
        raise InputTypeError(f"column {name!r} must be text; it is {type(columns[name]).__name__}")
    return columns[name]


def shower(task: str, adds: tuple[str, ...]) -> Callable[[Any], dict]:
    """How an answer becomes columns."""

    def shown(answer) -> dict:
        if task == "fill-mask":
            masks = [answer] if isinstance(answer[0], dict) else answer
            answer = [{key: word[key] for key in ("token_str", "score", "sequence")} for words in masks for word in words]
        elif task == "feature-extraction":
            answer = answer[0]  # (1, tokens, D)
        return {adds[0]: rounded(answer)} if len(adds) == 1 else {name: rounded(answer[name]) for name in adds}

    return shown


def rounded(value):
    """Every float of an answer to six digits; arrays as lists."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [rounded(item) for item in (value.tolist() if hasattr(value, "tolist") else value)]
    return value


def identity(model: str, revision: str | None) -> str:
    """What tells this model from another: its commit, or its files with their sizes and times."""
    checkpoint = locate(model, revision=revision)
    if checkpoint.commit:
        return checkpoint.commit
    files = sorted(path for path in checkpoint.folder.iterdir() if path.is_file())
    return " ".join(f"{path.name}:{path.stat().st_size}:{path.stat().st_mtime_ns}" for path in files)
