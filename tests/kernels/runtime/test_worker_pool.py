"""The worker pool: workers join a call, are waited for, are not waited for while they are busy, and wake up."""

import ctypes
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from concurrency import run_concurrently
from kernel_cases import environment_with

from minibert.errors import KernelError
from minibert.kernels.compiler.call import BoundCall, bind, check
from minibert.kernels.compiler.jit import jit
from minibert.kernels.runtime import threads
from minibert.kernels.runtime.capture import CommandList
from minibert.kernels.runtime.thread_count import get_num_threads, set_num_threads
from minibert.kernels.runtime.threads import THREAD
from minibert.kernels.runtime.worker_pool import ASLEEP, FREE, STATE
from minibert.kernels.simd.atomics import load_acquire, spin_hint, store_release
from minibert.kernels.simd.emit import fetch_add

SUPPORT = Path(__file__).parents[2] / "support"
MAX_WAIT = 3_000_000  # spins, some tenths of a second: then a test fails and does not hang


@jit()
def wait_for_all(counter, count):
    """Each thread waits until `count` threads are here -> its number."""
    thread, spins = fetch_add(counter[THREAD:]), 0
    while load_acquire(counter, THREAD) < count and spins < MAX_WAIT:
        spins += 1
        spin_hint(spins)
    return thread


@jit(nogil=True)
def meet(counter, done, count):
    """Each thread waits until `count` threads are here, the second some time longer, and then writes that it is done."""
    thread = wait_for_all(counter, count)
    for more in range(thread * 200_000):
        spin_hint(more)
    store_release(done, thread, load_acquire(counter, THREAD))


@jit(nogil=True)
def gather(counter, done, count):
    """Each thread waits until `count` threads are here, and then writes that they are."""
    thread = wait_for_all(counter, count)
    store_release(done, thread, load_acquire(counter, THREAD) >= count)


@jit(nogil=True)
def occupy(counter, flags):
    """The second thread sets flags[0] and stays until flags[1] is set."""
    if fetch_add(counter[THREAD:]) == 1:
        spins = 0
        store_release(flags, 0, 1)
        while load_acquire(flags, 1) == 0 and spins < 100 * MAX_WAIT:
            spins += 1
            spin_hint(spins)
    else:
        spins = 0
        while load_acquire(flags, 0) == 0 and spins < MAX_WAIT:
            spins += 1
            spin_hint(spins)


@pytest.fixture(autouse=True)
def two_threads():
    before = get_num_threads()
    set_num_threads(2)
    yield
    set_num_threads(before)


def test_kernels_here_are_native():
    """Else the tests below would use the executor of `threads.py`."""
    assert isinstance(bind(meet, np.zeros(4, np.int64), np.zeros(2, np.int64), 1), BoundCall)


def helper_joined():
    """Whether a worker took the call; one that is falling asleep at that very moment does not."""
    done = np.zeros(2, np.int64)
    threads.run(meet, 2, done, 2)
    assert done.tolist() != [2, 0]  # one that came, and was not waited for
    return done[0] == 2


def test_a_worker_joins_and_is_waited_for():
    assert sum(helper_joined() for _ in range(20)) > 10


def test_a_worker_that_is_asleep_is_woken():
    mailbox = threads.worker_pool.mailboxes[0]
    threads.run(meet, 2, np.zeros(2, np.int64), 1)
    end = time.monotonic() + 5
    while not mailbox[ASLEEP] and time.monotonic() < end:
        time.sleep(0.01)
    assert mailbox[ASLEEP] == 1 and mailbox[STATE] == FREE
    assert any(helper_joined() for _ in range(3))


def test_a_worker_that_is_busy_for_another_caller_is_not_waited_for():
    for _ in range(3):  # until the worker has come
        flags, done = np.zeros(2, np.int64), np.zeros(2, np.int64)
        caller = threading.Thread(target=threads.run, args=(occupy, 2, flags))
        caller.start()
        while not flags[0] and caller.is_alive():
            time.sleep(0.001)
        if flags[0]:
            break
    threads.run(meet, 2, done, 1)
    assert done.tolist() == [1, 0] and caller.is_alive()
    flags[1] = 1
    caller.join(10)
    assert not caller.is_alive()


def test_eight_callers_at_once_get_their_own_results():
    wrong = []

    def call(_):
        for _ in range(200):
            done = np.zeros(2, np.int64)
            threads.run(meet, 2, done, 1)
            if done[0] == 0:
                wrong.append(done.tolist())

    run_concurrently(call, 8)
    assert not wrong


def test_a_call_has_as_many_threads_as_are_allowed():
    """More than the bits of a word: each of these waits until all others have come."""
    code = """
import numpy as np
from test_worker_pool import gather
from minibert.kernels.runtime import threads
from minibert.kernels.runtime.thread_count import set_num_threads
set_num_threads(80)
for _ in range(3):
    done = np.zeros(80, np.int64)
    threads.run(gather, 80, done, 80)
    if done.all():
        break
assert threads.worker_pool.count == 79 and done.all(), done
"""
    path = os.pathsep.join([str(Path(__file__).parent), str(SUPPORT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run([sys.executable, "-c", code], env=environment_with(PYTHONPATH=path), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_bad_status_is_an_error():
    check(0)
    check(-2)
    with pytest.raises(KernelError, match=r"a compiled kernel raised an exception \(Numba's status 1\)"):
        check(1)


@pytest.mark.parametrize("status", [1, -1])
def test_a_bad_status_ends_a_command_list_and_is_its_error(status):
    """Functions of this process stand in for kernels."""
    returned = []

    class FakeCall:
        def __init__(self, result):
            self.entry = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p)(lambda args: returned.append(result) or result)
            self.addresses = ctypes.cast(self.entry, ctypes.c_void_p).value, 0

    with pytest.raises(KernelError, match=rf"status {status}\)"):
        threads.run_parallel(CommandList([(FakeCall(result), 0) for result in (0, -2, status, 0)]))
    assert returned == [0, -2, status]
