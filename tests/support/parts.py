"""The parts of a run on an engine, put together, beside a run on one machine."""

import re
from pathlib import Path

ORDER = re.compile(rb'^\{"order": "\d{6}-\d{12}", ')


def concatenated(folder):
    """All parts' lines, sorted and without the order column; all bad rows in the order of their parts' names."""
    folder = Path(folder)
    lines = sorted(line for path in folder.glob("part-*.jsonl") for line in path.read_bytes().splitlines(keepends=True))
    assert all(map(ORDER.match, lines))
    bad = [path.read_bytes() for path in sorted(folder.glob("errors-*.jsonl"))]
    return b"".join(ORDER.sub(b"{", line) for line in lines), b"".join(bad)


def single_machine(run, files, options, folder):
    """The same bytes from one run for each file, on this machine."""
    answers, errors = Path(folder) / "single.jsonl", Path(folder) / "single-errors.jsonl"
    good, bad = [], []
    for path in files:
        status, out, _ = run("run", str(path), "-o", str(answers), "--errors", str(errors), *options)
        assert (status, out) == (0, [])
        good.append(answers.read_bytes())
        bad.append(errors.read_bytes())
    return b"".join(good), b"".join(bad)
