"""Downloads that fail: one error that says what to do, nothing damaged left in the cache, and a next try that works.

The hub is tests/support/hub_server.py. The client is the real one, in the process of tests/support/hub_client.py.
"""

import os
import shutil
from pathlib import Path

import pytest
from hub_client import CONFIG, FILES, LOADED, WEIGHTS, Client, write

from minibert.errors import DownloadError, ModelFileError


@pytest.mark.parametrize(
    "method, fault, times",
    [
        ("HEAD", 500, 100),
        ("HEAD", 503, 100),
        ("HEAD", "drop", 100),
        ("GET", 500, 100),
        ("GET", "drop", 100),
        ("GET", "cut", 100),
        ("GET", "reset", 100),
        ("GET", "short", 100),
        ("GET", "long", 100),
        ("GET", "corrupt", 1),
    ],
)
@pytest.mark.parametrize("filename", list(FILES))
def test_after_every_fault_the_next_try_works(method, fault, times, filename, client, server, tmp_path):
    server.fail(method, filename, fault, times=times)
    with pytest.raises(DownloadError, match=f"'{filename}'.*[Tt]ry again"):
        client.load("tiny/bert")
    assert not list(tmp_path.glob(f"cache/models--*/snapshots/*/{filename}")), "nothing damaged stays"
    server.mend()
    assert client.load("tiny/bert") == LOADED
    assert not list(tmp_path.glob("cache/models--*/.unchecked/*")), "nothing is left to be checked"


@pytest.mark.parametrize("method, fault", [("HEAD", 503), ("GET", "drop"), ("GET", "short"), ("GET", "long")])
def test_a_passing_fault_is_not_even_seen(method, fault, client, server):
    server.fail(method, WEIGHTS, fault, times=1)
    assert client.load("tiny/bert") == LOADED


def test_a_file_cut_short_by_a_server_that_names_no_length_is_found_out(client, server):
    server.fail("HEAD", WEIGHTS, "no length")
    server.fail("GET", WEIGHTS, "short")
    with pytest.raises(DownloadError, match=f"'{WEIGHTS}' was damaged on its way|{WEIGHTS}.*could not be fetched"):
        client.load("tiny/bert")
    assert client.load("tiny/bert") == LOADED


def test_a_damaged_file_is_found_out_on_a_file_system_without_links(server, tmp_path):
    with Client(server, tmp_path) as client:
        client.do_without_links()
        for filename in FILES:
            server.fail("GET", filename, "corrupt")
            with pytest.raises(DownloadError, match=f"'{filename}' was damaged on its way"):
                client.load("tiny/bert")
        assert client.load("tiny/bert") == LOADED
        assert not any(path.is_symlink() for path in tmp_path.rglob("*"))


def test_a_damaged_update_names_the_commit_that_is_whole(client, server):
    client.load("tiny/bert")
    commit = client.locate("tiny/bert")
    new = server.commit("tiny/bert", FILES | {WEIGHTS: b"new weights"})
    server.fail("GET", WEIGHTS, "corrupt")
    with pytest.raises(DownloadError, match=f"damaged on its way.*revision='{commit}'"):
        client.load("tiny/bert", revision=new)
    assert client.load("tiny/bert", revision=new)[1] == "new weights"


def test_a_check_that_was_interrupted_is_made_up_for(client, server, tmp_path):
    commit = client.locate("tiny/bert")
    blob = os.path.realpath(client_file(client, tmp_path, commit, WEIGHTS))
    mark = write(tmp_path / "cache" / "models--tiny--bert" / ".unchecked", {f"{commit}.{WEIGHTS}": b""})
    assert client.load("tiny/bert") == LOADED
    assert not list(mark.iterdir())
    # As a process leaves it that was killed between the download and the comparison.
    write(mark, {f"{commit}.{WEIGHTS}": b""})
    Path(blob).write_bytes(FILES[WEIGHTS][:-1] + b"!")
    server.requests.clear()
    with pytest.raises(DownloadError, match="damaged on its way"):
        client.load("tiny/bert")
    assert server.requests == []
    assert client.load("tiny/bert") == LOADED


@pytest.mark.parametrize("revision", ["main", "v1/a", "refs/pr/1"])
def test_a_check_of_a_branch_s_file_that_was_interrupted_is_made_up_for(revision, server, tmp_path):
    commit = server.commit("tiny/bert", FILES, revision)
    killed = "import os, minibert._download as download; download._compare = lambda *of: os._exit(9)"
    with Client(server, tmp_path, CLIENT_BEGINS_WITH=killed) as client, pytest.raises(ValueError):  # it gives no answer
        client.locate("tiny/bert", revision=revision)
    marks = tmp_path / "models--tiny--bert" / ".unchecked"
    assert [mark.name for mark in marks.iterdir()] == [f"{commit}.{CONFIG}"]
    path = tmp_path / "models--tiny--bert" / "snapshots" / commit / CONFIG
    path.resolve().write_bytes(FILES[CONFIG][:-1] + b"!")
    with Client(server, tmp_path) as client:
        with pytest.raises(DownloadError, match="damaged on its way"):
            client.load("tiny/bert", revision=revision)
        assert client.load("tiny/bert", revision=revision) == LOADED
    assert not list(marks.iterdir())


def client_file(client, tmp_path, commit, filename):
    client.file(filename)
    return tmp_path / "cache" / "models--tiny--bert" / "snapshots" / commit / filename


def test_a_full_disk_says_so_and_leaves_nothing(server, tmp_path):
    with Client(server, tmp_path / "cache") as client:
        client.locate("tiny/bert")
        client.limit_file_size(1000)  # as a full disk does, it stops the writing
        with pytest.raises(ModelFileError, match=f"'{WEIGHTS}'.*cannot be written to the cache.*File too large"):
            client.file(WEIGHTS)
        client.limit_file_size(-1)
        assert client.load("tiny/bert") == LOADED


def test_a_cache_that_cannot_be_written_says_so(client, server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelFileError, match="cannot be written to the cache.*Not a directory"):
        client.locate("tiny/bert", cache_dir=str(tmp_path / "file" / "cache"))


# Root may write to a read-only folder, unless that power is taken from it.
AS_ANY_USER = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []


@pytest.mark.skipif(bool(AS_ANY_USER) and not shutil.which("setpriv"), reason="run by root, without setpriv")
def test_a_read_only_cache_serves_what_it_has_and_says_what_it_cannot_take(client, server, tmp_path):
    commit = client.locate("tiny/bert")
    folders = [path for path in (tmp_path / "cache").rglob("*") if path.is_dir() and not path.is_symlink()]
    for folder in folders:
        folder.chmod(0o555)
    try:
        with Client(server, tmp_path / "cache", AS_ANY_USER) as reader:
            assert reader.locate("tiny/bert") == commit and reader.file(CONFIG) == LOADED[0]
            assert reader.optional("vocab.txt") is None
            with pytest.raises(ModelFileError, match="cannot be written to the cache.*Permission denied"):
                reader.file(WEIGHTS)
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert client.load("tiny/bert") == LOADED
