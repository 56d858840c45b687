"""What tests of kernels share: variants in the order of the ladders, and the number of threads is put back after each."""

import pytest

from minibert.kernels.catalog import operations
from minibert.kernels.runtime.thread_count import get_num_threads, set_num_threads

operations(("fast",))  # before a test file imports one of `ops/`: a variant's place is that of its first import


@pytest.fixture(autouse=True)
def threads_as_before():
    before = get_num_threads()
    yield
    set_num_threads(before)
