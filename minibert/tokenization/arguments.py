"""What a caller asked for, checked and made definite, before any text is looked at.

The meanings are those of transformers, with one difference: an argument that would do nothing is refused.
"""

from typing import NamedTuple

from minibert.errors import InputError, brief

PADDINGS = {True: "longest", False: None, "longest": "longest", "max_length": "max_length", "do_not_pad": None}
TRUNCATIONS = {
    True: "longest_first", False: None, None: None, "longest_first": "longest_first", "only_first": "only_first",
    "only_second": "only_second", "do_not_truncate": None,
}  # fmt: skip
NOTHING = (False, None, None, 0, None, None)
UNLIMITED = 10**20  # a model_max_length above this means that there is none


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
    asked = (padding, truncation, max_length, stride, pad_to_multiple_of, padding_side)
    if asked == NOTHING and padding is False:  # the usual case: nothing to cut or to fill
        return Request(None, None, None, 0, None, tokenizer.padding_side)
    _check_count("max_length", max_length)
    _check_count("stride", stride)
    _check_count("pad_to_multiple_of", pad_to_multiple_of, least=1)
    check_side("padding_side", padding_side, (None, "left", "right"))
    only_length = max_length is not None and padding is False and truncation is None
    strategy = "longest_first" if only_length else _choose("truncation", truncation, TRUNCATIONS)
    filling = _choose("padding", padding, PADDINGS)
    _refuse_idle(strategy, filling, max_length, stride, pad_to_multiple_of, padding_side, overflow)
    if max_length is None and tokenizer.model_max_length <= UNLIMITED:
        max_length = tokenizer.model_max_length if strategy or filling == "max_length" else None
    if max_length is None:
        strategy, filling = None, None if filling == "max_length" else filling
    if filling and tokenizer.pad_token is None:
        raise InputError("padding needs a token to fill with; this tokenizer has no pad_token. Set tokenizer.pad_token.")
    if strategy and filling and pad_to_multiple_of and max_length % pad_to_multiple_of:
        raise InputError(
            f"max_length must be a multiple of pad_to_multiple_of where rows are cut and filled; got {max_length} and"
            f" {pad_to_multiple_of}."
        )
    return Request(strategy, filling, max_length, stride, pad_to_multiple_of, padding_side or tokenizer.padding_side)


def _refuse_idle(strategy, filling, max_length, stride, pad_to_multiple_of, padding_side, overflow):
    """An argument that does nothing is a misunderstanding: better said than passed over."""
    if max_length is not None and not strategy and filling != "max_length":
        raise InputError(
            f"max_length={max_length} does nothing without truncation=True or padding='max_length'. Pass one of them."
        )
    if stride and not (strategy and overflow):
        raise InputError(
            f"stride={stride} does nothing without truncation=True and return_overflowing_tokens=True. Pass both."
        )
    for name, value in (("pad_to_multiple_of", pad_to_multiple_of), ("padding_side", padding_side)):
        if value is not None and not filling:
            raise InputError(f"{name}={value!r} does nothing without padding. Pass padding=True.")


def _choose(name, value, choices):
    value = getattr(value, "value", value)  # transformers' enumerations
    if not isinstance(value, (bool, str, type(None))) or value not in choices:
        raise InputError(f"{name} must be one of {', '.join(map(repr, choices))}; got {value!r}.")
    return choices[value]


def _check_count(name, value, least=0):
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
        raise InputError(f"{name} must be an integer from {least} up; got {value!r}.")


def check_side(name, value, sides=("left", "right")):
    if value not in sides:
        raise InputError(f"{name} must be 'left' or 'right'; got {brief(value)}.")


def room(max_length, special, stride, single_special):
    """How many tokens of the texts fit into a row, `special` tokens being in it. (The reference wraps round below 0.)"""
    if max_length < special:
        raise InputError(
            f"max_length must leave room for the {special} special tokens; got {max_length}."
            " Pass a larger one, or add_special_tokens=False."
        )
    if stride > max_length - single_special:
        raise InputError(
            f"stride must be at most max_length less the {single_special} special tokens; got stride={stride} and"
            f" max_length={max_length}."
        )
    return max_length - special
