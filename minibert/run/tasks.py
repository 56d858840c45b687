"""A task's name, a model and the command line's options -> Task: what `minibert run` does with each row.

    columns  {"id": "7", "review": "a good movie"}
    input    "a good movie"
    answer   {"label": "POSITIVE", "score": 0.9998134}
    columns  {"label": "POSITIVE", "score": 0.999813}

What is particular to a task is declared by its class (pipelines/task.py). Scores and vectors are rounded to six digits,
the precision of float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from .. import pipelines
from ..errors import InputError, InputTypeError
from ..hub import locate


class Task(NamedTuple):
    """A loaded model, and how it reads and writes columns."""

    make_input: Callable[[Mapping], Any]  # the columns that the task reads -> an input; InputError if one is no text
    predict: Callable[[list], Iterator[tuple[int, Any]]]  # inputs -> (index, answer or InputError) of each
    to_columns: Callable[[Any], dict]  # an answer -> its columns
    answer_types: Mapping[str, Any]  # the columns of an answer, and their types (pipelines/task.py)
    input_columns: Mapping[str, str]  # an option's flag -> the column it names
    kernels: Mapping[str, str]

    @property
    def answer_columns(self) -> tuple[str, ...]:
        return tuple(self.answer_types)


def make_task(name: str, model: str, text_column: str, options: Mapping[str, Any], **where: Any) -> Task:
    """Load a model for a task. `options` are those of the command line; None and False mean that one was not passed."""
    task_class = pipelines.pipeline_class(canonical_task(name))
    values = {key: value for key, value in options.items() if value not in (None, False)}
    check_options(task_class, values)
    pipe = pipelines.load_task(task_class.task, model, **task_class.parameters(values), **where)
    constants, columns = input_sources(task_class, text_column, values)
    return Task(
        lambda row: make_input(row, constants, columns),
        pipe.answered(),
        pipe.to_columns,
        pipe.answer_types,
        {"--text-column": text_column, **{option.flag: values[option.name] for option in column_options(task_class, values)}},
        pipe.model.kernels.names,
    )


def command_tasks() -> dict[str, pipelines.Registration]:
    """The tasks of the command line: those of `pipeline()`, and some more."""
    return {**pipelines.TASKS, **pipelines.COMMAND_TASKS}


def canonical_task(name: str) -> str:
    return pipelines.canonical_task(name, command_tasks())


def check_options(task_class: Any, values: Mapping[str, Any]) -> None:
    """InputError for an option that the task does not have, and unless exactly one of the required options was passed."""
    flags = {option.name: option.flag for option in task_class.command_options}
    for name in values:
        if name not in flags:
            known = f"whose options are {', '.join(flags.values())}" if flags else "which has no options"
            raise InputError(f"--{name.replace('_', '-')} does nothing for {task_class.task}, {known}.")
    required = [flags[name] for name in task_class.required_options]
    passed = [flags[name] for name in task_class.required_options if name in values]
    if required and not passed:
        raise InputError(f"{task_class.task} needs {' or '.join(required)}.")
    if len(passed) > 1:
        raise InputError(f"{task_class.task} takes one of {' and '.join(required)}; got both. Leave one out.")


def column_options(task_class: Any, values: Mapping[str, Any]) -> list:
    """The options that were passed and name a column."""
    return [option for option in task_class.command_options if option.is_column and option.name in values]


def input_sources(task_class: Any, text_column: str, values: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """Where the keys of an input come from: those with the same text in every row, and those with the column that holds it."""
    options = [option for option in task_class.command_options if option.input and option.name in values]
    constants = {option.input: values[option.name] for option in options if not option.is_column}
    columns = {option.input: values[option.name] for option in options if option.is_column}
    return constants, {task_class.text_input: text_column, **columns}


def make_input(row: Mapping, constants: Mapping[str, str], columns: Mapping[str, str]) -> Any:
    """A row's columns -> the text itself, or a dictionary if an input has several keys."""
    texts = {**constants, **{key: text_of(row, name) for key, name in columns.items()}}
    return texts if len(texts) > 1 else next(iter(texts.values()))


def text_of(row: Mapping, name: str) -> str:
    if not isinstance(row[name], str):
        raise InputTypeError(f"column {name!r} must be text; it is {type(row[name]).__name__}")
    return row[name]


def rounded(value: Any) -> Any:
    """Every float of an answer to six digits; arrays as lists."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [rounded(item) for item in (value.tolist() if hasattr(value, "tolist") else value)]
    return value


def model_identity(model: str, revision: str | None) -> str:
    """What distinguishes a model from another of the same name: its commit, or its files' names, sizes and times."""
    checkpoint = locate(model, revision=revision)
    if checkpoint.commit:
        return checkpoint.commit
    files = sorted(path for path in checkpoint.folder.iterdir() if path.is_file())
    return " ".join(f"{path.name}:{path.stat().st_size}:{path.stat().st_mtime_ns}" for path in files)
