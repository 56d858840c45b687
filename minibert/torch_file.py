"""PyTorch's own file of a state dict, pytorch_model.bin -> its tensors, with nothing in it executed.

torch.save pickles the state dict; in place of a storage (the memory of one or more tensors) stands a persistent id,
("storage", type, key, location, elements), and the bytes of the storages are elsewhere in the file:

    since torch 1.6    a zip file: NAME/data.pkl, and NAME/data/KEY for each storage
    before             pickles of a magic number, a protocol, the writing machine's sizes, the state dict and the keys of
                       the storages in their order; then each storage: its elements (8 bytes), and its bytes

`pickle_reader.py` interprets the pickles. NAMES is all that they may name. The tensors are StoredTensors, as those of
safetensors are: nothing of a tensor is read yet. Next: `weights.py`, which chooses the file.
"""

from __future__ import annotations

import math
import mmap
from pathlib import Path
from typing import Any, NamedTuple

from .errors import WeightsError, short_repr
from .pickle_reader import LARGEST_PICKLE, SAVE_AGAIN, Name, ordered_dict, read_pickle
from .stored_tensor import DTYPES, StoredTensor, foreign_content
from .zip_directory import ZipEntry, read_directory

MOST_AXES = 32  # NumPy's limit before version 2
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
STORAGES = {
    "torch.FloatStorage": "F32",
    "torch.HalfStorage": "F16",
    "torch.BFloat16Storage": "BF16",
    "torch.DoubleStorage": "F64",
    "torch.LongStorage": "I64",
    "torch.IntStorage": "I32",
    "torch.ShortStorage": "I16",
    "torch.CharStorage": "I8",
    "torch.ByteStorage": "U8",
    "torch.BoolStorage": "BOOL",
}
ITEMSIZES = {name: int(code[-1]) if code != "?" else 1 for name, code in DTYPES.items()}
DTYPE_NAMES = ("float32", "float16", "bfloat16", "float64", "int64", "int32", "int16", "int8", "uint8", "bool")


class Storage(NamedTuple):
    """The memory of one or more tensors, by its key in the file."""

    key: str
    dtype: str
    length: int  # elements


class Tensor(NamedTuple):
    """A part of a storage."""

    storage: Storage
    offset: int  # elements from the storage's beginning
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None  # in elements; None: in C order, without gaps


def read_torch_file(path: Path) -> dict[str, StoredTensor]:
    """A file of torch.save's, of either form -> the tensors of its state dict. WeightsError if it holds anything else."""
    with open(path, "rb") as file:
        start = file.read(64)
        try:
            if not start.startswith((b"PK\x03\x04", b"\x80")):
                what = foreign_content(start) or "it is neither a zip file nor a pickle; download it again"
                raise WeightsError(f"it is no file of torch.save: {what}.")
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            return read_zip(content) if start.startswith(b"PK") else read_legacy(content)
        except WeightsError as error:
            raise WeightsError(f"{path}: {error}") from None


# --- The two forms ---------------------------------------------------------------------------------------------------


def read_zip(content: mmap.mmap) -> dict[str, StoredTensor]:
    """The form since torch 1.6."""
    entries = read_directory(content)
    pickles = [name for name in entries if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise WeightsError(f"a zip file of torch.save has one data.pkl in a folder; this one has {len(pickles)}.")
    folder = pickles[0].removesuffix("data.pkl")
    if f"{folder}constants.pkl" in entries:
        raise WeightsError(f"it holds a TorchScript program; a state dict is needed. {SAVE_AGAIN}")
    if (order := entries.get(f"{folder}byteorder")) and (order.size != 6 or order.read() != b"little"):
        raise WeightsError(f"tensors must be little-endian; these were written on a big-endian machine. {SAVE_AGAIN}")
    if entries[pickles[0]].size > LARGEST_PICKLE:
        raise WeightsError(f"a state dict's pickle may have {LARGEST_PICKLE} bytes; got {entries[pickles[0]].size}.")
    state, storages, _ = read_state(entries[pickles[0]].read(), 0)
    locations: dict[str, tuple[mmap.mmap | ZipEntry, int]] = {}
    for key, storage in storages.items():
        entry = entries.get(f"{folder}data/{key}")
        size = storage.length * ITEMSIZES[storage.dtype]
        if entry is None or entry.size != size:
            raise damaged(f"storage {short_repr(key)} must have {size} bytes; it has {entry.size if entry else 'no entry'}")
        locations[key] = (entry, 0) if entry.deflated else (content, entry.start)
    return stored_tensors(state, locations)


def read_legacy(content: mmap.mmap) -> dict[str, StoredTensor]:
    """The form before torch 1.6, and of torch.save(..., _use_new_zipfile_serialization=False)."""
    header, position = [], 0
    for _ in range(3):
        value, position = read_pickle(content, position, NAMES, refuse_storage)
        header.append(value)
        if header[0] != MAGIC:
            raise WeightsError(f"a pickle of torch.save begins with its magic number; this is another pickle. {SAVE_AGAIN}")
    if header[1] != PROTOCOL or type(header[2]) is not dict or header[2].get("little_endian") is not True:
        raise WeightsError(
            f"torch's protocol must be {PROTOCOL}, and its writer little-endian; this file says otherwise. {SAVE_AGAIN}"
        )
    state, storages, position = read_state(content, position)
    keys, position = read_pickle(content, position, NAMES, refuse_storage)
    if type(keys) is not list or not all(type(key) is str for key in keys) or sorted(keys) != sorted(storages):
        raise damaged("it lists other storages than its tensors have")
    locations: dict[str, tuple[mmap.mmap | ZipEntry, int]] = {}
    for key in keys:
        length = int.from_bytes(content[position : position + 8], "little", signed=True)
        locations[key] = content, position + 8
        position += 8 + storages[key].length * ITEMSIZES[storages[key].dtype]
        if length != storages[key].length or position > len(content):
            raise damaged(f"storage {short_repr(key)} must have {storages[key].length} elements; it has {length}, or less")
    if position != len(content):
        raise damaged(f"it ends {len(content) - position} bytes after its last storage")
    return stored_tensors(state, locations)


def read_state(content: Any, start: int) -> tuple[dict[str, Tensor], dict[str, Storage], int]:
    """The state dict's pickle -> its tensors by name, their storages by key, and the index after its end."""
    storages: dict[str, Storage] = {}

    def load_storage(identity: Any) -> Storage:
        storage = storage_of(identity)
        if storages.setdefault(storage.key, storage) != storage:
            raise damaged(f"storage {short_repr(storage.key)} has two types or lengths")
        return storage

    state, end = read_pickle(content, start, NAMES, load_storage)
    if type(state) is not dict:
        raise WeightsError(f"a state dict maps names to tensors; this is a {type(state).__name__}. {SAVE_AGAIN}")
    for name, value in state.items():
        if type(name) is not str or type(value) is not Tensor:
            raise WeightsError(
                f"a state dict maps names to tensors; {short_repr(name)} is a {type(value).__name__}. {SAVE_AGAIN}"
            )
    return state, storages, end


def stored_tensors(state: dict[str, Tensor], locations: dict[str, tuple[mmap.mmap | ZipEntry, int]]) -> dict[str, StoredTensor]:
    """Tensors, and where each storage's bytes begin -> StoredTensors."""
    tensors = {}
    for name, (storage, offset, shape, strides) in state.items():
        content, start = locations[storage.key]
        tensors[name] = StoredTensor(shape, storage.dtype, content, start + offset * ITEMSIZES[storage.dtype], strides)
    return tensors


def damaged(what: str) -> WeightsError:
    return WeightsError(f"it is damaged: {what}. Download it again.")


# --- What a state dict may name --------------------------------------------------------------------------------------


def storage_of(identity: Any) -> Storage:
    """A persistent id -> the storage that it stands for."""
    if type(identity) is tuple and len(identity) == 6 and identity[5] is None:  # the old form's sixth: of another's part
        identity = identity[:5]
    if type(identity) is not tuple or len(identity) != 5 or identity[0] != "storage" or type(identity[1]) is not Name:
        raise damaged("an object outside of its pickle is no storage")
    _, storage_type, key, device, length = identity
    if storage_type.full not in STORAGES or type(key) is not str or type(device) is not str:
        raise damaged(f"a storage is of {storage_type.full}, with the key {show(key)} and the device {show(device)}")
    if type(length) is not int or not 0 <= length < 2**60:
        raise damaged(f"storage {short_repr(key)} has {show(length)} elements")
    return Storage(key, STORAGES[storage_type.full], length)


def show(value: Any) -> str:
    """For a message. A container's repr can be exponential in the pickle's length: a list may hold another one twice."""
    return short_repr(value) if type(value) in (str, int) else f"a {type(value).__name__}"


def refuse_storage(identity: Any) -> Any:
    raise damaged("a storage is where none may be")


def rebuild_tensor(arguments: tuple) -> Tensor:
    """(storage, offset, shape, strides, requires_grad, hooks[, metadata]) -> the tensor, which lies within its storage."""
    if len(arguments) < 4 or type(arguments[0]) is not Storage:
        raise damaged("a tensor has no storage")
    storage, offset, shape, strides = arguments[:4]
    if type(shape) is not tuple or type(strides) is not tuple or len(shape) != len(strides) or len(shape) > MOST_AXES:
        raise damaged(f"a tensor's shape and strides are two tuples of {MOST_AXES} numbers or less")
    if not all(type(value) is int and 0 <= value < 2**60 for value in (offset, *shape, *strides)):
        raise damaged("a tensor's offset, shape and strides are whole numbers from 0 to 2**60; one has others")
    if len(arguments) > 6 and arguments[6]:
        raise WeightsError(f"a tensor may not be a conjugated or negated view; one is. {SAVE_AGAIN}")
    count = math.prod(shape)
    end = offset + sum((size - 1) * stride for size, stride in zip(shape, strides)) + 1 if count else offset
    if max(end, count) > storage.length:
        raise damaged(
            f"a tensor of shape {short_repr(shape)}, strides {short_repr(strides)} and offset {offset} is larger than its storage "
            f"of {storage.length} elements"
        )
    return Tensor(storage, offset, shape, None if is_contiguous(shape, strides) else strides)


def is_contiguous(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether elements lie in C order without gaps. The stride of an axis of one element is never used."""
    expected = 1
    for size, stride in zip(reversed(shape), reversed(strides)):
        if size != 1 and stride != expected:
            return 0 in shape
        expected *= size
    return True


def rebuild_parameter(arguments: tuple) -> Tensor:
    """(tensor, requires_grad, hooks[, attributes]) -> the tensor."""
    if not arguments or type(arguments[0]) is not Tensor:
        raise damaged("a parameter is made of something else than a tensor")
    return arguments[0]


def size_of(arguments: tuple) -> tuple:
    """torch.Size((2, 3)) -> (2, 3)."""
    if len(arguments) != 1 or type(arguments[0]) is not tuple:
        raise damaged("a size is made of something else than a tuple")
    return arguments[0]


NAMES = {
    name: Name(name, call)
    for name, call in {
        "collections.OrderedDict": ordered_dict,
        "torch._utils._rebuild_tensor": rebuild_tensor,  # of torch before 0.4
        "torch._utils._rebuild_tensor_v2": rebuild_tensor,
        "torch._utils._rebuild_parameter": rebuild_parameter,
        "torch._utils._rebuild_parameter_with_state": rebuild_parameter,
        "torch.Size": size_of,
        **dict.fromkeys(STORAGES),
        **dict.fromkeys(f"torch.{name}" for name in DTYPE_NAMES),
    }.items()
}
