"""The arguments of a tokenizer's call, checked and resolved before any text is read.

    "a"                        one text                 ["a", "b"]                 a batch of two
    "a", "b"                   one pair                 ["a", "c"], ["b", "d"]     a batch of two pairs
                                                        [("a", "b"), ("c", "d")]   the same
    ["a", "b"]                 with is_split_into_words=True: one text of two words

The options mean what they mean in transformers, and what is ignored there is ignored here: `stride` without truncation,
`pad_to_multiple_of` and `padding_side` without padding, and, with a warning, `max_length` with padding=True alone.
"""

import os
import sys
import warnings
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from minibert.errors import (
    InputError,
    InputTypeError,
    MinibertWarning,
    ModelFileError,
    ModelNotFoundError,
    check_option_names,
    is_bool,
    read_flag,
    read_int,
    short_repr,
)
from minibert.tensors import check_without_effect

PADDINGS = {True: "longest", False: None, "longest": "longest", "max_length": "max_length", "do_not_pad": None}
TRUNCATIONS = {
    True: "longest_first",
    False: None,
    None: None,
    "longest_first": "longest_first",
    "only_first": "only_first",
    "only_second": "only_second",
    "do_not_truncate": None,
}
REPLACED = {  # options of transformers before version 5
    "pad_to_max_length": "padding='max_length'",
    "truncation_strategy": "truncation='longest_first', 'only_first' or 'only_second'",
    "is_pretokenized": "is_split_into_words",
    "return_input_lengths": "return_length",
    "max_len": "max_length",
}
NEVER_NONE = ("add_special_tokens", "is_split_into_words", "skip_special_tokens", "pair")  # flags
UNLIMITED = 10**20  # a larger model_max_length means no limit
MAX_PADDED_LENGTH = 2**31 - 1  # tokens


class Request(NamedTuple):
    """How rows are truncated and padded."""

    truncation: str | None  # a strategy, or None
    padding: str | None  # "longest", "max_length", or None
    max_length: int | None
    stride: int
    pad_to_multiple_of: int | None
    padding_side: str


# --- texts ---


def read_texts(text, text_pair, is_split_into_words):
    """The texts of a call -> (rows, batched): each row is a tuple of one text or two."""
    if text_pair is None and type(text) is str and not is_split_into_words:  # the usual case
        return [(text,)], False
    batched = isinstance(text, (list, tuple))
    if is_split_into_words and batched:
        batched = bool(text) and isinstance(text[0], (list, tuple))
    if not batched:
        # As in transformers, an empty second text is no second text here; in a batch it is one.
        is_single = text_pair is None or (isinstance(text_pair, (str, list, tuple)) and not text_pair)
        row = (text,) if is_single else (text, text_pair)
        return [tuple(_check_text(item, is_split_into_words) for item in row)], False
    if text_pair is None:
        return [_read_row(item, is_split_into_words) for item in text], True
    if isinstance(text_pair, str) or not isinstance(text_pair, (list, tuple)):
        raise InputTypeError(f"text_pair must be a list, like text; got {type(text_pair).__name__}.")
    if len(text) != len(text_pair):
        raise InputError(f"text and text_pair must be lists of the same length; got {len(text)} and {len(text_pair)}.")
    return [tuple(_check_text(item, is_split_into_words) for item in pair) for pair in zip(text, text_pair)], True


def _read_row(item, is_split_into_words):
    """An item of a batch: a text, or a tuple or list of two texts."""
    is_pair = isinstance(item, (list, tuple)) and len(item) == 2
    if is_pair and not (is_split_into_words and all(isinstance(text, str) for text in item)):
        return tuple(_check_text(text, is_split_into_words) for text in item)
    return (_check_text(item, is_split_into_words),)


def _check_text(text, is_split_into_words):
    """A str, or with is_split_into_words a list of str; InputTypeError for anything else."""
    if is_split_into_words and isinstance(text, (list, tuple)):
        for word in text:
            _check_text(word, False)
        return list(text)
    if is_split_into_words or not isinstance(text, str):
        rule = "a list of strings, because of is_split_into_words=True" if is_split_into_words else "a string"
        hint = " Decode bytes first." if isinstance(text, (bytes, bytearray)) else ""
        raise InputTypeError(f"a text must be {rule}; got {type(text).__name__}: {short_repr(text)}.{hint}")
    return text


# --- truncation and padding ---


def resolve(tokenizer, *, padding, truncation, max_length, stride=0, pad_to_multiple_of=None, padding_side=None, verbose=True):
    """The options of a call -> Request. `verbose` is whether to warn of an ignored max_length."""
    is_default = padding is False and truncation is None and max_length is None and pad_to_multiple_of is None
    if is_default and padding_side is None and type(stride) is int and stride == 0:
        return Request(None, None, None, 0, None, tokenizer.padding_side)
    max_length = _optional_int("max_length", max_length)
    stride = _optional_int("stride", stride) or 0
    pad_to_multiple_of = _optional_int("pad_to_multiple_of", pad_to_multiple_of, least=1)
    if padding_side is not None:
        check_side("padding_side", padding_side)
    padding, truncation = _choose("padding", padding, PADDINGS), _choose("truncation", truncation, TRUNCATIONS)
    only_length = max_length is not None and padding is False and truncation is None
    strategy, padding = "longest_first" if only_length else TRUNCATIONS[truncation], PADDINGS[padding]
    if max_length is not None and padding == "longest" and not strategy and verbose:
        warn_caller(
            f"max_length={short_repr(max_length)} is ignored, as in transformers: rows are padded to the longest and not"
            " truncated. Pass truncation=True, or padding='max_length'."
        )
    if max_length is None and tokenizer.model_max_length <= UNLIMITED:
        max_length = tokenizer.model_max_length if strategy or padding == "max_length" else None
    if max_length is None:
        strategy, padding = None, None if padding == "max_length" else padding
    if padding and tokenizer.pad_token is None:
        raise InputError("padding needs a pad_token, and this tokenizer has none. Set tokenizer.pad_token.")
    if strategy and padding and pad_to_multiple_of and max_length % pad_to_multiple_of:
        raise InputError(
            f"with truncation and padding, max_length must be a multiple of pad_to_multiple_of; got {short_repr(max_length)}"
            f" and {short_repr(pad_to_multiple_of)}."
        )
    return Request(strategy, padding, max_length, stride, pad_to_multiple_of, padding_side or tokenizer.padding_side)


def warn_caller(message):
    """A MinibertWarning at the line outside of minibert that made the call."""
    level = 2
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "minibert":
        frame, level = frame.f_back, level + 1
    warnings.warn(message, MinibertWarning, stacklevel=level)


def positional_options(function, values, names, options):
    """Positional values as {name: value}; InputTypeError for more values than names, or a name that is in the options too."""
    if len(values) > len(names):
        raise InputTypeError(
            f"{function}() takes at most {', '.join(names)} after the texts; got {len(values)} more arguments."
        )
    positional = dict(zip(names, values))
    for name in positional.keys() & options.keys():
        raise InputTypeError(f"{function}() got {name!r} twice, by its position and by its name. Pass it by its name.")
    return positional


def refuse_unknown(function, unknown, known):
    """InputTypeError for options that a call does not have; for those of transformers before version 5, with what to pass."""
    for name in unknown.keys() & REPLACED.keys():
        raise InputTypeError(f"transformers 5 has no {name}, nor has minibert. Pass {REPLACED[name]} instead.")
    check_option_names(function, unknown, ("text", "text_pair", *known))


def refuse_targets(text_target, text_pair_target, return_dict):
    """InputError for texts of a decoder, and for return_dict=False."""
    check_without_effect("return_dict", return_dict, (None, True), "The answer is always a BatchEncoding. Leave it out.")
    for name, value in (("text_target", text_target), ("text_pair_target", text_pair_target)):
        if value is not None:
            raise InputError(
                f"{name} must be None: minibert's models are encoders, with one or two texts as input; got {short_repr(value)}."
                " Pass options by their names, and labels through a call of their own."
            )


def _choose(name, value, choices):
    """The key of `choices` that `value` stands for."""
    if type(value) is not bool and value is not None:
        value = getattr(value, "value", value) if not isinstance(value, type) else value  # transformers' enumerations
        value = bool(value) if is_bool(value) else value
    if not isinstance(value, (bool, str, type(None))) or value not in choices:
        raise InputError(f"{name} must be one of {', '.join(map(repr, choices))}; got {short_repr(value)}.")
    return value


def _optional_int(name, value, least=0):
    return None if value is None else read_int(name, value, least)


def as_flag(name, value):
    """An option that is on or off -> bool; None is off, where transformers takes it."""
    return False if value is None and name not in NEVER_NONE else read_flag(name, value)


def check_side(name, value):
    if not isinstance(value, str) or value not in ("left", "right"):
        raise InputError(f"{name} must be 'left' or 'right'; got {short_repr(value)}.")


def padded_length(lengths, request):
    """The length to which rows are padded: the longest row or max_length, rounded up to a multiple."""
    length = request.max_length if request.padding == "max_length" else max(lengths, default=0)
    length += -length % (request.pad_to_multiple_of or 1)
    if length > MAX_PADDED_LENGTH:
        raise InputError(
            f"rows can be padded to at most {MAX_PADDED_LENGTH} tokens; max_length and pad_to_multiple_of give {short_repr(length)}."
        )
    return length


def max_text_tokens(max_length, special_tokens, stride, special_tokens_of_one):
    """How many tokens of the texts fit into a row with this many special tokens. (The reference overflows below 0.)"""
    if max_length < special_tokens:
        raise InputError(
            f"max_length must leave room for the {special_tokens} special tokens; got {short_repr(max_length)}."
            " Pass a larger one, or add_special_tokens=False."
        )
    if stride > max_length - special_tokens_of_one:
        raise InputError(
            f"stride must be at most max_length less the {special_tokens_of_one} special tokens; got"
            f" stride={short_repr(stride)} and max_length={short_repr(max_length)}."
        )
    return max_length - special_tokens


# --- lists and paths ---


def as_python(value, name):
    """An array or tensor -> a list or number; anything else as it is."""
    if type(value) in (list, tuple, int) or isinstance(value, type) or not hasattr(value, "tolist"):
        return value
    try:
        return value.tolist()
    except (TypeError, ValueError, RuntimeError) as error:  # a sparse tensor
        raise InputTypeError(f"{name} must be a dense array or a list; got a {type(value).__name__}: {error}") from None


def as_list(value, name):
    """Any iterable except strings and dictionaries, as a list. An iterator's own exceptions pass through."""
    if type(value) is list:
        return value.copy()
    value = as_python(value, name)
    if isinstance(value, (str, bytes, bytearray)) or hasattr(value, "keys"):
        raise InputTypeError(f"{name} must be a list; got {type(value).__name__}: {short_repr(value)}.")
    try:
        items = iter(value)
    except TypeError:
        raise InputTypeError(f"{name} must be a list; got {type(value).__name__}: {short_repr(value)}.") from None
    return list(items)


def as_path(name, value):
    """A caller's path -> Path. The file need not exist."""
    if not isinstance(value, (str, os.PathLike)):
        raise InputTypeError(f"{name} must be a path; got {type(value).__name__}: {short_repr(value)}.")
    path = os.fspath(value)
    try:
        encoded = os.fsencode(path)
    except UnicodeEncodeError:
        raise InputError(f"{name} must be a path that this system can write; got {short_repr(path)}.") from None
    if b"\0" in encoded:
        raise InputError(f"{name} must be a path, which has no null character in it; got {short_repr(path)}.")
    return Path(os.fsdecode(path))


def as_file(name, value):
    """A caller's path of a file that can be read -> Path."""
    path = as_path(name, value)
    try:
        with open(path, "rb"):
            return path
    except (FileNotFoundError, NotADirectoryError):
        raise ModelNotFoundError(f"{name} must be the path of a file; there is none at {path}.") from None
    except OSError as error:
        raise ModelFileError(f"{name} must be the path of a file; {path} cannot be read: {error.strerror or error}.") from None
