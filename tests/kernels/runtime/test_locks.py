"""Locks around compiling: no thread waits for another in a circle, and a forked child finds none that its parent's threads hold."""

import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
from kernel_cases import environment_with

from minibert.kernels.compiler import object_cache
from minibert.kernels.compiler.call import bind
from minibert.kernels.compiler.jit import COMPILE_LOCK
from minibert.kernels.compiler.object_cache import compile_lock
from minibert.kernels.ops.activations import activate_tasks
from minibert.models.precompile import PASS_LOCK

UNIX = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
FIRST_CALL = "x = np.ones(8, np.float32); y = np.zeros_like(x); run(activate_tasks, 1, x, y, 0, 8, False, scratch=((8,),))"


@contextmanager
def held_by_a_thread(lock):
    """Another thread holds the lock for half a second, or until the block ends."""
    held, release = threading.Event(), threading.Event()

    def hold():
        with lock:
            held.set()
            release.wait(0.5)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    yield
    release.set()
    thread.join()


def status_of_child(code):
    """What a forked child ends with that runs `code`; after 10 seconds it is killed."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if code() else 1)
        finally:
            os._exit(2)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return "killed"


@pytest.mark.skipif(object_cache.fcntl is None, reason="files have no locks here")
def test_who_waits_for_the_cache_holds_no_other_lock(tmp_path, monkeypatch):
    """A thread that compiles all kernels has the cache's lock, and then needs Numba's."""
    monkeypatch.setattr(object_cache, "cache_root", lambda: tmp_path)
    waits, flock = threading.Event(), object_cache.fcntl.flock

    def reported(file, operation):
        if operation == object_cache.fcntl.LOCK_EX:
            waits.set()
        flock(file, operation)

    x, scratch = np.ones(8, np.float32), np.zeros((1, 8), np.float32)
    arguments = np.zeros(4, np.int64), (scratch,), x, np.zeros_like(x), 0, 8, False
    monkeypatch.setattr(activate_tasks, "native", {})
    caller = threading.Thread(target=bind, args=(activate_tasks, *arguments))
    with compile_lock():
        monkeypatch.setattr(object_cache.fcntl, "flock", reported)
        caller.start()
        assert waits.wait(10)
        assert COMPILE_LOCK.acquire(timeout=10)
        COMPILE_LOCK.release()
    caller.join(60)
    assert not caller.is_alive() and len(activate_tasks.native) == 1


@UNIX
@pytest.mark.parametrize("lock", [COMPILE_LOCK, PASS_LOCK], ids=["a kernel is compiled", "all kernels of a model are compiled"])
def test_a_lock_that_another_thread_held_at_a_fork_is_free_in_the_child(lock):
    def take():
        with lock:
            return True

    with held_by_a_thread(lock):
        assert status_of_child(take) == 0
        assert take()


@UNIX
@pytest.mark.skipif(object_cache.fcntl is None, reason="files have no locks here")
def test_a_child_that_was_forked_meanwhile_does_not_keep_the_cache_locked(tmp_path, monkeypatch):
    monkeypatch.setattr(object_cache, "cache_root", lambda: tmp_path)
    end, ended = os.pipe()
    with compile_lock():
        child = os.fork()
        if child == 0:
            os.close(ended)
            os.read(end, 1)  # until its parent ends the test
            os._exit(0)
    try:
        with compile_lock(on_wait=lambda: pytest.fail("it is locked")):
            pass
    finally:
        os.close(ended)
        os.close(end)
        os.waitpid(child, 0)


def test_two_first_calls_on_an_empty_cache_come_back(tmp_path):
    """A model's, which compiles all its kernels, and one of another kernel."""
    code = f"""
import threading
import numpy as np
import minibert
from minibert.kernels.ops.activations import activate_tasks
from minibert.kernels.runtime.threads import run
model = minibert.DistilBertModel(minibert.DistilBertConfig(vocab_size=50, dim=32, n_heads=1, n_layers=1, hidden_dim=64), seed=0)
first = threading.Thread(target=model, args=(np.array([[1, 2, 3]]),), daemon=True)
first.start()
{FIRST_CALL}
first.join()
"""
    environment = environment_with(NUMBA_CACHE_DIR=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
