"""The engine of `minibert run`: rows -> chunks -> answers -> lines, each row once and in order.

    row      {"id": "7", "review": "a good movie"}
    line     {"id": "7", "review": "a good movie", "label": "POSITIVE", "score": 0.99981}

A row without an answer goes to the file for bad rows, with its line and the reason; in a strict run it ends the run. A
chunk is written when all its rows are done, and chunk boundaries do not depend on interruptions: so a resumed run ends
with the same bytes as an uninterrupted one.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

from ..errors import InputError, short_repr
from ..pipelines.streaming import chunks
from .columns import answer_columns, reason_of
from .output import Results, RunState
from .progress import Progress
from .source import Row, Source
from .tasks import Task, rounded
from .text_readers import delimiter_hint
from .writers import json_default, row_encoder

MAX_REASONS = 3  # why rows are bad, for the summary


class Job(NamedTuple):
    """What to do with each row."""

    task: Task
    encode: Callable[[Mapping], bytes]  # the columns of a row and of its answer -> a line of the output
    prefix: str  # of the names of the answer's columns
    strict: bool
    order: Callable[[Row], Mapping[str, str]] = lambda row: {}  # a column before the row's own, of runs on several machines


def run(
    source: Source,
    task: Task,
    results: Results,
    progress: Progress,
    *,
    file_format: str = "jsonl",
    prefix: str = "",
    limit: int | None = None,
    strict: bool = False,
) -> RunState:
    """Answer the rows of `source` that are not yet in `results`, which has begun; at most the first `limit` of all rows.

    Returns the final state. If `strict`, InputError for a bad row.
    """
    if limit is not None and (not isinstance(limit, int) or limit < 0):
        raise InputError(f"limit is the number of rows to read, 0 or more; got {short_repr(limit)}.")
    header, encode = row_encoder(file_format, [*(source.columns or ()), *(prefix + name for name in task.answer_columns)])
    job = Job(task, encode, prefix, strict)
    if not results.state.rows:
        results.add([header, b""])
    rows = islice(source.rows, results.state.rows, None if limit is None else min(limit, sys.maxsize))
    progress.begin(results.state.rows, source.progress, limit)
    for chunk in chunks(rows, row_chars):
        answers = answer_chunk(chunk, task, partial(progress.advance, 1, results.state.rows + len(chunk)))
        good, bad, reasons = encode_chunk(chunk, answers, source.name, job)
        results.add([good, bad], len(chunk), len(reasons), [*results.state.reasons, *reasons][:MAX_REASONS])
    results.finish()
    return results.state


def check_columns(source: Source, task: Task, file_format: str, prefix: str) -> None:
    """Before anything is written: InputError if the names of the columns keep every row from being answered or written."""
    columns = source.columns
    if columns is None:
        if file_format != "jsonl":
            raise InputError(
                f"the columns of a {file_format} are those of the first row; {source.name} has no valid first row."
            )
        return
    for flag, name in task.input_columns.items():
        if name not in columns:
            hint = delimiter_hint(columns[0], source.delimiter) if len(columns) == 1 else ""
            hint = hint or f" Name another with {flag}."
            raise InputError(f"{source.name} must have a column {name!r}; it has {', '.join(map(repr, columns))}.{hint}")
    if repeated := [prefix + name for name in task.answer_columns if prefix + name in columns]:
        raise InputError(
            f"{source.name} already has a column {repeated[0]!r}, which is also a name of the answer's columns. "
            "Put a prefix before those: --prefix predicted_"
        )


def row_chars(row: Row) -> int:
    """The characters of a row, which bound the memory of a chunk."""
    if isinstance(row.raw, str):
        return len(row.raw)
    return sum(len(value) for value in (row.columns or {}).values() if isinstance(value, (str, bytes)))


def answer_chunk(chunk: list[Row], task: Task, advance: Callable[[], object]) -> list[dict | str]:
    """Rows -> the columns of the answer of each, or the reason why it has none."""
    names = task.input_columns.values()
    answered: list[dict | str] = [reason_unreadable(row, names) for row in chunk]
    indices = [index for index, reason in enumerate(answered) if not reason]
    for _ in range(len(chunk) - len(indices)):
        advance()
    columns = {name: [(chunk[index].columns or {})[name] for index in indices] for name in names}
    answers = answer_columns(columns, task, advance)
    for position, index in enumerate(indices):
        error = answers.errors[position]
        answered[index] = reason_of(error) if error else {name: values[position] for name, values in answers.columns.items()}
    return answered


def reason_unreadable(row: Row, names: Iterable[str]) -> str:
    """Why a row does not have the columns that the task reads; empty if it has them."""
    if row.columns is None:
        return row.error
    for name in names:
        if name not in row.columns:
            return f"there is no column {name!r} in this row; it has {', '.join(map(repr, row.columns))}"
    return ""


def encode_chunk(chunk: list[Row], answers: list[dict | str], name: str, job: Job) -> tuple[bytes, bytes, list[str]]:
    """Rows and their answers -> lines for the output, lines for the bad rows, and why each of these is bad.

    If `job.strict`, InputError for a bad row; `name` is the input's.
    """
    good, bad, reasons = [], [], []
    for row, answer in zip(chunk, answers):
        line = encode_row(row, answer, job)
        if isinstance(line, bytes):
            good.append(line)
            continue
        if job.strict:
            raise InputError(f"{name}, line {row.line}: {line}")
        reasons.append(f"line {row.line}: {line}")
        bad.append(encode_bad_row(row, line))
    return b"".join(good), b"".join(bad), reasons


def encode_row(row: Row, answer: dict | str, job: Job) -> bytes | str:
    """A row and the columns of its answer -> a line of the output, or the reason why there is none."""
    if isinstance(answer, str):
        return answer
    row_columns = row.columns or {}  # never None here: the answer would be a reason
    order = job.order(row)
    columns = {job.prefix + name: rounded(value) for name, value in answer.items()}
    if repeated := sorted(set(columns) & set(row_columns)):
        return f"this row already has a column {repeated[0]!r}; put a prefix before the answer's columns with --prefix"
    if repeated := sorted(set(order) & {*row_columns, *columns}):
        return f"this row already has a column {repeated[0]!r}; name another with --order-column"
    try:
        return job.encode({**order, **row_columns, **columns})
    except (ValueError, TypeError, RecursionError) as error:
        return f"cannot be written: {error}"


def encode_bad_row(row: Row, reason: str) -> bytes:
    return json.dumps({"line": row.line, "reason": reason, "row": row.raw}, default=bad_row_default).encode() + b"\n"


def bad_row_default(value: Any) -> str:
    """As `json_default`, but bytes are shown too."""
    return repr(value) if isinstance(value, bytes) else json_default(value)
