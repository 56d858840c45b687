"""`minibert run` in a process of its own: a signal, a reader that has gone, and a disk that is full."""

import os
import signal
import subprocess
import sys
import time

import pytest
from command_line import process
from json_lines import read
from paths import ROOT

pytestmark = pytest.mark.usefixtures("small_chunks")
UNIX = pytest.mark.skipif(os.name == "nt", reason="the devices and signals of Unix")

SLOWLY = """
import sys, time
from minibert.pipelines import streaming, text_classification
streaming.CHUNK_ROWS = 4
answers = text_classification.TextClassificationPipeline.answers
def slowly(*arguments, **options):
    time.sleep(0.02)
    return answers(*arguments, **options)
text_classification.TextClassificationPipeline.answers = slowly
from minibert.cli import main
sys.exit(main())
"""


def started(*arguments, **options):
    """The command, a chunk of four rows at a time, each taking some while."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", SLOWLY, *arguments], env=environment, stderr=subprocess.PIPE, **options)


@UNIX
@pytest.mark.parametrize("signal_number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_says_how_to_go_on_and_can(signal_number, status, run, model, tmp_path):
    path = tmp_path / "in.txt"
    path.write_text("a good movie\nbad\n" * 300)
    command = ["run", "--model", model, "--kernels", "reference", str(path), "-o", str(tmp_path / "out.jsonl")]
    child = started(*command)
    journal = tmp_path / "out.jsonl.journal"
    while not journal.exists() or journal.read_bytes().count(b"\n") < 4:
        assert child.poll() is None
        time.sleep(0.01)
    child.send_signal(signal_number)
    err = child.communicate(timeout=60)[1].decode()
    assert child.returncode == status and err.count("\n") == 1
    assert err.startswith("minibert: interrupted; ") and err.endswith(
        "rows are done. Run the same command with --resume to continue.\n"
    )
    assert sorted(os.listdir(tmp_path)) == ["in.txt", "out.jsonl.journal", "out.jsonl.part"]
    status, _, err = run(*command)
    assert status == 1 and "a run of this output was interrupted" in err[0] and "Continue with --resume, or delete" in err[0]
    assert run(*command, "--resume") == (0, [], []) and sorted(os.listdir(tmp_path)) == ["in.txt", "out.jsonl"]
    assert run(*command[:-1], str(tmp_path / "whole.jsonl"))[0] == 0
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    said = "is complete already (by a run whose arguments are not known, and were not compared); to write it again, leave"
    assert run(*command, "--resume") == (0, [], [f"minibert: {tmp_path}/out.jsonl {said} --resume out."])
    # A part file whose journal was deleted is of another run: the output is complete without it.
    (tmp_path / "out.jsonl.part").write_text("half a r")
    assert run(*command, "--resume", "--prefix", "p_")[2] == [f"minibert: {tmp_path}/out.jsonl {said} --resume out."]
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert (tmp_path / "out.jsonl.part").read_text() == "half a r"


@UNIX
def test_a_reader_that_has_gone_is_silent_and_a_device_that_is_full_is_one_error(model, tmp_path):
    path = tmp_path / "in.txt"
    path.write_text("a good movie\n" * 5000)
    command = ["run", "--model", model, "--kernels", "reference", str(path)]
    child = started(*command, stdout=subprocess.PIPE)
    child.stdout.readline()
    child.stdout.close()
    assert child.stderr.read() == b"" and child.wait(60) == 0
    done = process(*command, "-o", "/dev/full", "--output-format", "jsonl")
    assert done.returncode == 1 and done.stderr == b"minibert: /dev/full cannot be written: No space left on device.\n"


LITTLE_ROOM = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))"


@UNIX
def test_a_full_disk_is_one_error_and_what_was_written_is_kept(run, model, tmp_path):
    path = tmp_path / "in.txt"
    path.write_text("a good movie\nbad\n" * 200)
    out = tmp_path / "out.jsonl"
    command = ["run", "--model", model, "--kernels", "reference", str(path), "-o", str(out)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    arguments = [sys.executable, "-c", LITTLE_ROOM + SLOWLY, *command]
    done = subprocess.run(arguments, env=environment, capture_output=True, timeout=60)
    err = done.stderr.decode()
    assert done.returncode == 1 and err.count("\n") == 1 and f"{tmp_path}/out.jsonl" in err
    assert (
        "cannot be written: File too large. " in err
        and "rows are saved: free some space, and run the same command with --resume" in err
    )
    assert run(*command, "--resume") == (0, [], []) and len(read(out)) == 400
    assert [row["text"] for row in read(out)] == ["a good movie", "bad"] * 200
