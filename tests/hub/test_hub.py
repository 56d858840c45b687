"""minibert/hub.py: which files a name means, in folders and in the cache. tests/hub/test_download.py has the rest."""

import contextlib
import json
import os
from pathlib import Path

import pytest
from hub_cache import COMMIT, OTHER_COMMIT, write_cache
from hub_client import CONFIG, FILES, WEIGHTS, write
from hypothesis import given, settings
from hypothesis import strategies as st

from minibert import hub
from minibert.errors import InputError, InputTypeError, MinibertError, ModelFileError, ModelNotFoundError
from minibert.hub import Checkpoint, bundled_models, cached_models, locate


@pytest.mark.parametrize("written", ["./mine", "mine/", "mine", "mine/../mine", Path("mine")])
def test_a_folder_that_is_there_is_meant_however_it_is_written(written, tmp_path, monkeypatch, no_network):
    write(tmp_path / "mine", FILES)
    monkeypatch.chdir(tmp_path)
    checkpoint = locate(written, revision="anything")
    assert (checkpoint.name, checkpoint.commit) == (str(written), None)
    assert checkpoint.file(CONFIG).read_bytes() == FILES[CONFIG]
    assert checkpoint.optional("vocab.txt") is None


def test_a_tilde_is_the_users_home(tmp_path, monkeypatch, no_network):
    monkeypatch.setenv("HOME", str(write(tmp_path, FILES)))
    assert locate("~").file(CONFIG) == tmp_path / CONFIG


class OfBytes(os.PathLike):
    def __fspath__(self):
        return b"bytes"


class NoTruth:
    def __bool__(self):
        raise ValueError("ambiguous, as an array's is")


HOSTILE = [
    None,
    3,
    1.5,
    10**30,
    b"bytes",
    "",
    "a\0b",
    "\ud800",
    "\udcff/x",
    "a" * 300,
    "a/" * 3000,
    [],
    {},
    object(),
    OfBytes(),
    NoTruth(),
]


@pytest.mark.parametrize("option", ["name", "revision", "cache_dir", "token", "local_files_only"])
@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: ascii(value)[:20])
def test_no_value_of_an_option_meets_a_raw_exception(option, value, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(MinibertError):
        locate(**{"name": "tiny/bert", "cache_dir": tmp_path, option: value})
    with contextlib.suppress(MinibertError):
        cached_models(value)


def test_an_unknown_option_is_an_input_type_error():
    with pytest.raises(
        InputTypeError, match="revision, cache_dir, token, local_files_only, subfolder and force_download; got 'reversion'"
    ):
        locate("minibert-sst2", reversion="main")


def test_local_files_only_that_is_neither_true_nor_false_is_named(tmp_path):
    with pytest.raises(InputTypeError, match="local_files_only is True or False; got NoTruth"):
        locate("tiny/bert", local_files_only=NoTruth(), cache_dir=tmp_path)


@pytest.mark.parametrize("path", ["./no", "/no/such", "~/no/such", "no/", "../no/no", ".no", "no\\no", Path("no/no")])
def test_a_path_to_nothing_is_told_from_a_name_of_the_hub(path, no_network):
    with pytest.raises(ModelNotFoundError, match="there is no folder"):
        locate(path)


def test_a_file_is_not_a_model(tmp_path, no_network):
    with pytest.raises(ModelNotFoundError, match="Name the folder it is in"):
        locate(write(tmp_path, FILES) / WEIGHTS)


@pytest.mark.parametrize(
    "name", ["x/y/z", "a..b", "a/..", "-a", "a--b", "a/b.git", "a b", "größe", "a" * 97, "a\nb", "a/b/../../../c"]
)
def test_a_name_the_hub_cannot_have_is_refused(name, no_network):
    with pytest.raises(InputError, match="named 'name' or 'owner/name'"):
        locate(name)


@pytest.mark.parametrize("name", ["", "a\0b", "./a\0b", "\ud800"])
def test_a_name_that_is_no_name_is_refused(name, no_network):
    with pytest.raises(InputError, match="a model's name must"):
        locate(name)


@pytest.mark.parametrize("name", [None, 3, b"bert", ["bert"], Path])
def test_a_name_of_another_type_is_refused(name, no_network):
    with pytest.raises(InputTypeError, match="a string or a path; got"):
        locate(name)


@settings(deadline=None)  # the first example imports the client
@given(st.text("aZ9_-./ +", max_size=12) | st.from_regex(hub.REPOSITORY, fullmatch=True))
def test_names_are_judged_as_the_client_judges_them(name):
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(name)
        expected = True
    except HFValidationError:
        expected = False
    try:
        hub._check_arguments(name, "main", None)
        assert expected
    except InputError:
        assert not expected


@pytest.mark.parametrize("revision", ["", "../../main", "a//b", "/main", "main/", "a\\b", "a\0b", "a\n", "refs/./a"])
def test_a_revision_that_would_leave_the_cache_is_refused(revision, no_network):
    with pytest.raises(InputError, match="a revision is a branch"):
        locate("tiny/bert", revision=revision)


@pytest.mark.parametrize("options", [{"revision": 3}, {"token": 3}, {"token": b"t"}, {"cache_dir": 3}])
def test_an_option_of_another_type_is_refused(options, no_network):
    with pytest.raises(InputTypeError, match="string"):
        locate("tiny/bert", **options)


@pytest.mark.parametrize("token", ["", "secret\n", "sec ret", "sécret"])
def test_a_token_that_no_header_can_hold_is_refused_and_not_shown(token, no_network):
    with pytest.raises(InputError, match="printable ASCII") as caught:
        locate("tiny/bert", token=token)
    assert "cret" not in str(caught.value)


@given(st.text(), st.text(min_size=1), st.text())
def test_any_text_for_a_name_a_revision_and_a_file_is_an_answer_or_an_error_of_minibert(name, revision, filename):
    with contextlib.suppress(MinibertError):
        locate(name, revision=revision, cache_dir="nowhere", local_files_only=True).optional(filename)


@pytest.mark.parametrize("filename", ["", ".", "..", "../x", "/etc/passwd", "a/b", "a\\b", "a\0b", "c:x", None, b"a"])
def test_a_file_is_named_without_a_folder(filename, tmp_path):
    for checkpoint in [locate(tmp_path), Checkpoint("tiny/bert", COMMIT, tmp_path, repository=object())]:
        with pytest.raises(InputError, match="without a folder"):
            checkpoint.optional(filename)


def test_a_file_that_a_folder_lacks_is_named_with_the_folder(tmp_path):
    with pytest.raises(ModelNotFoundError, match=f"'{CONFIG}'; there is none in the folder .*{tmp_path.name}"):
        locate(tmp_path).file(CONFIG)


def test_a_link_out_of_a_folder_is_followed(tmp_path):
    blob = write(tmp_path / "blobs", FILES) / CONFIG
    model = write(tmp_path / "model", {})
    (model / CONFIG).symlink_to(blob)
    assert locate(model).file(CONFIG).read_bytes() == FILES[CONFIG]


def test_what_is_there_and_cannot_be_read_is_never_taken_for_absent(tmp_path):
    (tmp_path / "link").symlink_to("blobs/gone")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    model = locate(tmp_path)
    for filename, reason in [
        ("link", "cp -rL"),
        ("loop", "cannot be read"),
        ("folder", "is a folder"),
        ("pipe", "or a device"),
        ("a" * 300, "cannot be read"),
    ]:
        with pytest.raises(ModelFileError, match=reason):
            model.optional(filename)


def test_a_file_without_permission_is_an_error(tmp_path, monkeypatch):
    write(tmp_path, FILES)
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may read everything
    with pytest.raises(ModelFileError, match="no permission"):
        locate(tmp_path).file(CONFIG)


def test_a_bundled_model_is_found_by_its_name(tmp_path, monkeypatch, no_network):
    monkeypatch.setattr(hub, "BUNDLED", tmp_path)
    write(tmp_path / "minibert-sst2", FILES)
    write(tmp_path / "no-model", {"vocab.txt": b""})
    assert bundled_models() == ["minibert-sst2"]
    checkpoint = locate("minibert-sst2")
    assert (checkpoint.name, checkpoint.commit) == ("minibert-sst2", None)
    assert checkpoint.file(WEIGHTS).read_bytes() == FILES[WEIGHTS]


# --- The cache, without the hub --------------------------------------------------------------------------------------


@pytest.mark.parametrize("revision", [None, "main", "v1", "refs/pr/1", COMMIT])
def test_a_cached_model_is_read_where_it_lies(revision, tmp_path, no_network):
    write_cache(tmp_path, "tiny/bert", OTHER_COMMIT, {CONFIG: b"other"}, revision="elsewhere")
    folder = write_cache(tmp_path, "tiny/bert", COMMIT, FILES, revision=revision or "main")
    checkpoint = locate("tiny/bert", revision=revision, cache_dir=tmp_path)
    assert (checkpoint.name, checkpoint.commit) == ("tiny/bert", COMMIT)
    assert checkpoint.file(WEIGHTS) == folder / "snapshots" / COMMIT / WEIGHTS


def test_a_name_without_an_owner_is_cached_too(tmp_path, no_network):
    write_cache(tmp_path, "bert", COMMIT)
    assert locate("bert", cache_dir=tmp_path).commit == COMMIT


def test_a_cached_file_known_to_be_absent_is_not_asked_for(tmp_path, no_network):
    folder = write_cache(tmp_path, "tiny/bert", COMMIT)
    write(folder / ".no_exist" / COMMIT, {"vocab.txt": b""})
    checkpoint = locate("tiny/bert", cache_dir=tmp_path)
    assert checkpoint.optional("vocab.txt") is None
    with pytest.raises(ModelNotFoundError, match=f"'vocab.txt'; there is none at commit {COMMIT}"):
        checkpoint.file("vocab.txt")


def test_the_clients_listing_of_a_whole_commit_tells_what_is_absent(tmp_path, no_network):
    folder = write_cache(tmp_path, "tiny/bert", COMMIT)
    listing = {"format_version": 1, "files": {CONFIG: {}, WEIGHTS: {}, "vocab.txt": {}}}
    write(folder / "trees", {f"{COMMIT}.json": json.dumps(listing).encode()})
    checkpoint = locate("tiny/bert", cache_dir=tmp_path, local_files_only=True)
    assert checkpoint.optional("tokenizer.json") is None
    with pytest.raises(ModelNotFoundError, match="'vocab.txt' .* is not in the cache"):
        checkpoint.optional("vocab.txt")


@pytest.mark.parametrize(
    "listing", [b"", b"[]", b"{}", b'{"files": 3}', b'{"format_version": 2, "files": {}}', b"\xff", b"[" * 100_000]
)
def test_a_listing_that_cannot_be_read_tells_nothing(listing, tmp_path):
    folder = write_cache(tmp_path, "tiny/bert", COMMIT)
    write(folder / "trees", {f"{COMMIT}.json": listing})
    with pytest.raises(ModelNotFoundError, match="is not in the cache"):
        locate("tiny/bert", cache_dir=tmp_path, local_files_only=True).optional("vocab.txt")


@pytest.mark.parametrize("content", ["", "main", COMMIT + "0", "../../elsewhere", "é" * 40])
def test_a_reference_that_is_no_commit_is_not_followed(content, tmp_path):
    folder = write_cache(tmp_path, "tiny/bert", COMMIT)
    (folder / "refs" / "main").write_text(content, "utf-8")
    with pytest.raises(ModelNotFoundError, match="is not in the cache"):
        locate("tiny/bert", cache_dir=tmp_path, local_files_only=True)


def test_without_the_network_what_is_missing_is_named_and_so_is_what_forbids_it(tmp_path, monkeypatch, no_network):
    with pytest.raises(ModelNotFoundError, match="'config.json' of 'tiny/bert'.*local_files_only=True forbids"):
        locate("tiny/bert", cache_dir=tmp_path, local_files_only=True)
    write_cache(tmp_path, "tiny/bert", COMMIT, {CONFIG: b"{}"})
    for variable in ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"]:
        monkeypatch.setenv(variable, "yes")
        with pytest.raises(ModelNotFoundError, match=f"'{WEIGHTS}'.*{COMMIT}.*{variable}=yes forbids"):
            locate("tiny/bert", cache_dir=tmp_path).file(WEIGHTS)
        monkeypatch.delenv(variable)


def test_a_whole_commit_is_named_when_main_has_moved_to_one_that_is_not(tmp_path, no_network):
    write_cache(tmp_path, "tiny/bert", COMMIT)
    write_cache(tmp_path, "tiny/bert", OTHER_COMMIT, {CONFIG: b"{}"})
    with pytest.raises(ModelNotFoundError, match=f"whole in the cache: revision='{COMMIT}'"):
        locate("tiny/bert", cache_dir=tmp_path, local_files_only=True).file(WEIGHTS)
    checkpoint = locate("tiny/bert", revision=COMMIT, cache_dir=tmp_path, local_files_only=True)
    assert checkpoint.file(WEIGHTS).read_bytes() == FILES[WEIGHTS]


def test_cached_models_tells_the_whole_from_the_broken(tmp_path):
    index = json.dumps({"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}).encode()
    name = "model.safetensors.index.json"
    sharded = {CONFIG: b"{}", name: index, "one.safetensors": b"1", "two.safetensors": b"2"}
    write_cache(tmp_path, "a/sharded", COMMIT, sharded)
    write_cache(tmp_path, "a/short-of-one", COMMIT, {CONFIG: b"{}", name: index, "one.safetensors": b"1"})
    write_cache(tmp_path, "bert", COMMIT, {CONFIG: b"{}"})
    write_cache(tmp_path, "bert", OTHER_COMMIT)
    for n, content in enumerate([b"", b"[]", b'{"weight_map": 3}', b'{"weight_map": {"a": "../x"}}']):
        write_cache(tmp_path, f"c/index-{n}", COMMIT, {CONFIG: b"{}", name: content})
    write(tmp_path / "models--d" / "snapshots" / "not-a-commit", FILES)
    write(tmp_path / "datasets--x" / "snapshots" / COMMIT, FILES)
    os.utime(tmp_path / "models--bert" / "snapshots" / COMMIT, (1, 1))
    models = cached_models(tmp_path)
    assert [(model.name, model.commit, model.complete) for model in models if not model.name.startswith("c/")] == [
        ("a/sharded", COMMIT, True),
        ("a/short-of-one", COMMIT, False),
        ("bert", OTHER_COMMIT, True),
        ("bert", COMMIT, False),
    ]
    assert not any(model.complete for model in models if model.name.startswith("c/"))
    assert models[0].size == 2 + len(index) + 2 and models[0].folder.is_dir()
    assert cached_models(tmp_path / "nowhere") == []
