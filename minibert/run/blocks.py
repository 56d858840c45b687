"""A file -> blocks of some thousand rows, each of which can be read without reading the file up to it.

    txt, tsv, jsonl, csv    a block begins at an offset, and ends with the row before the next block's first line
    parquet                 a range of rows
    arrow, and any .gz      the whole file: nothing can be read without what is before it

`open_block` reads the rows of a block with the readers of whole files, and numbers them as those do. So all blocks in
order are the rows of the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice, takewhile
from typing import Any, NamedTuple

from ..errors import DataFileError, InputError
from .columnar import BATCH_ROWS, import_pyarrow, rows_of
from .filesystem import is_url, open_input
from .open import open_source, translate_read_errors
from .source import Row, Source, check_names, unreadable
from .text_readers import DELIMITERS, MAX_LINE_BYTES, READERS, Lines, columns_of_first, csv_records


class Block(NamedTuple):
    """A range of a file's rows."""

    input: int  # the file's place among the inputs
    path: str
    file_format: str
    delimiter: str | None  # of a csv or tsv, if it is not the usual one
    line: int = 1  # of its first row, counted from 1; in parquet, the row's number
    start: int = 0  # the offset of that row; in parquet, the rows before it
    stop_line: int | None = None  # the first line of the next block; None is the end of the file


def plan_blocks(file: Block, rows_per_block: int) -> Iterator[Block]:
    """A whole file, as one block -> blocks of at most `rows_per_block` rows, in order; at least one.

    Reads the file once, but parses only csv. Empty lines count as rows.
    """
    if file.file_format == "arrow" or file.path.endswith(".gz"):
        yield file
        return
    with open_input(file.path) as stream:
        if file.file_format == "parquet":
            rows = open_parquet(file.path, stream).metadata.num_rows
            starts: Iterator = ((start + 1, start) for start in range(0, rows, rows_per_block))
        elif file.file_format == "csv":
            starts = islice(csv_starts(stream, file), 0, None, rows_per_block)
        else:
            starts = islice(line_starts(stream), 0, None, rows_per_block)
        starts = translate_read_errors(starts, file.path)
        line, start = next(starts, (1, 0))
        for next_line, next_start in starts:
            yield file._replace(line=line, start=start, stop_line=next_line)
            line, start = next_line, next_start
    yield file._replace(line=line, start=start)


def line_starts(stream: Any) -> Iterator[tuple[int, int]]:
    """The number and the offset of each line."""
    line, offset, is_new = 1, 0, True
    for piece in iter(partial(stream.readline, MAX_LINE_BYTES), b""):
        if is_new:
            yield line, offset
        is_new = piece.endswith(b"\n")
        line, offset = line + is_new, offset + len(piece)


def csv_starts(stream: Any, file: Block) -> Iterator[tuple[int, int]]:
    """The line and the offset of each record; the header is one. A quoted field may hold line ends."""
    offsets = OffsetStream(stream)
    lines = Lines(offsets, file.path)
    first = True
    for line, _, _ in csv_records(lines, file.delimiter or DELIMITERS["csv"]):
        yield (1, 0) if first else (line, offsets.of_line(line))
        first = False


class OffsetStream:
    """The lines of a stream. Remembers where those start that have not been passed yet."""

    def __init__(self, stream: Any) -> None:
        self.stream, self.offset, self.line = stream, 0, 1
        self.offsets: dict[int, int] = {}
        self.is_new = True

    def readline(self, limit: int) -> bytes:
        if self.is_new:
            self.offsets[self.line] = self.offset
        data = self.stream.readline(limit)
        self.is_new = data.endswith(b"\n")
        self.line, self.offset = self.line + self.is_new, self.offset + len(data)
        return data

    def of_line(self, line: int) -> int:
        """The offset of a line. The lines before it are forgotten."""
        for passed in [number for number in self.offsets if number < line]:
            del self.offsets[passed]
        return self.offsets[line]


@contextmanager
def open_block(block: Block) -> Iterator[Source]:
    """The rows of a block, as `open_source` has those of a file."""
    if block.file_format == "arrow" or block.path.endswith(".gz"):
        if is_url(block.path):
            raise InputError(f"a URL names a file of txt, csv, tsv, jsonl or parquet, without .gz; got {block.path}.")
        with open_source(block.path, block.file_format, block.delimiter) as source:
            yield source
        return
    with open_input(block.path) as file:
        source = (parquet_block if block.file_format == "parquet" else text_block)(file, block)
        yield source if block.stop_line is None else source._replace(rows=rows_before(block.stop_line, source.rows))


def rows_before(line: int, rows: Iterator[Row]) -> Iterator[Row]:
    """Not a limit of the bytes that are read: a stray quotation mark reads on, and how far is told in the row's error."""
    return takewhile(lambda row: row.line < line, rows)


def text_block(file: Any, block: Block) -> Source:
    lines, read = Lines(file, block.path), READERS[block.file_format]
    delimiter = block.delimiter or DELIMITERS.get(block.file_format, "")
    rows = translate_read_errors(read(lines, delimiter) if delimiter else read(lines), block.path)
    columns = None if block.file_format == "jsonl" else next(rows)  # from the top of the file
    if block.start:
        file.seek(block.start)
        lines.line = block.line - 1
    if block.file_format == "jsonl":
        columns, rows = columns_of_first(rows)
    return Source(block.path, columns, rows, lambda: None, delimiter)


def parquet_block(stream: Any, block: Block) -> Source:
    """Reads from the row group on that holds the block's first row."""
    file = open_parquet(block.path, stream)
    names, metadata = file.schema_arrow.names, file.metadata
    check_names(names, block.path)
    group, before = 0, 0  # the first row group of the block, and the rows before it
    while group < metadata.num_row_groups and before + metadata.row_group(group).num_rows <= block.start:
        before += metadata.row_group(group).num_rows
        group += 1
    groups = list(range(group, metadata.num_row_groups))
    batches = file.iter_batches(BATCH_ROWS, row_groups=groups) if groups else []
    rows = islice(rows_of(batches, block.path, [before]), block.start - before, None)
    return Source(block.path, names, rows, lambda: None)


def open_parquet(path: str, stream: Any) -> Any:
    pyarrow = import_pyarrow("parquet")
    from pyarrow.parquet import ParquetFile

    try:
        return ParquetFile(stream)
    except pyarrow.ArrowException as error:
        raise DataFileError(f"{path} must be a parquet file; it cannot be read as one: {error}") from None
    except OSError as error:
        raise unreadable(path, error) from None
