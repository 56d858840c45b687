"""Parquet and Arrow files -> rows, a batch at a time. Needs pyarrow, which the extra `parquet` brings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from ..errors import DataFileError, InputError
from .reading import Row, Source, check_names, unreadable

BATCH = 1024  # rows made into Python's objects at a time


@contextmanager
def opened_table(path: str, kind: str) -> Iterator[Source]:
    """As `opened`. An .arrow file may be of the format for files (Feather is that) or of the one for streams."""
    try:
        import pyarrow
    except ImportError:
        raise InputError(
            f"{kind} is read with pyarrow, which is not installed. Install it: pip install 'minibert[parquet]'"
        ) from None
    if path == "-":
        raise InputError(f"{kind} is read from a file; got stdin.")
    try:
        names, count, batches = (parquet if kind == "parquet" else arrow)(path)
    except pyarrow.ArrowException as fault:
        raise DataFileError(f"{path} must be a {kind} file; it cannot be read as one: {fault}") from None
    except OSError as fault:
        raise unreadable(path, fault) from None
    check_names(names, path)
    seen = [0]
    yield Source(path, names, rows(batches, path, seen), lambda: seen[0] / count if count else None)


def parquet(path: str) -> tuple[list[str], int | None, Iterable]:
    """A file -> its columns, how many rows, and batches of them."""
    from pyarrow.parquet import ParquetFile

    file = ParquetFile(path)
    return file.schema_arrow.names, file.metadata.num_rows, file.iter_batches(BATCH)


def arrow(path: str) -> tuple[list[str], int | None, Iterable]:
    import pyarrow

    source = pyarrow.memory_map(path)
    try:
        file = pyarrow.ipc.open_file(source)
    except pyarrow.ArrowInvalid:
        source.seek(0)
        stream = pyarrow.ipc.open_stream(source)
        return stream.schema.names, None, sliced(stream)
    return file.schema.names, None, sliced(file.get_batch(number) for number in range(file.num_record_batches))


def sliced(batches: Iterable) -> Iterator:
    """Batches as they were written, which may be of any size -> batches of BATCH rows."""
    for batch in batches:
        for start in range(0, batch.num_rows, BATCH):
            yield batch.slice(start, BATCH)


def rows(batches: Iterable, name: str, seen: list[int]) -> Iterator[Row]:
    import pyarrow

    try:
        for batch in batches:
            for columns, fault in objects(batch):
                seen[0] += 1
                yield Row(seen[0], columns, columns, fault)
    except pyarrow.ArrowException as fault:
        raise DataFileError(f"{name} is damaged behind row {seen[0]}: {fault}") from None
    except OSError as fault:
        raise unreadable(name, fault) from None


def objects(batch) -> Iterator[tuple[dict | None, str]]:
    """Rows as dictionaries; one that Python has no objects for (bytes that are not UTF-8, the year 10,000) says why."""
    try:
        found = [(columns, "") for columns in batch.to_pylist()]
    except (ValueError, OverflowError) as fault:
        half = batch.num_rows // 2
        found = [*objects(batch.slice(0, half)), *objects(batch.slice(half))] if half else [(None, str(fault))]
    yield from found
