"""Helpers that watch a box: they join, are waited for, are not waited for when they are busy, and wake up."""

import ctypes
import threading
import time

import numpy as np
import pytest
from callers import at_the_same_time

from minibert.errors import KernelError
from minibert.kernels.compiler.call import BoundCall, bind, check
from minibert.kernels.compiler.jit import jit
from minibert.kernels.runtime import threads
from minibert.kernels.runtime.thread_count import get_num_threads, set_num_threads
from minibert.kernels.runtime.worker_pool import ASLEEP, FREE, STATE, Program, load_acquire, spin_hint, store_release
from minibert.kernels.simd.emit import fetch_add

LONG = 3_000_000  # turns, some tenths of a second: then a test fails and does not hang


@jit(nogil=True)
def meet(counter, done, wanted):
    """Each thread waits until so many are here, the second some time longer, and then says that it is done."""
    own, turn = fetch_add(counter[1:]), 0
    while load_acquire(counter, 1) < wanted and turn < LONG:
        turn += 1
        spin_hint(turn)
    for more in range(own * 200_000):
        spin_hint(more)
    store_release(done, own, load_acquire(counter, 1))


@jit(nogil=True)
def hold(counter, flags):
    """The second thread says that it is here, and stays until it is let go."""
    if fetch_add(counter[1:]) == 1:
        turn = 0
        store_release(flags, 0, 1)
        while load_acquire(flags, 1) == 0 and turn < 100 * LONG:
            turn += 1
            spin_hint(turn)
    else:
        turn = 0
        while load_acquire(flags, 0) == 0 and turn < LONG:
            turn += 1
            spin_hint(turn)


@pytest.fixture(autouse=True)
def two_threads():
    before = get_num_threads()
    set_num_threads(2)
    yield
    set_num_threads(before)


def test_kernels_here_are_machine_code():
    """Else the tests below would look at the other helpers, those of `threads.py`."""
    assert isinstance(bind(meet, np.zeros(4, np.int64), np.zeros(2, np.int64), 1), BoundCall)


def met():
    """Whether a helper came; one that is falling asleep at that very moment does not."""
    done = np.zeros(2, np.int64)
    threads.run(meet, 2, done, 2)
    assert done.tolist() != [2, 0]  # one that came, and was not waited for
    return done[0] == 2


def test_a_helper_joins_and_is_waited_for():
    assert sum(met() for _ in range(20)) > 10


def test_one_that_has_fallen_asleep_is_woken():
    box = threads.spinners.boxes[0]
    threads.run(meet, 2, np.zeros(2, np.int64), 1)
    end = time.monotonic() + 5
    while not box[ASLEEP] and time.monotonic() < end:
        time.sleep(0.01)
    assert box[ASLEEP] == 1 and box[STATE] == FREE
    assert any(met() for _ in range(3))


def test_one_that_is_busy_for_another_caller_is_not_waited_for():
    for _ in range(3):  # until the helper has come
        flags, done = np.zeros(2, np.int64), np.zeros(2, np.int64)
        other = threading.Thread(target=threads.run, args=(hold, 2, flags))
        other.start()
        while not flags[0] and other.is_alive():
            time.sleep(0.001)
        if flags[0]:
            break
    threads.run(meet, 2, done, 1)
    assert done.tolist() == [1, 0] and other.is_alive()
    flags[1] = 1
    other.join(10)
    assert not other.is_alive()


def test_eight_callers_at_once_get_what_is_theirs():
    faults = []

    def call(number):
        for _ in range(200):
            done = np.zeros(2, np.int64)
            threads.run(meet, 2, done, 1)
            if done[0] == 0:
                faults.append(done.tolist())

    at_the_same_time(call, 8)
    assert not faults


def test_a_status_that_is_none_of_the_good_ones_is_an_error():
    check(0)
    check(-2)
    with pytest.raises(KernelError, match=r"a compiled kernel raised an exception \(Numba's status 1\)"):
        check(1)


@pytest.mark.parametrize("status", [1, -1])
def test_a_bad_status_ends_a_program_and_is_its_error(status):
    """Functions of this process stand in for kernels."""
    made = []

    class Standing:
        def __init__(self, result):
            self.entry = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p)(lambda words: made.append(result) or result)
            self.addresses = ctypes.cast(self.entry, ctypes.c_void_p).value, 0

    with pytest.raises(KernelError, match=rf"status {status}\)"):
        threads.share(Program([(Standing(result), 0) for result in (0, -2, status, 0)]))
    assert made == [0, -2, status]
