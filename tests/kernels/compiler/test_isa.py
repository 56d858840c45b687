"""MINIBERT_ISA: kernels for some instructions, the same on every processor that has them."""

import os
import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest

from minibert.errors import KernelError
from minibert.kernels.compiler import cpu

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="instructions of x86-64")
ANSWER = """
import minibert
from minibert.kernels.compiler.cpu import CPU, FEATURES
logits = minibert.pipeline(model="minibert-sst2", kernels="fast").model([[101, 2023, 102]]).logits
print(CPU, sorted(FEATURES), logits.tobytes().hex())
"""


def in_a_process(code, tmp_path, **environment):
    variables = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), **environment}
    return subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True)


def test_the_pinned_instructions_decide_and_not_the_processor(tmp_path):
    """Another processor is one that Numba's own variables name."""
    pinned = in_a_process(ANSWER, tmp_path, MINIBERT_ISA="sse2")
    other = in_a_process(ANSWER, tmp_path, MINIBERT_ISA="sse2", NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="+avx2")
    assert pinned.returncode == 0, pinned.stderr
    assert pinned.stdout == other.stdout
    assert pinned.stdout.startswith("x86-64 ['sse2'] ")


def test_numba_compiles_for_it_even_if_it_was_imported_before(tmp_path):
    code = "import numba, minibert.kernels.compiler.cpu; print(numba.config.CPU_NAME, numba.config.CPU_FEATURES)"
    assert in_a_process(code, tmp_path, MINIBERT_ISA="sse2").stdout == "x86-64 +sse2\n"


@pytest.mark.parametrize("isa", ["x86-64-v3", "avx", "AVX2"])
def test_what_is_not_known_is_an_error_that_lists_what_is(isa):
    with pytest.raises(KernelError, match="one of amx, avx512, avx2, sse2; got"):
        cpu.pin_isa(isa)


@pytest.fixture
def least_processor(monkeypatch):
    """One with SSE2 only; what is set in the environment is forgotten afterwards."""
    monkeypatch.setenv("NUMBA_CPU_NAME", "")
    monkeypatch.setenv("NUMBA_CPU_FEATURES", "")
    return lambda *features: monkeypatch.setattr(
        cpu.llvm, "get_host_cpu_features", lambda: SimpleNamespace(flatten=lambda: ",".join(f"+{f}" for f in features))
    )


def test_instructions_that_this_processor_has_not_are_an_error(least_processor):
    least_processor("sse2")
    with pytest.raises(KernelError, match="MINIBERT_ISA=avx2 needs cx16, .*, avx2, .* does not have"):
        cpu.pin_isa("avx2")


def test_tiles_that_the_system_does_not_give_are_an_error(least_processor, monkeypatch):
    least_processor(*cpu.ISAS["amx"][1])
    monkeypatch.setattr(cpu, "tiles_permitted", lambda: False)
    with pytest.raises(KernelError, match="MINIBERT_ISA=amx needs AMX's tiles: the operating system does not give"):
        cpu.pin_isa("amx")


def test_each_has_what_the_next_has(monkeypatch):
    features = [set(features) for _, features in cpu.ISAS.values()]
    for more, less in zip(features, features[1:]):
        assert more > less
    monkeypatch.setattr(cpu, "tiles_permitted", lambda: True)
    assert cpu.has_amx(features[0]) and not cpu.has_amx(features[1])


def test_the_command_says_it_in_one_line(tmp_path):
    code = "from minibert.cli import main; raise SystemExit(main(['classify', 'a', '--model', 'minibert-sst2']))"
    done = in_a_process(code, tmp_path, MINIBERT_ISA="avx")
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "MINIBERT_ISA is one of" in done.stderr
