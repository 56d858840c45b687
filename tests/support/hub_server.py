"""A stand-in for the Hugging Face hub: a local server that speaks as much of its protocol as a download needs.

    with HubServer({"tiny/bert": {"config.json": b"{}", "model.safetensors": weights}}) as server:
        ...                                              # a client whose HF_ENDPOINT is server.url
        server.commit("tiny/bert", {"config.json": b"{}"})            # the branch moves; returns the new commit
        server.fail("GET", "model.safetensors", "cut", times=1)       # the next such request goes wrong
        server.requests                                  # what was asked, in order

What the hub does, it does: a file's address holds its revision; each answer names the commit; `*.safetensors` are large
files, whose answer is a redirection to a storage host of another name (localhost for 127.0.0.1) that wants no token;
`Range` resumes; what is missing has an `X-Error-Code`; a renamed repository is a relative redirection.

The faults: a status (503), seconds that the answer takes (4.0), or one of
    "drop"       the connection closes without an answer
    "cut"        the answer ends in the middle
    "reset"      the connection is reset in the middle
    "short"      half of the file, and its length says so
    "long"       more than the file, and its length says so
    "corrupt"    one bit is wrong
    "no length"  the answer does not say how long the file is

`server.propose(...)` opens a pull request, which `/api/models/NAME/discussions` and `/commits/refs%2Fpr%2FN` tell of.
"""

import hashlib
import json
import re
import socket
import struct
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import unquote, urlsplit


class Request(NamedTuple):
    method: str
    path: str  # unquoted, without the query
    token: str | None


@dataclass
class Fault:
    method: str
    filename: str
    what: str | int | float
    times: int


class HubServer:
    """Serves `{repository: {filename: bytes}}` at `url` while the `with` block runs."""

    def __init__(self, repositories=()):
        self.requests = []
        self.guards = {}  # repository -> (X-Error-Code for those it keeps out, the token that lets in)
        self.renamed = {}  # old name -> new name
        self.proposals = {}  # repository -> what the hub tells of its pull requests
        self.parents = {}  # a pull request's commit -> the commit that it begins from
        self._faults = []
        self._commits = {}  # repository -> {commit: {filename: bytes}}
        self._revisions = {}  # repository -> {branch: commit}
        self._large = {}  # sha256 -> (filename, bytes)
        self._http = _HttpServer(("127.0.0.1", 0), _Handler)
        self._http.hub = self
        for name, files in dict(repositories).items():
            self.commit(name, files)

    def __enter__(self):
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *exception):
        self._http.shutdown()
        self._http.server_close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._http.server_port}"

    @property
    def storage_url(self):
        return f"http://localhost:{self._http.server_port}"

    def commit(self, name, files, revision="main"):
        """Make `files` the content of a repository at a branch, a tag or "refs/pr/1"; returns the commit."""
        commits = self._commits.setdefault(name, {})
        commit = hashlib.sha1(f"{name} {len(commits)}".encode()).hexdigest()
        commits[commit] = dict(files)
        self._revisions.setdefault(name, {})[revision] = commit
        for filename, content in files.items():
            self._large[hashlib.sha256(content).hexdigest()] = filename, content
        return commit

    def propose(self, name, files, author, title, status="open"):
        """A pull request that adds `files` to what main has now; returns its commit."""
        pull_request = len(self.proposals.setdefault(name, [])) + 1
        parent, existing = self.find(name, "main")
        commit = self.commit(name, {**existing, **files}, f"refs/pr/{pull_request}")
        self.parents[commit] = parent
        about = {"num": pull_request, "author": {"name": author}, "title": title, "status": status, "isPullRequest": True}
        self.proposals[name].append(about)
        return commit

    def guard(self, name, code, token):
        """Keep out whoever does not send the token: as if there were nothing ("RepoNotFound"), or "GatedRepo"."""
        self.guards[name] = code, token

    def rename(self, old, new):
        self._commits[new], self._revisions[new] = self._commits.pop(old), self._revisions.pop(old)
        self.renamed[old] = new

    def fail(self, method, filename, what, times=1):
        """Let the next `times` requests of this method for this file go wrong."""
        self._faults.append(Fault(method, filename, what, times))

    def mend(self):
        """Forget the faults that are still to come."""
        self._faults.clear()

    def next_fault(self, method, filename):
        for fault in self._faults:
            if (fault.method, fault.filename) == (method, filename) and fault.times > 0:
                fault.times -= 1
                return fault.what
        return None

    def find(self, name, revision):
        """The commit and the files of a revision; KeyError when there is none."""
        commit = self._revisions[name].get(revision, revision)
        return commit, self._commits[name][commit]


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True

    def shutdown_request(self, request):
        """Close without the farewell that would turn a reset into an ordinary end."""
        self.close_request(request)

    def handle_error(self, request, client_address):
        """A client that has had enough closes the connection: no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        """The requests are in a list; standard error stays quiet."""

    def do_HEAD(self):
        path = urlsplit(self.path).path
        token = (self.headers["Authorization"] or "").removeprefix("Bearer ") or None
        self.server.hub.requests.append(Request(self.command, unquote(path), token))
        name, _, file = path[1:].partition("/resolve/")
        if name.startswith("storage/"):
            filename, content = self.server.hub._large[name.removeprefix("storage/")]
            self._answer(filename, self._send_file, content, {})
        elif "/" in file:  # a "/" of the revision's own is written %2F
            revision, filename = map(unquote, file.split("/", 1))
            self._answer(filename, self._resolve, name, revision, filename, token)
        elif name.startswith("api/models/"):
            self._answer(name.rpartition("/")[2], self._describe, name.removeprefix("api/models/"))
        else:
            self._send(404, {})

    do_GET = do_HEAD

    def _describe(self, path, fault):
        """NAME/discussions and NAME/commits/REVISION, as far as a client asks for conversions."""
        name, _, revision = unquote(path).partition("/commits/")
        hub = self.server.hub
        if revision:
            commit, _ = hub.find(name, revision)
            history = filter(None, (commit, hub.parents.get(commit)))
            return self._send_json([{"id": each, "title": "", "authors": []} for each in history], fault)
        return self._send_json({"discussions": hub.proposals.get(name.removesuffix("/discussions"), [])}, fault)

    def _send_json(self, content, fault):
        self._send(200, {"Content-Type": "application/json"}, json.dumps(content).encode(), cut=fault == "cut")

    def _answer(self, filename, send, *arguments):
        fault = self.server.hub.next_fault(self.command, filename)
        if isinstance(fault, int):
            self._send(fault, {})
        elif fault == "drop":
            self.close_connection = True
        elif isinstance(fault, float):
            time.sleep(fault)
            send(*arguments, None)
        else:
            send(*arguments, fault)

    def _resolve(self, name, revision, filename, token, fault):
        hub = self.server.hub
        if name in hub.renamed:
            return self._send(307, {"Location": self.path.replace(name, hub.renamed[name], 1)})
        if name not in hub._commits:
            return self._send(401, {"X-Error-Code": "RepoNotFound"})
        code, required = hub.guards.get(name, (None, None))
        if code and token != required:
            return self._send(403 if code == "GatedRepo" else 401, {"X-Error-Code": code})
        try:
            commit, files = hub.find(name, revision)
        except KeyError:
            return self._send(404, {"X-Error-Code": "RevisionNotFound"})
        headers = {"X-Repo-Commit": commit}
        if filename not in files:
            return self._send(404, headers | {"X-Error-Code": "EntryNotFound"})
        content = files[filename]
        if not filename.endswith(".safetensors"):
            git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            return self._send_file(content, headers | {"ETag": f'"{git}"'}, fault)
        digest = hashlib.sha256(content).hexdigest()
        headers |= {"X-Linked-Etag": f'"{digest}"', "Location": f"{hub.storage_url}/storage/{digest}"}
        return self._send(302, headers if fault == "no length" else headers | {"X-Linked-Size": str(len(content))})

    def _send_file(self, content, headers, fault):
        if fault == "corrupt":
            content = content[:-1] + bytes([content[-1] ^ 1])
        content = {"short": content[: len(content) // 2], "long": content + b"more"}.get(fault, content)
        status, start = 200, 0
        if byte_range := re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or ""):
            status, start = 206, int(byte_range[1])
            headers = headers | {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
        body = content[start:]
        self._send(status, headers, body, has_length=fault != "no length", cut=fault in ("cut", "reset"))
        if fault == "reset":  # closing with unsent data "lingering" for no time sends RST
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _send(self, status, headers, body=b"", has_length=True, cut=False):
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        if has_length:
            self.send_header("Content-Length", str(len(body)))
        if cut or not has_length:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[: len(body) // 2] if cut else body)
