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

import pytest
from test_cli import run  # noqa: F401 - a fixture

from minibert.cli import main
from minibert.errors import InputError
from minibert.pipelines import streaming
from minibert.run import job
from minibert.run.open import open_source
from minibert.run.output import Journal, Results
from minibert.run.progress import Progress
from minibert.run.tasks import Task

ROOT = Path(__file__).resolve().parents[1]
UNIX = pytest.mark.skipif(os.name == "nt", reason="Unix's fork and kill")
WORDS = [
    "a",
    "bad",
    "film,",
    "not",
    "very",
    "good;",
    "this",
    "movie",
    "is",
    "great",
    "and",
    "i",
    "love",
    "it\nor",
    "hate",
    "it",
]


class Words:
    """A tokenizer that cuts at blanks."""

    model_max_length = 512

    def __call__(self, text, verbose):
        return {"input_ids": text.split()}


def stub(answer=lambda text: {"label": text.upper()}):
    """A task whose model is a function."""

    def predict(texts):
        return streaming.in_batches(texts, Words(), lambda batch: map(answer, batch))

    return Task(lambda columns: columns["text"], predict, lambda answer: answer, ("label",), {"--text-column": "text"}, {})


def sentences(number, seed=0):
    random.seed(seed)
    return [" ".join(random.choices(WORDS, k=random.randint(0, 30))) for _ in range(number)]


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
    made = subprocess.Popen(
        [sys.executable, "-c", WITH_SMALL_CHUNKS, *command(folder, "--resume")], env=environment, stderr=subprocess.DEVNULL
    )
    journal = folder / "out.jsonl.journal"
    before = lines_of(journal)
    while made.poll() is None and lines_of(journal) < before + chunks:
        time.sleep(0.002)
    time.sleep(pause)
    made.kill()
    return made.wait() == 0


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
    for place in range(7, 400, 50):
        rows[place] = random.choice(["{", '{"text": 5}', '{"text": "' + "very " * 600 + '"}'])
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
    found = [json.loads(line) for name in ("out.jsonl", "bad.jsonl") for line in (tmp_path / "whole" / name).open()]
    assert len(found) == 400 and len({row.get("id", -row.get("line", 0)) for row in found}) == 400


STEPS = [(os, "fsync"), (os, "replace"), (Path, "unlink"), (gzip, "compress"), (json, "dumps")]


def step(folder, last):
    """In a forked child: go on, and die before the system is asked for the `last`th thing. True when it ended before."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    asked = count()

    def dying(function):
        def call(*arguments, **options):
            if next(asked) == last:
                os._exit(9)
            return function(*arguments, **options)

        return call

    for place, name in STEPS:
        setattr(place, name, dying(getattr(place, name)))
    try:
        go(folder, resume=True)
        os._exit(0)
    finally:
        os._exit(1)


def go(folder, resume=False, fingerprint="these", limit=None):
    def answer(text):
        if text == "bad":
            raise InputError("bad")
        return {"label": text.upper()}

    results = Results(str(folder / "out.jsonl.gz"), str(folder / "bad.jsonl"))
    with open_source(str(folder / "in.txt")) as source:
        results.begin({"arguments": fingerprint}, resume, os.stat(folder / "in.txt").st_mtime_ns)
        if results.state.complete:
            results.finish()
        else:
            job.run(source, stub(answer), results, Progress(False), limit=limit)
    return results


@UNIX
def test_killed_between_any_two_steps_it_ends_with_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "CHUNK_ROWS", 3)
    texts = "a\nbad\nb\nc\nd\nbad\nbad\ne"
    wanted = None
    for last in count():
        folder = tmp_path / str(last)
        folder.mkdir()
        (folder / "in.txt").write_text(texts)
        (folder / "out.jsonl.gz").write_text("of an earlier run")
        os.utime(folder / "out.jsonl.gz", (1, 1))
        ended = step(folder, last)
        assert ended or step(folder, -1)  # gone on with, and not killed again
        assert sorted(os.listdir(folder)) == ["bad.jsonl", "in.txt", "out.jsonl.gz"]
        found = [(folder / name).read_bytes() for name in ("out.jsonl.gz", "bad.jsonl")]
        wanted = wanted or found
        assert found == wanted, last
        if ended:
            break
    assert last > 20
    assert [json.loads(line)["text"] for line in gzip.decompress(wanted[0]).splitlines()] == list("abcde")
    assert [json.loads(line)["line"] for line in wanted[1].splitlines()] == [2, 6, 7]


@UNIX
def test_killed_again_and_again_it_ends_with_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "CHUNK_ROWS", 3)
    found = []
    for name, steps in (("whole", ()), ("killed", (9, 5, 11, 4, 8, 3, 12, 6, 2, 9, 7))):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "in.txt").write_text("\n".join(sentences(20)))
        for last in steps:
            step(folder, last)
        assert step(folder, -1)
        found.append([(folder / name).read_bytes() for name in ("out.jsonl.gz", "bad.jsonl")])
    assert found[0] == found[1]


# --- what may be gone on with ----------------------------------------------------------------------------------------


@pytest.fixture
def stopped(tmp_path, monkeypatch):
    """A folder in which a run has done two chunks of three rows."""
    monkeypatch.setattr(streaming, "CHUNK_ROWS", 3)
    (tmp_path / "in.txt").write_text("\n".join("abcdefgh"))
    write = job.write_chunk

    def stopping(chunk, answers, source, this_job, results):
        if results.state.rows == 6:
            raise KeyboardInterrupt
        write(chunk, answers, source, this_job, results)

    with monkeypatch.context() as patch:
        patch.setattr(job, "write_chunk", stopping)
        with pytest.raises(KeyboardInterrupt):
            go(tmp_path)
    return tmp_path


def test_a_line_of_the_journal_that_was_cut_is_as_good_as_none(stopped):
    with open(stopped / "out.jsonl.gz.journal", "ab") as journal:
        journal.write(b'{"rows": 9, "ba')
    with open(stopped / "out.jsonl.gz.part", "ab") as part:
        part.write(b"half a row")
    results = go(stopped, resume=True)
    assert results.state.rows == 8 and results.state.complete
    texts = [json.loads(line)["text"] for line in gzip.open(stopped / "out.jsonl.gz")]
    assert texts == list("abcdefgh")


def test_a_run_that_was_interrupted_is_not_written_over(stopped):
    with pytest.raises(InputError, match="6 rows are done. Continue with --resume, or delete .*journal to start over"):
        go(stopped)
    (stopped / "out.jsonl.gz.journal").unlink()
    assert go(stopped).state.rows == 8


def test_other_arguments_are_refused_and_named(stopped):
    with pytest.raises(InputError, match="arguments was 'these' and is 'others'. Pass the same, or delete"):
        go(stopped, resume=True, fingerprint="others")
    assert go(stopped, resume=True).state.rows == 8


def test_a_part_that_lacks_what_the_journal_says_is_refused(stopped):
    os.truncate(stopped / "out.jsonl.gz.part", 5)
    with pytest.raises(OSError, match="out.jsonl.gz.part must have .* bytes of the run that was interrupted; it has fewer"):
        go(stopped, resume=True)


def test_a_journal_that_is_none_is_refused(stopped):
    (stopped / "out.jsonl.gz.journal").write_text("[]\n{}\n{\n")
    with pytest.raises(InputError, match="must be a run's journal; it cannot be read: .*. Delete it to start over"):
        go(stopped, resume=True)


@UNIX
def test_an_output_has_one_run_at_a_time(stopped):
    held = Journal(stopped / "out.jsonl.gz.journal")
    with pytest.raises(InputError, match="an output has one run at a time; another run has"):
        go(stopped, resume=True)
    held.file.close()
    assert go(stopped, resume=True).state.complete


CHANGES = [
    (["--truncate"], "--truncate was False and is True"),
    (["--prefix", "x"], "--prefix was '' and is 'x'"),
    (["--limit", "7"], "--limit was None and is 7"),
    (["--kernels", "naive"], "the kernels was "),
    ("touch", "the input's time was "),
    ("grow", "the input's size was "),
]


@pytest.mark.parametrize("change, message", CHANGES, ids=str)
def test_what_would_change_the_bytes_is_not_gone_on_with(change, message, run, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(streaming, "CHUNK_ROWS", 3)
    source = tmp_path / "in.txt"
    source.write_text("\n".join("abcdefgh"))
    arguments = ["run", "--model", "minibert-sst2", "--kernels", "reference", str(source), "-o", str(tmp_path / "out.jsonl")]
    with monkeypatch.context() as patch:
        patch.setattr(Results, "finish", interrupt)
        assert run(*arguments)[0] == 130
    if change == "grow":
        source.write_text("\n".join("abcdefghi"))
    elif change == "touch":
        os.utime(source, (1, 1))
    status, _, err = run(*arguments, *(change if isinstance(change, list) else []), "--resume")
    assert status == 1 and len(err) == 1 and message in err[0]


def interrupt(*arguments):
    raise KeyboardInterrupt


# --- memory ----------------------------------------------------------------------------------------------------------


def test_memory_does_not_grow_with_the_file(tmp_path):
    def peak(number):
        path, results = tmp_path / f"{number}.csv", Results(str(tmp_path / f"{number}.jsonl"), str(tmp_path / "bad.jsonl"))
        with open(path, "w") as file:
            file.write("text,id\n")
            file.writelines(f'"a ""short"" text, {n}",{n}\n' if n % 100 else "bad\n" for n in range(number))
        with open_source(str(path)) as source:
            results.begin({}, False)
            tracemalloc.start()
            done = job.run(source, stub(), results, Progress(False))
            found = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert (done.rows, done.bad_rows) == (number, number // 100)
        return found

    peak(1_500)  # what is made once
    small, large = peak(2_500), peak(20_000)
    assert large < small * 1.2 + 50_000
