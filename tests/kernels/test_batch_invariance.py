"""Batch invariance: a sequence's outputs are the same bits alone and in any batch, with any padding, on one thread or two."""

import numpy as np
import pytest
from batch_invariance import SIZES, batches, check, padded
from hypothesis import given, settings
from hypothesis import strategies as st

import minibert
from minibert.kernels.catalog import make_ops, variants
from minibert.kernels.ops.attention_f32 import partition_queries
from minibert.kernels.runtime.thread_count import set_num_threads

MODELS = {
    name: minibert.DistilBertModel(minibert.DistilBertConfig(**sizes, initializer_range=0.2), kernels="fast", seed=0)
    for name, sizes in SIZES.items()
}


@settings(max_examples=60, deadline=None)
@given(batches(longest=40), st.integers(0, 20))
def test_a_tiny_model_gives_a_sequence_the_same_bits_in_any_batch(batch, more_padding):
    check(MODELS["tiny"], *batch, more_padding)


@settings(max_examples=12, deadline=None)
@given(batches(longest=290), st.integers(0, 10))
def test_a_middling_model_gives_a_sequence_the_same_bits_in_any_batch(batch, more_padding):
    check(MODELS["middling"], *batch, more_padding)


def test_the_order_of_a_batch_changes_no_bit():
    rows = padded([np.arange(length) for length in (1, 7, 40, 13, 29)], 40)
    mask = padded([np.ones(length, int) for length in (1, 7, 40, 13, 29)], 40)
    forwards = MODELS["tiny"](rows, mask)[0]
    assert np.array_equal(MODELS["tiny"](rows[::-1], mask[::-1])[0][::-1], forwards)


@pytest.mark.parametrize("name", ["register", "bf16"])
@pytest.mark.parametrize("lengths", [(300,), (7, 260), (1, 33, 600)])
def test_attention_has_the_same_bits_however_its_queries_are_divided(name, lengths):
    random = np.random.default_rng(0)
    bounds = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    arrays = [random.normal(size=(bounds[-1], 48)).astype(np.float32) for _ in range(3)]
    attention = variants("attention")[name].function
    answers, blocks = [], set()
    for threads in (1, 2, 12, 40):
        set_num_threads(threads)
        blocks.add(partition_queries(np.diff(bounds), 2)[0])
        answers.append(np.array(attention(*arrays, bounds, None, 2)))
    assert len(blocks) > 1 and all(np.array_equal(answer, answers[0]) for answer in answers)


LINEARS = ["linear", "linear_gelu", "linear_gelu_tanh", "linear_relu", "linear_silu"]


@pytest.mark.parametrize("operation", LINEARS)
def test_a_row_of_a_product_is_the_same_whatever_the_number_of_rows(operation):
    """Every tile of 1 to 12 rows, a full one, and tasks of several blocks; outputs that fill no panel."""
    random = np.random.default_rng(0)
    x = random.normal(size=(210, 300)).astype(np.float32)
    register = variants(operation)["register"]
    packed = register.pack_weights(random.normal(size=(83, 300)).astype(np.float32), random.normal(size=83).astype(np.float32))
    all_rows = register.function(x, *packed)
    for rows in (*range(1, 14), 25, 97, 130):
        assert np.array_equal(register.function(x[-rows:], *packed), all_rows[-rows:]), rows


def test_a_fused_epilogue_is_the_activation_of_the_product_to_the_bit():
    random = np.random.default_rng(0)
    x, weight = (random.normal(size=size).astype(np.float32) for size in ((33, 70), (45, 70)))
    ops = make_ops("fast")
    packed = ops.pack_weights("linear", weight, weight[:, 0].copy())
    for activation in ("gelu", "gelu_tanh", "relu", "silu"):
        unfused = getattr(ops, activation)(ops.linear(x, *packed))
        assert np.array_equal(getattr(ops, f"linear_{activation}")(x, *packed), unfused)


@pytest.mark.parametrize("width", [1, 7, 24, 61, 100, 768, 1030, 2100])
def test_a_row_is_normalized_to_the_same_bits_at_any_index(width):
    """Layer norm takes two rows at a time: this row may be the first, the second, or a last one that is its own second."""
    random = np.random.default_rng(0)
    x, (weight, bias) = (random.normal(size=(rows, width)).astype(np.float32) for rows in (39, 2))
    ids, zeros = np.arange(len(x)), np.zeros(len(x), int)
    for operation, inputs in (("layer_norm", [x]), ("softmax", [x]), ("embed", [ids, zeros, zeros])):
        parameters = {"layer_norm": (weight, bias, 1e-12), "embed": ((x, x, x), weight, bias, 1e-12)}.get(operation, ())
        function = variants(operation)["vector"].function
        all_rows = function(*inputs, *parameters)
        for first in (1, 2, 3, 21, 22, 37, 38):
            assert np.array_equal(function(*(array[first:] for array in inputs), *parameters), all_rows[first:]), operation
