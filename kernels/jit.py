"""Numba's `njit(cache=True)`, which also works where no folder for the cache can be written."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path

import numba

from minibert.errors import MinibertWarning


def jit(**options):
    """Decorate a kernel: compiled on its first call, kept between processes, for each kind of processor apart."""

    def compiled(function):
        try:
            dispatcher = numba.njit(cache=True, **options)(function)
            kept = getattr(dispatcher._cache, "_cache_file", None)
            if hasattr(kept, "_source_stamp"):
                kept._source_stamp = stamp()
            return dispatcher
        except RuntimeError:  # raised while decorating: no folder that the cache can lie in (numba#4032, #5566)
            warn_once()
            return numba.njit(**options)(function)

    return compiled


@cache
def stamp() -> tuple:
    """What a cached kernel must have been compiled from: every file of this folder. Numba itself compares only the
    kernel's own file, and would go on using the old `add_product` or `exp` after theirs have changed."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return tuple((file.name, file.stat().st_mtime, file.stat().st_size) for file in files)


@cache
def warn_once():
    warnings.warn(
        "no folder for compiled kernels can be written, so each process compiles its own; "
        "set NUMBA_CACHE_DIR to a writable folder to keep them.",
        MinibertWarning,
        stacklevel=4,
    )
