"""Memory used again: never while anyone holds it, aligned, and given back."""

import numpy as np
from callers import at_the_same_time

from minibert.kernels.runtime import buffer_pool as buffers
from minibert.kernels.runtime.buffer_pool import LINE, SMALL, Buffers, aligned, empty, free_buffers


def test_a_buffer_serves_again_once_its_array_and_every_view_of_it_are_gone():
    kept = Buffers()
    first = kept.take(10_000)
    view = first[:100].reshape(10, 10)[2:]
    place = first.ctypes.data
    del first
    assert kept.take(10_000).ctypes.data != place
    del view
    assert place in {kept.take(10_000).ctypes.data for _ in range(1)}


def test_memory_grows_to_what_is_held_at_one_time_and_no_further():
    kept = Buffers()
    for size in (5_000, 50_000, 7_000, 50_000, 200_000, 5_000):
        one, other = kept.take(size), kept.take(size)
        del one, other
    sizes = [array.size for same in kept.kept.values() for array in same]
    assert sorted(sizes) == sorted(2 * [8_192, 65_536, 262_144])  # two of each power of two at most


def test_arrays_begin_at_a_line_of_the_cache():
    for shape in ((3,), (7, 768), (SMALL, 3)):
        made = aligned(*shape)
        assert made.shape == shape and made.ctypes.data % LINE == 0
    made = empty(SMALL, 3)
    assert made.shape == (SMALL, 3) and made.ctypes.data % LINE == 0
    assert empty(0, 5).shape == (0, 5)


def test_threads_never_get_the_same_memory():
    wrong = []

    def work(number):
        for _ in range(300):
            mine = empty(SMALL * 2)
            mine[:] = number
            if not (mine == number).all():
                wrong.append(number)

    at_the_same_time(work, 8)
    assert not wrong


def test_buffers_are_freed_on_request_and_what_is_held_stays():
    held = empty(SMALL * 4)
    held[:] = 7
    free_buffers()
    assert not buffers.buffers.kept
    other = empty(SMALL * 4)
    other[:] = 8
    assert np.all(held == 7)
