"""A few threads that help the one that calls: `run(kernel, tasks, ...)`, and how many, `set_num_threads(n)`.

A kernel is compiled with `nogil` and does numbered tasks until none is left (`next_task` in `vectors.py`). The caller
begins at once; each helper has been sent a ticket, and joins in when it wakes. A ticket that is still unused when the
tasks are done is torn up, so a helper that is late, or busy for another caller, is never waited for: any number of
threads may call at once. Tasks never share a sum, so the answer does not depend on who did which.

Not Numba's `prange`: of its layers, `workqueue` aborts the process when two threads call it (numba#9288), and GNU
OpenMP when a forked child does.

Waking a thread that sleeps takes the system some 50 µs here, as long as a small product, so both sides first watch a
place in memory, without the interpreter's lock: the helper the bell that `run` rings, for the time between two
operations of a forward pass; the caller the ticket's mark, while a helper does the last task.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue

import numpy as np

from minibert.errors import InputError, InputTypeError


class Ticket:
    """An invitation to one helper. Only one of the two gets to take it: the helper, or the caller who tears it up."""

    def __init__(self, kernel: Callable, arguments: tuple):
        self.work = [(kernel, arguments)]
        self.done = threading.Lock()
        self.done.acquire()
        self.mark = np.zeros(1, np.int64)  # 1 when done
        self.error: BaseException | None = None

    def use(self) -> None:
        """The helper's side."""
        try:
            kernel, arguments = self.work.pop()  # one step of the interpreter: nobody else gets it too
        except IndexError:
            return
        try:
            kernel(*arguments)
        except BaseException as error:
            self.error = error
        self.done.release()
        self.mark[0] = 1

    def settle(self) -> None:
        """The caller's side: tear it up, or wait for whoever took it."""
        try:
            self.work.pop()
        except IndexError:
            watch(self.mark, 0, PATIENCE)
            self.done.acquire()
            if self.error is not None:
                raise self.error from None


class Helpers:
    """Threads that wait for tickets; started when first needed."""

    def __init__(self):
        self.tickets: SimpleQueue[Ticket] = SimpleQueue()
        self.bell = np.zeros(1, np.int64)  # any change is a ring
        self.count = 0
        self.starting = threading.Lock()

    def ensure(self, count: int) -> None:
        with self.starting:
            for number in range(self.count, count):
                threading.Thread(target=self.serve, daemon=True, name=f"minibert-{number}").start()
                self.count += 1

    def serve(self) -> None:
        while True:
            heard = int(self.bell[0])
            if self.tickets.empty():
                watch(self.bell, heard, PATIENCE)
            self.tickets.get().use()


def usable_cores() -> int:
    """The cores this process may run on; NUMBA_NUM_THREADS where it is set."""
    named = os.environ.get("NUMBA_NUM_THREADS", "")
    if named.isdecimal() and int(named) > 0:
        return int(named)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def watch(place: np.ndarray, seen: int, turns: int) -> None:
    """Return when place[0] is no longer what was seen, or after so many turns."""
    from .waiting import watch  # compiled: with Numba, which this module does without until a kernel runs

    watch(place, seen, turns)


PATIENCE = 4_000  # turns, some 100 µs
helpers = Helpers()
threads = usable_cores()


def start_anew() -> None:
    """In a forked child: the helpers stayed with the parent."""
    global helpers
    helpers = Helpers()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=start_anew)


def get_num_threads() -> int:
    """How many threads one call may use, the calling one among them."""
    return threads


def set_num_threads(count: int) -> None:
    """For every model of this process, from its next call on. InputError below 1."""
    global threads
    if isinstance(count, bool) or not isinstance(count, int):
        raise InputTypeError(f"the number of threads is a whole number, 1 or more; got {count!r}.")
    if count < 1:
        raise InputError(f"the number of threads is 1 or more; got {count}.")
    threads = count


def run(kernel: Callable, tasks: int, *arguments) -> None:
    """Call kernel(counter, *arguments) on as many threads as there are and are needed; return when all tasks are done.

    Numba's compiler is not asked by two threads at once: a kernel that has not been compiled runs here alone.
    """
    counter = np.zeros(1, np.int64)
    wanted = min(threads, tasks) - 1
    if wanted < 1 or not kernel.nopython_signatures:
        return kernel(counter, *arguments)
    if helpers.count < wanted:
        helpers.ensure(wanted)
    sent = [Ticket(kernel, (counter, *arguments)) for _ in range(wanted)]
    for ticket in sent:
        helpers.tickets.put(ticket)
    helpers.bell[0] += 1
    kernel(counter, *arguments)
    for ticket in sent:
        ticket.settle()
