"""AMX's tiles: the machine code, with its tile instructions emulated where the processor has none (`amx_emulation`); which
instructions it has; and when tiles are chosen."""

import os
import platform
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from kernel_cases import assembly_of, environment_with

from minibert.errors import KernelError, MinibertWarning
from minibert.kernels.catalog import make_ops, make_training_ops
from minibert.kernels.compiler import cpu
from minibert.kernels.compiler.trampoline import ArrayType

SUPPORT = Path(__file__).parents[1] / "support"
FEATURES = "+avx512f,+avx512bw,+avx512dq,+avx512vl,+avx512vnni,+avx512bf16,+avx2,+fma,+amx-tile,+amx-bf16,+amx-int8"
ALL_FEATURES = set(FEATURES.replace("+", "").split(","))

PRODUCTS = """
import amx_emulation
import numpy as np
from minibert.kernels.catalog import make_ops, variants
from minibert.kernels.ops.linear_bf16 import to_bf16

random = np.random.default_rng(0)
SHAPES = (1, 32, 32), (3, 61, 37), (16, 64, 48), (17, 384, 33), (32, 96, 32), (33, 768, 70), (70, 259, 65), (40, 3200, 32), (9, 6400, 5), (150, 800, 200)
normal = lambda *shape: random.normal(size=shape).astype(np.float32)
rounded = lambda x: (to_bf16(x).astype(np.uint32) << 16).view(np.float32)
exact, bf16, int8 = (variants("linear")[name] for name in ("amx", "amx_bf16", "amx_int8_tile"))
for variant, round in (exact, np.float32), (bf16, rounded):
    for rows, inputs, outputs in SHAPES:
        x, weight, bias = normal(rows, inputs), normal(outputs, inputs), normal(outputs)
        expected = round(x).astype(np.float64) @ round(weight).astype(np.float64).T + bias
        packed = variant.pack_weights(weight, bias)
        y = variant.function(x, *packed)
        assert abs(y - expected).max() <= 1e-6 * np.abs(expected).max(), (rows, inputs, outputs)
        for row in {0, rows // 2, rows - 1}:
            assert np.array_equal(y[row], variant.function(x[row : row + 1], *packed)[0])
        if variant is bf16:
            assert np.array_equal(y, variant.function(x, *variant.repack_weights(weight, bias)))

reference = variants("linear")["int8_reference"]
for rows, inputs, outputs in SHAPES:
    x, weight, bias = normal(rows, inputs), normal(outputs, inputs) * np.linspace(0.1, 3, inputs, dtype=np.float32), normal(outputs)
    y = int8.function(x, *int8.pack_weights(weight, bias))
    assert np.array_equal(y, reference.function(x, *reference.pack_weights(weight, bias))), (rows, inputs, outputs)
assert make_ops({"linear": "amx_int8_tile"}).names["linear_gelu"] == "amx_int8"
assert make_ops({"linear": "int8_tile"}).names["linear_gelu"] == "int8"

x, residual = normal(45, 128), normal(45, 96)
parameters = normal(96, 128), normal(96), normal(96, 128), normal(96), normal(96, 128), normal(96)
for preset, name, plain in (("fast", "amx", exact), ("bf16", "amx_bf16", bf16), ("int8", "amx_int8", int8)):
    assert make_ops(preset).names["linear_gelu"] == make_ops(preset).names["query_key_value"] == name
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
SPLIT = """
import amx_emulation
import numpy as np
from minibert.kernels.catalog import variants

amx, register = variants("linear")["amx"], variants("linear")["register"]
random = np.random.default_rng(0)
normal = lambda *shape: random.normal(size=shape).astype(np.float32)

def both(x, weight):
    zeros = np.zeros(len(weight), np.float32)
    return [variant.function(x, *variant.pack_weights(weight, zeros)) for variant in (amx, register)]

def root_mean_square(error):
    return np.sqrt(np.square(error.astype(np.float64)).mean())

# no less exact than float32 products: rows as they are, with outliers, and of all magnitudes
def outliers(x):
    x[:, ::97] *= 30
    return x
def magnitudes(x):
    return (np.sign(x) * np.exp2(random.uniform(-60, 60, x.shape))).astype(np.float32)
for inputs in (384, 768, 3072):
    for change in (lambda x: x, outliers, lambda x: x * np.float32(2.0 ** -60), lambda x: x * np.float32(2.0 ** 50), magnitudes):
        x, weight = change(normal(64, inputs)), change(normal(64, inputs))
        expected = x.astype(np.float64) @ weight.astype(np.float64).T
        split, plain = both(x, weight)
        if change is magnitudes:  # sums that nearly cancel make both large
            scale = np.abs(x.astype(np.float64)) @ np.abs(weight.astype(np.float64)).T
            split, plain, expected = split / scale, plain / scale, expected / scale
        errors = root_mean_square(split - expected), root_mean_square(plain - expected)
        assert errors[0] < (1.15 if change is magnitudes else 0.7) * errors[1], (inputs, errors)

# more products than the powers of two leave room for
x, weight = np.full((1, 20_000), 3.9, np.float32), np.full((3, 20_000), 3.9, np.float32)
assert np.allclose(both(x, weight)[0], 3.9 * 3.9 * 20_000, rtol=1e-5)

# the least and the largest numbers: what float32 gives, to within 2^-100
for of_x, of_weight in ((-140, 0), (-140, -140), (-149, 20), (127, -20), (58, 58), (120, -120), (-80, 100)):
    x, weight = (normal(20, 64).clip(-1.5, 1.5) * 2.0 ** power for power in (of_x, of_weight))
    x, weight = x.astype(np.float32), weight.astype(np.float32)
    expected = x.astype(np.float64) @ weight.astype(np.float64).T
    split, plain = both(x, weight)
    assert np.isfinite(split).all() == np.isfinite(plain).all() == True
    assert (np.abs(split - expected) <= 2.0 ** -100 + 1e-6 * (np.abs(x) @ np.abs(weight).T.astype(np.float64))).all(), (of_x, of_weight)

# weights with a last bit alone after their high part, down to the smallest that are split, and below
for power in range(-140, -80):
    x, weight = np.array([[0, np.inf]], np.float32), np.array([[2.0**60, 2.0**power * (1 + 2.0**-23)]], np.float32)
    assert both(x, weight)[0] == np.float32(np.inf) * weight[0, 1], power

# infinity and NaN where float32 has them, and nowhere else
special = np.array([0, -0.0, 1, -1, 2.5, 1 / 3, np.inf, -np.inf, np.nan, 3.4e38, 1e-45, 2.0 ** -126, -1e-30], np.float32)
for chance, of_weight in ((0.02, special), (0.02, special[np.isfinite(special)]), (0.2, special[[0, 1, 2, 3, 4, 5, 12]])):
    x, weight = normal(50, 64), normal(70, 64)
    for array, choice in ((x, special), (weight, of_weight)):
        chosen = random.random(array.shape) < chance
        array[chosen] = random.choice(choice, chosen.sum())
    with np.errstate(all="ignore"):
        expected = (x.astype(np.float64)[:, None] * weight.astype(np.float64)[None]).sum(2)
    y = both(x, weight)[0]
    largest = [np.where(np.isfinite(array), np.abs(array), 0).max(1) for array in (x, weight)]
    judged = np.maximum.outer(*largest) < 1e38  # sums of larger numbers may or may not be too large for a float32
    same = np.where(np.isnan(expected), np.isnan(y), np.where(np.isfinite(expected), np.isfinite(y), y == expected))
    assert judged.sum() > 300 and same[judged].all(), (chance, judged.sum(), same[judged].mean())
"""
ATTENTION = """
import amx_emulation
import numpy as np
from minibert.kernels.catalog import make_ops, variants

assert make_ops("bf16").names["attention"] == make_ops("int8").names["attention"] == "amx_bf16"
random = np.random.default_rng(0)
on_tiles, exact = (variants("attention")[name].function for name in ("amx_bf16", "register"))
for lengths, heads, size in ((1,), 2, 32), ((5, 33, 7), 3, 64), ((40, 64, 100), 2, 32), ((300,), 1, 64), ((17, 3), 2, 96), ((9, 20), 2, 24):
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    query, key, value = (random.normal(size=(bounds[-1], heads * size)).astype(np.float32) for _ in range(3))
    bias = random.normal(size=(heads, max(lengths), max(lengths))).astype(np.float32)
    for mask in (None, random.random(bounds[-1]) < 0.7):
        for more in ((), (bias,), (None, 5)):
            y, expected = (function(query, key, value, bounds, mask, heads, *more) for function in (on_tiles, exact))
            assert np.abs(y - expected).max() <= 0.01 * np.abs(expected).max(), (lengths, heads, size)
            first, end = bounds[-2:]  # the last sequence alone
            alone = (array[first:end] for array in (query, key, value))
            unmasked = None if mask is None else mask[first:end]
            assert np.array_equal(on_tiles(*alone, np.array([0, end - first]), unmasked, heads, *more), y[first:])

# what is not a number stays so
full = np.full((1, 40, 40), 0xFFFFFFFF, np.uint32).view(np.float32)
for count in (5, 32, 40):
    huge, ones, bounds = np.full((count, 64), 3e38, np.float32), np.ones((count, 64), np.float32), np.array([0, count])
    for scored, more in ((huge, ()), (ones, (full,))):
        for attention in (on_tiles, exact):
            assert np.isnan(attention(scored, -scored, ones, bounds, None, 1, *more)).all(), (count, more)
no_keys = np.array([0, 3, 3, 8])
assert np.isnan(on_tiles(ones[:3], ones[:8], ones[:8], no_keys, None, 1)[1]).all()
"""
MODELS = """
import amx_emulation
import numpy as np
from batch_invariance import SIZES, check
import minibert
from minibert.kernels.catalog import make_ops

random = np.random.default_rng(0)
rows = [random.integers(0, 50, length) for length in (1, 7, 33, 90)]
masks = [np.where(np.arange(len(row)) % 5 == 4, 0, 1) for row in rows]
config = minibert.DistilBertConfig(**SIZES["middling"], initializer_range=0.2)
for kernels in ("fast", "bf16", "int8"):
    model = minibert.DistilBertModel(config, kernels=kernels, seed=0)
    assert "amx" in model.kernels.names["linear_add"]
    check(model, rows, masks, more_padding=5)
without = {name: chosen.replace("amx_int8", "int8") for name, chosen in model.kernels.names.items() if " + " not in chosen}
on_registers = minibert.DistilBertModel(config, kernels=without, seed=0)
assert on_registers.kernels.names["linear_add"] == "int8"
assert np.array_equal(model(rows[3][None])[0], on_registers(rows[3][None])[0])
"""
FEED_FORWARD = """
import amx_emulation
import numpy as np
from minibert.kernels.catalog import make_ops

random, ops = np.random.default_rng(0), make_ops("bf16")
normal = lambda *shape: random.normal(size=shape).astype(np.float32)
for rows, inputs, inner, agreed in (
    (1, 32, 64, True), (3, 61, 96, True), (16, 37, 32, True), (17, 96, 3200, True), (33, 1536, 64, True), (70, 70, 192, True),
    (600, 40, 64, True), (0, 40, 64, True), (5, 40, 70, False), (5, 1600, 64, False),
):
    x, first, second = normal(rows, inputs), (normal(inner, inputs), normal(inner)), (normal(inputs, inner), normal(inputs))
    x[rows // 2 : rows // 2 + 1, :2] = np.nan, 1e-40
    second = ops.pack_weights("linear_add", *second)
    for operation in ("linear_gelu", "linear_gelu_tanh", "linear_relu", "linear_silu"):
        apart = getattr(ops, operation)(x, *ops.pack_weights(operation, *first))
        together = getattr(ops, operation)(x, *ops.pack_weights(operation, *first, reader="linear_add"))
        assert together.dtype == (np.uint32 if agreed else np.float32), (rows, inputs, inner)
        y = ops.linear_add(together, x, *second)
        assert np.array_equal(y, ops.linear_add(apart, x, *second), equal_nan=True), (rows, inputs, inner, operation)
        assert y.shape == x.shape and np.isfinite(np.delete(y, slice(rows // 2, rows // 2 + 1), axis=0)).all()
mixed = make_ops({"linear_gelu": "amx_bf16", "linear_add": "amx_int8"})
packed = mixed.pack_weights("linear_gelu", normal(64, 32), normal(64), reader="linear_add")
assert mixed.linear_gelu(normal(3, 32), *packed).dtype == np.float32
"""
ROUNDED = """
import amx_emulation
import numpy as np
import pytest
import minibert
from minibert.errors import KernelError
from minibert.kernels.catalog import make_ops, variants
from minibert.kernels.ops.linear_bf16 import to_bf16

random, attention = np.random.default_rng(0), variants("attention")["amx_bf16"].function
normal = lambda *shape: random.normal(size=shape).astype(np.float32)

# an attention's input rounded before it: the same bits
for lengths, heads, size in ((1,), 2, 64), ((5, 33, 7), 3, 64), ((40, 64, 100), 1, 64), ((300,), 1, 64), ((17, 70), 1, 256):
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    arrays = [normal(bounds[-1], heads * size) for _ in range(3)]
    for array in arrays[1:]:
        array[-1, :3] = np.inf, np.nan, -np.inf
    rounded, bias = [to_bf16(array) for array in arrays], normal(heads, max(lengths), max(lengths))
    for mask in (None, random.random(bounds[-1]) < 0.7, np.arange(bounds[-1]) >= bounds[1]):
        for more in ((), (bias,), (None, 5)):
            y, expected = (attention(*each, bounds, mask, heads, *more) for each in (rounded, arrays))
            assert np.array_equal(y, expected, equal_nan=True), (lengths, size)
    rows = bounds[:-1]  # a query for each sequence
    y, expected = (attention(each[0][rows].copy(), *each[1:], bounds, None, heads) for each in (rounded, arrays))
    assert np.array_equal(y, expected, equal_nan=True)

# the product's output, rounded while it is stored; not if a panel has padding, or k is multiplied in parts
for preset in ("bf16", "int8"):
    ops = make_ops(preset)
    for rows, inputs, outputs, can in (
        (1, 64, 64, True), (17, 192, 96, True), (33, 768, 64, True), (0, 64, 32, True), (3, 64, 70, False), (3, 3136, 32, False),
    ):
        x, packed = normal(rows, inputs), ops.pack_weights("query_key_value", *(normal(outputs, inputs), normal(outputs)) * 3)
        for query_input in (x, x[: rows // 2].copy()):
            floats = ops.query_key_value(query_input, x, *packed)
            halves = ops.query_key_value(query_input, x, *packed, rounded=True)
            for one, other in zip(floats, halves):
                expected = to_bf16(one) if can else one
                assert other.dtype == expected.dtype and np.array_equal(other, expected), (preset, rows, inputs, outputs)
    assert ops.attention_takes_rounded(64) and ops.attention_takes_rounded(256)
    assert not any(map(ops.attention_takes_rounded, (1, 16, 32, 48, 96, 128)))
assert not any(make_ops(kernels).attention_takes_rounded(64) for kernels in ("fast", "reference", {"linear": "amx_bf16"}))
wide = np.zeros((5, 48), np.uint16)
with pytest.raises(KernelError, match="have a size of 64, 256 or 1024; got 48. Pass float32"):
    attention(wide, wide, wide, np.array([0, 5]), None, 1)

# a whole model: attentions are of floats
config = minibert.BertConfig(
    vocab_size=60, hidden_size=128, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, initializer_range=0.3
)
ids, mask = random.integers(0, 60, (3, 40)), np.arange(40) < [[40], [7], [21]]
for kernels in ("bf16", "int8"):
    model = minibert.BertModel(config, kernels=kernels, seed=0)
    plain = model(input_ids=ids, attention_mask=mask)
    full = model(input_ids=ids, attention_mask=mask, output_attentions=True)
    assert np.array_equal(plain.last_hidden_state, full.last_hidden_state)
    per_query = model(input_ids=ids, attention_mask=np.repeat(mask[:, None], 40, axis=1))
    assert np.abs(per_query.last_hidden_state - plain.last_hidden_state)[mask].max() < 0.05
"""
GRADIENTS = """
import amx_emulation
import numpy as np
from minibert.kernels.catalog import make_training_ops, variants
from minibert.kernels.registry import TRAINING
random = np.random.default_rng(0)
y_grad, x, weight = (random.normal(size=shape).astype(np.float32) for shape in ((45, 70), (45, 61), (70, 61)))
exact = make_training_ops("reference").linear_grad(*(array.astype(np.float64) for array in (y_grad, x, weight)))
assert make_training_ops("fast").names["linear_grad"] == "register"
assert {make_training_ops("bf16").names[name] for name in ("linear", "linear_grad", "query_key_value_grad")} == {"amx_bf16"}
for name, tolerance in (("amx_bf16", 0.01), ("amx", 2e-6)):
    for got, expected in zip(TRAINING.variants["linear_grad"][name].function(y_grad, x, weight), exact):
        assert abs(got - expected).max() <= tolerance * abs(expected).max(), (name, abs(got - expected).max())

# a weight that is packed in each step: the bits of one that is packed once; one that has diverged gives nothing that is finite
amx, bias = variants("linear")["amx"], random.normal(size=70).astype(np.float32)
y = amx.function(x, *amx.pack_weights(weight, bias))
assert np.array_equal(amx.function(x, *amx.repack_weights(weight, bias)), y)
diverged = weight.copy()
diverged[[3, 50], 7] = np.inf, np.nan
y_of_diverged = amx.function(x, *amx.repack_weights(diverged, bias))
assert not np.isfinite(y_of_diverged[:, [3, 50]]).any()
assert np.array_equal(np.delete(y_of_diverged, [3, 50], axis=1), np.delete(y, [3, 50], axis=1))
many = [random.normal(size=(16_500, size)).astype(np.float32) for size in (3, 5)]  # more rows than sums of tiles have room for
assert np.allclose(TRAINING.variants["linear_grad"]["amx"].function(*many, weight[:3, :5])[1], many[0].T @ many[1], atol=0.01)
"""


THREADS_AND_FORKS = """
import amx_emulation
import os
import signal
import numpy as np
from concurrency import run_concurrently
from minibert.kernels.catalog import variants

random, ticks, wrong = np.random.default_rng(0), [], []
x = random.normal(size=(90, 64)).astype(np.float32)
names = ("amx", "amx_bf16", "amx_int8_tile")
products = [variants("linear")[name] for name in names]
packed = [product.pack_weights(random.normal(size=(70, 64)).astype(np.float32), np.zeros(70, np.float32)) for product in products]
expected = [product.function(x, *weights) for product, weights in zip(products, packed)]

def multiply(seed):
    choose = np.random.default_rng(seed)
    for _ in range(30):
        i, first = choose.integers(len(names)), choose.integers(80)
        end = first + choose.integers(1, 91 - first)
        if not np.array_equal(products[i].function(x[first:end], *packed[i]), expected[i][first:end]):
            wrong.append((names[i], first, end))

signal.signal(signal.SIGALRM, lambda number, frame: ticks.append(number))
signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
run_concurrently(multiply, 4)
child = os.fork()
if child == 0:
    multiply(9)
    os._exit(len(wrong))
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
multiply(9)
signal.setitimer(signal.ITIMER_REAL, 0)
assert ticks and not wrong, wrong
"""


OF_A_CHILD = """
import amx_emulation, subprocess, sys
from minibert.kernels.compiler.object_cache import cache_root
child = "from minibert.kernels.compiler.object_cache import cache_root; print(cache_root())"
printed = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, check=True).stdout
assert str(cache_root()) != printed.strip() == {cache!r}
"""


def run(code, **environment):
    path = os.pathsep.join([str(SUPPORT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = environment_with(PYTHONPATH=path, **environment)
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)


def run_emulated(code, **environment):
    done = run(code, **environment)
    assert done.returncode == 0, done.stderr


EMULATED = pytest.mark.skipif(
    platform.machine() != "x86_64" or sys.platform != "linux", reason="tile instructions trap only where they could be run"
)


@EMULATED
@pytest.mark.parametrize(
    "code",
    [PRODUCTS, SPLIT, FEED_FORWARD, ATTENTION, ROUNDED, MODELS, GRADIENTS],
    ids=["products", "split", "feed_forward", "attention", "rounded", "models", "gradients"],
)
def test_tiles_give_what_the_formulas_say(code):
    run_emulated(code)


WITHOUT_CONFIGURATION = """
import amx_emulation
import numpy as np
from minibert.kernels.catalog import variants
from minibert.kernels.gemm import amx
amx.ldtilecfg = lambda builder: None
product = variants("linear")["amx_bf16"]
product.function(np.ones((3, 32), np.float32), *product.pack_weights(np.ones((32, 32), np.float32), np.ones(32, np.float32)))
"""


@EMULATED
def test_a_kernel_that_does_not_configure_its_tiles_ends_the_process():
    """As on a processor that has tiles: an emulation that allowed it would hide it."""
    assert run(WITHOUT_CONFIGURATION).returncode == -signal.SIGILL


@EMULATED
def test_tiles_of_many_threads_in_a_forked_child_and_under_a_timer():
    """A thread has tiles of its own, which it configures in each task loop; a signal comes between any two instructions."""
    run_emulated(THREADS_AND_FORKS)


@EMULATED
def test_a_process_that_an_emulated_one_starts_reads_none_of_its_kernels(tmp_path):
    """They are made for wider vectors than its own shapes say, and would write past its arrays."""
    run_emulated(OF_A_CHILD.format(cache=str(tmp_path)), NUMBA_CACHE_DIR=str(tmp_path))


@pytest.mark.skipif(platform.machine() != "x86_64", reason="names processors of one kind")
@pytest.mark.parametrize(
    ("spec", "panels", "scratch", "instruction"),
    [
        ("ops.linear_amx.AMX_F32", ArrayType("B", 3), "array(2), array(3)", "tdpbf16ps"),
        ("ops.linear_amx.AMX_BF16", ArrayType("B", 3), "array(2), array(2)", "tdpbf16ps"),
        ("ops.linear_amx.AMX_BF16_TO_PACKED", ArrayType("B", 3), "array(2), array(2)", "tdpbf16ps"),
        ("ops.linear_amx.AMX_BF16_ROUNDED", ArrayType("B", 3), "array(2), array(2)", "tdpbf16ps"),
        ("ops.linear_amx.AMX_INT8", ArrayType("b", 3), "array(3), array(3)", "tdpbusd"),
        ("ops.linear_amx.AMX_INT8_ROUNDED", ArrayType("b", 3), "array(3), array(3)", "tdpbusd"),
    ],
)
def test_a_block_uses_the_processors_own_instructions(spec, panels, scratch, instruction, tmp_path):
    """Compiled here whether or not this machine could run it: four products for a tall block, two for a short one, and LLVM may
    copy each. After each pair of parts, which is four or two, the epilogue of the block before goes on, in a call."""
    code = "import minibert.kernels.compiler.cpu as cpu; cpu.HAS_AMX = True;" + assembly_of(spec, panels, scratch)
    environment = {"NUMBA_CPU_NAME": "sapphirerapids", "NUMBA_CPU_FEATURES": FEATURES, "NUMBA_CACHE_DIR": str(tmp_path)}
    process = subprocess.run([sys.executable, "-c", code], env=environment_with(**environment), capture_output=True, text=True)
    lines = process.stdout.split("\n")
    counts = {name: sum(line.startswith(f"\t{name}") for line in lines) for name in (instruction, "ldtilecfg", "tilerelease")}
    assert counts.pop(instruction) >= 6 and counts == {"ldtilecfg": 1, "tilerelease": 1}, process.stderr
    start = next(i for i, line in enumerate(lines) if line.startswith("minibert_block_"))
    block = lines[start : next(i for i in range(start, len(lines)) if lines[i].startswith(".Lfunc_end"))]
    pairs = 6 if spec.endswith("F32") else 1
    assert sum(line.startswith("\tcall") for line in block) >= 2 * (pairs + 1)  # tall and short; and once for what is left


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
        (ALL_FEATURES, False, f"not used: {cpu.REFUSED}"),
        ({"avx2"}, False, "not used: kernels are compiled for a processor without it"),
    ],
)
def test_why_tiles_are_not_used_is_said(features, used, said, monkeypatch):
    monkeypatch.setattr(cpu, "FEATURES", features)
    monkeypatch.setattr(cpu, "HAS_AMX", used)
    assert cpu.describe_amx() == said


def test_a_preset_that_falls_back_warns_once(monkeypatch):
    monkeypatch.setattr(cpu, "FEATURES", ALL_FEATURES)
    monkeypatch.setattr(cpu, "HAS_AMX", False)
    for make, preset in [*((make_ops, name) for name in ("auto", "fast", "bf16", "int8")), (make_training_ops, "bf16")]:
        cpu.warn_if_refused.cache_clear()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            make_ops("reference")
            make_training_ops("reference")
            make_training_ops("fast")  # which uses no tiles anywhere
            assert not caught
            make(preset)
            make(preset)
        cpu.warn_if_refused.cache_clear()
        assert [warning.category for warning in caught] == [MinibertWarning], preset
        assert "does not give its tiles" in str(caught[0].message) and "MINIBERT_ISA=avx512" in str(caught[0].message)


@pytest.mark.skipif(cpu.HAS_AMX, reason="this machine has the variants")
@pytest.mark.parametrize(("operation", "name"), [("linear", "amx"), ("linear", "amx_bf16"), ("linear_add", "amx_int8")])
def test_a_variant_on_tiles_that_is_named_where_there_are_none_is_an_error_that_says_why(operation, name):
    with pytest.raises(KernelError, match="the variants of .* got 'amx.* here it is not used: "):
        make_ops({operation: name})


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
