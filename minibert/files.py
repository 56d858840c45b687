"""Reading JSON that may be anything, and writing files that are whole or not there."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from .errors import InputError, InputTypeError, ModelFileError, short_repr

LARGEST_JSON = 2 << 20  # bytes; a config.json of 20,000 labels has 1.3 MB, and 2 MB of "[[],[],..." take 45 in memory
LARGEST_VOCABULARY = 16 << 20  # a tokenizer.json of 500,000 pieces has 10 MB


def check_size(path: Path, error: type[Exception], largest: int) -> None:
    if os.path.getsize(path) > largest:
        raise error(f"{path.name} may have {largest} bytes; {path} has {os.path.getsize(path)}.")


def read_json(path: str | Path, error: type[Exception], json_type: type = dict, largest: int | None = None) -> Any:
    """A file holding one JSON object -> dict; or, of `json_type` list, an array. Whatever else raises `error`, naming the file."""
    path, json_name = Path(path), "object" if json_type is dict else "array"
    try:
        check_size(path, error, LARGEST_JSON if largest is None else largest)
        text = path.read_bytes().decode()
        content = json.loads(text)
        if "\\ud" in text or "\\uD" in text:  # an escaped surrogate: half a pair alone is no character
            json.dumps(content, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as cause:  # bad JSON, not UTF-8, a number of 5,000 digits; nested too deep
        if isinstance(cause, error):
            raise
        raise error(f"{path.name} must hold one JSON {json_name}; {path} cannot be read as JSON: {cause}") from None
    if not isinstance(content, json_type):
        raise error(f"{path.name} must hold one JSON {json_name}; {path} holds a {type(content).__name__}.")
    return content


def as_folder(folder: str | os.PathLike) -> Path:
    """The folder that a caller names to write into. InputError for what cannot be a folder's name."""
    if not isinstance(folder, (str, os.PathLike)) or not isinstance(os.fspath(folder), str):
        raise InputTypeError(f"a folder is named by a string or a path; got {type(folder).__name__}.")
    path = os.fspath(folder)
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        raise InputError(f"a folder's name must be text that can be encoded; got {path!a}.") from None
    if not path or "\0" in path:
        raise InputError(f"a folder's name must have a character, and none that is NUL; got {short_repr(path)}.")
    return Path(path)


def check_writable(folder: Path) -> None:
    """ModelFileError, before hours of work, if a folder cannot be written into, or not be made; nothing is made yet."""
    above = folder
    while not os.path.lexists(above) and above != above.parent:
        above = above.parent
    if not above.is_dir():
        raise ModelFileError(f"{folder} cannot be written: {above} is no folder. Name another one.")
    if not os.access(above, os.W_OK | os.X_OK):
        raise ModelFileError(f"{folder} cannot be written: {above} is read-only for this user. Name another one.")


def check_apart(source: str | os.PathLike, folder: str | os.PathLike, parts: Iterable[str] = ("",)) -> None:
    """InputError if files written into `folder` would overwrite those read from `source`: the two, or one of the folders in
    them that `parts` names, are one and the same, whatever they are called."""
    for part in parts:
        paths = os.path.join(source, part), os.path.join(folder, part)
        if all(map(os.path.isdir, paths)) and os.path.samefile(*paths):
            raise InputError(
                f"an output must not overwrite the input; both are {os.path.normpath(paths[1])}. Name another folder to write into."
            )


def atomic_write(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make the file under another name in the same folder, then rename it: never half a file at `path`.

    ModelFileError where the system does not let it: the disk is full, the folder read-only or a file.
    """
    tmp_path = path.parent / f".{path.name}.{os.urandom(4).hex()}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(tmp_path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))  # the system subtracts the umask
        try:
            write(tmp_path)
            os.replace(tmp_path, path)
        except BaseException:
            tmp_path.unlink(missing_ok=True)
            raise
    except OSError as error:
        reason = error.strerror or error
        raise ModelFileError(f"{path} cannot be written: {reason}. What was there before still is.") from error


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file as `atomic_write` does."""
    text = json.dumps(content, indent=2) + "\n"
    atomic_write(path, lambda tmp_path: tmp_path.write_text(text, encoding="utf-8"))
