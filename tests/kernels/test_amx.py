"""AMX's tiles: the same loops with the instructions emulated, on any processor; the instructions, by disassembly; and when they
are chosen."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from kernel_cases import assembly_of

from minibert.kernels.compiler import cpu
from minibert.kernels.compiler.trampoline import ArrayType

SUPPORT = Path(__file__).parents[1] / "support"
FEATURES = "+avx512f,+avx512bw,+avx512dq,+avx512vl,+avx512vnni,+avx512bf16,+avx2,+fma,+amx-tile,+amx-bf16,+amx-int8"
ALL_FEATURES = set(FEATURES.replace("+", "").split(","))

PRODUCTS = """
import amx_emulation
import numpy as np
from minibert.kernels.catalog import variants
from minibert.kernels.ops.linear_bf16 import PRODUCT, to_bf16

assert PRODUCT.gemm.args[0].tasks.__name__ == "gemm_tasks_amx_bf16"
random = np.random.default_rng(0)
SHAPES = (1, 32, 32), (3, 61, 37), (16, 64, 48), (17, 384, 33), (32, 96, 32), (33, 768, 70), (70, 259, 65), (40, 3200, 32), (9, 6400, 5)
normal = lambda *shape: random.normal(size=shape).astype(np.float32)
rounded = lambda x: (to_bf16(x).astype(np.uint32) << 16).view(np.float32)
bf16 = variants("linear")["bf16"]
for rows, inputs, outputs in SHAPES:
    x, weight, bias = normal(rows, inputs), normal(outputs, inputs), normal(outputs)
    expected = rounded(x).astype(np.float64) @ rounded(weight).astype(np.float64).T + bias
    y = bf16.function(x, *bf16.pack_weights(weight, bias))
    assert abs(y - expected).max() <= 1e-6 * np.abs(expected).max(), (rows, inputs, outputs)
    assert np.array_equal(y, bf16.function(x, *bf16.repack_weights(weight, bias)))
    for row in {0, rows // 2, rows - 1}:
        assert np.array_equal(y[row], bf16.function(x[row : row + 1], *bf16.pack_weights(weight, bias))[0])

int8, reference = variants("linear")["int8_tile"], variants("linear")["int8_reference"]
for rows, inputs, outputs in SHAPES:
    x, weight, bias = normal(rows, inputs), normal(outputs, inputs) * np.linspace(0.1, 3, inputs, dtype=np.float32), normal(outputs)
    y = int8.function(x, *int8.pack_weights(weight, bias))
    assert np.array_equal(y, reference.function(x, *reference.pack_weights(weight, bias))), (rows, inputs, outputs)

x, residual = normal(45, 128), normal(45, 96)
parameters = normal(96, 128), normal(96), normal(96, 128), normal(96), normal(96, 128), normal(96)
for name, plain in (("bf16", bf16), ("int8", int8)):
    packed = plain.pack_weights(*parameters[:2])
    product = plain.function(x, *packed)
    for activation in ("gelu", "gelu_tanh", "relu", "silu"):
        fused = variants(f"linear_{activation}")[name].function(x, *packed)
        assert np.array_equal(fused, variants(activation)["vector"].function(product)), activation
    assert np.array_equal(variants("linear_add")[name].function(x, residual, *packed), product + residual)
    joint = variants("query_key_value")[name]
    for part, y in enumerate(joint.function(x, x, *joint.pack_weights(*parameters))):
        assert np.array_equal(y, plain.function(x, *plain.pack_weights(*parameters[2 * part : 2 * part + 2])))
"""
MODELS = """
import amx_emulation
import numpy as np
from batch_invariance import SIZES, check
import minibert
from minibert.kernels.ops import linear_int8

random = np.random.default_rng(0)
rows = [random.integers(0, 50, length) for length in (1, 7, 33, 90)]
masks = [np.where(np.arange(len(row)) % 5 == 4, 0, 1) for row in rows]
for kernels in ("bf16", "int8"):
    model = minibert.DistilBertModel(minibert.DistilBertConfig(**SIZES["middling"], initializer_range=0.2), kernels=kernels, seed=0)
    check(model, rows, masks, more_padding=5)
on_tiles = model(rows[3][None])[0]
linear_int8.HAS_AMX = False
assert np.array_equal(on_tiles, model(rows[3][None] + 0)[0])
"""
GRADIENTS = """
import amx_emulation
import numpy as np
from minibert.kernels.catalog import make_training_ops
random = np.random.default_rng(0)
y_grad, x, weight = (random.normal(size=shape).astype(np.float32) for shape in ((45, 70), (45, 61), (70, 61)))
on_tiles, exact = (make_training_ops(name).linear_grad(y_grad, x, weight) for name in ("bf16", "reference"))
for got, expected in zip(on_tiles, exact):
    assert abs(got - expected).max() <= 0.01 * abs(expected).max()
"""


@pytest.mark.parametrize("code", [PRODUCTS, MODELS, GRADIENTS], ids=["products", "models", "gradients"])
def test_tiles_give_what_the_formulas_say(code, tmp_path):
    path = os.pathsep.join([str(SUPPORT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(platform.machine() != "x86_64", reason="names processors of one kind")
@pytest.mark.parametrize(
    ("spec", "panels", "scratch", "instruction"),
    [
        ("ops.linear_bf16.BF16_AMX", ArrayType("B", 3), "array(2), array(3)", "tdpbf16ps"),
        ("ops.linear_int8.INT8_AMX", ArrayType("b", 3), "array(3), array(3)", "tdpbusd"),
    ],
)
def test_a_block_uses_the_processors_own_instructions(spec, panels, scratch, instruction, tmp_path):
    """Compiled here whether or not this machine could run it: four products for a tall block, two for a short one, and LLVM may
    copy each."""
    code = "import minibert.kernels.compiler.cpu as cpu; cpu.HAS_AMX = True;" + assembly_of(spec, panels, scratch)
    environment = {"NUMBA_CPU_NAME": "sapphirerapids", "NUMBA_CPU_FEATURES": FEATURES, "NUMBA_CACHE_DIR": str(tmp_path)}
    process = subprocess.run([sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True)
    lines = process.stdout.split("\n")
    counts = {name: sum(line.startswith(f"\t{name}") for line in lines) for name in (instruction, "ldtilecfg", "tilerelease")}
    assert counts.pop(instruction) >= 6 and counts == {"ldtilecfg": 1, "tilerelease": 1}, process.stderr


@pytest.mark.parametrize(
    ("missing", "permitted", "expected"),
    [("", True, True), ("", False, False), ("amx-bf16", True, False), ("amx-int8", True, False), ("avx512f", True, False)],
)
def test_tiles_are_used_where_the_processor_and_the_system_have_them(missing, permitted, expected, monkeypatch):
    monkeypatch.setattr(cpu, "tiles_permitted", lambda: permitted)
    assert cpu.has_amx(ALL_FEATURES - {missing}) == expected


def test_a_processor_without_tiles_does_not_ask_for_them(monkeypatch):
    monkeypatch.setattr(cpu, "tiles_permitted", lambda: pytest.fail("asked"))
    assert not cpu.has_amx({"avx2", "fma", "avx512f"})


@pytest.mark.parametrize(
    ("features", "used", "said"),
    [
        (ALL_FEATURES, True, "used"),
        (ALL_FEATURES, False, "not used: the operating system does not give its tiles to this process"),
        ({"avx2"}, False, "not used: kernels are compiled for a processor without it"),
    ],
)
def test_why_tiles_are_not_used_is_said(features, used, said, monkeypatch):
    monkeypatch.setattr(cpu, "FEATURES", features)
    monkeypatch.setattr(cpu, "HAS_AMX", used)
    assert cpu.describe_amx() == said


@pytest.mark.skipif(platform.machine() != "x86_64" or sys.platform != "linux", reason="a system call of one kind of system")
@pytest.mark.parametrize(
    ("request_result", "granted", "expected"), [(0, 1 << 17 | 1 << 18, True), (0, 1 << 17, False), (-1, 1 << 18, False)]
)
def test_what_the_system_says_is_believed(request_result, granted, expected, monkeypatch):
    """The calls have the numbers that Linux documents, and what it granted is read back."""

    def syscall(number, code, argument):
        assert (number.value, code.value) in ((158, 0x1023), (158, 0x1022))
        if code.value == 0x1023:
            assert argument.value == 18
            return request_result
        argument._obj.value = granted
        return 0

    monkeypatch.setattr(cpu.ctypes, "CDLL", lambda name: type("Process", (), {"syscall": staticmethod(syscall)}))
    monkeypatch.setattr(cpu.ctypes, "byref", lambda value: type("Reference", (), {"_obj": value}))
    assert cpu.tiles_permitted() == expected
