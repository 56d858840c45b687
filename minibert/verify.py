"""Every cached file of a model, compared with the hash that the cache names it by.

A download is compared once, when it arrives (minibert/_download.py). A bit that flips on the disk after that is not
seen, unless one looks: `minibert verify NAME`, or

    damaged = [file for file in verify("owner/name") if file.status == "damaged"]
"""

from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from minibert import hub
from minibert._download import digests, is_hash

OK, DAMAGED, MISSING, UNREADABLE, NO_HASH = "ok", "damaged", "missing", "unreadable", "no hash"
BAD = (DAMAGED, MISSING, UNREADABLE)


class VerifiedFile(NamedTuple):
    filename: str  # in its snapshot: "1_Pooling/config.json"
    commit: str
    blob: Path  # where its bytes are, which several commits may share
    status: str  # one of those above


def verify(name: str, *, revision: str | None = None, cache_dir: str | PathLike[str] | None = None) -> Iterator[VerifiedFile]:
    """Read all files of a model that the hub's cache has, of one revision or of every commit. Nothing is changed.

    A file is "missing" if its link leads nowhere, and has "no hash" if the cache has none: it lies on a file system
    without links, or a mirror tags its files in its own way.
    """
    statuses: dict[Path, str] = {}
    for snapshot in hub.cached_snapshots(name, revision=revision, cache_dir=cache_dir):
        for path in sorted(snapshot.rglob("*")):
            if path.is_symlink() or path.is_file():
                blob = path.resolve()
                if blob not in statuses:
                    statuses[blob] = _status(blob) if path.is_symlink() else NO_HASH
                yield VerifiedFile(path.relative_to(snapshot).as_posix(), snapshot.name, blob, statuses[blob])


def _status(blob: Path) -> str:
    if not blob.is_file():
        return MISSING
    if not is_hash(blob.name):
        return NO_HASH
    try:
        return OK if blob.name in digests(blob, blob.name) else DAMAGED
    except OSError:
        return UNREADABLE
