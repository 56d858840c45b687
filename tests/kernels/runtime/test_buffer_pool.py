"""The buffer pool: memory is reused, but never while anyone refers to it; aligned; and freed on request."""

import numpy as np
from concurrency import run_concurrently

from minibert.kernels.runtime import buffer_pool
from minibert.kernels.runtime.buffer_pool import (
    ALIGNMENT,
    MIN_POOLED_FLOATS,
    UNSHARED_REFCOUNT,
    BufferPool,
    empty,
    empty_aligned,
    free_buffers,
    unshared_refcount,
)
from minibert.kernels.runtime.capture import thread_state
from minibert.kernels.runtime.threads import capture


def test_a_buffer_is_reused_once_its_array_and_every_view_of_it_are_gone():
    pool = BufferPool()
    first = pool.acquire(10_000)
    view = first[:100].reshape(10, 10)[2:]
    address = first.ctypes.data
    del first
    assert pool.acquire(10_000).ctypes.data != address
    del view
    assert address in {pool.acquire(10_000).ctypes.data for _ in range(1)}


def test_a_free_buffer_has_the_unshared_reference_count_plus_its_pins():
    """The invariant of `BufferPool.acquire`."""
    assert unshared_refcount() == UNSHARED_REFCOUNT
    pool = BufferPool()
    with capture() as recorded:
        first = pool.acquire(10_000)
        address = first.ctypes.data
        (argument,) = recorded.pin_buffers((first[:5_000].reshape(50, 100),))
        assert argument.base is first and thread_state.capture.pinned == {id(first): 1}
        assert pool.acquire(10_000).ctypes.data != address  # `first` is a reference of this test
        del first
        assert pool.acquire(10_000).ctypes.data == address  # only the recorded call refers to it
    assert pool.acquire(10_000).ctypes.data != address  # outside the capture, a pin is a reference as any other


def test_memory_grows_to_what_is_used_at_one_time_and_no_further():
    pool = BufferPool()
    for size in (5_000, 50_000, 7_000, 50_000, 200_000, 5_000):
        first, second = pool.acquire(size), pool.acquire(size)
        del first, second
    sizes = [array.size for arrays in pool.arrays.values() for array in arrays]
    assert sorted(sizes) == sorted(2 * [8_192, 65_536, 262_144])  # two of each power of two at most


def test_arrays_start_at_a_cache_line():
    for shape in ((3,), (7, 768), (MIN_POOLED_FLOATS, 3)):
        array = empty_aligned(*shape)
        assert array.shape == shape and array.ctypes.data % ALIGNMENT == 0
    array = empty(MIN_POOLED_FLOATS, 3)
    assert array.shape == (MIN_POOLED_FLOATS, 3) and array.ctypes.data % ALIGNMENT == 0
    assert empty(0, 5).shape == (0, 5)


def test_threads_never_get_the_same_memory():
    wrong = []

    def work(i):
        for _ in range(300):
            array = empty(MIN_POOLED_FLOATS * 2)
            array[:] = i
            if not (array == i).all():
                wrong.append(i)

    run_concurrently(work, 8)
    assert not wrong


def test_buffers_are_freed_on_request_and_arrays_in_use_stay_valid():
    used = empty(MIN_POOLED_FLOATS * 4)
    used[:] = 7
    free_buffers()
    assert not buffer_pool.pool.arrays
    later = empty(MIN_POOLED_FLOATS * 4)
    later[:] = 8
    assert np.all(used == 7)
