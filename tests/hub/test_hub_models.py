"""Whole models from the hub: name in, label out, through tests/support/hub_server.py and the real client."""

import pytest
from checkpoints import make_checkpoint
from hub_client import Client
from hub_server import HubServer

from minibert import pipeline
from minibert.errors import DownloadError, WeightsError

TEXT = "a good film"


@pytest.fixture
def server(tmp_path):
    folder = make_checkpoint(tmp_path / "made")
    with HubServer() as server:
        server.commit("tiny/classifier", {path.name: path.read_bytes() for path in folder.iterdir()})
        server.answer = pipeline("text-classification", model=folder)(TEXT)
        yield server


def test_a_name_becomes_a_label_and_the_second_time_no_one_is_asked(server, tmp_path):
    with Client(server, tmp_path / "cache") as client:
        assert client.classify("tiny/classifier", TEXT) == server.answer
    server.requests.clear()
    with Client(server, tmp_path / "cache") as client:
        assert client.classify("tiny/classifier", TEXT) == server.answer
        assert not client.has_imported("huggingface_hub")
    assert server.requests == []


@pytest.mark.parametrize("filename", ["model.safetensors", "vocab.txt"])
def test_after_a_download_that_fails_the_next_gives_the_same_label(server, tmp_path, filename):
    with Client(server, tmp_path / "cache") as client:
        server.fail("GET", filename, "corrupt", times=99)
        with pytest.raises(DownloadError, match="damaged on its way"):
            client.classify("tiny/classifier", TEXT)
        server.mend()
        assert client.classify("tiny/classifier", TEXT) == server.answer


def test_a_pickle_on_the_hub_is_named_and_never_fetched(server, tmp_path):
    folder = tmp_path / "made"
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".safetensors"}
    server.commit("tiny/pickled", {**files, "pytorch_model.bin": b"\x80\x02}q\x00."})
    message = "tiny/pickled has only pytorch_model.bin, a pickle"
    with Client(server, tmp_path / "cache") as client, pytest.raises(WeightsError, match=message):
        client.classify("tiny/pickled", TEXT)
    assert not [one for one in server.requests if one.method == "GET" and "pytorch_model" in one.path]
