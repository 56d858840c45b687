"""What a run may be resumed from: the journal and the part of an output, and arguments that are those of before."""

import gzip
import json
import os

import pytest
from short_runs import UNIX, go

from minibert.errors import InputError
from minibert.kernels.compiler import cpu
from minibert.pipelines import streaming
from minibert.run import environment, job, output
from minibert.run.output import Journal, Results


@pytest.fixture
def stopped(tmp_path, monkeypatch):
    """A folder in which a run has done two chunks of three rows."""
    monkeypatch.setattr(streaming, "CHUNK_ROWS", 3)
    (tmp_path / "in.txt").write_text("\n".join("abcdefgh"))
    encode = job.encode_chunk

    def stopping(chunk, *arguments):
        if chunk[0].line == 7:
            raise KeyboardInterrupt
        return encode(chunk, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(job, "encode_chunk", stopping)
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


def test_a_complete_output_is_not_replaced_by_the_part_file_of_another_run(stopped):
    (stopped / "out.jsonl.gz.journal").unlink()
    (stopped / "out.jsonl.gz").write_text("complete")
    part = (stopped / "out.jsonl.gz.part").read_bytes()
    results = Results(str(stopped / "out.jsonl.gz"), str(stopped / "bad.jsonl"))
    results.begin({}, resume=True)
    assert results.state.complete
    results.finish()
    assert (stopped / "out.jsonl.gz").read_text() == "complete"
    assert (stopped / "out.jsonl.gz.part").read_bytes() == part and (stopped / "bad.jsonl.part").exists()


def test_a_run_that_was_killed_while_it_renamed_its_files_is_finished(stopped, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(output.os, "replace", raise_interrupt)
        go(stopped, resume=True)
    results = Results(str(stopped / "out.jsonl.gz"), str(stopped / "bad.jsonl"))
    results.begin({"arguments": "these"}, resume=True)
    assert results.state.complete and not (stopped / "out.jsonl.gz").exists()
    results.finish()
    assert sorted(os.listdir(stopped)) == ["bad.jsonl", "in.txt", "out.jsonl.gz"]


def raise_interrupt(*arguments):
    raise KeyboardInterrupt


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
    journal = Journal(stopped / "out.jsonl.gz.journal")
    with pytest.raises(InputError, match="an output has one run at a time; another run has"):
        go(stopped, resume=True)
    journal.file.close()
    assert go(stopped, resume=True).state.complete


@UNIX
def test_a_journal_that_was_deleted_before_it_was_locked_is_opened_again(tmp_path, monkeypatch):
    """By a run that ended. Otherwise this run's journal would be no file, and a third run could lock another one."""
    path, flock, calls = tmp_path / "out.jsonl.journal", output.fcntl.flock, []

    def delete_first(file, operation):
        calls.append(operation)
        if len(calls) == 1:
            path.unlink()
        flock(file, operation)

    monkeypatch.setattr(output.fcntl, "flock", delete_first)
    journal = Journal(path)
    journal.begin({"kernels": "fast"})
    assert len(calls) == 2 and path.read_bytes() == b'{"kernels": "fast"}\n'
    with pytest.raises(InputError, match="one run at a time"):
        Journal(path)
    journal.end()
    assert not path.exists()


CHANGES = [
    (["--truncate"], "--truncate was False and is True"),
    (["--prefix", "x"], "--prefix was '' and is 'x'"),
    (["--limit", "7"], "--limit was None and is 7"),
    (["--kernels", "naive"], "the kernels was "),
    ("touch", "the input's time was "),
    ("grow", "the input's size was "),
    ("move", "the processor was 'a slower one' and is "),
]


@pytest.mark.parametrize("change, message", CHANGES, ids=str)
def test_what_would_change_the_bytes_is_not_gone_on_with(change, message, run, tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "CHUNK_ROWS", 3)
    source = tmp_path / "in.txt"
    source.write_text("\n".join("abcdefgh"))
    arguments = ["run", "--model", "minibert-sst2", "--kernels", "reference", str(source), "-o", str(tmp_path / "out.jsonl")]
    with monkeypatch.context() as patch:
        patch.setattr(Results, "finish", interrupt)
        if change == "move":
            patch.setattr(environment, "processor_identity", lambda: "a slower one")
        assert run(*arguments)[0] == 130
    if change == "grow":
        source.write_text("\n".join("abcdefghi"))
    elif change == "touch":
        os.utime(source, (1, 1))
    status, _, err = run(*arguments, *(change if isinstance(change, list) else []), "--resume")
    assert status == 1 and len(err) == 1 and message in err[0]


def test_the_instructions_decide_and_a_pinned_name_of_them_is_the_same_everywhere(monkeypatch):
    features = {"fma", "avx2", "avx512f", "sse2"}
    for name, value in {"FEATURES": features, "HAS_AMX": True, "HAS_FAST_BF16": False}.items():
        monkeypatch.setattr(cpu, name, value)
    monkeypatch.setattr(environment, "numpy_instructions", lambda: "SSE2 AVX2")
    monkeypatch.delenv("MINIBERT_ISA", raising=False)
    assert environment.processor_identity() == "fma avx2 avx512f amx; NumPy: AVX2"
    monkeypatch.setenv("MINIBERT_ISA", "avx2")
    assert environment.processor_identity() == "avx2; NumPy: AVX2"


def interrupt(*arguments):
    raise KeyboardInterrupt
