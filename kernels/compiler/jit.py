"""`@jit`: a function that is compiled when it is first called, not when its file is imported.

    kernel(x, y)                      any function: Numba compiles it, caches it, and calls it
    run(kernel, tasks, x, y)          (`threads.py`) a function that only fills arrays it is passed: called as machine
                                      code (`call.py`), which a later process uses without Numba

A kernel may use other `@jit` functions and intrinsics (`intrinsic.py`) by their names. Next: `lowering.py`.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from functools import cached_property, update_wrapper
from pathlib import Path
from threading import RLock

from .intrinsic import Intrinsic
from .object_cache import numba_cache, object_path
from .source_hash import source_hash
from .toolchain import PACKAGE, import_numba

COMPILE_LOCK = RLock()  # Numba compiles for one thread at a time


class Kernel:
    """A function to compile, with options as for `numba.njit`."""

    def __init__(self, function: Callable, options: dict, overrides: dict | None = None):
        update_wrapper(self, function)
        self.function, self.options = function, options
        self.overrides = overrides or {}  # global names of the function -> what they mean in this kernel
        self.native: dict[tuple, Callable] = {}  # signature -> machine code, for call.py

    @property
    def module(self) -> str:
        return self.function.__module__.removeprefix(f"{PACKAGE}.")

    @property
    def modules(self) -> tuple[str, ...]:
        """Where it, and what replaces some of its names, is written."""
        return tuple(dict.fromkeys([self.module, *sorted(used.module for used in self.overrides.values())]))

    def __call__(self, *arguments):
        return self.compiled(*arguments)

    def specialize(self, name: str, **overrides: Kernel | Intrinsic) -> Kernel:
        """The same code as another kernel, in which some of the global names mean something else."""
        kernel = Kernel(self.function, self.options, overrides)
        kernel.__name__ = name
        return kernel

    @property
    def used(self) -> dict[str, object]:
        """The global names in its code -> their values."""
        names = {**self.function.__globals__, **self.overrides}
        return {name: names[name] for name in self.function.__code__.co_names if name in names}

    def resolve_globals(self, callee: Callable[[Kernel], object]) -> Callable:
        """The plain function, with callee(kernel) in the place of each kernel that it calls, and intrinsics imported."""
        resolved = {
            name: callee(value) if isinstance(value, Kernel) else value.compiled
            for name, value in self.used.items()
            if isinstance(value, (Kernel, Intrinsic))
        }
        code, defaults = self.function.__code__, self.function.__defaults__
        function = types.FunctionType(code, {**self.function.__globals__, **self.overrides, **resolved}, self.__name__, defaults)
        function.__qualname__ = self.__name__  # by which Numba's cache knows it
        return function

    @property
    def source_hash(self) -> str:
        return source_hash(*self.modules)

    def object_path(self, signature: tuple) -> Path | None:
        """Its object file for arguments of these types, on this machine; None if there is no cache folder."""
        return object_path(self.modules, self.__name__, (signature, self.options))

    @property
    def code_size(self) -> int:
        """Bytes of bytecode, of the kernels it calls too: about in proportion to the time it takes to compile."""
        callees = [value for value in self.used.values() if isinstance(value, Kernel)]
        return len(self.function.__code__.co_code) + sum(kernel.code_size for kernel in callees)

    @cached_property
    def compiled(self) -> Callable:
        """Numba's dispatcher: compiles for each signature, and keeps that between processes."""
        numba = import_numba()
        with COMPILE_LOCK:
            dispatcher = numba.njit(**self.options)(self.resolve_globals(lambda kernel: kernel.compiled))
            stored = numba_cache(self.modules, self.options, dispatcher.py_func)
            if stored is not None:
                dispatcher._cache = stored
            return dispatcher


def jit(**options) -> Callable[[Callable], Kernel]:
    """Decorate a kernel; options as for `numba.njit`."""
    return lambda function: Kernel(function, options)
