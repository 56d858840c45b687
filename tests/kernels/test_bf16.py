"""bf16: rounding, the product against the float32 one with rounded weights, the instruction, and checkpoints in bf16."""

import platform
import subprocess
import sys

import numpy as np
import pytest
from batch_invariance import SIZES, batches, check
from checkpoints import make_checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import assembly_of, environment_with
from safetensors import safe_open

import minibert
from minibert.kernels.catalog import variants
from minibert.kernels.compiler.cpu import HAS_AMX, HAS_FAST_BF16, has_fast_bf16
from minibert.kernels.compiler.trampoline import ArrayType
from minibert.kernels.ops.linear_bf16 import pack_rounded, repack_rounded, to_bf16
from minibert.kernels.ops.linear_f32 import pack_f32
from minibert.weights import WEIGHTS

MODEL = minibert.DistilBertModel(minibert.DistilBertConfig(**SIZES["middling"], initializer_range=0.2), kernels="bf16", seed=0)


def widened(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


@given(st.floats(width=32))
def test_rounding_finds_the_nearest_and_of_two_the_even_one(value):
    bits = to_bf16(np.array([value], np.float32))
    if np.isnan(value):
        assert np.isnan(widened(bits)).all()
        return
    below = np.array([value], np.float32).view(np.uint32) >> 16
    candidates = [int(below[0]), int(below[0]) + 1]  # towards 0, and away from it; the last one is infinity
    largest = float(np.float32(2.0**127))
    distances = [
        abs(min(max(float(widened(np.array([near], np.uint16))[0]), -2 * largest), 2 * largest) - value)
        if np.isfinite(value)
        else near - candidates[0]
        for near in candidates
    ]
    best = min(candidates, key=lambda near: (distances[near - candidates[0]], near % 2))
    assert int(bits[0]) == best


def test_weights_are_rounded_in_float32_where_bf16_is_no_faster():
    """To the bit, also by the kernels that pack weights at each step of a training."""
    random = np.random.default_rng(0)
    for inputs, outputs in ((64, 48), (61, 37), (259, 65)):
        weight, bias = random.normal(size=(outputs, inputs)).astype(np.float32), np.ones(outputs, np.float32)
        weight[0, :3] = np.inf, np.nan, np.float32(3.4e38)  # which is rounded to infinity
        expected = pack_f32(widened(to_bf16(weight)), bias)
        for pack in (pack_rounded, repack_rounded):
            assert all(map(same, pack(weight, bias)[:2], expected[:2]))


def same(x, y):
    return x.shape == y.shape and x.tobytes() == y.tobytes()


@pytest.mark.skipif(not HAS_FAST_BF16, reason="this machine multiplies float32 with rounded weights")
def test_the_packed_weights_are_half_as_large():
    weight, bias = np.ones((96, 128), np.float32), np.ones(96, np.float32)
    half, full = (variants("linear")[name].pack_weights(weight, bias)[0].nbytes for name in ("bf16", "register"))
    assert half * 2 == full


AVX512_BF16 = "+avx512f,+avx512bw,+avx512vl,+avx512bf16,+avx2,+fma"


@pytest.mark.parametrize(
    ("cpu", "features", "expected"),
    [
        ("znver4", AVX512_BF16, True),
        ("znver4", "+avx2,+fma", False),  # as a setting may say
        ("sapphirerapids", AVX512_BF16 + ",+amx-bf16", False),
        ("rocketlake", AVX512_BF16, False),  # what LLVM calls some processors with AMX
        ("x86-64", AVX512_BF16, False),
        ("skylake", "+avx2,+fma", False),
        ("x86-64", "", False),
    ],
)
def test_the_instruction_is_chosen_where_it_was_measured_to_be_faster(cpu, features, expected):
    assert has_fast_bf16({feature[1:] for feature in features.split(",")}, cpu) == expected


@pytest.mark.skipif(platform.machine() != "x86_64", reason="names processors of one kind")
@pytest.mark.parametrize(("cpu", "chosen"), [("znver4", "gemm_tasks_bf16"), ("sapphirerapids", "gemm_tasks")])
def test_the_product_follows_the_choice(cpu, chosen):
    code = "from minibert.kernels.ops.linear_bf16 import PRODUCT; print(PRODUCT.gemm.args[0].tasks.__name__)"
    environment = {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": AVX512_BF16}
    process = subprocess.run([sys.executable, "-c", code], env=environment_with(**environment), capture_output=True, text=True)
    assert process.stdout.strip() == chosen, process.stderr


@settings(max_examples=10, deadline=None)
@given(batches(longest=290), st.integers(0, 10))
def test_a_model_gives_a_sequence_the_same_bits_in_any_batch(batch, more_padding):
    check(MODEL, *batch, more_padding)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="names processors of one kind")
def test_the_tile_uses_the_processors_own_instruction(tmp_path):
    """Compiled here whether or not this machine could run it."""
    code = assembly_of("ops.linear_bf16.BF16", ArrayType("B", 3), "array(2), array(3)")
    environment = {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": AVX512_BF16, "NUMBA_CACHE_DIR": str(tmp_path)}
    process = subprocess.run([sys.executable, "-c", code], env=environment_with(**environment), capture_output=True, text=True)
    assert process.stdout.count("vdpbf16ps\t") >= 12, process.stderr


def test_a_checkpoint_in_bf16_is_used_as_it_is(tmp_path):
    """Its weights are rounded already, so bf16 and float32 agree."""
    folder = make_checkpoint(tmp_path)
    store_as_bf16(folder / WEIGHTS)
    with safe_open(folder / WEIGHTS, framework="np") as file:
        names = file.keys()
        assert {file.get_slice(name).get_dtype() for name in names} == {"BF16"}
    ids = np.arange(12).reshape(2, 6)
    half, full = (
        minibert.DistilBertForSequenceClassification.from_pretrained(folder, kernels=name)(ids).logits
        for name in ("bf16", "fast")
    )
    assert np.allclose(half, full, atol=0.05) if HAS_AMX or HAS_FAST_BF16 else np.array_equal(half, full)


def store_as_bf16(path):
    """The same tensors in bf16, written byte by byte: NumPy has no such type."""
    import json

    from safetensors.numpy import load_file

    header, content = {}, b""
    for name, tensor in load_file(path).items():
        stored = to_bf16(tensor).tobytes()
        header[name] = {"dtype": "BF16", "shape": tensor.shape, "data_offsets": [len(content), len(content) + len(stored)]}
        content += stored
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content)
