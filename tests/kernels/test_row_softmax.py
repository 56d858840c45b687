"""kernels/simd/row_softmax.py: rows of any number of scores, against NumPy; each row's bits alone and beside others."""

import numpy as np
import pytest

from minibert.kernels.compiler.jit import jit
from minibert.kernels.simd.row_softmax import exp_of_rows
from minibert.kernels.simd.shapes import NR, WIDTH


@jit(error_model="numpy")
def powers_of(scores, count, lines, sums):
    exp_of_rows(scores, count, lines, sums)


def softmax_parts(scores, count):
    """scores (R, W) -> each row's powers (R, ·) as float32 of the bf16 in their order, and their sums and maxima (R, 2)."""
    rows, blocks = len(scores), -(-count // NR)
    lines, sums = np.full(rows * blocks * WIDTH, np.nan, np.float32), np.empty((rows, 2), np.float32)
    powers_of(scores, count, lines, sums)
    words = lines.view(np.uint32).reshape(blocks, rows, WIDTH).transpose(1, 0, 2)
    halves = np.stack([words << 16, words & 0xFFFF0000], axis=2)  # of scores i and i + WIDTH
    return halves.astype(np.uint32).view(np.float32).reshape(rows, blocks * NR), sums


def random_scores(rows, count):
    """More columns than count, to a multiple of NR and beyond; what is there does not matter."""
    scores = 5 * np.random.default_rng(count).normal(size=(rows, -(-count // NR) * NR + 3)).astype(np.float32)
    scores[:, count:] = 1e30
    return scores


@pytest.mark.parametrize("rows", [1, 2, 3, 16, 31])
@pytest.mark.parametrize("count", [1, WIDTH - 1, WIDTH, WIDTH + 1, NR, NR + 1, 3 * NR - 1, 5 * NR])
def test_powers_sums_and_maxima_of_each_row(rows, count):
    scores = random_scores(rows, count)
    given = scores[:, :count].copy()
    powers, sums = softmax_parts(scores.copy(), count)
    np.testing.assert_array_equal(sums[:, 1], given.max(axis=1))
    exact = np.exp((given - sums[:, 1:]).astype(np.float64))
    np.testing.assert_allclose(sums[:, 0], exact.sum(axis=1), rtol=5e-7)
    np.testing.assert_allclose(powers[:, :count], exact, rtol=2.0**-8, atol=1e-38)
    assert not powers[:, count:].any()
    alone, its_sums = softmax_parts(scores[rows // 2 : rows // 2 + 1].copy(), count)
    np.testing.assert_array_equal(alone[0], powers[rows // 2])
    np.testing.assert_array_equal(its_sums[0], sums[rows // 2])


def test_powers_are_the_nearest_bf16():
    scores = random_scores(4, 64)
    powers, sums = softmax_parts(scores.copy(), 64)
    exact = np.exp((scores[:, :64] - sums[:, 1:]).astype(np.float64))
    spacing = 2.0 ** (np.floor(np.log2(exact)) - 7)
    assert (np.abs(powers - exact) <= spacing * (0.5 + 1e-4)).all()


@pytest.mark.parametrize("count", [40, 64])
@pytest.mark.parametrize("of_row", [np.nan, -np.inf])
def test_a_row_without_a_largest_number_has_a_sum_that_is_nan(count, of_row):
    scores = random_scores(3, count)
    scores[1, 7 if np.isnan(of_row) else slice(None)] = of_row
    _, sums = softmax_parts(scores, count)
    assert np.isnan(sums[1, 0]) and np.isfinite(sums[[0, 2]]).all()
