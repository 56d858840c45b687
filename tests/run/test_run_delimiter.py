"""`minibert run --delimiter`: what stands between the fields of a csv or tsv, and who says that it may be another."""

import csv
import io
import json

import pytest

from minibert.errors import InputError
from minibert.run.open import open_source
from minibert.run.output import Results

ROWS = [["id", "text"], ["1", 'good, "very"; good\tindeed'], ["2", "bad | or\nnot"]]
MODEL = ("--model", "minibert-sst2", "--kernels", "reference")


def written(delimiter, quoting=csv.QUOTE_MINIMAL):
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter, quoting=quoting).writerows(ROWS)
    return file.getvalue().encode()


@pytest.mark.parametrize("delimiter", [";", "\t", "|", ",", " ", "é"])
def test_a_csv_with_another_delimiter_is_read_as_the_csv_module_reads_it(delimiter, tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(written(delimiter))
    with open_source(str(path), delimiter=delimiter) as source:
        assert source.columns == ROWS[0] and [list(row.columns.values()) for row in source.rows] == ROWS[1:]


def test_a_tsv_may_have_another_delimiter_and_still_quotes_nothing(tmp_path):
    path = tmp_path / "x.tsv"
    path.write_text('id;text\n1;a "good\tfilm\n')
    with open_source(str(path), delimiter=";") as source:
        assert [row.columns for row in source.rows] == [{"id": "1", "text": 'a "good\tfilm'}]


@pytest.mark.parametrize(
    "name, delimiter, quoting",
    [
        ("x.csv", ";", csv.QUOTE_MINIMAL),
        ("x.csv", "\t", csv.QUOTE_MINIMAL),
        ("x.csv", ";", csv.QUOTE_ALL),
        ("x.csv", "\t", csv.QUOTE_ALL),
        ("x.tsv", ";", csv.QUOTE_MINIMAL),
        ("x.tsv", ",", csv.QUOTE_MINIMAL),
    ],
)
def test_a_header_that_is_one_column_suggests_its_delimiter(name, delimiter, quoting, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(written(delimiter, quoting))
    status, out, err = run("run", *MODEL, name)
    suggested = f"--delimiter {delimiter!r}"
    assert (status, out) == (1, []) and len(err) == 1 and err[0].endswith(suggested)
    if name == "x.csv":  # what it suggests works; a tsv of quoted fields is none
        option = suggested.partition(" ")[2].strip("'")  # as a shell gives it
        status, out, err = run("run", *MODEL, "--delimiter", option, name)
        assert (status, err) == (0, []) and [json.loads(line)["text"] for line in out] == [row[1] for row in ROWS[1:]]


def test_no_delimiter_is_suggested_where_it_would_not_help(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.csv").write_text("a;b,c\n1,2\n")
    (tmp_path / "x.jsonl").write_text('{"a;b": 1}\n')
    (tmp_path / "y.csv").write_text("review\ngood\n")
    for name in ("x.csv", "x.jsonl", "y.csv"):
        status, _, err = run("run", *MODEL, name)
        assert status == 1 and "must have a column 'text'" in err[-1] and "--delimiter" not in err[-1]


def test_a_run_with_another_delimiter_is_not_gone_on_with(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.csv").write_text("text\na;b\nc\n")

    def interrupt(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Results, "finish", interrupt)
        assert run("run", *MODEL, "x.csv", "-o", "y.jsonl")[0] == 130
    status, _, err = run("run", *MODEL, "x.csv", "-o", "y.jsonl", "--delimiter", ";", "--resume")
    assert status == 1 and "--delimiter was None and is ';'" in err[0]
    assert run("run", *MODEL, "x.csv", "-o", "y.jsonl", "--resume")[0] == 0


@pytest.mark.parametrize("delimiter", ["", ";;", '"', "\n", "\r", "\0", 3, b";"])
def test_what_is_no_delimiter_is_refused(delimiter, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("text\ngood\n")
    with pytest.raises(InputError, match="a delimiter is one character"), open_source(str(path), delimiter=delimiter):
        pass
