"""A row of answers -> its line: JSON, csv or tsv, in UTF-8.

csv quotes where it must. tsv has no way to hold a tab or a line end, so a blank stands for each. What is neither text
nor a number stands in a cell as JSON.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date, time
from pathlib import Path
from typing import Any

from ..errors import InputError

FORMATS = ("jsonl", "csv", "tsv")
SUFFIXES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv"}
NO_CELL = re.compile("[\t\r\n]+")


def kind_of(path: str) -> str:
    """labels.csv.gz -> csv; stdout -> jsonl"""
    if path == "-":
        return "jsonl"
    suffix = Path(path.removesuffix(".gz")).suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(
            f"an output's name must say its format, {', '.join(SUFFIXES)}, or one of these and .gz; got {path!r}. "
            "Say it with --output-format."
        )
    return SUFFIXES[suffix]


def encoder(kind: str, columns: Iterable[str]) -> tuple[bytes, Callable[[Mapping], bytes]]:
    """A format and its columns -> the header, and a function from a row to its line.

    The function's errors: ValueError, TypeError and RecursionError for what the format cannot hold.
    """
    if kind == "jsonl":
        return b"", json_line
    names = list(columns)
    row_of = csv_line if kind == "csv" else tsv_line

    def line(row: Mapping) -> bytes:
        if more := [name for name in row if name not in names]:
            raise ValueError(f"the columns are those of the first row; this one has {', '.join(map(repr, more))} too")
        return row_of([cell(row.get(name)) for name in names])

    return row_of(names), line


def json_line(row: Mapping) -> bytes:
    try:
        return json.dumps(row, ensure_ascii=False, default=plain).encode() + b"\n"
    except UnicodeEncodeError:  # half a character, which JSON can name and UTF-8 cannot hold
        return json.dumps(row, default=plain).encode() + b"\n"


def csv_line(cells: list[str]) -> bytes:
    made = io.StringIO()
    csv.writer(made, lineterminator="\r\n").writerow(cells)  # with "\n", a lone "\r" in a cell would not be quoted
    return made.getvalue()[:-2].encode() + b"\n"


def tsv_line(cells: list[str]) -> bytes:
    return "\t".join(NO_CELL.sub(" ", cell) for cell in cells).encode() + b"\n"


def cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=plain)


def plain(value: Any) -> str:
    """What JSON has no form for -> text: a time as ISO 8601, a decimal number by its digits."""
    if isinstance(value, bytes):
        raise TypeError("a column holds bytes, which JSON has no form for")
    return value.isoformat() if isinstance(value, (date, time)) else str(value)
