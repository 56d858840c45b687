"""The cache folder of compiled kernels: its path, the processes that fill it, and that nothing else is touched."""

import errno
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from paths import ROOT

import minibert
from minibert.errors import KernelError, MinibertWarning
from minibert.kernels.catalog import make_ops
from minibert.kernels.compiler import object_cache
from minibert.kernels.runtime import precompile
from minibert.kernels.runtime.capture import KernelList
from minibert.kernels.runtime.threads import capture
from minibert.models.encoder import encode
from minibert.models.precompile import needed_kernels

PACKAGE = Path(minibert.__file__).parent
ANSWER = "import minibert; print(minibert.pipeline(model='minibert-sst2')('fine')[0]['label'])"
COMPILING = "minibert: compiling"
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")}

needs_native = pytest.mark.skipif(sys.platform != "linux", reason="object files are stored on Linux only")


def start(code: str, cache: Path, **options) -> subprocess.Popen:
    """Start a Python process with this code and this cache folder."""
    environment = {**ENVIRONMENT, "XDG_CACHE_HOME": str(cache), **options.pop("env", {})}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment, **pipes)


def finish(process: subprocess.Popen) -> tuple[str, str]:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out, err


def cache_files(folder: Path) -> set[Path]:
    return {path for ending in ("o", "nbi", "nbc") for path in folder.rglob(f"*.{ending}")}


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {}, "/home/ada/.cache/minibert"),
        ("linux", {"XDG_CACHE_HOME": "/xdg"}, "/xdg/minibert"),
        ("linux", {"XDG_CACHE_HOME": "/xdg", "NUMBA_CACHE_DIR": "/numba"}, "/numba"),
        ("darwin", {"XDG_CACHE_HOME": "/xdg"}, "/home/ada/Library/Caches/minibert"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/minibert/Cache"),
        ("win32", {}, "/home/ada/AppData/Local/minibert/Cache"),
    ],
)
def test_the_cache_is_in_the_users_folder(platform, environment, expected, monkeypatch):
    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setattr(sys, "platform", platform)
    assert object_cache.cache_root() == Path(expected)


@needs_native
def test_without_a_home_it_answers_with_one_warning(tmp_path):
    """Neither HOME nor an entry for this user: Path.home() is a RuntimeError."""
    homeless = "import pathlib\ndef none(): raise RuntimeError('no home')\npathlib.Path.home = none\n"
    out, err = finish(start(homeless + ANSWER, tmp_path, env={"XDG_CACHE_HOME": ""}))
    assert out == "POSITIVE\n" and err.count("no folder for compiled kernels can be written") == 1


@needs_native
def test_without_a_cache_each_kernel_is_compiled_once(tmp_path):
    count = """
import minibert.kernels.compiler.lowering as lowering
compiled, compile_object = [], lowering.compile_object
def counted(kernel, signature):
    compiled.append((kernel.__name__, signature))
    return compile_object(kernel, signature)
lowering.compile_object = counted
"""
    (tmp_path / "file").touch()
    code = f"{count}{ANSWER}\nprint(len(compiled) > 5, len(compiled) == len(set(compiled)))"
    out, err = finish(start(code, tmp_path, env={"NUMBA_CACHE_DIR": str(tmp_path / "file")}))
    assert out == "POSITIVE\nTrue True\n" and err.count(COMPILING) == 1


@needs_native
def test_nothing_is_written_into_the_package_and_a_callers_own_cache_stays_its_own(tmp_path):
    caller = tmp_path / "caller"
    caller.mkdir()
    source = "import numba\n@numba.njit(cache=True)\ndef double(x):\n    return 2 * x\n"
    (caller / "mine.py").write_text(source, encoding="utf-8")
    before = cache_files(PACKAGE.resolve()) | cache_files(ROOT / "kernels")
    linear = "minibert.kernels.catalog.variants('linear')['naive'].function"
    code = f"{ANSWER}\nimport sys, numpy as np; sys.path.insert(0, {str(caller)!r}); import mine; mine.double(1)\n"
    code += f"x = np.ones((2, 2), np.float32); {linear}(x, x, x[0])"
    finish(start(code, tmp_path / "cache"))
    assert cache_files(PACKAGE.resolve()) | cache_files(ROOT / "kernels") == before
    assert {path.parent for path in cache_files(caller)} == {caller / "__pycache__"}
    cached = cache_files(tmp_path / "cache" / "minibert")
    assert any(path.name.startswith("embed_tasks.") for path in cached)  # ours
    assert any(path.suffix == ".nbi" and "linear_naive" in path.name for path in cached)  # what Numba caches for us


@needs_native
def test_of_processes_that_start_at_once_one_compiles_and_the_others_wait(tmp_path):
    ended = [finish(process) for process in [start(ANSWER, tmp_path) for _ in range(4)]]
    assert [out for out, _ in ended] == ["POSITIVE\n"] * 4
    assert sum(err.count(COMPILING) for _, err in ended) == 1
    assert all(COMPILING in err or "waiting for another process" in err for _, err in ended)


@needs_native
def test_when_the_compiling_process_is_killed_another_takes_over(tmp_path):
    first = start(ANSWER, tmp_path)
    assert COMPILING in first.stderr.readline()
    second = start(ANSWER, tmp_path)
    assert "waiting for another process" in second.stderr.readline()
    first.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    line = second.stderr.readline()
    assert COMPILING in line and time.monotonic() - killed < 2
    first.wait()
    assert finish(second)[0] == "POSITIVE\n"


@needs_native
def test_a_file_system_without_locks_is_enough(tmp_path):
    lockless = f"import fcntl\ndef flock(*_): raise OSError({errno.ENOLCK}, 'no locks')\nfcntl.flock = flock\n"
    out, err = finish(start(lockless + ANSWER, tmp_path))
    assert out == "POSITIVE\n" and err.count(COMPILING) == 1


@needs_native
def test_what_a_helper_cannot_compile_this_process_compiles(tmp_path, monkeypatch):
    """One that does not start, one that dies, one that answers nonsense."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(precompile, "get_num_threads", lambda: 2)
    names = ("take_rows", "worker_loop", "run_commands")
    small = [(kernel, signature) for kernel, signature in needed_kernels(make_ops("fast")) if kernel.__name__ in names]
    for helper in ("raise SystemExit(3)", "input()", "import sys\nfor line in sys.stdin: print('what?', flush=True)"):
        object_cache.clear_cache()
        monkeypatch.setattr(precompile, "HELPER", helper)
        precompile.precompile(small, "no.module", None)
        assert not precompile.missing_of(small) and len(cache_files(tmp_path)) == len(small) == 3


@needs_native
@pytest.mark.parametrize("kernels", ["fast", "bf16", "int8"])
@pytest.mark.parametrize("heads", [1, 2])
def test_what_is_compiled_serves_heads_of_every_size(kernels, heads):
    """Attention on tiles takes heads of 64 in bf16; others, and all with output_attentions, in float32."""
    config = minibert.DistilBertConfig(vocab_size=20, dim=64, n_layers=1, n_heads=heads, hidden_dim=128)
    model, recorded = minibert.DistilBertModel(config, kernels=kernels, seed=0), KernelList()
    packed, ops, layer = model.pack([[1, 2, 3], [4, 5, 6]]), model.kernels, model.encoder.layers[0]
    with capture(recorded):
        hidden = encode(packed, model.encoder, ops)
        for rounded in {False, ops.attention_takes_rounded(64 // heads)}:
            arrays = ops.query_key_value(hidden, hidden, *layer.query_key_value, rounded=rounded)
            ops.attention(*arrays, packed.bounds, packed.key_mask, heads)
    assert len(recorded.kernels) > 3 and set(recorded.kernels) <= set(needed_kernels(ops))
    with capture(own := KernelList()):
        encode(packed, model.encoder, ops)
    assert set(own.kernels) <= set(needed_kernels(ops, 64 // heads)) <= set(needed_kernels(ops))


@needs_native
def test_on_a_terminal_the_message_counts_and_vanishes(tmp_path):
    reader, writer = pty.openpty()
    process = start(ANSWER, tmp_path, stderr=writer)
    os.close(writer)
    shown = b""
    while process.poll() is None or select.select([reader], [], [], 0)[0]:
        if select.select([reader], [], [], 0.1)[0]:
            try:
                shown += os.read(reader, 4096)
            except OSError:  # the other side is closed
                break
    total = len(needed_kernels(make_ops("int8"), 32))  # the bundled model's
    lines = shown.decode().split("\r")
    counts = [line for line in lines if line.startswith("minibert: compiling kernels for this processor: ")]
    assert counts == [f"minibert: compiling kernels for this processor: {done} of {total}" for done in range(total + 1)]
    assert lines[lines.index(counts[-1]) + 1].startswith("\x1b[K") and "once" not in shown.decode()
    assert process.stdout.read() == "POSITIVE\n"


def test_kernels_of_sources_that_no_longer_exist_are_deleted(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    gone, foreign = tmp_path / "kernels-0123", tmp_path / "kernels-of-somebody-else"
    ours = object_cache.sources_dir()
    outdated, current = ours / "ops.softmax-0000", ours / f"ops.softmax-{object_cache.source_hash('ops.softmax')}"
    for folder in (gone, foreign, outdated, current):
        folder.mkdir(parents=True)
    (gone / "sources").write_text(str(tmp_path / "not there"), encoding="utf-8")
    object_cache.store_object(ours / "x-y" / "kernel.o", b"code")
    assert not gone.exists() and not outdated.exists() and foreign.exists() and current.exists()


def test_the_hash_changes_with_a_file_of_any_room_that_a_kernel_uses(tmp_path):
    """One file of each room that attention stands on; and one that it does not use."""
    code = "from minibert.kernels.compiler.source_hash import source_hash; print(source_hash('ops.attention_f32'))"
    copy = tmp_path / "minibert"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "bundled"))

    def current() -> str:
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout

    seen = {current()}
    for changed in (
        "composed",
        "ops/attention_f32",
        "gemm/microkernel",
        "gemm/dtypes",
        "simd/emit",
        "runtime/buffer_pool",
        "compiler/jit",
    ):
        with open(copy / "kernels" / f"{changed}.py", "a", encoding="utf-8") as file:
            file.write("# changed\n")
        assert current() not in seen
        seen.add(current())
    with open(copy / "kernels" / "ops" / "softmax.py", "a", encoding="utf-8") as file:
        file.write("# changed\n")
    assert current() in seen  # which attention does not use


def test_the_cache_command_prints_and_empties_the_folder(tmp_path, monkeypatch, capsys):
    from minibert.cli import main

    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    (tmp_path / "other").touch()
    folder = object_cache.sources_dir() / f"ops.softmax-{object_cache.source_hash('ops.softmax')}"
    object_cache.store_object(folder / "kernel.o", b"0" * 1_000_000)
    assert main(["cache"]) == 0 and capsys.readouterr().out == f"{tmp_path}\t1.0 MB\n"
    assert main(["cache", "--clear"]) == 0 and capsys.readouterr().out == f"{tmp_path}\t0.0 MB\n"
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


@pytest.mark.parametrize(
    "broken",
    [
        "sys.modules['numba'] = sys.modules['llvmlite'] = sys.modules['llvmlite.binding'] = None",  # not installed
        "def fail(*_): raise OSError('libllvmlite.so: cannot open')\nimport ctypes; ctypes.CDLL = fail",
        "import types; sys.modules['llvmlite'] = types.ModuleType('llvmlite')",  # half of it
    ],
)
def test_without_numba_the_error_names_the_way_out_and_the_reference_works(broken, tmp_path):
    code = f"""
import sys
{broken}
import minibert
for kernels in ("auto", "naive", {{"linear": "naive"}}):
    try:
        minibert.pipeline(model="minibert-sst2", kernels=kernels)("fine")
    except minibert.KernelError as error:
        assert "`pip install numba`" in str(error) and "kernels='reference'" in str(error), error
    else:
        raise AssertionError(kernels)
print(minibert.pipeline(model="minibert-sst2", kernels="reference")("fine")[0]["label"])
"""
    assert finish(start(code, tmp_path))[0] == "POSITIVE\n"


def test_a_numba_that_does_not_fit_is_a_kernel_error(monkeypatch):
    from minibert.kernels.compiler import jit

    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(KernelError, match="pip install numba"):
        jit.import_numba()


def test_no_writable_folder_is_one_warning(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file"))
    object_cache.warn_of_no_cache.cache_clear()
    with pytest.warns(MinibertWarning, match="set NUMBA_CACHE_DIR to a writable folder"):
        object_cache.store_object(object_cache.sources_dir() / "x-y" / "kernel.o", b"code")
    object_cache.store_object(object_cache.sources_dir() / "x-y" / "kernel.o", b"code")
