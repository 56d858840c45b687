"""A checkpoint -> the same in 8 bits, beside its tokenizer, or back in float32.

    minibert quantize MODEL FOLDER
    minibert dequantize MODEL FOLDER

`models/quantized.py` describes the files. A sentence-transformers folder keeps its steps, prompts and limits: their
files are copied as they are, and only the Transformer's weights change.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import partial
from os import PathLike
from typing import Any

from . import hub
from .auto import AutoTokenizer, class_named_by, config_of
from .config import PreTrainedConfig
from .errors import InputError, read_flag, strict_arguments
from .files import as_folder, atomic_write, check_apart
from .loading import ModelOptions
from .models.quantized import METHOD, is_quantized
from .pipelines.sentence_config import files_of, read_sentence_config


@strict_arguments
def quantize(
    name: str | PathLike,
    folder: str | PathLike,
    *,
    revision: str | None = None,
    cache_dir: str | PathLike | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
    strict: bool = True,
) -> None:
    """A folder, a bundled model or a repository of the hub -> an int8 checkpoint in `folder`, which
    `from_pretrained(folder)` maps. It may not be the folder of the model itself. The other arguments are those of
    `from_pretrained`."""
    location = {"revision": revision, "cache_dir": cache_dir, "token": token, "local_files_only": local_files_only}
    rewrite(name, folder, location, ModelOptions("int8", read_flag("strict", strict)), check_is_float)


@strict_arguments
def dequantize(
    name: str | PathLike,
    folder: str | PathLike,
    *,
    revision: str | None = None,
    cache_dir: str | PathLike | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
) -> None:
    """An int8 checkpoint -> a float32 one in `folder`, which `transformers` reads too: its weights are those that int8
    kernels compute with. The other arguments are those of `from_pretrained`."""
    location = {"revision": revision, "cache_dir": cache_dir, "token": token, "local_files_only": local_files_only}
    rewrite(name, folder, location, ModelOptions("reference"), check_is_quantized)


def rewrite(
    name: str | PathLike, folder: str | PathLike, location: dict[str, Any], options: ModelOptions, check: Callable
) -> None:
    """A checkpoint -> a folder with what `save_pretrained` writes of the model with these options."""
    folder = as_folder(folder)
    checkpoint = hub.locate(name, **location)
    steps = {path: checkpoint.file(path) for path in files_of(checkpoint)}
    model_folder = read_sentence_config(checkpoint, options.strict).model_folder if steps else ""
    check_apart(checkpoint.folder, folder, {"", model_folder, *map(os.path.dirname, steps)})
    inner = checkpoint.within(model_folder)
    config = config_of(inner)
    check(config, checkpoint.name)
    tokenizer = AutoTokenizer.from_pretrained(inner)
    model = class_named_by(config).from_checkpoint(inner, config, options)
    for path, source in steps.items():  # before the weights: half of a folder is then none that gives other vectors
        atomic_write(folder / path, partial(shutil.copyfile, source))
    model.save_pretrained(folder / model_folder)
    tokenizer.save_pretrained(folder / model_folder)


def check_is_float(config: PreTrainedConfig, name: str) -> None:
    if is_quantized(config):
        raise InputError(f"{name} is quantized already ({METHOD}); a float checkpoint is needed.")


def check_is_quantized(config: PreTrainedConfig, name: str) -> None:
    if not is_quantized(config):
        raise InputError(f"{name} is not quantized ({METHOD}); its weights are floats already.")
