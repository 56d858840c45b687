"""minibert/run/: what is read of a file, what is written of a row."""

import csv
import gzip
import io
import json
import sys
import tracemalloc
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minibert.errors import DataFileError, InputError
from minibert.run import text_readers, writers
from minibert.run.open import open_source
from minibert.run.progress import Progress, format_duration, progress_line
from minibert.run.text_readers import READERS, Lines

NASTY = 'two\nlines, "quoted"\tand\r\nmore'


def read(path, format_name=None):
    """A file -> its columns and its rows."""
    with open_source(str(path), format_name) as source:
        return source.columns, list(source.rows)


def rows_of(data, format_name, tmp_path):
    path = tmp_path / f"x.{format_name}"
    path.write_bytes(data)
    return read(path)[1]


def good(rows):
    return [row.columns for row in rows if row.columns is not None]


def errors(rows):
    return [(row.line, row.error, row.raw) for row in rows if row.columns is None]


# --- formats ---------------------------------------------------------------------------------------------------------

FILES = {
    "txt": (b"\xef\xbb\xbfa good movie\r\nbad\n\nlast", ["a good movie", "bad", "", "last"]),
    "csv": (b'\xef\xbb\xbf"text",id\r\n"two\r\nlines, ""x""",1\r\n\r\n\xc3\xa9t\xc3\xa9,2', ['two\r\nlines, "x"', "été"]),
    "tsv": (b'text\tid\n"a quotation\t1\n\nb"ad\t2\n', ['"a quotation', 'b"ad']),
    "jsonl": (b'{"text": "a\\nb", "id": 1}\n\n{"id": null, "text": "\\u00e9"}', ["a\nb", "é"]),
}


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("format_name", FILES)
def test_each_format_is_read_by_its_name_or_as_one_says(format_name, packed, tmp_path):
    data, texts = FILES[format_name]
    path = tmp_path / (f"x.{format_name}.gz" if packed else f"x.{format_name}")
    path.write_bytes(gzip.compress(data) if packed else data)
    columns, rows = read(path)
    assert columns == (["text"] if format_name == "txt" else ["text", "id"])
    assert [row.columns["text"] for row in rows] == texts and not errors(rows)
    other = tmp_path / ("x.dat.gz" if packed else "x.dat")
    path.rename(other)
    assert read(other, format_name)[1] == rows
    with pytest.raises(InputError, match=r"an input's name must end in its format, .txt, .*; got .*x.dat"):
        read(other)


def test_lines_are_counted_from_one_and_a_row_begins_where_it_begins(tmp_path):
    rows = rows_of(b'text\n"two\nlines"\n\nbad,\ngood\n', "csv", tmp_path)
    assert [row.line for row in rows] == [2, 5, 6]
    assert [row.line for row in rows_of(b'{"text": "a"}\n\n5\n', "jsonl", tmp_path)] == [1, 3]


@pytest.mark.parametrize("format_name", ["parquet", "arrow", "arrow stream"])
def test_parquet_and_arrow_are_read_a_batch_at_a_time(format_name, tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="pip install 'minibert[parquet]'")
    table = pyarrow.table({"text": [f"text {n}" for n in range(3000)], "n": range(3000), "day": [date(2024, 2, 29)] * 3000})
    path = tmp_path / f"x.{format_name[:5] if 'arrow' in format_name else format_name}"
    if format_name == "parquet":
        from pyarrow.parquet import write_table

        write_table(table, path, row_group_size=700)
    else:
        make = pyarrow.ipc.new_file if format_name == "arrow" else pyarrow.ipc.new_stream
        with make(path, table.schema) as writer:
            writer.write_table(table)
    columns, rows = read(path)
    assert columns == ["text", "n", "day"] and [row.line for row in rows] == list(range(1, 3001))
    assert rows[-1].columns == {"text": "text 2999", "n": 2999, "day": date(2024, 2, 29)}
    path.write_bytes(path.read_bytes()[:-40] + b"x" * 40)
    if format_name != "arrow stream":  # which has no end that must be there
        with pytest.raises(DataFileError, match="must be a .* file; it cannot be read as one"):
            read(path)


def test_a_cell_of_parquet_that_python_has_no_object_for_is_one_bad_row(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="pip install 'minibert[parquet]'")
    letters = pyarrow.array([b"good", b"\xff", b"bad"], pyarrow.binary()).view(pyarrow.string())
    with pyarrow.ipc.new_file(tmp_path / "x.arrow", pyarrow.schema([("text", pyarrow.string())])) as writer:
        writer.write_batch(pyarrow.record_batch([letters], ["text"]))
    rows = read(tmp_path / "x.arrow")[1]
    assert good(rows) == [{"text": "good"}, {"text": "bad"}] and errors(rows)[0][0] == 2 and "utf-8" in errors(rows)[0][1]


def test_without_pyarrow_the_error_gives_the_command(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"parquet is read with pyarrow, .*: pip install 'minibert-cpu\[parquet\]'"):
        read(tmp_path / "x.parquet")


# --- bad rows --------------------------------------------------------------------------------------------------------

BROKEN = [
    ("txt", b"good\n\xff\xfe bad\ngood", 2, "not UTF-8: invalid start byte at byte 0 of line 2"),
    ("jsonl", b'{"text": "good"}\n{"text": \n{"text": "good"}\n', 2, "not JSON: Expecting value"),
    ("jsonl", b'{"text": "good"}\n["good"]\n{"text": "good"}\n', 2, "a row is a JSON object; this is a list"),
    ("jsonl", b'{"text": "good"}\n' + b"[" * 100_000 + b'\n{"text": "good"}\n', 2, "not JSON: "),
    ("jsonl", b'{"text": "good"}\n{"text": "\xff"}\n{"text": "good"}\n', 2, "not UTF-8: invalid start byte at byte 10"),
    ("csv", b"text,id\ngood,1\nbad\ngood,2\n", 3, "a row has as many fields as the header, 2; this one has 1"),
    ("csv", b"text,id\ngood,1\nbad,2,3\ngood,2\n", 3, "2; this one has 3"),
    ("csv", b'text,id\ngood,1\n"bad"x,2\ngood,2\n', 3, "not CSV: ',' expected after '\"'"),
    ("csv", b'text,id\ngood,1\n"bad,2\ngood,2\n', 3, "not CSV: unexpected end of data"),
    ("csv", b'text,id\ngood,1\n"bad,2\n"good",2\n', 3, "not CSV: "),
    ("csv", b'text,id\ngood,1\n"two\n\xff lines",2\ngood,2\n', 3, "not UTF-8: invalid start byte at byte 0 of line 4"),
    ("tsv", b"text\tid\ngood\t1\nbad\ngood\t2\n", 3, "2; this one has 1"),
]


@pytest.mark.parametrize("format_name, data, line, reason", BROKEN, ids=lambda value: str(value)[:30])
def test_a_broken_row_has_its_line_and_its_reason_and_costs_no_other(format_name, data, line, reason, tmp_path):
    rows = rows_of(data, format_name, tmp_path)
    assert [columns["text"] for columns in good(rows)] == ["good", "good"]
    ((at, error, raw),) = errors(rows)
    assert at == line and reason in error
    assert raw.encode()[:4] == data.split(b"\n")[line - 1].decode(errors="backslashreplace").encode()[:4]


def test_lines_behind_a_quotation_that_is_never_closed_are_read_anyway(tmp_path):
    data = b'text,id\n"open,0\n' + b"good,1\n" * 300 + b'"two\n\xff",2\nlast,3\n'
    rows = rows_of(data, "csv", tmp_path)
    assert len(good(rows)) == 301 and [row.line for row in rows] == [*range(2, 303), 303, 305]
    assert [error.split(":")[0] for _, error, _ in errors(rows)] == ["not CSV", "not UTF-8"]


def test_a_line_without_an_end_is_not_read_into_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(text_readers, "MAX_LINE_BYTES", 1 << 16)
    for format_name, start in (("txt", b""), ("csv", b"text\n"), ("jsonl", b"")):
        text = {"txt": b"good", "csv": b"good", "jsonl": b'{"text": "good"}'}[format_name]
        path = tmp_path / f"x.{format_name}"
        path.write_bytes(start + text + b"\n" + b'x"' * (1 << 22) + b"\n" + text + b"\n")
        tracemalloc.start()
        rows = read(path)[1]
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(good(rows)) == 2 and peak < 1 << 20, format_name
        ((_, error, raw),) = errors(rows)
        assert error == "a line may have 65,536 bytes, and this one has more" and len(raw) <= text_readers.PREFIX_CHARS


@given(st.lists(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=2, max_size=2)))
@settings(max_examples=150, deadline=None)
def test_what_a_csv_writer_wrote_is_read_as_it_was(table):
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(["text", "id"])
    writer.writerows(table)
    rows = list(text_readers.read_csv(Lines(io.BytesIO(buffer.getvalue().encode()), "x")))
    assert rows[0] == ["text", "id"] and [list(row.columns.values()) for row in rows[1:]] == table


@given(st.binary(max_size=300), st.sampled_from(["txt", "csv", "tsv", "jsonl"]))
@settings(max_examples=400, deadline=None)
def test_any_bytes_are_rows_or_errors_and_the_lines_never_go_back(data, format_name):
    try:
        rows = [row for row in READERS[format_name](Lines(io.BytesIO(data), "x")) if not isinstance(row, list)]
    except InputError:  # no header, or UTF-16
        return
    assert all(bool(row.error) == (row.columns is None) for row in rows)
    lines = [row.line for row in rows]
    assert lines == sorted(set(lines)) and all(1 <= line <= data.count(b"\n") + 1 for line in lines)


# --- files that are refused whole ------------------------------------------------------------------------------------

HEADERS = [
    (b"", "the first line of .* must be a header that names the columns; the file is empty"),
    (b"text,id,text\na,b,c\n", "must have different names; 'text' occurs twice"),
    (b"te\xffxt,id\na,b\n", "must be a header that names the columns; not UTF-8"),
    ("text,id\n".encode("utf-16"), "must be UTF-8; it is UTF-16. Try: iconv"),
]


@pytest.mark.parametrize("data, message", HEADERS, ids=lambda value: str(value)[:20])
def test_a_header_that_names_no_columns_is_refused(data, message, tmp_path):
    with pytest.raises(InputError, match=message):
        rows_of(data, "csv", tmp_path)


def test_a_file_that_cannot_be_read_is_one_error(tmp_path):
    with pytest.raises(DataFileError, match="nowhere.csv cannot be read: No such file or directory"):
        read(tmp_path / "nowhere.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataFileError, match="folder.csv cannot be read: Is a directory"):
        read(tmp_path / "folder.csv")
    intact = gzip.compress(b"good\n" * 100_000)
    for name, data in (("cut", intact[:-20]), ("none", b"good\n"), ("flipped", intact[:100] + b"\xff" * 9 + intact[109:])):
        (tmp_path / f"{name}.txt.gz").write_bytes(data)
        with pytest.raises(DataFileError, match="must be a complete .gz file; it cannot be decompressed"):
            read(tmp_path / f"{name}.txt.gz")


# --- lines -----------------------------------------------------------------------------------------------------------


def line_of(format_name, row, columns=None):
    return writers.row_encoder(format_name, columns or list(row))[1](row).decode()


def test_json_holds_everything_as_it_was():
    row = {"text": NASTY, "n": [1, None, {"é": 0.5}], "half": "\ud800", "day": date(2024, 2, 29), "d": Decimal("1.10")}
    assert json.loads(line_of("jsonl", row)) == {**row, "day": "2024-02-29", "d": "1.10"}
    assert line_of("jsonl", {"text": "日本"}) == '{"text": "日本"}\n'


def test_csv_holds_text_as_it_was_and_the_rest_as_json():
    row = {"text": NASTY, "cr": "a\rb", "n": 5, "list": [1, "é"], "none": None, "empty": ""}
    header, line = writers.row_encoder("csv", row)
    cells = list(csv.reader(io.StringIO((header + line(row)).decode(), newline="")))
    assert cells == [list(row), [NASTY, "a\rb", "5", '[1, "é"]', "", ""]]


def test_tsv_has_a_blank_where_a_cell_had_a_tab_or_a_line_end():
    assert line_of("tsv", {"text": NASTY, "n": 5}) == 'two lines, "quoted" and more\t5\n'


def test_what_a_format_cannot_hold_is_refused():
    with pytest.raises(ValueError, match="the columns are those of the first row; this one also has 'more'"):
        line_of("csv", {"text": "a", "more": 1}, ["text"])
    with pytest.raises(TypeError, match="bytes"):
        line_of("jsonl", {"text": b"a"})
    assert line_of("csv", {"id": 1}, ["text", "id"]) == ",1\n"


def test_an_output_names_its_format():
    assert [writers.output_format(name) for name in ("-", "x.CSV", "x.jsonl.gz", "a/b.tsv")] == ["jsonl", "csv", "jsonl", "tsv"]
    with pytest.raises(InputError, match="an output's name must end in its format, .jsonl, .*; got 'x.parquet'"):
        writers.output_format("x.parquet")


# --- progress --------------------------------------------------------------------------------------------------------


def test_progress_says_how_far_how_fast_and_how_long_still():
    assert progress_line(40_960, 40_960, 13.0, 0.25) == "40,960 rows  25%  3,151 rows/s  0:00:39 left"
    assert progress_line(7, 2, 1.0, None) == "7 rows  2.0 rows/s"
    assert progress_line(0, 0, 0.0, 0.5).startswith("0 rows  50%") and format_duration(3700) == "1:01:40"


def test_progress_knows_what_is_done_by_what_is_read_or_by_the_limit():
    progress = Progress(False)
    for share, limit, expected in ((0.5, None, 0.125), (None, None, None), (0.0, None, None), (0.5, 20, 0.5), (None, 20, 0.5)):
        progress.begin(0, lambda share=share: share, limit)
        progress.advance(10, 40)
        assert progress.fraction_done() == expected


def test_progress_is_one_line_that_is_taken_away_and_none_where_there_is_no_terminal(capsys):
    for shown in (True, None):
        with Progress(shown) as progress:
            progress.begin(10, lambda: 0.5)
            progress.last_drawn = -1.0
            progress.advance(10, 40)
        err = capsys.readouterr().err
        assert ("20 rows  25%" in err and "\n" not in err and err.endswith("\r\x1b[K")) if shown else err == ""
