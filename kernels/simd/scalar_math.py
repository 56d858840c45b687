"""exp and the activations, for one float32: without a branch, so that a loop over them becomes vectors.

They are also run on vectors of LLVM's (`intrinsics_traced.py`), so they are written in operations that both know. Every step
is a single operation of IEEE arithmetic or a fused multiply-add, so a value's bits are the same in a vector
and in a loop's last few. `tests/test_functions.py` measures the errors. (A loop becomes vectors only where these are
inlined by Numba: with LLVM's `forceinline`, gelu took 14 ns a value for 2.)

A polynomial has parts that do not wait for each other: a Zen 4 looks some 64 operations ahead, which is two vectors'
worth, and spent 20 cycles on 16 exps in Horner's form, 16 in this one.
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
# What is added to a float32 below 2²² to round it: no bit is left for a fraction, and the last ones are the whole number,
WHOLE = F(1.5 * 2**23)
POWER = F(1.5 * 2**23 + 127)  # or that plus 127, which is how float32 keeps the exponent of a power of two.
# Least squares with the weights moved until the largest error is smallest (Lawson), in float64.
EXP = tuple(map(F, (0.5, 0.1666652113, 0.0416683890, 0.0083687107, 0.0013814613)))  # (eʳ - 1 - r) / r², |r| < ln 2 / 2
# (Φ(x) - 1/2) / x = P(x²) / Q(x²) for |x| < 5.4: x P / Q is 5e-9 off, fitted in the same way, with weights 1 / Q for
# x P - Q (Φ - 1/2). Both may be scaled; of a hundred scales and limits this one's rounding errors are the smallest.
P = tuple(map(F, (0.4990643, 0.041747633, 0.005818071, 0.00020556146, 7.956187e-06, 2.9256064e-08)))
Q = tuple(map(F, (1.2509688, 0.3131399, 0.03550086, 0.0023255288, 9.0570415e-05, 1.521917e-06)))
LIMIT = F(5.4**2)  # there Φ is 1 - 3e-8


@jit(inline="always", error_model="numpy")
def exp_near_less_one(r):
    """eʳ - 1 for |r| < ln 2 / 2: a polynomial of degree 6."""
    square = r * r
    high = fma(square, fma(r, EXP[4], EXP[3]), fma(r, EXP[2], EXP[1]))
    return fma(square, fma(r, high, EXP[0]), r)


@jit(inline="always", error_model="numpy")
def exp_near(r):
    return exp_near_less_one(r) + F(1)


@jit(inline="always", error_model="numpy")
def exp(x):
    """eˣ = 2ⁿ eʳ with n whole and |r| < ln 2 / 2.

    2ⁿ is put together as bits, in two halves: n reaches 128 and -150, and float32's exponent only 127 and -126.
    """
    x = clamp_max(clamp_min(x, F(-104)), F(89))  # beyond these, 0 and infinity; NaN stays
    rounded = F(fma(x, LOG2_E, WHOLE))
    n = rounded - WHOLE
    near = exp_near(fma(n, -LN2_LOW, fma(n, -LN2_HIGH, x)))
    whole = np.int32(rounded.view(np.int32) - 0x4B400000)  # WHOLE's own bits
    half = np.int32(whole >> 1)
    rest = np.int32(whole - half)
    return near * np.int32((half + 127) << 23).view(F) * np.int32((rest + 127) << 23).view(F)


@jit(inline="always", error_model="numpy")
def exp_below(x):
    """eˣ for x ≤ 0, as a softmax needs it: 0 below -87.7, where float32 has no normal number. 10 cycles for exp's 16."""
    x = clamp_min(x, F(-88))
    rounded = F(fma(x, LOG2_E, POWER))
    n = rounded - POWER
    near = exp_near(fma(n, -LN2_LOW, fma(n, -LN2_HIGH, x)))
    return near * np.int32(rounded.view(np.int32) << 23).view(F)


@jit(inline="always", error_model="numpy")
def gelu(x):
    """x Φ(x) = x / 2 + |x| (Φ(|x|) - 1/2), of which the last factor is |x| times a rational function of x².

    Beyond the limit the function stays as it is there, so its product with |x| grows, and is cut at 1/2: from there on
    gelu is exactly x, or 0. One division costs a Zen 4 six multiplications; erf by an exp, what was here before, took
    54 cycles for 16 values, this 17.
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
    share = distance * p / q
    return fma(distance, clamp_max(share, F(0.5)), x * F(0.5))


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
    """x, or 0 where that is larger."""
    return clamp_min(x, F(0))


@jit(inline="always", error_model="numpy")
def tanh(x):
    """(eᵘ - 1) / (eᵘ + 1) with u = 2 |x|: eᵘ - 1 is 2ⁿ (eʳ - 1) + 2ⁿ - 1, so that small values keep all their bits."""
    u = clamp_max(abs(x) * F(2), F(40))  # there it is 1
    rounded = F(fma(u, LOG2_E, POWER))
    n = rounded - POWER
    power = np.int32(rounded.view(np.int32) << 23).view(F)
    less = F(fma(power, exp_near_less_one(fma(n, -LN2_LOW, fma(n, -LN2_HIGH, u))), power - F(1)))
    return F(math.copysign(less / (less + F(2)), x))


GELU, GELU_TANH, RELU, SILU, TANH = range(5)
NO_ACTIVATION = -1  # no activation
ACTIVATIONS = {GELU: gelu, GELU_TANH: gelu_tanh, RELU: relu, SILU: silu}  # that follow a product, in one with it
