"""minibert/_download.py: what comes from the hub, and what is asked of it; test_download_failures.py has how that fails.

The hub is tests/support/hub_server.py. The client is the real one, in the process of tests/support/hub_client.py.
"""

import hashlib
from pathlib import Path

import pytest
from hub_cache import COMMIT
from hub_client import CONFIG, FILES, LOADED, WEIGHTS, Client, write

from minibert import _download, hub
from minibert.errors import DownloadError, GatedModelError, InputError, ModelFileError, ModelNotFoundError

# --- One file, without the hub ---------------------------------------------------------------------------------------

DIGESTS = [
    hashlib.sha256(FILES[CONFIG]).hexdigest(),
    hashlib.sha1(b"blob %d\0" % len(FILES[CONFIG]) + FILES[CONFIG]).hexdigest(),
    hashlib.sha1(FILES[CONFIG]).hexdigest(),  # a mirror's
]


@pytest.mark.parametrize("digest", DIGESTS)
def test_a_file_is_compared_with_the_hash_it_is_named_by(digest, tmp_path):
    blob = write(tmp_path / "blobs", {digest: FILES[CONFIG]}) / digest
    path = write(tmp_path / "snapshots" / COMMIT, {}) / CONFIG
    path.symlink_to(blob)
    _download._compare(path, digest)
    blob.write_bytes(FILES[CONFIG].swapcase())
    with pytest.raises(DownloadError, match=f"damaged on its way: its hash must be {digest}; got"):
        _download._compare(path, digest)
    assert not path.is_symlink() and not blob.exists()
    with pytest.raises(DownloadError, match="cannot be compared with its hash"):
        _download._compare(path, digest)  # another process found it out before


@pytest.mark.parametrize("tag", ["", "main", '"5f"', hashlib.md5(b"").hexdigest(), "A" * 40])
def test_a_tag_that_is_no_hash_is_compared_with_nothing(tag, tmp_path):
    _download._compare(write(tmp_path, FILES) / CONFIG, tag)


@pytest.mark.parametrize(
    "error, expected, reason",
    [
        (OSError(28, "No space left on device"), ModelFileError, "cannot be written .* No space left on device"),
        (PermissionError(13, "Permission denied"), ModelFileError, "cannot be written .* Permission denied"),
        (ConnectionResetError(104, "Connection reset by peer"), DownloadError, "Connection reset by peer. Try again"),
        (RuntimeError("chunk 3 is gone.\nMore of it"), DownloadError, "RuntimeError: chunk 3 is gone. Try again"),
        (ValueError(), DownloadError, "ValueError: ValueError. Try again"),
    ],
)
def test_whatever_the_client_raises_becomes_one_of_minibert(error, expected, reason, tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fail)
    monkeypatch.setattr(_download, "_check_connection", lambda *arguments: None)
    with pytest.raises(ModelFileError, match=f"'config.json' of 'tiny/bert'.*{reason}") as caught:
        hub.locate("tiny/bert", cache_dir=tmp_path)
    assert caught.type is expected and caught.value.__cause__ is error


def test_a_name_that_only_the_client_refuses_is_an_input_error(tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "_check_arguments", lambda *arguments: None)
    with pytest.raises(InputError, match="the hub does not allow this name: .*'a--b'"):
        hub.locate("a--b", cache_dir=tmp_path)


# --- The hub ---------------------------------------------------------------------------------------------------------


def test_a_model_is_fetched_once_and_then_read_from_the_cache(client, server):
    server.commit("tiny/other", {CONFIG: b"other"})
    client.locate("tiny/other")  # now it is known that the hub is there
    server.requests.clear()
    assert client.load("tiny/bert") == LOADED
    assert [request.method for request in server.requests] == ["HEAD", "GET", "HEAD", "GET"]
    server.requests.clear()
    assert client.load("tiny/bert") == LOADED
    assert server.requests == []


def test_a_cached_model_loads_without_a_request_and_without_the_client(client, server, tmp_path):
    client.load("tiny/bert")
    assert client.optional("vocab.txt") is None
    server.requests.clear()
    with Client(server, tmp_path / "cache") as fresh:
        assert fresh.load("tiny/bert") == LOADED
        assert fresh.optional("vocab.txt") is None
        assert not fresh.has_imported("huggingface_hub")
    assert server.requests == []


def test_the_cache_is_where_the_client_has_it(server, tmp_path):
    environments = [
        {},
        {"XDG_CACHE_HOME": "/xdg"},
        {"XDG_CACHE_HOME": "~/xdg/$USERLESS"},
        {"HF_HOME": "~/home", "XDG_CACHE_HOME": "/xdg"},
        {"HUGGINGFACE_HUB_CACHE": "/old", "HF_HOME": "/home"},
        {"HUGGINGFACE_HUB_CACHE": "~/old"},
        {"HF_HUB_CACHE": "~/$HOME/new", "HUGGINGFACE_HUB_CACHE": "/old"},
    ]
    with Client(server, tmp_path) as client:
        for theirs, ours in client.caches(environments):
            assert Path(theirs) == Path(ours)


def test_cache_dir_is_where_the_files_go(client, server, tmp_path):
    commit = client.locate("tiny/bert", cache_dir=str(tmp_path / "mine"))
    assert (tmp_path / "mine" / "models--tiny--bert" / "snapshots" / commit / CONFIG).is_file()
    assert not (tmp_path / "cache").exists()


def test_an_absent_file_is_asked_for_once(client, server):
    client.load("tiny/bert")
    assert client.optional("vocab.txt") is None
    server.requests.clear()
    assert client.optional("vocab.txt") is None
    assert server.requests == []
    with pytest.raises(ModelNotFoundError, match="'vocab.txt'; there is none at commit"):
        client.file("vocab.txt")


def test_a_network_failure_is_never_taken_for_an_absent_file(client, server):
    client.load("tiny/bert")
    for fault in [500, 503, "drop"]:
        server.fail("HEAD", "vocab.txt", fault, times=100)
        with pytest.raises(DownloadError, match="'vocab.txt' of 'tiny/bert'"):
            client.optional("vocab.txt")
        server.mend()
    server.fail("HEAD", "vocab.txt", 404)  # a proxy's, say: it does not tell which of the parts is not there
    with pytest.raises(DownloadError, match="404"):
        client.optional("vocab.txt")
    assert client.optional("vocab.txt") is None


def test_all_files_come_from_one_commit_when_the_branch_moves_between_them(client, server):
    first = client.locate("tiny/bert")
    second = server.commit("tiny/bert", {CONFIG: b"new", WEIGHTS: b"new", "vocab.txt": b"new"})
    assert [client.file(filename) for filename in FILES] == LOADED
    assert client.optional("vocab.txt") is None
    assert client.locate("tiny/bert") == first, "a cached branch stands still"
    assert client.locate("tiny/bert", revision=second) == second
    assert [client.file(filename) for filename in FILES] == ["new", "new"]


def test_a_revision_is_a_branch_a_tag_a_pull_request_or_a_commit(client, server):
    for revision in ["main", "dev", "v1", "refs/pr/1"]:
        commit = server.commit("tiny/bert", {CONFIG: revision.encode()}, revision=revision)
        assert client.locate("tiny/bert", revision=revision) == commit
        assert client.file(CONFIG) == revision
    commit = server.commit("tiny/bert", {CONFIG: b"by its digits"}, revision="elsewhere")
    assert client.locate("tiny/bert", revision=commit) == commit
    assert client.file(CONFIG) == "by its digits"
    server.requests.clear()
    assert client.locate("tiny/bert", revision="refs/pr/1") and client.file(CONFIG) == "refs/pr/1"
    assert server.requests == []


def test_a_renamed_repository_is_found_under_its_old_name(client, server):
    server.commit("tiny/old", FILES)
    server.rename("tiny/old", "tiny/new")
    assert client.load("tiny/old") == LOADED


def test_a_repository_without_a_configuration_still_has_a_commit(client, server):
    commit = server.commit("tiny/words", {"vocab.txt": b"[PAD]"})
    assert client.locate("tiny/words") == commit
    assert client.file("vocab.txt") == "[PAD]"
    with pytest.raises(ModelNotFoundError, match="'config.json'; there is none at commit"):
        client.file(CONFIG)


def test_a_missing_repository_or_revision_is_named(client, server, tmp_path):
    with pytest.raises(ModelNotFoundError, match="no model 'tiny/nothing' .* private"):
        client.locate("tiny/nothing")
    assert not list(tmp_path.glob("cache/models--*")), "a wrong name leaves nothing behind"
    with pytest.raises(ModelNotFoundError, match="'tiny/bert' has no revision 'v9'"):
        client.locate("tiny/bert", revision="v9")
    with pytest.raises(ModelNotFoundError, match="has no revision"):
        client.locate("tiny/bert", revision=COMMIT)
    assert client.load("tiny/bert") == LOADED


def test_a_private_or_gated_model_wants_a_token_and_loads_with_it(client, server):
    server.commit("tiny/private", FILES)
    server.guard("tiny/private", "RepoNotFound", "secret")
    with pytest.raises(ModelNotFoundError, match="private"):
        client.locate("tiny/private")
    assert client.load("tiny/private", token="secret") == LOADED
    server.commit("tiny/gated", FILES)
    server.guard("tiny/gated", "GatedRepo", "secret")
    for token in [None, "wrong"]:
        with pytest.raises(GatedModelError, match="'tiny/gated' is gated.*/tiny/gated"):
            client.locate("tiny/gated", token=token)
    assert client.load("tiny/gated", token="secret") == LOADED
    with pytest.raises(GatedModelError, match="is not for this user"):
        client.locate("tiny/bert", token=True)
    server.fail("HEAD", CONFIG, 401)
    with pytest.raises(GatedModelError, match="Is the token right"):
        client.locate("tiny/bert", token="expired")


def test_a_token_is_sent_to_the_hub_only_and_only_when_it_may_be(client, server):
    client.environment(HF_TOKEN="from-the-environment")
    try:
        for index, (token, sent) in enumerate([("mine", "mine"), (None, "from-the-environment"), (False, None)]):
            server.commit(f"tiny/token-{index}", {CONFIG: b"%d" % index, WEIGHTS: b"weights %d" % index})
            server.requests.clear()
            client.load(f"tiny/token-{index}", token=token)
            for request in server.requests:
                assert request.token == (None if request.path.startswith("/storage/") else sent), request
            assert any(request.path.startswith("/storage/") for request in server.requests)
    finally:
        client.forget("HF_TOKEN")


def test_a_cached_model_is_read_without_writing_a_byte(client, server, tmp_path):
    client.load("tiny/bert")
    client.optional("vocab.txt")
    before = {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")}
    client.load("tiny/bert")
    client.optional("vocab.txt")
    assert {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_three_processes_that_fetch_one_model_all_have_it(server, tmp_path):
    server.commit("tiny/bert", FILES | {WEIGHTS: FILES[WEIGHTS] * 500})
    server.requests.clear()
    clients = [Client(server, tmp_path / "cache") for _ in range(3)]
    for client in clients:
        client.send("load", "tiny/bert")
    for client in clients:
        assert client.receive()[1] == LOADED[1] * 500
        client.__exit__()


def test_offline_means_no_request(client, server):
    client.environment(HF_HUB_OFFLINE="1")
    try:
        with pytest.raises(ModelNotFoundError, match="HF_HUB_OFFLINE=1 forbids"):
            client.locate("tiny/bert")
        assert server.requests == []
        client.environment(HF_HUB_OFFLINE="0")
        client.load("tiny/bert")
        server.requests.clear()
        client.environment(HF_HUB_OFFLINE="1")
        assert client.load("tiny/bert") == LOADED
        with pytest.raises(ModelNotFoundError, match="'vocab.txt'.*HF_HUB_OFFLINE=1 forbids"):
            client.optional("vocab.txt")
        assert server.requests == []
    finally:
        client.forget("HF_HUB_OFFLINE")


def test_local_files_only_means_no_request(client, server):
    with pytest.raises(ModelNotFoundError, match="local_files_only=True forbids"):
        client.locate("tiny/bert", local_files_only=True)
    assert server.requests == []
    client.load("tiny/bert")
    server.requests.clear()
    assert client.load("tiny/bert", local_files_only=True) == LOADED
    assert server.requests == []
