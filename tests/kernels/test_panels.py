"""Packed weights begin at a cache line. A vector, or a tile's row, that crosses from one line into the next takes two reads."""

import numpy as np
import pytest

from minibert.kernels.catalog import variants
from minibert.kernels.gemm.gemm import Weights
from minibert.kernels.runtime.buffer_pool import ALIGNMENT, MIN_POOLED_FLOATS, aligned, aligned_copy

OPERATIONS = ("linear", "linear_gelu", "linear_add", "query_key_value")
NAMES = {"register", "bf16", "int8", "int8_tile", "amx", "amx_bf16", "amx_int8", "amx_int8_tile"}
PACKED = [(operation, name) for operation in OPERATIONS for name, variant in variants(operation).items() if name in NAMES]


@pytest.mark.parametrize(("operation", "name"), PACKED)
@pytest.mark.parametrize("pack", ["pack_weights", "repack_weights"])
def test_panels_begin_at_a_cache_line(operation, name, pack):
    variant = variants(operation)[name]
    if getattr(variant, pack) is None:
        return  # int8 is not trained
    parts = 3 if operation == "query_key_value" else 1
    for outputs, inputs in ((5, 16), (33, 61), (70, 48), (96, 768), (7, 300)):
        weight, bias = np.ones((outputs, inputs), np.float32), np.ones(outputs, np.float32)
        packed = getattr(variant, pack)(*[weight, bias] * parts)
        assert isinstance(packed, Weights) and packed.panels.flags.c_contiguous
        if (
            pack == "pack_weights" or packed.panels.nbytes >= 4 * MIN_POOLED_FLOATS
        ):  # smaller ones of a training step are NumPy's
            assert packed.panels.ctypes.data % ALIGNMENT == 0, (outputs, inputs)


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.float32])
def test_an_aligned_array_stays_and_another_is_copied(dtype):
    memory = np.zeros(1000, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    there, beside = (memory[start + apart : start + apart + 24].view(dtype).reshape(2, -1) for apart in (0, 8))
    beside[:] = np.arange(beside.size).reshape(beside.shape)
    assert aligned(there) is there and aligned_copy(there) is not there
    for array in (beside, beside.T):
        copy = aligned(array)
        assert copy.ctypes.data % ALIGNMENT == 0 and copy.dtype == dtype and np.array_equal(copy, array)
        assert copy.flags.c_contiguous and not np.shares_memory(copy, memory)
    empty = aligned_copy(np.zeros((0, 3), dtype))
    assert empty.shape == (0, 3) and empty.dtype == dtype
