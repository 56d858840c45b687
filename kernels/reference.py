"""Every operation of the encoder in NumPy: the formulas, to be read first and believed.

Each is written for any floating type: given float64 arrays it is the oracle that the tests hold every other variant
(and its own float32 self) against. The compiled variants of an operation stand in the file of its name (`linear.py`,
`softmax.py`, ...), slowest first.

Next: `composed.py`, the operations that are made of these; `registry.py`, how a variant of each is chosen.
"""

from __future__ import annotations

import math

import numpy as np

from .registry import reference


@reference
def linear(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """x (M, K), weight (N, K), bias (N,) -> (M, N): x weightᵀ + bias.

    The sum over K is made of sums over 128, whose rounding errors stay small: an error a fifth below torch's own where
    `x @ weight.T` is a tenth above it (DistilBERT-base at random, float32 against float64).
    """
    y = np.tile(bias, (len(x), 1))
    for k in range(0, x.shape[1], 128):
        y += x[:, k : k + 128] @ weight[:, k : k + 128].T
    return y


@reference
def take(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """x (N, D), rows (R,) -> those rows of it (R, D)."""
    return x[rows]


@reference
def softmax(scores: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """scores (..., L), mask (L,) bool or None -> (..., L): exp(scores) over its sum; 0 where the mask is False.

    Where the mask leaves nothing, every place gets the same share: finite, as `transformers` has it.
    """
    if mask is not None:
        scores = np.where(mask, scores, np.finfo(scores.dtype).min)
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))  # the largest becomes exp(0): no overflow
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


@reference
def layer_norm(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, eps: float) -> np.ndarray:
    """x (N, D), weight (D,), bias (D,) -> (N, D): (x − mean) / √(variance + eps) · weight + bias (arXiv:1607.06450)."""
    centred = x - x.mean(axis=-1, keepdims=True, dtype=np.float64)  # in float32, rows around 100 came out 2.5e-6 off
    variance = (centred * centred).mean(axis=-1, keepdims=True)
    return (centred / np.sqrt(variance + eps) * weight + bias).astype(x.dtype)


@reference
def gelu(x: np.ndarray) -> np.ndarray:
    """x -> x Φ(x), Φ the normal distribution's cumulative function: x (1 + erf(x / √2)) / 2 (arXiv:1606.08415)."""
    return x * (1 + erf(x * math.sqrt(0.5))) * 0.5


@reference
def gelu_tanh(x: np.ndarray) -> np.ndarray:
    """x -> x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2, the same paper's approximation ("gelu_new")."""
    return x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))) * 0.5


@reference
def relu(x: np.ndarray) -> np.ndarray:
    """x -> max(x, 0)."""
    return np.maximum(x, 0)


@reference
def silu(x: np.ndarray) -> np.ndarray:
    """x -> x / (1 + exp(−x)), written with tanh, which does not overflow (arXiv:1702.03118)."""
    return x * (1 + np.tanh(x * 0.5)) * 0.5


@reference
def tanh(x: np.ndarray) -> np.ndarray:
    """x -> (exp(2 x) − 1) / (exp(2 x) + 1)."""
    return np.tanh(x)


# NumPy has no erf. Its values at multiples of 1/128 and, from there, three terms of the Taylor series (every derivative
# of erf is its slope times a polynomial): at most 1e-10 off, below float32's spacing by a factor of 600.
STEP = 1 / 128
GRID = np.array([math.erf(i * STEP) for i in range(int(6 / STEP) + 1)])  # erf(6) is 1 to float64's last bit


def erf(x: np.ndarray) -> np.ndarray:
    """x -> 2/√π ∫₀ˣ exp(−t²) dt, in x's own precision."""
    distance = np.fmin(np.abs(x), 6)  # not minimum: NaN is no index, and gelu's other factor
    index = np.rint(distance / STEP)
    a = index * STEP
    h = distance - a  # exact, and at most half a step
    slope = 2 / math.sqrt(math.pi) * np.exp(-a * a)
    series = h * (1 - h * (a - h * (2 * a * a - 1) / 3))
    return np.copysign(GRID.astype(x.dtype)[index.astype(np.intp)] + slope * series, x)
