"""The engine of `minibert run`: rows -> portions -> answers -> lines, each row once and in order.

    row      {"id": "7", "review": "a good movie"}
    line     {"id": "7", "review": "a good movie", "label": "POSITIVE", "score": 0.99981}

A row that has no answer goes to the file for bad rows, with its line and the reason; or, where the run is strict, ends
it. A portion is written when all of it is done, and the portions are where they are whatever was interrupted: so a run
that is resumed ends with the bytes of one that was not.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from ..errors import InputError, short_repr
from ..pipelines.streaming import CUT, portions
from .formats import encoder, plain
from .progress import Progress
from .reading import Row, Source, other_delimiter
from .tasks import Task
from .writing import Done, Results

REASONS = 3  # of bad rows that are remembered, to be shown at the end


class Job(NamedTuple):
    """What to do with each row."""

    task: Task
    line: Callable[[Mapping], bytes]  # a row's columns and its answer's -> a line of the output
    prefix: str  # before the names of the answer's columns
    strict: bool


def run(
    source: Source,
    task: Task,
    results: Results,
    progress: Progress,
    *,
    kind: str = "jsonl",
    prefix: str = "",
    limit: int | None = None,
    strict: bool = False,
) -> Done:
    """Ask `task` about the rows of `source` that `results`, which have begun, lack yet; of all, the first `limit`.

    Returns how much is done then. InputError for a bad row, where it is strict.
    """
    if limit is not None and (not isinstance(limit, int) or limit < 0):
        raise InputError(f"limit is how many rows to read, 0 or more; got {short_repr(limit)}.")
    header, line = encoder(kind, [*(source.columns or ()), *(prefix + name for name in task.adds)])
    job = Job(task, line, prefix, strict)
    if not results.done.rows:
        results.add([header, b""])
    rows = islice(source.rows, results.done.rows, None if limit is None else min(limit, sys.maxsize))
    progress.begin(results.done.rows, source.done, limit)
    for portion in portions(rows, weight):
        answers = {}
        for place, answer in answered(portion, task):
            answers[place] = answer
            progress.advance(1, results.done.rows + len(portion))
        write(portion, answers, source, job, results)
    results.finish()
    return results.done


def check_columns(source: Source, task: Task, kind: str, prefix: str) -> None:
    """InputError where every row would be bad, for its columns have the wrong names. Before anything is written."""
    columns = source.columns
    if columns is None:
        if kind != "jsonl":
            raise InputError(f"the columns of a {kind} are those of the first row; {source.name} has none that is whole.")
        return
    there = ", ".join(map(repr, columns))
    for name in task.needs:
        if name not in columns:
            hint = other_delimiter(columns[0], source.delimiter) if len(columns) == 1 else ""
            hint = hint or " Name one with --text-column or its like."
            raise InputError(f"{source.name} must have a column {name!r}; it has {there}.{hint}")
    if both := [prefix + name for name in task.adds if prefix + name in columns]:
        raise InputError(
            f"{source.name} has a column {both[0]!r} already, which the answer is to have. "
            "Give the answer's columns a prefix: --prefix predicted_"
        )


def weight(row: Row) -> int:
    """How much of the memory a portion may take: a row's letters."""
    if isinstance(row.raw, str):
        return len(row.raw)
    return sum(len(value) for value in (row.columns or {}).values() if isinstance(value, (str, bytes)))


def answered(portion: list[Row], task: Task) -> Iterator[tuple[int, Any]]:
    """Rows -> (place, answer) of each, batch by batch; the InputError of a row that has none."""
    places, inputs = [], []
    for place, row in enumerate(portion):
        try:
            if row.columns is None:
                raise InputError(row.fault)
            inputs.append(task.asked(row.columns))
            places.append(place)
        except InputError as error:
            yield place, error
    for place, answer in task.answered(inputs):
        yield places[place], answer


def write(portion: list[Row], answers: Mapping[int, Any], source: Source, job: Job, results: Results) -> None:
    """A portion's lines, all at once."""
    good, bad, reasons = [], [], list(results.done.first)
    for place, row in enumerate(portion):
        line = answer_line(row, answers[place], job)
        if isinstance(line, bytes):
            good.append(line)
            continue
        if job.strict:
            raise InputError(f"{source.name}, line {row.line}: {line}")
        if len(reasons) < REASONS:
            reasons.append(f"line {row.line}: {line}")
        bad.append(bad_line(row, line))
    results.add([b"".join(good), b"".join(bad)], len(portion), len(bad), reasons)


def answer_line(row: Row, answer: Any, job: Job) -> bytes | str:
    """A row and its answer -> a line of the output, or the reason why there is none."""
    if isinstance(answer, InputError):
        return reason_of(answer)
    shown = {job.prefix + name: value for name, value in job.task.shown(answer).items()}
    if both := sorted(set(shown) & set(row.columns)):
        return f"this row has a column {both[0]!r}, which the answer is to have; give those a prefix with --prefix"
    try:
        return job.line({**row.columns, **shown})
    except (ValueError, TypeError, RecursionError) as fault:
        return f"cannot be written: {fault}"


def reason_of(error: InputError) -> str:
    """In the words of the command."""
    return str(error).replace(CUT, "Cut it with --truncate.")


def bad_line(row: Row, reason: str) -> bytes:
    return json.dumps({"line": row.line, "reason": reason, "row": row.raw}, default=shown_anyhow).encode() + b"\n"


def shown_anyhow(value: Any) -> str:
    return repr(value) if isinstance(value, bytes) else plain(value)
