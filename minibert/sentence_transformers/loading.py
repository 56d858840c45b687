"""The arguments of SentenceTransformer's constructor -> a SentenceEncoder."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from minibert.kernels.catalog import make_ops

from .. import hub
from ..config import read_config_file
from ..errors import ConfigError, InputError, InputTypeError, read_flag, short_repr
from ..files import read_json
from ..pipelines.sentence_config import read_steps
from ..pipelines.sentence_encoder import SentenceEncoder
from ..tensors import check_device_map, check_remote_code, check_without_effect, preset_of_dtype

ORGANIZATION = "sentence-transformers"  # on the hub; of a name without an organization
# Names that belong to no organization: the first BERT models. "bert-base-nli-mean-tokens" is the organization's.
FIRST_MODELS = re.compile(
    r"(distil)?bert-(base|large)(-multilingual|-german|-german-dbmdz)?-(un)?cased(-.*)?|bert-base-chinese", re.I
)
WITHOUT_EFFECT: dict[str, tuple[Any, ...]] = {  # of model_kwargs; what is not here and not in read_model_kwargs is refused
    "attn_implementation": (None, "eager", "sdpa"),
    "low_cpu_mem_usage": (None, True, False),
    "use_safetensors": (None, True),
    "add_pooling_layer": (None, True, False),
    "ignore_mismatched_sizes": (None, False),
    "output_hidden_states": (None, False),
    "output_attentions": (None, False),
    "trust_remote_code": (None, False),
    "export": (None, False),
}


def load_encoder(name, location: Mapping[str, Any], trust_remote_code: bool, overrides: Mapping[str, Any]) -> SentenceEncoder:
    """`location` are the options of `hub.locate`, `overrides` model_kwargs, tokenizer_kwargs and config_kwargs."""
    kernels, strict = read_model_kwargs(read_mapping("model_kwargs", overrides["model_kwargs"]))
    tokenizer, config = (read_mapping(name, overrides[name]) for name in ("tokenizer_kwargs", "config_kwargs"))
    make_ops(kernels)  # a name that is wrong is known before anything is downloaded
    checkpoint = hub.locate(with_organization(name), **location)
    if read_flag("trust_remote_code", trust_remote_code):
        check_custom_code(checkpoint)
    return SentenceEncoder.from_checkpoint(checkpoint, kernels, strict, config, tokenizer)


def with_organization(name):
    """ "all-MiniLM-L6-v2" -> "sentence-transformers/all-MiniLM-L6-v2", unless it is a folder or another model's whole name."""
    if not isinstance(name, str) or not name or "\0" in name or "/" in name or os.path.exists(name):
        return name
    return name if name in hub.bundled_models() or FIRST_MODELS.fullmatch(name) else f"{ORGANIZATION}/{name}"


def read_model_kwargs(options: Mapping[str, Any]) -> tuple[Any, bool]:
    """model_kwargs -> which kernels, and whether surplus tensors are an error: options of `from_pretrained`."""
    for name in options:
        if name not in (*WITHOUT_EFFECT, "torch_dtype", "dtype", "device_map", "kernels", "strict"):
            raise InputTypeError(
                f"model_kwargs may have kernels, strict, dtype, device_map, {', '.join(WITHOUT_EFFECT)}; got {short_repr(name)}."
            )
    for name, harmless in WITHOUT_EFFECT.items():
        check_without_effect(name, options.get(name), harmless)
    check_device_map(options.get("device_map"))
    presets = [preset_of_dtype(options.get(name), name) for name in ("torch_dtype", "dtype")]
    kernels = options.get("kernels") or next(filter(None, presets), "auto")
    return kernels, read_flag("strict", options.get("strict", True))


def read_mapping(name: str, options) -> Mapping[str, Any]:
    if options is None:
        return {}
    if not isinstance(options, Mapping) or not all(isinstance(key, str) for key in options):
        raise InputTypeError(f"{name} must map names of arguments to their values; got {short_repr(options)}.")
    return options


def check_custom_code(checkpoint) -> None:
    """InputError if config.json or modules.json names code of the checkpoint's own."""
    modules = checkpoint.optional("modules.json")
    for step in [] if modules is None else read_json(modules, ConfigError, list):
        module = str(step.get("type")) if isinstance(step, dict) else ""
        if not module.startswith("sentence_transformers."):
            raise InputError(
                f"minibert runs no code of a checkpoint, and {modules} names {short_repr(module)}. Leave trust_remote_code out to "
                "load it as the step of sentence-transformers that has this name."
            )
    steps = read_steps(checkpoint)
    _, config = read_config_file(checkpoint.within(steps[0][1] if steps else ""))
    check_remote_code(True, config, checkpoint.name)
