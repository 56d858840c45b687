"""Capture: calls are recorded, and executed later one after another, without Python between them.

    with capture():          (`threads.py`)
        y = linear(x, ...)   y has its memory; its values are computed when the recorded calls are executed
        z = gelu(y)

The same idea as a CUDA graph. Recorded calls run in order, so a buffer that only earlier calls refer to can be reused for the
result of a later one. A captured forward pass therefore needs no more memory than one whose calls run immediately.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

import numpy as np

from ..compiler.call import BoundCall

COUNTERS_PER_BLOCK = 64


class Capture:
    """Recorded calls, each with the number of helper threads it may use.

    `pinned` starts with the pins of other captures, if none of their calls ever runs at the same time as these."""

    def __init__(self, pinned: Mapping[int, int] | None = None):
        self.calls: list[tuple[BoundCall, int]] = []
        self.pinned = dict(pinned or {})  # id of a buffer -> how many arrays in it belong to recorded calls
        self.replayable = True  # False once a call has been taken out, because someone had to read a result
        self.counter_blocks: list[np.ndarray] = []  # (COUNTERS_PER_BLOCK, 4) each; a replay clears whole blocks
        self.used = COUNTERS_PER_BLOCK  # rows of the last block that belong to a call

    def task_counters(self) -> np.ndarray:
        """The counters (4,) of one call, zeros: `NEXT_TASK, THREAD, NEXT_TILE, PACKED` of `threads.py`."""
        if self.used == COUNTERS_PER_BLOCK:
            self.counter_blocks.append(np.zeros((COUNTERS_PER_BLOCK, 4), np.int64))
            self.used = 0
        self.used += 1
        return self.counter_blocks[-1][self.used - 1]

    def pin_buffers(self, arguments: tuple) -> tuple:
        """Replace each array by a private view and count it. The buffer's reference count less these pins then shows
        whether anyone else still uses it (`buffer_pool.py`)."""
        pinned, views = self.pinned, []
        for argument in arguments:
            if type(argument) is np.ndarray:
                argument = argument.view()
                buffer = id(argument.base)
                pinned[buffer] = pinned.get(buffer, 0) + 1
            elif type(argument) is tuple:
                argument = self.pin_buffers(argument)
            views.append(argument)
        return tuple(views)

    def take_calls(self) -> list[tuple[BoundCall, int]]:
        """Remove all recorded calls and return them."""
        calls, self.calls, self.pinned, self.replayable = self.calls, [], {}, False
        return calls


class CommandList:
    """Calls to submit at once, as the array that compiled code reads. It may run again after its counters are cleared."""

    def __init__(self, calls: list[tuple[BoundCall, int]], counter_blocks: Sequence[np.ndarray] = ()):
        self.calls, self.counter_blocks = calls, counter_blocks
        self.command_array = np.array([(*call.addresses, helpers) for call, helpers in calls], np.int64)
        self.helpers = max(helpers for _, helpers in calls)
        self.bound_call: tuple = (None, None, None)  # mailboxes of the last run, its status, the call of `run_commands`


class KernelList(Capture):
    """Records which kernels would be called, with which signatures, instead of the calls."""

    def __init__(self):
        super().__init__()
        self.kernels: dict[tuple, None] = {}  # (kernel, signature)


class ThreadState(threading.local):
    """The capture that is active on this thread; None if calls run immediately."""

    capture: Capture | None = None


thread_state = ThreadState()
