"""A run that is killed and resumed ends with the bytes of one that was not; memory does not grow with the file."""

import gzip
import json
import os
import random
import subprocess
import sys
import time
import tracemalloc
from itertools import count
from pathlib import Path

from paths import ROOT
from short_runs import UNIX, go, sentences, stub

from minibert.cli import main
from minibert.pipelines import streaming
from minibert.run import job
from minibert.run.open import open_source
from minibert.run.output import Results
from minibert.run.progress import Progress

# --- killed ----------------------------------------------------------------------------------------------------------

WITH_SMALL_CHUNKS = """
import sys
from minibert.pipelines import streaming
streaming.CHUNK_ROWS = 16
from minibert.cli import main
sys.exit(main())
"""


def command(folder, *more):
    return [
        "run",
        "--model",
        "minibert-sst2",
        "--kernels",
        "reference",
        str(folder / "in.jsonl"),
        "-o",
        str(folder / "out.jsonl"),
        "--errors",
        str(folder / "bad.jsonl"),
        *more,
    ]


def killed(folder, chunks, pause):
    """Begin or go on, and kill when `chunks` more are done and a while has passed; True when it ended before."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen(
        [sys.executable, "-c", WITH_SMALL_CHUNKS, *command(folder, "--resume")], env=environment, stderr=subprocess.DEVNULL
    )
    journal = folder / "out.jsonl.journal"
    before = lines_of(journal)
    while child.poll() is None and lines_of(journal) < before + chunks:
        time.sleep(0.002)
    time.sleep(pause)
    child.kill()
    return child.wait() == 0


def assert_same(folder, other):
    assert sorted(os.listdir(folder)) == ["bad.jsonl", "in.jsonl", "out.jsonl"]
    for name in ("out.jsonl", "bad.jsonl"):
        assert (folder / name).read_bytes() == (other / name).read_bytes()


def lines_of(path):
    try:
        return path.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


@UNIX
def test_killed_at_twenty_random_points_it_ends_with_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "CHUNK_ROWS", 16)
    rows = [json.dumps({"id": n, "text": text}) for n, text in enumerate(sentences(400))]
    for index in range(7, 400, 50):
        rows[index] = random.choice(["{", '{"text": 5}', '{"text": "' + "very " * 600 + '"}'])
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "in.jsonl").write_text("\n".join(rows))
    assert main(command(tmp_path / "whole")) == 0
    random.seed(20)
    kills = 0
    while kills < 20:
        if not killed(tmp_path / "killed", random.randint(0, 2), random.uniform(0, 0.05)):
            kills += 1
        else:  # it was quicker: once more
            assert_same(tmp_path / "killed", tmp_path / "whole")
            for name in ("out.jsonl", "bad.jsonl"):
                (tmp_path / "killed" / name).unlink()
    assert main(command(tmp_path / "killed", "--resume")) == 0
    assert_same(tmp_path / "killed", tmp_path / "whole")
    answers = [json.loads(line) for name in ("out.jsonl", "bad.jsonl") for line in (tmp_path / "whole" / name).open()]
    assert len(answers) == 400 and len({row.get("id", -row.get("line", 0)) for row in answers}) == 400


STEPS = [(os, "fsync"), (os, "replace"), (Path, "unlink"), (gzip, "compress"), (json, "dumps")]


def step(folder, last):
    """In a forked child: go on, and die before the system is asked for the `last`th thing. True when it ended before."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    calls = count()

    def dying(function):
        def call(*arguments, **options):
            if next(calls) == last:
                os._exit(9)
            return function(*arguments, **options)

        return call

    for owner, name in STEPS:
        setattr(owner, name, dying(getattr(owner, name)))
    try:
        go(folder, resume=True)
        os._exit(0)
    finally:
        os._exit(1)


@UNIX
def test_killed_between_any_two_steps_it_ends_with_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "CHUNK_ROWS", 3)
    texts = "a\nbad\nb\nc\nd\nbad\nbad\ne"
    expected = None
    for last in count():
        folder = tmp_path / str(last)
        folder.mkdir()
        (folder / "in.txt").write_text(texts)
        (folder / "out.jsonl.gz").write_text("of an earlier run")
        os.utime(folder / "out.jsonl.gz", (1, 1))
        ended = step(folder, last)
        assert ended or step(folder, -1)  # gone on with, and not killed again
        assert sorted(os.listdir(folder)) == ["bad.jsonl", "in.txt", "out.jsonl.gz"]
        contents = [(folder / name).read_bytes() for name in ("out.jsonl.gz", "bad.jsonl")]
        expected = expected or contents
        assert contents == expected, last
        if ended:
            break
    assert last > 20
    assert [json.loads(line)["text"] for line in gzip.decompress(expected[0]).splitlines()] == list("abcde")
    assert [json.loads(line)["line"] for line in expected[1].splitlines()] == [2, 6, 7]


@UNIX
def test_killed_again_and_again_it_ends_with_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "CHUNK_ROWS", 3)
    contents = []
    for name, steps in (("whole", ()), ("killed", (9, 5, 11, 4, 8, 3, 12, 6, 2, 9, 7))):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "in.txt").write_text("\n".join(sentences(20)))
        for last in steps:
            step(folder, last)
        assert step(folder, -1)
        contents.append([(folder / name).read_bytes() for name in ("out.jsonl.gz", "bad.jsonl")])
    assert contents[0] == contents[1]


# --- memory ----------------------------------------------------------------------------------------------------------


def test_memory_does_not_grow_with_the_file(tmp_path):
    def peak(rows):
        path, results = tmp_path / f"{rows}.csv", Results(str(tmp_path / f"{rows}.jsonl"), str(tmp_path / "bad.jsonl"))
        with open(path, "w") as file:
            file.write("text,id\n")
            file.writelines(f'"a ""short"" text, {n}",{n}\n' if n % 100 else "bad\n" for n in range(rows))
        with open_source(str(path)) as source:
            results.begin({}, False)
            tracemalloc.start()
            done = job.run(source, stub(), results, Progress(False))
            allocated = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert (done.rows, done.bad_rows) == (rows, rows // 100)
        return allocated

    peak(1_500)  # what is made once
    small, large = peak(2_500), peak(20_000)
    assert large < small * 1.2 + 50_000
