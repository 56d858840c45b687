"""int8: every instruction set against NumPy, what 8 bits cost on trained weights, and the same bits in any batch."""

import itertools
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from batch_invariance import SIZES, batches, check
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import assembly_of, cases, cast, environment_with

import minibert
from minibert.kernels.catalog import make_ops, variants
from minibert.kernels.compiler import cpu
from minibert.kernels.compiler.trampoline import ArrayType
from minibert.kernels.gemm.gemm import KC
from minibert.kernels.gemm.int8_isa import detect_int8_isa
from minibert.kernels.gemm.int8_layout import K_EXACT, K_PACK
from minibert.kernels.ops.quantization import ROTATION, rotate
from minibert.kernels.simd.shapes import tile_shape

SUPPORT = str(Path(__file__).parents[1] / "support")
MODEL = minibert.DistilBertModel(minibert.DistilBertConfig(**SIZES["middling"], initializer_range=0.2), kernels="int8", seed=0)


def in_a_process(code, **environment):
    """What a process prints that compiles for this machine, or for the processor that the environment names."""
    process = subprocess.run([sys.executable, "-c", code], env=environment_with(**environment), capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return process.stdout


@pytest.mark.parametrize("name", ["int8_naive", "int8_tiled", "int8_dot", "int8_threads", "int8_tile"])
def test_a_compiled_variant_is_numpys_to_the_bit(name):
    compiled, reference = variants("linear")[name], variants("linear")["int8_reference"]
    for case, arrays in cases("linear").items():
        (x,), parameters = cast(arrays, np.float32)
        expected = reference.function(x, *reference.pack_weights(*parameters))
        assert np.array_equal(compiled.function(x, *compiled.pack_weights(*parameters)), expected), case


@pytest.mark.parametrize("inputs", [3000, 3200, 4096, 6500])
def test_a_product_deeper_than_one_update_of_y_is_numpys_to_the_bit(inputs):
    """BERT-large has 4,096, of which 3,072 are summed as integers at a time."""
    assert KC * K_PACK == K_EXACT
    random = np.random.default_rng(inputs)
    x, weight = (random.normal(size=(rows, inputs)).astype(np.float32) for rows in (9, 70))
    compiled, reference = variants("linear")["int8_tile"], variants("linear")["int8_reference"]
    expected = reference.function(x, *reference.pack_weights(weight, weight[:, 0].copy()))
    assert np.array_equal(compiled.function(x, *compiled.pack_weights(weight, weight[:, 0].copy())), expected)


@pytest.mark.parametrize("inputs", [16, 128, 256, 384, 432, 768, 1536])
def test_rows_rotated_in_registers_have_the_same_bits(inputs):
    """A row's sixteenth is a multiple of 16, of a vector, of half a vector, or of neither."""
    random = np.random.default_rng(inputs)
    x, weight = (random.normal(size=(rows, inputs)).astype(np.float32) for rows in (7, 33))
    compiled, reference = variants("linear")["int8_tile"], variants("linear")["int8_reference"]
    expected = reference.function(x, *reference.pack_weights(weight, weight[:, 0].copy()))
    assert np.array_equal(compiled.function(x, *compiled.pack_weights(weight, weight[:, 0].copy())), expected)


SAME = """
import numpy as np
from minibert.kernels.catalog import variants
from minibert.kernels.gemm.int8_isa import INT8_ISA
tile, reference = variants("linear")["int8_tile"], variants("linear")["int8_reference"]
random = np.random.default_rng(0)
for rows, inputs, outputs in ((1, 9, 3), (13, 300, 70), (30, 1030, 33)):
    x, weight = (random.normal(size=(n, inputs)).astype(np.float32) for n in (rows, outputs))
    bias = random.normal(size=outputs).astype(np.float32)
    expected = reference.function(x, *reference.pack_weights(weight, bias))
    assert np.array_equal(tile.function(x, *tile.pack_weights(weight, bias)), expected)
print(INT8_ISA.name, INT8_ISA.outputs)
"""
CHOOSE = """
from minibert.kernels.gemm import int8_isa
int8_isa.INT8_ISA = int8_isa.DotProductISA('scalar', 2, 4, 'uint8')
"""
EMULATE = "import sys; sys.path.insert(0, {support!r}); import vnni_emulation; vnni_emulation.emulate({outputs})"


@pytest.mark.parametrize(
    ("code", "environment", "isa"),
    [
        pytest.param(SAME, {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}, None, id="the least processor"),
        pytest.param(CHOOSE + SAME, {}, "scalar 2", id="no such instructions"),
        pytest.param(
            SAME,
            {"NUMBA_CPU_NAME": "x86-64-v2", "NUMBA_CPU_FEATURES": "+ssse3,+sse4.1,+sse4.2,+avx,+avx2"},
            "pmaddwd 2",
            marks=pytest.mark.skipif(cpu.ARCH != "x86_64" or "avx2" not in cpu.FEATURES, reason="needs a processor with AVX2"),
            id="AVX2 without FMA",
        ),
        pytest.param(EMULATE.format(support=SUPPORT, outputs=8) + SAME, {}, "vnni 8", id="AVX-VNNI"),
        pytest.param(EMULATE.format(support=SUPPORT, outputs=16) + SAME, {}, "vnni 16", id="AVX-512 VNNI"),
    ],
)
def test_every_instruction_set_gives_the_same_integers(code, environment, isa, tmp_path):
    output = in_a_process(code, NUMBA_CACHE_DIR=str(tmp_path), **environment)
    assert isa is None or output == f"{isa}\n"


def test_no_tile_has_more_rows_than_are_packed():
    """Whatever a processor, or NUMBA_CPU_FEATURES, has of these."""
    kinds = "avx", "avx2", "fma", "avxvnni", "avx512f", "avx512vnni"
    for features in itertools.product(*((set(), {kind}) for kind in kinds)):
        features = {"sse2"}.union(*features)
        assert detect_int8_isa(features).mr <= tile_shape(features)[1], features


@pytest.mark.skipif(platform.machine() != "x86_64", reason="names processors of one kind")
@pytest.mark.parametrize(
    ("features", "instruction", "registers"),
    [
        ("+avx512f,+avx512bw,+avx512vl,+avx512vnni,+avx2,+fma", "vpdpbusd", "zmm"),
        ("+avxvnni,+avx2,+fma", "vpdpbusd", "ymm"),
        ("+avx2,+fma", "vpmaddwd", "ymm"),
        ("", "pmaddwd", "xmm"),
    ],
)
def test_the_tile_uses_the_processors_own_instruction(features, instruction, registers, tmp_path):
    """Compiled here whether or not this machine could run it."""
    code = assembly_of("ops.linear_int8.INT8", ArrayType("b", 3), "array(3), array(3)")
    assembly = in_a_process(code, NUMBA_CPU_NAME="x86-64", NUMBA_CPU_FEATURES=features, NUMBA_CACHE_DIR=str(tmp_path))
    assert sum(f"{instruction}\t" in line and registers in line for line in assembly.splitlines()) >= 12


@settings(max_examples=15, deadline=None)
@given(batches(longest=290), st.integers(0, 10))
def test_a_model_gives_a_sequence_the_same_bits_in_any_batch(batch, more_padding):
    check(MODEL, *batch, more_padding)


@pytest.mark.parametrize("operation", ["linear_gelu", "linear_gelu_tanh", "linear_relu", "linear_silu", "linear_add"])
def test_an_epilogue_is_the_separate_operation_to_the_bit(operation):
    random = np.random.default_rng(0)
    x, weight, residual = (random.normal(size=size).astype(np.float32) for size in ((33, 70), (45, 70), (33, 45)))
    fused, plain = variants(operation)["int8"], variants("linear")["int8_tile"]
    packed = plain.pack_weights(weight, weight[:, 0].copy())
    y = plain.function(x, *packed)
    if operation == "linear_add":
        assert np.array_equal(fused.function(x, residual, *packed), y + residual)
    else:
        activation = getattr(make_ops("fast"), operation.removeprefix("linear_"))
        assert np.array_equal(fused.function(x, *packed), activation(y))


def test_three_products_in_one_are_the_three():
    random = np.random.default_rng(0)
    x, *weights = (random.normal(size=(40, 72)).astype(np.float32) for _ in range(4))
    fused, plain = variants("query_key_value")["int8"], variants("linear")["int8_tile"]
    pairs = [(weight, weight[:, 0].copy()) for weight in weights]
    together = fused.function(x, x, *fused.pack_weights(*pairs[0], *pairs[1], *pairs[2]))
    for y, pair in zip(together, pairs):
        assert np.array_equal(y, plain.function(x, *plain.pack_weights(*pair)))


@pytest.mark.parametrize("inputs", [1, 4, 37, 288, 768])
def test_the_rotation_is_an_orthogonal_matrix_times_sixteen(inputs):
    matrix = rotate(np.eye(inputs))
    assert np.array_equal(matrix @ matrix.T, np.eye(inputs) * ROTATION**2)


def test_the_rotation_pays_if_one_column_is_large():
    """Without it, the error of 8 bits is three times as large."""
    random = np.random.default_rng(0)
    x, weight = (random.normal(size=(size, 384)) for size in (50, 200))
    x[:, 7] *= 40
    reference = variants("linear")["int8_reference"]
    rotated = reference.function(
        x.astype(np.float32), *reference.pack_weights(weight.astype(np.float32), np.zeros(200, np.float32))
    )
    scale = (x.max(axis=1) - x.min(axis=1))[:, None] / 255
    unrotated = np.rint(x / scale) * scale @ weight.T
    error = [np.square(y - x @ weight.T).mean() ** 0.5 for y in (rotated, unrotated)]
    assert error[0] < error[1] / 2


@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf])
def test_a_row_with_nan_or_infinity_gives_nan_and_spares_the_others(bad):
    random = np.random.default_rng(0)
    x, weight = (random.normal(size=(6, 40)).astype(np.float32) for _ in range(2))
    compiled, reference = variants("linear")["int8_tile"], variants("linear")["int8_reference"]
    finite = compiled.function(x, *compiled.pack_weights(weight, weight[:, 0].copy()))
    x[2, 5] = bad
    with np.errstate(invalid="ignore"):
        for variant in (compiled, reference):
            y = variant.function(x, *variant.pack_weights(weight, weight[:, 0].copy()))
            assert np.isnan(y[2]).all()
            assert np.array_equal(np.delete(y, 2, axis=0), np.delete(finite, 2, axis=0))


def test_rows_and_weights_of_zeros_give_the_bias():
    tile, bias = variants("linear")["int8_tile"], np.arange(5, dtype=np.float32)
    zeros, ones = np.zeros((3, 20), np.float32), np.ones((5, 20), np.float32)
    assert np.array_equal(tile.function(zeros, *tile.pack_weights(ones, bias)), np.tile(bias, (3, 1)))
    assert np.array_equal(tile.function(ones, *tile.pack_weights(zeros[:1].repeat(5, 0), bias)), np.tile(bias, (5, 1)))


# ---------------------------------------------------------------- on trained weights


def predict(model, tokenizer, texts):
    """A row of numbers for each text, in batches of texts of like length."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    outputs = [None] * len(texts)
    for first in range(0, len(texts), 64):
        batch = order[first : first + 64]
        inputs = tokenizer([texts[i] for i in batch], padding=True, return_tensors="np")
        output = model(**{name: inputs[name] for name in ("input_ids", "attention_mask")})
        mask = inputs["attention_mask"][:, :, None]
        rows = output.logits if "logits" in output else (output[0] * mask).sum(1) / mask.sum(1)
        for i, row in zip(batch, rows):
            outputs[i] = row
    return np.array(outputs)


@pytest.fixture(scope="module")
def dev(sst2):
    """The sentences of SST-2's dev set; every 24th where AMX is emulated, which takes microseconds an instruction."""
    lines = (sst2 / "dev.tsv").read_text(encoding="utf-8").rstrip("\n").split("\n")[1:]
    return [line.split("\t")[1] for line in lines[:: 24 if "amx_emulation" in sys.modules else 1]]


def test_the_bundled_classifiers_labels_stay(dev):
    """None of 872 differs. The differences of logits have a root mean square of 0.007, and the largest is 0.09."""
    tokenizer = minibert.AutoTokenizer.from_pretrained("minibert-sst2")
    models = [
        minibert.AutoModelForSequenceClassification.from_pretrained("minibert-sst2", kernels=name) for name in ("fast", "int8")
    ]
    exact, quantized = (predict(model, tokenizer, dev) for model in models)
    assert (exact.argmax(1) != quantized.argmax(1)).mean() < 0.005
    assert 0 < np.sqrt(np.square(exact - quantized).mean()) < 0.02
    assert np.abs(exact - quantized).max() < 0.2


def test_sentence_vectors_stay_where_they_were(minilm, dev):
    """The least cosine is 0.99876, with attention in float32 0.99884; ONNX Runtime's dynamic int8 has 0.79."""
    tokenizer = minibert.AutoTokenizer.from_pretrained(minilm)
    exact, quantized = (
        predict(minibert.AutoModel.from_pretrained(minilm, kernels=name), tokenizer, dev) for name in ("fast", "int8")
    )
    cosine = (exact * quantized).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(quantized, axis=1)
    assert cosine.min() > 0.998 and cosine.mean() > 0.9996
