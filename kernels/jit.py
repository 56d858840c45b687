"""`@jit`: a function that Numba compiles when it is first called, not when its file is imported.

    kernel(x, y)                      any function: Numba compiles it, keeps it in its cache, and calls it
    run(kernel, tasks, x, y)          (`threads.py`) a function that only fills arrays it is given: called as bare
                                      machine code (`machine_code.py`), which a later process uses without Numba

A kernel may use other `@jit` functions and the instructions of `vectors.py` by their names.
"""

from __future__ import annotations

import hashlib
import importlib
import re
import types
import warnings
from collections.abc import Callable
from functools import cache, cached_property, update_wrapper
from pathlib import Path
from threading import RLock

from minibert.errors import MinibertWarning

COMPILER = RLock()  # Numba compiles for one thread at a time


class Instruction:
    """A name from `intrinsics.py`, which is imported when the first kernel that uses it is compiled."""

    def __init__(self, name: str, module: str = "minibert.kernels.intrinsics"):
        self.name, self.module = name, module

    @property
    def file(self) -> str:
        return self.module.rpartition(".")[2]

    @property
    def compiled(self):
        return getattr(importlib.import_module(self.module), self.name)


class Kernel:
    """A function to be compiled, with the options `numba.njit` is to have."""

    def __init__(self, function: Callable, options: dict, names: dict | None = None):
        update_wrapper(self, function)
        self.function, self.options = function, options
        self.names = names or {}  # what stands behind some of the names it uses, in place of its module's
        self.codes: dict[tuple, Callable] = {}  # kinds of arguments -> machine code, for machine_code.py

    @property
    def file(self) -> str:
        return self.function.__module__.rpartition(".")[2]

    def __call__(self, *arguments):
        return self.compiled(*arguments)

    def using(self, name: str, **names: Kernel | Instruction) -> Kernel:
        """The same code under another name, with these behind some of the names in it."""
        made = Kernel(self.function, self.options, names)
        made.__name__ = name
        return made

    def with_names_compiled(self) -> Callable:
        """The function, with compiled ones behind the names it uses."""
        names = {**self.function.__globals__, **self.names}
        used = {name: names[name] for name in self.function.__code__.co_names if name in names}
        found = {name: made.compiled for name, made in used.items() if isinstance(made, (Kernel, Instruction))}
        code, defaults = self.function.__code__, self.function.__defaults__
        made = types.FunctionType(code, {**names, **found}, self.__name__, defaults)
        made.__qualname__ = self.__name__  # by which Numba's cache knows it
        return made

    @property
    def stamp(self) -> str:
        """A hash of all sources that it is compiled from."""
        return stamp(self.file, *sorted(made.file for made in self.names.values()))

    @cached_property
    def compiled(self) -> Callable:
        """Numba's own form of it: compiles for each kind of arguments, and keeps that between processes."""
        import numba

        with COMPILER:
            function = self.with_names_compiled()
            try:
                dispatcher = numba.njit(cache=True, **self.options)(function)
            except RuntimeError:  # no folder that the cache can lie in (numba#4032, #5566)
                warn_of_no_folder()
                return numba.njit(**self.options)(function)
            if hasattr(getattr(dispatcher._cache, "_cache_file", None), "_source_stamp"):
                dispatcher._cache._cache_file._source_stamp = self.stamp
            return dispatcher


def jit(**options) -> Callable[[Callable], Kernel]:
    """Decorate a kernel; options as for `numba.njit`."""
    return lambda function: Kernel(function, options)


@cache
def stamp(*modules: str) -> str:
    """A hash of the sources that kernels of these files are compiled from: their own, and those they import. Numba itself looks
    at the first alone, and would go on using the old `add_product` or `exp` after theirs have changed."""
    folder, found, left = Path(__file__).parent, {}, {*modules, "intrinsics"}
    while left:
        name = left.pop()
        found[name] = (folder / f"{name}.py").read_text(encoding="utf-8") if (folder / f"{name}.py").exists() else ""
        imported = re.findall(r"^from \.(\w+) import|minibert\.kernels\.(\w+)", found[name], re.M)
        left |= {first or second for first, second in imported} - set(found)
    return hashlib.sha256(repr(sorted(found.items())).encode()).hexdigest()[:16]


@cache
def warn_of_no_folder() -> None:
    warnings.warn(
        "no folder for compiled kernels can be written, so each process compiles its own; "
        "set NUMBA_CACHE_DIR to a writable folder to keep them.",
        MinibertWarning,
        stacklevel=5,
    )
