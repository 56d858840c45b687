"""A file -> its rows, one by one, each a dictionary of columns; a row that is none says why.

    txt     a line is a row; its column is `text`
    csv     RFC 4180, a header first: a quoted field may hold line ends; the delimiter may be another than the comma
    tsv     a header first; nothing is quoted, a quotation mark is a letter; the delimiter may be another than the tab
    jsonl   an object a line

All are UTF-8, with or without a mark at the beginning, and may end in .gz. A row that is broken (bytes that are not
UTF-8, JSON that is not, more fields than the header) is given with its line and the reason, and reading goes on.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import sys
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import DataFileError, InputError, short_repr

SUFFIXES = {
    ".txt": "txt",
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".arrow": "arrow",
}
FORMATS = tuple(dict.fromkeys(SUFFIXES.values()))
COLUMNAR = ("parquet", "arrow")
LONGEST = 16 << 20  # bytes of a line, and letters of a csv field
SHOWN = 1000  # of a line that is longer
DELIMITERS = {"csv": ",", "tsv": "\t"}
UTF_16 = (b"\xff\xfe", b"\xfe\xff")


class Row(NamedTuple):
    """What stands at one place of a file."""

    line: int  # where it begins, from 1; of parquet and arrow, its number
    columns: dict[str, Any] | None  # None for what is no row
    raw: Any  # as it stands in the file, where that is text
    fault: str = ""


class Source(NamedTuple):
    """An open input."""

    name: str  # for messages
    columns: list[str] | None  # those that its header has, or its first object; None where that one is broken
    rows: Iterator[Row]
    done: Callable[[], float | None]  # the share of it that has been read, where its size is known
    delimiter: str = ""  # of a csv or tsv


@contextmanager
def opened(path: str, kind: str | None = None, delimiter: str | None = None) -> Iterator[Source]:
    """A file's name, or - for stdin -> Source. `kind` is one of FORMATS; without it the name says.

    `delimiter`: one character between the fields of a csv or tsv, other than its own.
    """
    check_path(path)
    kind = kind or kind_of(path)
    if kind not in FORMATS:
        raise InputError(f"an input's format is one of {', '.join(FORMATS)}; got {short_repr(kind)}.")
    if delimiter is not None:
        check_delimiter(delimiter, kind)
    if kind in COLUMNAR:
        from .columnar import opened_table

        with opened_table(path, kind) as source:
            yield source
        return
    name = "stdin" if path == "-" else path
    with binary(path, name) as (stream, done):
        lines = Lines(stream, name)
        rows = guarded(READERS[kind](lines, delimiter) if delimiter else READERS[kind](lines), name)
        columns, rows = first_columns(rows) if kind == "jsonl" else (next(rows), rows)
        yield Source(name, columns, rows, done, delimiter or DELIMITERS.get(kind, ""))


@contextmanager
def binary(path: str, name: str) -> Iterator[tuple[Any, Callable]]:
    """A file's bytes, unpacked, and how far it has been read."""
    if path == "-":
        if sys.stdin is None:
            raise InputError("stdin is closed, and texts were to come from it.")
        yield sys.stdin.buffer, lambda: None
        return
    try:
        handle = open(path, "rb")
    except OSError as fault:
        raise unreadable(name, fault) from None
    with handle:
        size = os.fstat(handle.fileno()).st_size
        done = lambda: handle.tell() / size if size else None  # noqa: E731 - of what is packed, as it lies on the disk
        yield gzip.GzipFile(fileobj=handle) if path.endswith(".gz") else handle, done


def guarded(rows: Iterator, name: str) -> Iterator:
    """The same; what the system or a damaged .gz says against reading on is one error."""
    try:
        yield from rows
    except (gzip.BadGzipFile, EOFError, zlib.error) as fault:
        raise DataFileError(f"{name} must be a whole .gz file; it cannot be unpacked: {fault}") from None
    except OSError as fault:
        raise unreadable(name, fault) from None


def unreadable(name: str, fault: OSError) -> DataFileError:
    return DataFileError(f"{name} cannot be read: {fault.strerror or fault}.")


def check_path(path: str) -> None:
    if not isinstance(path, str) or not path or "\0" in path:
        raise InputError(f"a file's name must be text with a character, and none that is NUL; got {short_repr(path)}.")


def check_delimiter(delimiter: str, kind: str) -> None:
    if kind not in DELIMITERS:
        raise InputError(f"a delimiter is for csv and tsv; got {short_repr(delimiter)} for {kind}.")
    if not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '"\r\n\0':
        raise InputError(f"a delimiter is one character, and neither '\"' nor a line end; got {short_repr(delimiter)}.")


def kind_of(path: str) -> str:
    """reviews.csv.gz -> csv"""
    if path == "-":
        return "txt"
    suffix = Path(path.removesuffix(".gz")).suffix.lower()
    if suffix not in SUFFIXES or (SUFFIXES[suffix] in COLUMNAR and path.endswith(".gz")):
        raise InputError(
            f"an input's name must say its format, {', '.join(SUFFIXES)}, or one of the first five and .gz; got {path!r}. "
            "Say it with --input-format."
        )
    return SUFFIXES[suffix]


class Lines:
    """The lines of a stream as text, and those that belong to the row that is being read."""

    def __init__(self, stream, name: str):
        self.stream, self.name = stream, name
        self.number = 0  # of the last line given
        self.taken: list[tuple[str, str]] = []  # each with its fault
        self.again: deque[tuple[str, str]] = deque()

    def begin(self) -> int:
        """A row begins; returns the number its first line will have."""
        self.taken = []
        return self.number + 1

    @property
    def fault(self) -> str:
        """The first there is in the lines of this row."""
        return next((fault for _, fault in self.taken if fault), "")

    @property
    def raw(self) -> str:
        return "".join(text for text, _ in self.taken).rstrip("\r\n")

    def read_again(self) -> None:
        """All but the first line of this row were none of it."""
        self.again.extendleft(reversed(self.taken[1:]))
        self.number -= len(self.taken) - 1
        del self.taken[1:]

    def __iter__(self):
        return self

    def __next__(self) -> str:
        self.taken.append(self.again.popleft() if self.again else self.read())
        self.number += 1
        return self.taken[-1][0]

    def read(self) -> tuple[str, str]:
        """The stream's next line, and what is wrong with it."""
        data, fault = self.stream.readline(LONGEST + 1), ""
        if not data:
            raise StopIteration
        first = self.number == 0
        if first and data.startswith(UTF_16):
            raise InputError(f"{self.name} must be UTF-8; it is UTF-16. Try: iconv -f UTF-16 -t UTF-8")
        if len(data) > LONGEST:
            fault = f"a line may have {LONGEST:,} bytes, and this one has more"
            while not data.endswith(b"\n") and (more := self.stream.readline(LONGEST)):
                data = data[:SHOWN] + more[-1:]
            data = data[:SHOWN].replace(b'"', b"'")  # no quotation that would swallow the lines behind it
        try:
            return data.decode("utf-8-sig" if first else "utf-8"), fault
        except UnicodeDecodeError as error:
            reason = f"not UTF-8: {error.reason} at byte {error.start} of line {self.number + 1}"
            return data.decode(errors="backslashreplace"), fault or reason


# Each reader gives its columns first, then its rows.


def read_txt(lines: Lines) -> Iterator:
    yield ["text"]
    line = lines.begin()
    for text in lines:
        text = text.rstrip("\r\n")
        yield Row(line, None if lines.fault else {"text": text}, text, lines.fault)
        line = lines.begin()


def read_jsonl(lines: Lines) -> Iterator[Row]:
    line = lines.begin()
    for text in lines:
        text = text.rstrip("\r\n")
        if text.strip():
            columns, fault = (None, lines.fault) if lines.fault else parsed(text)
            yield Row(line, columns, text, fault)
        line = lines.begin()


def parsed(text: str) -> tuple[dict | None, str]:
    """A line of JSON -> its object, or why it is none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as fault:  # bad JSON, a number of 5,000 digits; nested too deep
        return None, f"not JSON: {fault}"
    return (value, "") if isinstance(value, dict) else (None, f"a row is a JSON object; this is a {type(value).__name__}")


def first_columns(rows: Iterator[Row]) -> tuple[list[str] | None, Iterator[Row]]:
    """Rows -> the columns of the first, and all of them."""
    first = next(rows, None)
    if first is None:
        return None, rows
    return list(first.columns) if first.columns is not None else None, chain([first], rows)


def read_csv(lines: Lines, delimiter: str = DELIMITERS["csv"]) -> Iterator:
    csv.field_size_limit(LONGEST)
    return with_header(lines, csv_cells(lines, delimiter), delimiter)


def read_tsv(lines: Lines, delimiter: str = DELIMITERS["tsv"]) -> Iterator:
    return with_header(lines, tsv_cells(lines, delimiter), delimiter)


def csv_cells(lines: Lines, delimiter: str) -> Iterator[tuple[int, list[str] | None, str]]:
    """Lines -> (where a row begins, its cells or None, why it has none)."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        line = lines.begin()
        try:
            cells, fault = next(reader), lines.fault
        except StopIteration:
            return
        except csv.Error as error:
            cells, fault = None, lines.fault or f"not CSV: {error}"
            lines.read_again()  # a quotation mark too many has swallowed them
        if cells or fault:  # else it is an empty line
            yield line, cells, fault


def tsv_cells(lines: Lines, delimiter: str) -> Iterator[tuple[int, list[str] | None, str]]:
    line = lines.begin()
    for text in lines:
        if text := text.rstrip("\r\n"):
            yield line, text.split(delimiter), lines.fault
        line = lines.begin()


def with_header(lines: Lines, found: Iterable[tuple[int, list[str] | None, str]], delimiter: str) -> Iterator:
    """Cells -> the names in the first row, then Rows."""
    found = iter(found)
    line, names, fault = next(found, (1, None, "the file is empty"))
    if names is None or fault:
        hint = other_delimiter(lines.raw, delimiter)
        raise InputError(f"the first line of {lines.name} must be a header that names the columns; {fault}.{hint}")
    check_names(names, lines.name)
    yield names
    for line, cells, fault in found:
        if cells is not None and not fault and len(cells) != len(names):
            fault = f"a row has as many fields as the header, {len(names)}; this one has {len(cells)}"
        columns = None if fault or cells is None else dict(zip(names, cells))
        yield Row(line, columns, lines.raw, fault)


def other_delimiter(header: str, delimiter: str) -> str:
    """What to add to an error about the header of a csv or tsv that seems to have another delimiter."""
    other = next((letter for letter in ";\t,|" if delimiter and letter in header and delimiter not in header), "")
    return f" If its delimiter is {other!r}, say so: --delimiter {other!r}" if other else ""


def check_names(names: Iterable[str], source: str) -> None:
    """InputError for a name that two columns have."""
    names = list(names)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"the columns of {source} must have names of their own; {', '.join(map(repr, twice))} comes twice.")


READERS: dict[str, Callable[..., Iterator]] = {"txt": read_txt, "csv": read_csv, "tsv": read_tsv, "jsonl": read_jsonl}
