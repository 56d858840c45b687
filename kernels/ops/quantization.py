"""A product in whole numbers, in NumPy: the formulas that the compiled variants must meet to the bit.

    mix     x → x R, w → w R             R orthogonal: x wᵀ stays, and no value stands out any more
    weight  w  ≈  scale q,               q from -127 to 127, a scale for each output and span of k
    x       x  ≈  scale (q - zero),      q from 0 to 255, one scale and zero a row, so that no text changes another's

    x wᵀ    ≈  scale_x (Σ scale_w Σ q_x q_w  -  zero Σ scale_w Σ q_w)

The inner sums, over a span, are of whole numbers: exact, in any order. The outer ones go over up to 8 spans.

Next: `vectors_int8.py`, how a machine adds such products; `linear_int8.py`, the kernel, and what it costs in accuracy.
"""

from __future__ import annotations

import numpy as np

from ..gemm.int8_layout import ROTATION, span_of

F = np.float32


def mix(x):
    """x (M, K) -> (M, K up to a multiple of 16): each value a sum, with signs, of up to 256 others.

    Trained encoders have a few columns ten times as large as the others, in x and in the weights. They would set the
    scale and leave the others few of the 255 steps; mixed, each becomes a small part of many values.

    First its sixteen parts are mixed with each other, then each sixteen neighbours.
    """
    x = np.pad(x, ((0, 0), (0, -x.shape[1] % ROTATION)))
    parts = mix_sixteen(x.reshape(len(x), ROTATION, -1))
    return mix_sixteen(parts.reshape(-1, ROTATION, 1)).reshape(x.shape)


def mix_sixteen(x):
    """x (R, 16, ·) -> H x, where H is an orthogonal matrix, times 4, of ones and minus ones: twice, each of four values
    becomes the four's sum less twice itself.

    Every row of H sums up to 4, so that what all values have in common stays with all of them. (A gelu's values are
    positive on the whole. The Hadamard matrix of sums and differences would gather that in one value of sixteen, which
    then set the scale: the range of a row of 1,536 was 7.2 to 8.7 times its root mean square, and is 6.5 to 6.8.)
    """
    for apart in (4, 1):
        fours = x.reshape(len(x), -1, 4, apart, x.shape[2])
        total = (fours[:, :, :1] + fours[:, :, 1:2]) + (fours[:, :, 2:3] + fours[:, :, 3:])
        x = (total - 2 * fours).reshape(x.shape)
    return x


def quantise_weight(weight):
    """weight (N, K) -> whole numbers (N, K) int8, and their scales (spans, N), for rows that `mix` has mixed."""
    some = range(0, len(weight), 32)  # rows that the caches hold while they are mixed
    mixed = np.concatenate([mix(weight[row : row + 32].astype(F)) for row in some])
    scales = [np.maximum(np.abs(span).max(axis=1), F(1e-30)) / F(127) for span in spans(mixed)]
    values = [np.rint(span / scale[:, None]).astype(np.int8) for span, scale in zip(spans(mixed), scales)]
    return np.concatenate(values, axis=1), np.stack(scales) / F(ROTATION**2)


def spans(x):
    span = span_of(x.shape[1])
    return [x[:, k : k + span] for k in range(0, x.shape[1], span)]


def weighted_sums(weight, scales):
    """Whole numbers (N, K) and scales (spans, N) -> (N,): the sum of what they stand for."""
    total = np.zeros(len(weight), F)
    for span, scale in zip(spans(weight), scales):
        total += span.sum(axis=1, dtype=np.int32).astype(F) * scale
    return total


def quantise_rows(x):
    """x (M, K) float32 -> whole numbers (M, K) uint8, each row's scale (M,), and its zero (M,), a whole number.

    A row that holds what is no number gets the scale NaN, and so answers NaN.
    """
    x = mix(x)
    least, largest = x.min(axis=1, initial=0), x.max(axis=1, initial=0)
    with np.errstate(invalid="ignore", over="ignore"):
        spread = largest - least
        finite = np.isfinite(spread)
        spread = np.maximum(spread, F(1e-30))
        inverse = F(255) / spread
        zero = np.rint(-least * inverse)
        values = np.clip(np.rint(x * inverse[:, None]) + zero[:, None], 0, 255)
    values, zero = np.where(finite[:, None], values, 0), np.where(finite, zero, 0)
    return values.astype(np.uint8), np.where(finite, spread / F(255), F(np.nan)), zero


def product_of_rounded(values, x_scale, zero, weight, scales, bias):
    """What `quantise_rows` and `quantise_weight` made, and bias (N,) -> (M, N)."""
    total = np.zeros((len(values), len(weight)), F)
    for x, w, scale in zip(spans(values.astype(np.int32)), spans(weight.astype(np.int32)), scales):
        total += (x @ w.T).astype(F) * scale
    return (total - zero[:, None] * weighted_sums(weight, scales)) * x_scale[:, None] + bias
