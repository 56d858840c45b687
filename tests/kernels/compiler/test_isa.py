"""MINIBERT_ISA: kernels for a level of x86-64, the same on every processor of that level."""

import os
import platform
import subprocess
import sys

import pytest

from minibert.errors import KernelError
from minibert.kernels.compiler import cpu

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="levels of x86-64")
ANSWER = """
import minibert
from minibert.kernels.compiler.cpu import CPU, FEATURES
logits = minibert.pipeline(model="minibert-sst2", kernels="fast").model([[101, 2023, 102]]).logits
print(CPU, sorted(FEATURES), logits.tobytes().hex())
"""


def in_a_process(code, tmp_path, **environment):
    variables = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), **environment}
    return subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True)


def test_a_pinned_level_decides_and_not_the_processor(tmp_path):
    """Another processor is one that Numba's own variables name."""
    pinned = in_a_process(ANSWER, tmp_path, MINIBERT_ISA="x86-64-v2")
    other = in_a_process(ANSWER, tmp_path, MINIBERT_ISA="x86-64-v2", NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="+avx2")
    assert pinned.returncode == 0, pinned.stderr
    assert pinned.stdout == other.stdout
    assert pinned.stdout.startswith(f"x86-64-v2 {sorted(cpu.ISA_LEVELS['x86-64-v2'])} ")


def test_numba_compiles_for_it_even_if_it_was_imported_before(tmp_path):
    code = "import numba, minibert.kernels.compiler.cpu; print(numba.config.CPU_NAME, numba.config.CPU_FEATURES)"
    features = ",".join(f"+{feature}" for feature in cpu.ISA_LEVELS["x86-64-v2"])
    assert in_a_process(code, tmp_path, MINIBERT_ISA="x86-64-v2").stdout == f"x86-64-v2 {features}\n"


@pytest.mark.parametrize("level", ["x86-64-v5", "avx2", "X86-64-V2"])
def test_what_is_no_level_is_an_error_that_lists_them(level):
    with pytest.raises(KernelError, match="one of x86-64-v2, x86-64-v3, x86-64-v4; got"):
        cpu.pin_isa(level)


def test_a_level_that_this_processor_has_not_is_an_error(monkeypatch):
    class Features:
        def flatten(self):
            return ",".join(f"+{feature}" for feature in cpu.ISA_LEVELS["x86-64-v2"])

    monkeypatch.setattr(cpu.llvm, "get_host_cpu_features", Features)
    with pytest.raises(KernelError, match="x86-64-v3 needs avx, avx2, .* does not have"):
        cpu.pin_isa("x86-64-v3")


def test_the_command_says_it_in_one_line(tmp_path):
    code = "from minibert.cli import main; raise SystemExit(main(['classify', 'a', '--model', 'minibert-sst2']))"
    done = in_a_process(code, tmp_path, MINIBERT_ISA="avx2")
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "MINIBERT_ISA is one of" in done.stderr
