"""A checkpoint of any form -> the same as one safetensors file, beside its configuration and tokenizer.

    minibert convert NAME FOLDER
    minibert convert NAME FOLDER --to longformer        of a RoBERTa: `convert_longformer.py`

Tensors keep their names, types and bits, heads that no class here has too; the other files are copied as they are. So
the folder is the checkpoint that was there, for every program that opens safetensors. Nothing is executed on the way.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import hub
from .auto import AutoTokenizer, config_of
from .config import PreTrainedConfig
from .convert_longformer import longformer_config, longformer_tensors, write_configs
from .errors import InputError, short_repr, strict_arguments
from .files import as_folder, atomic_write, check_apart
from .pipelines.sentence_config import LIMITS, files_of, read_steps
from .weights import WEIGHT_FILES, WEIGHTS, find_weights, open_weights, save_stored, save_tensors

COPIED = (
    "config.json",
    "vocab.txt",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    *LIMITS,
)


class WrittenFile(NamedTuple):
    path: Path
    source: str  # the file that it was converted or copied from
    tensors: int  # 0: it is a copy
    parameters: int


@strict_arguments
def convert(
    name: str | PathLike,
    folder: str | PathLike,
    *,
    to: str | None = None,
    revision: str | None = None,
    cache_dir: str | PathLike | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
) -> list[WrittenFile]:
    """A folder, a bundled model or a repository of the hub -> its files in `folder`, the weights as safetensors. With
    to="longformer" a RoBERTa becomes a Longformer, in float32. The other arguments are those of `from_pretrained`. Errors are
    those of loading: what cannot be loaded is not written. `folder` may be the model's own, but not with `to`."""
    if to not in (None, "longformer"):
        raise InputError(f"to must be 'longformer', or None for the same model; got {short_repr(to)}.")
    folder = as_folder(folder)
    checkpoint = hub.locate(name, revision=revision, cache_dir=cache_dir, token=token, local_files_only=local_files_only)
    steps = read_steps(checkpoint) or [("Transformer", "")]
    model_folder = steps[0][1]
    if to is not None:  # else the tensors keep their bits, and a folder can be converted in place
        check_apart(checkpoint.folder, folder, ("", model_folder))
    inner = checkpoint.within(model_folder)
    config_of(inner), AutoTokenizer.from_pretrained(inner)
    weights = [path for step, path in steps if step in ("Transformer", "Dense")]
    sources = {path: find_weights(checkpoint.within(path))[1] for path in weights}
    tensors = {path: open_weights(checkpoint.within(path)) for path in weights}
    longformer = None if to is None else longformer_of(inner)
    written = list(copy_files(checkpoint, inner, folder, model_folder))
    for path in reversed(weights):  # the model's last: half of a folder is then none
        of_step: Mapping[str, Any] = tensors[path]
        if longformer is not None and path == model_folder:
            config, of_step = longformer
            write_configs(inner, config, folder / path)
            save_tensors(folder / path / WEIGHTS, of_step)
        else:
            save_stored(folder / path / WEIGHTS, tensors[path])
        parameters = sum(math.prod(tensor.shape) for tensor in of_step.values())
        written.append(WrittenFile(folder / path / WEIGHTS, sources[path], len(of_step), parameters))
    return written


def longformer_of(checkpoint: hub.Checkpoint) -> tuple[PreTrainedConfig, dict[str, np.ndarray]]:
    """A located RoBERTa checkpoint -> the configuration and the tensors of its Longformer."""
    config = longformer_config(checkpoint)
    return config, longformer_tensors(checkpoint, config)


def copy_files(checkpoint: Any, inner: Any, folder: Path, model_folder: str) -> Iterator[WrittenFile]:
    """Copy the files that hold no weights: those of the steps of a sentence model, and its model's own."""
    sources = {path: checkpoint.file(path) for path in files_of(checkpoint) if Path(path).name not in WEIGHT_FILES}
    own = {name: inner.optional(name) for name in COPIED}
    sources |= {(Path(model_folder) / name).as_posix(): path for name, path in own.items() if path}
    for path, source in sources.items():
        atomic_write(folder / path, partial(shutil.copyfile, source))
        yield WrittenFile(folder / path, path, 0, 0)
