"""Object files: reused by later processes, called without Numba, and compiled again when a source has changed."""

import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from kernel_cases import assembly_of, environment_with
from paths import ROOT

import minibert
from minibert.errors import KernelError
from minibert.kernels.compiler.call import bind
from minibert.kernels.compiler.jit import jit
from minibert.kernels.compiler.trampoline import ArrayType
from minibert.kernels.ops.activations import activate_tasks
from minibert.kernels.runtime.threads import run

SETUP = (
    "import numpy as np; from minibert.kernels.runtime.threads import run; "
    "from minibert.kernels.ops.activations import activate_tasks; x = np.ones(8, np.float32); y = np.zeros_like(x);"
)


def in_a_process(code: str, folder: Path | None = None, **environment: str) -> str:
    """What Python prints to stdout and stderr when it runs SETUP and this code."""
    variables = environment_with(**environment)
    done = subprocess.run([sys.executable, "-c", SETUP + code], cwd=folder, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


RUN = "run(activate_tasks, 1, x, y, 0, 8, False, scratch=((8,),));"  # gelu
CALL = RUN + " assert abs(y - 0.8413447).max() < 1e-6; import sys; print('numba' in sys.modules);"


def test_a_kernel_compiled_once_is_called_without_numba_by_the_next_process(tmp_path):
    first = in_a_process(CALL, NUMBA_CACHE_DIR=str(tmp_path))
    assert "True" in first and first.count("minibert: compiling") == 1
    assert in_a_process(CALL, NUMBA_CACHE_DIR=str(tmp_path)) == "False\n"


def test_a_damaged_object_file_is_compiled_again(tmp_path):
    in_a_process(CALL, NUMBA_CACHE_DIR=str(tmp_path))
    (object_file,) = tmp_path.rglob("activate_tasks.*.o")
    content = object_file.read_bytes()
    object_file.write_bytes(content[:-100])
    assert "True" in in_a_process(CALL, NUMBA_CACHE_DIR=str(tmp_path))
    assert object_file.read_bytes() == content


def test_an_object_file_is_not_used_after_a_source_it_depends_on_has_changed(tmp_path):
    """scalar_math.py, where gelu is, not the kernel's own file; the outdated object file is deleted."""
    shutil.copytree(Path(minibert.__file__).parent, tmp_path / "minibert", ignore=shutil.ignore_patterns("__pycache__"))
    cache = str(tmp_path / "cache")
    assert "True" in in_a_process(CALL, tmp_path, NUMBA_CACHE_DIR=cache)
    scalar_math = tmp_path / "minibert/kernels/simd/scalar_math.py"
    changed = scalar_math.read_text(encoding="utf-8").replace("fma(abs(x), normal", "F(0.5) * fma(abs(x), normal")
    scalar_math.write_text(changed, encoding="utf-8")
    halved = RUN + " assert abs(y - 0.8413447 / 2).max() < 1e-6"
    assert "minibert: compiling" in in_a_process(halved, tmp_path, NUMBA_CACHE_DIR=cache)
    assert len(list(Path(cache).rglob("activate_tasks.*.o"))) == 1


def test_kernels_compile_where_no_cache_folder_can_be_written(tmp_path):
    (tmp_path / "file").touch()
    printed = in_a_process(CALL, NUMBA_CACHE_DIR=str(tmp_path / "file"))
    assert printed.count("set NUMBA_CACHE_DIR to a writable folder") == 1


def test_a_kernel_that_allocates_is_called_through_numba():
    """It starts slower, and its result is right."""

    @jit(nogil=True)
    def double(counter, x, y):
        copy = x.copy()
        for i in range(len(y)):
            y[i] = 2 * copy[i]

    x, y = np.arange(5, dtype=np.float32), np.zeros(5, np.float32)
    run(double, 1, x, y)
    assert y.tolist() == [0, 2, 4, 6, 8]


def test_a_kernels_arrays_are_contiguous():
    with pytest.raises(KernelError, match="a kernel's arrays are contiguous"):
        bind(activate_tasks, np.zeros(2, np.int64), np.zeros((4, 4), np.float32)[:, 0], np.zeros(4, np.float32))


BASELINE_CPU = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}  # what every processor of this architecture has


def test_kernels_compiled_for_a_baseline_processor_pass_their_tests(tmp_path):
    """Vectors of four floats, and no fused multiply-add."""
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "(register or vector) and every_case"]
    tests.append(str(ROOT / "tests" / "kernels" / "test_operations.py"))
    environment = environment_with(**BASELINE_CPU, NUMBA_CACHE_DIR=str(tmp_path))
    done = subprocess.run(tests, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout
    assert list(tmp_path.rglob("gemm_tasks.*.o"))


@pytest.mark.skipif(platform.machine() != "x86_64", reason="names x86 processors")
@pytest.mark.parametrize(
    ("name", "features", "registers"),
    [("generic", "", "xmm"), ("haswell", "+avx2,+fma", "ymm"), ("skylake-avx512", "+avx512f,+avx2,+fma", "zmm")],
)
def test_a_tile_uses_the_widest_registers_of_the_processor(name, features, registers, tmp_path):
    """Only compiled, so this machine need not be able to run it."""
    code = assembly_of("ops.linear_f32.FLOAT32", ArrayType("B", 3))
    environment = {"NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": features, "NUMBA_CACHE_DIR": str(tmp_path)}
    assembly = in_a_process(code, **environment)
    assert next(name for name in ("zmm", "ymm", "xmm") if name in assembly) == registers


def test_after_a_warm_up_the_next_process_answers_without_numba(tmp_path):
    cache = {"NUMBA_CACHE_DIR": str(tmp_path)}
    in_a_process("import minibert; minibert.warm_up()", **cache)
    answer = "import sys, minibert; print(minibert.pipeline(model='minibert-sst2')('fine')[0]['label'], 'numba' in sys.modules)"
    assert in_a_process(answer, **cache) == "POSITIVE False\n"
