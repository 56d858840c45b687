"""The cache of the hub's client, written without it."""

from hub_client import FILES, write

COMMIT, OTHER_COMMIT = "a" * 40, "b" * 40


def write_cache(cache, name, commit, files=FILES, revision="main"):
    """A cache as the client leaves it, without the links."""
    folder = cache / f"models--{name.replace('/', '--')}"
    write(folder / "snapshots" / commit, files)
    reference = folder / "refs" / revision
    reference.parent.mkdir(parents=True, exist_ok=True)
    reference.write_text(commit)
    return folder
