"""A product and what follows it as one operation, for every ladder: linear_gelu, linear_add, query_key_value, ...

`fused("register", product, pack, ...)` makes variants of them from product(finish, x, *packed, residual=None, parts=slice)
-> (parts, M, N), whose tiles end with the activation that `finish` names, or with the residual; `parts` are those of the
packed weights that x is multiplied with. Their formulas are in `composed.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ..registry import Variant, register
from ..simd.scalar_math import GELU, GELU_TANH, NO_ACTIVATION, RELU, SILU

ACTIVATED = {"linear_gelu": GELU, "linear_gelu_tanh": GELU_TANH, "linear_relu": RELU, "linear_silu": SILU}


def fused(name: str, product: Callable, pack_weights: Callable, *, tolerance: float, tolerance_reason: str) -> None:
    """Register the variants called `name`."""

    def activated(finish, x, *packed):
        return product(finish, x, *packed)[0]

    def added(x, residual, *packed):
        return product(NO_ACTIVATION, x, *packed, residual=residual)[0]

    def query_key_value(asking, x, *packed):
        if asking is x:  # one product from three weights' panels: x is read once, and threads meet once
            return tuple(product(NO_ACTIVATION, x, *packed))
        return *product(NO_ACTIVATION, asking, *packed, parts=slice(0, 1)), *product(NO_ACTIVATION, x, *packed, parts=slice(1, 3))

    functions = {operation: partial(activated, finish) for operation, finish in ACTIVATED.items()}
    for operation, function in {**functions, "linear_add": added, "query_key_value": query_key_value}.items():
        register(Variant(operation, name, function, tolerance, tolerance_reason, pack_weights, capturable=True))
