"""Every error minibert raises on purpose; each message states the rule, what came, and the mend.

    MinibertError
    ├── InputError (ValueError)             a value of the caller's that no answer exists for
    │   └── InputTypeError (TypeError)      ... because it is of the wrong type: bytes, None, a lone surrogate
    ├── CheckpointError (ValueError)        a file of a checkpoint is damaged, or says what cannot be
    │   ├── ConfigError                     config.json
    │   ├── WeightsError                    model.safetensors, pytorch_model.bin, and their indexes
    │   └── VocabularyError                 vocab.txt, tokenizer.json, tokenizer_config.json
    ├── ModelFileError (OSError)            a file of a checkpoint cannot be had, or cannot be written
    │   ├── ModelNotFoundError              no such folder, repository, revision, or file
    │   ├── GatedModelError                 it is there, and wants a license accepted or a token
    │   └── DownloadError                   the network or the server failed; trying again may work
    ├── TrainingError (ArithmeticError)     a training cannot go on: its loss is NaN or infinite
    ├── DataFileError (OSError)             a file of texts cannot be read, or one of answers not written
    └── KernelError (ValueError)            no such kernel, or this machine cannot run it

Warnings are `MinibertWarning` (a UserWarning): the answer is there, and something about it deserves a look.

Arguments of every room are checked here too: option names, flags and integers.
"""

from collections.abc import Callable, Collection, Iterable
from functools import wraps
from numbers import Integral
from operator import index
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


class MinibertError(Exception):
    """The root: `except minibert.MinibertError` catches everything below, and nothing else."""


class InputError(MinibertError, ValueError):
    """A value of the caller's breaks a rule."""


class InputTypeError(InputError, TypeError):
    """A value of the caller's is of a type, or holds a character, that text cannot be."""


class CheckpointError(MinibertError, ValueError):
    """A file of a checkpoint is damaged or contradicts another."""


class ConfigError(CheckpointError):
    """config.json, or a configuration made in code."""


class WeightsError(CheckpointError):
    """A file of weights, safetensors or torch's, or its index."""


class VocabularyError(CheckpointError):
    """vocab.txt, tokenizer.json or tokenizer_config.json."""


class ModelFileError(MinibertError, OSError):
    """A file that was asked for cannot be had, or cannot be written."""


class ModelNotFoundError(ModelFileError):
    """No such folder, repository, revision or file."""


class GatedModelError(ModelFileError):
    """The repository is there, but not for this user."""


class DownloadError(ModelFileError):
    """The network or the server failed."""


class TrainingError(MinibertError, ArithmeticError):
    """The loss or a gradient of a training is NaN or infinite."""


class DataFileError(MinibertError, OSError):
    """A file of texts cannot be read, or one of answers cannot be written."""


class KernelError(MinibertError, ValueError):
    """An unknown kernel, preset or operation, or one this machine cannot run."""


class MinibertWarning(UserWarning):
    """The answer is there; something about it deserves a look."""


def short_repr(value: object) -> str:
    """A value for an error's message, however long it is."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an int of more than 4,300 digits; nested too deep
        return f"a value of type {type(value).__name__} too large to show"
    return text if len(text) <= 80 else f"{text[:77]}..."


def strict_arguments(function: F) -> F:
    """The same function, but to call it with an unknown or a missing argument is an InputTypeError."""

    @wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
        except TypeError as error:
            if (
                error.__traceback__ is None or error.__traceback__.tb_next is not None
            ):  # raised inside of the function, which has begun
                raise
            names = ", ".join(argument_names(function))
            message = f"{error}. It takes {names}." if names else f"{error}. It takes no arguments."
            raise InputTypeError(message) from None

    return call  # type: ignore[return-value]  # it has the function's own signature


def refuses(*names: str) -> Callable[[F], F]:
    """Marks arguments that a function has in order to refuse them: `argument_names` leaves them out."""

    def mark(function: F) -> F:
        function.refused = names  # type: ignore[attr-defined]
        return function

    return mark


def argument_names(function: Callable) -> list[str]:
    """The arguments that a caller may pass by name: not those that it refuses, nor one that collects all others."""
    import inspect  # 12 ms, which only an error needs

    hidden = ("self", "cls", *getattr(function, "refused", ()))
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = inspect.signature(function).parameters.items()
    return [name for name, one in parameters if one.kind in named and name not in hidden and not name.startswith("_")]


def check_option_names(function: str, options: Iterable[str], known: Collection[str], refused: Collection[str] = ()) -> None:
    """The same for a function that takes **options: an option that is not among the known ones is an InputTypeError. Those
    that are refused, with an error of their own, pass too."""
    unknown = [name for name in options if name not in known and name not in refused]
    if unknown:
        names = ", ".join(map(repr, unknown))
        hint = did_you_mean(unknown, known)
        raise InputTypeError(f"{function}() got an unexpected keyword argument {names}. It takes {', '.join(known)}.{hint}")


def did_you_mean(unknown: Iterable[str], known: Collection[str]) -> str:
    """The end of an error about unknown names: the known name that is closest to the first; "" if none is close."""
    from difflib import get_close_matches  # which only an error needs

    closest = get_close_matches(next(iter(unknown))[:80], known, 1)
    return f" Did you mean {closest[0]!r}?" if closest else ""


def is_integer(value: object) -> bool:
    """Whether a value is an integer, of Python or of NumPy, and no bool."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_bool(value: object) -> bool:
    """Whether a value is True or False, of Python or of NumPy."""
    if isinstance(value, bool):
        return True
    return type(value).__name__ in ("bool", "bool_") and type(value).__module__ == "numpy"  # NumPy 2, NumPy 1


def as_int(value: Any) -> int | None:
    """An integer of any type, also an array or a tensor that holds one, as an int. None for a bool and for anything else."""
    if type(value) is int:
        return value
    if is_bool(value):
        return None
    try:
        return index(value)
    except (TypeError, ValueError, RuntimeError):  # RuntimeError: a tensor's
        return None


def read_int(name: str, value: object, least: int | None = 0) -> int:
    """An integer of any type, at least `least` -> an int."""
    integer = as_int(value)
    if integer is None or (least is not None and integer < least):
        rule = "an integer" if least is None else f"an integer from {least} up"
        raise (InputTypeError if integer is None else InputError)(f"{name} must be {rule}; got {short_repr(value)}.")
    return integer


def read_flag(name: str, value: object) -> bool:
    """True or False, of Python or of NumPy, or 1 or 0 -> a bool. InputTypeError for anything else."""
    if isinstance(value, bool):
        return value
    if is_bool(value) or (is_integer(value) and value in (0, 1)):
        return bool(value)
    raise InputTypeError(f"{name} must be True or False; got {short_repr(value)}.")
