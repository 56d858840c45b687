"""Numba's `njit(cache=True)`, which also works where no folder for the cache can be written."""

from __future__ import annotations

import warnings
from functools import cache

import numba

from minibert.errors import MinibertWarning


def jit(**options):
    """Decorate a kernel: compiled on its first call, kept between processes. Helpers stay in the kernel's own file,
    for Numba's cache does not see a change in another."""

    def compiled(function):
        try:
            return numba.njit(cache=True, **options)(function)
        except RuntimeError:  # raised while decorating: no folder that the cache can lie in (numba#4032, #5566)
            warn_once()
            return numba.njit(**options)(function)

    return compiled


@cache
def warn_once():
    warnings.warn(
        "no folder for compiled kernels can be written, so each process compiles its own; "
        "set NUMBA_CACHE_DIR to a writable folder to keep them.",
        MinibertWarning,
        stacklevel=4,
    )
