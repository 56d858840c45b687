"""Parquet and Arrow files -> rows, a batch at a time. Needs pyarrow, which the extra `parquet` installs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import DataFileError, InputError
from .source import Row, Source, check_names, unreadable

BATCH_ROWS = 1024  # rows converted to Python objects at a time


def import_pyarrow(what: str) -> Any:
    try:
        import pyarrow
    except ImportError:
        message = f"{what} is read with pyarrow, which is not installed. Install it: pip install 'minibert-cpu[parquet]'"
        raise InputError(message) from None
    return pyarrow


@contextmanager
def open_table(path: str, file_format: str) -> Iterator[Source]:
    """As `open_source`, for parquet and arrow. An .arrow file has Arrow's file format (as Feather has) or its stream format."""
    pyarrow = import_pyarrow(file_format)
    if path == "-":
        raise InputError(f"{file_format} is read from a file; got stdin.")
    try:
        names, num_rows, batches = (read_parquet if file_format == "parquet" else read_arrow)(path)
    except pyarrow.ArrowException as error:
        raise DataFileError(f"{path} must be a {file_format} file; it cannot be read as one: {error}") from None
    except OSError as error:
        raise unreadable(path, error) from None
    check_names(names, path)
    rows_read = [0]
    yield Source(path, names, rows_of(batches, path, rows_read), lambda: rows_read[0] / num_rows if num_rows else None)


def read_parquet(path: str) -> tuple[list[str], int | None, Iterable]:
    """A file -> its columns, the number of its rows, and its batches."""
    from pyarrow.parquet import ParquetFile

    file = ParquetFile(path)
    return file.schema_arrow.names, file.metadata.num_rows, file.iter_batches(BATCH_ROWS)


def read_arrow(path: str) -> tuple[list[str], int | None, Iterable]:
    """The same; neither of Arrow's formats says how many rows there are."""
    import pyarrow

    source = pyarrow.memory_map(path)
    try:
        file = pyarrow.ipc.open_file(source)
    except pyarrow.ArrowInvalid:
        source.seek(0)
        stream = pyarrow.ipc.open_stream(source)
        return stream.schema.names, None, slices(stream)
    return file.schema.names, None, slices(file.get_batch(index) for index in range(file.num_record_batches))


def slices(batches: Iterable) -> Iterator:
    """Batches of any size -> batches of at most BATCH_ROWS rows."""
    for batch in batches:
        for start in range(0, batch.num_rows, BATCH_ROWS):
            yield batch.slice(start, BATCH_ROWS)


def rows_of(batches: Iterable, name: str, rows_read: list[int]) -> Iterator[Row]:
    """Batches -> Rows. Counts them in `rows_read[0]`."""
    import pyarrow

    try:
        for batch in batches:
            for columns, error in dicts_of(batch):
                rows_read[0] += 1
                yield Row(rows_read[0], columns, columns, error)
    except pyarrow.ArrowException as error:
        raise DataFileError(f"{name} is damaged after row {rows_read[0]}: {error}") from None
    except OSError as error:
        raise unreadable(name, error) from None


def dicts_of(batch: Any) -> Iterator[tuple[dict | None, str]]:
    """A batch -> (columns, "") of each row, or (None, the reason) if Python has no object for a value of that row.

    Such values are bytes in a text column that are not UTF-8, and the year 10,000. The batch is halved to find them.
    """
    try:
        rows = [(columns, "") for columns in batch.to_pylist()]
    except (ValueError, OverflowError) as error:
        half = batch.num_rows // 2
        rows = [*dicts_of(batch.slice(0, half)), *dicts_of(batch.slice(half))] if half else [(None, str(error))]
    yield from rows
