"""Every operation of the encoder in NumPy, each with its gradient below it: the formulas, to be read first and believed.

Each is written for any floating type: given float64 arrays it is the oracle that the tests hold every other variant
(and its own float32 self) against. The compiled variants of an operation are in the files of `ops/` with its name, slowest first:
`linear_naive.py` begins the ladder of `linear`.

A gradient function's first argument, `grad`, is the loss's gradient by the operation's result, of the result's shape; it
returns the loss's gradients by the operation's inputs, of their shapes. That is the chain rule, one step of it.

Next: `composed.py`, the operations that are made of these; `registry.py`, how a variant of each is chosen.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from .philox import DropoutSettings, random_bits
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
def linear_grad(grad: np.ndarray, x: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """grad (M, N), x (M, K), weight (N, K) -> gradients of x (M, K), weight (N, K) and bias (N,).

    grad weight, gradᵀ x and the sum of grad's rows: two more products of linear's size, with the same sums over 128.
    """
    zeros = np.zeros(x.shape[1], grad.dtype)
    return linear(grad, weight.T, zeros), linear(grad.T, x.T, zeros), sum_of_rows(grad)


def sum_of_rows(x: np.ndarray) -> np.ndarray:
    """x (M, N) -> (N,), summed in float64: in float32 the error grows with the rows, to more than twice torch's at 700."""
    return x.sum(axis=0, dtype=np.float64).astype(x.dtype)


@reference
def take(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """x (N, D), rows (R,) -> those rows of it (R, D)."""
    return x[rows]


@reference
def take_grad(grad: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    """grad (R, D), rows (R,) -> (count, D): each row of grad added to the row it was taken from. Embeddings have it too."""
    x_grad = np.zeros((count, grad.shape[1]), grad.dtype)
    np.add.at(x_grad, rows, grad)
    return x_grad


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
def softmax_grad(grad: np.ndarray, probabilities: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """grad and the softmax's result (..., L), mask (L,) bool or None -> gradient of the scores (..., L): p (grad − Σ grad p)."""
    scores_grad = probabilities * (grad - (grad * probabilities).sum(axis=-1, keepdims=True))
    return scores_grad if mask is None else np.where(mask, scores_grad, 0)  # of a row that is all masked, p is not 0


@reference
def layer_norm(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, eps: float) -> np.ndarray:
    """x (N, D), weight (D,), bias (D,) -> (N, D): (x − mean) / √(variance + eps) · weight + bias (arXiv:1607.06450)."""
    centred = x - x.mean(axis=-1, keepdims=True, dtype=np.float64)  # in float32, rows around 100 came out 2.5e-6 off
    variance = (centred * centred).mean(axis=-1, keepdims=True)
    return (centred / np.sqrt(variance + eps) * weight + bias).astype(x.dtype)


@reference
def layer_norm_grad(
    grad: np.ndarray, x: np.ndarray, weight: np.ndarray, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """grad (N, D), x (N, D), weight (D,) -> gradients of x (N, D), weight (D,) and bias (D,).

    With z the normalized x and g = grad weight, x gets (g − mean(g) − z mean(g z)) / √(variance + eps): what is left of g
    when its parts along 1 and along z are removed, for a row's mean and its length change nothing.
    """
    centred = x - x.mean(axis=-1, keepdims=True, dtype=np.float64)
    deviation = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + eps)
    z, g = centred / deviation, grad * weight
    x_grad = (g - g.mean(axis=-1, keepdims=True) - z * (g * z).mean(axis=-1, keepdims=True)) / deviation
    return x_grad.astype(x.dtype), sum_of_rows(grad * z).astype(x.dtype), sum_of_rows(grad)


@reference
def dropout(x: np.ndarray, settings: DropoutSettings) -> np.ndarray:
    """x (M, K), a `philox.DropoutSettings` -> (M, K): 0 where an element's 32 random bits are below rate · 2³², the other
    values over 1 − rate ("Dropout: a simple way to prevent neural networks from overfitting", JMLR 15, 2014; divided in
    training, as PyTorch does, so that inference has nothing to do).

    The gradient of x is dropout(grad): the same settings give the same zeros.
    """
    return x * dropout_scale(np.arange(len(x)), x.shape[1], settings).astype(x.dtype)


def dropout_scale(rows: np.ndarray, columns: int, settings: DropoutSettings) -> np.ndarray:
    """Rows (R,) of an array with that many columns -> what each value is multiplied by (R, columns): 0 or 1 / (1 − rate)."""
    keep = random_bits(rows, columns, settings) >= np.uint64(settings.least_kept)
    return keep / (1 - settings.rate)


@reference
def gelu(x: np.ndarray) -> np.ndarray:
    """x -> x Φ(x), Φ the normal distribution's cumulative function: x (1 + erf(x / √2)) / 2 (arXiv:1606.08415)."""
    return x * (1 + erf(x * math.sqrt(0.5))) * 0.5


@reference
def gelu_grad(grad: np.ndarray, x: np.ndarray) -> np.ndarray:
    """grad, x -> grad (Φ(x) + x φ(x)), φ the normal distribution's density."""
    density = np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
    return grad * ((1 + erf(x * math.sqrt(0.5))) * 0.5 + x * density)


@reference
def gelu_tanh(x: np.ndarray) -> np.ndarray:
    """x -> x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2, the same paper's approximation ("gelu_new")."""
    return x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))) * 0.5


@reference
def gelu_tanh_grad(grad: np.ndarray, x: np.ndarray) -> np.ndarray:
    """grad, x -> grad (1 + t + x (1 − t²) u′) / 2, for t = tanh(u) above."""
    t = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))
    slope = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)
    return grad * (1 + t + x * (1 - t * t) * slope) * 0.5


@reference
def relu(x: np.ndarray) -> np.ndarray:
    """x -> max(x, 0)."""
    return np.maximum(x, 0)


@reference
def relu_grad(grad: np.ndarray, x: np.ndarray) -> np.ndarray:
    """grad, x -> grad where x > 0, else 0 (at 0 too, as PyTorch has it)."""
    return grad * (x > 0)


@reference
def silu(x: np.ndarray) -> np.ndarray:
    """x -> x / (1 + exp(−x)), written with tanh, which does not overflow (arXiv:1702.03118)."""
    return x * (1 + np.tanh(x * 0.5)) * 0.5


@reference
def silu_grad(grad: np.ndarray, x: np.ndarray) -> np.ndarray:
    """grad, x -> grad s (1 + x (1 − s)), for s = 1 / (1 + exp(−x))."""
    s = (1 + np.tanh(x * 0.5)) * 0.5
    return grad * s * (1 + x * (1 - s))


@reference
def tanh(x: np.ndarray) -> np.ndarray:
    """x -> (exp(2 x) − 1) / (exp(2 x) + 1)."""
    return np.tanh(x)


@reference
def tanh_grad(grad: np.ndarray, x: np.ndarray) -> np.ndarray:
    """grad, x -> grad (1 − tanh(x)²)."""
    y = np.tanh(x)
    return grad * (1 - y * y)


@reference
def squared_sums(x: np.ndarray) -> np.ndarray:
    """x (M, K) -> the sum of each row's squares (M,), in float64."""
    return np.square(x, dtype=np.float64).sum(axis=1)


class AdamWSettings(NamedTuple):
    """What one update of one tensor depends on, besides the tensor. The defaults are torch.optim.AdamW's."""

    step: int  # of this update, 1 for the first
    lr: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.01
    grad_scale: float = 1.0  # what the gradient is multiplied by first, if it is clipped


@reference
def adamw_step(
    parameter: np.ndarray, grad: np.ndarray, first_moment: np.ndarray, second_moment: np.ndarray, settings: AdamWSettings
) -> None:
    """Four arrays of one shape, and the settings. Change parameter and both moments in place, as torch.optim.AdamW does
    ("Decoupled weight decay regularization", arXiv:1711.05101, algorithm 2):

    parameter      ← parameter (1 − lr weight_decay)
    first_moment   ← first_moment + (grad − first_moment) (1 − beta1)
    second_moment  ← second_moment beta2 + grad² (1 − beta2)
    parameter      ← parameter − lr / (1 − beta1ᵗ) · first_moment / (√second_moment / √(1 − beta2ᵗ) + eps)
    """
    adamw_update(parameter, grad * settings.grad_scale, first_moment, second_moment, adamw_factors(settings), settings)


@reference
def adamw_replay(
    parameter: np.ndarray,
    first_moment: np.ndarray,
    second_moment: np.ndarray,
    rows: np.ndarray,
    done: np.ndarray,
    factors: np.ndarray,
    settings: AdamWSettings,
) -> None:
    """Three tables (V, D); rows (R,), each once; done (V,), how many steps each row has; the `adamw_factors` of all steps (T, 3).
    Change these rows in place as the steps that they have missed would have, one after another, with gradients of 0; and
    set their `done` to T. (Of the settings, the betas and eps count.)"""
    for row in rows:
        for missed in factors[done[row] :].tolist():
            adamw_update(parameter[row], 0.0, first_moment[row], second_moment[row], missed, settings)
    done[rows] = len(factors)


def adamw_update(
    parameter: np.ndarray, grad: Any, first_moment: np.ndarray, second_moment: np.ndarray, factors: Any, settings: AdamWSettings
) -> None:
    """The four lines of `adamw_step`."""
    keep, length, correction = factors
    parameter *= keep
    first_moment += (grad - first_moment) * (1 - settings.beta1)
    second_moment *= settings.beta2
    second_moment += grad * grad * (1 - settings.beta2)
    parameter -= length * (first_moment / (np.sqrt(second_moment) / correction + settings.eps))


def adamw_factors(settings: AdamWSettings) -> tuple[float, float, float]:
    """-> what the parameter is multiplied by, the step's length, and what the root of the second moment is divided by."""
    length = settings.lr / (1 - settings.beta1**settings.step)
    return 1 - settings.lr * settings.weight_decay, length, math.sqrt(1 - settings.beta2**settings.step)


# NumPy has no erf. Its values at multiples of 1/128 and, from there, five terms of the Taylor series (every derivative
# of erf is its slope times a polynomial): at most 1e-15 off, as exact as float64 needs it.
STEP = 1 / 128
GRID = np.array([math.erf(i * STEP) for i in range(int(6 / STEP) + 1)])  # erf(6) is 1 to float64's last bit


def erf(x: np.ndarray) -> np.ndarray:
    """x -> 2/√π ∫₀ˣ exp(−t²) dt, in x's own precision."""
    distance = np.fmin(np.abs(x), 6)  # not minimum: NaN is no index, and gelu's other factor
    index = np.rint(distance / STEP)
    a = index * STEP
    h = distance - a  # exact, and at most half a step
    slope = 2 / math.sqrt(math.pi) * np.exp(-a * a)
    third, fourth, fifth = (2 * a * a - 1) / 3, a * (2 * a * a - 3) / 6, (4 * a**4 - 12 * a * a + 3) / 30
    series = h * (1 - h * (a - h * (third - h * (fourth - h * fifth))))
    return np.copysign(GRID.astype(x.dtype)[index.astype(np.intp)] + slope * series, x)
