"""The arguments of a constructor, SentenceTransformer's or CrossEncoder's -> a SentenceEncoder or a Reranker."""

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
from ..tensors import check_device, check_device_map, check_remote_code, check_without_effect, preset_of_dtype

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


def load(
    wrapped_class: Any, organization: str, name, options: Mapping[str, Any], config_overrides: Mapping[str, Any] | None = None
) -> Any:
    """`options` are those that both constructors have; `config_overrides` go over their config_kwargs. A name without an
    organization is of this one."""
    check_device(options["device"])
    check_without_effect("modules", options["modules"], (None,), "Pass the name or the folder of a saved model.")
    hint = "Leave it out; model_kwargs={'kernels': ...} chooses kernels."
    check_without_effect("backend", options["backend"], ("torch",), hint)
    kernels, strict = read_model_kwargs(read_mapping("model_kwargs", options["model_kwargs"]))
    tokenizer, config = (read_mapping(name, options[name]) for name in ("processor_kwargs", "config_kwargs"))
    make_ops(kernels)  # a name that is wrong is known before anything is downloaded
    folder = options["cache_folder"]
    checkpoint = hub.locate(
        with_organization(name, organization),
        revision=options["revision"],
        cache_dir=os.environ.get("SENTENCE_TRANSFORMERS_HOME") if folder is None else folder,
        token=options["token"],
        local_files_only=options["local_files_only"],
    )
    if read_flag("trust_remote_code", options["trust_remote_code"]):
        check_custom_code(checkpoint)
    return wrapped_class.from_checkpoint(checkpoint, kernels, strict, {**config, **(config_overrides or {})}, tokenizer)


def with_organization(name, organization: str):
    """ "all-MiniLM-L6-v2" -> "sentence-transformers/all-MiniLM-L6-v2", unless it is a folder or another model's whole name."""
    if not isinstance(name, str) or not name or "\0" in name or "/" in name or os.path.exists(name):
        return name
    return name if name in hub.bundled_models() or FIRST_MODELS.fullmatch(name) else f"{organization}/{name}"


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
