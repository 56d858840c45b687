"""The arguments that every `from_pretrained` has: where the files are, and which kernels and weights a model gets; and
those of `save_pretrained`.

`locate` and `read_model_options` take what a function did not name itself, and return what they do not know: keys of a
configuration, or a mistake.
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from . import hub
from .errors import ConfigError, InputError, InputTypeError, check_option_names, read_flag, short_repr
from .files import as_folder, read_json
from .ignored_arguments import DOWNLOADING, LOADING, SAVING, without_ignored
from .tensors import check_remote_code, preset_of_dtype

LOCATION = ("revision", "cache_dir", "token", "local_files_only")
# Arguments that no function names, beside those of `ignored_arguments.py`
LOCATING = ("use_auth_token", "subfolder", "force_download", "trust_remote_code", *DOWNLOADING)
FLAGS = ("use_safetensors", "add_pooling_layer", "output_loading_info", "ignore_mismatched_sizes")
MODEL_OPTIONS = ("dtype", "torch_dtype", *FLAGS, *LOADING)
ARGUMENTS = (*LOCATION, *LOCATING, *MODEL_OPTIONS, "kernels", "strict", "config")


def locate(name: str | PathLike | hub.Checkpoint, options: Mapping[str, Any]) -> tuple[hub.Checkpoint, dict[str, Any]]:
    """A model's name, and options, some of LOCATION and LOCATING -> its checkpoint, and the options that are of neither.

    `use_auth_token` is the former name of `token`. `subfolder` is a folder of the repository. With `force_download`, the
    hub is asked which commit a branch is, though the cache has one. InputError if a checkpoint whose configuration names
    code of its own is loaded with `trust_remote_code=True`.
    """
    remaining = without_ignored(options, DOWNLOADING)
    location = {key: remaining.pop(key) for key in (*LOCATION, "subfolder", "force_download") if key in remaining}
    former = remaining.pop("use_auth_token", None)
    if former is not None:
        if location.get("token") is not None:
            raise InputTypeError("use_auth_token is the former name of token; got both. Leave use_auth_token out.")
        location["token"] = former
    trusted = remaining.pop("trust_remote_code", None)
    checkpoint = hub.locate(name, **location)
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
    new_shapes: bool = False  # whether tensors of the head that the file has in another shape are new, with a warning
    new_head_seed: int | None = None  # for training: of a head that the file lacks, or has in another shape; without a warning


def read_model_options(kernels: Any, strict: Any, options: Mapping[str, Any]) -> tuple[ModelOptions, dict[str, Any]]:
    """`kernels`, `strict` and what `from_pretrained` did not name -> ModelOptions, and the options that are left.

    `dtype`, or `torch_dtype`, its former name: bfloat16 selects kernels="bf16" unless kernels are named; float16 is computed
    in float32, with a warning.
    """
    remaining = without_ignored(options, LOADING)
    dtypes = {name: remaining.pop(name, None) for name in ("dtype", "torch_dtype")}
    presets = {preset_of_dtype(value, name) for name, value in dtypes.items() if value is not None}
    if len(presets) > 1:
        raise InputError("torch_dtype is the former name of dtype; got both, and they differ. Leave torch_dtype out.")
    preset = next(iter(presets), None)
    flags = {name: remaining.pop(name, None) for name in FLAGS}
    flags = {name: None if value is None else read_flag(name, value) for name, value in flags.items()}
    chosen = preset if preset is not None and isinstance(kernels, str) and kernels == "auto" else kernels
    return (
        ModelOptions(
            kernels=chosen,
            strict=read_flag("strict", strict),
            safetensors_only=flags["use_safetensors"] is True,
            pooler=flags["add_pooling_layer"] is not False,
            with_info=flags["output_loading_info"] is True,
            new_shapes=flags["ignore_mismatched_sizes"] is True,
        ),
        remaining,
    )


def check_loaded(model: Any, config: Any, arguments: Mapping[str, Any]) -> None:
    """InputError if arguments of from_pretrained would make another model of one that is loaded already."""
    others = {name: value for name, value in arguments.items() if name not in ("kernels", "strict")}
    options, overrides = read_model_options(arguments.get("kernels", "auto"), arguments.get("strict", True), others)
    names = list(overrides)
    if config is not None and (type(config) is not type(model.config) or config.to_dict() != model.config.to_dict()):
        names.append("config")
    if not (isinstance(options.kernels, str) and options.kernels in ("auto", model.kernels.preset)):
        names.append("kernels or dtype")
    if not options.pooler:
        names.append("add_pooling_layer")
    if names:
        raise InputError(
            f"a model that is loaded already keeps its configuration, weights and kernels; got {', '.join(names)} beside it. "
            "Pass it to from_pretrained of the model."
        )


def read_mapping(name: str, options: Any) -> Mapping[str, Any]:
    """An argument that is a dictionary of more arguments, such as model_kwargs; None is an empty one."""
    if options is None:
        return {}
    if not isinstance(options, Mapping) or not all(isinstance(key, str) for key in options):
        raise InputTypeError(f"{name} must map names of arguments to their values; got {short_repr(options)}.")
    return options


def saving_folder(save_directory: str | PathLike | None, options: Mapping[str, Any]) -> Path:
    """The arguments of `save_pretrained` -> the folder. `folder` is the former name of `save_directory`."""
    remaining = without_ignored(options, SAVING)
    if save_directory is None:
        save_directory = remaining.pop("folder", None)
    check_option_names("save_pretrained", remaining, ("save_directory", *SAVING))
    return as_folder(save_directory)
