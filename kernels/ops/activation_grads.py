"""The gradients of gelu, gelu_tanh, relu, silu and tanh: grad times the function's slope. The formulas are in `reference.py`."""

from __future__ import annotations

import math

import numpy as np

from ..compiler.jit import jit
from ..registry import variant
from ..runtime.buffer_pool import empty
from ..runtime.threads import run
from ..simd.emit import fetch_add, fma
from ..simd.scalar_math import GELU, GELU_TANH, RELU, SILU, TANH, exp, exp_nonpositive, normal_above_half, tanh
from .activations import FLOAT32_REASON, ONE_VALUE, TASK_VALUES

F = np.float32
INV_SQRT_2PI = F(1 / math.sqrt(2 * math.pi))
TANH_INNER, TANH_CUBIC = F(math.sqrt(2 / math.pi)), F(0.044715 * math.sqrt(2 / math.pi))
TANH_SLOPE = F(3 * 0.044715 * math.sqrt(2 / math.pi))


@variant("gelu_grad", tolerance=2e-7, tolerance_reason=ONE_VALUE)
@jit()
def gelu_grad_naive(grad, x):
    """The C library's erf and exp for each value."""
    x_grad = np.empty_like(x)
    for i in range(x.size):
        value = np.float64(x.flat[i])
        density = math.exp(-0.5 * value * value) / math.sqrt(2 * math.pi)
        x_grad.flat[i] = grad.flat[i] * ((1 + math.erf(value * math.sqrt(0.5))) * 0.5 + value * density)
    return x_grad


@variant("gelu_tanh_grad", tolerance=2e-7, tolerance_reason=ONE_VALUE)
@jit()
def gelu_tanh_grad_naive(grad, x):
    """The C library's tanh for each value."""
    x_grad = np.empty_like(x)
    for i in range(x.size):
        value = np.float64(x.flat[i])
        t = math.tanh(math.sqrt(2 / math.pi) * (value + 0.044715 * value**3))
        slope = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * value * value)
        x_grad.flat[i] = grad.flat[i] * (1 + t + value * (1 - t * t) * slope) * 0.5
    return x_grad


@variant("relu_grad", tolerance=0.0, tolerance_reason="nothing is rounded")
@jit()
def relu_grad_naive(grad, x):
    """A comparison for each value."""
    x_grad = np.empty_like(x)
    for i in range(x.size):
        x_grad.flat[i] = grad.flat[i] * (x.flat[i] > 0)
    return x_grad


@variant("silu_grad", tolerance=2e-7, tolerance_reason=ONE_VALUE)
@jit()
def silu_grad_naive(grad, x):
    """The C library's tanh for each value."""
    x_grad = np.empty_like(x)
    for i in range(x.size):
        value = np.float64(x.flat[i])
        s = (1 + math.tanh(value * 0.5)) * 0.5
        x_grad.flat[i] = grad.flat[i] * s * (1 + value * (1 - s))
    return x_grad


@variant("tanh_grad", tolerance=2e-7, tolerance_reason=ONE_VALUE)
@jit()
def tanh_grad_naive(grad, x):
    """The C library's tanh for each value."""
    x_grad = np.empty_like(x)
    for i in range(x.size):
        y = math.tanh(np.float64(x.flat[i]))
        x_grad.flat[i] = grad.flat[i] * (1 - y * y)
    return x_grad


def activate_grad(function, grad, x):
    """grad times one of the functions' slopes at x, on threads -> an array of x's shape."""
    grad, x = np.ascontiguousarray(grad), np.ascontiguousarray(x)
    x_grad = empty(*x.shape)
    flat = grad.reshape(-1), x.reshape(-1), x_grad.reshape(-1)
    run(activate_grad_tasks, -(-x.size // TASK_VALUES), *flat, function)
    return x_grad


@variant("gelu_grad", tolerance=4e-7, tolerance_reason=FLOAT32_REASON)
def gelu_grad_vector(grad, x):
    """gelu's rational function in place of erf, and one exp, in vectors; blocks on threads."""
    return activate_grad(GELU, grad, x)


@variant("gelu_tanh_grad", tolerance=4e-7, tolerance_reason=FLOAT32_REASON)
def gelu_tanh_grad_vector(grad, x):
    """One exp without a branch, in vectors; blocks on threads."""
    return activate_grad(GELU_TANH, grad, x)


@variant("relu_grad", tolerance=0.0, tolerance_reason="nothing is rounded")
def relu_grad_vector(grad, x):
    """Comparisons in vectors; blocks on threads."""
    return activate_grad(RELU, grad, x)


@variant("silu_grad", tolerance=4e-7, tolerance_reason=FLOAT32_REASON)
def silu_grad_vector(grad, x):
    """One exp without a branch, in vectors; blocks on threads."""
    return activate_grad(SILU, grad, x)


@variant("tanh_grad", tolerance=4e-7, tolerance_reason=FLOAT32_REASON)
def tanh_grad_vector(grad, x):
    """One exp without a branch, in vectors; blocks on threads."""
    return activate_grad(TANH, grad, x)


@jit(nogil=True, error_model="numpy")
def activate_grad_tasks(counter, grad, x, x_grad, function):
    """Do one task after another until none is left: some values of x (N,)."""
    task = fetch_add(counter)
    while task * TASK_VALUES < len(x):
        first, last = task * TASK_VALUES, min(task * TASK_VALUES + TASK_VALUES, len(x))
        multiply_slopes(grad[first:last], x[first:last], x_grad[first:last], function)
        task = fetch_add(counter)


@jit(error_model="numpy")
def multiply_slopes(grad, x, x_grad, function):
    """x_grad = grad slope(x): a loop for each function, so that each is vectorized."""
    if function == GELU:
        for i in range(len(x)):
            x_grad[i] = grad[i] * gelu_slope(x[i])
    elif function == GELU_TANH:
        for i in range(len(x)):
            x_grad[i] = grad[i] * gelu_tanh_slope(x[i])
    elif function == RELU:
        for i in range(len(x)):
            x_grad[i] = grad[i] * (F(1) if x[i] > 0 else F(0))
    elif function == SILU:
        for i in range(len(x)):
            x_grad[i] = grad[i] * silu_slope(x[i])
    else:
        for i in range(len(x)):
            y = tanh(x[i])
            x_grad[i] = grad[i] * (F(1) - y * y)


@jit(inline="always", error_model="numpy")
def gelu_slope(x):
    """Φ(x) + x φ(x)."""
    density = exp_nonpositive(F(-0.5) * x * x) * INV_SQRT_2PI
    above_half = F(math.copysign(normal_above_half(x), x))
    return fma(x, density, above_half + F(0.5))


@jit(inline="always", error_model="numpy")
def gelu_tanh_slope(x):
    """s + 2 x s (1 − s) u′ with s = 1 / (1 + exp(−2 u)), which is (1 + tanh(u)) / 2."""
    u = x * fma(x * x, TANH_CUBIC, TANH_INNER)
    s = F(1) / (F(1) + exp(F(-2) * u))
    slope = fma(x * x, TANH_SLOPE, TANH_INNER)
    return fma(F(2) * x * slope, s * (F(1) - s), s)


@jit(inline="always", error_model="numpy")
def silu_slope(x):
    """s (1 + x (1 − s)) with s = 1 / (1 + exp(−x))."""
    s = F(1) / (F(1) + exp(-x))
    return fma(x * s, F(1) - s, s)
