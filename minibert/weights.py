"""A checkpoint's weights -> named float32 arrays, mapped into memory. Nothing from a checkpoint is ever executed.

`open_weights(checkpoint)` chooses the file, and reads headers only; no tensor is read before its shape is checked:

    model.safetensors    or the shards that model.safetensors.index.json names: preferred, for it is data and nothing else
    pytorch_model.bin    or its shards: a pickle, of which `torch_file.py` interprets what a state dict needs

What is written is safetensors only: whoever reads it need not execute anything, nor know how not to. Next:
`models/checkpoint.py`, which names a model may expect, and with which shapes.
"""

from __future__ import annotations

import json
import math
import mmap
import re
import struct
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from .config import check_contents
from .errors import WeightsError, short_repr
from .files import atomic_write, read_json
from .stored_tensor import DTYPES, StoredTensor, foreign_content
from .torch_file import read_torch_file

LARGEST_HEADER = 1 << 20  # bytes; bert-large's has 50,000, and 75 MB of one took 3.8 s and 1.1 GB to read
ALIGNMENT = 64  # bytes of a cache line; kernels, which this file does not import, have it too
TYPE_NAMES = {np.dtype(code): name for name, code in DTYPES.items() if name != "BF16"}
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
SAFETENSORS = (WEIGHTS, INDEX)
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
WEIGHT_FILES = (*SAFETENSORS, *PICKLES)  # the first that a checkpoint has is read


def open_weights(checkpoint: Any, safetensors_only: bool = False) -> dict[str, StoredTensor]:
    """A located checkpoint's weights, in one file or in shards -> its tensors, by the names in the file. WeightsError if it
    has a pickle only, and `safetensors_only` was asked for."""
    checkpoint, filename = find_weights(checkpoint)
    if safetensors_only and filename in PICKLES:
        raise WeightsError(
            f"with use_safetensors=True weights must be safetensors; {checkpoint.name} has only {filename}. Leave it out (reading "
            "it executes nothing), or convert it: minibert convert NAME FOLDER."
        )
    path = checkpoint.file(filename)
    suffix = ".safetensors" if filename in SAFETENSORS else ".bin"
    return read_shards(checkpoint, path, suffix) if filename.endswith(".json") else READERS[suffix](path)


def find_weights(checkpoint: Any) -> tuple[Any, str]:
    """A located checkpoint -> itself, or the hub's conversion of it to safetensors, and the name of the file to read.

    A file in the cache is taken without a request. A checkpoint without weights is a ModelNotFoundError.
    """

    def first(names: Iterable[str], has: Callable[[str], object]) -> str | None:
        return next(filter(has, names), None)

    if filename := first(WEIGHT_FILES, checkpoint.is_cached) or first(SAFETENSORS, checkpoint.optional):
        return checkpoint, filename
    conversion = checkpoint.conversion()
    if conversion and (filename := first(SAFETENSORS, conversion.optional)):
        return conversion, filename
    if filename := first(PICKLES, checkpoint.optional):
        return checkpoint, filename
    check_contents(checkpoint)
    return checkpoint, WEIGHTS  # whose absence is the error


def read_shards(checkpoint: Any, index: Path, suffix: str) -> dict[str, StoredTensor]:
    """The tensors of all the shards that an index names."""
    tensors: dict[str, StoredTensor] = {}
    weight_map = read_weight_map(index, suffix)
    for shard in dict.fromkeys(weight_map.values()):
        stored = READERS[suffix](checkpoint.file(shard))
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


def read_weight_map(index: Path, suffix: str) -> dict[str, str]:
    """An index -> {tensor: file}; plain names of files only: a path could lead anywhere."""
    weight_map = read_json(index, WeightsError).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise WeightsError(f"{index} must hold a weight_map of tensors to files, and has none.")
    for name in weight_map.values():
        if not isinstance(name, str) or not re.fullmatch(rf"[\w. +=-]+{re.escape(suffix)}", name):
            raise WeightsError(f"a shard is a plain file name ending in {suffix}; {index} names {short_repr(name)}.")
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


READERS: dict[str, Callable[[Path], dict[str, StoredTensor]]] = {".safetensors": read_tensors, ".bin": read_torch_file}


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
    end = array.ctypes.data - beginning + array.nbytes
    end -= end % mmap.PAGESIZE
    if end > first:
        owner.madvise(mmap.MADV_DONTNEED, first, end - first)


def describe(start: bytes, length: int) -> str:
    """The first bytes of a file that is no safetensors file -> what it most likely is, and the fix."""
    if start[4:9] == b"\0\0\0\0{":
        return f"its header would have {length} bytes, and may have {LARGEST_HEADER}"
    if content := foreign_content(start):
        return content
    if start.startswith((b"PK\x03\x04", b"\x80")):
        return "it is a zip archive or a pickle, as torch.save writes them; a file of that is named pytorch_model.bin"
    if len(start) < 8:
        return f"it has {len(start)} bytes, less than the shortest; download it again"
    return f"its header would have {length} bytes, and may have {LARGEST_HEADER}"


def save_tensors(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Write a safetensors file of arrays of the types in DTYPES."""
    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    write_safetensors(path, {name: (TYPE_NAMES[array.dtype], array.shape) for name, array in arrays.items()}, arrays.get)


def save_stored(path: Path, tensors: Mapping[str, StoredTensor]) -> None:
    """Write a safetensors file of tensors as they are stored, of their types and bits, one at a time."""
    kinds = {name: (tensor.dtype, tensor.shape) for name, tensor in tensors.items()}
    write_safetensors(path, kinds, lambda name: tensors[name].stored_array(), drop_pages)


def write_safetensors(
    path: Path,
    kinds: Mapping[str, tuple[str, tuple[int, ...]]],
    read: Callable[[str], Any],
    release: Callable[[np.ndarray], None] = lambda array: None,
) -> None:
    """Write tensors of these types and shapes, and release each when it is written.

    Kernels read int8 weights where the file is mapped, so tensors of whole cache lines come first, and each begins at one. The
    note in the header is what `transformers` asks for."""
    sizes = {name: math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize for name, (dtype, shape) in kinds.items()}
    ordered = sorted(kinds, key=lambda name: (sizes[name] % ALIGNMENT != 0, name))
    header: dict[str, dict] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name in ordered:
        start, end = end, end + sizes[name]
        header[name] = {"dtype": kinds[name][0], "shape": kinds[name][1], "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)

    def write(tmp_path: Path) -> None:
        with open(tmp_path, "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            for name in ordered:
                array = read(name)
                file.write(array.data)
                release(array)

    atomic_write(path, write)


def abbreviate(names: list[str], most: int = 20) -> list[str]:
    """Names for an error's message: the first ones, none of them long, and the count of the rest."""
    shown = [name if len(name) <= 200 else f"{name[:200]}..." for name in names[:most]]
    return shown if len(names) <= most else [*shown, f"and {len(names) - most} more"]
