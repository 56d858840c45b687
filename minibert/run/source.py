"""What every reader of an input returns: a Source of Rows. Readers: text_readers.py and columnar.py."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from ..errors import DataFileError, InputError, short_repr


class Row(NamedTuple):
    """A row of a file, or the reason why it cannot be read."""

    line: int  # the line it starts on, counted from 1; in parquet and arrow files, the row's number
    columns: dict[str, Any] | None  # None if the row is broken
    raw: Any  # the text of the row in the file; in parquet and arrow files, the same as `columns`
    error: str = ""  # why the row is broken


class Source(NamedTuple):
    """An open input."""

    name: str  # for messages
    columns: list[str] | None  # the names in the header, or the keys of the first object; None if that object is broken
    rows: Iterator[Row]
    progress: Callable[[], float | None]  # the fraction of the input that has been read; None if its size is unknown
    delimiter: str = ""  # between the fields of a csv or tsv


def check_path(path: str) -> None:
    """InputError for a value that cannot be a file's name."""
    if not isinstance(path, str) or not path or "\0" in path:
        raise InputError(f"a file's name must be text with a character, and none that is NUL; got {short_repr(path)}.")


def check_names(names: Iterable[str], source: str) -> None:
    """InputError if two columns have the same name."""
    names = list(names)
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputError(f"the columns of {source} must have different names; {', '.join(map(repr, repeated))} occurs twice.")


def unreadable(name: str, error: OSError) -> DataFileError:
    """The operating system's error as one of minibert."""
    return DataFileError(f"{name} cannot be read: {error.strerror or error}.")
