"""The lines of a text file -> its columns, then its Rows.

    txt     a line is a row; its column is `text`
    csv     RFC 4180 with a header: a quoted field may hold line ends; the delimiter is a comma unless one is passed
    tsv     with a header; there is no quoting, a quotation mark is a character; the delimiter is a tab unless one is passed
    jsonl   an object a line

All are UTF-8, with or without a byte order mark. A broken row (bytes that are not UTF-8, bad JSON, more fields than the
header) is returned with its line and the reason, and reading goes on.
"""

from __future__ import annotations

import csv
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

from ..errors import InputError
from .source import Row, check_names

MAX_LINE_BYTES = 16 << 20  # also the limit of a csv field, in characters
PREFIX_CHARS = 1000  # kept of a line that is longer
DELIMITERS = {"csv": ",", "tsv": "\t"}
UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")


class Lines:
    """The decoded lines of a stream, one by one; remembers those of the row that is being read."""

    def __init__(self, stream: Any, name: str) -> None:
        self.stream, self.name = stream, name
        self.line = 0  # lines returned so far
        self.row_lines: list[tuple[str, str]] = []  # (text, error) of the current row's lines
        self.pushed_back: deque[tuple[str, str]] = deque()

    def start_row(self) -> int:
        """Returns the line on which the row will start, counted from 1."""
        self.row_lines = []
        return self.line + 1

    @property
    def error(self) -> str:
        """The first error in the lines of this row."""
        return next((error for _, error in self.row_lines if error), "")

    @property
    def raw(self) -> str:
        return "".join(text for text, _ in self.row_lines).rstrip("\r\n")

    def push_back(self) -> None:
        """Return all lines but the first of this row to the stream: they turned out not to belong to it."""
        self.pushed_back.extendleft(reversed(self.row_lines[1:]))
        self.line -= len(self.row_lines) - 1
        del self.row_lines[1:]

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self.row_lines.append(self.pushed_back.popleft() if self.pushed_back else self.read())
        self.line += 1
        return self.row_lines[-1][0]

    def read(self) -> tuple[str, str]:
        """The next line of the stream, and what is wrong with it."""
        data, error = self.stream.readline(MAX_LINE_BYTES + 1), ""
        if not data:
            raise StopIteration
        is_first = self.line == 0
        if is_first and data.startswith(UTF_16_MARKS):
            raise InputError(f"{self.name} must be UTF-8; it is UTF-16. Try: iconv -f UTF-16 -t UTF-8")
        if len(data) > MAX_LINE_BYTES:
            error = f"a line may have {MAX_LINE_BYTES:,} bytes, and this one has more"
            while not data.endswith(b"\n") and (more := self.stream.readline(MAX_LINE_BYTES)):
                data = data[:PREFIX_CHARS] + more[-1:]
            data = data[:PREFIX_CHARS].replace(b'"', b"'")  # an open quotation would swallow the next lines
        try:
            return data.decode("utf-8-sig" if is_first else "utf-8"), error
        except UnicodeDecodeError as decode_error:
            reason = f"not UTF-8: {decode_error.reason} at byte {decode_error.start} of line {self.line + 1}"
            return data.decode(errors="backslashreplace"), error or reason


# Each reader yields its columns first, then its rows; read_jsonl yields rows only.


def read_txt(lines: Lines) -> Iterator:
    yield ["text"]
    line = lines.start_row()
    for text in lines:
        text = text.rstrip("\r\n")
        yield Row(line, None if lines.error else {"text": text}, text, lines.error)
        line = lines.start_row()


def read_jsonl(lines: Lines) -> Iterator[Row]:
    line = lines.start_row()
    for text in lines:
        text = text.rstrip("\r\n")
        if text.strip():
            columns, error = (None, lines.error) if lines.error else parse_object(text)
            yield Row(line, columns, text, error)
        line = lines.start_row()


def parse_object(text: str) -> tuple[dict | None, str]:
    """A line of JSON -> its object, or the reason why it is not one."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:  # bad JSON, a number of 5,000 digits; nested too deep
        return None, f"not JSON: {error}"
    return (value, "") if isinstance(value, dict) else (None, f"a row is a JSON object; this is a {type(value).__name__}")


def columns_of_first(rows: Iterator[Row]) -> tuple[list[str] | None, Iterator[Row]]:
    """Rows -> the columns of the first one, and all rows."""
    first = next(rows, None)
    if first is None:
        return None, rows
    return list(first.columns) if first.columns is not None else None, chain([first], rows)


def read_csv(lines: Lines, delimiter: str = DELIMITERS["csv"]) -> Iterator:
    csv.field_size_limit(MAX_LINE_BYTES)
    return rows_below_header(lines, csv_records(lines, delimiter), delimiter)


def read_tsv(lines: Lines, delimiter: str = DELIMITERS["tsv"]) -> Iterator:
    return rows_below_header(lines, tsv_records(lines, delimiter), delimiter)


def csv_records(lines: Lines, delimiter: str) -> Iterator[tuple[int, list[str] | None, str]]:
    """Lines -> (the line a record starts on, its fields or None, why it has none)."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        line = lines.start_row()
        try:
            fields, error = next(reader), lines.error
        except StopIteration:
            return
        except csv.Error as csv_error:
            fields, error = None, lines.error or f"not CSV: {csv_error}"
            lines.push_back()  # a stray quotation mark has swallowed them
        if fields or error:  # else it is an empty line
            yield line, fields, error


def tsv_records(lines: Lines, delimiter: str) -> Iterator[tuple[int, list[str] | None, str]]:
    """The same for lines without quoting."""
    line = lines.start_row()
    for text in lines:
        if text := text.rstrip("\r\n"):
            yield line, text.split(delimiter), lines.error
        line = lines.start_row()


def rows_below_header(lines: Lines, records: Iterable[tuple[int, list[str] | None, str]], delimiter: str) -> Iterator:
    """Records -> the names in the first one, then Rows."""
    records = iter(records)
    line, names, error = next(records, (1, None, "the file is empty"))
    if names is None or error:
        hint = delimiter_hint(lines.raw, delimiter)
        raise InputError(f"the first line of {lines.name} must be a header that names the columns; {error}.{hint}")
    check_names(names, lines.name)
    yield names
    for line, fields, error in records:
        if fields is not None and not error and len(fields) != len(names):
            error = f"a row has as many fields as the header, {len(names)}; this one has {len(fields)}"
        columns = None if error or fields is None else dict(zip(names, fields))
        yield Row(line, columns, lines.raw, error)


def delimiter_hint(header: str, delimiter: str) -> str:
    """The end of an error about a header that seems to have another delimiter; empty if it does not."""
    other = next((mark for mark in ";\t,|" if delimiter and mark in header and delimiter not in header), "")
    return f" If its delimiter is {other!r}, pass --delimiter {other!r}" if other else ""


READERS: dict[str, Callable[..., Iterator]] = {"txt": read_txt, "csv": read_csv, "tsv": read_tsv, "jsonl": read_jsonl}
