"""Many callers at once, a fork, a failing kernel, and how many threads there are."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import minibert
from minibert.errors import InputError, InputTypeError
from minibert.kernels.compiler.call import signature_of
from minibert.kernels.runtime import threads
from minibert.kernels.runtime.thread_count import get_num_threads, set_num_threads

SIZES = dict(vocab_size=50, dim=192, n_layers=2, n_heads=3, hidden_dim=400, max_position_embeddings=300)
IDS = np.random.default_rng(0).integers(0, 50, (3, 200))


@pytest.fixture(autouse=True)
def threads_as_before():
    before = get_num_threads()
    yield
    set_num_threads(before)


@pytest.fixture
def model():
    return minibert.DistilBertModel(minibert.DistilBertConfig(**SIZES), kernels="fast", seed=0)


def test_eight_threads_may_call_one_model(model):
    set_num_threads(2)
    expected = model(IDS)[0]
    with ThreadPoolExecutor(8) as pool:
        for hidden in pool.map(lambda _: model(IDS)[0], range(24)):
            assert np.array_equal(hidden, expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_model_works_in_a_forked_child_and_still_in_its_parent(model):
    set_num_threads(2)
    expected = model(IDS)[0]
    child = os.fork()
    if child == 0:
        same = np.array_equal(model(IDS)[0], expected) and threads.worker_pool.count == 1
        os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert np.array_equal(model(IDS)[0], expected)


class Kernel:
    """What `run` takes for a kernel without machine code: a Python function."""

    def __init__(self, work):
        self.work = work
        self.native = {signature_of((np.zeros(4, np.int64),), []): self}

    def __call__(self, counter, *arguments):
        self.work(*arguments)


def test_the_caller_waits_for_a_helper_that_has_started_and_cancels_one_that_has_not():
    set_num_threads(2)
    started, release, ended = threading.Event(), threading.Event(), []

    def work():
        if threading.current_thread().name.startswith("minibert"):
            started.set()
            release.wait(10)
            ended.append("helper")
        else:
            started.wait(10)
            threads.run(Kernel(lambda: ended.append("alone")), 2)  # the helper is busy, so its call is cancelled
            release.set()

    threads.run(Kernel(work), 2)
    assert ended == ["alone", "helper"]


def test_what_a_helper_raises_reaches_the_caller():
    set_num_threads(2)
    started = threading.Event()

    def work():
        if threading.current_thread().name.startswith("minibert"):
            started.set()
            raise MemoryError("no room")
        started.wait(10)

    with pytest.raises(MemoryError, match="no room"):
        threads.run(Kernel(work), 2)


def test_a_single_task_stays_with_the_caller():
    names = []
    set_num_threads(4)
    threads.run(Kernel(lambda: names.append(threading.current_thread())), 1)
    assert names == [threading.current_thread()]


def test_the_number_of_threads():
    set_num_threads(3)
    assert get_num_threads() == 3


@pytest.mark.parametrize(
    ("count", "error"),
    [
        (0, InputError),
        (-1, InputError),
        (2.0, InputTypeError),
        (True, InputTypeError),
        ("2", InputTypeError),
        (None, InputTypeError),
    ],
)
def test_a_number_of_threads_that_cannot_be_is_refused(count, error):
    with pytest.raises(error, match="the number of threads must be"):
        set_num_threads(count)


@pytest.mark.parametrize(("value", "expected"), [("3", 3), ("", None), ("many", None), ("0", None)])
def test_numba_num_threads_is_honoured(value, expected):
    expected = expected or len(os.sched_getaffinity(0))
    code = (
        f"from minibert.kernels.runtime.thread_count import get_num_threads; raise SystemExit(get_num_threads() != {expected})"
    )
    assert subprocess.run([sys.executable, "-c", code], env={**os.environ, "NUMBA_NUM_THREADS": value}).returncode == 0
