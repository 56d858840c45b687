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
            run(command, "--model", str(models[command]), "--kernels", kernels, *NEEDED.get(command, []), TEXT), message, 2
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


NOT_QUITE = {
    "classify --top_k 2 x": "--top_k. Did you mean --top-k?",
    "classify --topk=2 x": "--topk=2. Did you mean --top-k?",
    "classify x --jsonl": "--jsonl. Did you mean --json?",
    "run x.csv --text_column review": "--text_column. Did you mean --text-column?",
    "run x.csv --candidate-labels a,b": "--candidate-labels. Did you mean --labels?",
    "run x.csv --output_dir y": "--output_dir. Did you mean --output?",
    "ner --aggregation-strategy simple x": "--aggregation-strategy. Did you mean --strategy?",
    "ask --handle-impossible-answer x": "--handle-impossible-answer. Did you mean --impossible?",
    "ask --questoin why x": "--questoin. Did you mean --question?",  # which is required too
    "rerank --query_text why x": "--query_text. Did you mean --query?",
    "quantize a b --revison main": "--revison. Did you mean --revision?",
    "convert a b --too longformer": "--too. Did you mean --to?",
    "verify a --nothing-like-it": "--nothing-like-it",
    "verify a b c": "b c",
    "models x": "x",
    "classify -x y": "-x",
}


@pytest.mark.parametrize("line, message", NOT_QUITE.items(), ids=NOT_QUITE)
def test_an_option_that_is_not_quite_one_gets_the_command_s_usage_and_the_one_that_is_close(run, line, message):
    status, out, err = run(*line.split())
    assert (status, out) == (2, []) and err[0].startswith(f"usage: minibert {line.split()[0]} [-h]")
    assert err[-1] == f"minibert {line.split()[0]}: error: unrecognized arguments: {message}"


def test_what_only_looks_like_an_option_is_none(run, models):
    call = ("classify", "--model", str(models["classify"]))
    assert run(*call, "--", "--top_k")[0] == run(*call, "--no, not at all")[0] == run(*call, "--trunc", "a")[0] == 0
    assert run("classify", "--top_k", "--help")[0] == 0


CHOICES = {
    "--kernels fastest": "argument --kernels: kernels is one of",
    "--kernels linear=x": "argument --kernels: the variants of 'linear'",
    "--task sing": "argument --task: invalid choice: 'sing'",
    "--task token-classification --strategy best": "argument --strategy: invalid choice: 'best'",
    "--task sentence-embeddings --precision int9": "argument --precision: invalid choice: 'int9'",
    "--input-format doc": "argument --input-format: invalid choice: 'doc'",
    "--engine fire": "argument --engine: invalid choice: 'fire'",
    "--limit many": "argument --limit: must be an integer",
}


@pytest.mark.parametrize("options, message", CHOICES.items(), ids=CHOICES)
def test_a_value_that_is_no_choice_of_its_option_is_not_understood(run, models, tmp_path, options, message):
    (tmp_path / "x.csv").write_text("text\ngood\n")
    check_message(run("run", "--model", str(models["classify"]), str(tmp_path / "x.csv"), *options.split()), message, 2)


def test_choices_are_taken_in_any_case(run, models):
    strategies = [run("ner", "--model", str(models["ner"]), "--strategy", name, "a movie") for name in ("first", "FIRST")]
    assert strategies[0] == strategies[1] and strategies[0][0] == 0


def test_rows_left_out_are_a_failure_unless_they_are_recorded(run, models, tmp_path):
    """The rule for exit statuses, as README.md, `minibert --help` of run and cli/__init__.py state it."""
    (tmp_path / "x.jsonl").write_text('{"text": "good"}\n{"text": 5}\n')
    call = ("run", "--model", str(models["classify"]), str(tmp_path / "x.jsonl"), "-o", str(tmp_path / "y.jsonl"))
    assert run(*call)[0] == 1 and run(*call, "--errors", str(tmp_path / "bad.jsonl"))[0] == 0
    assert run(*call, "--strict")[0] == 1
    assert (tmp_path / "bad.jsonl").read_text().count("\n") == 1


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
