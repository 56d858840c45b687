"""A Ray cluster on this machine's loopback: nodes that are processes, workers that can be killed, nothing left behind."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

from paths import ROOT

RUN = "MINIBERT_TEST_RUN"  # in the environment of every process that a test starts, and of what these start
NODE = "MINIBERT_TEST_NODE"  # the same of a node of a cluster
OBJECT_STORE_BYTES = 80 << 20


@contextmanager
def ray_environment():
    """Environment variables for Ray: a token, a folder and a mark of its own. No marked process is left after it."""
    folder = tempfile.mkdtemp(prefix="ray")  # a short path: sockets are in it, whose names have 107 bytes at most
    changes = {
        "RAY_TMPDIR": folder,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": os.urandom(16).hex(),
        "PYTHONPATH": str(ROOT),
        RUN: folder,
    }
    before = dict(os.environ)
    os.environ.update(changes)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        wait_for(lambda: not marked_processes(RUN, folder), 60)
        left = {pid: command_of(pid) for pid in marked_processes(RUN, folder)}
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)
        assert not left


class RayCluster:
    """Nodes of a CPU each. Each is processes that `ray start` leaves behind."""

    def __init__(self, address):
        self.address, self.nodes = address, 0

    def add_node(self, env=None):
        self.nodes += 1
        head = self.nodes == 1
        port = self.address.partition(":")[2]
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--num-cpus=1", "--node-ip-address=127.0.0.1"]
        command += ["--head", f"--port={port}", "--include-dashboard=false"] if head else [f"--address={self.address}"]
        command += [f"--object-store-memory={OBJECT_STORE_BYTES}", "--disable-usage-stats"]
        environment = {**os.environ, NODE: str(self.nodes), **(env or {})}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stdout + done.stderr
        return self.nodes

    def kill_node(self, number):
        """As if its machine had lost its power."""
        while pids := marked_processes(NODE, str(number)):  # again: one may have started another meanwhile
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)


@contextmanager
def ray_cluster(nodes=2):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    cluster = RayCluster(f"127.0.0.1:{port}")
    try:
        for _ in range(nodes):
            cluster.add_node()
        yield cluster
    finally:
        for number in reversed(range(1, cluster.nodes + 1)):
            cluster.kill_node(number)


def start(*arguments, **options):
    """`minibert` with these arguments, as a process that can be killed."""
    command = [sys.executable, "-m", "minibert", *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **options.pop("env", {})}, **options)


def finish(child, timeout=300):
    """Wait for a process -> its status, and its own lines on stderr; Ray has more to say."""
    try:
        _, err = child.communicate(timeout=timeout)
    finally:
        child.kill()
    return child.returncode, [line for line in err.splitlines() if line.startswith("minibert: ")]


def marked_processes(variable, value, name=""):
    """Ids of the processes with an environment variable whose names begin with `name`; not this one."""
    pids = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                environment = Path(entry.path, "environ").read_bytes()
                command = Path(entry.path, "cmdline").read_bytes()
            except OSError:  # it has ended, or is another user's
                continue
            if f"{variable}={value}".encode() in environment.split(b"\0") and command.startswith(name.encode()):
                pids.append(int(entry.name))
    return pids


def command_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def workers():
    """Ids of the actors of Ray Data in the cluster of this environment."""
    return marked_processes(RUN, os.environ[RUN], "ray::MapWorker")


def wait_for(condition, seconds=240):
    """Whether a condition becomes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
