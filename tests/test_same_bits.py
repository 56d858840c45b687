"""A sequence's outputs are the same bits alone and in any batch, at any position, with any padding, on one thread or two."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minibert
from minibert.kernels.catalog import make_ops, variants
from minibert.kernels.runtime.thread_count import get_num_threads, set_num_threads

SIZES = {
    "tiny": dict(vocab_size=50, dim=24, n_layers=2, n_heads=3, hidden_dim=37, max_position_embeddings=64),
    "middling": dict(vocab_size=50, dim=192, n_layers=2, n_heads=3, hidden_dim=400, max_position_embeddings=300),
}
MODELS = {
    name: minibert.DistilBertModel(minibert.DistilBertConfig(**sizes, initializer_range=0.2), kernels="fast", seed=0)
    for name, sizes in SIZES.items()
}


@pytest.fixture(autouse=True)
def threads_as_before():
    before = get_num_threads()
    yield
    set_num_threads(before)


@st.composite
def batches(draw, longest):
    """Rows of ids with masks of any shape, the first token's always 1."""
    lengths = draw(st.lists(st.integers(1, longest), min_size=1, max_size=9))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows = [random.integers(0, 50, length) for length in lengths]
    masks = [np.where(random.random(length) < draw(st.sampled_from((0.0, 0.3))), 0, 1) for length in lengths]
    for mask in masks:
        mask[0] = 1
    return rows, masks


def padded(rows, width):
    return np.array([np.pad(row, (0, width - len(row))) for row in rows])


def check(model, rows, masks, more_padding):
    """Every row alone on one thread, against its place in the batch on two."""
    width = max(map(len, rows)) + more_padding
    set_num_threads(2)
    together = model(padded(rows, width), padded(masks, width))[0]
    set_num_threads(1)
    for number, (row, mask) in enumerate(zip(rows, masks)):
        alone = model(row[None], mask[None])[0][0]
        assert np.array_equal(alone, together[number, : len(row)])


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


LINEARS = ["linear", "linear_gelu", "linear_gelu_tanh", "linear_relu", "linear_silu"]


@pytest.mark.parametrize("operation", LINEARS)
def test_a_row_of_a_product_is_the_same_whatever_the_number_of_rows(operation):
    """Every tile of 1 to 12 rows, a full one, and tasks of several blocks; outputs that fill no panel."""
    random = np.random.default_rng(0)
    x = random.normal(size=(210, 300)).astype(np.float32)
    made = variants(operation)["register"]
    packed = made.pack_weights(random.normal(size=(83, 300)).astype(np.float32), random.normal(size=83).astype(np.float32))
    whole = made.function(x, *packed)
    for rows in (*range(1, 14), 25, 97, 130):
        assert np.array_equal(made.function(x[-rows:], *packed), whole[-rows:]), rows


def test_a_fused_write_out_is_the_activation_of_the_product_to_the_bit():
    random = np.random.default_rng(0)
    x, weight = (random.normal(size=size).astype(np.float32) for size in ((33, 70), (45, 70)))
    ops = make_ops("fast")
    packed = ops.pack_weights("linear", weight, weight[:, 0].copy())
    for activation in ("gelu", "gelu_tanh", "relu", "silu"):
        apart = getattr(ops, activation)(ops.linear(x, *packed))
        assert np.array_equal(getattr(ops, f"linear_{activation}")(x, *packed), apart)


@pytest.mark.parametrize("width", [1, 7, 24, 61, 100, 768, 1030, 2100])
def test_a_row_is_normalised_to_the_same_bits_in_any_place(width):
    """Layer norm takes two rows at a time, of which either may be this one, or both, if it is a last one without another."""
    random = np.random.default_rng(0)
    x, (weight, bias) = (random.normal(size=(rows, width)).astype(np.float32) for rows in (39, 2))
    ids, zeros = np.arange(len(x)), np.zeros(len(x), int)
    for operation, inputs in (("layer_norm", [x]), ("softmax", [x]), ("embed", [ids, zeros, zeros])):
        parameters = {"layer_norm": (weight, bias, 1e-12), "embed": ((x, x, x), weight, bias, 1e-12)}.get(operation, ())
        made = variants(operation)["vector"].function
        whole = made(*inputs, *parameters)
        for first in (1, 2, 3, 21, 22, 37, 38):
            assert np.array_equal(made(*(array[first:] for array in inputs), *parameters), whole[first:]), operation
