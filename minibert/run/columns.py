"""The core of a run, a function from columns to columns: `job.py` calls it for rows of files, `arrow.py` for Arrow tables.

    columns   {"text": ["a good movie", 5]}        the columns that the task reads, of any number of rows
    answers   {"label": ["POSITIVE", None], "score": [0.9998134, None]}
    errors    [None, InputTypeError("column 'text' must be text; it is int")]

An answer does not depend on the rows beside it. So it is the same however an engine divides a table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import InputError
from ..pipelines.streaming import TRUNCATION_HINT
from .tasks import Task


class Answers(NamedTuple):
    columns: dict[str, list]  # the columns of the answers; None in a row without one
    errors: list[InputError | None]  # why a row has no answer


def answer_columns(columns: Mapping[str, Sequence], task: Task, advance: Callable[[], object] = lambda: None) -> Answers:
    """The columns that the task reads, R values each -> its answers. Calls `advance` after each row."""
    rows = min(map(len, columns.values()))
    answers = Answers({name: [None] * rows for name in task.answer_columns}, [None] * rows)
    indices, inputs = [], []
    for index in range(rows):
        try:
            inputs.append(task.make_input({name: values[index] for name, values in columns.items()}))
            indices.append(index)
        except InputError as error:
            answers.errors[index] = error
            advance()
    for position, answer in task.predict(inputs):
        store(answer, indices[position], answers, task)
        advance()
    return answers


def store(answer: Any, index: int, answers: Answers, task: Task) -> None:
    """Put an answer, or its InputError, into row `index`. The other rows keep theirs if `to_columns` refuses this one."""
    try:
        if isinstance(answer, InputError):
            raise answer
        columns = task.to_columns(answer)
    except InputError as error:
        answers.errors[index] = error
        return
    for name, value in columns.items():
        answers.columns[name][index] = value


def reason_of(error: InputError, hint: str = "Cut it with --truncate.") -> str:
    """The message of an error. `hint` replaces the one that names the option of a pipeline's call."""
    return str(error).replace(TRUNCATION_HINT, hint)
