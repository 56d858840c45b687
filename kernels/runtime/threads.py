"""`run(kernel, tasks, ...)`: a kernel's numbered tasks, on the calling thread and its helpers.

A kernel runs without the interpreter's lock and does one task after another until none is left (`fetch_add`). The caller
starts at once. It never waits for a helper that is late, or busy for another caller, so any number of threads may call at
the same time. Tasks never share a sum, so the answer does not depend on which thread did which task.

Not Numba's `prange`: of its layers, `workqueue` aborts the process when two threads call it (numba#9288), and GNU
OpenMP when a forked child does. Next: `worker_pool.py`, the helpers; `capture.py`, calls that are recorded.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from ..compiler.call import BoundCall, bind, signature_of
from ..compiler.jit import Kernel
from . import buffer_pool
from .buffer_pool import empty
from .capture import Capture, CommandList, KernelList, thread_state
from .thread_count import get_num_threads

if TYPE_CHECKING:
    from .worker_pool import WorkerPool

NEXT_TASK, THREAD, NEXT_TILE, PACKED = range(4)  # columns of a kernel's counters; PACKED: how many tiles are packed

worker_pool: WorkerPool | None = None  # created when first needed: importing it imports llvmlite
executors: dict[int, ThreadPoolExecutor] = {}  # workers -> a pool for kernels that are called through Numba


def reset_after_fork() -> None:
    """In a forked child, forget the threads, which exist only in the parent."""
    global executors, worker_pool
    executors, worker_pool = {}, None
    buffer_pool.reset_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=reset_after_fork)


def run(kernel: Kernel, tasks: int, *arguments, scratch: tuple[tuple[int, ...], ...] = ()) -> None:
    """Call kernel(counter, [scratch,] *arguments) on as many threads as are allowed and useful; return when all tasks are
    done. Inside `capture()`, record the call instead.

    counter (4,) starts as zeros. fetch_add(counter) is the next task, fetch_add(counter[THREAD:]) this thread's number;
    the columns NEXT_TILE and PACKED are for the kernel's own use. `scratch` lists the shapes of per-thread memory: the kernel
    gets a tuple of float32 arrays, each with one such block per thread.
    """
    workers = max(min(get_num_threads(), tasks), 1)
    blocks = (tuple(empty(workers, *shape) for shape in scratch),) if scratch else ()
    active = thread_state.capture
    arguments = (np.zeros(4, np.int64) if active is None else active.task_counters(), *blocks, *arguments)
    if type(active) is KernelList:
        active.kernels[kernel, signature_of(arguments, [])] = None
        return
    call = bind(kernel, *(arguments if active is None else active.pin_buffers(arguments)))
    if not isinstance(call, BoundCall):
        flush()
        call() if workers == 1 else run_on_executor(call, workers)
    elif active is not None:
        active.calls.append((call, workers - 1))
    elif workers == 1:
        call()
    else:
        run_parallel(CommandList([(call, workers - 1)]))


def run_parallel(commands: CommandList) -> None:
    """Run the calls of a command list one after another, each on this thread and helpers of the worker pool."""
    global worker_pool
    if worker_pool is None:
        from .worker_pool import WorkerPool

        worker_pool = WorkerPool()
    worker_pool.run_parallel(commands)


def run_on_executor(call: Callable[[], object], workers: int) -> None:
    """Run a call through Numba on this thread and workers - 1 others. Cancel it on a thread that has not started when the
    tasks are done."""
    if workers not in executors:
        executors[workers] = ThreadPoolExecutor(workers - 1, thread_name_prefix="minibert")
    futures = [executors[workers].submit(call) for _ in range(workers - 1)]
    try:
        call()
    finally:
        running = [future for future in futures if not future.cancel()]
    for future in running:
        future.result()


@contextmanager
def capture(into: Capture | None = None) -> Iterator[Capture]:
    """Inside the block, `run` records its calls (`capture.py`). Nobody may read a result before they have run: by
    `execute` after the block, or by `flush` inside it."""
    thread_state.capture = Capture() if into is None else into
    try:
        yield thread_state.capture
    finally:
        thread_state.capture = None


def flush() -> None:
    """Run what this thread has recorded so far, because a result is about to be read."""
    if thread_state.capture is not None:
        execute(thread_state.capture)


def execute(recorded: Capture) -> None:
    """Run the recorded calls once, and drop them."""
    calls = recorded.take_calls()
    if calls:
        run_parallel(CommandList(calls))


def replay(commands: CommandList) -> None:
    """Run the calls again, on the current contents of their arrays."""
    for counters in commands.counter_blocks:
        counters.fill(0)
    run_parallel(commands)
