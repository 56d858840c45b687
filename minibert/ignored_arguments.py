"""Arguments of transformers that change nothing here: accepted if their value would change no answer, else one error.

    options = without_ignored({"device_map": "cpu", "top_k": 2}, LOADING)     {"top_k": 2}
    without_ignored({"attn_implementation": "flash_attention_2"}, LOADING)    InputError: the rule, what came, the fix

A table below is the list of what is accepted: there is no open `**kwargs`. `minibert/README.md` shows the same list.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .errors import InputError, MinibertWarning, is_bool, is_whole, short_repr
from .tensors import check_device


class Argument(NamedTuple):
    """An argument that is ignored for the values that `accepts`; `rule` and `fix` are the two halves of the error."""

    accepts: Callable[[Any], bool]
    rule: str
    fix: str


def one_of(*values: Any) -> Callable[[Any], bool]:
    """Whether a value is one of these, of the same type: 1 is not True."""
    return lambda value: any(type(value) is type(known) and value == known for known in values)


def flag(value: Any) -> bool:
    return value is None or is_bool(value)


def on_cpu(value: Any) -> bool:
    """A device map that names nothing but the CPU: None, "auto", "cpu", or a mapping to it."""
    devices = list(value.values()) if isinstance(value, Mapping) else [value]
    return all(device == "auto" or accepts_device(device) for device in devices)


def accepts_device(value: Any) -> bool:
    try:
        check_device(value)
    except InputError:
        return False
    return True


ANY_FLAG = "True or False"
CPU_ONLY = "minibert computes on the CPU: leave it out."
ONE_FORMAT = "minibert reads the files of PyTorch checkpoints: leave it out."
DEVICE = Argument(accepts_device, '"cpu", -1 or None', CPU_ONLY)

LOADING = {  # from_pretrained of models, and `pipeline`
    "device_map": Argument(on_cpu, 'None, "auto" or "cpu"', CPU_ONLY),
    "low_cpu_mem_usage": Argument(flag, ANY_FLAG, "Weights are mapped from the file either way."),
    "attn_implementation": Argument(
        one_of(None, "eager", "sdpa"), 'None, "eager" or "sdpa"', "Attention here is exact and has one result: leave it out."
    ),
    "ignore_mismatched_sizes": Argument(
        one_of(None, False), "False", "A tensor of another shape would be replaced by random numbers; load the class that fits."
    ),
    "from_tf": Argument(one_of(None, False), "False", ONE_FORMAT),
    "from_flax": Argument(one_of(None, False), "False", ONE_FORMAT),
    "quantization_config": Argument(one_of(None), "None", 'For 8-bit weights pass kernels="int8".'),
    "variant": Argument(one_of(None), "None", "Only the files without a variant in their name are read."),
    "offload_folder": Argument(lambda value: True, "any folder", ""),
    "max_memory": Argument(lambda value: True, "anything", ""),
    "weights_only": Argument(one_of(None, True), "True", "Nothing from a checkpoint is ever executed: leave it out."),
}
DOWNLOADING = {  # from_pretrained of configurations, tokenizers and models, and `pipeline`
    "proxies": Argument(one_of(None), "None", "Set the environment's HTTPS_PROXY instead."),
    "resume_download": Argument(flag, ANY_FLAG, "Downloads always resume."),
    "mirror": Argument(one_of(None), "None", "Set the environment's HF_ENDPOINT instead."),
}
TOKENIZER_LOADING = {  # from_pretrained of tokenizers
    "use_fast": Argument(flag, ANY_FLAG, "There is one tokenizer, which gives the ids of both."),
    "do_basic_tokenize": Argument(
        one_of(None, True),
        "True",
        "Words are always split at spaces and punctuation: split them yourself with is_split_into_words.",
    ),
    "never_split": Argument(
        lambda value: value is None or (isinstance(value, (list, tuple, set)) and not value),
        "None or an empty list",
        "Add the words as tokens instead: tokenizer.add_tokens([...]).",
    ),
    "tokenizer_type": Argument(one_of(None), "None", "Load the tokenizer with its own class instead, such as BertTokenizer."),
}
PIPELINE = {  # `pipeline`, besides LOADING and DOWNLOADING
    "device": DEVICE,
    "framework": Argument(one_of(None, "pt"), 'None or "pt"', "Answers are the same for every framework: leave it out."),
    "use_fast": TOKENIZER_LOADING["use_fast"],
    "num_workers": Argument(
        lambda value: value is None or is_whole(value), "an integer", "Set the number of threads with set_num_threads."
    ),
    "feature_extractor": Argument(one_of(None), "None", "These tasks take text only: leave it out."),
    "image_processor": Argument(one_of(None), "None", "These tasks take text only: leave it out."),
    "processor": Argument(one_of(None), "None", "These tasks take text only: leave it out."),
    "clean_up_tokenization_spaces": Argument(flag, ANY_FLAG, "No answer of these tasks depends on it."),
    "binary_output": Argument(one_of(None, False), "False", "Answers are Python's own numbers and lists."),
}


def without_ignored(options: Mapping[str, Any], *tables: Mapping[str, Argument]) -> dict[str, Any]:
    """Options -> those that none of the tables lists. InputError for a listed one whose value would change the answer."""
    remaining = {}
    for name, value in options.items():
        argument = next((table[name] for table in tables if name in table), None)
        if argument is None:
            remaining[name] = value
        elif not argument.accepts(value):
            raise InputError(f"{name} must be {argument.rule}; got {short_repr(value)}. {argument.fix}")
    return remaining


DTYPES = ("auto", "float32", "float", "bfloat16", "float16", "half")
INT8_FIX = 'For 8-bit weights pass kernels="int8".'


def dtype_name(value: Any) -> str:
    """The name of a number type, of torch, of NumPy, or as a string: "float32" for `torch.float32`."""
    name = value if isinstance(value, str) else getattr(value, "__name__", None) or str(value)
    return name.rpartition(".")[2]


def kernels_for_dtype(options: Mapping[str, Any], kernels: Any) -> tuple[dict[str, Any], Any]:
    """Options with `dtype` or `torch_dtype` -> the other options, and the kernels to load a model with.

    float32, "auto" and None change nothing. bfloat16 is `kernels="bf16"`, unless kernels are named. float16 is computed in
    float32, with one warning. InputError for any other type, and for two that differ.
    """
    options = dict(options)
    names = {dtype_name(value) for key in ("dtype", "torch_dtype") if (value := options.pop(key, None)) is not None}
    if not names <= set(DTYPES) or len(names) > 1:
        passed = " and ".join(sorted(names))
        raise InputError(f"dtype must be one of {', '.join(DTYPES)} or None, passed once; got {passed}. {INT8_FIX}")
    if "bfloat16" in names and kernels == "auto":
        return options, "bf16"
    if names & {"float16", "half"}:
        warnings.warn("float16 is computed in float32 here: its results are more exact.", MinibertWarning, stacklevel=4)
    return options, kernels
