"""Compiled kernels on disk, in the user's cache folder, never in the package's.

    <cache>/                               NUMBA_CACHE_DIR if set, else ~/.cache/minibert or the platform's equivalent
        kernels-<sources>/                 one for each copy of these sources
            sources                        the path of that copy; once it is gone, this folder is deleted
            lock                           held by the process that compiles
            <modules>-<source hash>/       deleted once one of the modules has changed
                <kernel>.<machine>.o       SHA-256, then an object file
                ...                        and Numba's cache of the same modules

Two processes never write to the same file: each writes a temporary file and renames it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import BinaryIO

import numpy as np

from minibert.errors import MinibertWarning, ModelFileError
from minibert.files import atomic_write

from .source_hash import SOURCES, source_hash
from .toolchain import missing_compiler

try:
    import fcntl
except ImportError:  # Windows, where no object files are stored either
    fcntl = None


def cache_root() -> Path | None:
    """The folder for all compiled kernels; None if the user has no home folder."""
    environment = os.environ
    if environment.get("NUMBA_CACHE_DIR"):
        return Path(environment["NUMBA_CACHE_DIR"])
    if sys.platform == "win32" and environment.get("LOCALAPPDATA"):
        return Path(environment["LOCALAPPDATA"]) / "minibert" / "Cache"
    if sys.platform not in ("win32", "darwin") and environment.get("XDG_CACHE_HOME"):
        return Path(environment["XDG_CACHE_HOME"]) / "minibert"
    try:
        home = Path.home()
    except RuntimeError:  # no HOME, and no entry for this user
        return None
    if sys.platform == "win32":
        return home / "AppData" / "Local" / "minibert" / "Cache"
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "minibert"


def sources_dir() -> Path | None:
    """The part of the cache that belongs to this copy of the sources."""
    root = cache_root()
    return None if root is None else root / f"kernels-{digest(str(SOURCES))}"


def kernel_dir(modules: tuple[str, ...]) -> Path | None:
    """The folder for kernels of these modules, compiled from the current sources."""
    folder = sources_dir()
    return None if folder is None else folder / f"{'+'.join(modules)}-{source_hash(*modules)}"


def object_path(modules: tuple[str, ...], name: str, key: object) -> Path | None:
    """The object file of a kernel on this machine; `key` is the rest that it depends on: its signature and options."""
    folder = kernel_dir(modules)
    return None if folder is None else folder / f"{name}.{digest((key, machine()))}.o"


@cache
def machine() -> tuple:
    """What machine code depends on besides the kernel: processor and compiler."""
    try:
        import llvmlite

        from .cpu import CPU, FEATURES
    except Exception as error:
        raise missing_compiler(error) from error
    compiler = source_hash("compiler.lowering", "compiler.trampoline")
    return CPU, sorted(FEATURES), llvmlite.__version__, compiler, object.__basicsize__, np.intp(0).itemsize


def digest(value) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]


def read_object(path: Path | None) -> bytes | None:
    """A stored object file; None if there is none, or it is damaged."""
    try:
        content = b"" if path is None else path.read_bytes()
    except OSError:
        return None
    return content[32:] if content and hashlib.sha256(content[32:]).digest() == content[:32] else None


def store_object(path: Path | None, code: bytes) -> None:
    """Write it, and delete outdated files; warn once if the folder cannot be written."""
    try:
        if path is None:
            raise OSError
        atomic_write(path, lambda temporary: temporary.write_bytes(hashlib.sha256(code).digest() + code))
        remove_outdated(path.parent.parent)
    except (OSError, ModelFileError):
        warn_of_no_cache()


def cache_writable() -> bool:
    """Whether compiled kernels can be stored."""
    folder = sources_dir()
    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return folder is not None and os.access(folder, os.W_OK | os.X_OK)


def remove_outdated(folder: Path) -> None:
    """Delete what was compiled from sources that have changed since, or that no longer exist."""
    sources_file = folder / "sources"
    if not sources_file.exists():
        sources_file.write_text(str(SOURCES), encoding="utf-8")
    for entry in folder.iterdir():
        modules, _, hashed = entry.name.rpartition("-")
        if modules and entry.is_dir() and source_hash(*modules.split("+")) != hashed:
            shutil.rmtree(entry, ignore_errors=True)
    for other in cache_dirs():
        sources = (other / "sources").read_text(encoding="utf-8") if (other / "sources").is_file() else ""
        if other != folder and sources and not os.path.isdir(sources):
            shutil.rmtree(other, ignore_errors=True)


def cache_dirs() -> list[Path]:
    """minibert's folders in the cache."""
    root = cache_root()
    return [] if root is None else sorted(path for path in root.glob("kernels-*") if path.is_dir())


def cache_size() -> int:
    """Bytes of all files in the cache."""
    return sum(path.stat().st_size for folder in cache_dirs() for path in folder.rglob("*") if path.is_file())


def clear_cache() -> None:
    """Delete the cache. OSError if a file cannot be deleted."""
    for folder in cache_dirs():
        shutil.rmtree(folder)


locked_files: set[BinaryIO] = set()  # that compile_lock has open


def reset_after_fork() -> None:
    """In a forked child, close the locked files, or they would stay locked until it ends."""
    for file in locked_files:
        file.close()
    locked_files.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=reset_after_fork)


@contextmanager
def compile_lock(on_wait: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Only one thread of the processes with this cache at a time gets past this; the system frees the lock when its owner dies.
    If the file system has no locks, or cannot be written, nobody waits: files are renamed into place, so at worst two compile
    the same."""
    folder, file = sources_dir(), None
    try:
        if folder is not None and fcntl is not None:
            folder.mkdir(parents=True, exist_ok=True)
            file = open(folder / "lock", "ab")
            locked_files.add(file)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                on_wait()
                fcntl.flock(file, fcntl.LOCK_EX)
    except OSError:
        pass
    try:
        yield
    finally:
        if file in locked_files:  # and this is not a forked child
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_UN)  # also for a child that has not closed it yet
            file.close()
            locked_files.discard(file)


@cache
def warn_of_no_cache() -> None:
    warnings.warn(
        "no folder for compiled kernels can be written, so each process compiles its own; "
        "set NUMBA_CACHE_DIR to a writable folder to keep them.",
        MinibertWarning,
        stacklevel=2,
    )


def numba_cache(modules: tuple[str, ...], options: dict, function):
    """Numba's cache of a function, in the folder of these modules; None if no folder can be written."""
    from numba.core import caching

    folder = kernel_dir(modules)
    try:
        if folder is None:
            raise OSError
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
        remove_outdated(folder.parent)
    except OSError:
        warn_of_no_cache()
        return None

    class Locator(caching._CacheLocator):
        """Tells Numba folder and source hash. Its own locators hash one file only, and prefer the package's folder."""

        def get_cache_path(self):
            return str(folder)

        def get_source_stamp(self):
            return source_hash(*modules)

        def get_disambiguator(self):
            return digest(options)

        @classmethod
        def from_function(cls, py_func, py_file):
            return cls()

    class CacheImpl(caching.CompileResultCacheImpl):
        _locator_classes = (Locator,)

    class KernelCache(caching.FunctionCache):
        _impl_class = CacheImpl

    return KernelCache(function)
