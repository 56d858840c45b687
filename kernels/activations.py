"""gelu, gelu_tanh, relu, silu: one value at a time, whatever the array's shape. The formulas are in `reference.py`."""

from __future__ import annotations

import math

import numpy as np

from .jit import jit
from .registry import variant

ONE_VALUE = "each value is computed in float64 and rounded once"


@variant("gelu", tolerance=2e-7, why=ONE_VALUE)
@jit()
def gelu_naive(x):
    """The C library's erf for each value."""
    y = np.empty_like(x)
    for i in range(x.size):
        value = np.float64(x.flat[i])
        y.flat[i] = value * (1 + math.erf(value * math.sqrt(0.5))) * 0.5
    return y


@variant("gelu_tanh", tolerance=2e-7, why=ONE_VALUE)
@jit()
def gelu_tanh_naive(x):
    """The C library's tanh for each value."""
    y = np.empty_like(x)
    for i in range(x.size):
        value = np.float64(x.flat[i])
        y.flat[i] = value * (1 + math.tanh(math.sqrt(2 / math.pi) * (value + 0.044715 * value**3))) * 0.5
    return y


@variant("relu", tolerance=0.0, why="nothing is rounded")
@jit()
def relu_naive(x):
    """A comparison for each value."""
    y = np.empty_like(x)
    for i in range(x.size):
        y.flat[i] = max(x.flat[i], 0)
    return y


@variant("silu", tolerance=2e-7, why=ONE_VALUE)
@jit()
def silu_naive(x):
    """The C library's tanh for each value."""
    y = np.empty_like(x)
    for i in range(x.size):
        value = np.float64(x.flat[i])
        y.flat[i] = value * (1 + math.tanh(value * 0.5)) * 0.5
    return y
