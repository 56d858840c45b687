"""`minibert verify`: the cached files of a model, compared with their hashes by minibert/verify.py."""

from __future__ import annotations

import argparse
import shlex

from .shared import command, eprint


def add_commands(commands: argparse._SubParsersAction) -> None:
    verify = command(commands, "verify", verify_model, "compare a model's files in the hub's cache with their hashes")
    verify.add_argument("model", metavar="NAME", help="a model of the Hugging Face hub")
    verify.add_argument("--revision", help="only this branch, tag or commit; by default all that are cached")


def verify_model(options: argparse.Namespace) -> int:
    """The command. Returns 1 if a file is damaged or missing."""
    from .. import verify

    bad, num_checked = {}, 0
    for file in verify.verify(options.model, revision=options.revision):
        num_checked += 1
        print(f"{file.filename}\t{file.commit[:12]}\t{file.status}", flush=True)
        if file.status in verify.BAD:
            bad[file.blob] = f"{file.filename} ({file.status})"
    if not bad:
        return 0
    blobs = " ".join(shlex.quote(str(blob)) for blob in bad)
    names = ", ".join(bad.values())
    eprint(f"of {num_checked} files these must be replaced: {names}. Delete them, and load the model again: rm -f {blobs}")
    return 1
