"""The arguments that every `from_pretrained` has: where the files are, and which kernels and weights a model gets.

`locate` and `read_model_options` take what a function did not name itself, and return what they do not know: keys of a
configuration, or a mistake.
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any, NamedTuple

from . import hub
from .errors import ConfigError, InputTypeError, read_flag
from .files import read_json
from .ignored_arguments import DOWNLOADING, LOADING, without_ignored
from .tensors import check_remote_code, preset_of_dtype

LOCATION = ("revision", "cache_dir", "token", "local_files_only")
# Arguments that no function names, beside those of `ignored_arguments.py`
LOCATING = ("use_auth_token", "subfolder", "force_download", "trust_remote_code", *DOWNLOADING)
MODEL_OPTIONS = ("dtype", "torch_dtype", "use_safetensors", "add_pooling_layer", "output_loading_info", *LOADING)


def locate(
    name: str | PathLike | hub.Checkpoint, location: Mapping[str, Any], options: Mapping[str, Any]
) -> tuple[hub.Checkpoint, dict[str, Any]]:
    """A model's name, LOCATION's arguments, and others -> its checkpoint, and the options that do not say where it is.

    `use_auth_token` is the former name of `token`. `subfolder` is a folder of the repository. With `force_download`, the
    hub is asked which commit a branch is, though the cache has one. InputError if a checkpoint whose configuration names
    code of its own is loaded with `trust_remote_code=True`.
    """
    remaining = without_ignored(options, DOWNLOADING)
    place = dict(location)
    former = remaining.pop("use_auth_token", None)
    if former is not None:
        if place.get("token") is not None:
            raise InputTypeError("use_auth_token is the former name of token; got both. Leave use_auth_token out.")
        place["token"] = former
    subfolder, force = remaining.pop("subfolder", None), remaining.pop("force_download", None)
    trusted = remaining.pop("trust_remote_code", None)
    checkpoint = hub.locate(name, **place, subfolder=subfolder, force_download=force)
    if trusted is not None and read_flag("trust_remote_code", trusted) and (path := checkpoint.optional("config.json")):
        check_remote_code(True, read_json(path, ConfigError), checkpoint.name)
    return checkpoint, remaining


class ModelOptions(NamedTuple):
    """How a model is loaded from a checkpoint."""

    kernels: Any = "auto"
    strict: bool = True  # whether tensors that the model does not use are an error
    safetensors_only: bool = False
    pooler: bool = True  # whether a bare encoder gets its pooler, if the file has one
    with_info: bool = False  # whether `from_pretrained` returns transformers' loading info too


def read_model_options(kernels: Any, strict: Any, options: Mapping[str, Any]) -> tuple[ModelOptions, dict[str, Any]]:
    """`kernels`, `strict` and what `from_pretrained` did not name -> ModelOptions, and the options that are left.

    `dtype`, or `torch_dtype`: bfloat16 selects kernels="bf16" unless kernels are named; float16 is computed in float32, with
    a warning.
    """
    remaining = without_ignored(options, LOADING)
    presets = [preset_of_dtype(remaining.pop(name, None), name) for name in ("torch_dtype", "dtype")]
    preset = next(filter(None, presets), None)
    flags = {name: remaining.pop(name, None) for name in ("use_safetensors", "add_pooling_layer", "output_loading_info")}
    flags = {name: None if value is None else read_flag(name, value) for name, value in flags.items()}
    chosen = preset if preset is not None and isinstance(kernels, str) and kernels == "auto" else kernels
    return (
        ModelOptions(
            kernels=chosen,
            strict=read_flag("strict", strict),
            safetensors_only=flags["use_safetensors"] is True,
            pooler=flags["add_pooling_layer"] is not False,
            with_info=flags["output_loading_info"] is True,
        ),
        remaining,
    )
