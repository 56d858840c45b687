"""gelu, gelu_tanh, relu, silu, tanh: each value by itself, whatever the array's shape. The formulas are in `reference.py`."""

from __future__ import annotations

import math

import numpy as np

from ..compiler.jit import jit
from ..registry import variant
from ..runtime.buffer_pool import MIN_POOLED_FLOATS, empty, exceeds_llc
from ..runtime.threads import THREAD, run
from ..simd.elementwise import store_nontemporal
from ..simd.emit import fetch_add
from ..simd.scalar_math import GELU, GELU_TANH, RELU, SILU, TANH, gelu, gelu_tanh, relu, silu, tanh

ONE_VALUE = "each value is computed in float64 and rounded once"


@variant("gelu", tolerance=2e-7, tolerance_reason=ONE_VALUE)
@jit()
def gelu_naive(x):
    """The C library's erf for each value."""
    y = np.empty_like(x)
    for i in range(x.size):
        value = np.float64(x.flat[i])
        y.flat[i] = value * (1 + math.erf(value * math.sqrt(0.5))) * 0.5
    return y


@variant("gelu_tanh", tolerance=2e-7, tolerance_reason=ONE_VALUE)
@jit()
def gelu_tanh_naive(x):
    """The C library's tanh for each value."""
    y = np.empty_like(x)
    for i in range(x.size):
        value = np.float64(x.flat[i])
        y.flat[i] = value * (1 + math.tanh(math.sqrt(2 / math.pi) * (value + 0.044715 * value**3))) * 0.5
    return y


@variant("relu", tolerance=0.0, tolerance_reason="nothing is rounded")
@jit()
def relu_naive(x):
    """A comparison for each value."""
    y = np.empty_like(x)
    for i in range(x.size):
        y.flat[i] = max(x.flat[i], 0)
    return y


@variant("silu", tolerance=2e-7, tolerance_reason=ONE_VALUE)
@jit()
def silu_naive(x):
    """The C library's tanh for each value."""
    y = np.empty_like(x)
    for i in range(x.size):
        value = np.float64(x.flat[i])
        y.flat[i] = value * (1 + math.tanh(value * 0.5)) * 0.5
    return y


@variant("tanh", tolerance=2e-7, tolerance_reason=ONE_VALUE)
@jit()
def tanh_naive(x):
    """The C library's tanh for each value."""
    y = np.empty_like(x)
    for i in range(x.size):
        y.flat[i] = math.tanh(np.float64(x.flat[i]))
    return y


TASK = 16_384  # values: 64 KiB, 5 to 10 µs
LONG = 131_072  # of a result that is larger than the caches: a task's beginning is read before its reading ahead has begun
BLOCK = 512  # values: what is written past the caches stays in the nearest until a block is whole
VECTOR = "float32 arithmetic, with a rational function or an exp that is exact to 1.1 ulp"


def on_threads(function, x):
    """The function over x's values in the order of memory -> y of x's shape."""
    x = np.ascontiguousarray(x)
    y = empty(*x.shape)
    size, own = (LONG, MIN_POOLED_FLOATS) if exceeds_llc(y.reshape(-1)) else (TASK, 0)
    run(activate, -(-x.size // size), x.reshape(-1), y.reshape(-1), function, size, scratch=((own,),))
    return y


@variant("gelu", tolerance=2e-7, tolerance_reason=VECTOR, capturable=True)
def gelu_vector(x):
    """A rational function in place of erf (`functions.py`), a vector of values at a time; blocks on threads."""
    return on_threads(GELU, x)


@variant("gelu_tanh", tolerance=2e-7, tolerance_reason=VECTOR, capturable=True)
def gelu_tanh_vector(x):
    """One exp in place of the tanh, a vector of values at a time; blocks on threads."""
    return on_threads(GELU_TANH, x)


@variant("relu", tolerance=0.0, tolerance_reason="nothing is rounded", capturable=True)
def relu_vector(x):
    """A vector of comparisons at a time; blocks on threads."""
    return on_threads(RELU, x)


@variant("silu", tolerance=2e-7, tolerance_reason=VECTOR, capturable=True)
def silu_vector(x):
    """An exp without a branch, a vector of values at a time; blocks on threads."""
    return on_threads(SILU, x)


@variant("tanh", tolerance=2e-7, tolerance_reason=VECTOR, capturable=True)
def tanh_vector(x):
    """One exp, a vector of values at a time; blocks on threads."""
    return on_threads(TANH, x)


@jit(nogil=True, error_model="numpy")
def activate(counter, scratch, x, y, function, size):
    """Do one task after another until none is left, a block at a time; what is beyond the caches is written past them."""
    own = scratch[0][fetch_add(counter[THREAD:])][:BLOCK]
    task = fetch_add(counter)
    while task * size < len(x):
        for first in range(task * size, min(task * size + size, len(x)), BLOCK):
            source, target = x[first : first + BLOCK], y[first : first + BLOCK]
            if size == LONG:
                activate_block(source, own, function)
                store_nontemporal(target, own, 1)
            else:
                activate_block(source, target, function)
        task = fetch_add(counter)


@jit(error_model="numpy")
def activate_block(x, y, function):
    if function == GELU:
        for i in range(len(x)):
            y[i] = gelu(x[i])
    elif function == GELU_TANH:
        for i in range(len(x)):
            y[i] = gelu_tanh(x[i])
    elif function == RELU:
        for i in range(len(x)):
            y[i] = relu(x[i])
    elif function == SILU:
        for i in range(len(x)):
            y[i] = silu(x[i])
    else:
        for i in range(len(x)):
            y[i] = tanh(x[i])
