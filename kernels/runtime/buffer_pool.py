"""Memory for results, reused: `empty(rows, width)` instead of `np.empty`.

Writing a new array of some megabytes causes a page fault every 4 KiB, which costs as much as a layer norm. Here a buffer is
reused as soon as its array and every view of it are gone. So memory is allocated once, grows to what the largest batch
needs at one time, and is never shared while anyone refers to it, on any thread. `free_buffers()` returns it.
"""

from __future__ import annotations

import math
from sys import getrefcount
from threading import Lock
from weakref import WeakSet

import numpy as np

from minibert.errors import strict_arguments

from .capture import thread_state

ALIGNMENT = 64  # bytes, a cache line: a vector that crosses from one line into the next takes two reads
LLC_FLOATS = 4 << 20  # 16 MiB, half of a large L3
MIN_POOLED_FLOATS = 4096  # below, NumPy's own allocator is as fast


def empty_aligned(*shape: int) -> np.ndarray:
    """An uninitialized float32 array that starts at a cache line."""
    size = math.prod(shape)
    return align_to_cache_line(np.empty(size + ALIGNMENT // 4, np.float32), shape)


def aligned_copy(array: np.ndarray) -> np.ndarray:
    """A contiguous copy that starts at a cache line."""
    copy = empty_aligned(-(-array.nbytes // 4)).view(np.uint8)[: array.nbytes].view(array.dtype).reshape(array.shape)
    np.copyto(copy, array)
    return copy


def aligned(array: np.ndarray) -> np.ndarray:
    """The array itself if it is contiguous and starts at a cache line, else a copy that is and does."""
    is_aligned = array.flags.c_contiguous and array.ctypes.data % ALIGNMENT == 0
    return array if is_aligned else aligned_copy(array)


def align_to_cache_line(flat: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The part of a flat array that starts at a cache line and has this shape."""
    skip = -flat.__array_interface__["data"][0] % ALIGNMENT // 4  # three times as fast as flat.ctypes.data
    return flat[skip : skip + math.prod(shape)].reshape(shape)


class BufferPool:
    """Flat arrays whose sizes are powers of two. One that only this pool refers to is free. The system backs with memory
    only the pages that have been written."""

    def __init__(self):
        self.arrays: dict[int, list[np.ndarray]] = {}  # size -> all arrays of this size, free or not
        self.lock = Lock()

    def acquire(self, size: int) -> np.ndarray:
        """A free array of at least this size; a new one if none is free.

        Invariant: getrefcount(array) == UNSHARED_REFCOUNT + its pins  <=>  only the pool and recorded calls refer to it.
        It holds because the views of an array all refer to the array itself (NumPy collapses chains of `base`), and because
        the expression below adds the same references as the one that measures UNSHARED_REFCOUNT."""
        size = 1 << (size - 1).bit_length()
        pinned = thread_state.capture.pinned if thread_state.capture is not None else {}
        with self.lock:
            arrays = self.arrays.setdefault(size, [])
            for i in range(len(arrays)):
                if getrefcount(arrays[i]) == UNSHARED_REFCOUNT + pinned.get(id(arrays[i]), 0):
                    return arrays[i]
            arrays.append(np.empty(size, np.float32))
            return arrays[-1]


def unshared_refcount() -> int:
    """`getrefcount` of an array that only a list refers to; it differs between versions of Python."""
    arrays = [np.empty(0)]
    return getrefcount(arrays[0])


UNSHARED_REFCOUNT = unshared_refcount()
pool = BufferPool()
dependent_caches: WeakSet = WeakSet()  # what else keeps buffers between calls; each has a `lock` and `clear()`


def empty(*shape: int) -> np.ndarray:
    """An uninitialized float32 array of this shape."""
    size = math.prod(shape)
    if size < MIN_POOLED_FLOATS:
        return np.empty(shape, np.float32)
    return align_to_cache_line(pool.acquire(size + ALIGNMENT // 4), shape)


def exceeds_llc(y: np.ndarray) -> bool:
    """Whether y is so large that its start has left the last-level cache before its end is written. Kernels then use
    non-temporal stores (`store_nontemporal`), which need rows that start at cache lines. The rows of per-thread scratch
    must start at cache lines too (1.4 times on a softmax); arrays of MIN_POOLED_FLOATS or more do."""
    return y.size > LLC_FLOATS and y.shape[-1] % (ALIGNMENT // 4) == 0


@strict_arguments
def free_buffers() -> None:
    """Return the memory that models keep for their results. Arrays that the caller still refers to stay valid."""
    for cache in list(dependent_caches):
        cache.clear()
    with pool.lock:
        pool.arrays.clear()


def reset_after_fork() -> None:
    """In a forked child, replace the locks: the thread that held one exists only in the parent."""
    for cache in (pool, *dependent_caches):
        cache.lock = Lock()
