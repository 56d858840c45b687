"""A row with its answer -> its line in the output: JSON, csv or tsv, in UTF-8.

csv fields are quoted if they must be. tsv cannot hold tabs and line ends: a blank replaces each run of them. In both, a
value that is not text is written as JSON.
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
NOT_IN_TSV = re.compile("[\t\r\n]+")


def output_format(path: str) -> str:
    """labels.csv.gz -> csv; stdout -> jsonl"""
    if path == "-":
        return "jsonl"
    suffix = Path(path.removesuffix(".gz")).suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(
            f"an output's name must end in its format, {', '.join(SUFFIXES)} (each may be followed by .gz); got {path!r}. "
            "Name the format with --output-format."
        )
    return SUFFIXES[suffix]


def row_encoder(file_format: str, columns: Iterable[str]) -> tuple[bytes, Callable[[Mapping], bytes]]:
    """An output's format and columns -> its header, and a function from a row to its line.

    The function raises ValueError, TypeError or RecursionError for a row that the format cannot hold.
    """
    if file_format == "jsonl":
        return b"", json_line
    names = list(columns)
    line_of = csv_line if file_format == "csv" else tsv_line

    def encode(row: Mapping) -> bytes:
        if extra := [name for name in row if name not in names]:
            raise ValueError(f"the columns are those of the first row; this one also has {', '.join(map(repr, extra))}")
        return line_of([cell_text(row.get(name)) for name in names])

    return line_of(names), encode


def json_line(row: Mapping) -> bytes:
    try:
        return json.dumps(row, ensure_ascii=False, default=json_default).encode() + b"\n"
    except UnicodeEncodeError:  # a lone surrogate, which JSON can escape and UTF-8 cannot encode
        return json.dumps(row, default=json_default).encode() + b"\n"


def csv_line(cells: list[str]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerow(cells)  # with "\n", a lone "\r" in a cell would not be quoted
    return buffer.getvalue()[:-2].encode() + b"\n"


def tsv_line(cells: list[str]) -> bytes:
    return "\t".join(NOT_IN_TSV.sub(" ", cell) for cell in cells).encode() + b"\n"


def cell_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=json_default)


def json_default(value: Any) -> str:
    """A value that JSON has no type for -> text: a time in ISO 8601, a Decimal's digits. TypeError for bytes."""
    if isinstance(value, bytes):
        raise TypeError("a column holds bytes, which JSON has no type for")
    return value.isoformat() if isinstance(value, (date, time)) else str(value)
