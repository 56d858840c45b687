"""The command line: what it prints, where, and with which exit status. A user's mistake never shows a traceback."""

import json
import os
import subprocess
import sys

import pytest
from checkpoints import make_checkpoint, rewrite_config
from command_line import process
from paths import ROOT

from minibert import hub
from minibert.kernels.catalog import operations, variants
from minibert.kernels.compiler.cpu import describe_amx

LABELS = {0: "NEG", 1: "POS", 2: "NEU"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(make_checkpoint(tmp_path_factory.mktemp("classifier"), num_labels=3, id2label=LABELS))


# --- classify --------------------------------------------------------------------------------------------------------


def test_classify_prints_a_line_for_each_text(run, model):
    status, out, err = run("classify", "--model", model, "a good movie", "bad", "two\nlines\tof it")
    rows = [line.split("\t") for line in out]
    assert status == 0 and err == [] and [row[2] for row in rows] == ["a good movie", "bad", "two lines of it"]
    assert all(row[0] in LABELS.values() and 1 / 3 <= float(row[1]) <= 1 and len(row[1]) == 6 for row in rows)


@pytest.mark.parametrize("dash", [["-"], []])
def test_classify_reads_lines_from_stdin(run, model, dash):
    lines = "\ufeffa good movie\r\nbad\n\nété 日本\nlast without an end".encode()
    status, out, err = run("classify", "--model", model, *dash, stdin=lines)
    assert status == 0 and err == []
    assert [line.split("\t")[2] for line in out] == ["a good movie", "bad", "", "été 日本", "last without an end"]
    assert run("classify", "--model", model, *dash, stdin=b"") == (0, [], [])


def test_json_has_a_line_for_each_text_with_the_text_as_it_was(run, model):
    status, out, _ = run("classify", "--model", model, "--json", "two\nlines", "été")
    rows = [json.loads(line) for line in out]
    assert status == 0 and [row["text"] for row in rows] == ["two\nlines", "été"]
    assert all(set(row) == {"text", "label", "score"} for row in rows)
    status, out, _ = run("classify", "--model", model, "--json", "--top-k", "9", "bad")
    (row,) = map(json.loads, out)
    assert status == 0 and {answer["label"] for answer in row["labels"]} == set(LABELS.values())


def test_top_k_prints_the_best_labels_best_first(run, model):
    status, out, _ = run("classify", "--model", model, "--top-k", "2", "bad", "good")
    rows = [line.split("\t") for line in out]
    assert status == 0 and [row[2] for row in rows] == ["bad", "bad", "good", "good"]
    assert float(rows[0][1]) >= float(rows[1][1]) and float(rows[2][1]) >= float(rows[3][1])


def test_a_text_that_is_too_long_is_refused_in_the_words_of_the_command(run, model):
    long = "good " * 30
    status, out, err = run("classify", "--model", model, long)
    assert (status, out) == (1, []) and len(err) == 1
    assert err[0].endswith("may have 16 tokens, the positions this model has; got 32. Cut it with --truncate.")
    status, out, err = run("classify", "--model", model, "--truncate", long)
    assert status == 0 and len(out) == 1 and err == []


def test_answers_that_were_made_before_a_fault_are_printed(run, model):
    status, out, err = run("classify", "--model", model, stdin=b"good\n" * 40 + b"\xff\xfe\n")
    assert status == 1 and len(out) == 32  # a batch
    assert err == ["minibert: stdin must be UTF-8; line 41 is not: invalid start byte at byte 0."]


@pytest.mark.parametrize("kernels", ["reference", "relu=naive", "relu=naive,softmax=reference"])
def test_kernels_may_be_a_preset_or_a_mapping(run, model, kernels):
    assert run("classify", "--model", model, "--kernels", kernels, "bad") == run("classify", "--model", model, "bad")


@pytest.mark.filterwarnings("default::minibert.errors.MinibertWarning")
def test_a_warning_is_one_line_too(run, tmp_path):
    folder = make_checkpoint(tmp_path, head="Model")
    status, out, err = run("classify", "--model", str(folder), "bad")
    assert status == 0 and len(out) == 1 and len(err) == 1
    assert err[0].startswith("minibert: warning: ") and "was not trained to classify" in err[0]


def test_the_bundled_model_is_used_by_default_and_named_on_stderr(run):
    if "minibert-sst2" not in hub.bundled_models():
        pytest.skip("the bundled model minibert-sst2 is not in this checkout yet")
    status, out, err = run("classify", "I've been waiting for a HuggingFace course my whole life.", "This is terrible.")
    assert status == 0 and err == ["minibert: using the bundled model minibert-sst2; name another with --model."]
    assert [line.split("\t")[0] for line in out][1] == "NEGATIVE" and len(out) == 2
    assert any(line.startswith("minibert-sst2\tbundled") for line in run("models")[1])


# --- the other commands ----------------------------------------------------------------------------------------------


def test_tokenize_shows_tokens_ids_and_places(run, model):
    status, out, err = run("tokenize", "--model", model, "Waiting for life")
    assert (status, err) == (0, []) and [line.split("\t") for line in out] == [
        ["[CLS]", "2", "0", "0"],
        ["wait", "29", "0", "4"],
        ["##ing", "28", "4", "7"],
        ["[UNK]", "1", "8", "11"],
        ["life", "30", "12", "16"],
        ["[SEP]", "3", "0", "0"],
    ]
    status, out, _ = run("tokenize", "--model", model, "--json", stdin=b"life\n\n")
    first, empty = map(json.loads, out)
    assert first == {
        "text": "life",
        "tokens": ["[CLS]", "life", "[SEP]"],
        "ids": [2, 30, 3],
        "offsets": [[0, 0], [0, 4], [0, 0]],
    }
    assert empty["tokens"] == ["[CLS]", "[SEP]"]


def test_models_lists_what_is_in_the_cache_and_which_of_it_is_whole(run, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    bundled = len(hub.bundled_models())
    snapshots = tmp_path / "models--someone--model" / "snapshots"
    make_checkpoint(snapshots / ("a" * 40))
    make_checkpoint(snapshots / ("b" * 40))
    (snapshots / ("b" * 40) / "model.safetensors").unlink()
    rewrite_config(make_checkpoint(tmp_path / "models--someone--gpt" / "snapshots" / ("c" * 40)), model_type="gpt2")
    status, out, err = run("models")
    rows = [line.split("\t") for line in out]
    assert (status, err) == (0, []) and len(rows) == bundled + 2
    assert sorted(row[:3] for row in rows[bundled:]) == [
        ["someone/model", "cached", "a" * 12],
        ["someone/model", "in part", "b" * 12],
    ]
    entries = [json.loads(line) for line in run("models", "--json")[1]]
    assert {entry["where"] for entry in entries} >= {"cached", "in part"}


def test_kernels_lists_every_operation_with_its_variants(run):
    status, out, err = run("kernels")
    listed = dict(line.split("\t") for line in out)
    assert listed.pop("AMX") == describe_amx()
    assert (status, err) == (0, []) and list(listed) == list(operations())
    for operation, names in listed.items():
        assert names == (", ".join(variants(operation)) or "composed of others")


def test_warmup_compiles_what_is_chosen(run, monkeypatch):
    warmed = []
    monkeypatch.setattr("minibert.warmup.warm_up", warmed.append)
    assert run("warmup") == run("warmup", "--kernels", "linear=naive") == (0, [], [])
    assert warmed == ["auto", {"linear": "naive"}]


# --- mistakes --------------------------------------------------------------------------------------------------------

MISUNDERSTOOD = [
    (["sing"], "invalid choice: 'sing'"),
    ([], "required: COMMAND"),
    (["classify", "--top-k", "0", "x"], "--top-k: must be an integer, 1 or more; got '0'"),
    (["classify", "--top-k", "-1", "x"], "--top-k"),
    (["classify", "--top-k", "two", "x"], "must be an integer, 1 or more; got 'two'"),
    (["classify", "--top-k", "²", "x"], "must be an integer, 1 or more"),
    (["classify", "--top-k", "9" * 5000, "x"], "--top-k"),
    (["ask", "--model", "x", "--question=--", "x"], "argument --question: expected a value other than '--'"),
    (["run", "--threads", "99999999999999999999", "x.txt"], "--threads: must be 256 at most; got '99999999999999999999'"),
    (["classify", "--nope", "x"], "unrecognized arguments: --nope"),
    (["classify", "--model"], "--model: expected one argument"),
    (["warmup", "--kernels", "fastest"], "kernels is one of 'auto'"),
    (["warmup", "--kernels", "linear=fastest"], "the variants of 'linear' are: reference"),
    (["warmup", "--kernels", "matmul=naive"], "; got 'matmul'"),
    (["warmup", "--kernels", "gelu=naive,linear"], "the variants of 'linear' are"),
    (["warmup", "--kernels", "="], "the operations are: "),
]


@pytest.mark.parametrize("arguments, message", MISUNDERSTOOD, ids=lambda value: str(value)[:40])
def test_a_command_that_is_not_understood_ends_with_2(run, arguments, message):
    status, out, err = run(*arguments)
    assert (status, out) == (2, []) and err[0].startswith("usage: minibert") and message in err[-1]


FAILING = [
    (["--model", "./nowhere"], "there is no folder './nowhere'"),
    (["--model", ""], "a model's name must have a character"),
    (["--model", "a model"], "a model on the hub is named"),
    (["--model", "caf\udce9"], "got 'caf\\udce9', and there is no folder of that name"),
    (["bad \udcff byte"], "a TEXT must be utf-8; got 'bad \\udcff byte'."),
]


@pytest.mark.parametrize("arguments, message", FAILING, ids=ascii)
def test_what_cannot_be_done_ends_with_1_and_one_line_that_says_why(run, model, arguments, message):
    named = [] if "--model" in arguments else ["--model", model]
    status, out, err = run("classify", "good", *arguments, *named)
    assert (status, out) == (1, []) and len(err) == 1
    assert err[0].startswith("minibert: ") and message in err[0].encode("utf-8", "backslashreplace").decode()


def test_a_damaged_checkpoint_ends_with_1_and_names_the_file(run, tmp_path):
    rewrite_config(make_checkpoint(tmp_path), n_heads=3)
    assert run("classify", "--model", str(tmp_path), "x")[2][0].startswith(f"minibert: {tmp_path}/config.json: the width")
    (tmp_path / "config.json").write_text("<html>")
    status, _, err = run("classify", "--model", str(tmp_path), "x")
    assert status == 1 and len(err) == 1 and "config.json must hold one JSON object" in err[0]


# --- in a process of its own -----------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="the devices and signals of Unix")
def test_a_reader_that_has_gone_and_a_disk_that_is_full_are_no_traceback(model):
    source = b"good movie\n" * 3000
    done = subprocess.run(
        f"{sys.executable} -m minibert classify --model {model} | head -n 1",
        shell=True,
        input=source,
        timeout=60,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stderr == b"" and done.stdout.count(b"\n") == 1
    with open("/dev/full", "wb") as full:
        done = process("kernels", stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1 and done.stderr == b"minibert: [Errno 28] No space left on device\n"


@pytest.mark.skipif(os.name == "nt", reason="the devices and signals of Unix")
def test_closed_streams_are_no_traceback(model):
    shell = f"{sys.executable} -m minibert"
    for command, status, message in [
        (f"{shell} kernels >&-", 1, b"minibert: stdout is closed"),
        (f"{shell} classify --model {model} <&-", 2, b"a TEXT is needed, or lines on stdin"),
        (f"{shell} classify --model ./nowhere 2>&-", 1, b""),
    ]:
        done = subprocess.run(command, shell=True, capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
        assert (done.returncode, done.stdout) == (status, b"") and message in done.stderr, command
        assert b"Traceback" not in done.stderr


def test_a_terminal_without_the_letters_is_told_how_to_get_them(model):
    ascii_only = {"PYTHONIOENCODING": "ascii"}
    done = process("classify", "--model", model, "été", env=ascii_only)
    assert done.returncode == 1 and done.stdout == b"" and b"stdout is ascii, which cannot encode '\\xe9'" in done.stderr
    done = process("classify", "--json", "--model", model, "été", env=ascii_only)
    assert done.returncode == 0 and json.loads(done.stdout)["text"] == "été"
