"""A pool of worker threads that spin for some time after a call, so that the next one need not wake them.

Waking a thread takes some 50 µs, as long as a whole product of a short text. Handing a call to a spinning worker costs 3 µs
(Zen 4). A worker that has spun for MAX_SPINS sleeps on a futex. Other projects do the same: gemmlowp's `WorkersPool`,
ggml's `threadpool` with `poll`.

The whole list of calls runs in compiled code (`run_commands`). Kernels evict the interpreter from the caches, so each return
to Python would cost 50 to 150 µs instead of 10.

Each worker has a mailbox, a row of integers that it shares with callers. Its state is:

    FREE -> RESERVED -> OFFERED -> TAKEN -> DONE -> FREE      a caller offers a call; the worker takes it and runs it
                        OFFERED ----------------> FREE        or is late, and the caller withdraws it

So nobody ever waits for a worker that is asleep, or busy for another caller.
"""

from __future__ import annotations

import threading

import numpy as np

from ..compiler.call import OK_STATUSES, bind, check
from ..compiler.jit import jit
from ..compiler.trampoline import ArrayType
from ..simd.atomics import call_address, compare_exchange, futex_wait, futex_wake, load_acquire, spin_hint, store_release
from .capture import CommandList
from .thread_count import MAX_THREADS

STATE, ENTRY, ARGS, STATUS, ASLEEP = range(5)  # columns of a mailbox
MAILBOX_COLUMNS = 16  # two cache lines, so that no two mailboxes share one
FREE, RESERVED, OFFERED, TAKEN, DONE = range(5)  # states
MAX_SPINS = 60_000  # reads of a mailbox before its worker sleeps: 2 ms (Zen 4), more than Python takes between two passes


@jit(nogil=True, error_model="numpy")
def run_commands(mailboxes, commands, result):
    """Run one command (entry, packed args, helpers) after another: offer it in the first mailboxes, run it, and wait for the
    workers that took it. result[0] becomes the first bad status, or the status of the last command; the rest of `result`
    holds whether the command was offered in each mailbox."""
    offered = result[1:]
    for entry, args, helpers in commands:
        for i in range(min(helpers, len(mailboxes))):
            mailbox = mailboxes[i]
            offered[i] = 0
            if compare_exchange(mailbox, STATE, FREE, RESERVED):
                mailbox[ENTRY], mailbox[ARGS] = entry, args
                compare_exchange(mailbox, STATE, RESERVED, OFFERED)  # must come before ASLEEP is read
                offered[i] = 1
                if compare_exchange(mailbox, ASLEEP, 1, 0):
                    futex_wake(mailbox, ASLEEP)
        status = call_address(entry, args)
        for i in range(min(helpers, len(mailboxes))):
            mailbox, spins = mailboxes[i], 0
            if offered[i] and not compare_exchange(mailbox, STATE, OFFERED, FREE):
                while load_acquire(mailbox, STATE) != DONE:
                    spins += 1
                    spin_hint(spins)
                if mailbox[STATUS] not in OK_STATUSES:
                    status = mailbox[STATUS]
                store_release(mailbox, STATE, FREE)
        result[0] = status
        if status not in OK_STATUSES:
            return


@jit(nogil=True, error_model="numpy")
def worker_loop(mailbox, max_spins):
    """Run every call that is offered in this mailbox; sleep after max_spins reads without one. Never returns."""
    spins = 0
    while True:
        if load_acquire(mailbox, STATE) == OFFERED and compare_exchange(mailbox, STATE, OFFERED, TAKEN):
            mailbox[STATUS] = call_address(mailbox[ENTRY], mailbox[ARGS])
            store_release(mailbox, STATE, DONE)
            spins = 0
        spins += 1
        spin_hint(spins)
        if spins > max_spins:
            compare_exchange(mailbox, ASLEEP, 0, 1)
            if load_acquire(mailbox, STATE) != OFFERED:  # else the caller may have read ASLEEP before it was set
                futex_wait(mailbox, ASLEEP)
            compare_exchange(mailbox, ASLEEP, 1, 0)
            spins = 0


class WorkerPool:
    """Threads that run `worker_loop`, one for each mailbox; started when first needed."""

    MAX_WORKERS = MAX_THREADS - 1  # the caller is a thread too
    SIGNATURES = {
        run_commands: (ArrayType("l", 2), ArrayType("l", 2), ArrayType("l", 1)),
        worker_loop: (ArrayType("l", 1), "int"),
    }

    def __init__(self):
        self.mailboxes = np.zeros((self.MAX_WORKERS, MAILBOX_COLUMNS), np.int64)
        self.count = 0  # of threads
        self.start_lock = threading.Lock()

    def start_workers(self, count: int) -> None:
        with self.start_lock:
            for i in range(self.count, count):
                call = bind(worker_loop, self.mailboxes[i], MAX_SPINS)
                threading.Thread(target=call, daemon=True, name=f"minibert-{i}").start()
                self.count += 1

    def run_parallel(self, commands: CommandList) -> None:
        """Run the calls one after another, each together with helpers. KernelError if one fails."""
        workers = min(commands.helpers, self.MAX_WORKERS)
        if self.count < workers:
            self.start_workers(workers)
        if commands.bound_call[0] is not self.mailboxes:
            result = np.zeros(1 + self.MAX_WORKERS, np.int64)
            commands.bound_call = self.mailboxes, result, bind(run_commands, self.mailboxes, commands.command_array, result)
        _, result, call = commands.bound_call
        call()
        check(int(result[0]))
