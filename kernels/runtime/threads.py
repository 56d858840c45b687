"""`run(kernel, tasks, ...)`: a kernel's numbered tasks, on the calling thread and a few that help it.

A kernel runs without the interpreter's lock and does one task after another until none is left (`fetch_add`). The caller
begins at once; a helper that is late, or busy for another caller, is never waited for, so any number of threads may call at
once. Tasks never share a sum, so the answer does not depend on who did which.

Not Numba's `prange`: of its layers, `workqueue` aborts the process when two threads call it (numba#9288), and GNU
OpenMP when a forked child does. Next: `worker_pool.py`, the helpers.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np

from ..compiler.call import BoundCall, bind, signature_of
from ..compiler.jit import Kernel
from . import buffer_pool
from .buffer_pool import empty
from .capture import KernelList, Notes, Program, here
from .thread_count import get_num_threads

spinners = None  # the worker pool; made when first needed, for importing it imports llvmlite
executors: dict[int, ThreadPoolExecutor] = {}  # helpers -> a pool of them, for kernels that are called through Numba


def start_anew() -> None:
    """In a forked child: the threads stayed with the parent."""
    global executors, spinners
    executors, spinners = {}, None
    buffer_pool.start_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=start_anew)


def run(kernel: Kernel, tasks: int, *arguments, scratch: tuple[tuple[int, ...], ...] = ()) -> None:
    """Call kernel(counter, [scratch,] *arguments) on as many threads as there are and are needed; return when all tasks
    are done.

    counter[0] numbers the tasks, counter[1] the threads; two more are the kernel's own. `scratch` has the shapes of what
    each thread needs for itself: the kernel gets a tuple of float32 arrays, of such a shape for each thread.
    """
    workers = max(min(get_num_threads(), tasks), 1)
    own = (tuple(empty(workers, *shape) for shape in scratch),) if scratch else ()
    notes = here.notes
    arguments = (np.zeros(4, np.int64) if notes is None else notes.counter(), *own, *arguments)
    if type(notes) is KernelList:
        notes.kernels[kernel, signature_of(arguments, [])] = None
        return
    call = bind(kernel, *(arguments if notes is None else notes.views(arguments)))
    if not isinstance(call, BoundCall):
        settle()
        call() if workers == 1 else run_parallel(call, workers)
    elif notes is not None:
        notes.calls.append((call, workers - 1))
    elif workers == 1:
        call()
    else:
        share(Program([(call, workers - 1)]))


def share(program: Program) -> None:
    """Make the calls of a program, together with the worker pool."""
    global spinners
    if spinners is None:
        from .worker_pool import Spinners

        spinners = Spinners()
    spinners.share(program)


def run_parallel(call: Callable[[], object], workers: int) -> None:
    """Make a call through Numba on so many threads, this one among them; one that has not begun when the tasks are done is
    not waited for."""
    if workers not in executors:
        executors[workers] = ThreadPoolExecutor(workers - 1, thread_name_prefix="minibert")
    others = [executors[workers].submit(call) for _ in range(workers - 1)]
    try:
        call()
    finally:
        running = [other for other in others if not other.cancel()]
    for other in running:
        other.result()


@contextmanager
def noting(notes: Notes | None = None) -> Iterator[Notes]:
    """In here `run` only notes its calls (`noting.py`); what was noted by the end is in these notes. Nobody may look at a
    result before they are made: by `make(notes)`, or for those that are noted so far, by `settle()`."""
    here.notes = Notes() if notes is None else notes
    try:
        yield here.notes
    finally:
        here.notes = None


def settle() -> None:
    """Make what this thread has noted so far, for someone who is about to look at a result."""
    if here.notes is not None:
        make(here.notes)


def make(notes: Notes) -> None:
    """Make the calls, and cross them out."""
    calls = notes.cross_out()
    if calls:
        share(Program(calls))


def make_again(program: Program) -> None:
    """Make noted calls once more, on what their arrays hold now."""
    for counters in program.counters:
        counters.fill(0)
    share(program)
