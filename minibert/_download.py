"""One file of one commit, from the hub into its cache with huggingface_hub; every failure as one of minibert's errors.

The client compares sizes, and not always: a file damaged on its way would lie in the cache for good. The cache names
a file by its hash, so the two are compared here, once, before anything reads it:

    64 digits    sha256: large files
    40 digits    sha1 of "blob <length>\\0" and the file, as git has it, or of the file alone, as some mirrors have it

An empty file in `.unchecked/`, beside the cache's `snapshots/`, says of a file of a commit that its hash has not been seen
to agree. Whoever is killed in between leaves it there, and the next load does the comparing.
"""

import os
import re
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from minibert.errors import DownloadError, GatedModelError, InputError, ModelFileError, ModelNotFoundError

BOT, CONVERSION = "SFconvertbot", "Adding `safetensors` variant of this model"
TRUSTED = 60  # seconds for which a hub that was there is taken to be there
_last_contact = float("-inf")  # on time.monotonic()'s clock
progress_bars: bool | None = None  # whether the client shows bars; None: as its environment variable says


def download(name: str, filename: str, *, revision: str, cache: Path, token: str | bool | None) -> Path | None:
    """The path of the file in the cache, or None when the hub says that this revision has no such file."""
    _check_client()
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    _check_connection(name, filename, revision, cache)
    mark = _mark(cache / f"models--{name.replace('/', '--')}" / "snapshots" / revision, filename)
    if re.fullmatch("[0-9a-f]{40}", revision):  # the commit of a branch is known when the file is there
        _touch(mark)
    try:
        path, expected = _fetch(name, filename, revision=revision, cache_dir=cache, token=token)
    except Exception as error:  # it lets its HTTP library's errors through; which library depends on its version
        if not isinstance(error, EntryNotFoundError) or isinstance(error, LocalEntryNotFoundError):
            raise _translated(error, name, filename, revision, cache) from error
        path = None
    _note_contact()
    if path is not None:
        mark = _mark(path.parents[filename.count("/")], filename)
        _touch(mark)
        _compare(path, expected)
    _remove(mark)
    return path


def is_there(name: str, filename: str, *, revision: str, token: str | bool | None) -> bool:
    """Whether the hub says that this revision has such a file; a failure to ask counts as no."""
    with suppress(Exception):  # the caller has an error of its own to tell of, which this makes more exact
        from huggingface_hub import get_hf_file_metadata, hf_hub_url

        _check_connection(name, filename, revision)
        get_hf_file_metadata(hf_hub_url(name, filename, revision=revision), token=token)
        return True
    return False


def find_conversion(name: str, commit: str, *, token: str | bool | None) -> str | None:
    """The commit of an open pull request in which the hub's bot has added safetensors to this very commit, or None.

    Anyone may open a pull request of that title; only the bot's is taken, as transformers does. Not to be able to ask
    counts as no: the weights are there in another form.
    """
    with suppress(Exception):
        from huggingface_hub import constants

        _check_connection(name, "config.json", commit)
        api = f"{constants.ENDPOINT}/api/models/{name}"
        query = {"author": BOT, "type": "pull_request", "status": "open"}
        for discussion in _ask(f"{api}/discussions", token, query)["discussions"]:
            stated = [discussion["author"]["name"], discussion["title"], discussion["status"], discussion["isPullRequest"]]
            if stated == [BOT, CONVERSION, "open", True]:
                commits = _ask(f"{api}/commits/refs%2Fpr%2F{int(discussion['num'])}", token, {})
                converted, parent = (each["id"] for each in commits[:2])
                if parent == commit and re.fullmatch("[0-9a-f]{40}", converted):
                    return converted
    return None


def _ask(url: str, token: str | bool | None, query: dict[str, str]) -> Any:
    """The JSON that the hub answers with, through the client's session."""
    from huggingface_hub import constants
    from huggingface_hub.utils import build_hf_headers, get_session

    answer = get_session().get(url, params=query, headers=build_hf_headers(token=token), timeout=constants.HF_HUB_ETAG_TIMEOUT)
    answer.raise_for_status()
    return answer.json()


def _check_client() -> None:
    """DownloadError if the client cannot be imported, which reads its variables then."""
    try:
        from huggingface_hub import constants, hf_hub_download  # noqa: F401
    except (ImportError, ValueError) as error:
        raise DownloadError(
            f"huggingface_hub, which downloads models, cannot be imported: {error}. Check the HF_* variables, or install"
            " it again: pip install --force-reinstall huggingface_hub"
        ) from error


def _check_connection(name: str, filename: str, revision: str, cache: Path | None = None) -> None:
    """DownloadError if nothing can connect to the hub, without the client's retries and its log of them."""
    from huggingface_hub import constants, hf_hub_url
    from huggingface_hub.utils import get_session

    from minibert._connection import connection_problem  # here: its libraries would take 25 ms of every start

    if time.monotonic() - _last_contact < TRUSTED:
        return
    try:
        url = hf_hub_url(name, filename, revision=revision)
    except ValueError:  # a name that the client does not allow, and says so
        return
    problem = connection_problem(get_session, url, constants.HF_HUB_ETAG_TIMEOUT)
    if problem:
        raise DownloadError(
            f"{filename!r} of {name!r} is not in the cache, and {constants.ENDPOINT} cannot be reached: {problem}. Three ways"
            f" do without it: a folder, written './{name.rpartition('/')[2]}'; a bundled model, 'minibert-sst2'; or"
            f" HF_HUB_OFFLINE=1 with a model that the cache {cache} has. Otherwise, try again."
        )
    _note_contact()


def _note_contact() -> None:
    global _last_contact
    _last_contact = time.monotonic()


def _fetch(name: str, filename: str, **options: Any) -> tuple[Path, str]:
    """What the client says: the file's path in the cache, and its hash."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

    if progress_bars is not None:
        (enable_progress_bars if progress_bars else disable_progress_bars)()
    try:
        path = Path(hf_hub_download(name, filename, **options))
    except OSError as error:
        if type(error) is not OSError or error.errno is not None:
            raise
        # So it speaks of a wrong length. Before 1.0 it keeps what came, and would go on from there at every try.
        path = Path(hf_hub_download(name, filename, force_download=True, **options))
    if path.is_symlink():
        return path, _hash_in_cache(path)
    url = hf_hub_url(name, filename, revision=path.parents[filename.count("/")].name)
    return path, get_hf_file_metadata(url, token=options["token"]).etag or ""


def finish_check(snapshot: Path, filename: str) -> None:
    """Compare a file of the cache with its hash, if the process that downloaded it did not live to do so."""
    mark = _mark(snapshot, filename)
    if os.path.exists(mark):
        path = snapshot / filename
        _compare(path, _hash_in_cache(path))
        _remove(mark)


def _mark(snapshot: Path, filename: str) -> Path:
    return snapshot.parents[1] / ".unchecked" / f"{snapshot.name}.{filename.replace('/', '.')}"


def _touch(mark: Path) -> None:
    with suppress(OSError):  # no mark in a read-only cache, nor for a model it has nothing of: its name may be wrong
        mark.parent.mkdir(exist_ok=True)
        mark.touch()


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def _hash_in_cache(path: Path) -> str:
    """The hash that the cache names this file by, or "" on a file system without links, where it names it by none."""
    return os.path.basename(os.readlink(path)) if path.is_symlink() else ""


def is_hash(text: str) -> bool:
    """Whether a blob's name is a hash; a mirror may have tags of its own."""
    return bool(re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", text))


def digests(path: Path, expected: str) -> list[str]:
    """What a file's hash may be, of the algorithm that the expected one is of: sha256, or git's sha1 and plain sha1."""
    import hashlib  # 4 ms, which finding a file in the cache does not need

    start = b"blob %d\0" % path.stat().st_size
    sha1 = partial(hashlib.sha1, usedforsecurity=False)  # it guards against accidents, and FIPS systems allow that
    hashes = [hashlib.sha256()] if len(expected) == 64 else [sha1(start), sha1()]
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            for each in hashes:
                each.update(piece)
    return [each.hexdigest() for each in hashes]


def _compare(path: Path, expected: str) -> None:
    """Delete the file and raise DownloadError unless its hash is the expected one."""
    if not is_hash(expected):
        return  # there is nothing to compare with
    try:
        actual = digests(path, expected)
    except OSError as error:
        raise DownloadError(f"{path} cannot be compared with its hash: {error.strerror}. Try again.") from error
    if expected not in actual:
        blob = path.resolve()
        for damaged in (path, path.parents[2] / "blobs" / expected, blob):
            _remove(damaged)
        raise DownloadError(
            f"{path.name!r} was damaged on its way: its hash must be {expected}; got {actual[0]}."
            " It has been deleted; try again."
        )


def _translated(error: BaseException, name: str, filename: str, revision: str, cache: Path) -> Exception:
    """The error of minibert's that says what the client's does."""
    from huggingface_hub import constants, errors

    # The client says "check your connection" whenever it has no file; what really happened is the cause.
    if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ is not None:
        error = error.__cause__
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    status = getattr(getattr(error, "response", None), "status_code", None)
    what = f"{filename!r} of {name!r} (revision {revision!r})"
    if isinstance(error, errors.GatedRepoError):
        return GatedModelError(
            f"{name!r} is gated: its owner wants a license accepted first. Accept it at {constants.ENDPOINT}/{name},"
            " then log in with `hf auth login` or pass token=."
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return ModelNotFoundError(
            f"there is no model {name!r} on {constants.ENDPOINT}, or it is private and the token, if any, may not see"
            f" it. Check the name, or log in with `hf auth login`, or pass token=; a folder is written './{name}'."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return ModelNotFoundError(
            f"{name!r} has no revision {revision!r}, as a branch, a tag or a commit. If the cache says it had,"
            f" `hf download {name}` brings what it has now."
        )
    if isinstance(error, errors.HFValidationError):
        return InputError(f"the hub does not allow this name: {reason}")
    if status in (401, 403) or isinstance(error, errors.LocalTokenNotFoundError):
        return GatedModelError(
            f"{name!r} is not for this user: {reason}. Is the token right, not expired, and allowed to read it?"
        )
    if status is not None:
        return DownloadError(f"{what} could not be fetched: the server answered {status}. Try again later.")
    is_network = isinstance(error, (ConnectionError, TimeoutError))
    if isinstance(error, OSError) and not is_network and (error.errno or 0) > 0:
        return ModelFileError(
            f"{what} cannot be written to the cache {cache}: {error.strerror}. Mend that, or name another cache_dir."
        )
    return DownloadError(f"{what} could not be fetched: {type(error).__name__}: {reason}. Try again.")
