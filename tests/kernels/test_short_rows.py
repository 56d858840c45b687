"""Copies, rounding and scaling of short rows in registers, against NumPy: each length, odd ones too, and nothing beside them."""

import numpy as np
import pytest

from minibert.kernels.compiler.jit import jit
from minibert.kernels.simd.bf16 import pair_rows, round_scaled
from minibert.kernels.simd.elementwise import scale_row
from minibert.kernels.simd.lanes import scale_lanes
from minibert.kernels.simd.shapes import NR
from minibert.kernels.simd.shuffle import as_rows

LENGTHS = (0, 1, 7, 8, 15, 16, 17, 33, 63, 64, 65, 130)


@jit(error_model="numpy")
def scaled(source, factor, target):
    scale_row(source, factor, target)


@jit(error_model="numpy")
def rounded(source, factor, halves):
    round_scaled(source, factor, halves)


@jit(error_model="numpy")
def paired(rows):
    pair_rows(rows)


@jit(error_model="numpy")
def scaled_lanes(rows, factors):
    scale_lanes(rows, factors)


@jit(error_model="numpy")
def fill_second_row(flat, columns):
    as_rows(flat, columns)[1, :] = 1


def numbers(*shape):
    """With magnitudes from 2^-60 to 2^60, infinity and NaN."""
    random = np.random.default_rng(sum(shape))
    values = random.normal(size=shape).astype(np.float32) * np.exp2(random.integers(-60, 60, shape)).astype(np.float32)
    values.reshape(-1)[::29] = np.inf
    values.reshape(-1)[5::31] = np.nan
    return values


def bf16_of(values):
    """The nearest bf16, ties to even: by NumPy's integers."""
    bits = values.view(np.uint32).astype(np.uint64)
    nearest = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    return np.where(np.isnan(values), bits >> 16 | 0x40, nearest).astype(np.uint16)


@pytest.mark.parametrize("length", LENGTHS)
def test_a_row_times_a_factor(length):
    row, target = numbers(length), np.full(length + 40, 7, np.float32)
    scaled(row, np.float32(0.125), target[:length])
    np.testing.assert_array_equal(target[:length], row * np.float32(0.125))
    assert (target[length:] == 7).all()


@pytest.mark.parametrize("length", LENGTHS)
def test_a_row_times_a_factor_as_bf16(length):
    row, halves = numbers(length), np.full(length + 40, 7, np.uint16)
    rounded(row, np.float32(0.125), halves[:length])
    np.testing.assert_array_equal(halves[:length], bf16_of(row * np.float32(0.125)))
    assert (halves[length:] == 7).all()


@pytest.mark.parametrize("count", [0, 1, 2, 3, 8, 9])
@pytest.mark.parametrize("width", [1, 7, 16, 33, 64, 65])
def test_pairs_of_rows(count, width):
    rows = np.full((count + 2, width), 7, np.float32)
    rows[:count] = numbers(count, width)
    halves = bf16_of(np.concatenate([rows[:count], np.zeros((count % 2, width), np.float32)]))
    before = rows.copy()
    paired(rows[:count])
    words = rows.view(np.uint32)[: len(halves) // 2]
    np.testing.assert_array_equal(words & 0xFFFF, halves[::2])
    np.testing.assert_array_equal(words >> 16, halves[1::2])
    np.testing.assert_array_equal(rows[len(words) :], before[len(words) :])


@pytest.mark.parametrize("count", [0, 1, 5])
def test_each_lane_times_its_factor(count):
    rows, factors = np.ones((count + 2, NR), np.float32), np.arange(NR, dtype=np.float32)
    scaled_lanes(rows[:count], factors)
    assert (rows[:count] == factors).all() and (rows[count:] == 1).all()


def test_flat_memory_as_rows():
    flat = np.zeros(12, np.float32)
    fill_second_row(flat, 3)
    assert flat.tolist() == [0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0]
