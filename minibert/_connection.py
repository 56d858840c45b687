"""Whether a server can be connected to, known before a client begins its retries.

huggingface_hub tries a request six times when its connection fails, and waits 23 s in between. That is right for a
server that is slow or overloaded, and wrong where there is none. So one request without retries goes first, through the
client's own session: its proxies, certificates and time-outs are those of the download.

    no such name, connection refused, bad certificate    a reason, at once
    no connection within the time-out                    a reason, then
    any answer, a late one, or one that breaks off       None: the client's retries are for that

Read next: minibert/_download.py, which asks.
"""

import socket
import ssl
import threading
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

PORTS = defaultdict(lambda: 1080, {"http": 80, "https": 443})  # 1080: SOCKS
SHORT = 2  # seconds for a connection of our own, once the client's has taken all its time


def connection_problem(get_session: Callable[[], Any], url: str, timeout: float) -> str | None:
    """Why nothing can connect to the server of `url`, or None. `get_session` returns a session of httpx or requests."""
    errors = []

    def ask() -> None:
        try:
            get_session().head(url, timeout=timeout)
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=ask, daemon=True, name="minibert: is the hub there?")
    thread.start()
    thread.join(min(timeout, threading.TIMEOUT_MAX))
    # A host with many addresses gets a time-out each, and a name look-up has none.
    if thread.is_alive() and not _accepts_connections(url):
        return f"no connection within {timeout:g} s{_proxy_hint(url)}"
    thread.join()
    if errors and _is_about_connecting(errors[0]):
        return _reason(errors[0], url, timeout) + _proxy_hint(url)
    return None


def _is_about_connecting(error: Exception) -> bool:
    """By the names of httpx's and requests' errors. requests' ConnectionError is of a connection that broke off, too."""
    name = type(error).__name__
    if name == "ConnectionError" and error.args:
        return type(error.args[0]).__name__ == "MaxRetryError"
    return name in ("ConnectError", "ConnectTimeout", "ProxyError", "SSLError")


def _reason(error: BaseException, url: str, timeout: float) -> str:
    """What the system said, which lies below the library's error and that of the library below it."""
    if type(error).__name__ == "ConnectTimeout":
        return f"no connection within {timeout:g} s"
    root = error
    while (below := error.__cause__ or error.__context__) is not None:
        error = below
        root = error if isinstance(error, OSError) and error.strerror else root
    if isinstance(root, socket.gaierror):
        return f"the look-up of the name {urlsplit(url).hostname!r} failed ({root.strerror})"
    if isinstance(root, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted ({root.verify_message or root.strerror})"
    reason = getattr(root, "strerror", None) or str(root).strip() or type(root).__name__
    return reason.splitlines()[0].rstrip(".")


def _accepts_connections(url: str) -> bool:
    """Whether the server, or a proxy for it, can be connected to at one of its addresses at least."""
    connected = threading.Event()

    def connect(server: str, family: int) -> None:
        with suppress(OSError, ValueError):  # ValueError: what is no URL
            parts = urlsplit(server)
            port = parts.port or PORTS[parts.scheme]
            family, type_, protocol, _, address = socket.getaddrinfo(parts.hostname, port, family, socket.SOCK_STREAM)[0]
            with socket.socket(family, type_, protocol) as connection:
                connection.settimeout(SHORT)
                connection.connect(address)
                connected.set()

    for server in filter(None, (url, _proxy_for(url))):
        for family in (socket.AF_INET, socket.AF_INET6):
            threading.Thread(target=connect, args=(server, family), daemon=True).start()
    return connected.wait(SHORT)


def _proxy_for(url: str) -> str:
    """The proxy that the environment or the system names for a URL, or ""."""
    parts, proxies = urlsplit(url), getproxies()
    if not parts.hostname or proxy_bypass(parts.hostname):
        return ""
    proxy = proxies.get(parts.scheme) or proxies.get("all") or ""
    return proxy if "://" in proxy or not proxy else f"http://{proxy}"


def _proxy_hint(url: str) -> str:
    proxy = _proxy_for(url).partition("://")[2].rpartition("@")[2]  # without the password
    return f"; the environment names a proxy, {proxy.rstrip('/')}" if proxy else ""
