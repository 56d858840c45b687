"""safetensors files -> named float32 arrays, mapped into memory.

`open_weights(checkpoint)` reads headers only; no tensor is read before its shape is checked. Pickled checkpoints are
never opened. Next: `models/checkpoint.py`, which names a model may expect, and with which shapes.
"""

from __future__ import annotations

import json
import math
import mmap
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from .config import check_contents
from .errors import WeightsError, short_repr
from .files import atomic_write, read_json

LARGEST_HEADER = 1 << 20  # bytes; bert-large's has 50,000, and 75 MB of one took 3.8 s and 1.1 GB to read
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
SHARD = re.compile(r"[\w. +=-]+\.safetensors")
FLOATS = {"F32": "<f4", "F16": "<f2", "BF16": "<u2", "F64": "<f8"}


class StoredTensor(NamedTuple):
    """A tensor in a file: all that can be known without reading it."""

    shape: tuple[int, ...]
    dtype: str  # safetensors' name of the type: F32, BF16, ...
    content: mmap.mmap
    offset: int  # bytes from the file's beginning

    def array(self) -> np.ndarray:
        """float32 in its stored shape: the file's own memory, read-only, if it holds float32, else a copy. int8 stays
        int8."""
        if self.dtype == "I8":
            return np.frombuffer(self.content, np.int8, math.prod(self.shape), self.offset).reshape(self.shape)
        stored = np.frombuffer(self.content, FLOATS[self.dtype], math.prod(self.shape), self.offset).reshape(self.shape)
        if self.dtype == "BF16":  # the upper half of a float32
            return (stored.astype(np.uint32) << 16).view(np.float32)
        return stored.astype(np.float32, copy=not stored.flags.aligned)


def open_weights(checkpoint: Any) -> dict[str, StoredTensor]:
    """A located checkpoint's model.safetensors, or the shards its index names -> its tensors, by the names in the file."""
    if index := None if checkpoint.optional(WEIGHTS) else checkpoint.optional(INDEX):
        tensors: dict[str, StoredTensor] = {}
        weight_map = read_weight_map(index)
        for shard in dict.fromkeys(weight_map.values()):
            stored = read_tensors(checkpoint.file(shard))
            lacking = [name for name, owner in weight_map.items() if owner == shard and name not in stored]
            if lacking:
                raise WeightsError(
                    f"a shard must hold every tensor that {index.name} lists for it; {shard} of {checkpoint.name} lacks "
                    f"{', '.join(abbreviate(lacking))}. Download both files again."
                )
            for name, tensor in stored.items():
                if name in tensors:
                    raise WeightsError(f"a tensor may be in one shard only; {short_repr(name)} is in {shard} and another one.")
                tensors[name] = tensor
        return tensors
    pickle = None if checkpoint.optional(WEIGHTS) else next(filter(checkpoint.has, PICKLES), None)
    if pickle:
        raise WeightsError(
            f"minibert reads {WEIGHTS}; {checkpoint.name} has only {pickle}, a pickle, which could run any code when "
            "opened. Convert it once where you trust it: transformers' AutoModel.from_pretrained(...) and "
            "save_pretrained(...) write safetensors, and so does https://huggingface.co/spaces/safetensors/convert."
        )
    if checkpoint.optional(WEIGHTS) is None:
        check_contents(checkpoint)
    return read_tensors(checkpoint.file(WEIGHTS))


def read_weight_map(index: Path) -> dict[str, str]:
    """model.safetensors.index.json -> {tensor: file}; plain names of files only: a path could lead anywhere."""
    weight_map = read_json(index, WeightsError).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise WeightsError(f"{index} must hold a weight_map of tensors to files, and has none.")
    for name in weight_map.values():
        if not isinstance(name, str) or not SHARD.fullmatch(name):
            raise WeightsError(f"a shard is a plain file name ending in .safetensors; {index} names {short_repr(name)}.")
    return weight_map


def read_tensors(path: Path) -> dict[str, StoredTensor]:
    """A safetensors file -> its tensors. The library judges the file; the offsets come from the header it approved."""
    with open(path, "rb") as file:
        start = file.read(64)
        length = int.from_bytes(start[:8], "little")
        if len(start) < 8 or length > LARGEST_HEADER:  # any text, zip or pickle, read as a length, is larger
            raise WeightsError(f"{path} is not a safetensors file: {describe(start, length)}.")
        try:
            with safe_open(path, framework="np"):
                pass
        except SafetensorError as error:
            raise WeightsError(f"{path} is damaged: {error!s:.300}. Download it again, or delete it.") from None
        file.seek(8)
        header = read_header(file.read(length), path)
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return {
        name: StoredTensor(tuple(entry["shape"]), entry["dtype"], content, 8 + length + entry["data_offsets"][0])
        for name, entry in header.items()
    }


def read_header(text: bytes, path: Path) -> dict[str, dict]:
    """An approved header's entries. The library lets a name be there twice, and an entry be a list; nobody writes so."""

    def once(pairs: list[tuple]) -> dict:
        if len(dict(pairs)) < len(pairs):
            raise ValueError("a name is there twice")
        return dict(pairs)

    try:
        header = json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path} is damaged: its header cannot be read: {error}. Download it again.") from None
    header.pop("__metadata__", None)
    lists = [name for name, entry in header.items() if not isinstance(entry, dict)]
    if lists:
        raise WeightsError(f"{path} is damaged: {short_repr(lists[0])} is no object in its header. Download it again.")
    return header


def drop_pages(array: np.ndarray) -> None:
    """Let a mapped tensor's pages leave this process. Whoever reads it again gets them from the system's file cache."""
    owner: Any = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    owner = getattr(owner, "obj", owner)  # of the memoryview that NumPy puts between
    if not isinstance(owner, mmap.mmap) or not hasattr(owner, "madvise"):
        return
    beginning = np.frombuffer(owner, np.uint8).ctypes.data
    first = array.ctypes.data - beginning + mmap.PAGESIZE - 1  # whole pages only: neighbors keep theirs
    first -= first % mmap.PAGESIZE
    length = array.ctypes.data - beginning + array.nbytes - first
    if length > 0:
        owner.madvise(mmap.MADV_DONTNEED, first, length)


def describe(start: bytes, length: int) -> str:
    """The first bytes of a file that is no safetensors file -> what it most likely is, and the fix."""
    if start[4:9] == b"\0\0\0\0{":
        return f"its header would have {length} bytes, and may have {LARGEST_HEADER}"
    if start.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer; run `git lfs pull` where it was cloned"
    if start.lstrip()[:1] == b"<":
        return "it is a web page, perhaps an error that a download saved; download it again"
    if start.startswith((b"PK\x03\x04", b"\x80")):
        return "it is a zip archive or a pickle, which minibert does not open; convert the checkpoint to safetensors"
    if len(start) < 8:
        return f"it has {len(start)} bytes, less than the shortest; download it again"
    return f"its header would have {length} bytes, and may have {LARGEST_HEADER}"


def save_tensors(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Write a safetensors file; the note in it is what `transformers` asks for."""
    contiguous = {name: np.ascontiguousarray(array) for name, array in tensors.items()}

    def write(tmp_path: Path) -> None:
        try:
            save_file(contiguous, tmp_path, metadata={"format": "pt"})
        except SafetensorError as error:  # the library's error for a full disk
            raise OSError(str(error)) from None

    atomic_write(path, write)


def abbreviate(names: list[str], most: int = 20) -> list[str]:
    """Names for an error's message: the first ones, none of them long, and the count of the rest."""
    shown = [name if len(name) <= 200 else f"{name[:200]}..." for name in names[:most]]
    return shown if len(names) <= most else [*shown, f"and {len(names) - most} more"]
