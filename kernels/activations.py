"""gelu, gelu_tanh, relu, silu: each value by itself, whatever the array's shape. The formulas are in `reference.py`."""

from __future__ import annotations

import math

import numpy as np

from .buffers import empty
from .functions import gelu, gelu_tanh, silu
from .jit import jit
from .registry import variant
from .threads import run
from .vectors import next_task

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


TASK = 16_384  # values: 64 KiB, 10 to 25 µs
VECTOR_EXP = "float32 arithmetic around an exp or erf exact to 1.2 ulp"


def on_threads(kernel, x):
    """The kernel over x's values in the order of memory -> y of x's shape."""
    x = np.ascontiguousarray(x)
    y = empty(*x.shape)
    run(kernel, -(-x.size // TASK), x.reshape(-1), y.reshape(-1))
    return y


@variant("gelu", tolerance=2e-7, why=VECTOR_EXP)
def gelu_vector(x):
    """An erf without a branch (`functions.py`), eight values at a time; blocks on threads."""
    return on_threads(gelu_tasks, x)


@jit(nogil=True, error_model="numpy")
def gelu_tasks(counter, x, y):
    task = next_task(counter)
    while task * TASK < len(x):
        source, target = x[task * TASK : task * TASK + TASK], y[task * TASK : task * TASK + TASK]
        for i in range(len(source)):
            target[i] = gelu(source[i])
        task = next_task(counter)


@variant("gelu_tanh", tolerance=2e-7, why=VECTOR_EXP)
def gelu_tanh_vector(x):
    """One exp in place of the tanh, eight values at a time; blocks on threads."""
    return on_threads(gelu_tanh_tasks, x)


@jit(nogil=True, error_model="numpy")
def gelu_tanh_tasks(counter, x, y):
    task = next_task(counter)
    while task * TASK < len(x):
        source, target = x[task * TASK : task * TASK + TASK], y[task * TASK : task * TASK + TASK]
        for i in range(len(source)):
            target[i] = gelu_tanh(source[i])
        task = next_task(counter)


@variant("relu", tolerance=0.0, why="nothing is rounded")
def relu_vector(x):
    """Eight comparisons at a time; blocks on threads."""
    return on_threads(relu_tasks, x)


@jit(nogil=True, error_model="numpy")
def relu_tasks(counter, x, y):
    task = next_task(counter)
    while task * TASK < len(x):
        source, target = x[task * TASK : task * TASK + TASK], y[task * TASK : task * TASK + TASK]
        for i in range(len(source)):
            target[i] = max(source[i], np.float32(0))
        task = next_task(counter)


@variant("silu", tolerance=2e-7, why=VECTOR_EXP)
def silu_vector(x):
    """An exp without a branch, eight values at a time; blocks on threads."""
    return on_threads(silu_tasks, x)


@jit(nogil=True, error_model="numpy")
def silu_tasks(counter, x, y):
    task = next_task(counter)
    while task * TASK < len(x):
        source, target = x[task * TASK : task * TASK + TASK], y[task * TASK : task * TASK + TASK]
        for i in range(len(source)):
            target[i] = silu(source[i])
        task = next_task(counter)
