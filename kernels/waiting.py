"""Watching a place in memory without the interpreter's lock, for `threads.py`."""

from __future__ import annotations

from .jit import jit
from .vectors import look

AFTERWARDS = 200  # turns, some 5 µs: whoever wrote then no longer has the interpreter's lock, and need not be waited for


@jit(nogil=True)
def watch(place, seen, turns):
    while turns > 0 and look(place) == seen:
        turns -= 1
    if turns > 0:
        for _ in range(AFTERWARDS):
            look(place)
