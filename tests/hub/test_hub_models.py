"""Whole models from the hub: name in, label out, through tests/support/hub_server.py and the real client."""

import pytest
from checkpoints import make_checkpoint
from hostile_torch_files import HOSTILE
from hub_client import WEIGHTS, Client
from hub_server import HubServer
from torch_files import to_bin

from minibert import hub, pipeline
from minibert.errors import DownloadError, ModelNotFoundError, WeightsError

PICKLE = "pytorch_model.bin"

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


# --- Repositories without safetensors --------------------------------------------------------------------------------

BOT, TITLE = "SFconvertbot", "Adding `safetensors` variant of this model"


@pytest.fixture
def pickled(server, tmp_path):
    """The repository tiny/pickled, which has pytorch_model.bin; and the weights that a conversion adds."""
    folder = tmp_path / "made"
    weights = {WEIGHTS: (folder / WEIGHTS).read_bytes()}
    to_bin(folder)
    server.commit("tiny/pickled", {path.name: path.read_bytes() for path in folder.iterdir()})
    return weights


def fetched(server):
    """The files of weights that were downloaded."""
    names = [one.path.rpartition("/")[2] for one in server.requests if one.method == "GET" and "/resolve/" in one.path]
    return [name for name in names if name in (WEIGHTS, PICKLE)]


def requests_of_proposals(server):
    return [one for one in server.requests if one.path.startswith("/api/")]


def test_a_repository_of_a_pickle_is_read_and_the_second_time_no_one_is_asked(server, pickled, tmp_path):
    for count in (1, 0):
        with Client(server, tmp_path / "cache") as client:
            assert client.classify("tiny/pickled", TEXT) == server.answer
            assert client.has_imported("huggingface_hub") == bool(count)
        assert fetched(server) == [PICKLE] * count
        assert bool(server.requests) == bool(count)
        server.requests.clear()


def test_a_ready_conversion_is_used_and_the_pickle_stays_on_the_hub(server, pickled, tmp_path):
    server.propose("tiny/pickled", pickled, BOT, TITLE)
    with Client(server, tmp_path / "cache") as client:
        assert client.classify("tiny/pickled", TEXT) == server.answer
    assert not [one for one in server.requests if PICKLE in one.path]
    assert {one.method for one in requests_of_proposals(server)} == {"GET"}
    server.requests.clear()
    for variables in ({}, {"HF_HUB_OFFLINE": "1"}):
        with Client(server, tmp_path / "cache", **variables) as client:
            assert client.classify("tiny/pickled", TEXT) == server.answer
            assert not client.has_imported("huggingface_hub")
    assert server.requests == []
    assert [(model.name, model.complete) for model in hub.cached_models(tmp_path / "cache") if model.complete] == [
        ("tiny/pickled", True)
    ]


@pytest.mark.parametrize(
    "author, title, status", [("someone", TITLE, "open"), (BOT, "Another one", "open"), (BOT, TITLE, "closed")]
)
def test_only_the_bots_open_pull_request_counts(author, title, status, server, pickled, tmp_path):
    server.propose("tiny/pickled", {WEIGHTS: b"not the same weights"}, author, title, status)
    with Client(server, tmp_path / "cache") as client:
        assert client.classify("tiny/pickled", TEXT) == server.answer
    assert PICKLE in fetched(server)


def test_a_conversion_of_an_older_commit_does_not_count(server, pickled, tmp_path):
    server.propose("tiny/pickled", {WEIGHTS: b"of other weights"}, BOT, TITLE)
    _, files = server.find("tiny/pickled", "main")
    server.commit("tiny/pickled", {**files, "README.md": b"new"})
    with Client(server, tmp_path / "cache") as client:
        assert client.classify("tiny/pickled", TEXT) == server.answer
    assert PICKLE in fetched(server)


@pytest.mark.parametrize("fault", [404, 500, "drop", "cut"])
@pytest.mark.parametrize("request_of", ["discussions", "refs%2Fpr%2F1"])
def test_where_conversions_cannot_be_asked_for_the_pickle_is_read(request_of, fault, server, pickled, tmp_path):
    server.propose("tiny/pickled", pickled, BOT, TITLE)
    server.fail("GET", request_of, fault, times=99)
    with Client(server, tmp_path / "cache") as client:
        assert client.classify("tiny/pickled", TEXT) == server.answer
    assert PICKLE in fetched(server)


@pytest.mark.parametrize("how", ["local_files_only", "HF_HUB_OFFLINE"])
def test_a_conversion_is_never_looked_for_offline(how, server, pickled, tmp_path):
    with Client(server, tmp_path / "cache") as client:
        client.classify("tiny/pickled", TEXT)
    server.propose("tiny/pickled", pickled, BOT, TITLE)
    server.requests.clear()
    options = {"local_files_only": True} if how == "local_files_only" else {}
    with Client(server, tmp_path / "cache", **({} if options else {how: "1"})) as client:
        assert client.classify("tiny/pickled", TEXT, **options) == server.answer
        (commit,) = (tmp_path / "cache" / "models--tiny--pickled" / "snapshots").iterdir()
        (commit / PICKLE).unlink()
        with pytest.raises(ModelNotFoundError, match="forbids asking the hub"):
            client.classify("tiny/pickled", TEXT, **options)
    assert server.requests == []


def test_a_hostile_pickle_on_the_hub_is_one_error(server, pickled, tmp_path):
    _, files = server.find("tiny/pickled", "main")
    server.commit("tiny/pickled", {**files, PICKLE: HOSTILE["zip: os.system"][0]})
    with Client(server, tmp_path / "cache") as client, pytest.raises(WeightsError, match="its pickle names os.system"):
        client.classify("tiny/pickled", TEXT)
