"""Arguments of transformers that change nothing here: accepted if their value would change no answer, else one error.

    without_ignored({"device_map": "cpu", "hidden_size": 8}, LOADING)         {"hidden_size": 8}
    without_ignored({"attn_implementation": "flash_attention_2"}, LOADING)    InputError: the rule, what came, the fix

The tables are the list of what is accepted: nothing else is passed over. `minibert/README.md` shows them. What such an
argument selects here, as `dtype` does kernels, is in `loading.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .errors import InputError, is_bool, is_integer, short_repr
from .tensors import check_device, check_device_map


class Argument(NamedTuple):
    """An argument that is ignored for the values that `accepts`; `rule` and `fix` are the two halves of the error."""

    accepts: Callable[[Any], bool]
    rule: str
    fix: str


def one_of(*values: Any) -> Callable[[Any], bool]:
    """Whether a value is one of these, of the same type: 1 is not True."""
    return lambda value: any(type(value) is type(known) and value == known for known in values)


def is_flag(value: Any) -> bool:
    return value is None or is_bool(value)


def passes(check: Callable[[Any], None]) -> Callable[[Any], bool]:
    """A check that raises InputError -> whether a value passes it."""

    def accepts(value: Any) -> bool:
        try:
            check(value)
        except InputError:
            return False
        return True

    return accepts


def anything(value: Any) -> bool:
    return True


FLAG = "True, False or None"
TEXT_ONLY = Argument(one_of(None), "None", "These tasks take text only: leave it out.")
PYTORCH_WEIGHTS = Argument(one_of(None), "None", "Weights are read as PyTorch stores them: leave it out.")
ONE_DEVICE = Argument(one_of(None), "None", "minibert computes on the CPU: leave it out.")
PYTORCH_ONLY = Argument(one_of(None, False), "False", "Weights are read as PyTorch stores them: leave it out.")

DOWNLOADING = {  # every from_pretrained, and pipeline()
    "proxies": Argument(one_of(None), "None", "Set HTTPS_PROXY in the environment."),
    "resume_download": Argument(is_flag, FLAG, "Downloads always resume."),
    "mirror": Argument(one_of(None), "None", "Set HF_ENDPOINT in the environment."),
    "local_dir_use_symlinks": Argument(is_flag, FLAG, "Leave it out."),
    "code_revision": Argument(anything, "anything", ""),  # of code that is never run
}
LOADING = {  # from_pretrained of models, and pipeline()
    "device_map": Argument(passes(check_device_map), "None, 'auto' or 'cpu'", "minibert computes on the CPU: leave it out."),
    "low_cpu_mem_usage": Argument(is_flag, FLAG, "Weights are mapped from the file either way."),
    "attn_implementation": Argument(
        one_of(None, "eager", "sdpa"), "None, 'eager' or 'sdpa'", "Attention is exact here whatever its name: leave it out."
    ),
    "from_tf": PYTORCH_ONLY,
    "from_flax": PYTORCH_ONLY,
    "weights_only": Argument(one_of(None, True), "True", "Nothing from a checkpoint is ever executed: leave it out."),
    "quantization_config": Argument(one_of(None), "None", "For 8-bit weights pass kernels='int8'."),
    "load_in_8bit": Argument(one_of(None, False), "False", "For 8-bit weights pass kernels='int8'."),
    "load_in_4bit": Argument(one_of(None, False), "False", "For 8-bit weights pass kernels='int8'."),
    "variant": Argument(one_of(None), "None", "Only files without a variant in their name are read: leave it out."),
    "state_dict": Argument(one_of(None), "None", "Write the tensors to a folder, and load that."),
    "return_dict": Argument(one_of(None, True), "True", "Pass return_dict=False to the call of the model."),
    "torchscript": Argument(one_of(None, False), "False", "Pass return_dict=False to the call of the model."),
    "use_flash_attention_2": Argument(one_of(None, False), "False", "Attention is exact here whatever its name: leave it out."),
    "gguf_file": PYTORCH_WEIGHTS,
    "tp_plan": ONE_DEVICE,
    "device_mesh": ONE_DEVICE,
    "key_mapping": Argument(one_of(None), "None", "Names of tensors are those of the model's family: leave it out."),
    "generation_config": Argument(one_of(None), "None", "Encoders generate no text: leave it out."),
    "adapter_kwargs": Argument(one_of(None), "None", "Adapters are not read: merge them into the model's weights first."),
    "offload_folder": Argument(anything, "anything", ""),
    "offload_buffers": Argument(anything, "anything", ""),
    "offload_state_dict": Argument(anything, "anything", ""),
    "max_memory": Argument(anything, "anything", ""),
}
TOKENIZER_LOADING = {  # from_pretrained of tokenizers
    "use_fast": Argument(is_flag, FLAG, "There is one tokenizer, with the ids of both."),
    "do_basic_tokenize": Argument(
        one_of(None, True), "True", "Words are always split; for text that is split already pass is_split_into_words=True."
    ),
    "never_split": Argument(
        lambda value: value is None or (isinstance(value, (list, tuple, set)) and not value),
        "None or an empty list",
        "Add the words as tokens: tokenizer.add_tokens([...]).",
    ),
    "tokenizer_type": Argument(one_of(None), "None", "Load the tokenizer with its own class, such as BertTokenizer."),
    "from_slow": Argument(is_flag, FLAG, "There is one tokenizer, with the ids of both."),
    "legacy": Argument(is_flag, FLAG, "It is of other tokenizers: leave it out."),
    "gguf_file": PYTORCH_WEIGHTS,
    "chat_template": Argument(one_of(None), "None", "Encoders answer no chats: leave it out."),
    "verbose": Argument(is_flag, FLAG, "Pass verbose=False to the tokenizer's calls."),
}
TOKENIZER_FLAGS = {  # from_pretrained of tokenizers that have no such flag
    "add_prefix_space": Argument(is_flag, FLAG, "It is of other tokenizers: leave it out.")
}
SAVING = {  # save_pretrained of models, configurations, tokenizers and pipelines
    "push_to_hub": Argument(one_of(None, False), "False", "Upload the folder with huggingface_hub."),
    "safe_serialization": Argument(one_of(None, True), "True", "Only safetensors are written: leave it out."),
    "max_shard_size": Argument(
        lambda value: value is None or isinstance(value, str) or is_integer(value),
        "a size such as '5GB'",
        "The weights are one file: leave it out.",
    ),
    "is_main_process": Argument(one_of(None, True), "True", "Call it in one process only."),
    "state_dict": Argument(one_of(None), "None", "model.with_tensors(...) returns a model with other tensors."),
    "variant": Argument(one_of(None), "None", "Rename the file."),
    "distributed_checkpoint": Argument(one_of(None, False), "False", "The weights are one file: leave it out."),
    "save_peft_format": Argument(is_flag, FLAG, "Leave it out."),
    "save_original_format": Argument(is_flag, FLAG, "Leave it out."),
    "legacy_format": Argument(one_of(None, False), "None or False", "Leave it out."),
    "filename_prefix": Argument(one_of(None), "None", "Pass it to save_vocabulary, or rename the files."),
    **{name: Argument(anything, "anything", "") for name in ("save_function", "token", "repo_id", "private", "commit_message")},
}
TOKENIZER_OUTPUTS = ("attention_mask", "token_type_ids", "special_tokens_mask", "offsets_mapping", "length")
PIPELINE_CALLS = {  # a pipeline's calls
    "verbose": Argument(is_flag, FLAG, "No answer depends on it: leave it out."),
    **{f"return_{name}": Argument(is_flag, FLAG, "No answer depends on it: leave it out.") for name in TOKENIZER_OUTPUTS},
    "num_workers": Argument(
        lambda value: value is None or is_integer(value), "an integer", "minibert.set_num_threads(N) sets how many threads."
    ),
}
ANY_PADDING = Argument(
    one_of(None, True, False, "longest", "max_length", "do_not_pad"),
    "True, False, 'longest', 'max_length' or 'do_not_pad'",
    "No answer depends on it: leave it out.",
)


def always_cuts(strategy: str, reason: str) -> Argument:
    """The option `truncation` of a task that has one way to read long texts, and why it has no other."""
    return Argument(one_of(None, True, strategy), f"True or {strategy!r}", f"{reason}: leave it out.")


PIPELINE = {  # pipeline(), besides LOADING and DOWNLOADING, and the classes of pipelines
    **PIPELINE_CALLS,
    "device": Argument(passes(check_device), "'cpu', -1 or None", "minibert computes on the CPU: leave it out."),
    "framework": Argument(one_of(None, "pt"), "None or 'pt'", "Answers depend on no framework: leave it out."),
    "use_fast": TOKENIZER_LOADING["use_fast"],
    "feature_extractor": TEXT_ONLY,
    "image_processor": TEXT_ONLY,
    "processor": TEXT_ONLY,
    "video_processor": TEXT_ONLY,
    "modelcard": Argument(anything, "anything", ""),
    "args_parser": Argument(one_of(None), "None", "Inputs have one form for each task: leave it out."),
    "pipeline_class": Argument(one_of(None), "None", "Call the class itself, with a model and a tokenizer."),
    "clean_up_tokenization_spaces": Argument(is_flag, FLAG, "No answer depends on it: leave it out."),
    "binary_output": Argument(one_of(None, False), "False", "Answers are Python's own numbers and lists."),
}


def without_ignored(options: Mapping[str, Any], *tables: Mapping[str, Argument]) -> dict[str, Any]:
    """Options -> those that no table lists. InputError for a listed one whose value would change the answer."""
    remaining = {}
    for name, value in options.items():
        argument = next((table[name] for table in tables if name in table), None)
        if argument is None:
            remaining[name] = value
        elif not argument.accepts(value):
            raise InputError(f"{name} must be {argument.rule}; got {short_repr(value)}. {argument.fix}")
    return remaining
