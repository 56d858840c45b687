"""Reading JSON that may be anything, and writing files that are whole or not there."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

LARGEST_JSON = 64 << 20  # bytes; a tokenizer.json of 120,000 pieces has 4 MB


def read_json(path: str | Path, error: type[Exception], kind: type = dict):
    """A file holding one JSON object -> dict; or, of `kind` list, an array. Whatever else raises `error`, naming the file."""
    path, wanted = Path(path), "object" if kind is dict else "array"
    try:
        if os.path.getsize(path) > LARGEST_JSON:
            raise error(f"{path.name} may have {LARGEST_JSON} bytes; {path} has {os.path.getsize(path)}.")
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as fault:  # bad JSON, not UTF-8, a number of 5,000 digits; nested too deep
        if isinstance(fault, error):
            raise
        raise error(f"{path.name} must hold one JSON {wanted}; {path} cannot be read as JSON: {fault}") from None
    if not isinstance(content, kind):
        raise error(f"{path.name} must hold one JSON {wanted}; {path} holds a {type(content).__name__}.")
    return content


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make the file under another name in the same folder, then rename it: never half a file at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    try:
        write(Path(aside))
        os.chmod(aside, 0o666 & ~current_umask())  # mkstemp's own files are readable by nobody else
        os.replace(aside, path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
