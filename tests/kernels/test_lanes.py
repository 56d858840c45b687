"""kernels/simd/lanes.py: maxima and exponentials of rows of NR floats, against NumPy; each lane and each number of rows alone."""

import numpy as np
import pytest

from minibert.kernels.compiler.jit import jit
from minibert.kernels.simd.lanes import exp_of_lanes, max_of_lanes
from minibert.kernels.simd.shapes import NR


@jit(error_model="numpy")
def largest_of(scores, largest):
    max_of_lanes(scores, largest)


@jit(error_model="numpy")
def powers_of(scores, largest, total):
    exp_of_lanes(scores, largest, total)


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 8, 11, 64])
def test_maxima_and_exponentials_of_each_lane(rows):
    random = np.random.default_rng(rows)
    scores = (10 * random.normal(size=(rows, NR))).astype(np.float32)
    scores[rows // 2, : NR // 2] = np.finfo(np.float32).min  # hidden, as attention hides keys outside a window
    largest = np.empty(NR, np.float32)
    largest_of(scores, largest)
    np.testing.assert_array_equal(largest, scores.max(axis=0))
    powers, total = scores.copy(), np.full(NR, 2, np.float32)
    powers_of(powers, largest, total)
    expected = np.exp((scores - largest).astype(np.float64))  # the difference is rounded to float32
    np.testing.assert_allclose(powers, expected, rtol=3e-7, atol=1e-38)
    np.testing.assert_allclose(total, 2 + powers.astype(np.float64).sum(axis=0), rtol=3e-7)


def test_other_rows_are_left_alone():
    rows = np.full((9, NR), 7, np.float32)
    rows[2:7] = 0
    powers_of(rows[2:7], np.zeros(NR, np.float32), np.zeros(NR, np.float32))
    assert (rows[2:7] == 1).all() and (rows[:2] == 7).all() and (rows[7:] == 7).all()
