"""`minibert verify`: what has changed in the cache since it was downloaded. The hub is tests/support/hub_server.py."""

import hashlib
import shlex
import subprocess
from pathlib import Path

import pytest
from hub_cache import COMMIT, OTHER_COMMIT
from hub_client import CONFIG, FILES, LOADED, WEIGHTS, Client, write
from hub_server import HubServer

from minibert.errors import InputError, InputTypeError, ModelNotFoundError
from minibert.verify import verify


def link(cache, commit, files, name="tiny/bert"):
    """A cache as the client leaves it: blobs named by their hashes, and links to them."""
    repository = cache / f"models--{name.replace('/', '--')}"
    for filename, content in files.items():
        sha256 = hashlib.sha256(content).hexdigest()
        git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        blob = write(repository / "blobs", {sha256 if filename == WEIGHTS else git: content})
        path = repository / "snapshots" / commit / filename
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(blob / (sha256 if filename == WEIGHTS else git))
    return write(repository / "refs", {"main": commit.encode()}).parent


def flip_a_bit(path):
    content = path.read_bytes()
    path.resolve().write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def statuses(cache, **options):
    return {(file.filename, file.commit): file.status for file in verify("tiny/bert", cache_dir=cache, **options)}


def test_a_bit_that_flips_in_a_cached_file_is_named_and_replaced_as_the_command_says(run, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with HubServer({"tiny/bert": FILES}) as server, Client(server, tmp_path) as client:
        commit = client.locate("tiny/bert")
        client.load("tiny/bert")
        intact = [f"{filename}\t{commit[:12]}\tok" for filename in sorted(FILES)]
        assert run("verify", "tiny/bert") == run("verify", "tiny/bert", "--revision", "main") == (0, intact, [])
        path = tmp_path / "models--tiny--bert" / "snapshots" / commit / WEIGHTS
        for damage in (flip_a_bit, lambda path: path.resolve().unlink()):
            damage(path)
            status, out, err = run("verify", "tiny/bert")
            assert status == 1 and len(out) == 2 and len(err) == 1 and out[0] == intact[0]
            assert f"these must be replaced: {WEIGHTS} (" in err[0] and CONFIG not in err[0]
            subprocess.run(shlex.split(err[0].partition("load the model again: ")[2]), check=True)
            assert client.load("tiny/bert") == LOADED
            assert run("verify", "tiny/bert") == (0, intact, [])


def test_every_commit_is_compared_or_the_one_of_a_revision(tmp_path):
    link(tmp_path, COMMIT, FILES)
    link(tmp_path, OTHER_COMMIT, {CONFIG: b"other", "1_Pooling/config.json": b"{}"})
    expected = {
        (CONFIG, COMMIT): "ok",
        (WEIGHTS, COMMIT): "ok",
        (CONFIG, OTHER_COMMIT): "ok",
        ("1_Pooling/config.json", OTHER_COMMIT): "ok",
    }
    assert statuses(tmp_path) == expected
    assert set(statuses(tmp_path, revision="main")) == {pair for pair in expected if pair[1] == OTHER_COMMIT}
    assert set(statuses(tmp_path, revision=COMMIT)) == {pair for pair in expected if pair[1] == COMMIT}
    flip_a_bit(tmp_path / "models--tiny--bert" / "snapshots" / OTHER_COMMIT / "1_Pooling" / "config.json")
    assert statuses(tmp_path) == {**expected, ("1_Pooling/config.json", OTHER_COMMIT): "damaged"}


def test_a_file_without_a_hash_is_not_taken_for_a_whole_one(run, tmp_path, monkeypatch):
    snapshot = link(tmp_path, COMMIT, {CONFIG: b"{}"}) / "snapshots" / COMMIT
    write(snapshot, {"vocab.txt": b"a file system without links"})
    tagged = write(tmp_path / "models--tiny--bert" / "blobs", {"a-tag": b"a mirror's"}) / "a-tag"
    (snapshot / "tagged").symlink_to(tagged)
    (snapshot / "gone").symlink_to(tmp_path / "models--tiny--bert" / "blobs" / ("c" * 40))
    assert statuses(tmp_path) == {
        (CONFIG, COMMIT): "ok",
        ("vocab.txt", COMMIT): "no hash",
        ("tagged", COMMIT): "no hash",
        ("gone", COMMIT): "missing",
    }
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    status, _, err = run("verify", "tiny/bert")
    assert status == 1 and "of 4 files these must be replaced: gone (missing). Delete" in err[0]


@pytest.mark.parametrize(
    "name, error, message",
    [
        ("minibert-sst2", InputError, "'minibert-sst2' is a folder or bundled, without any"),
        (str(Path(__file__).parent), InputError, "is a folder or bundled"),
        ("./nowhere", ModelNotFoundError, "there is no folder './nowhere'"),
        ("tiny/bert", ModelNotFoundError, "'tiny/bert' is not in the cache"),
        ("a b", InputError, "a model on the hub is named"),
        ("a\0b", InputError, "a model's name must have a character, and none that is NUL"),
        (None, InputTypeError, "a model is named by a string"),
    ],
)
def test_what_cannot_be_compared_says_why(name, error, message, tmp_path):
    with pytest.raises(error, match=message):
        list(verify(name, cache_dir=tmp_path))


def test_a_revision_that_is_not_cached_is_named(tmp_path):
    link(tmp_path, COMMIT, FILES)
    for revision in ("v9", OTHER_COMMIT):
        with pytest.raises(ModelNotFoundError, match=f"'tiny/bert' .revision '{revision}'. is not in the cache"):
            list(verify("tiny/bert", revision=revision, cache_dir=tmp_path))
