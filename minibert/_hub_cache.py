"""What the hub's cache on disk holds of a model; its layout is drawn in hub.py. Nothing here asks the network."""

import json
import os
import re
from pathlib import Path
from typing import NamedTuple

COMMIT = re.compile("[0-9a-f]{40}")


class CachedModel(NamedTuple):
    name: str
    commit: str
    folder: Path
    size: int  # bytes
    complete: bool  # its configuration and all its weights are there


def snapshots(folder: Path) -> list[CachedModel]:
    """What the cache holds of one repository, the newest first."""
    name = folder.name.removeprefix("models--").replace("--", "/")
    commits = [path for path in sorted_glob(folder, "snapshots/*") if COMMIT.fullmatch(path.name)]
    commits.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    return [CachedModel(name, path.name, path, size_of(path), is_complete(path)) for path in commits]


def sorted_glob(folder: Path, pattern: str) -> list[Path]:
    return sorted(folder.glob(pattern)) if os.path.isdir(folder) else []  # on a name that is too long, glob raises


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if os.path.isfile(path))


def is_complete(snapshot: Path) -> bool:
    if not os.path.isfile(snapshot / "config.json"):
        return False
    converted = recorded_conversion(snapshot.parents[1], snapshot.name)
    return has_weights(snapshot) or (converted is not None and has_weights(snapshot.with_name(converted)))


def recorded_conversion(folder: Path, commit: str) -> str | None:
    """The commit that the hub was seen to have as the conversion of this one, or None."""
    try:
        text = (folder / ".conversions" / commit).read_text("ascii")
    except (OSError, ValueError):
        return None
    return text if COMMIT.fullmatch(text) else None


def has_weights(snapshot: Path) -> bool:
    """Whether a snapshot has a file of weights, or an index of weights and all its shards."""
    if any(os.path.isfile(snapshot / name) for name in ("model.safetensors", "pytorch_model.bin")):
        return True
    return any(map(has_shards, (snapshot / f"{name}.index.json" for name in ("model.safetensors", "pytorch_model.bin"))))


def has_shards(index: Path) -> bool:
    try:
        shards = set(json.loads(index.read_bytes())["weight_map"].values())
        return bool(shards) and all(Path(shard).name == shard and os.path.isfile(index.with_name(shard)) for shard in shards)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return False


def is_known(snapshot: Path, filename: str) -> bool:
    return os.path.isfile(snapshot / filename) or known_absent(snapshot, filename)


def known_absent(snapshot: Path, filename: str) -> bool:
    """Whether the cache says that the commit of this snapshot has no such file."""
    folder, commit = snapshot.parents[1], snapshot.name
    if os.path.isfile(folder / ".no_exist" / commit / filename):
        return True
    try:
        listing = json.loads((folder / "trees" / f"{commit}.json").read_bytes())
        return listing["format_version"] == 1 and filename not in listing["files"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return False  # no listing, or not one that can be read: nothing is known
