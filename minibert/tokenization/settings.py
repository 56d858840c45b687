"""The settings of a tokenizer: each is checked when it is assigned, since every call reads it.

tokenizer.padding_side = "left"
"""

import os

from minibert.errors import InputError, InputTypeError, as_int, is_bool, short_repr

from .call_arguments import check_side

NO_LIMIT = 10**30
INPUT_NAMES = ["input_ids", "attention_mask"], ["input_ids", "token_type_ids", "attention_mask"]


def read_bool(name, value):
    """A setting that is on or off. Unlike an option of a call, it may come from a file, where 0 and 1 are not booleans."""
    if not is_bool(value):
        raise InputError(f"{name} must be True or False; got {short_repr(value)}.")
    return bool(value)


def read_length(length):
    """model_max_length as an int; files write 1e30 for no limit."""
    limit = as_int(length) if not isinstance(length, float) else length
    if length is None:
        return NO_LIMIT
    if limit is None or not limit >= 1:
        raise InputError(f"model_max_length must be a number, 1 or more; got {short_repr(length)}.")
    return int(min(limit, NO_LIMIT))


def read_input_names(names):
    """model_input_names as a list. Without attention_mask, padding would be read as text."""
    is_list_of_names = isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names)
    if not is_list_of_names or sorted(names) not in list(map(sorted, INPUT_NAMES)):
        raise InputError(f"model_input_names must be {' or '.join(map(str, INPUT_NAMES))}; got {short_repr(names)}.")
    return list(names)


def read_side(name, value):
    check_side(name, value)
    return str(value)


def read_name(value):
    """name_or_path, which is only informative."""
    if not isinstance(value, (str, os.PathLike)):
        raise InputTypeError(f"name_or_path must be a name or a path; got {short_repr(value)}.")
    return os.fspath(value)


SETTINGS = {
    "padding_side": lambda self, name, value: read_side(name, value),
    "truncation_side": lambda self, name, value: read_side(name, value),
    "do_lower_case": lambda self, name, value: read_bool(name, value),
    "tokenize_chinese_chars": lambda self, name, value: read_bool(name, value),
    "add_prefix_space": lambda self, name, value: read_bool(name, value),
    "trim_offsets": lambda self, name, value: read_bool(name, value),
    "strip_accents": lambda self, name, value: None if value is None else read_bool(name, value),
    "clean_up_tokenization_spaces": lambda self, name, value: read_bool(name, value),
    "split_special_tokens": lambda self, name, value: read_bool(name, value),
    "model_max_length": lambda self, name, value: read_length(value),
    "model_input_names": lambda self, name, value: read_input_names(type(self).model_input_names if value is None else value),
    "name_or_path": lambda self, name, value: read_name(value),
}
