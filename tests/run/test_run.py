"""`minibert run`: what goes in, what comes out, where, and with which status."""

import csv
import gzip
import io
import json
import os
import re
from pathlib import Path

import pytest
from checkpoints import make_checkpoint
from json_lines import objects, read

from minibert import Reranker, SentenceEncoder, get_num_threads, pipeline, set_num_threads

LABELS = {0: "NEG", 1: "POS"}
TEXTS = ["a good movie", "bad, bad", "", "été", "this film\nis great"]
LONG = "good " * 30
pytestmark = pytest.mark.usefixtures("small_chunks")


@pytest.fixture
def table(tmp_path):
    """A csv of TEXTS."""
    return write(tmp_path / "in.csv", [{"id": str(n), "text": text} for n, text in enumerate(TEXTS)])


def write(path, rows):
    if path.suffix == ".csv":
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


# --- in and out ------------------------------------------------------------------------------------------------------


def test_each_row_comes_out_with_its_columns_and_its_answer(run, model, table):
    status, out, err = run("run", "--model", model, table)
    assert (status, err) == (0, [])
    answers = pipeline("text-classification", model).stream(TEXTS)
    for index, (row, answer) in enumerate(zip(objects(out), answers)):
        score = pytest.approx(answer["score"], rel=1e-5)
        assert row == {"id": str(index), "text": TEXTS[index], "label": answer["label"], "score": score}
        assert list(row) == ["id", "text", "label", "score"] and len(str(row["score"])) <= 8
    assert len(out) == len(TEXTS)


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv", "out.tsv", "out.jsonl.gz", "out.csv.gz"])
def test_the_output_has_the_format_of_its_name_and_nothing_else_is_left(name, run, model, table, tmp_path):
    status, lines, _ = run("run", "--model", model, table)
    assert run("run", "--model", model, table, "-o", str(tmp_path / name)) == (0, [], [])
    assert sorted(os.listdir(tmp_path)) == ["in.csv", name]
    data = (tmp_path / name).read_bytes()
    text = (gzip.decompress(data) if name.endswith(".gz") else data).decode()
    if "jsonl" in name:
        assert text.splitlines() == lines
    else:
        header, *rows = csv.reader(io.StringIO(text, newline=""), delimiter="\t" if "tsv" in name else ",")
        expected = [[*map(str, row.values())] for row in objects(lines)]
        assert header == ["id", "text", "label", "score"]
        assert rows == [[cell.replace("\n", " ") for cell in row] if "tsv" in name else row for row in expected]


def test_lines_come_from_stdin_and_go_to_stdout_in_the_formats_that_are_named(run, model):
    status, out, err = run("run", "--model", model, "-", "--output-format", "tsv", stdin=b"a good movie\nbad\n")
    assert (status, err) == (0, []) and [line.split("\t")[0] for line in out] == ["text", "a good movie", "bad"]
    status, out, _ = run("run", "--model", model, "-", "--input-format", "jsonl", stdin=b'{"n": 1, "text": "bad"}\n')
    assert status == 0 and [list(row) for row in objects(out)] == [["n", "text", "label", "score"]]
    assert run("run", "--model", model, "-", stdin=b"") == (0, [], [])


def test_limit_takes_the_first_rows_good_or_bad(run, model, tmp_path):
    path = write(tmp_path / "in.jsonl", [{"text": "a"}, {"text": 5}, {"text": "good"}, {"text": "bad"}])
    status, out, err = run("run", "--model", model, path, "--limit", "3")
    assert status == 1 and [row["text"] for row in objects(out)] == ["a", "good"] and "1 of 3 rows" in err[0]


def test_threads_bounds_the_compiled_kernels_and_numpys_libraries(run, model, table, monkeypatch):
    before = get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "7")
    try:
        assert run("run", "--model", model, table, "--threads", "1")[0] == 0
        assert get_num_threads() == 1 and os.environ["OMP_NUM_THREADS"] == "1"
    finally:
        set_num_threads(before)


# --- tasks -----------------------------------------------------------------------------------------------------------

TASKS = {
    "ner": ("ForTokenClassification", [], {"entities"}),
    "fill-mask": ("ForMaskedLM", ["--top-k", "2"], {"words"}),
    "question-answering": ("ForQuestionAnswering", ["--question", "what ?"], {"answer", "score", "start", "end"}),
    "zero-shot-classification": ("ForSequenceClassification", ["--labels", "film, movie"], {"labels", "scores"}),
    "feature-extraction": ("Model", [], {"features"}),
    "sentence-embeddings": ("Model", ["--prompt", "the"], {"vector"}),
    "text-ranking": ("ForSequenceClassification", ["--query", "what ?"], {"score"}),
}


@pytest.mark.parametrize("task", TASKS)
def test_every_task_adds_its_columns(task, run, tmp_path):
    head, options, adds = TASKS[task]
    names = {"num_labels": 3, "id2label": {0: "contradiction", 1: "neutral", 2: "entailment"}} if "zero" in task else {}
    names |= {"num_labels": 1} if task == "text-ranking" else {}
    folder = make_checkpoint(tmp_path / "m", "bert", head, **names)
    path = write(tmp_path / "in.jsonl", [{"text": "a [MASK] movie", "q": "what ?"}] * 2)
    status, out, err = run("run", "--task", task, "--model", str(folder), path, *options)
    assert status == 0, err
    one, other = objects(out)
    assert set(one) == set(other) == {"text", "q"} | adds
    if task == "sentence-embeddings":
        vector = SentenceEncoder.from_pretrained(folder).encode("a [MASK] movie", prompt="the")
        assert one["vector"] == pytest.approx(vector.tolist(), rel=1e-4)
    if task == "text-ranking":
        assert one["score"] == pytest.approx(Reranker.from_pretrained(folder).predict(("what ?", "a [MASK] movie")), rel=1e-5)
    if task == "fill-mask":
        assert len(one["words"]) == 2 and set(one["words"][0]) == {"token_str", "score", "sequence"}
    if task in ("question-answering", "text-ranking"):
        again = run("run", "--task", task, "--model", str(folder), path, f"{options[0]}-column", "q")[1]
        assert again == out


def test_the_options_of_classification(run, model, tmp_path):
    path = write(tmp_path / "in.jsonl", [{"text": LONG, "more": "bad"}])
    both = objects(run("run", "--model", model, path, "--truncate", "--top-k", "2")[1])[0]["labels"]
    assert {answer["label"] for answer in both} == set(LABELS.values())
    pair = objects(run("run", "--model", model, path, "--truncate", "--pair-column", "more")[1])[0]
    assert pair["score"] != both[0]["score"]
    assert objects(run("run", "--model", model, path, "--stride", "2")[1])[0]["label"] in LABELS.values()


@pytest.mark.parametrize(
    "task, options, message",
    [
        ("text-classification", ["--labels", "a,b"], "--labels does nothing for text-classification, whose options are --pair"),
        ("ner", ["--top-k", "2"], "--top-k does nothing for token-classification"),
        ("question-answering", [], "question-answering needs --question or --question-column"),
        ("reranking", [], "text-ranking needs --query or --query-column"),
        ("reranking", ["--query", "a"], "a ranking needs a model with one label, .* this one has 2: "),
        ("sentence-embeddings", ["--precision", "int8"], "int8 needs each component's least and greatest value"),
        ("sentence-embeddings", ["--ranges", "r.npy"], "--ranges is for int8 and uint8; the precision is float32"),
        ("sentence-embeddings", ["--prompt", "a", "--prompt-name", "b"], "takes one of --prompt and --prompt-name; got both"),
        ("zero-shot-classification", [], "zero-shot-classification needs --labels"),
    ],
)
def test_an_option_that_does_nothing_and_one_that_lacks_are_refused(task, options, message, run, model, table):
    status, out, err = run("run", "--task", task, "--model", model, table, *options)
    assert (status, out) == (1, []) and re.search(message, err[0])


# --- bad rows --------------------------------------------------------------------------------------------------------


@pytest.fixture
def broken(tmp_path):
    path = tmp_path / "in.jsonl"
    rows = [
        '{"text": "good"}',
        '{"text": 5}',
        "{",
        json.dumps({"text": LONG}),
        '{"more": 1}',
        '{"text": "\\ud800"}',
        '{"text": "bad", "label": "x"}',
        '{"text": "bad"}',
    ]
    path.write_text("\n".join(rows))
    return str(path), rows


REASONS = [
    "column 'text' must be text; it is int",
    "not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
    "a sequence may have 16 tokens, the positions this model has; got 32. Cut it with --truncate.",
    "there is no column 'text' in this row; it has 'more'",
    "a text",
    "this row already has a column 'label'; put a prefix before the answer's columns with --prefix",
]


def test_bad_rows_go_to_their_file_with_line_and_reason(run, model, broken, tmp_path):
    path, rows = broken
    bad = tmp_path / "bad.jsonl"
    status, out, err = run("run", "--model", model, path, "--errors", str(bad))
    assert status == 0 and [row["text"] for row in objects(out)] == ["good", "bad"]
    assert [(row["line"], row["row"]) for row in read(bad)] == [(n, rows[n - 1]) for n in range(2, 8)]
    assert all(row["reason"].startswith(reason) for row, reason in zip(read(bad), REASONS))
    assert len(err) == 1 and f"6 of 8 rows have no answer and are in {bad}. line 2: column 'text'" in err[0]
    assert err[0].count("line ") == 4 and err[0].endswith("; ...")  # three rows, and JSON's own


def test_bad_rows_that_no_file_is_named_for_are_counted_and_the_status_says_so(run, model, broken):
    status, out, err = run("run", "--model", model, broken[0])
    assert status == 1 and len(out) == 2 and len(err) == 1
    assert err[0].startswith("minibert: 6 of 8 rows have no answer and were left out; --errors FILE records them. line 2:")


def test_a_strict_run_ends_at_the_first_bad_row_and_leaves_nothing(run, model, broken, tmp_path):
    status, out, err = run("run", "--strict", "--model", model, broken[0], "-o", str(tmp_path / "out.jsonl"))
    assert (status, out) == (1, []) and err == [f"minibert: {broken[0]}, line 2: column 'text' must be text; it is int"]
    assert os.listdir(tmp_path) == ["in.jsonl"]


def test_a_file_for_bad_rows_is_there_when_there_are_none(run, model, table, tmp_path):
    (tmp_path / "bad.jsonl").write_text("of an earlier run")
    assert run("run", "--model", model, table, "--errors", str(tmp_path / "bad.jsonl"))[0] == 0
    assert (tmp_path / "bad.jsonl").read_bytes() == b""


# --- what is refused before anything is done --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--text-column", "review"], "must have a column 'review'; it has 'id', 'text'. Name another with --text-column."),
        (["--prefix", "i", "--task", "text-classification", "--pair-column", "no"], "must have a column 'no'"),
        (["-o", "x.parquet"], "an output's name must end in its format"),
        (["--resume"], "--resume needs an input and an output that are files"),
        (["-o", "/nowhere/out.jsonl"], "/nowhere/out.jsonl.journal cannot be written: No such file or directory."),
        (["-o", "."], "an output's name must end in its format"),
        (["-o", "in.csv"], "an output must not overwrite the input; both are in.csv"),
        (["-o", "out.jsonl", "--errors", "./out.jsonl"], "answers and bad rows must go to two files; got out.jsonl for both"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_line_and_leaves_nothing(arguments, message, run, model, table, monkeypatch):
    folder = Path(table).parent
    monkeypatch.chdir(folder)
    status, out, err = run("run", "--model", model, "in.csv", *arguments)
    assert (status, out) == (1, []) and len(err) == 1 and message in err[0]
    assert os.listdir(folder) == ["in.csv"]


def test_a_column_that_the_answer_is_to_have_is_refused_until_there_is_a_prefix(run, model, tmp_path):
    path = write(tmp_path / "in.csv", [{"label": "1", "text": "bad"}])
    status, _, err = run("run", "--model", model, path)
    assert (
        status == 1
        and "already has a column 'label', which is also a name of the answer's columns" in err[0]
        and "--prefix" in err[0]
    )
    (row,) = objects(run("run", "--model", model, path, "--prefix", "predicted_")[1])
    assert list(row) == ["label", "text", "predicted_label", "predicted_score"] and row["label"] == "1"


def test_a_csv_needs_a_first_row_that_names_its_columns(run, model, tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text('{\n{"text": "bad"}\n')
    status, _, err = run("run", "--model", model, str(path), "-o", str(tmp_path / "out.csv"))
    assert status == 1 and "the columns of a csv are those of the first row" in err[0]
