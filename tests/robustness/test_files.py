"""minibert/files.py: JSON that may be anything, and files that are whole or not there."""

import json
import os

import pytest
from damaged_files import NOT_JSON

from minibert import files
from minibert.errors import ConfigError, VocabularyError
from minibert.files import atomic_write, read_json


@pytest.mark.parametrize("content", NOT_JSON.values(), ids=NOT_JSON.keys())
def test_what_is_not_json_is_one_error_that_names_the_file(tmp_path, content):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="config.json must hold one JSON object; .*cannot be read as JSON"):
        read_json(path, ConfigError)


@pytest.mark.parametrize("content, type_name", [("[1, 2]", "list"), ("5", "int"), ('"x"', "str"), ("null", "NoneType")])
def test_json_that_is_no_object_says_what_it_is(tmp_path, content, type_name):
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(VocabularyError, match=f"must hold one JSON object; .* holds a {type_name}"):
        read_json(path, VocabularyError)


def test_a_json_file_of_unreasonable_size_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "LARGEST_JSON", 100)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"x": "y" * 100}))
    with pytest.raises(ConfigError, match="may have 100 bytes; .* has 109"):
        read_json(path, ConfigError)


def test_an_object_is_read_with_all_its_letters(tmp_path):
    path = tmp_path / "config.json"
    path.write_bytes('{"label": "日本 é \\ud83d\\ude00"}'.encode())
    assert read_json(path, ConfigError) == {"label": "日本 é 😀"}


def test_a_file_is_written_whole_into_folders_that_are_not_there_yet(tmp_path):
    path = tmp_path / "new" / "folder" / "x.json"
    atomic_write(path, lambda aside: aside.write_text("{}"))
    assert path.read_text() == "{}" and os.listdir(path.parent) == ["x.json"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("old")

    def fail(aside):
        aside.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        atomic_write(path, fail)
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["x.json"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_a_written_file_has_the_permissions_that_the_umask_gives(tmp_path, monkeypatch):
    """The umask is not read, because reading it changes it for all threads for a moment."""
    before, set_umask = os.umask(0o027), os.umask
    monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("the umask was changed"))
    try:
        atomic_write(tmp_path / "x.json", lambda aside: aside.write_text("{}"))
    finally:
        set_umask(before)
    assert (tmp_path / "x.json").stat().st_mode & 0o777 == 0o640
