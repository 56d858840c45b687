"""A checkpoint -> the same in 8 bits, beside its tokenizer: `minibert quantize MODEL FOLDER`.

`models/quantized.py` describes the files. A sentence-transformers folder keeps its steps, prompts and limits: their
files are copied as they are, and only the Transformer's weights become smaller.
"""

from __future__ import annotations

import shutil
from functools import partial
from os import PathLike

from . import hub
from .auto import AutoTokenizer, class_named_by, config_of
from .errors import InputError, read_flag, strict_arguments
from .files import as_folder, atomic_write
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
    `from_pretrained(folder)` maps. The other arguments are those of `from_pretrained`."""
    folder, strict = as_folder(folder), read_flag("strict", strict)
    checkpoint = hub.locate(name, revision=revision, cache_dir=cache_dir, token=token, local_files_only=local_files_only)
    steps = {path: checkpoint.file(path) for path in files_of(checkpoint)}
    model_folder = read_sentence_config(checkpoint, strict).model_folder if steps else ""
    inner = checkpoint.within(model_folder)
    config = config_of(inner)
    if is_quantized(config):
        raise InputError(f"{checkpoint.name} is quantized already ({METHOD}); a float checkpoint is needed.")
    tokenizer = AutoTokenizer.from_pretrained(inner)
    model = class_named_by(config).from_checkpoint(inner, config, ModelOptions("int8", strict))
    for path, source in steps.items():  # before the weights: half of a folder is then none that gives other vectors
        atomic_write(folder / path, partial(shutil.copyfile, source))
    model.save_pretrained(folder / model_folder)
    tokenizer.save_pretrained(folder / model_folder)
