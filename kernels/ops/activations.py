"""gelu, gelu_tanh, relu, silu, tanh of each value of an array of any shape. The formulas are in `reference.py`."""

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


TASK_VALUES = 16_384  # 64 KiB, 5 to 10 µs
STREAM_TASK_VALUES = 8 * TASK_VALUES  # if y exceeds the last-level cache: fewer task starts, where nothing is prefetched
BLOCK_VALUES = 512  # computed into scratch, which stays in L1, before they are stored past the caches
FLOAT32_REASON = "float32 arithmetic, with a rational function or an exp that is exact to 1.1 ulp"


def activate(function, x):
    """Apply one of the functions to x's values, on threads -> y of x's shape."""
    x = np.ascontiguousarray(x)
    y = empty(*x.shape)
    nontemporal = exceeds_llc(y.reshape(-1))
    task_values = STREAM_TASK_VALUES if nontemporal else TASK_VALUES
    scratch = (MIN_POOLED_FLOATS if nontemporal else 0,)
    tasks = -(-x.size // task_values)
    run(activate_tasks, tasks, x.reshape(-1), y.reshape(-1), function, task_values, nontemporal, scratch=(scratch,))
    return y


@variant("gelu", tolerance=2e-7, tolerance_reason=FLOAT32_REASON, capturable=True)
def gelu_vector(x):
    """A rational function in place of erf (`scalar_math.py`), in vectors; blocks on threads."""
    return activate(GELU, x)


@variant("gelu_tanh", tolerance=2e-7, tolerance_reason=FLOAT32_REASON, capturable=True)
def gelu_tanh_vector(x):
    """One exp in place of the tanh, in vectors; blocks on threads."""
    return activate(GELU_TANH, x)


@variant("relu", tolerance=0.0, tolerance_reason="nothing is rounded", capturable=True)
def relu_vector(x):
    """Comparisons in vectors; blocks on threads."""
    return activate(RELU, x)


@variant("silu", tolerance=2e-7, tolerance_reason=FLOAT32_REASON, capturable=True)
def silu_vector(x):
    """An exp without a branch, in vectors; blocks on threads."""
    return activate(SILU, x)


@variant("tanh", tolerance=2e-7, tolerance_reason=FLOAT32_REASON, capturable=True)
def tanh_vector(x):
    """One exp without a branch, in vectors; blocks on threads."""
    return activate(TANH, x)


@jit(nogil=True, error_model="numpy")
def activate_tasks(counter, scratch, x, y, function, task_values, nontemporal):
    """Do one task after another until none is left: some values of x (N,), a block at a time."""
    block = scratch[0][fetch_add(counter[THREAD:])][:BLOCK_VALUES]
    task = fetch_add(counter)
    while task * task_values < len(x):
        for first in range(task * task_values, min(task * task_values + task_values, len(x)), BLOCK_VALUES):
            source, target = x[first : first + BLOCK_VALUES], y[first : first + BLOCK_VALUES]
            if nontemporal:
                activate_block(source, block, function)
                store_nontemporal(target, block, 1)
            else:
                activate_block(source, target, function)
        task = fetch_add(counter)


@jit(error_model="numpy")
def activate_block(x, y, function):
    """y = function(x): a loop for each function, so that each is vectorized."""
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
