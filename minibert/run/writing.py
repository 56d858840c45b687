"""Lines -> files that are whole or not there, and can be gone on with after a kill; or a stream.

    out.jsonl.part      what is written so far
    out.jsonl.journal   what made it, then a line for each portion: how many rows are done, how many bytes they take
    out.jsonl           only when it is whole: then the part takes its name, and the journal goes

A portion's bytes are on the disk before its line is in the journal. Whatever kills the run, the last whole line of the
journal is true of the part's first bytes: a resumed run cuts the part there and goes on with the next row.
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
from .reading import check_path

try:
    import fcntl
except ImportError:  # Windows, where two runs of one output are not told apart
    fcntl = None


class Done(NamedTuple):
    """How far a run is."""

    rows: int = 0  # of the input, good and bad
    bad: int = 0
    first: Sequence[str] = ()  # why the first few were bad
    sizes: Sequence[int] = ()  # bytes in each file
    whole: bool = False


class Part:
    """A file that is written aside."""

    def __init__(self, path: Path):
        self.path, self.aside = path, path.with_name(path.name + ".part")
        self.size, self.file = 0, None

    def open(self, size: int) -> None:
        """Go on behind the first `size` bytes."""
        self.file = open(self.aside, "ab")
        if self.file.tell() < size:
            raise DataFileError(f"{self.aside} must have {size} bytes of the run that was interrupted; it has fewer.")
        self.file.truncate(size)
        self.size = size

    def write(self, data: bytes) -> None:
        """On the disk when it returns. Of a .gz each call is a member, which is whole by itself."""
        data = gzip.compress(data, mtime=0) if data and self.path.suffix == ".gz" else data
        self.file.write(data)
        self.file.flush()
        os.fsync(self.file.fileno())
        self.size += len(data)

    def discard(self) -> None:
        if self.file is not None:
            with suppress(OSError):  # of a full disk, that it is full
                self.file.close()
            self.aside.unlink(missing_ok=True)

    def finish(self) -> None:
        """May be called again by a run that was killed within."""
        if self.file is not None:
            self.file.close()  # Windows renames no open file
        if self.aside.exists():
            os.replace(self.aside, self.path)


class Stream:
    """stdout, a pipe or a device: what is written is gone."""

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
    """The file that says what is done, held by one run at a time."""

    def __init__(self, path: Path):
        self.path = path
        self.file = open(path, "a+b")
        try:
            if fcntl:
                fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"an output has one run at a time; another holds {path}. Wait for it, or end it.") from None
        self.made_by, self.done = self.read()

    def read(self) -> tuple[dict, Done]:
        """What made it and its last entry; the line that a kill cut short is cut off."""
        self.file.seek(0)
        entries, end = [], 0
        try:
            for line in self.file:
                if line.endswith(b"\n"):
                    entries, end = [*entries[:1], json.loads(line)], end + len(line)
            self.file.truncate(end)
            return entries[0] if entries else {}, Done(**entries[1]) if len(entries) > 1 else Done()
        except (ValueError, TypeError) as fault:
            raise InputError(
                f"{self.path} must be a run's journal; it cannot be read: {fault}. Delete it to begin anew."
            ) from None

    def begin(self, made_by: Mapping) -> None:
        self.file.truncate(0)
        self.append(made_by)

    def append(self, entry: Mapping) -> None:
        self.file.write(json.dumps(entry).encode() + b"\n")
        self.file.flush()
        os.fsync(self.file.fileno())

    def end(self) -> None:
        self.file.close()
        self.path.unlink(missing_ok=True)


class Results:
    """Where a run's lines go, and how far it is. `output` comes first of its files, then the one for bad rows."""

    def __init__(self, output: str, errors: str | None):
        self.journal: Journal | None = None
        self.done = Done()
        self.parts: list[Part | Stream] = []
        for path in (output, *([] if errors is None else [errors])):
            check_path(path)
            self.parts.append(Part(Path(os.path.realpath(path))) if is_file(path) else Stream(path))
        if len({part.path for part in self.parts}) < len(self.parts):
            raise InputError(f"answers and bad rows must go to two files; got {output} for both.")
        self.resumable = isinstance(self.parts[0], Part)

    def begin(self, made_by: Mapping[str, Any], resume: bool, changed: int = 0) -> None:
        """Open the files, behind what an interrupted run of the same arguments has done where that is asked.

        `changed`: when the input last was, in ns. An output that is younger, and has no journal, is whole.
        """
        with told(self):
            if self.resumable:
                path = self.parts[0].path
                name = path.with_name(path.name + ".journal")
                if resume and not name.exists() and path.exists() and path.stat().st_mtime_ns >= changed:
                    self.done = Done(whole=True)
                    return
                journal = Journal(name)
                self.done = interrupted(journal, made_by, resume)
                self.journal = journal  # only now is it this run's to write in, or to take away
            if self.done.whole:
                return
            for part, size in zip(self.parts, self.done.sizes or [0] * len(self.parts)):
                part.open(size)
            if self.journal and not self.done.rows:
                self.journal.begin(made_by)

    def add(self, lines: Sequence[bytes], rows: int = 0, bad: int = 0, first: Sequence[str] = ()) -> None:
        """A portion's lines, one string of bytes a file."""
        with told(self):
            for part, data in zip(self.parts, lines):
                part.write(data)
            self.note(self.done._replace(rows=self.done.rows + rows, bad=self.done.bad + bad, first=first or self.done.first))

    def note(self, done: Done) -> None:
        done = done._replace(sizes=[part.size for part in self.parts])
        if self.journal:
            self.journal.append(done._asdict())
        self.done = done

    def finish(self) -> None:
        """Give the files their names; a run that is killed between two of them ends it when it is resumed."""
        with told(self):
            if not self.done.whole:
                self.note(self.done._replace(whole=True))
            for part in reversed(self.parts):
                part.finish()
            if self.journal:
                self.journal.end()

    def discard(self) -> None:
        """After a fault: take away what holds nothing that could be gone on with."""
        if self.journal and not self.done.rows:
            self.journal.end()
        if not (self.journal and self.done.rows):
            for part in self.parts:
                part.discard()


@contextmanager
def told(results: Results) -> Iterator[None]:
    """What the system says against writing, as one error that says what is kept. Of a broken pipe the caller knows."""
    try:
        yield
    except (BrokenPipeError, MinibertError):
        raise
    except OSError as fault:
        name = fault.filename or results.parts[0].path
        kept = results.done.rows if results.journal else 0
        mend = f" {kept:,} rows are kept: make room, and run the same command with --resume." if kept else ""
        raise DataFileError(f"{name} cannot be written: {fault.strerror or fault}.{mend}") from None


def interrupted(journal: Journal, made_by: Mapping[str, Any], resume: bool) -> Done:
    """What a journal says is done; InputError where this run may not go on with it."""
    done = journal.done
    if not done.rows and not done.whole:
        return Done()
    if not resume:
        raise InputError(
            f"a run of this output was interrupted, {done.rows:,} rows are done. Go on with --resume, or delete "
            f"{journal.path} to begin anew."
        )
    before = journal.made_by
    other = [name for name in {**before, **made_by} if before.get(name) != made_by.get(name)]
    if other:
        was = "; ".join(f"{name} was {before.get(name)!r:.60} and is {made_by.get(name)!r:.60}" for name in other)
        raise InputError(
            f"--resume goes on with what the interrupted run was given; {was}. Give the same, or delete {journal.path} "
            "to begin anew."
        )
    return done


def is_file(path: str) -> bool:
    """Whether a name is, or will be, a file that can be renamed."""
    if os.path.isdir(path):
        raise InputError(f"an output is a file; {path!r} is a folder.")
    return path != "-" and (os.path.isfile(path) or not os.path.exists(path))
