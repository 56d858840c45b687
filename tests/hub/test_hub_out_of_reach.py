"""A hub that cannot be reached is one error, soon; one that is slow or overloaded is waited for.

The hub is tests/support/hub_server.py. The client is the real one, in the process of tests/support/hub_client.py.
"""

import time

import pytest
from hub_client import CONFIG, FILES, LOADED, Client
from hub_server import HubServer

from minibert import _connection
from minibert.errors import DownloadError

NO_SUCH_NAME = """
import socket
def fail(*arguments, **options):
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
socket.getaddrinfo = fail
"""
HANGING = """
import time, socket
sleep = time.sleep
def hang(connection, address):
    sleep(connection.gettimeout() or 20)
    raise TimeoutError("timed out")
socket.socket.connect = hang
"""
LOOKING_UP_FOR_EVER = """
import time, socket
sleep = time.sleep
socket.getaddrinfo = lambda *arguments, **options: sleep(20)
"""


@pytest.fixture
def server():
    with HubServer({"tiny/bert": FILES}) as server:
        yield server


class Hub:
    """Where there is none."""

    def __init__(self, url):
        self.url = url


def refused(tmp_path, url, **variables):
    """What the error says, how many seconds it takes once the client is imported, and what else is printed."""
    log = tmp_path / "log"
    with log.open("w") as stderr, Client(Hub(url), tmp_path / "cache", stderr=stderr, **variables) as client:
        client.has_imported("minibert")
        begin = time.monotonic()
        with pytest.raises(DownloadError) as caught:
            client.locate("tiny/bert")
        seconds = time.monotonic() - begin
    return str(caught.value), seconds, log.read_text()


def test_a_refused_connection_is_one_error_that_names_three_ways_out(server, tmp_path):
    server.__exit__()
    message, seconds, log = refused(tmp_path, server.url)
    assert f"'config.json' of 'tiny/bert' is not in the cache, and {server.url} cannot be reached: Connection ref" in message
    for way in ("a folder, written './bert'", "a bundled model, 'minibert-sst2'", f"HF_HUB_OFFLINE=1 .*{tmp_path / 'cache'}"):
        assert way.partition(" .*")[0] in message and way.rpartition(".*")[2] in message
    assert seconds < 3 and log == ""


def test_a_name_that_cannot_be_looked_up_is_named(tmp_path):
    message, seconds, log = refused(tmp_path, "https://hub.invalid", CLIENT_BEGINS_WITH=NO_SUCH_NAME)
    assert "cannot be reached: the look-up of the name 'hub.invalid' failed (Name or service not known)." in message
    assert seconds < 3 and log == ""


@pytest.mark.parametrize("fake", [HANGING, LOOKING_UP_FOR_EVER], ids=["connection", "name look-up"])
def test_what_hangs_has_the_time_of_the_clients_own_variable(fake, tmp_path):
    message, seconds, log = refused(tmp_path, "http://192.0.2.1", HF_HUB_ETAG_TIMEOUT="1", CLIENT_BEGINS_WITH=fake)
    assert "http://192.0.2.1 cannot be reached: no connection within 1 s." in message
    assert 1 <= seconds < 8 and log == ""


def test_a_server_that_does_not_speak_tls_is_out_of_reach_too(server, tmp_path):
    message, seconds, log = refused(tmp_path, server.url.replace("http", "https"))
    assert "cannot be reached: [SSL" in message and seconds < 3 and log == ""


def test_a_proxy_is_what_is_connected_to(server, tmp_path):
    proxies = {"HTTP_PROXY": server.url, "http_proxy": server.url, "NO_PROXY": "", "no_proxy": ""}
    with Client(Hub("http://hub.invalid"), tmp_path, **proxies) as client:
        assert client.load("tiny/bert") == LOADED  # the proxy's answers
    server.__exit__()
    port = server.url.rpartition(":")[2]
    proxies |= dict.fromkeys(("HTTP_PROXY", "http_proxy"), f"http://me:secret@127.0.0.1:{port}")
    message, seconds, log = refused(tmp_path, "http://hub.invalid", **proxies)
    assert f"Connection refused; the environment names a proxy, 127.0.0.1:{port}." in message
    assert "secret" not in message and seconds < 3 and log == ""


def test_variables_that_the_client_cannot_read_are_one_error_too(server, tmp_path):
    message, _, _ = refused(tmp_path, server.url, HF_HUB_ETAG_TIMEOUT="soon")
    assert "huggingface_hub, which downloads models, cannot be imported: " in message and "HF_* variables" in message
    message, _, _ = refused(tmp_path, server.url, ALL_PROXY="nonsense://x", all_proxy="nonsense://x", NO_PROXY="", no_proxy="")
    assert "could not be fetched" in message


@pytest.mark.parametrize("variables, seconds", [({}, 4.0), ({"HF_HUB_ETAG_TIMEOUT": "1"}, 2.5)], ids=["late", "too late"])
def test_a_server_that_is_slow_is_waited_for(variables, seconds, server, tmp_path):
    server.fail("HEAD", CONFIG, seconds, times=1 if seconds > 3 else 2)  # the first asks whether it is there
    with Client(server, tmp_path, **variables) as client:
        assert client.load("tiny/bert") == LOADED


def test_a_slow_download_is_waited_for(server, tmp_path):
    server.fail("GET", CONFIG, 4.0)
    with Client(server, tmp_path, HF_HUB_ETAG_TIMEOUT="1") as client:
        assert client.load("tiny/bert") == LOADED


def test_a_server_that_fails_three_times_gets_the_clients_retries(server, tmp_path):
    server.fail("HEAD", CONFIG, 503, times=3)
    with Client(server, tmp_path) as client:
        assert client.load("tiny/bert") == LOADED


def test_a_hub_that_was_there_is_not_asked_again_for_each_file(server, tmp_path):
    with Client(server, tmp_path) as client:
        client.load("tiny/bert")
    assert [request.method for request in server.requests] == ["HEAD", "HEAD", "GET", "HEAD", "GET"]


def test_a_cached_model_is_located_without_the_hub(server, tmp_path):
    with Client(server, tmp_path) as client:
        client.load("tiny/bert")
    server.__exit__()
    with Client(server, tmp_path, CLIENT_BEGINS_WITH=NO_SUCH_NAME) as client:
        assert client.load("tiny/bert") == LOADED


def test_addresses_are_tried_together_when_the_clients_connection_hangs(server, monkeypatch):
    monkeypatch.setattr(_connection, "SHORT", 0.5)
    assert _connection._accepts_connections(server.url)
    server.__exit__()
    assert not _connection._accepts_connections(server.url)
    for url in ("nonsense", "http://a:b/", "ftp://" + "x" * 300 + ".invalid"):
        assert not _connection._accepts_connections(url)
