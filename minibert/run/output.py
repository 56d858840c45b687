"""Encoded rows -> files that appear only when they are complete, and whose run can be resumed after a kill; or a stream.

    out.jsonl.part      the rows written so far
    out.jsonl.journal   the run's fingerprint, then a line for each chunk: rows done so far, size of each file
    out.jsonl           the part file, renamed when the run is complete; the journal is then deleted

A chunk's bytes are on the disk before its line is in the journal. So whenever a run is killed, the journal's last
complete line describes a prefix of the part file. A resumed run truncates the part file to that and goes on with the
next row.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import DataFileError, InputError, MinibertError
from .source import check_path

try:
    import fcntl
except ImportError:  # Windows, where nothing stops two runs from writing one output
    fcntl = None  # type: ignore[assignment]

WORK_FILES = PART, JOURNAL = ".part", ".journal"  # the ends of what is beside an output's name until it is complete


class RunState(NamedTuple):
    """How far a run is; a line of the journal."""

    rows: int = 0  # of the input, good and bad
    bad_rows: int = 0
    reasons: Sequence[str] = ()  # of the first bad rows
    sizes: Sequence[int] = ()  # bytes in each file
    complete: bool = False


class PartFile:
    """A file that is written under the name `path`.part."""

    def __init__(self, path: Path):
        self.path, self.tmp_path = path, path.with_name(path.name + PART)
        self.size = 0
        self.file: Any = None  # until it is opened

    def open(self, size: int) -> None:
        """Keep the first `size` bytes, and append to them."""
        self.file = open(self.tmp_path, "ab")
        if self.file.tell() < size:
            raise DataFileError(f"{self.tmp_path} must have {size} bytes of the run that was interrupted; it has fewer.")
        self.file.truncate(size)
        self.size = size

    def write(self, data: bytes) -> None:
        """Returns when the data is on the disk. In a .gz each call writes a member, which is complete by itself."""
        data = gzip.compress(data, mtime=0) if data and self.path.suffix == ".gz" else data
        self.file.write(data)
        self.file.flush()
        os.fsync(self.file.fileno())
        self.size += len(data)

    def discard(self) -> None:
        if self.file is not None:
            with suppress(OSError):  # a full disk says so again
                self.file.close()
            self.tmp_path.unlink(missing_ok=True)

    def finish(self) -> None:
        """Rename the file. A run that was killed after this may call it again."""
        if self.file is not None:
            self.file.close()  # Windows cannot rename an open file
        if self.tmp_path.exists():
            os.replace(self.tmp_path, self.path)


class OutputStream:
    """stdout, a pipe or a device: what has been written cannot be taken back."""

    size = 0

    def __init__(self, path: str):
        if path == "-" and sys.stdout is None:
            raise InputError("stdout is closed, and answers go there.")
        self.path = path
        self.file = sys.stdout.buffer if path == "-" else open(path, "wb")

    def open(self, size: int) -> None:
        pass

    def write(self, data: bytes) -> None:
        self.file.write(data)
        self.file.flush()

    def discard(self) -> None:
        pass

    def finish(self) -> None:
        pass


class Journal:
    """The file that records a run's state, locked by one run at a time."""

    def __init__(self, path: Path):
        self.path = path
        self.open()
        while not self.is_at_path():  # another run deleted it between the two steps of `open`
            self.file.close()
            self.open()
        self.fingerprint, self.state = self.read()

    def open(self) -> None:
        """Open the file, then lock it."""
        self.file = open(self.path, "a+b")
        try:
            if fcntl:
                fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.file.close()
            raise InputError(
                f"an output has one run at a time; another run has {self.path} open. Wait for it, or end it."
            ) from None

    def is_at_path(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self.file.fileno()), os.stat(self.path))
        except FileNotFoundError:
            return False

    def read(self) -> tuple[dict, RunState]:
        """The run's fingerprint and its last state. A last line that was cut short by a kill is removed."""
        self.file.seek(0)
        entries: list[dict] = []
        end = 0
        try:
            for line in self.file:
                if line.endswith(b"\n"):
                    entries, end = [*entries[:1], json.loads(line)], end + len(line)
            self.file.truncate(end)
            return entries[0] if entries else {}, RunState(**entries[1]) if len(entries) > 1 else RunState()
        except (ValueError, TypeError) as error:
            raise InputError(
                f"{self.path} must be a run's journal; it cannot be read: {error}. Delete it to start over."
            ) from None

    def begin(self, fingerprint: Mapping) -> None:
        self.file.truncate(0)
        self.append(fingerprint)

    def append(self, entry: Mapping) -> None:
        self.file.write(json.dumps(entry).encode() + b"\n")
        self.file.flush()
        os.fsync(self.file.fileno())

    def end(self) -> None:
        if os.name == "nt":  # where an open file cannot be deleted
            self.file.close()
        self.path.unlink(missing_ok=True)  # while it is locked: nobody else has begun to write it
        self.file.close()


class Results:
    """The files that a run writes, and its state. The first file is `output`; the second, if any, has the bad rows."""

    def __init__(self, output: str, errors: str | None):
        self.journal: Journal | None = None
        self.state = RunState()
        self.files: list[PartFile | OutputStream] = []
        for path in (output, *([] if errors is None else [errors])):
            check_path(path)
            self.files.append(PartFile(Path(os.path.realpath(path))) if is_regular_file(path) else OutputStream(path))
        if len({file.path for file in self.files}) < len(self.files):
            raise InputError(f"answers and bad rows must go to two files; got {output} for both.")
        self.resumable = isinstance(self.files[0], PartFile)

    def begin(self, fingerprint: Mapping[str, Any], resume: bool, input_time: int = 0) -> None:
        """Open the files; if `resume`, after what an interrupted run with the same fingerprint has written.

        `input_time`: when the input was last modified, in ns. An output that is newer and has no journal is complete.
        """
        with translate_write_errors(self):
            if isinstance(output := self.files[0], PartFile):
                path = output.path
                journal_path = path.with_name(path.name + JOURNAL)
                if resume and not journal_path.exists() and path.exists() and path.stat().st_mtime_ns >= input_time:
                    self.state = RunState(complete=True)
                    return
                journal = Journal(journal_path)
                self.state = resume_point(journal, fingerprint, resume)
                self.journal = journal  # not earlier: until here another run's journal must not be changed or deleted
            if self.state.complete:
                return
            for file, size in zip(self.files, self.state.sizes or [0] * len(self.files)):
                file.open(size)
            if self.journal and not self.state.rows:
                self.journal.begin(fingerprint)

    def add(self, data: Sequence[bytes], rows: int = 0, bad_rows: int = 0, reasons: Sequence[str] = ()) -> None:
        """Append a chunk's lines: the bytes for each file."""
        with translate_write_errors(self):
            for file, lines in zip(self.files, data):
                file.write(lines)
            state = self.state
            self.record(
                state._replace(rows=state.rows + rows, bad_rows=state.bad_rows + bad_rows, reasons=reasons or state.reasons)
            )

    def record(self, state: RunState) -> None:
        state = state._replace(sizes=[file.size for file in self.files])
        if self.journal:
            self.journal.append(state._asdict())
        self.state = state

    def finish(self) -> None:
        """Rename the files. If the run is killed between two of them, a resumed run renames the rest.

        A complete output without a journal stays as it is: a part file beside it is of another run.
        """
        if self.state.complete and self.journal is None:
            return
        with translate_write_errors(self):
            if not self.state.complete:
                self.record(self.state._replace(complete=True))
            for file in reversed(self.files):
                file.finish()
            if self.journal:
                self.journal.end()

    @property
    def saved(self) -> str:
        """What a resumed run need not do again; empty if that is nothing."""
        return f"{self.state.rows:,} rows" if self.journal and self.state.rows else ""

    def discard(self) -> None:
        """After an error: delete the files, unless the run can be resumed from them."""
        if self.journal and not self.state.rows:
            self.journal.end()
        if not (self.journal and self.state.rows):
            for file in self.files:
                file.discard()


@contextmanager
def translate_write_errors(results: Results) -> Iterator[None]:
    """Raise DataFileError for an error of the operating system, except for a broken pipe, which the caller handles."""
    try:
        yield
    except (BrokenPipeError, MinibertError):
        raise
    except OSError as error:
        name = error.filename or results.files[0].path
        rows = results.state.rows if results.journal else 0
        fix = f" {rows:,} rows are saved: free some space, and run the same command with --resume." if rows else ""
        raise DataFileError(f"{name} cannot be written: {error.strerror or error}.{fix}") from None


def resume_point(journal: Journal, fingerprint: Mapping[str, Any], resume: bool) -> RunState:
    """The state a run starts from; InputError if the journal is of a run that this one may not continue."""
    state = journal.state
    if not state.rows and not state.complete:
        return RunState()
    if not resume:
        raise InputError(
            f"a run of this output was interrupted; {state.rows:,} rows are done. Continue with --resume, or delete "
            f"{journal.path} to start over."
        )
    check_same_run(journal.fingerprint, fingerprint, journal.path)
    return state


def check_same_run(before: Mapping[str, Any], fingerprint: Mapping[str, Any], path: Path) -> None:
    """InputError unless the interrupted run, whose fingerprint is in the file `path`, is this one."""
    changed = [name for name in {**before, **fingerprint} if before.get(name) != fingerprint.get(name)]
    if changed:
        changes = "; ".join(f"{name} was {before.get(name)!r:.60} and is {fingerprint.get(name)!r:.60}" for name in changed)
        raise InputError(
            f"--resume needs the arguments and the input of the interrupted run; {changes}. Pass the same, or delete "
            f"{path} to start over."
        )


def is_regular_file(path: str) -> bool:
    """Whether a name is, or can become, a file that can be renamed. False for a pipe or a device, InputError for a folder."""
    if os.path.isdir(path):
        raise InputError(f"an output is a file; {path!r} is a folder.")
    return path != "-" and (os.path.isfile(path) or not os.path.exists(path))
