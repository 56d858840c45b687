"""Inputs of a run over many files: local ones, or URLs that fsspec reads (`s3://bucket/rows.jsonl`, `file:///data`)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import DataFileError, InputError
from .source import check_path, unreadable

SKIPPED = (".", "_")  # first characters of names that are no data in a folder: Spark's and Hadoop's convention


def is_url(path: str) -> bool:
    return "://" in path


def list_files(path: str) -> list[str]:
    """A file -> itself; a folder -> the files in it and below, sorted by name. DataFileError if there are none."""
    check_path(path)
    with translate_url_errors(path):
        if is_url(path):
            filesystem, root = url_filesystem(path)
            if not filesystem.isdir(root):
                return [path]
            names = [filesystem.unstrip_protocol(name) for name in filesystem.find(root)]
            relative = {name: name.rstrip("/").removeprefix(filesystem.unstrip_protocol(root)) for name in names}
        elif os.path.isdir(path):
            names = [os.path.join(folder, name) for folder, _, files in os.walk(path) for name in files]
            relative = {name: os.path.relpath(name, path) for name in names}
        else:
            return [path]
    files = sorted(name for name in names if not any(map(is_skipped, relative[name].split("/"))))
    if not files:
        raise DataFileError(f"an input's folder must have files; {path} has none.")
    return files


def is_skipped(name: str) -> bool:
    return name.startswith(SKIPPED)


@contextmanager
def open_input(path: str) -> Iterator[Any]:
    """The bytes of a file, in which one can seek. DataFileError if it cannot be opened."""
    with translate_url_errors(path):
        if is_url(path):
            filesystem, name = url_filesystem(path)
            file = filesystem.open(name, "rb")
        else:
            file = open(path, "rb")
    with file:
        yield file


def identity(path: str) -> str:
    """What distinguishes a file from another version of it: its size, and its time or tag if there is one."""
    with translate_url_errors(path):
        if not is_url(path):
            status = os.stat(path)
            return f"{status.st_size}:{status.st_mtime_ns}"
        filesystem, name = url_filesystem(path)
        status = filesystem.info(name)
        version = next((status[key] for key in ("ETag", "etag", "mtime", "LastModified", "created") if key in status), "")
        return f"{status['size']}:{version}"


def url_filesystem(url: str) -> tuple[Any, str]:
    """A URL -> the file system that it is in, and its name there."""
    try:
        import fsspec
    except ImportError:
        raise InputError(f"{url} is read with fsspec, which is not installed. Install it: pip install fsspec") from None
    try:
        return fsspec.url_to_fs(url)
    except (ValueError, ImportError) as error:  # an unknown protocol, or one whose package is not installed
        raise InputError(f"an input is a file, a folder, or a URL that fsspec reads; got {url}: {error}") from None


@contextmanager
def translate_url_errors(path: str) -> Iterator[None]:
    try:
        yield
    except DataFileError:
        raise
    except OSError as error:
        raise unreadable(path, error) from None
