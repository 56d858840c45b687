"""minibert/hub.py: "1_Pooling" and its like, the one kind of folder in a model; on disk, in the cache, from the hub."""

import json

import pytest
from hub_cache import COMMIT, write_cache
from hub_client import FILES, write

from minibert.errors import DownloadError, InputError, ModelNotFoundError
from minibert.hub import locate

POOLING = "1_Pooling/config.json"


def test_a_module_of_sentence_transformers_is_a_file_in_a_folder(tmp_path, no_network):
    write(tmp_path / "mine" / "1_Pooling", {"config.json": b"pool"})
    assert locate(tmp_path / "mine").file(POOLING).read_bytes() == b"pool"
    assert locate(tmp_path / "mine").optional("2_Dense/config.json") is None and locate(tmp_path / "mine").has(POOLING)
    cached = write_cache(tmp_path, "tiny/bert", COMMIT)
    write(cached / "snapshots" / COMMIT / "1_Pooling", {"config.json": b"pool"})
    write(cached / ".no_exist" / COMMIT / "2_Dense", {"config.json": b""})
    checkpoint = locate("tiny/bert", cache_dir=tmp_path, local_files_only=True)
    assert checkpoint.file(POOLING).read_bytes() == b"pool" and checkpoint.has(POOLING)
    assert checkpoint.optional("2_Dense/config.json") is None
    write(cached / "trees", {f"{COMMIT}.json": json.dumps({"format_version": 1, "files": {POOLING: {}}}).encode()})
    assert checkpoint.optional("3_Dense/config.json") is None


@pytest.mark.parametrize(
    "filename",
    [
        "1_Pooling/",
        "1_Pooling/..",
        "1_Pooling/../config.json",
        "1_Pooling/2_Dense/config.json",
        "x/config.json",
        "/1_Pooling/config.json",
        "1_/config.json",
        "_Pooling/config.json",
        "1_Pooling\\config.json",
        "../1_Pooling/a",
        "1_Pooling//etc",
        "\n1_Pooling/a",
        "1_Pooling/\0",
    ],
)
def test_any_other_folder_is_refused(filename, tmp_path, no_network):
    for read in (locate(tmp_path).file, locate(tmp_path).optional, locate(tmp_path).has):
        with pytest.raises(InputError, match="named without a folder, other than '1_Pooling' and its like"):
            read(filename)


def test_a_module_comes_from_the_hub_whole_and_its_absence_is_remembered(client, server):
    server.commit("tiny/bert", {**FILES, POOLING: b"pool"})
    client.locate("tiny/bert")
    assert client.file(POOLING) == "pool" and client.has(POOLING) and client.optional("2_Dense/config.json") is None
    server.requests.clear()
    assert client.file(POOLING) == "pool" and client.optional("2_Dense/config.json") is None and server.requests == []
    with pytest.raises(ModelNotFoundError, match="must have a file '2_Dense/config.json'"):
        client.file("2_Dense/config.json")


def test_a_module_that_an_interrupted_download_left_damaged_is_not_read(client, server, tmp_path):
    server.commit("tiny/bert", {**FILES, POOLING: b"pool"})
    commit = client.locate("tiny/bert")
    assert client.file(POOLING) == "pool"
    folder = tmp_path / "cache" / "models--tiny--bert"
    write(folder / ".unchecked", {f"{commit}.1_Pooling.config.json": b""})
    (folder / "snapshots" / commit / POOLING).resolve().write_bytes(b"puol")
    with pytest.raises(DownloadError, match="was damaged on its way"):
        client.file(POOLING)
    assert client.file(POOLING) == "pool" and list((folder / ".unchecked").iterdir()) == []
