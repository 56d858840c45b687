"""What tests of kernels share: the number of threads is put back after each."""

import pytest

from minibert.kernels.runtime.thread_count import get_num_threads, set_num_threads


@pytest.fixture(autouse=True)
def threads_as_before():
    before = get_num_threads()
    yield
    set_num_threads(before)
