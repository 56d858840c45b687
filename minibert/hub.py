"""A model's name or folder -> the files of its checkpoint on disk.

    "./mine", "mine/", Path("mine"), or a folder that is there    that folder; the hub is never asked
    "minibert-sst2"                                               bundled: a folder inside this package
    "owner/name" or "name"                                        the hub's cache, then the hub

The cache is the hub client's own, so a model that transformers has fetched is there too. It is read here, by hand:
a model that is all there must load with no request at all, and importing the client alone costs 0.2 s.

    models--owner--name/
        refs/main                   40 hex digits: the commit `main` was when the client last asked
        snapshots/<commit>/<file>   links into blobs/, where a file is named by the hash of what it holds
        .no_exist/<commit>/<file>   an empty file: this commit is known to have no such file
        trees/<commit>.json         the names of all its files, where the whole was downloaded (clients since 1.33)
    .conversions/<commit>       minibert's own: the commit that has its weights as safetensors (refs/pr/N)

All files of one load come from one commit. A branch stands still once it is cached; `hf download NAME` moves it on.
Read next: minibert/_download.py, for what the cache cannot answer; then minibert/config.py.
"""

import os
import re
import stat
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from minibert import _download, _hub_cache
from minibert.errors import InputError, InputTypeError, ModelFileError, ModelNotFoundError, read_flag, short_repr

BUNDLED = Path(__file__).parent / "bundled"
COMMIT = _hub_cache.COMMIT
MODULE = re.compile(r"\A([0-9]{1,3}_[A-Za-z]{1,32}/)?(onnx/)?")  # the folders in a model: sentence-transformers' and ONNX's

# The hub's rule for a name, which is also what keeps it from naming a folder outside the cache.
PART = "[A-Za-z0-9_]([A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"
REPOSITORY = re.compile(f"({PART}/)?{PART}")


@dataclass(frozen=True)
class Repository:
    """A model on the hub: where its cache is, and whether and as whom the hub may be asked."""

    name: str
    cache: Path
    token: str | bool | None = field(repr=False)
    offline: str  # what forbids the network, or ""

    @property
    def folder(self) -> Path:
        return self.cache / f"models--{self.name.replace('/', '--')}"

    def cached_commit(self, revision: str) -> str | None:
        """The commit a revision was when the client last asked, or None."""
        if COMMIT.fullmatch(revision):
            return revision
        try:
            text = (self.folder / "refs" / revision).read_text("ascii").strip()
        except (OSError, ValueError):
            return None
        return text if COMMIT.fullmatch(text) else None

    def snapshot(self, commit: str) -> Path:
        return self.folder / "snapshots" / commit

    def lists(self, filename: str, commit: str) -> bool:
        return _download.is_there(self.name, filename, revision=commit, token=self.token)

    def conversion(self, commit: str) -> str | None:
        """The commit of the bot's conversion of a commit, or None. What the hub says is kept in `.conversions/`."""
        converted = _hub_cache.recorded_conversion(self.folder, commit)
        if converted is None and not self.offline:
            converted = _download.find_conversion(self.name, commit, token=self.token)
            record = self.folder / ".conversions" / commit
            with suppress(OSError):  # a read-only cache
                if converted:
                    record.parent.mkdir(exist_ok=True)
                    record.write_text(converted, "ascii")
        return converted

    def fetch(self, filename: str, revision: str) -> Path | None:
        """The path of a file the cache does not have, or None when the hub says there is none."""
        try:
            if self.offline:
                raise ModelNotFoundError(
                    f"{filename!r} of {self.name!r} (revision {revision!r}) is not in the cache {self.cache}, and"
                    f" {self.offline} forbids asking the hub for it. Load the model once with the network."
                )
            return _download.download(self.name, filename, revision=revision, cache=self.cache, token=self.token)
        except ModelFileError as error:
            # A failed update moves refs/main before the new weights arrive; the commit before it is still whole.
            current = self.cached_commit(revision)
            complete = [
                model.commit for model in _hub_cache.snapshots(self.folder) if model.complete and model.commit != current
            ]
            if complete:
                error.args = (f"{error} Another commit of it is whole in the cache: revision={complete[0]!r}.",)
            raise


@dataclass(frozen=True)
class Checkpoint:
    """The files of one model: all in a folder, or at one commit of a repository, fetched as they are asked for."""

    name: str  # as the user wrote it
    commit: str | None  # 40 hex digits for the hub, None for a folder or a bundled model
    folder: Path
    repository: Repository | None = None
    module: str = ""  # "0_Transformer/" where the files are those of a folder in it
    subfolder: str = ""  # "bert/" where the model is in a folder of a repository

    def within(self, folder: str) -> "Checkpoint":
        """The same checkpoint, of which only the files in one of its folders are seen."""
        return replace(self, module=f"{folder}/") if folder else self

    def file(self, filename: str) -> Path:
        """The path of a file the model cannot do without; ModelNotFoundError when it has none."""
        path = self.optional(filename)
        if path is None:
            filename = self.subfolder + self.module + filename
            where = f"at commit {self.commit}" if self.commit else f"in the folder {self.folder}"
            raise ModelNotFoundError(
                f"the model {self.name!r} must have a file {filename!r}; there is none {where}. Is it a model for transformers?"
            )
        return path

    def optional(self, filename: str) -> Path | None:
        """The path of a file, or None when the model is known to have none; not to know is a ModelFileError."""
        filename = self.subfolder + _plain(filename, self.module)
        path = self.folder / filename
        if self.repository is None or self.commit is None:
            return path if _is_readable(path) else None
        if os.path.isfile(path):
            _download.finish_check(self.folder, filename)
            return path
        return None if _hub_cache.known_absent(self.folder, filename) else self.repository.fetch(filename, self.commit)

    def has(self, filename: str) -> bool:
        """Whether the model has a file, without fetching it; False as well when the hub may not be asked."""
        filename = self.subfolder + _plain(filename, self.module)
        path = self.folder / filename
        if self.repository is None or self.commit is None or os.path.isfile(path):
            return os.path.isfile(path)
        absent = self.repository.offline or _hub_cache.known_absent(self.folder, filename)
        return not absent and self.repository.lists(filename, self.commit)

    def is_cached(self, filename: str) -> bool:
        """Whether the hub's cache has a file of this model, which then costs no request; False for a folder."""
        return self.repository is not None and os.path.isfile(self.folder / (self.subfolder + _plain(filename, self.module)))

    def conversion(self) -> "Checkpoint | None":
        """The same model with its weights as safetensors, where the hub's bot has proposed it as refs/pr/N. It is never
        asked to. None in a folder of a model, and if the hub may not be asked and was not before."""
        if self.repository is None or self.commit is None or self.module or self.subfolder:
            return None
        commit = self.repository.conversion(self.commit)
        return replace(self, commit=commit, folder=self.repository.snapshot(commit)) if commit else None


def locate(
    name: str | os.PathLike | Checkpoint,
    *,
    revision: str | None = None,
    cache_dir: str | os.PathLike | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
    subfolder: str | None = None,
    force_download: bool | None = None,
    **unknown: Any,
) -> Checkpoint:
    """Find a model by its folder, its bundled name or its name on the hub; pin the commit its files come from.

    On the hub `revision` is a branch, a tag, "refs/pr/1" or a commit, by default "main"; `token` is a string, or
    False to send none. A folder and a bundled model have no revisions, and ask nobody. A Checkpoint stays what it is.
    The model may be in a `subfolder`. With `force_download` the hub is asked which commit a branch or tag is now.
    """
    if unknown:
        options = "revision, cache_dir, token, local_files_only, subfolder and force_download"
        raise InputTypeError(f"the options that say where a model is are {options}; got {', '.join(map(repr, unknown))}.")
    if isinstance(name, Checkpoint):
        return name
    inner, ask = _subfolder(subfolder), force_download is not None and read_flag("force_download", force_download)
    folder = _local_folder(name)
    if folder is not None:
        return Checkpoint(os.fspath(name), None, folder, subfolder=inner)
    name = os.fspath(name)
    if name in bundled_models():
        return Checkpoint(name, None, BUNDLED / name, subfolder=inner)
    revision = "main" if revision is None else revision
    _check_arguments(name, revision, token)
    offline = "local_files_only=True" if _is_true(local_files_only) else _offline_variable()
    repository = Repository(name, _cache_folder(cache_dir), token, offline)
    first = f"{inner}config.json"
    commit = None if ask else repository.cached_commit(revision)
    if commit is None or not (offline or _hub_cache.is_known(repository.snapshot(commit), first)):
        path = repository.fetch(first, revision)
        commit = path.parents[inner.count("/")].name if path else repository.cached_commit(revision)
    if commit is None:
        raise ModelNotFoundError(f"{name!r} (revision {revision!r}) must have a file {first!r}; the hub has none.")
    return Checkpoint(name, commit, repository.snapshot(commit), repository, subfolder=inner)


def bundled_models() -> list[str]:
    """The names of the models that come with the package."""
    return sorted(path.parent.name for path in BUNDLED.glob("*/config.json"))


def cached_models(cache_dir: str | os.PathLike | None = None) -> list[_hub_cache.CachedModel]:
    """Every commit of every model in the hub's cache, minibert's or not, read without the network."""
    folders = _hub_cache.sorted_glob(_cache_folder(cache_dir), "models--*")
    return [model for folder in folders for model in _hub_cache.snapshots(folder)]


def cached_snapshots(name: str, *, revision: str | None = None, cache_dir: str | os.PathLike | None = None) -> list[Path]:
    """A model's name on the hub -> the folders of its commits in the cache, or that of one revision; no network."""
    if _local_folder(name) is not None or name in bundled_models():
        raise InputError(f"a model in the hub's cache has hashes; {os.fspath(name)!r} is a folder or bundled, without any.")
    _check_arguments(name, "main" if revision is None else revision, None)
    repository = Repository(name, _cache_folder(cache_dir), None, "")
    folders = [path for path in _hub_cache.sorted_glob(repository.folder, "snapshots/*") if COMMIT.fullmatch(path.name)]
    if revision is not None:
        folders = [path for path in folders if path.name == repository.cached_commit(revision)]
    if not folders:
        of_revision = "" if revision is None else f" (revision {revision!r})"
        raise ModelNotFoundError(f"{name!r}{of_revision} is not in the cache {repository.cache}.")
    return folders


def _is_readable(path: Path) -> bool:
    """Whether a folder holds this file: False when it does not, an error when it does and it cannot be read."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        if path.is_symlink():
            raise ModelFileError(
                f"{path} is a link to {os.readlink(path)}, which is not there. A model is copied out of a cache with"
                " `cp -rL`, which follows links."
            ) from None
        return False
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}.") from error
    if not stat.S_ISREG(mode):  # opening a pipe would wait for ever
        raise ModelFileError(f"a model is made of files; {path} is a folder or a device.")
    if not os.access(path, os.R_OK):
        raise ModelFileError(f"{path} cannot be read: you have no permission to.")
    return True


def _plain(filename: str, module: str = "") -> str:
    """A file's name, refused unless it stays in the folder it is asked of; "1_Pooling/config.json" does."""
    filename = module + filename if isinstance(filename, str) else filename
    name = MODULE.sub("", filename, count=1) if isinstance(filename, str) else ""
    if name in ("", ".", "..") or set(name) & set("/\\:\0"):
        raise InputError(f"a model's file is named without a folder, other than '1_Pooling' and its like; got {filename!r}.")
    return filename


def _subfolder(name: Any) -> str:
    """A caller's subfolder, "bert" or "models/bert", with a slash at the end; "" for none. It may not leave its folder."""
    if name is None or (isinstance(name, str) and not name):
        return ""
    parts = name.strip("/").split("/") if isinstance(name, str) else [""]
    if any(part in ("", ".", "..") or set(part) & set("\\:\0") or not _is_encodable(part) for part in parts):
        raise InputError(f"subfolder must be a folder of the model's own, such as 'bert'; got {short_repr(name)}.")
    return "/".join(parts) + "/"


def _local_folder(name: Any) -> Path | None:
    """The folder that a name means, or None when it can only be a bundled model's or the hub's."""
    if not isinstance(name, (str, os.PathLike)) or not isinstance(os.fspath(name), str):
        raise InputTypeError(f"a model is named by a string or a path; got {type(name).__name__}.")
    path = os.fspath(name)
    if not _is_encodable(path):
        raise InputError(f"a model's name must be text that can be encoded; got {path!a}.")
    if not path or "\0" in path:
        raise InputError(f"a model's name must have a character, and none that is NUL; got {path!r}.")
    folder = Path(os.path.expanduser(path))
    if os.path.isdir(folder):
        return folder
    if os.path.isfile(folder):
        raise ModelNotFoundError(f"a model is a folder; {path!r} is a file. Name the folder it is in.")
    if isinstance(name, os.PathLike) or path.startswith((".", "~", "/")) or path.endswith("/") or "\\" in path:
        raise ModelNotFoundError(
            f"there is no folder {path!r}; and what begins with '.', '~' or '/', ends with '/', or is a Path, is never"
            " looked for on the hub."
        )
    return None


def _is_encodable(path: str) -> bool:
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return True


def _is_true(local_files_only: Any) -> bool:
    try:
        return bool(local_files_only)
    except (ValueError, TypeError, RuntimeError):  # of an array or a tensor
        raise InputTypeError(f"local_files_only is True or False; got {type(local_files_only).__name__}.") from None


def _check_arguments(name: str, revision: Any, token: Any) -> None:
    if not REPOSITORY.fullmatch(name) or "--" in name or ".." in name or name.endswith(".git"):
        raise InputError(
            "a model on the hub is named 'name' or 'owner/name', in letters, digits and single '-', '_' or '.';"
            f" got {name!r}, and there is no folder of that name. Bundled: {', '.join(bundled_models()) or 'none'}."
        )
    if not isinstance(revision, str):
        raise InputTypeError(f"a revision is a string; got {type(revision).__name__}.")
    # The client makes a file of this name under refs/.
    if not revision.isprintable() or "\\" in revision or {"", ".", ".."} & set(revision.split("/")):
        raise InputError(f"a revision is a branch, a tag, or a commit of 40 hex digits; got {revision!r}.")
    if not isinstance(token, (str, bool, type(None))):
        raise InputTypeError(f"a token is a string, or False to send none; got {type(token).__name__}.")
    if isinstance(token, str) and not re.fullmatch("[!-~]+", token):
        raise InputError("a token is printable ASCII without a space; the one given is not.")  # and is not shown


def _cache_folder(cache_dir: Any) -> Path:
    """The hub's cache, by the rules of the client, which reads its environment only once: minibert always names it."""
    if cache_dir is not None:
        if not isinstance(cache_dir, (str, os.PathLike)) or not isinstance(os.fspath(cache_dir), str):
            raise InputTypeError(f"cache_dir is a string or a path; got {type(cache_dir).__name__}.")
        if not _is_encodable(os.fspath(cache_dir)) or "\0" in os.fspath(cache_dir):
            raise InputError(f"cache_dir must be text that can be encoded, without NUL; got {os.fspath(cache_dir)!a}.")
        return Path(cache_dir)
    variables = os.environ
    home = os.path.join(variables.get("XDG_CACHE_HOME", os.path.join("~", ".cache")), "huggingface")
    home = os.path.expandvars(os.path.expanduser(variables.get("HF_HOME", home)))
    cache = variables.get("HUGGINGFACE_HUB_CACHE", os.path.join(home, "hub"))  # the old name of HF_HUB_CACHE
    return Path(os.path.expandvars(os.path.expanduser(variables.get("HF_HUB_CACHE", cache))))


def _offline_variable() -> str:
    for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if value := os.environ.get(variable):
            return f"{variable}={value}" if value.upper() in ("1", "ON", "YES", "TRUE") else ""
    return ""
