"""Reading the options of training: each function takes an option's name and a caller's value, and returns the value in one
type, or raises InputError or InputTypeError with the rule and what came.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Real
from typing import Any

from ..errors import InputError, InputTypeError, as_int, is_bool, short_repr
from ..tensors import as_array


def read_real(name: str, value: Any, *, above: float | None = None, below: float | None = None, least: float = 0.0) -> float:
    """A finite number that is `least` or more, or above `above`; and below `below` if that is set."""
    rule = f"{least:g} or more" if above is None else f"above {above:g}"
    rule += "" if below is None else f" and below {below:g}"
    number = as_real(value)
    if number is None:
        raise InputTypeError(f"{name} must be a number, {rule}; got {short_repr(value)}.")
    too_small = number < least if above is None else number <= above
    if not math.isfinite(number) or too_small or (below is not None and number >= below):
        raise InputError(f"{name} must be a number, {rule}; got {short_repr(value)}.")
    return number


def as_real(value: Any) -> float | None:
    """A number of Python or NumPy as a float; None for anything else, and for an integer that no float can hold."""
    if is_bool(value) or not isinstance(value, Real):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def read_count(name: str, value: Any, least: int = 0) -> int:
    """An integer from `least` up, that 63 bits can hold."""
    integer = as_int(value)
    if integer is None:
        raise InputTypeError(f"{name} must be an integer from {least} up; got {short_repr(value)}.")
    if not least <= integer < 2**63:
        raise InputError(f"{name} must be an integer from {least} up; got {short_repr(value)}.")
    return integer


def read_steps(name: str, value: Any) -> int | float:
    """A number of steps from 1 up, or a fraction of all of them, above 0 and below 1."""
    number = as_real(value)
    if number is not None and 0 < number < 1:
        return number
    if number is not None and math.isfinite(number) and number >= 1 and number == int(number):
        return read_count(name, int(number), 1)
    error = InputTypeError if number is None else InputError
    raise error(f"{name} must be a number of steps from 1 up, or a fraction of all steps, below 1; got {short_repr(value)}.")


def read_numbers(name: str, value: Any) -> list[float]:
    """Numbers from 0 up, in a list, a tuple or an array."""
    values = value if isinstance(value, (list, tuple)) else as_array(value, name).tolist()
    if not isinstance(values, (list, tuple)) or not values:
        raise InputTypeError(f"{name} must be a list of numbers from 0 up; got {short_repr(value)}.")
    return [read_real(name, number) for number in values]


def read_layers(name: str, layers: Any) -> list[int]:
    """A list of integers from 0 up."""
    if not isinstance(layers, (list, tuple)):
        raise InputTypeError(f"{name} must be a list of the teacher's layers, one for each layer; got {short_repr(layers)}.")
    return [read_count(name, layer) for layer in layers]


def read_choice(name: str, value: Any, choices: Iterable[str]) -> str:
    """One of `choices`; an Enum's member counts as its value, as transformers' own are passed."""
    value = getattr(value, "value", value)
    choices = list(choices)
    if not isinstance(value, str) or value not in choices:
        raise InputError(f"{name} must be {', '.join(map(repr, choices))}; got {short_repr(value)}.")
    return value
