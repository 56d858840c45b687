"""What tests of the hub share: a server that stands in for it, the real client, and a network that nobody may use."""

import pytest
from hub_client import FILES, Client
from hub_server import HubServer

from minibert import hub


@pytest.fixture(scope="module")
def running_server():
    with HubServer() as server:
        yield server


@pytest.fixture(scope="module")
def running_client(running_server, tmp_path_factory):
    with Client(running_server, tmp_path_factory.mktemp("cache")) as client:
        yield client


@pytest.fixture
def server(running_server):
    running_server.mend()
    running_server.commit("tiny/bert", FILES)
    running_server.requests.clear()
    return running_server


@pytest.fixture
def client(running_client, server, tmp_path):
    running_client.environment(HF_HUB_CACHE=str(tmp_path / "cache"))
    return running_client


@pytest.fixture
def no_network(monkeypatch):
    """Whoever asks the hub fails the test."""

    def refuse(*arguments, **options):
        raise AssertionError("the hub was asked")

    monkeypatch.setattr(hub._download, "download", refuse)
