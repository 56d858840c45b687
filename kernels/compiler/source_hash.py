"""A hash of all sources that a kernel is compiled from, so that it is compiled again once one of them changes."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from .toolchain import PACKAGE

SOURCES = Path(__file__).resolve().parents[1]
IMPORTED = re.compile(rf"^from (\.+)([\w.]*) import ([\w, ]+|\([^)]*\))|{re.escape(PACKAGE)}\.([\w.]+)", re.M)


@cache
def source_hash(*modules: str) -> str:
    """A hash of these modules and of all modules of `kernels/` that they import, or name in a string.

    Numba itself hashes only the kernel's file, and would keep using an old `exp` after that has changed.
    """
    hashes: dict[str, str] = {}
    queue = list(modules)
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
    """A module of `kernels/`. For any other, as that of a kernel in a test: the hash of an empty file."""
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
