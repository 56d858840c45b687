"""A user's mistake at the command line, over all commands: one line on stderr that says what is wrong, and never a traceback.

test_cli.py and its neighbors have the mistakes of single commands; here is what every command that has a model, a
text or an output can be given wrongly.
"""

import os
import shlex
import subprocess
import sys

import pytest
from checkpoints import make_checkpoint
from paths import ROOT

from minibert.files import LARGEST_JSON

HEADS = {
    "classify": "ForSequenceClassification",
    "ner": "ForTokenClassification",
    "fill-mask": "ForMaskedLM",
    "ask": "ForQuestionAnswering",
    "embed": "Model",
    "rerank": "ForSequenceClassification",
    "tokenize": "Model",
}
NEEDED = {"ask": ["--question", "what ?"], "rerank": ["--query", "what ?"]}
TEXT = "a [MASK] movie"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    labels = {"rerank": {"num_labels": 1}}
    return {
        name: make_checkpoint(tmp_path_factory.mktemp("m"), "bert", head, **labels.get(name, {}))
        for name, head in HEADS.items()
    }


@pytest.fixture(autouse=True)
def no_hub(monkeypatch, tmp_path):
    """No mistake here is to be asked of the real hub."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))


def check_message(outcome, message, status=1):
    """A status, nothing on stdout, and one line on stderr that has this in it."""
    exit_status, out, err = outcome
    assert (exit_status, out) == (status, []), outcome
    assert message in err[-1] and (len(err) == 1 or status == 2), err


def damaged(model, folder, name, content):
    """A copy of a model of which one file holds something else, or (None) is gone."""
    folder.mkdir()
    for path in model.iterdir():
        if path.name != name:
            (folder / path.name).write_bytes(path.read_bytes())
    if content is not None:
        (folder / name).write_bytes(content)
    return str(folder)


MODELS = {
    "a folder that is not there": ("./nowhere", "there is no folder './nowhere'"),
    "a file": (__file__, "a model is a folder"),
    "no name": ("", "a model's name must have a character"),
    "a name that cannot be": ("a b", "a model on the hub is named"),
    "a name of bytes": ("caf\udce9", "a model on the hub is named"),
    "a model of the hub, offline": ("someone/model", "HF_HUB_OFFLINE=1 forbids asking the hub"),
}


@pytest.mark.parametrize("name, message", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("command", HEADS)
def test_a_model_that_cannot_be_had(run, command, name, message):
    check_message(run(command, "--model", name, *NEEDED.get(command, []), TEXT), message)


@pytest.mark.parametrize("command", HEADS)
def test_a_revision_that_cannot_be(run, command):
    for revision, message in (("../../x", "a revision is a branch"), ("v9", "(revision 'v9')")):
        check_message(run(command, "--model", "someone/model", "--revision", revision, *NEEDED.get(command, []), TEXT), message)


BROKEN = {
    "config.json gone": ("config.json", None, "config.json"),
    "config.json no JSON": ("config.json", b"<html>", "config.json must hold one JSON object"),
    "config.json of another model": ("config.json", b'{"model_type": "gpt2"}', "gpt2"),
    "config.json too large": ("config.json", b" " * (LARGEST_JSON + 1), "config.json may have"),
    "weights gone": ("model.safetensors", None, "must have a file 'model.safetensors'"),
    "weights a web page": ("model.safetensors", b"<html>" + bytes(64), "a web page"),
    "weights cut": ("model.safetensors", b"\x10\0\0\0\0\0\0\0{}", "is damaged"),
    "vocab.txt gone": ("vocab.txt", None, "vocab.txt"),
    "vocab.txt binary": ("vocab.txt", b"\xff\xfe\0", "vocab.txt must be UTF-8"),
    "tokenizer_config.json an array": ("tokenizer_config.json", b"[]", "tokenizer_config.json must hold one JSON object"),
}


@pytest.mark.parametrize("filename, content, message", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("command", HEADS)
def test_a_model_that_is_broken(run, models, tmp_path, command, filename, content, message):
    if command == "tokenize" and filename in ("model.safetensors", "config.json"):
        pytest.skip("tokenize does not read it")
    folder = damaged(models[command], tmp_path / "broken", filename, content)
    check_message(run(command, "--model", folder, *NEEDED.get(command, []), TEXT), message)


@pytest.mark.parametrize("command", sorted(set(HEADS) - {"tokenize"}))
def test_kernels_that_are_not_there(run, models, command):
    for kernels, message in (
        ("fastest", "kernels is one of"),
        ("linear=x", "the variants of 'linear'"),
        ("=", "operations are"),
    ):
        check_message(
            run(command, "--model", str(models[command]), "--kernels", kernels, *NEEDED.get(command, []), TEXT), message
        )


@pytest.mark.parametrize("command", HEADS)
def test_texts_that_are_no_text(run, models, command):
    call = [command, "--model", str(models[command]), *NEEDED.get(command, [])]
    check_message(run(*call, "bad \udcff byte"), "a TEXT must be utf-8")
    for stdin in (b"\x89PNG\r\n\x1a\n\0\0", b"\xff\xfeh\0i\0", bytes(range(128, 256))):
        check_message(run(*call, stdin=stdin), "stdin must be UTF-8; line 1 is not")
    assert run(*call, stdin=b"") == (0, [], [])


@pytest.mark.parametrize("command", [*HEADS, "models", "kernels", "run"])
def test_a_command_that_is_not_understood(run, command):
    check_message(run(command, "--no-such-option"), "arguments", 2)


@pytest.mark.parametrize("output", ["model", "./model/", "link", "../{}/model"])
@pytest.mark.parametrize("command", ["quantize", "convert --to", "calibrate", "train", "train --tokenizer", "train --teacher"])
def test_a_model_is_not_overwritten_by_what_is_made_of_it(run, tmp_path, monkeypatch, command, output):
    monkeypatch.chdir(tmp_path)
    folder, output = make_checkpoint(tmp_path / "model"), output.format(tmp_path.name)
    make_checkpoint(tmp_path / "other")
    (tmp_path / "link").symlink_to(folder)
    (tmp_path / "rows.tsv").write_text("text\tlabel\ngood\tLABEL_1\nbad\tLABEL_0\n")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    name, *option = command.split()
    models = ["other", *option, "model"] if name == "train" and option else ["model"]
    outputs = {
        "train": ["--train", "rows.tsv", "-o", output, "--model", *models],
        "calibrate": ["--rows", "rows.tsv", *models, output],
        "convert": ["--to", "longformer", *models, output],
        "quantize": [*models, output],
    }
    outcome = run(name, *outputs[name])
    check_message(outcome, f"an output must not overwrite the input; both are {os.path.normpath(output)}. Name another folder")
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("end", ["", ".part", ".journal"])
@pytest.mark.parametrize("option", ["-o", "--errors"])
def test_a_run_overwrites_no_file_that_it_reads(run, models, tmp_path, monkeypatch, option, end):
    monkeypatch.chdir(tmp_path)
    (tmp_path / f"x.csv{end}").write_text("text\ngood\n")
    arguments = ("--model", str(models["embed"]), "--input-format", "csv", "--task", "sentence-embeddings")
    message = f"an output must not overwrite the input; both are x.csv{end}."
    check_message(run("run", *arguments, option, "x.csv", f"./x.csv{end}"), message)
    (tmp_path / "y.csv").write_text("text\ngood\n")
    check_message(run("run", *arguments, option, "x.csv", "y.csv", "--ranges", f"x.csv{end}"), message)
    assert (tmp_path / f"x.csv{end}").read_text() == "text\ngood\n" and len(list(tmp_path.iterdir())) == 2


TEXT_OPTIONS = [
    ("embed", "--prompt"),
    ("embed", "--prompt-name"),
    ("ask", "--question"),
    ("rerank", "--query"),
    ("run", "--question"),
    ("run", "--labels"),
    ("run", "--prompt"),
    ("run", "--prefix"),
    ("run", "--text-column"),
    ("run", "--pair-column"),
    ("run", "--question-column"),
    ("run", "--query"),
    ("run", "--query-column"),
]


@pytest.mark.parametrize("command, option", TEXT_OPTIONS)
def test_an_option_that_is_no_text_is_named(run, command, option):
    outcome = run(command, "--model", "./nowhere", option, "bad \udcff byte", "x.txt")
    check_message(outcome, f"{option} must be utf-8; got 'bad \\udcff byte'.")


RUNS = {
    "an input that is not there": (["nowhere.csv"], "nowhere.csv"),
    "an input of no known kind": (["x.docx"], "x.docx"),
    "a task that is not there": (["--task", "sing", "x.csv"], "sing"),
    "a model that is not there": (["--model", "./nowhere", "x.csv"], "there is no folder './nowhere'"),
    "kernels that are not there": (["--kernels", "fastest", "x.csv"], "kernels is one of"),
    "a name with NUL": (["--input-format", "csv", "a\0b"], "a file's name must be text with a character, and none that is NUL"),
    "an output with NUL": (["-o", "a\0b.jsonl", "x.csv"], "a file's name must be text with a character, and none that is NUL"),
    "no name": (["--errors", "", "x.csv"], "a file's name must be text with a character"),
    "an output that is a folder": (["-o", "folder.csv", "x.csv"], "an output is a file; 'folder.csv' is a folder"),
    "bad rows into a folder": (["--errors", "folder.csv", "x.csv"], "an output is a file; 'folder.csv' is a folder"),
    "a stride beyond all models": (["--stride", "99999999999999999999", "x.csv"], "stride must be at most max_length"),
    "a delimiter of two characters": (["--delimiter", ";;", "x.csv"], "a delimiter is one character"),
    "a delimiter that quotes": (["--delimiter", '"', "x.csv"], "a delimiter is one character, and neither"),
    "a delimiter for lines": (["--delimiter", ";", "binary.txt"], "a delimiter is for csv and tsv; got ';' for txt"),
    "a column that is not there": (["--text-column", "review", "x.csv"], "review"),
    "an output in a folder that is not there": (["-o", "nowhere/x.jsonl", "x.csv"], "nowhere"),
    "an output of no known kind": (["-o", "x.docx", "x.csv"], "docx"),
    "an input that is a folder": (["folder.csv"], "folder.csv"),
    "an input that is no text": (["--strict", "binary.txt"], "binary.txt must be UTF-8"),
    "an input that is no gz": (["broken.csv.gz"], "broken.csv.gz"),
    "a number of threads below 1": (["--threads", "0", "x.csv"], "--threads"),
    "going on with nothing": (["--resume", "x.csv"], "resume"),
}


@pytest.mark.parametrize("arguments, message", RUNS.values(), ids=RUNS)
def test_a_run_that_cannot_be(run, models, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.csv").mkdir()
    for name, content in {
        "x.csv": b"text\ngood\n",
        "x.docx": b"PK",
        "binary.txt": b"\xff\xfe\n",
        "broken.csv.gz": b"no gz",
    }.items():
        (tmp_path / name).write_bytes(content)
    named = [] if "--model" in arguments else ["--model", str(models["classify"])]
    status, _, err = run("run", *named, *arguments)
    assert status in (1, 2) and message in err[-1], err
    assert len(err) <= 2 or status == 2


def test_a_limit_beyond_every_file_is_none(run, models, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.csv").write_bytes(b"text\ngood\n")
    status, out, err = run("run", "--model", str(models["classify"]), "--limit", "99999999999999999999", "x.csv")
    assert (status, len(out), err) == (0, 1, [])


# --- In a process of its own -----------------------------------------------------------------------------------------


def process(command, **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    line = f"{sys.executable} -m minibert {command}"
    return subprocess.run(line, shell=True, capture_output=True, env=environment, timeout=120, **options)


@pytest.mark.skipif(os.name == "nt", reason="the shell of Unix")
@pytest.mark.parametrize("command", HEADS)
def test_streams_that_are_closed_or_full(models, command):
    command_line = shlex.join([command, "--model", str(models[command]), *NEEDED.get(command, [])])
    for redirection, statuses in (
        ("x'[MASK]' >&-", (1,)),
        ("<&-", (2,)),
        ("x'[MASK]' 2>&-", (0,)),
        ("x'[MASK]' > /dev/full", (1,)),
        ("< /dev/null", (0,)),
    ):
        done = process(f"{command_line} {redirection}")
        assert b"Traceback" not in done.stderr and done.returncode in statuses, (redirection, done)
        assert done.stderr.count(b"\n") <= (2 if done.returncode != 2 else 20)  # embed says which pooling it takes


@pytest.mark.skipif(os.name == "nt", reason="the locales of Unix")
def test_a_text_that_the_locale_cannot_decode_names_the_variable_that_helps(models):
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for command in ("classify", "ask"):
        call = [sys.executable, "-m", "minibert", command, "--model", str(models[command]), *NEEDED.get(command, []), "été"]
        done = subprocess.run(call, capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT), **ascii_only}, timeout=120)
        assert done.returncode == 1 and done.stdout == b"" and done.stderr.count(b"\n") == 1
        assert b"a TEXT must be ascii; got '\\udcc3\\udca9t\\udcc3\\udca9'" in done.stderr
        assert b"if texts are UTF-8, set PYTHONUTF8=1" in done.stderr
        helped = {**os.environ, "PYTHONPATH": str(ROOT), **ascii_only, "PYTHONUTF8": "1"}
        assert subprocess.run(call, capture_output=True, env=helped, timeout=120).returncode == 0


@pytest.mark.skipif(os.name == "nt", reason="the signals of Unix")
def test_an_interrupt_while_it_waits_for_a_text_is_no_traceback(models):
    command = [sys.executable, "-m", "minibert", "classify", "--model", str(models["classify"])]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
    ) as running:
        running.stdin.write(b"good\n" * 33)
        running.stdin.flush()
        assert running.stdout.readline()
        running.send_signal(2)
        _, err = running.communicate(timeout=60)
    assert running.returncode == 130 and err == b""
