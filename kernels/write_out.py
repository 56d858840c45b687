"""What follows a product, done before its block leaves the cache: gelu and its like. For every ladder.

`fused("register", product, pack, ...)` makes variants of `linear_gelu`, `linear_add` and their like of a product that
ends with `write_out`. Their formulas are in `composed.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from .functions import gelu, gelu_tanh, silu
from .jit import jit
from .registry import Variant, register

PLAIN, GELU, GELU_TANH, RELU, SILU = range(5)
ACTIVATIONS = {"linear_gelu": GELU, "linear_gelu_tanh": GELU_TANH, "linear_relu": RELU, "linear_silu": SILU}


@jit(error_model="numpy")
def write_out(y, left, right, finish):
    """The activation. One kernel with a choice, once a task: each more compiles for 1.5 s."""
    for row in range(len(y)):
        line = y[row][left:right]  # sliced so, Numba knows it contiguous
        if finish == GELU:
            for i in range(len(line)):
                line[i] = gelu(line[i])
        elif finish == GELU_TANH:
            for i in range(len(line)):
                line[i] = gelu_tanh(line[i])
        elif finish == RELU:
            for i in range(len(line)):
                line[i] = max(line[i], np.float32(0))
        else:
            for i in range(len(line)):
                line[i] = silu(line[i])


def fused(name: str, product: Callable, prepare: Callable, *, tolerance: float, why: str) -> None:
    """Register product(finish, x, *packed, residual=None) -> (parts, M, N) as variants called `name`."""

    def activated(finish, x, *packed):
        return product(finish, x, *packed)[0]

    def added(x, residual, *packed):
        return product(PLAIN, x, *packed, residual=residual)[0]

    def query_key_value(x, *packed):  # one product from three weights' panels: x is read once, and threads meet once
        return tuple(product(PLAIN, x, *packed))

    functions = {operation: partial(activated, finish) for operation, finish in ACTIVATIONS.items()}
    for operation, function in {**functions, "linear_add": added, "query_key_value": query_key_value}.items():
        register(Variant(operation, name, function, tolerance, why, prepare, noted=True))
