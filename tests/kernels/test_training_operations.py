"""Every variant of every gradient, of dropout and of AdamW's operations against the formula in float64; threads, strides,
presets."""

import numpy as np
import pytest
from gradient_cases import CASES, make_cases

from minibert import set_num_threads
from minibert.errors import KernelError
from minibert.kernels.catalog import TRAINING_PRESETS, TrainingOps, make_training_ops, variants
from minibert.kernels.gemm.packing import sum_of_rows, transposed
from minibert.kernels.reference import AdamWSettings, adamw_factors
from minibert.kernels.registry import TRAINING, Variant, registry_of
from minibert.kernels.runtime.thread_count import get_num_threads

REFERENCE = make_training_ops().chosen
make_training_ops("fast")  # every file that registers is imported
OF_THE_OPTIMIZER = ("squared_sums", "adamw_step", "adamw_replay")  # these have tests of their own below
EVERY = [(operation, name) for operation, known in TRAINING.variants.items() for name in known]
EVERY = [(operation, name) for operation, name in EVERY if operation not in OF_THE_OPTIMIZER]
BF16 = 0.01  # of the largest value


def cases_of(operation):
    """The names of the cases that compute an operation, forward or backward."""
    forward = operation.removesuffix("_grad").removesuffix("_dropout")
    return [name for name, case in CASES.items() if case.operation == forward]


def table_with(variant):
    return TrainingOps({**REFERENCE, variant.operation: variant})


def results(ops, name, dtype=np.float32, change=lambda array: array):
    """A case's result and its gradients by these operations: a tuple of arrays."""
    case = make_cases(ops)[name]
    arrays = [array.astype(np.float32).astype(dtype) for array in case.arrays]
    shape = np.shape(CASES[name].forward(*case.arrays))
    grad = np.random.default_rng(9).normal(size=shape).astype(np.float32).astype(dtype)
    arrays, grad = [change(array) for array in arrays], change(grad)
    return case.forward(*arrays), *case.backward(grad, *arrays)


def error(ops, name):
    """The largest difference from the formulas in float64, over the largest value of the array or a hundredth of all."""
    expected = results(make_training_ops(), name, np.float64)
    outputs = results(ops, name)
    largest, worst = max(np.abs(array).max() for array in expected[1:]), 0.0
    for right, output in zip(expected, outputs, strict=True):
        if output.shape != right.shape or output.dtype != np.float32 or not np.isfinite(output).all():
            return np.inf
        worst = max(worst, np.abs(output - right).max() / max(np.abs(right).max(), 1e-2 * largest, 1e-30))
    return worst


@pytest.mark.parametrize(("operation", "name"), EVERY)
def test_a_variant_agrees_with_the_formula_on_every_case(operation, name):
    variant = TRAINING.variants[operation][name]
    others = 2e-6  # the reference's own rounding, of the operations that a case computes besides
    assert cases_of(operation)
    for case in cases_of(operation):
        assert error(table_with(variant), case) <= variant.tolerance + others, case


@pytest.mark.parametrize("preset", TRAINING_PRESETS)
@pytest.mark.parametrize("operation", dict.fromkeys(case.operation for case in CASES.values()))
def test_a_preset_agrees_with_the_formula_on_every_case(preset, operation):
    ops = make_training_ops(preset)
    rounded = preset == "bf16" and operation in ("linear", "query_key_value")
    for name in cases_of(operation):
        if CASES[name].operation in registry_of(operation).variants:
            assert error(ops, name) <= (BF16 if rounded else 1e-5), name


@pytest.fixture
def threads():
    before = get_num_threads()
    yield set_num_threads
    set_num_threads(before)


@pytest.mark.parametrize("preset", ["fast", "bf16"])
@pytest.mark.parametrize("name", CASES)
def test_one_thread_and_three_give_the_same_bits(preset, name, threads):
    ops = make_training_ops(preset)
    if CASES[name].operation not in ops.chosen:
        pytest.skip("a loss is computed in NumPy")
    computed = []
    for count in (1, 3):
        threads(count)
        computed.append([array.copy() for array in results(ops, name)])
    assert all(map(np.array_equal, *computed))


def every_other(array):
    """The same values, not contiguous, unless it is a vector of parameters."""
    return array if array.ndim == 1 else np.repeat(array, 2, axis=-1)[..., ::2]


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name].operation in REFERENCE])
def test_arrays_need_not_be_contiguous(name):
    ops = make_training_ops("fast")
    strided = results(ops, name, change=every_other)
    assert all(map(np.array_equal, results(ops, name), strided))


BROKEN = {
    "a sum forgets the last row": ("linear_grad", lambda grad, x, weight: (grad @ weight, grad.T @ x, grad[:-1].sum(axis=0))),
    "a product is not transposed": ("take_grad", lambda grad, rows, count: np.resize(grad, (count, grad.shape[1]))),
    "the mean stays": ("layer_norm_grad", lambda grad, x, weight, eps: (grad * weight, (grad * x).sum(0), grad.sum(0))),
    "the other gelu's": ("gelu_grad", lambda grad, x: make_training_ops().gelu_tanh_grad(grad, x)),
    "no zeros": ("dropout", lambda x, settings: x / np.float32(1 - settings.rate)),
}


@pytest.mark.parametrize("bug", BROKEN)
def test_the_comparison_detects_a_broken_kernel(bug):
    operation, function = BROKEN[bug]
    broken = table_with(Variant(operation, "broken", function, 0, "none"))
    assert max(error(broken, name) for name in cases_of(operation)) > 1e-5


def test_an_unknown_preset_is_refused_with_those_there_are():
    with pytest.raises(KernelError, match="are one of 'reference', 'naive', 'fast', 'bf16'; got 'int8'"):
        make_training_ops("int8")


@pytest.mark.parametrize("name", ["register", "bf16"])
@pytest.mark.parametrize("shape", [(1, 1), (32, 16), (37, 61), (100, 33)])
def test_packing_for_a_step_gives_the_same_panels(name, shape):
    variant = variants("linear")[name]
    random = np.random.default_rng(0)
    arrays = [random.normal(size=size).astype(np.float32) for size in (shape, shape[:1]) * 3]
    for parameters in (arrays[:2], arrays):
        assert all(map(np.array_equal, variant.repack_weights(*parameters), variant.pack_weights(*parameters)))


@pytest.mark.parametrize("shape", [(1, 1), (16, 16), (7, 300), (130, 65)])
def test_a_transpose_and_a_sum_of_rows(shape):
    matrix = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    assert np.array_equal(transposed(matrix), matrix.T)
    assert np.array_equal(sum_of_rows(matrix), matrix.sum(axis=0, dtype=np.float64).astype(np.float32))


# --- AdamW -----------------------------------------------------------------------------------------------------------

SETTINGS = {
    "torch's defaults": {},
    "no decay": {"weight_decay": 0.0},
    "a large one": {"weight_decay": 0.5, "lr": 0.1},
    "other moments": {"beta1": 0.5, "beta2": 0.9, "eps": 1e-3},
    "clipped": {"grad_scale": 0.25},
}


def trained(update, dtype, options, steps=5, shape=(37, 55)):
    """Parameter and moments after some steps with gradients of very different sizes."""
    random = np.random.default_rng(0)
    parameter, first, second = random.normal(size=shape).astype(np.float32).astype(dtype), *np.zeros((2, *shape), dtype)
    for step in range(1, steps + 1):
        sizes = 10.0 ** random.integers(-6, 3, shape)
        grad = (random.normal(size=shape) * sizes).astype(np.float32).astype(dtype)
        update(parameter, grad, first, second, AdamWSettings(step, **options))
    return parameter, first, second


@pytest.mark.parametrize("options", SETTINGS)
@pytest.mark.parametrize("name", TRAINING.variants["adamw_step"])
def test_an_update_agrees_with_the_formula(name, options):
    variant = TRAINING.variants["adamw_step"][name]
    expected = trained(make_training_ops().adamw_step, np.float64, SETTINGS[options])
    for output, right in zip(trained(variant.function, np.float32, SETTINGS[options]), expected):
        assert output.dtype == np.float32
        assert np.abs(output - right).max() <= variant.tolerance * np.abs(right).max()


@pytest.mark.parity
@pytest.mark.parametrize("options", SETTINGS)
def test_the_formula_is_torch_s(options):
    torch = pytest.importorskip("torch", reason="parity needs torch: pip install -e '.[test]'")
    changes = dict(SETTINGS[options])
    scale, betas = changes.pop("grad_scale", 1.0), (changes.pop("beta1", 0.9), changes.pop("beta2", 0.999))
    theirs = []

    def update(parameter, grad, first, second, settings):
        if not theirs:
            theirs.append(torch.nn.Parameter(torch.tensor(parameter)))
            theirs.append(torch.optim.AdamW(theirs[:1], betas=betas, **changes))
        theirs[0].grad = torch.tensor(grad * scale)
        theirs[1].step()

    trained(update, np.float64, SETTINGS[options])
    parameter, first, second = trained(make_training_ops().adamw_step, np.float64, SETTINGS[options])
    state = theirs[1].state[theirs[0]]
    pairs = (parameter, theirs[0].detach()), (first, state["exp_avg"]), (second, state["exp_avg_sq"])
    for ours, expected in pairs:
        assert np.abs(ours - expected.numpy()).max() <= 1e-14 * np.abs(ours).max()


def test_rows_that_are_updated_by_themselves_get_the_same_bits(threads):
    """Whatever their number and width: an optimizer may leave out rows for a while, and replay what they missed."""
    update, random = make_training_ops("fast").adamw_step, np.random.default_rng(1)
    for count in (1, 3):
        threads(count)
        arrays = random.normal(size=(4, 300, 77)).astype(np.float32)
        arrays[3] **= 2
        together, apart = arrays.copy(), arrays.copy()
        update(*together, AdamWSettings(3))
        for rows in (slice(0, 1), slice(1, 6), slice(6, 300)):
            update(*(array[rows] for array in apart), AdamWSettings(3))
        assert np.array_equal(together, apart) and not np.array_equal(together, arrays)


@pytest.mark.parametrize("name", ["naive", "vector"])
def test_an_array_that_would_be_copied_is_refused(name):
    arrays = [np.zeros((4, 4), np.float32) for _ in range(4)]
    arrays[2] = arrays[2].T[::2]
    with pytest.raises(ValueError, match="must be contiguous"):
        TRAINING.variants["adamw_step"][name].function(*arrays, AdamWSettings(1))


STEPS = 9


def replay_inputs(options, shape=(23, 37)):
    """Parameter and moments, how many of STEPS steps each row has done, and the factors of all steps."""
    random = np.random.default_rng(5)
    tables = random.normal(size=(3, *shape)).astype(np.float32)
    tables[2] **= 2
    settings = [AdamWSettings(step, **{"lr": 1e-2 / step, **options}) for step in range(1, STEPS + 1)]
    return tables, random.integers(0, STEPS + 1, len(tables[0])), np.array([adamw_factors(one) for one in settings]), settings


@pytest.mark.parametrize("options", SETTINGS)
@pytest.mark.parametrize("name", TRAINING.variants["adamw_replay"])
def test_replayed_steps_have_the_bits_of_steps_with_gradients_of_0(name, options, threads):
    step, replay = (TRAINING.variants[operation][name].function for operation in ("adamw_step", "adamw_replay"))
    rows = np.array([17, 0, 22, 5, 6])
    for count in (1, 3):
        threads(count)
        tables, done, factors, settings = replay_inputs(SETTINGS[options])
        expected = tables.copy()
        for row in rows:
            for one in settings[done[row] :]:
                step(expected[0, row], np.zeros(37, np.float32), expected[1, row], expected[2, row], one)
        others = np.setdiff1d(np.arange(23), rows)
        before, done_before = tables.copy(), done.copy()
        replay(*tables, rows, done, factors, settings[-1])
        assert np.array_equal(tables, expected) and not np.array_equal(tables[:, rows], before[:, rows])
        assert np.array_equal(tables[:, others], before[:, others])
        assert np.all(done[rows] == STEPS) and np.array_equal(done[others], done_before[others])


@pytest.mark.parametrize("name", TRAINING.variants["adamw_replay"])
def test_a_replay_agrees_with_the_formula(name):
    variant = TRAINING.variants["adamw_replay"][name]
    tables, done, factors, settings = replay_inputs({"weight_decay": 0.5})
    expected, rows = tables.astype(np.float64), np.arange(len(done))
    make_training_ops().adamw_replay(*expected, rows, done.copy(), factors, settings[-1])
    variant.function(*tables, rows, done, factors, settings[-1])
    assert np.abs(tables - expected).max() <= variant.tolerance * np.abs(expected).max()


@pytest.mark.parametrize("name", TRAINING.variants["squared_sums"])
@pytest.mark.parametrize("shape", [(1, 1), (300, 77), (3, 70_000), (5, 0)])
def test_sums_of_squares_agree_with_the_formula_on_any_number_of_threads(name, shape, threads):
    variant = TRAINING.variants["squared_sums"][name]
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32) * 1e3
    expected, computed = make_training_ops().squared_sums(x.astype(np.float64)), []
    for count in (1, 3):
        threads(count)
        computed.append(variant.function(x))
    assert computed[0].dtype == np.float64 and np.array_equal(*computed)
    assert np.all(np.abs(computed[0] - expected) <= variant.tolerance * expected)
    if len(x) > 1:  # a row's sum depends on nothing else
        assert np.array_equal(variant.function(x[1:]), computed[0][1:])
