"""Memory for results, used again: `empty(rows, width)` in a kernel's place of `np.empty`.

A fresh array of some megabytes costs a page fault every 4 KiB when it is first written, as much time as a layer norm
itself. Here a buffer whose array, and every view of it, has been dropped serves the next call; so the memory is made
once, grows to what the largest batch needs at one time, and is never shared while anyone still holds it, whatever
thread asks. `free_buffers()` gives it back.
"""

from __future__ import annotations

import math
from sys import getrefcount
from threading import Lock
from weakref import WeakSet

import numpy as np

from minibert.errors import strict_arguments

from .capture import here

LINE = 64  # bytes: a vector that lies across two lines of the cache takes two reads
LARGE = 4 << 20  # floats: 16 MiB, half of a large L3
SMALL = 4096  # floats: below, NumPy's own memory is as quick


def aligned(*shape: int) -> np.ndarray:
    """An uninitialised float32 array that begins at a line of the cache."""
    count = math.prod(shape)
    return from_line(np.empty(count + LINE // 4, np.float32), shape)


def from_line(flat: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The part of a flat array that begins at a line of the cache and has this shape."""
    skip = -flat.__array_interface__["data"][0] % LINE // 4  # a third of the time that flat.ctypes.data takes
    return flat[skip : skip + math.prod(shape)].reshape(shape)


class Buffers:
    """Flat arrays of whole powers of two; one that nothing but its list refers to is free. What of it is never written is
    never made memory of."""

    def __init__(self):
        self.kept: dict[int, list[np.ndarray]] = {}  # size -> those of this size
        self.lock = Lock()

    def take(self, count: int) -> np.ndarray:
        size = 1 << (count - 1).bit_length()
        held = here.notes.held if here.notes is not None else {}
        with self.lock:
            kept = self.kept.setdefault(size, [])
            for place in range(len(kept)):
                if getrefcount(kept[place]) == ALONE + held.get(id(kept[place]), 0):
                    return kept[place]
            kept.append(np.empty(size, np.float32))
            return kept[-1]


def references() -> int:
    """What `getrefcount` says of an array that only a list holds; it differs between versions of Python."""
    kept = [np.empty(0)]
    return getrefcount(kept[0])


ALONE = references()
buffers = Buffers()
keepers: WeakSet = WeakSet()  # who else holds buffers from call to call: what has a `lock`, and `clear()`


def empty(*shape: int) -> np.ndarray:
    """An uninitialised float32 array of this shape."""
    count = math.prod(shape)
    if count < SMALL:
        return np.empty(shape, np.float32)
    return from_line(buffers.take(count + LINE // 4), shape)


def beyond_caches(y: np.ndarray) -> bool:
    """Whether a result is so large that its beginning has left the caches before it is whole: such a one is written past
    them (`store_nontemporal` of `vectors.py`), which wants rows that begin at lines of the cache. So should those in which a thread
    makes them: a softmax took 1.4 times as long where they did not. Of SMALL floats or more, they do."""
    return y.size > LARGE and y.shape[-1] % (LINE // 4) == 0


@strict_arguments
def free_buffers() -> None:
    """Give back the memory that models keep for their results; what somebody still holds stays theirs."""
    for keeper in list(keepers):
        keeper.clear()
    with buffers.lock:
        buffers.kept.clear()


def start_anew() -> None:
    """In a forked child: a thread that held a lock has stayed with the parent."""
    for one in (buffers, *keepers):
        one.lock = Lock()
