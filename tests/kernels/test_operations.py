"""Every variant of every operation against the reference in float64; and the comparison itself against broken ones."""

import math
import subprocess
import sys

import numpy as np
import pytest
from kernel_cases import MAKERS, all_operations, cases, cast, error, table_with, tolerance

from minibert.errors import KernelError
from minibert.kernels.catalog import PRESETS, make_ops, variants
from minibert.kernels.reference import erf
from minibert.kernels.registry import Variant
from minibert.kernels.runtime import buffer_pool

EVERY = [(operation, name) for operation in all_operations() for name in variants(operation)]


@pytest.mark.parametrize(("operation", "name"), EVERY)
def test_a_variant_agrees_with_the_reference_on_every_case(operation, name):
    variant = variants(operation)[name]
    for case, arrays in cases(operation).items():
        assert error(table_with(variant), operation, arrays) <= variant.tolerance, case


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("operation", all_operations())
def test_a_preset_agrees_with_the_reference_on_every_operation(preset, operation):
    ops = make_ops(preset)
    for case, arrays in cases(operation).items():
        assert error(ops, operation, arrays) <= tolerance(ops, operation), case


@pytest.mark.parametrize("operation", ["layer_norm", "gelu", "gelu_tanh", "relu", "silu", "embed"])
def test_nontemporal_stores_give_the_same_bits(operation, monkeypatch):
    inputs, _ = cast(MAKERS[operation](np.random.default_rng(0), 67, 80, 80), np.float32)
    within = variants(operation)["vector"].function(*inputs)
    monkeypatch.setattr(buffer_pool, "LLC_FLOATS", buffer_pool.MIN_POOLED_FLOATS)
    beyond = variants(operation)["vector"].function(*inputs)
    assert buffer_pool.exceeds_llc(beyond) and np.array_equal(within, beyond)


def attention_formula(query, key, value, bounds, key_mask, heads, bias, window):
    """One query and one head at a time, in float64: softmax(q kᵀ / √Dh + bias) v over the keys it sees."""
    query, key, value = (x.astype(np.float64).reshape(len(x), heads, -1) for x in (query, key, value))
    context = np.zeros_like(query)
    one_each = len(query) != bounds[-1]
    for sequence, (start, stop) in enumerate(zip(bounds[:-1], bounds[1:])):
        for i, row in enumerate([sequence] if one_each else range(start, stop)):
            sees = np.ones(stop - start, bool) if key_mask is None else key_mask[start:stop].copy()
            scores = np.einsum("hd,khd->hk", query[row], key[start:stop]) / math.sqrt(query.shape[2])
            if bias is not None:
                scores += bias[:, i, : stop - start]
            if window is not None:
                sees &= np.abs(i - np.arange(stop - start)) <= window
            elif not sees.any():
                scores, sees = scores * 0, ~sees
            if sees.any():
                weights = np.exp(scores - scores[:, sees].max(1, keepdims=True)) * sees
                context[row] = np.einsum("hk,khd->hd", weights / weights.sum(1, keepdims=True), value[start:stop])
    return context.reshape(len(query), -1)


@pytest.mark.parametrize("masked", ["nothing", "some", "a sequence"])
@pytest.mark.parametrize("window", [None, 0, 3, 40])
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("name", ["composed", "naive", "register", "bf16"])
def test_attention_takes_a_bias_and_a_window(name, with_bias, window, masked):
    """Sequences of odd lengths, heads of 13 values; a query each of all tokens, and one of each sequence."""
    random, bounds, heads = np.random.default_rng(0), np.array([0, 1, 70, 107, 138]), 3
    query, key, value = random.normal(size=(3, 138, 39)).astype(np.float32)
    bias = random.normal(size=(heads, 71, 71)).astype(np.float32) * 2 if with_bias else None
    key_mask = {"nothing": None, "some": random.random(138) < 0.6, "a sequence": np.arange(138) < 107}[masked]
    if name == "composed":
        function, tolerance = make_ops("reference").attention, 2e-6
    else:
        function, tolerance = variants("attention")[name].function, variants("attention")[name].tolerance
    for queries in (query, query[bounds[:-1]]):
        expected = attention_formula(queries, key, value, bounds, key_mask, heads, bias, window)
        context = function(queries, key, value, bounds, key_mask, heads, bias, window)
        assert context.dtype == np.float32
        assert np.abs(context - expected).max() <= tolerance * max(np.abs(expected).max(), 1e-30)


def test_every_operation_has_cases():
    assert set(MAKERS) == set(all_operations())


BROKEN = {
    "linear forgets the bias": ("linear", lambda x, weight, bias: x @ weight.T),
    "linear forgets the last column": ("linear", lambda x, weight, bias: x[:, :-1] @ weight[:, :-1].T + bias),
    "softmax forgets the mask": ("softmax", lambda scores, mask: make_ops("reference").softmax(scores, None)),
    "layer_norm forgets the mean": ("layer_norm", lambda x, w, b, eps: x / np.sqrt((x * x).mean(-1)[:, None]) * w + b),
    "gelu is the other gelu": ("gelu", lambda x: make_ops("reference").gelu_tanh(x)),
    "relu gives NaN": ("relu", lambda x: x * np.float32(np.nan)),
    "silu gives float64": ("silu", lambda x: make_ops("reference").silu(x.astype(np.float64))),
    "attention sees its neighbors": (
        "attention",
        lambda q, k, v, bounds, mask, heads: make_ops("reference").attention(q, k, v, bounds[[0, -1]], mask, heads),
    ),
}


@pytest.mark.parametrize("bug", BROKEN)
def test_the_comparison_detects_a_broken_kernel(bug):
    operation, function = BROKEN[bug]
    broken = table_with(Variant(operation, "broken", function, 0, "none"))
    assert max(error(broken, operation, case) for case in cases(operation).values()) > 1e-5


def test_erf_is_the_standard_library_s_to_1e_10():
    x = np.linspace(-7, 7, 20_001)
    assert np.abs(erf(x) - [math.erf(value) for value in x]).max() < 1e-10
    assert erf(np.array([np.inf, -np.inf])).tolist() == [1, -1]


def test_the_reference_runs_without_importing_numba():
    code = (
        "import sys; from minibert import DistilBertConfig, DistilBertModel;"
        "c = DistilBertConfig(vocab_size=9, dim=8, n_layers=1, n_heads=2, hidden_dim=8, max_position_embeddings=4);"
        "DistilBertModel(c, kernels='reference')([[1, 2]]); sys.exit('numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_mapping_puts_a_variant_into_every_operation_made_of_it():
    chosen = make_ops({"linear": "naive"}).names
    assert chosen["linear"] == "naive" and chosen["softmax"] == make_ops("auto").names["softmax"]
    assert chosen["query_key_value"] == "linear" and chosen["linear_gelu"] == "linear + gelu"


def test_a_table_prints_what_was_chosen():
    assert "attention         naive" in str(make_ops("naive"))
    assert str(make_ops("auto")).startswith("preset: fast\n") and not str(make_ops({})).startswith("preset")


@pytest.mark.parametrize(
    ("kernels", "message"),
    [
        ("quick", "kernels is one of 'auto', 'reference', 'naive'"),
        (3, "kernels is one of"),
        (
            {"linear": "quick"},
            "the variants of 'linear' are: reference, naive, tiled, tiled_4x4, packed, blocked, threads, register.*; got 'quick'",
        ),
        ({"conv": "naive"}, "the operations are: linear, "),
        ({"linear_add": "naive"}, "the variants of 'linear_add' are: register.*; got 'naive'"),
    ],
)
def test_an_unknown_kernel_is_refused_with_the_ones_there_are(kernels, message):
    with pytest.raises(KernelError, match=message):
        make_ops(kernels)


@pytest.mark.parametrize("old, new", [("turned", "transposed"), ("paired", "bf16")])
def test_a_variants_former_name_is_still_accepted(old, new):
    assert make_ops({"attention": old}).names["attention"] == new


@pytest.mark.skipif(sys.platform != "linux", reason="protects memory as Linux does")
def test_a_tile_reads_nothing_past_the_end_of_a_residual_that_is_no_whole_panels():
    """The residual ends where memory does; in a process of its own, which reading on would end."""
    code = """
import ctypes, numpy as np
from minibert.kernels.catalog import variants
system, size = ctypes.CDLL(None), 1 << 16
system.mmap.restype = ctypes.c_void_p
system.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
system.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
start = system.mmap(None, 2 * size, 3, 0x22, -1, 0)
assert system.mprotect(start + size, size, 0) == 0
residual = np.frombuffer((ctypes.c_float * 280).from_address(start + size - 4 * 280), np.float32).reshape(7, 40)
residual[:] = 1
for name in ("register", "bf16", "int8"):
    made = variants("linear_add")[name]
    found = made.function(np.ones((7, 40), np.float32), residual, *made.pack_weights(np.eye(40, dtype="f"), np.zeros(40, "f")))
    assert np.abs(found - 2).max() < 0.1
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
