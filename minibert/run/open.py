"""A file's name, or stdin -> Source: choose the reader by the file's format, and decompress .gz."""

from __future__ import annotations

import gzip
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import DataFileError, InputError, short_repr
from .columnar import open_table
from .source import Source, check_path, unreadable
from .text_readers import DELIMITERS, READERS, Lines, columns_of_first

COLUMNAR = ("parquet", "arrow")
FORMATS = (*READERS, *COLUMNAR)
SUFFIXES = {**{f".{file_format}": file_format for file_format in FORMATS}, ".ndjson": "jsonl"}


@contextmanager
def open_source(path: str, file_format: str | None = None, delimiter: str | None = None) -> Iterator[Source]:
    """A file's name, or "-" for stdin -> Source.

    `file_format` is one of FORMATS; by default the file's name decides. `delimiter` is the character between the fields
    of a csv or tsv, if it is not the comma or the tab. InputError for an unknown format and for a delimiter that the
    format has not, DataFileError if the file cannot be read.
    """
    check_path(path)
    file_format = file_format or input_format(path)
    if file_format not in FORMATS:
        raise InputError(f"an input's format is one of {', '.join(FORMATS)}; got {short_repr(file_format)}.")
    if delimiter is not None:
        check_delimiter(delimiter, file_format)
    if file_format in COLUMNAR:
        with open_table(path, file_format) as source:
            yield source
        return
    name = "stdin" if path == "-" else path
    with open_binary(path, name) as (stream, progress):
        lines, read = Lines(stream, name), READERS[file_format]
        rows = translate_read_errors(read(lines, delimiter) if delimiter else read(lines), name)
        columns, rows = columns_of_first(rows) if file_format == "jsonl" else (next(rows), rows)
        yield Source(name, columns, rows, progress, delimiter or DELIMITERS.get(file_format, ""))


@contextmanager
def open_binary(path: str, name: str) -> Iterator[tuple[Any, Callable[[], float | None]]]:
    """A file's decompressed bytes, and a function that returns the fraction read. For a .gz that is of the compressed size."""
    if path == "-":
        if sys.stdin is None:
            raise InputError("stdin is closed, and texts were to come from it.")
        yield sys.stdin.buffer, lambda: None
        return
    try:
        file = open(path, "rb")
    except OSError as error:
        raise unreadable(name, error) from None
    with file:
        size = os.fstat(file.fileno()).st_size

        def progress() -> float | None:
            return file.tell() / size if size else None

        yield gzip.GzipFile(fileobj=file) if path.endswith(".gz") else file, progress


def translate_read_errors(rows: Iterator, name: str) -> Iterator:
    """The same rows; a read error or a damaged .gz raises DataFileError."""
    try:
        yield from rows
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataFileError(f"{name} must be a complete .gz file; it cannot be decompressed: {error}") from None
    except OSError as error:
        raise unreadable(name, error) from None


def check_delimiter(delimiter: str, file_format: str) -> None:
    if file_format not in DELIMITERS:
        raise InputError(f"a delimiter is for csv and tsv; got {short_repr(delimiter)} for {file_format}.")
    if not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '"\r\n\0':
        raise InputError(f"a delimiter is one character, and neither '\"' nor a line end; got {short_repr(delimiter)}.")


def input_format(path: str) -> str:
    """reviews.csv.gz -> csv; stdin -> txt"""
    if path == "-":
        return "txt"
    suffix = Path(path.removesuffix(".gz")).suffix.lower()
    if suffix not in SUFFIXES or (SUFFIXES[suffix] in COLUMNAR and path.endswith(".gz")):
        text_suffixes = ", ".join(suffix for suffix in SUFFIXES if SUFFIXES[suffix] not in COLUMNAR)
        raise InputError(
            f"an input's name must end in its format, {text_suffixes} (each may be followed by .gz), .parquet or .arrow; "
            f"got {path!r}. Name the format with --input-format."
        )
    return SUFFIXES[suffix]
