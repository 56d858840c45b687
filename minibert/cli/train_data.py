"""The files of `minibert train` -> rows of token ids with labels; a row that cannot be used is left out, with its reason."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import InputError
from ..run.open import open_source
from ..run.source import Row, check_path, unreadable
from ..training.data import TEACHER
from ..training.tasks import TaskOptions, TrainingTask, numbered, read_teacher_logits
from .shared import eprint

CONLL = (".conll", ".conllu", ".bio", ".iob", ".iob2")
MAX_REASONS = 3  # of rows that are left out, for the message


class LabeledFile(NamedTuple):
    """The rows of a file that have columns and a label."""

    name: str
    rows: list[tuple[int, dict[str, Any], Any]]  # (line, columns, label)
    bad: list[str]  # why others have not
    strict: bool

    def leave_out(self, line: int, reason: object) -> None:
        if self.strict:
            raise InputError(f"{self.name}, line {line}: {reason}")
        self.bad.append(f"line {line}: {reason}")


def read_labeled(path: str, task: TrainingTask, options: TaskOptions, delimiter: str | None, strict: bool) -> LabeledFile:
    """A file -> its rows with their labels as they are in the file. InputError if it has none."""
    file = LabeledFile(path, [], [], strict)
    for row in read_rows(path, options, delimiter):
        try:
            if row.columns is None:
                raise InputError(row.error)
            file.rows.append((row.line, row.columns, task.read_label and task.read_label(row.columns, options)))
        except InputError as error:
            file.leave_out(row.line, error)
    if not file.rows:
        raise InputError(f"{path} must have a row that can be used; {file.bad[0] if file.bad else 'it is empty'}")
    return file


def read_rows(path: str, options: TaskOptions, delimiter: str | None) -> Iterator[Row]:
    if Path(path).suffix.lower() in CONLL:
        yield from read_conll(path, options)
        return
    with open_source(path, None, delimiter) as source:
        yield from source.rows


def read_conll(path: str, options: TaskOptions) -> Iterator[Row]:
    """A word a line, its tag in the last column; an empty line ends a sentence. -DOCSTART- lines are left out.

    "# ..." is a comment in a .conllu file. In others "#" may be a word: there a comment stands before a sentence's first
    word, and has another number of fields than the file's words.
    """
    check_path(path)
    words: list[str] = []
    tags: list[str] = []
    first, error = 1, ""
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = [*file, "\n"]
            fields = 0 if Path(path).suffix.lower() == ".conllu" else count_fields(lines)
            for number, line in enumerate(lines, 1):
                cells = line.split()
                is_comment = line.startswith("# ") and (not fields or not words and len(cells) != fields)
                if cells and cells[0] != "-DOCSTART-" and not is_comment:
                    words.append(cells[0])
                    tags.append(cells[-1])
                    error = error or ("" if len(cells) > 1 else f"line {number} must have a word and a tag; got {cells[0]!r}")
                elif not cells and words:
                    columns = None if error else {options.text_column: words, options.label_column: tags}
                    yield Row(first, columns, line, error)
                    words, tags, error = [], [], ""
                if not cells:
                    first = number + 1
    except UnicodeDecodeError as fault:
        raise InputError(f"{path} must be UTF-8: {fault.reason}.") from None
    except OSError as fault:
        raise unreadable(path, fault) from None


def count_fields(lines: list[str]) -> int:
    """The number of fields in the first line that is surely a word's, or 0."""
    cells = (line.split() for line in lines if not line.startswith("# "))
    return next((len(each) for each in cells if each and each[0] != "-DOCSTART-"), 0)


def encode_file(file: LabeledFile, tokenizer: Any, task: TrainingTask, options: TaskOptions, names: list[str]) -> list[dict]:
    """-> rows as the Trainer takes them. Says which are left out."""
    rows = []
    for line, columns, label in file.rows:
        try:
            row = task.encode(tokenizer, columns, numbered(label, names, task.problem_type), options)
            if options.teacher_column is not None:
                row[TEACHER] = read_teacher_logits(columns, options.teacher_column, names)
            rows.append(row)
        except InputError as error:
            file.leave_out(line, error)
    if not rows:
        raise InputError(f"{file.name} must have a row that can be used; {file.bad[0]}")
    report_left_out(file)
    return rows


def report_left_out(file: LabeledFile) -> None:
    """A line on stderr, if rows of the file cannot be used."""
    if file.bad:
        more = "; ..." if len(file.bad) > MAX_REASONS else ""
        eprint(f"{len(file.bad):,} rows of {file.name} are left out. {'; '.join(file.bad[:MAX_REASONS])}{more}")
