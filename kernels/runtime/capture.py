"""Calls that are noted, to be made later one after another, and the memory that they hold meanwhile.

    with noting():           (`threads.py`)
        y = linear(x, ...)   y has its place in memory; what belongs there is computed when the block ends
        z = gelu(y)

A buffer that only noted calls hold can serve for a later call's result as well: they are made in their order, so nobody
needs what it held by then. So a whole forward pass can be noted in the memory that it takes when each call is made at once.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

import numpy as np

from ..compiler.call import BoundCall

COUNTERS = 64  # of a block


class Notes:
    """Calls, each with the number of helpers it is to have. `held` is what other notes hold of the same buffers, if none of
    their calls is made at the same time as one of these."""

    def __init__(self, held: Mapping[int, int] | None = None):
        self.calls: list[tuple] = []
        self.held = dict(held or {})  # a buffer's id -> how many arrays in it only calls hold
        self.whole = True  # none of the calls has been made and crossed out
        self.counters: list[np.ndarray] = []  # blocks (COUNTERS, 4) that are cleared at once when calls are made again
        self.counted = COUNTERS  # rows of the last block that are a call's

    def counter(self) -> np.ndarray:
        """A call's counter (4,), zeros."""
        if self.counted == COUNTERS:
            self.counters.append(np.zeros((COUNTERS, 4), np.int64))
            self.counted = 0
        self.counted += 1
        return self.counters[-1][self.counted - 1]

    def views(self, arguments: tuple) -> tuple:
        """A call's arguments, with arrays that nobody else holds in the place of those that somebody may."""
        held, made = self.held, []
        for argument in arguments:
            if type(argument) is np.ndarray:
                argument = argument.view()
                buffer = id(argument.base)
                held[buffer] = held.get(buffer, 0) + 1
            elif type(argument) is tuple:
                argument = self.views(argument)
            made.append(argument)
        return tuple(made)

    def cross_out(self) -> list[tuple]:
        calls, self.calls, self.held, self.whole = self.calls, [], {}, False
        return calls


class Program:
    """Calls that are made one after another, each together with so many helpers; as often as one likes, if their counters
    are cleared before."""

    def __init__(self, calls: list[tuple[BoundCall, int]], counters: Sequence[np.ndarray] = ()):
        self.calls, self.counters = calls, counters
        self.listed = np.array([(*call.addresses, helpers) for call, helpers in calls], np.int64)
        self.helpers = max(helpers for _, helpers in calls)
        self.led: tuple = (None, None, None)  # the boxes it was made with the last time; its status; a call of `lead`


class KernelList(Notes):
    """Takes down which kernels would be called, for what types of arguments, in the place of calling them."""

    def __init__(self):
        super().__init__()
        self.kernels: dict[tuple, None] = {}  # (kernel, signature)


class Here(threading.local):
    """This thread's notes; None where each call is made at once."""

    notes: Notes | None = None


here = Here()
