"""`@jit`: a function that is compiled when it is first called, not when its file is imported.

    kernel(x, y)                      any function: Numba compiles it, caches it, and calls it
    run(kernel, tasks, x, y)          (`threads.py`) a function that only fills arrays it is passed: called as machine
                                      code (`call.py`), which a later process uses without Numba

A kernel may use other `@jit` functions and the lazy intrinsics of `vectors.py` by their names. Next: `lowering.py`.
"""

from __future__ import annotations

import hashlib
import importlib
import re
import types
from collections.abc import Callable
from functools import cache, cached_property, update_wrapper
from pathlib import Path
from threading import RLock
from typing import NamedTuple

from minibert.errors import KernelError

COMPILE_LOCK = RLock()  # Numba compiles for one thread at a time
PACKAGE = "minibert.kernels"
SOURCES = Path(__file__).resolve().parents[1]
IMPORTED = re.compile(rf"^from (\.+)([\w.]*) import ([\w, ]+|\([^)]*\))|{re.escape(PACKAGE)}\.([\w.]+)", re.M)


def import_numba():
    """The module. KernelError if Numba, or the llvmlite that it needs, cannot be imported."""
    try:
        import numba
    except Exception as error:  # a version that does not fit NumPy's says ImportError; a broken library, OSError
        raise missing_compiler(error) from error
    return numba


def missing_compiler(error: Exception) -> KernelError:
    return KernelError(
        f"compiled kernels need Numba and its llvmlite, and these cannot be imported: {type(error).__name__}: {error}. "
        "Run `pip install numba`, or choose kernels='reference', which needs neither."
    )


class LazyIntrinsic:
    """A Numba intrinsic by name; its module is imported when the first kernel that uses it is compiled."""

    def __init__(self, name: str, module: str = f"{PACKAGE}.intrinsics"):
        self.name, self.module = name, module.removeprefix(f"{PACKAGE}.")

    @property
    def compiled(self):
        return getattr(importlib.import_module(f"{PACKAGE}.{self.module}"), self.name)


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

    def specialize(self, name: str, **overrides: Kernel | LazyIntrinsic) -> Kernel:
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
            if isinstance(value, (Kernel, LazyIntrinsic))
        }
        code, defaults = self.function.__code__, self.function.__defaults__
        function = types.FunctionType(code, {**self.function.__globals__, **self.overrides, **resolved}, self.__name__, defaults)
        function.__qualname__ = self.__name__  # by which Numba's cache knows it
        return function

    @property
    def source_hash(self) -> str:
        return source_hash(*self.modules)

    @property
    def code_size(self) -> int:
        """Bytes of bytecode, of the kernels it calls too: about in proportion to the time it takes to compile."""
        callees = [value for value in self.used.values() if isinstance(value, Kernel)]
        return len(self.function.__code__.co_code) + sum(kernel.code_size for kernel in callees)

    @cached_property
    def compiled(self) -> Callable:
        """Numba's dispatcher: compiles for each signature, and keeps that between processes."""
        from .object_cache import numba_cache

        numba = import_numba()
        with COMPILE_LOCK:
            dispatcher = numba.njit(**self.options)(self.resolve_globals(lambda kernel: kernel.compiled))
            stored = numba_cache(self, dispatcher.py_func)
            if stored is not None:
                dispatcher._cache = stored
            return dispatcher


def jit(**options) -> Callable[[Callable], Kernel]:
    """Decorate a kernel; options as for `numba.njit`."""
    return lambda function: Kernel(function, options)


@cache
def source_hash(*modules: str) -> str:
    """A hash of these modules' sources and of all that they import inside `kernels/`, by an import or a name in a string.

    Numba itself looks at a kernel's own file alone, and would go on using an old `exp` after that has changed.
    """
    hashes: dict[str, str] = {}
    queue = [*modules, "intrinsics"]
    while queue:
        module = queue.pop()
        if module not in hashes:
            source = read_source(module)
            hashes[module] = source.hash
            queue += source.imports
    return hashlib.sha256(repr(sorted(hashes.items())).encode()).hexdigest()[:16]


class Source(NamedTuple):
    hash: str
    imports: tuple[str, ...]  # modules of `kernels/`


@cache
def read_source(module: str) -> Source:
    """A module of `kernels/`; one without text if it is none, as that of a kernel in a test."""
    text = source_files()[module].read_text(encoding="utf-8") if module in source_files() else ""
    imports = []
    for dots, path, names, spelled in IMPORTED.findall(text):
        above = module.split(".")[: -len(dots)] if dots else []
        base = ".".join([*above, *filter(None, path.split(".")), spelled][: None if spelled else -1])
        imports += [base, *(f"{base}.{name}".lstrip(".") for name in re.findall(r"\w+", names))]
    known = [name for name in dict.fromkeys(imports) if name in source_files()]
    return Source(hashlib.sha256(text.encode()).hexdigest(), tuple(known))


@cache
def source_files() -> dict[str, Path]:
    """Module name, as "simd.emit" -> its file."""
    files = {}
    for folder in (SOURCES, *(path for path in SOURCES.iterdir() if path.is_dir())):
        room = "" if folder == SOURCES else f"{folder.name}."
        files |= {f"{room}{file.stem}": file for file in folder.glob("*.py")}
    return files
