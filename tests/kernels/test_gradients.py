"""Each gradient in NumPy against central differences and against torch.autograd, in float64; and dropout's random bits."""

import math

import numpy as np
import pytest
from gradient_cases import CASES, GradientCase

from minibert.kernels.catalog import make_ops, make_training_ops
from minibert.kernels.composed import attention_dropout_scale
from minibert.kernels.philox import DropoutSettings, philox, random_bits
from minibert.kernels.reference import dropout, erf
from minibert.kernels.registry import REGISTRY, TRAINING, variant
from minibert.models.losses import cross_entropy

OPS = make_training_ops()


def backward_of(case: GradientCase, dtype=np.float64):
    """A random gradient of the result, and the gradients of the arrays."""
    arrays = [array.astype(dtype) for array in case.arrays]
    grad = np.asarray(np.random.default_rng(9).normal(size=np.shape(case.forward(*arrays))), dtype)
    return grad, arrays, case.backward(grad, *arrays)


@pytest.mark.parametrize("name", CASES)
def test_a_gradient_is_the_slope_of_its_operation(name):
    """Central differences, an array at a time, along three random directions."""
    case = CASES[name]
    grad, arrays, gradients = backward_of(case)
    assert len(gradients) == len(arrays)
    random, step = np.random.default_rng(1), 1e-5
    for index, (array, gradient) in enumerate(zip(arrays, gradients, strict=True)):
        assert gradient.shape == array.shape and gradient.dtype == np.float64
        for _ in range(3):
            direction = random.normal(size=array.shape)
            moved = [[*arrays[:index], array + sign * step * direction, *arrays[index + 1 :]] for sign in (1, -1)]
            higher, lower = ((grad * case.forward(*inputs)).sum() for inputs in moved)
            slope = (gradient * direction).sum()
            scale = np.abs(gradient * direction).sum() + np.abs(grad * case.forward(*arrays)).sum()
            assert abs((higher - lower) / (2 * step) - slope) < 1e-7 * scale, index


@pytest.mark.parametrize("name", CASES)
def test_float32_gives_float32_near_the_same_numbers(name):
    case = CASES[name]
    _, _, single = backward_of(case, np.float32)
    _, _, double = backward_of(case)
    assert all(gradient.dtype == np.float32 for gradient in single)
    largest = max(np.abs(gradient).max() for gradient in double)  # a key's gradient is 0 where one key is all there is
    for ours, exact in zip(single, double, strict=True):
        assert np.abs(ours - exact).max() <= 1e-5 * max(np.abs(exact).max(), 1e-2 * largest)


@pytest.mark.parametrize("name", CASES)
def test_inputs_stay_as_they_are(name):
    case = CASES[name]
    before = [array.copy() for array in case.arrays]
    grad, _, _ = backward_of(case)
    grad_before = grad.copy()
    case.backward(grad, *case.arrays)
    assert np.array_equal(grad, grad_before) and all(map(np.array_equal, before, case.arrays))


def test_every_training_operation_has_a_case():
    forwards = {case.operation for case in CASES.values()}
    assert {operation.removesuffix("_grad") for operation in TRAINING.variants} - {
        "attention_dropout",
        "squared_sums",
        "adamw_step",
        "adamw_replay",
    } == forwards & {*REGISTRY.variants, "dropout"}


def test_a_variant_of_a_gradient_is_registered_for_training_alone(monkeypatch):
    monkeypatch.setitem(TRAINING.variants, "linear_grad", dict(TRAINING.variants["linear_grad"]))

    @variant("linear_grad", tolerance=1e-6, tolerance_reason="none")
    def linear_grad_other(grad, x, weight):
        return grad @ weight, grad.T @ x, grad.sum(axis=0)

    assert list(TRAINING.variants["linear_grad"])[-1] == "other"
    assert not any(name.endswith(("_grad", "dropout")) for name in REGISTRY.variants)
    assert not hasattr(make_ops("reference"), "linear_grad") and hasattr(make_training_ops(), "linear_grad")


# --- torch -----------------------------------------------------------------------------------------------------------


def torch_attention(torch, constants, query, key, value, bias=None):
    """scaled_dot_product_attention's formula for each sequence by itself."""
    bounds, key_mask, window, settings = (constants[name] for name in ("bounds", "key_mask", "window", "settings"))
    heads, outputs, one_each = 3, [], len(query) != bounds[-1]
    for sequence, (start, stop) in enumerate(zip(bounds[:-1], bounds[1:])):
        rows = slice(sequence, sequence + 1) if one_each else slice(start, stop)
        q, k, v = (x.reshape(len(x), heads, -1).transpose(0, 1) for x in (query[rows], key[start:stop], value[start:stop]))
        scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[2])
        if bias is not None:
            scores = scores + bias[:, : q.shape[1], : k.shape[1]]
        visible = torch.ones(q.shape[1], k.shape[1], dtype=torch.bool)
        if key_mask is not None:
            visible &= torch.tensor(key_mask[start:stop])
        if window is not None:
            visible &= (torch.arange(q.shape[1])[:, None] - torch.arange(k.shape[1])).abs() <= window
        scores = scores.masked_fill(~visible, torch.finfo(scores.dtype).min)
        probabilities = scores.softmax(-1)
        if window is not None:
            probabilities = probabilities * visible.any(1, keepdim=True)
        if settings is not None:
            scale = attention_dropout_scale(rows.start, probabilities.detach().numpy(), settings)
            probabilities = probabilities * torch.tensor(scale)
        outputs.append((probabilities @ v).transpose(0, 1).reshape(q.shape[1], -1))
    return torch.cat(outputs)


def torch_forwards(torch):
    functional = torch.nn.functional

    def masked_softmax(constants, scores):
        mask = constants["mask"]
        lowest = torch.finfo(scores.dtype).min
        return (scores if mask is None else scores.masked_fill(~torch.tensor(mask), lowest)).softmax(-1)

    def embed(constants, words, types, positions, weight, bias):
        ids = (torch.tensor(rows) for rows in constants["ids"])
        embedded = sum(functional.embedding(rows, table) for rows, table in zip(ids, (words, types, positions)))
        return functional.layer_norm(embedded, weight.shape, weight, bias, constants["eps"])

    def query_key_value(constants, query_input, x, *p):
        inputs = ((query_input, *p[:2]), (x, *p[2:4]), (x, *p[4:]))
        return torch.cat([functional.linear(*arguments) for arguments in inputs])

    def cross_entropy(constants, logits):
        labels, weights, smoothing = constants["arguments"]
        weights = None if weights is None else torch.tensor(weights)
        return functional.cross_entropy(logits, torch.tensor(labels), weights, label_smoothing=smoothing)

    return {
        "linear": lambda constants, *arrays: functional.linear(*arrays),
        "query_key_value": query_key_value,
        "take": lambda constants, x: x[torch.tensor(constants["rows"])],
        "embed": embed,
        "layer_norm": lambda constants, x, weight, bias: functional.layer_norm(x, weight.shape, weight, bias, constants["eps"]),
        "softmax": masked_softmax,
        "gelu": lambda constants, x: functional.gelu(x),
        "gelu_tanh": lambda constants, x: functional.gelu(x, approximate="tanh"),
        "relu": lambda constants, x: functional.relu(x),
        "silu": lambda constants, x: functional.silu(x),
        "tanh": lambda constants, x: torch.tanh(x),
        "attention": lambda constants, *arrays: torch_attention(torch, constants, *arrays),
        "cross_entropy": cross_entropy,
        "binary_cross_entropy": lambda constants, x: functional.binary_cross_entropy_with_logits(
            x, torch.tensor(constants["targets"])
        ),
        "mean_squared_error": lambda constants, x: functional.mse_loss(x, torch.tensor(constants["targets"])),
    }


@pytest.mark.parity
@pytest.mark.parametrize("name", [name for name in CASES if name != "dropout"])
def test_a_gradient_is_that_of_torch(name):
    torch = pytest.importorskip("torch", reason="parity needs torch: pip install -e '.[test]'")
    case = CASES[name]
    grad, arrays, gradients = backward_of(case)
    tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
    result = torch_forwards(torch)[case.operation](case.constants, *tensors)
    ours = case.forward(*arrays)
    assert np.abs(ours - result.detach().numpy()).max() <= 1e-12 * max(np.abs(ours).max(), 1)
    result.backward(torch.tensor(grad))
    largest = max(tensor.grad.abs().max().item() for tensor in tensors)
    for tensor, gradient in zip(tensors, gradients, strict=True):
        expected = tensor.grad.numpy()
        assert np.abs(gradient - expected).max() <= 1e-11 * max(np.abs(expected).max(), 1e-3 * largest)


@pytest.mark.parity
def test_relu_has_torch_s_gradient_at_0():
    torch = pytest.importorskip("torch", reason="parity needs torch: pip install -e '.[test]'")
    x = torch.zeros(1, requires_grad=True)
    torch.relu(x).backward()
    assert OPS.relu_grad(np.ones(1), np.zeros(1)) == x.grad.numpy()


@pytest.mark.parity
def test_a_loss_of_ignored_labels_alone_is_not_a_number_as_in_torch():
    torch = pytest.importorskip("torch", reason="parity needs torch: pip install -e '.[test]'")
    logits, labels = np.ones((2, 3)), np.array([-100, -100])
    assert math.isnan(torch.nn.functional.cross_entropy(torch.tensor(logits), torch.tensor(labels)))
    assert math.isnan(cross_entropy(logits, labels))


# --- Dropout ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ([0] * 4, [0] * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ([0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], [0xA4093822, 0x299F31D0], "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_philox_gives_its_authors_test_vectors(counter, key, expected):
    """philox4x32-10 of Random123's kat_vectors: zeros, ones, and digits of pi."""
    result = philox([np.uint64(word) for word in counter], [np.uint64(word) for word in key])
    assert " ".join(f"{int(word):08x}" for word in result) == expected


def test_an_element_s_bits_depend_on_its_row_and_column_alone():
    settings = DropoutSettings(0.1, 2**63 + 5, 9, 4)
    bits = random_bits(np.arange(20), 30, settings)
    assert np.array_equal(random_bits([7, 3], 13, settings), bits[[7, 3], :13])
    for other in (settings._replace(seed=5), settings._replace(step=8), settings._replace(site=3)):
        assert (random_bits(np.arange(20), 30, other) != bits).mean() > 0.99
    counter = [np.uint64(word) for word in (2, 7, settings.site, settings.step)]
    key = [np.uint64(settings.seed & 0xFFFFFFFF), np.uint64(settings.seed >> 32)]
    assert [int(word) for word in philox(counter, key)] == bits[7, 8:12].tolist()


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.999])
def test_dropout_zeroes_its_share_and_keeps_the_mean(rate):
    x = np.ones((300, 401), np.float32)
    dropped = dropout(x, DropoutSettings(rate, 1, 2, 3))
    assert dropped.dtype == np.float32
    deviation = math.sqrt(rate * (1 - rate) / x.size)
    assert abs((dropped == 0).mean() - rate) <= 5 * deviation
    assert np.allclose(dropped[dropped != 0], 1 / (1 - rate))


@pytest.mark.parametrize("name", ["reference", "naive", "fast"])
def test_a_rate_just_below_1_zeroes_all_values(name):
    """Its share of 2³² rounds to 2³², which 32 bits cannot hold."""
    x, settings = np.ones((9, 70), np.float32), DropoutSettings(1 - 1e-11, 1, 2, 3)
    assert not make_training_ops(name).dropout(x, settings).any()


def test_each_probability_has_bits_of_its_own():
    """Query 5 + i of head h is row (5 + i) H + h, wherever its sequence begins."""
    settings, probabilities = DropoutSettings(0.5, 1, 2, 3), np.zeros((3, 4, 9))
    scale = attention_dropout_scale(5, probabilities, settings)
    keep = random_bits(np.arange(40), 9, settings) >= 2**31
    for head in range(3):
        for query in range(4):
            assert np.array_equal(scale[head, query] > 0, keep[(5 + query) * 3 + head])


def test_erf_is_exact_in_float64():
    x = np.linspace(-7, 7, 10001)
    assert np.abs(erf(x) - [math.erf(value) for value in x]).max() < 1e-15
