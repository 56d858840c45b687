"""How much minibert says, under the names that transformers has for it: `minibert.logging.set_verbosity_error()`.

Messages go to Python's logger "minibert", warnings that an answer deserves a look are MinibertWarnings, and neither is an
error. The progress bars are those of downloads.
"""

from __future__ import annotations

from logging import CRITICAL, DEBUG, ERROR, INFO, WARNING, Logger, StreamHandler, getLogger

from . import _download
from .errors import InputTypeError, read_int, short_repr, strict_arguments

__all__ = [
    "CRITICAL",
    "DEBUG",
    "ERROR",
    "INFO",
    "WARNING",
    "disable_progress_bar",
    "enable_progress_bar",
    "get_logger",
    "get_verbosity",
    "is_progress_bar_enabled",
    "set_verbosity",
    "set_verbosity_debug",
    "set_verbosity_error",
    "set_verbosity_info",
    "set_verbosity_warning",
]


@strict_arguments
def get_logger(name: str | None = None) -> Logger:
    """The logger of this name; without one, minibert's."""
    if not isinstance(name, (str, type(None))):
        raise InputTypeError(f"name must be a string or None; got {short_repr(name)}.")
    return getLogger(name or "minibert")


@strict_arguments
def get_verbosity() -> int:
    """The level from which on minibert's messages are shown, such as `logging.WARNING`, 30."""
    return get_logger().getEffectiveLevel()


@strict_arguments
def set_verbosity(verbosity: int) -> None:
    """Show messages of this level and above. Those below WARNING go to stderr, unless the program has its own handlers."""
    logger = get_logger()
    logger.setLevel(read_int("verbosity", verbosity))
    if verbosity < WARNING and not logger.hasHandlers():
        logger.addHandler(StreamHandler())


@strict_arguments
def set_verbosity_debug() -> None:
    set_verbosity(DEBUG)


@strict_arguments
def set_verbosity_info() -> None:
    set_verbosity(INFO)


@strict_arguments
def set_verbosity_warning() -> None:
    set_verbosity(WARNING)


@strict_arguments
def set_verbosity_error() -> None:
    set_verbosity(ERROR)


@strict_arguments
def enable_progress_bar() -> None:
    """Show a bar for each file that is downloaded, as it is by default."""
    _download.progress_bars = True


@strict_arguments
def disable_progress_bar() -> None:
    _download.progress_bars = False


@strict_arguments
def is_progress_bar_enabled() -> bool:
    return _download.progress_bars is not False
