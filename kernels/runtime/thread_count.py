"""How many threads a call may use: `get_num_threads()`, `set_num_threads(n)`."""

from __future__ import annotations

import os

from minibert.errors import InputError, InputTypeError, is_integer, short_repr, strict_arguments

MAX_THREADS = 256


def available_cpus() -> int:
    """NUMBA_NUM_THREADS if it is set, else how many CPUs this process may run on."""
    setting = os.environ.get("NUMBA_NUM_THREADS", "")
    if setting.isdecimal() and int(setting) > 0:
        return int(setting)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


num_threads = min(available_cpus(), MAX_THREADS)


def get_num_threads() -> int:
    """How many threads one call may use, including the calling one."""
    return num_threads


@strict_arguments
def set_num_threads(count: int) -> None:
    """Set it for every model of this process, from its next call on. InputError unless it is from 1 to MAX_THREADS."""
    global num_threads
    if not is_integer(count):
        raise InputTypeError(f"the number of threads must be an integer from 1 to {MAX_THREADS}; got {short_repr(count)}.")
    if not 1 <= count <= MAX_THREADS:
        raise InputError(f"the number of threads must be from 1 to {MAX_THREADS}; got {short_repr(count)}.")
    num_threads = int(count)
