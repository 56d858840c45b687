"""A few threads that help the one that calls: `run(kernel, tasks, ...)`, and how many, `set_num_threads(n)`.

A kernel runs without the interpreter's lock and does numbered tasks until none is left (`next_task`). The caller
begins at once; each helper has been sent a ticket, and joins in when it wakes. A ticket that is still unused when the
tasks are done is torn up, so a helper that is late, or busy for another caller, is never waited for: any number of
threads may call at once. Tasks never share a sum, so the answer does not depend on who did which.

Not Numba's `prange`: of its layers, `workqueue` aborts the process when two threads call it (numba#9288), and GNU
OpenMP when a forked child does.

Kernels that are machine code have helpers that need not be woken (`spinning.py`); the tickets here are for those that
are called through Numba.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue

import numpy as np

from minibert.errors import InputError, InputTypeError, brief, strict_arguments

from . import buffers
from .buffers import empty
from .jit import Kernel
from .machine_code import Call, bind
from .noting import Notes, here
from .spinning import Program, Spinners

MOST = 4096  # threads: more than machines have cores


class Ticket:
    """An invitation to one helper. Only one of the two gets to take it: the helper, or the caller who tears it up."""

    def __init__(self, work: Callable[[], object]):
        self.work = [work]
        self.done = threading.Lock()
        self.done.acquire()
        self.error: BaseException | None = None

    def use(self) -> None:
        """The helper's side."""
        try:
            work = self.work.pop()  # one step of the interpreter: nobody else gets it too
        except IndexError:
            return
        try:
            work()
        except BaseException as error:
            self.error = error
        self.done.release()

    def settle(self) -> None:
        """The caller's side: tear it up, or wait for whoever took it."""
        try:
            self.work.pop()
        except IndexError:
            self.done.acquire()
            if self.error is not None:
                raise self.error from None


class Helpers:
    """Threads that wait for tickets; started when first needed."""

    def __init__(self):
        self.tickets: SimpleQueue[Ticket] = SimpleQueue()
        self.count = 0
        self.starting = threading.Lock()

    def ensure(self, count: int) -> None:
        with self.starting:
            for number in range(self.count, count):
                threading.Thread(target=self.serve, daemon=True, name=f"minibert-{number}").start()
                self.count += 1

    def serve(self) -> None:
        while True:
            self.tickets.get().use()

    def share(self, call: Callable[[], object], count: int) -> None:
        """Make a call together with so many helpers."""
        if self.count < count:
            self.ensure(count)
        sent = [Ticket(call) for _ in range(count)]
        for ticket in sent:
            self.tickets.put(ticket)
        call()
        for ticket in sent:
            ticket.settle()


def usable_cores() -> int:
    """The cores this process may run on; NUMBA_NUM_THREADS where it is set."""
    named = os.environ.get("NUMBA_NUM_THREADS", "")
    if named.isdecimal() and int(named) > 0:
        return int(named)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


helpers, spinners = Helpers(), Spinners()
threads = usable_cores()


def start_anew() -> None:
    """In a forked child: the helpers stayed with the parent."""
    global helpers, spinners
    helpers, spinners = Helpers(), Spinners()
    buffers.start_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=start_anew)


def get_num_threads(**unknown) -> int:
    """How many threads one call may use, the calling one among them."""
    if unknown:  # not strict_arguments, which costs more than this call: every product asks
        raise InputTypeError(f"get_num_threads takes no arguments; got {', '.join(unknown)}.")
    return threads


@strict_arguments
def set_num_threads(count: int) -> None:
    """For every model of this process, from its next call on. InputError below 1, and above MOST."""
    global threads
    if isinstance(count, bool) or not isinstance(count, (int, np.integer)):
        raise InputTypeError(f"the number of threads is a whole number, 1 or more; got {brief(count)}.")
    if not 1 <= count <= MOST:
        raise InputError(f"the number of threads is 1 or more, and {MOST} at most; got {brief(count)}.")
    threads = int(count)


def run(kernel: Kernel, tasks: int, *arguments, scratch: tuple[tuple[int, ...], ...] = ()) -> None:
    """Call kernel(counter, [scratch,] *arguments) on as many threads as there are and are needed; return when all tasks
    are done.

    counter[0] numbers the tasks, counter[1] the threads; two more are the kernel's own. `scratch` has the shapes of what
    each thread needs for itself: the kernel gets a tuple of float32 arrays, of such a shape for each thread.
    """
    workers = max(min(threads, tasks), 1)
    own = (tuple(empty(workers, *shape) for shape in scratch),) if scratch else ()
    notes = here.notes
    arguments = (np.zeros(4, np.int64) if notes is None else notes.counter(), *own, *arguments)
    call = bind(kernel, *(arguments if notes is None else notes.views(arguments)))
    if not isinstance(call, Call):
        settle()
        call() if workers == 1 else helpers.share(call, workers - 1)
    elif notes is not None:
        notes.calls.append((call, workers - 1))
    elif workers == 1:
        call()
    else:
        spinners.share(Program([(call, workers - 1)]))


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
        spinners.share(Program(calls))


def make_again(program: Program) -> None:
    """Make noted calls once more, on what their arrays hold now."""
    for counters in program.counters:
        counters.fill(0)
    spinners.share(program)
