"""A checkpoint -> the same in 8 bits, beside its tokenizer: `minibert quantize MODEL FOLDER`.

What is in it is told in `models/quantized.py`.
"""

from __future__ import annotations

from os import PathLike
from typing import Any

from . import hub
from .config import PreTrainedConfig, config_of
from .errors import InputError
from .models import auto, classification, language_modeling, modeling
from .models.quantized import METHOD, is_quantized
from .tokenization import AutoTokenizer


def quantize(name: str | PathLike, folder: str | PathLike, **where: Any) -> None:
    """A folder, a bundled model or a repository of the hub -> an int8 checkpoint in `folder`, which
    `from_pretrained(folder)` maps. `where` is as for `from_pretrained`: revision, cache_dir, ..."""
    checkpoint = hub.locate(name, **where)
    config = config_of(checkpoint)
    if is_quantized(config):
        raise InputError(f"{checkpoint.name} is quantised already ({METHOD}); a float checkpoint is needed.")
    tokenizer = AutoTokenizer.from_pretrained(name, **where)
    class_for(config).from_checkpoint(checkpoint, config, "int8").save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def class_for(config: PreTrainedConfig) -> type:
    """The class that config.json names under "architectures"; where it names none of ours, the encoder's."""
    for name in getattr(config, "architectures", None) or ():
        for room in (modeling, classification, language_modeling):
            made = getattr(room, str(name), None)
            if getattr(made, "config_class", None) is type(config):
                return made
    return auto.AutoModel.class_for(type(config))
