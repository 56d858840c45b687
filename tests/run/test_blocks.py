"""The blocks of a file, in order, are the rows of the file: columns, line numbers and reasons alike."""

import gzip
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minibert.errors import DataFileError, InputError
from minibert.run.blocks import Block, open_block, plan_blocks
from minibert.run.filesystem import identity, list_files
from minibert.run.open import open_source

CSV = 'id,text\n1,"a\n""b"""\n\n2,plain\r\n3,too,many\n4,"a stray " mark\n5,"open\n6,é\n7,last'
FILES = {
    "in.txt": "one\n\ntwo\r\nthree\u2028\n\nlast",
    "in.csv": CSV,
    "marked.csv": "\ufeff" + CSV,
    "in.tsv": 'id\ttext\n1\t"a\n\n2\tb\tc\n3\té\n4\td',
    "in.jsonl": '{"text": "a"}\n\n{\n5\n{"text": "é"}\r\n \n{"text": "c", "id": 1}',
    "empty.jsonl": "",
    "header.csv": "id,text\n",
}


def rows_of_file(path, file_format=None):
    with open_source(str(path), file_format) as source:
        return source.columns, list(source.rows)


def rows_of_blocks(path, file_format, rows_per_block):
    """The columns, all rows, and how many rows each block has."""
    columns, rows, sizes = None, [], []
    for block in list(plan_blocks(Block(0, str(path), file_format, None), rows_per_block)):
        with open_block(block) as source:
            block_rows = list(source.rows)
            if not sizes or file_format != "jsonl":
                assert columns in (None, source.columns)
                columns = source.columns
        rows += block_rows
        sizes.append(len(block_rows))
    return columns, rows, sizes


@pytest.mark.parametrize("rows_per_block", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("name", FILES)
def test_blocks_in_order_are_the_rows_of_the_file(name, rows_per_block, tmp_path):
    path = tmp_path / name
    path.write_bytes(FILES[name].encode())
    columns, rows, sizes = rows_of_blocks(path, path.suffix[1:], rows_per_block)
    assert (columns, rows) == rows_of_file(path)
    assert max(sizes) <= rows_per_block


@pytest.mark.parametrize("rows_per_block", [1, 3, 10, 25, 1000])
def test_a_block_of_a_parquet_file_crosses_row_groups(rows_per_block, tmp_path):
    pa = pytest.importorskip("pyarrow", reason="pip install -e '.[parquet]'")
    from pyarrow import parquet

    texts = pa.array([b"\xff" if n == 11 else str(n).encode() for n in range(25)]).view(pa.string())
    parquet.write_table(pa.table({"text": texts}), tmp_path / "in.parquet", row_group_size=10)
    columns, rows, sizes = rows_of_blocks(tmp_path / "in.parquet", "parquet", rows_per_block)
    assert (columns, rows) == rows_of_file(tmp_path / "in.parquet")
    assert sum(row.columns is None for row in rows) == 1 and max(sizes) <= rows_per_block


def test_a_parquet_file_without_rows_is_one_block_without_rows(tmp_path):
    pa = pytest.importorskip("pyarrow", reason="pip install -e '.[parquet]'")
    from pyarrow import parquet

    parquet.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / "in.parquet")
    assert rows_of_blocks(tmp_path / "in.parquet", "parquet", 5) == (["text"], [], [0])


@settings(max_examples=300, deadline=None)
@given(body=st.text(alphabet='ab,"\n\ré', max_size=60), rows_per_block=st.integers(1, 5))
def test_whatever_a_csv_holds_a_block_begins_with_a_row(tmp_path_factory, body, rows_per_block):
    path = tmp_path_factory.getbasetemp() / "hypothesis.csv"
    path.write_bytes(b"text,b\n" + body.encode())
    assert rows_of_blocks(path, "csv", rows_per_block)[:2] == rows_of_file(path)


def test_a_line_that_is_too_long_is_one_row(tmp_path):
    path = tmp_path / "in.txt"
    path.write_bytes(b"a\n" + b"b" * (17 << 20) + b"\nc\n")
    columns, rows, sizes = rows_of_blocks(path, "txt", 1)
    assert sizes == [1, 1, 1] and (columns, rows) == rows_of_file(path)


def test_a_compressed_file_is_one_block(tmp_path):
    path = tmp_path / "in.jsonl.gz"
    path.write_bytes(gzip.compress(FILES["in.jsonl"].encode()))
    assert rows_of_blocks(path, "jsonl", 1)[1:] == (rows_of_file(path)[1], [5])


def test_a_file_that_cannot_be_read_is_one_error(tmp_path):
    pytest.importorskip("pyarrow", reason="pip install -e '.[parquet]'")
    (tmp_path / "in.parquet").write_bytes(b"no parquet")
    for name, reason in (("in.parquet", "must be a parquet file"), ("missing.txt", "No such file")):
        with pytest.raises(DataFileError, match=reason):
            list(plan_blocks(Block(0, str(tmp_path / name), name.rpartition(".")[2], None), 5))


# --- folders and URLs ------------------------------------------------------------------------------------------------


def test_a_folder_s_files_are_sorted_and_hidden_ones_left_out(tmp_path):
    for name in ("b.txt", "a/2.txt", "a/1.txt", "_SUCCESS", ".hidden.txt", "_temporary/3.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("a")
    names = ["a/1.txt", "a/2.txt", "b.txt"]
    assert list_files(str(tmp_path)) == [os.path.join(tmp_path, name) for name in names]
    pytest.importorskip("fsspec")
    assert list_files(f"file://{tmp_path}") == [f"file://{tmp_path}/{name}" for name in names]
    assert list_files(f"file://{tmp_path}/b.txt") == [f"file://{tmp_path}/b.txt"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataFileError, match="must have files"):
        list_files(str(tmp_path / "empty"))


@pytest.mark.parametrize("name", ["in.csv", "in.jsonl"])
def test_a_url_is_read_as_the_file_is(name, tmp_path):
    fsspec = pytest.importorskip("fsspec")
    (tmp_path / name).write_bytes(FILES[name].encode())
    with fsspec.open(f"memory://folder/{name}", "wb") as file:
        file.write(FILES[name].encode())
    file_format = name.partition(".")[2]
    assert list_files("memory://folder/" + name) == ["memory://folder/" + name]
    assert rows_of_blocks("memory://folder/" + name, file_format, 2)[1] == rows_of_file(tmp_path / name)[1]
    assert identity("memory://folder/" + name).startswith(f"{len(FILES[name].encode())}:")


def test_a_url_that_cannot_be_read_is_one_error():
    pytest.importorskip("fsspec")
    with pytest.raises(DataFileError, match="cannot be read"):
        list(plan_blocks(Block(0, "memory://nowhere.txt", "txt", None), 5))
    with pytest.raises(InputError, match="a URL that fsspec reads"):
        list_files("nosuch://a/b.txt")
    with pytest.raises(InputError, match=r"without \.gz"), open_block(Block(0, "memory://a.txt.gz", "txt", None)):
        pass


def test_the_identity_of_a_file_changes_with_it(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("a")
    before = identity(str(path))
    os.utime(path, (1, 1))
    assert identity(str(path)) != before
