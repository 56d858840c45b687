"""An int8 matrix product in NumPy: the formulas that the compiled variants must meet to the bit.

    rotate  x → x R, w → w R                   R orthogonal, so x wᵀ stays the same; outliers are spread over many values
    weight  w  ≈  scale q,                     q from -127 to 127, one scale for each output (per-channel)
    x       x  ≈  scale (q - zero_point),      q from 0 to 255, one scale and zero point for each row (per-token dynamic)

    x wᵀ    ≈  scale_x scale_w (Σ q_x q_w  -  zero_point Σ q_w)

The sums are of integers, up to 3,072 of them: exact, in any order. QuaRot and QuIP# rotate for the same reason; gemmlowp's low-precision.md
derives the zero point's correction.

Next: `linear_int8.py`, the kernels, and what 8 bits cost in accuracy.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..gemm.int8_layout import K_EXACT, ROTATION

F = np.float32


def rotate(x):
    """x (M, K) -> (M, K padded to a multiple of 16): each value becomes a sum, with signs, of up to 256 others.

    Trained encoders have a few columns ten times as large as the others, in x and in the weights. These would set the
    scale, and leave few of the 255 steps to the others. Rotated, each becomes a small part of many values.

    First mix the row's sixteen parts with each other, then each sixteen neighbors.
    """
    x = np.pad(x, ((0, 0), (0, -x.shape[1] % ROTATION)))
    parts = hadamard16(x.reshape(len(x), ROTATION, -1))
    return hadamard16(parts.reshape(-1, ROTATION, 1)).reshape(x.shape)


def rotate_back(x):
    """x (M, K), K a multiple of 16 -> x Rᵀ, where `rotate` is R: 256 x, if x was rotated. The same two steps in reverse; each
    is symmetric."""
    x = hadamard16(x.reshape(-1, ROTATION, 1)).reshape(len(x), ROTATION, -1)
    return hadamard16(x).reshape(len(x), -1)


def hadamard16(x):
    """x (R, 16, ·) -> H x, where H is a Hadamard matrix of order 16: ones and minus ones, H Hᵀ = 16 I.

    H = A ⊗ A, where A = J - 2 I of order 4 replaces each value by the four's sum less twice itself. H is regular: every
    row sums to 4, so an offset that all values share stays spread over all of them. (A gelu's values are mostly positive.
    Sylvester's Hadamard matrix would gather their mean in one value of sixteen, which would then set the scale: the range
    of a row of 1,536 was 7.2 to 8.7 times its root mean square with it, and is 6.5 to 6.8 with this one.)
    """
    for apart in (4, 1):
        fours = x.reshape(len(x), -1, 4, apart, x.shape[2])
        total = (fours[:, :, :1] + fours[:, :, 1:2]) + (fours[:, :, 2:3] + fours[:, :, 3:])
        x = (total - 2 * fours).reshape(x.shape)
    return x


def quantize_weight(weight):
    """weight (N, K) -> int8 (N, K), rotated, and its scales (N,), for rows that `rotate` has rotated."""
    starts = range(0, len(weight), 32)  # 32 rows at a time stay in the caches while they are rotated
    rotated = np.concatenate([rotate(weight[row : row + 32].astype(F)) for row in starts])
    scales = np.maximum(np.abs(rotated).max(axis=1), F(1e-30)) / F(127)
    return np.rint(rotated / scales[:, None]).astype(np.int8), scales / F(ROTATION**2)


def dequantize_weight(values, scales, inputs):
    """The results of `quantize_weight` for a weight (N, inputs) -> a float32 weight of that shape, near the one it was."""
    return np.ascontiguousarray(rotate_back(values * scales[:, None])[:, :inputs])


class Int8Table(NamedTuple):
    """A table of embeddings in 8 bits."""

    values: np.ndarray  # int8 (V, E)
    scales: np.ndarray  # float32 (V,): of each row


def quantize_table(table):
    """A table of embeddings (V, E) -> an Int8Table.

    A scale has 16 significant bits. So 127 times it is exact, and a table that was rounded comes out as it is.
    """
    largest = np.maximum(np.abs(table).max(axis=1), F(1e-30)) / F(127)
    scales = ((largest.view(np.uint32) + np.uint32(0xFF)) & np.uint32(0xFFFFFF00)).view(F)  # rounded up
    return Int8Table(np.rint(table / scales[:, None]).astype(np.int8), scales)


def dequantize_table(table):
    """An Int8Table -> a float32 table."""
    return table.values * table.scales[:, None]


def sum_weights(weight):
    """int8 (N, K) -> Σ q_w (N,) as floats, which a row's zero point is multiplied with."""
    return weight.sum(axis=1, dtype=np.int32).astype(F)


def quantize_rows(x):
    """x (M, K) float32 -> uint8 (M, K), rotated, each row's scale (M,), and its zero point (M,), an integer.

    A row with NaN or infinity, or whose range is infinite in float32, gets the scale NaN, so its result is NaN.
    """
    x = rotate(x)
    least, largest = x.min(axis=1, initial=0), x.max(axis=1, initial=0)
    with np.errstate(invalid="ignore", over="ignore"):
        spread = largest - least
        finite = np.isfinite(spread)
        spread = np.maximum(spread, F(1e-30))
        inverse = F(255) / spread
        zero_point = np.rint(-least * inverse)
        values = np.clip(np.rint(x * inverse[:, None]) + zero_point[:, None], 0, 255)
    values, zero_point = np.where(finite[:, None], values, 0), np.where(finite, zero_point, 0)
    return values.astype(np.uint8), np.where(finite, spread / F(255), F(np.nan)), zero_point


def quantized_matmul(values, x_scale, zero_point, weight, scales, bias):
    """The results of `quantize_rows` and of `quantize_weight`, and bias (N,) -> (M, N)."""
    x, weight, total = values.astype(np.int32), weight.astype(np.int32), np.zeros((len(values), len(weight)), F)
    for k in range(0, x.shape[1], K_EXACT):
        total += (x[:, k : k + K_EXACT] @ weight[:, k : k + K_EXACT].T).astype(F)
    return (total - zero_point[:, None] * sum_weights(weight)) * scales * x_scale[:, None] + bias
