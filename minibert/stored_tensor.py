"""A tensor in a file: what is known of it before it is read, and how it becomes an array.

`weights.py` makes them from safetensors, `torch_file.py` from PyTorch's files.
"""

from __future__ import annotations

import math
import mmap
from typing import NamedTuple, Protocol

import numpy as np

FLOATS = {"F32": "<f4", "F16": "<f2", "BF16": "<u2", "F64": "<f8"}
DTYPES = {**FLOATS, "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1", "BOOL": "?"}  # what is written, too


class Compressed(Protocol):
    """Bytes that are not in the file as they are."""

    def read(self) -> bytes: ...


class StoredTensor(NamedTuple):
    """A tensor in a file: all that can be known without reading it."""

    shape: tuple[int, ...]
    dtype: str  # safetensors' name of the type: F32, BF16, ...
    content: mmap.mmap | Compressed
    offset: int  # bytes from the content's beginning
    strides: tuple[int, ...] | None = None  # in elements; None: in C order, without gaps

    def array(self) -> np.ndarray:
        """float32 in C order: the file's own memory, read-only, if it holds that, else a copy. int8 stays int8."""
        stored = self.stored_array()
        if self.dtype == "I8":
            return stored
        if self.dtype == "BF16":  # the upper half of a float32
            return (stored.astype(np.uint32) << 16).view(np.float32)
        return stored.astype(np.float32, copy=not stored.flags.aligned)

    def stored_array(self) -> np.ndarray:
        """The elements as they are stored, in C order; BF16 as uint16."""
        dtype = np.dtype(DTYPES[self.dtype])
        content = self.content if isinstance(self.content, mmap.mmap) else self.content.read()
        if self.strides is None:
            return np.frombuffer(content, dtype, math.prod(self.shape), self.offset).reshape(self.shape)
        strides = tuple(stride * dtype.itemsize for stride in self.strides)
        return np.ascontiguousarray(np.ndarray(self.shape, dtype, content, self.offset, strides))


def foreign_content(start: bytes) -> str | None:
    """The first bytes of a file that should hold tensors -> what it is instead and the fix, if that is known."""
    if start.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer; run `git lfs pull` where it was cloned"
    if start.lstrip()[:1] == b"<":
        return "it is a web page, perhaps an error that a download saved; download it again"
    return None
