"""safetensors files -> named float32 arrays, mapped into memory, and the table of the names that checkpoints use.

`open_weights(checkpoint)` reads headers only; nothing as large as a tensor is touched until its shape is known to fit
(`models/base.py` compares). Pickled checkpoints are never opened. Next: `models/encoder.py`, which uses the arrays.
"""

from __future__ import annotations

import json
import math
import mmap
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from .config import Architecture, check_contents
from .errors import MinibertWarning, WeightsError, brief
from .files import read_json, write_whole

LARGEST_HEADER = 1 << 20  # bytes; bert-large's has 50,000, and 75 MB of one took 3.8 s and 1.1 GB to read
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
SHARD = re.compile(r"[\w. +=-]+\.safetensors")
FLOATS = {"F32": "<f4", "F16": "<f2", "BF16": "<u2", "F64": "<f8"}
WHOLE = ".panels"  # ends the names of the tensors that are whole numbers of 8 bits: models/quantized.py


class StoredTensor(NamedTuple):
    """A tensor in a file: all that can be known without reading it."""

    shape: tuple[int, ...]
    kind: str  # safetensors' name of the type: F32, BF16, ...
    content: mmap.mmap
    offset: int  # bytes from the file's beginning

    def array(self) -> np.ndarray:
        """float32 in its stored shape: the file's own memory where it holds float32, read-only; a copy otherwise.
        Whole numbers of 8 bits stay what they are."""
        if self.kind == "I8":
            return np.frombuffer(self.content, np.int8, math.prod(self.shape), self.offset).reshape(self.shape)
        stored = np.frombuffer(self.content, FLOATS[self.kind], math.prod(self.shape), self.offset).reshape(self.shape)
        if self.kind == "BF16":  # the upper half of a float32
            return (stored.astype(np.uint32) << 16).view(np.float32)
        return stored.astype(np.float32, copy=not stored.flags.aligned)


def open_weights(checkpoint) -> dict[str, StoredTensor]:
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
                    f"{', '.join(some(lacking))}. Download both files again."
                )
            for name, tensor in stored.items():
                if name in tensors:
                    raise WeightsError(f"a tensor may be in one shard only; {brief(name)} is in {shard} and another one.")
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
            raise WeightsError(f"a shard is a plain file name ending in .safetensors; {index} names {brief(name)}.")
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
        except SafetensorError as fault:
            raise WeightsError(f"{path} is damaged: {fault!s:.300}. Download it again, or delete it.") from None
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
    except (ValueError, RecursionError) as fault:
        raise WeightsError(f"{path} is damaged: its header cannot be read: {fault}. Download it again.") from None
    header.pop("__metadata__", None)
    lists = [name for name, entry in header.items() if not isinstance(entry, dict)]
    if lists:
        raise WeightsError(f"{path} is damaged: {brief(lists[0])} is no object in its header. Download it again.")
    return header


def let_go(array: np.ndarray) -> None:
    """A mapped tensor's pages may leave this process; whoever reads it again has them back from the system's cache."""
    owner = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    owner = getattr(owner, "obj", owner)  # of the memoryview that NumPy puts between
    if not isinstance(owner, mmap.mmap) or not hasattr(owner, "madvise"):
        return
    beginning = np.frombuffer(owner, np.uint8).ctypes.data
    first = array.ctypes.data - beginning + mmap.PAGESIZE - 1  # whole pages only: neighbours keep theirs
    first -= first % mmap.PAGESIZE
    length = array.ctypes.data - beginning + array.nbytes - first
    if length > 0:
        owner.madvise(mmap.MADV_DONTNEED, first, length)


def describe(start: bytes, length: int) -> str:
    """The first bytes of what is no safetensors file -> what it most likely is, and the mend."""
    if start[4:9] == b"\0\0\0\0{":
        return f"its header would have {length} bytes, and may have {LARGEST_HEADER}"
    if start.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer; run `git lfs pull` where it was cloned"
    if start.lstrip()[:1] == b"<":
        return "it is a web page, perhaps an error that a download saved; download it again"
    if start.startswith(b"PK\x03\x04") or start.startswith(b"\x80"):
        return "it is a zip archive or a pickle, which minibert does not open; convert the checkpoint to safetensors"
    if len(start) < 8:
        return f"it has {len(start)} bytes, less than the shortest; download it again"
    return f"its header would have {length} bytes, and may have {LARGEST_HEADER}"


def save_tensors(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Write a safetensors file; the note in it is what `transformers` asks for."""
    whole = {name: np.ascontiguousarray(array) for name, array in tensors.items()}

    def write(aside: Path) -> None:
        try:
            save_file(whole, aside, metadata={"format": "pt"})
        except SafetensorError as fault:  # so the library tells of a full disk
            raise OSError(str(fault)) from None

    write_whole(path, write)


class EncoderNames(NamedTuple):
    """Where a model type keeps its encoder: names of modules, to which `.weight` and `.bias` are added."""

    prefix: str  # stands before every name where the model has a head
    words: str
    positions: str
    types: str | None
    embedding_norm: str
    layer: str
    query: str
    key: str
    value: str
    attention_out: str
    attention_norm: str
    feed_forward_in: str
    feed_forward_out: str
    output_norm: str

    def of_layer(self, number: int, part: str) -> str:
        return f"{self.layer.format(number)}.{getattr(self, part)}"


NAMES = {
    "bert": EncoderNames(
        prefix="bert.",
        words="embeddings.word_embeddings",
        positions="embeddings.position_embeddings",
        types="embeddings.token_type_embeddings",
        embedding_norm="embeddings.LayerNorm",
        layer="encoder.layer.{}",
        query="attention.self.query",
        key="attention.self.key",
        value="attention.self.value",
        attention_out="attention.output.dense",
        attention_norm="attention.output.LayerNorm",
        feed_forward_in="intermediate.dense",
        feed_forward_out="output.dense",
        output_norm="output.LayerNorm",
    ),
    "distilbert": EncoderNames(
        prefix="distilbert.",
        words="embeddings.word_embeddings",
        positions="embeddings.position_embeddings",
        types=None,
        embedding_norm="embeddings.LayerNorm",
        layer="transformer.layer.{}",
        query="attention.q_lin",
        key="attention.k_lin",
        value="attention.v_lin",
        attention_out="attention.out_lin",
        attention_norm="sa_layer_norm",
        feed_forward_in="ffn.lin1",
        feed_forward_out="ffn.lin2",
        output_norm="output_layer_norm",
    ),
}
# Heads of other tasks than the one a model was asked for: known, and left in the file.
OTHER_HEADS = ("cls.", "vocab_", "pre_classifier.", "classifier.", "qa_outputs.", "pooler.")
BUFFERS = ("embeddings.position_ids",)  # 0, 1, 2, ..., which old checkpoints stored


def encoder_shapes(names: EncoderNames, made: Architecture) -> dict[str, tuple[int, ...]]:
    """Every tensor of an encoder -> its shape."""
    shapes: dict[str, tuple[int, ...]] = {
        f"{names.words}.weight": (made.vocabulary, made.width),
        f"{names.positions}.weight": (made.positions, made.width),
    }
    if names.types:
        shapes[f"{names.types}.weight"] = (made.types, made.width)
    shapes |= norm_shapes(names.embedding_norm, made.width)
    for number in range(made.layers):
        for part in ("query", "key", "value", "attention_out"):
            shapes |= linear_shapes(names.of_layer(number, part), made.width, made.width)
        shapes |= norm_shapes(names.of_layer(number, "attention_norm"), made.width)
        shapes |= linear_shapes(names.of_layer(number, "feed_forward_in"), made.feed_forward, made.width)
        shapes |= linear_shapes(names.of_layer(number, "feed_forward_out"), made.width, made.feed_forward)
        shapes |= norm_shapes(names.of_layer(number, "output_norm"), made.width)
    return shapes


def linear_shapes(name: str, outputs: int, inputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def norm_shapes(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def canonical(stored: Mapping[str, StoredTensor], prefix: str) -> dict[str, StoredTensor]:
    """The file's names -> the model's: without the prefix, and LayerNorm's `gamma` and `beta` as weight and bias."""
    renamed: dict[str, StoredTensor] = {}
    for name, tensor in stored.items():
        plain = name.removeprefix(prefix)
        plain = plain.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
        if plain in renamed:
            raise WeightsError(f"a checkpoint may hold a tensor once; {brief(plain)} is there twice, as {brief(name)} and another.")
        renamed[plain] = tensor
    return renamed


def fit(stored: Mapping[str, StoredTensor], shapes: Mapping[str, tuple[int, ...]], source: str, strict: bool = True) -> None:
    """One WeightsError that lists what is missing, left over, of another shape, or no number; or nothing. Without
    `strict`, a warning for what is left over."""
    missing = [name for name in shapes if name not in stored]
    surplus = [name for name in stored if name not in shapes and not name.startswith((*OTHER_HEADS, *BUFFERS))]
    wrong = [
        f"{name} {brief(stored[name].shape)} for {shape}"
        for name, shape in shapes.items()
        if name in stored and stored[name].shape != shape
    ]
    wanted = {name: ("I8",) if name.endswith(WHOLE) else FLOATS for name in shapes if name in stored}
    kinds = [f"{name} {stored[name].kind}" for name in wanted if stored[name].kind not in wanted[name]]
    if surplus and not strict:
        warnings.warn(
            f"{source} holds tensors that its config.json does not describe, which are not used: {', '.join(some(surplus))}.",
            MinibertWarning,
            stacklevel=2,
        )
    faults = {"missing": missing, "surplus": surplus if strict else [], "wrong shape": wrong, "not its type": kinds}
    if any(faults.values()):
        lines = "".join(f"\n  {fault}: {', '.join(some(found))}" for fault, found in faults.items() if found)
        hint = "\nfrom_pretrained(..., strict=False) leaves surplus tensors in the file." if faults["surplus"] else ""
        raise WeightsError(f"the tensors of {source} must be those that its config.json describes:{lines}{hint}")


def some(names: list[str], most: int = 20) -> list[str]:
    shown = [name if len(name) <= 200 else f"{name[:200]}..." for name in names[:most]]
    return shown if len(names) <= most else [*shown, f"and {len(names) - most} more"]
