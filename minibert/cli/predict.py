"""The commands that answer single texts: `classify`, `ner`, `fill-mask`, `ask`, `embed`. Their options are the tasks'."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

from ..errors import InputError
from .shared import CommandParser, add_kernels, add_model, add_task_option, add_texts, chosen_model, command, input_texts


class TextCommand(NamedTuple):
    """A command for one task."""

    task: str
    summary: str
    batch_size: int = 1  # texts read before the first answer, if stdout is not a terminal
    shows_text: bool = False  # after the answer's columns
    json_key: str = ""  # of a list of answers, if --json does not print the columns themselves


COMMANDS = {
    "classify": TextCommand("text-classification", "print each text's label and its probability", 32, shows_text=True),
    "ner": TextCommand("token-classification", "print each text's entities: group, score, word, start, end"),
    "fill-mask": TextCommand("fill-mask", "print the best words for each text's [MASK]: word, score, text"),
    "embed": TextCommand("sentence-embeddings", "print a vector for each text, its numbers separated by blanks"),
    "ask": TextCommand(
        "question-answering", "print each text's answer to a question: answer, score, start, end", json_key="answers"
    ),
}


def add_commands(commands: argparse._SubParsersAction) -> None:
    for name, text_command in COMMANDS.items():
        parser = command(commands, name, partial(predict_texts, text_command), text_command.summary)
        parser.add_arguments = partial(add_arguments, text_command.task)


def add_arguments(task: str, parser: CommandParser, arguments: list[str]) -> None:
    """The options of the task, except those that name a column."""
    from ..pipelines import pipeline_class

    task_class = pipeline_class(task)
    add_texts(parser)
    add_model(parser, required=task_class.default_model is None)
    options = {option.name: option for option in task_class.command_options if not option.is_column}
    for name, option in options.items():
        add_task_option(parser, option, required=name in task_class.required_options)
    add_kernels(parser)
    parser.set_defaults(task_options=options)


def predict_texts(text_command: TextCommand, options: argparse.Namespace) -> None:
    """Print the answer of each text."""
    texts = input_texts(options)
    task = load_task(text_command.task, options)
    size = 1 if sys.stdout.isatty() else text_command.batch_size
    for text, answer in answers_of(texts, task, size):
        columns = task.to_columns(answer)
        if options.json:
            print(json.dumps({"text": text, **({text_command.json_key: [columns]} if text_command.json_key else columns)}))
        else:
            print_columns(columns, text if text_command.shows_text else None)


def load_task(name: str, options: argparse.Namespace) -> Any:
    """A task's name and a command's options -> the Task (run/tasks.py)."""
    from ..run.tasks import make_task

    values = {name: getattr(options, name) for name in options.task_options}
    return make_task(name, chosen_model(options), "text", values, kernels=options.kernels, revision=options.revision)


def answers_of(texts: Iterable[str], task: Any, batch_size: int) -> Iterator[tuple[str, Any]]:
    """Each text with its answer, in order; reads no further than a batch ahead. InputError for a text that is refused."""
    from ..run.columns import reason_of

    texts = iter(texts)
    while batch := list(islice(texts, batch_size)):
        answers = dict(task.predict([task.make_input({"text": text}) for text in batch]))
        for index, text in enumerate(batch):
            if isinstance(answers[index], InputError):
                raise InputError(reason_of(answers[index])) from None
            yield text, answers[index]


def print_columns(columns: Mapping[str, Any], text: str | None) -> None:
    """A line with the columns of an answer, or one for each row of a single column that holds rows; a vector with blanks."""
    values = list(columns.values())
    rows = values[0] if len(values) == 1 else [columns]
    if rows and isinstance(rows[0], (float, int)):
        print(" ".join(f"{value:.6g}" for value in rows))
        return
    for row in rows:
        cells = [f"{cell:.4f}" if isinstance(cell, float) else " ".join(str(cell).split()) for cell in row.values()]
        print("\t".join(cells if text is None else [*cells, " ".join(text.split())]))
