"""A matrix product and its epilogue as one operation, for every ladder: linear_gelu, linear_add, query_key_value, ...

`register_fused("register", gemm_f32, pack_f32, ...)` makes variants from gemm_f32(activation, x, *packed, residual=None,
parts=slice) -> (parts, M, N). Its tiles end with the activation or with the residual; `parts` are those of the packed
weights that x is multiplied with. The formulas are in `composed.py`. CUTLASS says epilogue, oneDNN post-ops.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ..registry import Variant, register
from ..simd.scalar_math import GELU, GELU_TANH, NO_ACTIVATION, RELU, SILU

FUSED_ACTIVATIONS = {"linear_gelu": GELU, "linear_gelu_tanh": GELU_TANH, "linear_relu": RELU, "linear_silu": SILU}


def register_fused(
    name: str,
    gemm: Callable,
    pack_weights: Callable,
    repack_weights: Callable | None = None,
    pack_for_product: Callable | None = None,
    rounds: bool = False,
    **fields: Any,
) -> None:
    """Register the variants called `name`, with these further fields of `Variant`. With `rounds`, `gemm` has the option `rounded`
    of query_key_value."""

    def linear_activation(activation, x, *packed):
        return gemm(activation, x, *packed)[0]

    def linear_add(x, residual, *packed):
        return gemm(NO_ACTIVATION, x, *packed, residual=residual)[0]

    def query_key_value(query_input, x, *packed, rounded=False):
        options = {"rounded": rounded} if rounds else {}
        if query_input is x:  # one product with three weights: x is packed once, and threads meet once
            return tuple(gemm(NO_ACTIVATION, x, *packed, **options))
        query = gemm(NO_ACTIVATION, query_input, *packed, parts=slice(0, 1), **options)
        return *query, *gemm(NO_ACTIVATION, x, *packed, parts=slice(1, 3), **options)

    fields |= {"pack_weights": pack_weights, "capturable": True, "repack_weights": repack_weights}
    for operation, activation in FUSED_ACTIVATIONS.items():
        function = partial(linear_activation, activation)
        register(Variant(operation, name, function, **fields, pack_for_product=pack_for_product))
    register(Variant("linear_add", name, linear_add, **fields))
    register(Variant("query_key_value", name, query_key_value, **fields))
