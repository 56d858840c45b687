"""What a caller asked for, checked and made definite, before any text is looked at.

The meanings are those of transformers, with one difference: an argument that would do nothing is refused.
"""

import operator
import os
from pathlib import Path
from typing import NamedTuple

from minibert.errors import InputError, InputTypeError, ModelFileError, ModelNotFoundError, brief

PADDINGS = {True: "longest", False: None, "longest": "longest", "max_length": "max_length", "do_not_pad": None}
TRUNCATIONS = {
    True: "longest_first", False: None, None: None, "longest_first": "longest_first", "only_first": "only_first",
    "only_second": "only_second", "do_not_truncate": None,
}  # fmt: skip
UNLIMITED = 10**20  # a model_max_length above this means that there is none
LONGEST = 2**31 - 1  # tokens that a row may be filled up to


class Request(NamedTuple):
    """How rows are to be cut and filled."""

    truncation: str | None  # a strategy, or None
    padding: str | None  # "longest", "max_length", or None
    max_length: int | None
    stride: int
    pad_to_multiple_of: int | None
    padding_side: str


def resolve(tokenizer, *, padding, truncation, max_length, stride, pad_to_multiple_of, padding_side, overflow):
    """The arguments of a call -> Request."""
    usual = padding is False and truncation is None and max_length is None and pad_to_multiple_of is None
    if usual and padding_side is None and type(stride) is int and stride == 0:  # nothing to cut or to fill
        return Request(None, None, None, 0, None, tokenizer.padding_side)
    max_length = _count("max_length", max_length)
    stride = _count("stride", stride) or 0
    pad_to_multiple_of = _count("pad_to_multiple_of", pad_to_multiple_of, least=1)
    if padding_side is not None:
        check_side("padding_side", padding_side)
    padding, truncation = _choose("padding", padding, PADDINGS), _choose("truncation", truncation, TRUNCATIONS)
    only_length = max_length is not None and padding is False and truncation is None
    strategy, filling = "longest_first" if only_length else TRUNCATIONS[truncation], PADDINGS[padding]
    _refuse_idle(strategy, filling, max_length, stride, pad_to_multiple_of, padding_side, overflow)
    if max_length is None and tokenizer.model_max_length <= UNLIMITED:
        max_length = tokenizer.model_max_length if strategy or filling == "max_length" else None
    if max_length is None:
        strategy, filling = None, None if filling == "max_length" else filling
    if filling and tokenizer.pad_token is None:
        raise InputError("padding needs a token to fill with; this tokenizer has no pad_token. Set tokenizer.pad_token.")
    if strategy and filling and pad_to_multiple_of and max_length % pad_to_multiple_of:
        raise InputError(
            f"max_length must be a multiple of pad_to_multiple_of where rows are cut and filled; got"
            f" {brief(max_length)} and {brief(pad_to_multiple_of)}."
        )
    return Request(strategy, filling, max_length, stride, pad_to_multiple_of, padding_side or tokenizer.padding_side)


def _refuse_idle(strategy, filling, max_length, stride, pad_to_multiple_of, padding_side, overflow):
    """An argument that does nothing is a misunderstanding: better said than passed over."""
    if max_length is not None and not strategy and filling != "max_length":
        raise InputError(
            f"max_length={brief(max_length)} does nothing without truncation=True or padding='max_length'. Pass one of them."
        )
    if stride and not (strategy and overflow):
        raise InputError(
            f"stride={brief(stride)} does nothing without truncation=True and return_overflowing_tokens=True. Pass both."
        )
    for name, value in (("pad_to_multiple_of", pad_to_multiple_of), ("padding_side", padding_side)):
        if value is not None and not filling:
            raise InputError(f"{name}={brief(value)} does nothing without padding. Pass padding=True.")


def _choose(name, value, choices):
    """The key of `choices` that is meant."""
    if type(value) is not bool and value is not None:
        value = getattr(value, "value", value) if not isinstance(value, type) else value  # transformers' enumerations
        value = bool(value) if is_bool(value) else value
    if not isinstance(value, (bool, str, type(None))) or value not in choices:
        raise InputError(f"{name} must be one of {', '.join(map(repr, choices))}; got {brief(value)}.")
    return value


def _count(name, value, least=0):
    return None if value is None else whole_number(name, value, least)


def whole_number(name, value, least=0):
    """A whole number of any type, NumPy's too, as an int; refused if it is below `least`, if there is one."""
    integer = as_int(value)
    if integer is None or (least is not None and integer < least):
        rule = "an integer" if least is None else f"an integer from {least} up"
        raise (InputTypeError if integer is None else InputError)(f"{name} must be {rule}; got {brief(value)}.")
    return integer


def as_int(value):
    """An integer of any type, as an int; None for what is none, as a boolean is."""
    if type(value) is int:
        return value
    if is_bool(value):
        return None
    try:
        return operator.index(value)
    except (TypeError, ValueError, RuntimeError):  # RuntimeError: a tensor's
        return None


def is_bool(value):
    """Whether it is True or False, or one of them as NumPy has it."""
    return isinstance(value, bool) or type(value).__name__ in ("bool", "bool_") and type(value).__module__ == "numpy"


def as_flag(name, value):
    """An option that is on or off -> bool. None, 0 and 1 will do as well."""
    if type(value) is bool:
        return value
    if is_bool(value) or value is None or (type(value) is int and value in (0, 1)):
        return bool(value)
    raise InputTypeError(f"{name} must be True or False; got {brief(value)}.")


def plain(value, what):
    """Arrays and tensors as lists or numbers, anything else as it is."""
    if type(value) in (list, tuple, int) or isinstance(value, type) or not hasattr(value, "tolist"):
        return value
    try:
        return value.tolist()
    except (TypeError, ValueError, RuntimeError) as error:  # a sparse tensor
        raise InputTypeError(f"{what} must be a dense array or a list; got a {type(value).__name__}: {error}") from None


def as_list(value, what):
    """Anything that can be gone through, as a list. An iterator's own exceptions pass through."""
    if type(value) is list:
        return value.copy()
    value = plain(value, what)
    if isinstance(value, (str, bytes, bytearray)) or hasattr(value, "keys"):
        raise InputTypeError(f"{what} must be a list; got {type(value).__name__}: {brief(value)}.")
    try:
        items = iter(value)
    except TypeError:
        raise InputTypeError(f"{what} must be a list; got {type(value).__name__}: {brief(value)}.") from None
    return list(items)


def as_path(name, value):
    """A path of the caller's -> Path, which may be that of no file."""
    if not isinstance(value, (str, os.PathLike)):
        raise InputTypeError(f"{name} must be a path; got {type(value).__name__}: {brief(value)}.")
    path = os.fspath(value)
    try:
        encoded = os.fsencode(path)
    except UnicodeEncodeError:
        raise InputError(f"{name} must be a path that this system can write; got {brief(path)}.") from None
    if b"\0" in encoded:
        raise InputError(f"{name} must be a path, which has no null character in it; got {brief(path)}.")
    return Path(os.fsdecode(path))


def as_file(name, value):
    """A path of the caller's -> Path of a file that is there."""
    path = as_path(name, value)
    try:
        with open(path, "rb"):
            return path
    except (FileNotFoundError, NotADirectoryError):
        raise ModelNotFoundError(f"{name} must be the path of a file; there is none at {path}.") from None
    except OSError as error:
        raise ModelFileError(f"{name} must be the path of a file; {path} cannot be read: {error.strerror or error}.") from None


def refuse_unknown(call, unknown, known=()):
    """Keywords that a call does not have."""
    if unknown:
        names = ", ".join(sorted(unknown))
        raise InputTypeError(f"{call} takes {', '.join(known) or 'no options'}; got {names}.")


def check_side(name, value):
    if not isinstance(value, str) or value not in ("left", "right"):
        raise InputError(f"{name} must be 'left' or 'right'; got {brief(value)}.")


def filled_length(lengths, request):
    """The length that rows are filled up to: of the longest, or max_length; then to a multiple."""
    length = request.max_length if request.padding == "max_length" else max(lengths, default=0)
    length += -length % (request.pad_to_multiple_of or 1)
    if length > LONGEST:
        raise InputError(
            f"rows can be filled up to {LONGEST} tokens; max_length and pad_to_multiple_of ask for {brief(length)}."
        )
    return length


def room(max_length, special, stride, single_special):
    """How many tokens of the texts fit into a row, `special` tokens being in it. (The reference wraps round below 0.)"""
    if max_length < special:
        raise InputError(
            f"max_length must leave room for the {special} special tokens; got {brief(max_length)}."
            " Pass a larger one, or add_special_tokens=False."
        )
    if stride > max_length - single_special:
        raise InputError(
            f"stride must be at most max_length less the {single_special} special tokens; got"
            f" stride={brief(stride)} and max_length={brief(max_length)}."
        )
    return max_length - special
