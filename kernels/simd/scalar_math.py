"""exp and the activations for one float32, without a branch, so that a loop over them is vectorized.

`trace.py` also runs them on LLVM vectors, so they use only operations that both support. Every step is one IEEE operation
or a fused multiply-add: a value has the same bits in a vector and in a loop's scalar remainder.
`tests/kernels/test_scalar_math.py` measures the errors.

Polynomials are split into independent parts (Estrin's scheme), because with Horner's the processor waits for one
multiply-add after another.
"""

from __future__ import annotations

import math

import numpy as np

from ..compiler.jit import jit
from .elementwise import clamp_max, clamp_min
from .emit import fma

F = np.float32
LOG2_E = F(math.log2(math.e))
LN2_HIGH = F(0.693359375)  # ln 2 in two parts: n times the first is exact for |n| < 2¹⁵
LN2_LOW = F(math.log(2) - 0.693359375)
# Magic-number rounding: adding this to |x| < 2²² rounds x, for no bit is left for a fraction; the low bits are the integer.
ROUND_MAGIC = F(1.5 * 2**23)
ROUND_MAGIC_EXP = F(1.5 * 2**23 + 127)  # the low bits are the integer + 127: the biased exponent of float32's 2ⁿ
# Minimax coefficients, fitted in float64 by iteratively reweighted least squares (Lawson's algorithm).
EXP = tuple(map(F, (0.5, 0.1666652113, 0.0416683890, 0.0083687107, 0.0013814613)))  # (eʳ - 1 - r) / r², |r| < ln 2 / 2
# (Φ(x) - 1/2) / x = P(x²) / Q(x²) for |x| < 5.4, with an error of 5e-9 in x P / Q: the same fit, of x P - Q (Φ - 1/2) with
# weights 1 / Q. A common factor of P and Q is free; this one had the smallest rounding errors of a hundred tried.
P = tuple(map(F, (0.4990643, 0.041747633, 0.005818071, 0.00020556146, 7.956187e-06, 2.9256064e-08)))
Q = tuple(map(F, (1.2509688, 0.3131399, 0.03550086, 0.0023255288, 9.0570415e-05, 1.521917e-06)))
LIMIT = F(5.4**2)  # there Φ is 1 - 3e-8


@jit(inline="always", error_model="numpy")
def expm1_poly(r):
    """eʳ - 1 for |r| < ln 2 / 2: a polynomial of degree 6."""
    square = r * r
    high = fma(square, fma(r, EXP[4], EXP[3]), fma(r, EXP[2], EXP[1]))
    return fma(square, fma(r, high, EXP[0]), r)


@jit(inline="always", error_model="numpy")
def exp_poly(r):
    """eʳ for |r| < ln 2 / 2."""
    return expm1_poly(r) + F(1)


@jit(inline="always", error_model="numpy")
def exp(x):
    """eˣ = 2ⁿ eʳ with an integer n and |r| < ln 2 / 2.

    2ⁿ is the product of two powers, each built from its exponent bits: n reaches 128 and -150, float32's exponent only 127
    and -126.
    """
    x = clamp_max(clamp_min(x, F(-104)), F(89))  # beyond these eˣ is 0 or infinite; NaN stays NaN
    rounded = F(fma(x, LOG2_E, ROUND_MAGIC))
    n = rounded - ROUND_MAGIC
    power_of_r = exp_poly(fma(n, -LN2_LOW, fma(n, -LN2_HIGH, x)))
    exponent = np.int32(rounded.view(np.int32) - 0x4B400000)  # the bits of ROUND_MAGIC
    half = np.int32(exponent >> 1)
    rest = np.int32(exponent - half)
    return power_of_r * np.int32((half + 127) << 23).view(F) * np.int32((rest + 127) << 23).view(F)


@jit(inline="always", error_model="numpy")
def exp_nonpositive(x):
    """eˣ for x ≤ 0, as a softmax needs it; 0 below -87.7, where eˣ would be subnormal. Cheaper than `exp`."""
    x = clamp_min(x, F(-88))
    rounded = F(fma(x, LOG2_E, ROUND_MAGIC_EXP))
    n = rounded - ROUND_MAGIC_EXP
    power_of_r = exp_poly(fma(n, -LN2_LOW, fma(n, -LN2_HIGH, x)))
    return power_of_r * np.int32(rounded.view(np.int32) << 23).view(F)


@jit(inline="always", error_model="numpy")
def normal_above_half(x):
    """Φ(|x|) - 1/2, Φ the normal distribution's cumulative function: |x| times a rational function of x².

    x² is clamped to LIMIT, where the rational function then stays constant; so its product with |x| grows, and is clamped
    to 1/2.
    """
    distance, square = abs(x), x * x
    z = clamp_max(square, LIMIT)
    p = fma(z, P[5], P[4])
    q = fma(z, Q[5], Q[4])
    p = fma(z, p, P[3])
    q = fma(z, q, Q[3])
    p = fma(z, p, P[2])
    q = fma(z, q, Q[2])
    p = fma(z, p, P[1])
    q = fma(z, q, Q[1])
    p = fma(z, p, P[0])
    q = fma(z, q, Q[0])
    return clamp_max(distance * p / q, F(0.5))


@jit(inline="always", error_model="numpy")
def gelu(x):
    """x Φ(x) = x / 2 + |x| (Φ(|x|) - 1/2).

    From some point on gelu is exactly x, or 0. The one division is cheaper than erf by way of an exp.
    """
    return fma(abs(x), normal_above_half(x), x * F(0.5))


@jit(inline="always", error_model="numpy")
def gelu_tanh(x):
    """x (1 + tanh(u)) / 2 with u = √(2/π) (x + 0.044715 x³), which is x / (1 + exp(-2 u))."""
    u = x * fma(x * x, F(0.044715 * math.sqrt(2 / math.pi)), F(math.sqrt(2 / math.pi)))
    return x / (F(1) + exp(F(-2) * u))


@jit(inline="always", error_model="numpy")
def silu(x):
    """x / (1 + exp(-x))."""
    return x / (F(1) + exp(-x))


@jit(inline="always", error_model="numpy")
def relu(x):
    """max(x, 0); NaN stays NaN."""
    return clamp_min(x, F(0))


@jit(inline="always", error_model="numpy")
def tanh(x):
    """(eᵘ - 1) / (eᵘ + 1) with u = 2 |x|, and eᵘ - 1 = 2ⁿ (eʳ - 1) + 2ⁿ - 1, so small values lose no bits."""
    u = clamp_max(abs(x) * F(2), F(40))  # where tanh is 1
    rounded = F(fma(u, LOG2_E, ROUND_MAGIC_EXP))
    n = rounded - ROUND_MAGIC_EXP
    power = np.int32(rounded.view(np.int32) << 23).view(F)
    expm1 = F(fma(power, expm1_poly(fma(n, -LN2_LOW, fma(n, -LN2_HIGH, u))), power - F(1)))
    return F(math.copysign(expm1 / (expm1 + F(2)), x))


GELU, GELU_TANH, RELU, SILU, TANH = range(5)
NO_ACTIVATION = -1
ACTIVATIONS = {GELU: gelu, GELU_TANH: gelu_tanh, RELU: relu, SILU: silu}  # those that a product's epilogue can have
