"""The output of a run on several machines: a folder, with a part for each block of the inputs' rows.

    part-000002-000000010001.jsonl      answers of the block of input 2 that begins on line 10001
    errors-000002-000000010001.jsonl    its bad rows, if it has any: line, reason, row
    run.json                            the run's fingerprint, and whether it is complete

A part is written under another name and renamed. So a part that is there is complete, and a resumed run answers the other
blocks. Two workers may write one part, if one of them was believed lost: both write the same bytes.

Each line of a part begins with an order column, an input's place and a line. Sorted and without that column, the lines of
all parts are the output of `minibert run` on one machine.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import DataFileError, InputError, ModelFileError
from ..files import atomic_write, read_json, write_json
from ..pipelines.streaming import chunks
from .blocks import Block, open_block
from .job import Job, answer_chunk, encode_chunk, row_chars
from .output import check_same_run
from .source import Row
from .writers import json_line

LARGEST_RUN_JSON = 1 << 30  # bytes; an input takes some hundred


class Counts(NamedTuple):
    rows: int
    bad_rows: int
    reason: str  # of the first bad row


def part_name(block: Block, what: str = "part") -> str:
    return f"{what}-{block.input:06}-{block.line:012}.jsonl"


def order_of(row: Row, input_index: int, column: str) -> dict[str, str]:
    """Text of a fixed length: sorted as text, rows are in the order of the inputs and their lines."""
    return {column: f"{input_index:06}-{row.line:012}"}


def answer_block(block: Block, job: Job, order_column: str, folder: Path, advance: Callable[[], object]) -> Counts:
    """Answer a block's rows and write its part. If `job.strict`, InputError for a bad row."""
    job = job._replace(encode=json_line, order=partial(order_of, input_index=block.input, column=order_column))
    good, bad, reasons, rows = [], [], [], 0
    with open_block(block) as source:
        for chunk in chunks(source.rows, row_chars):
            lines, bad_lines, chunk_reasons = encode_chunk(chunk, answer_chunk(chunk, job.task, advance), block.path, job)
            good.append(lines)
            bad.append(bad_lines)
            reasons += chunk_reasons
            rows += len(chunk)
    if reasons:
        write_part(folder / part_name(block, "errors"), b"".join(bad))
    write_part(folder / part_name(block), b"".join(good))
    return Counts(rows, len(reasons), f"{block.path}, {reasons[0]}" if reasons else "")


def write_part(path: Path, data: bytes) -> None:
    """Rename the file into place when its bytes are on the disk."""

    def write(tmp_path: Path) -> None:
        with open(tmp_path, "wb") as file:
            file.write(data)
            os.fsync(file.fileno())

    try:
        atomic_write(path, write)
    except ModelFileError as error:
        raise DataFileError(str(error)) from None


class OutputFolder:
    """The folder of a run's parts."""

    def __init__(self, folder: str) -> None:
        self.path = Path(os.path.abspath(folder))
        self.state_path = self.path / "run.json"

    def begin(self, fingerprint: Mapping[str, Any], resume: bool) -> bool:
        """Whether there is anything left to do. InputError if the folder has another run's parts."""
        before = self.read_state()
        if before is None:
            if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
                raise InputError(
                    f"the output of --engine is a new or an empty folder; {self.path} has files of something else."
                )
        elif not self.saved:  # it was stopped before its first part
            for path in self.path.glob("errors-*.jsonl"):
                path.unlink()
        elif not resume:
            raise InputError(f"{self.path} has the parts of a run. Continue it with --resume, or delete the folder.")
        else:
            check_same_run(before["fingerprint"], fingerprint, self.path)
            if before["complete"]:
                return False
        self.write_state(fingerprint, complete=False)
        return True

    def read_state(self) -> dict | None:
        if not self.state_path.exists():
            return None
        state = read_json(self.state_path, InputError, largest=LARGEST_RUN_JSON)
        if not isinstance(state.get("fingerprint"), dict) or not isinstance(state.get("complete"), bool):
            raise InputError(f"{self.state_path} must be the state of a run; it is not. Delete the folder to start over.")
        return state

    def write_state(self, fingerprint: Mapping[str, Any], complete: bool) -> None:
        try:
            write_json(self.state_path, {"fingerprint": fingerprint, "complete": complete})
        except ModelFileError as error:
            raise DataFileError(str(error)) from None

    def missing(self, blocks: list[Block]) -> list[Block]:
        """The blocks that have no part yet."""
        names = {entry.name for entry in os.scandir(self.path)}
        return [block for block in blocks if part_name(block) not in names]

    @property
    def saved(self) -> str:
        """What a resumed run need not do again; empty if that is nothing."""
        count = sum(1 for _ in self.path.glob("part-*.jsonl"))
        return f"{count:,} parts" if count else ""

    def discard(self) -> None:
        """After an error: parts are kept."""

    def finish(self, fingerprint: Mapping[str, Any]) -> None:
        """All parts are there: delete what killed workers left under other names."""
        for path in self.path.glob(".*.jsonl.*"):
            path.unlink(missing_ok=True)
        self.write_state(fingerprint, complete=True)

    def count_bad_rows(self) -> int:
        count = 0
        for path in self.path.glob("errors-*.jsonl"):
            with open(path, "rb") as file:
                count += sum(1 for _ in file)
        return count
