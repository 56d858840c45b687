"""`@jit`: a function that is compiled when it is first called, not when its file is imported.

    kernel(x, y)                      any function: Numba compiles it, caches it, and calls it
    run(kernel, tasks, x, y)          (`runtime/threads.py`) a function that only writes into its arguments: called as machine
                                      code (`call.py`), which later processes use without Numba

A kernel may call other `@jit` functions and intrinsics (`intrinsic.py`) by name. Next: `lowering.py`.
"""

from __future__ import annotations

import os
import types
from collections.abc import Callable
from functools import cached_property, update_wrapper
from pathlib import Path
from threading import RLock

from .intrinsic import Intrinsic
from .object_cache import numba_cache, object_path
from .source_hash import source_hash
from .toolchain import PACKAGE, import_numba

COMPILE_LOCK = RLock()  # Numba compiles for one thread at a time. Who holds it waits for no other lock of ours
if hasattr(os, "register_at_fork"):  # a fork waits until nothing is compiled: in the child, LLVM's own locks are free then too
    os.register_at_fork(before=COMPILE_LOCK.acquire, after_in_parent=COMPILE_LOCK.release, after_in_child=COMPILE_LOCK.release)


class Kernel:
    """A function to compile, with options as for `numba.njit`."""

    def __init__(self, function: Callable, options: dict, overrides: dict | None = None):
        update_wrapper(self, function)
        self.function, self.options = function, options
        self.overrides = overrides or {}  # a global name in the function -> its value in this kernel
        self.native: dict[tuple, Callable] = {}  # signature -> machine code, for call.py

    @property
    def module(self) -> str:
        return self.function.__module__.removeprefix(f"{PACKAGE}.")

    @property
    def modules(self) -> tuple[str, ...]:
        """The modules of its function and of its overrides."""
        return tuple(dict.fromkeys([self.module, *sorted(override.module for override in self.overrides.values())]))

    def __call__(self, *arguments):
        return self.compiled(*arguments)

    def specialize(self, name: str, **overrides: Kernel | Intrinsic) -> Kernel:
        """A kernel of the same code, with other values for some of its global names."""
        kernel = Kernel(self.function, self.options, overrides)
        kernel.__name__ = name
        return kernel

    @property
    def globals_read(self) -> dict[str, object]:
        """The global names in its code -> their values."""
        names = {**self.function.__globals__, **self.overrides}
        return {name: names[name] for name in self.function.__code__.co_names if name in names}

    def resolve_globals(self, callee: Callable[[Kernel], object]) -> Callable:
        """The plain function, with each kernel that it calls replaced by callee(kernel), and intrinsics by Numba's."""
        resolved = {
            name: callee(value) if isinstance(value, Kernel) else value.compiled
            for name, value in self.globals_read.items()
            if isinstance(value, (Kernel, Intrinsic))
        }
        code, defaults = self.function.__code__, self.function.__defaults__
        namespace = {**self.function.__globals__, **self.overrides, **resolved}
        function = types.FunctionType(code, namespace, self.__name__, defaults)
        function.__qualname__ = self.__name__  # Numba's cache uses it as the name
        return function

    @property
    def source_hash(self) -> str:
        return source_hash(*self.modules)

    def object_path(self, signature: tuple) -> Path | None:
        """Its object file for this signature and machine; None if there is no cache folder."""
        return object_path(self.modules, self.__name__, (signature, self.options))

    @property
    def code_size(self) -> int:
        """Bytes of bytecode, including the kernels it calls: roughly proportional to its compile time."""
        callees = [value for value in self.globals_read.values() if isinstance(value, Kernel)]
        return len(self.function.__code__.co_code) + sum(kernel.code_size for kernel in callees)

    @cached_property
    def compiled(self) -> Callable:
        """Numba's dispatcher, which compiles for each signature, with our cache."""
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
