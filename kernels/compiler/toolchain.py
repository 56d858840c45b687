"""Numba, imported only when something is compiled; one error if it cannot be."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from minibert.errors import KernelError

PACKAGE = "minibert.kernels"


def import_numba():
    """The module `numba`. KernelError if it, or the llvmlite that it needs, cannot be imported."""
    try:
        import numba
    except Exception as error:  # ImportError if the version does not fit NumPy's, OSError if a library is broken
        raise missing_compiler(error) from error
    return numba


def missing_compiler(error: Exception) -> KernelError:
    return KernelError(
        f"compiled kernels need Numba and its llvmlite, and these cannot be imported: {type(error).__name__}: {error}. "
        "Run `pip install numba`, or choose kernels='reference', which needs neither."
    )


class LazyModule:
    """A module of Numba's, imported when an attribute of it is first read."""

    def __init__(self, name: str):
        self.name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(import_module(self.name), attribute)


types = LazyModule("numba.core.types")
cgutils = LazyModule("numba.core.cgutils")
arrayobj = LazyModule("numba.np.arrayobj")
imputils = LazyModule("numba.core.imputils")
