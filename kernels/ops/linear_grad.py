"""The gradients of x weightᵀ + bias: two thirds of a training step. The formula is `reference.linear_grad`.

    naive       for each value of its input, two loops over a row
    threads     two products like the forward one, by its kernel, on transposed copies
    register    two products of register tiles, whose panels are packed from the matrices as they are
    bf16        the same with both sides of each product rounded to bf16
    amx         the same, each float32 as three bf16, on AMX's tiles; amx_bf16, rounded to one

grad (M, N) weight (N, K) has the sum over N, gradᵀ x the sum over M. So the panels of the first hold columns of the weight,
those of the second columns of x: copies, in which no block is transposed. Only grad itself is, for gradᵀ x.
The products are those of `linear_f32.py`, `linear_bf16.py` and `linear_amx.py`, packing is `../gemm/packing.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from ..compiler.cpu import HAS_AMX
from ..compiler.jit import jit
from ..gemm.gemm import Weights
from ..gemm.packing import as_weights, pack_columns_of, sum_of_rows, transposed
from ..registry import Variant, register, variant
from ..simd.scalar_math import NO_ACTIVATION
from .linear_bf16 import BF16_TOLERANCE, PRODUCT, Bf16Product
from .linear_f32 import F32_TOLERANCE, gemm_f32
from .linear_naive import BLOCKED_TOLERANCE, linear_threads

WITHOUT_BIAS = (np.zeros(0, np.float32),)


@variant("linear_grad", tolerance=5e-6, tolerance_reason="one running float32 sum over all rows, no pairwise help")
@jit()
def linear_grad_naive(grad, x, weight):
    """Each value of grad adds its multiple of a row of the weight to x's gradient, and of a row of x to the weight's."""
    x_grad, weight_grad, bias_grad = np.zeros_like(x), np.zeros_like(weight), np.zeros(len(weight), x.dtype)
    for m in range(len(grad)):
        for n in range(len(weight)):
            value = grad[m, n]
            bias_grad[n] += value
            for k in range(x.shape[1]):
                x_grad[m, k] += value * weight[n, k]
            for k in range(x.shape[1]):
                weight_grad[n, k] += value * x[m, k]
    return x_grad, weight_grad, bias_grad


@variant("linear_grad", **BLOCKED_TOLERANCE)
def linear_grad_threads(grad, x, weight):
    """Products in blocks on threads, as `linear_threads`, whose second operand is transposed already: so copies are
    transposed back."""
    zeros = np.zeros(x.shape[1], np.float32)
    x_grad = linear_threads(grad, transposed(weight), zeros)
    return x_grad, linear_threads(transposed(grad), transposed(x), zeros), sum_of_rows(grad)


def columns_f32(matrix) -> Weights:
    """matrix (K, N) -> what `gemm_f32` multiplies x (M, K) with."""
    return as_weights(pack_columns_of(matrix), WITHOUT_BIAS, matrix.shape[1])


def columns_split(matrix) -> Weights:
    """matrix (K, N) -> what `gemm_amx` multiplies x (M, K) with."""
    if len(matrix) > MAX_SUMMED:
        return columns_f32(matrix)
    return scaled(as_weights(pack_columns_of(matrix, SPLIT_VALUES), WITHOUT_BIAS, matrix.shape[1]))[0]


def columns_bf16(product: Bf16Product, matrix) -> Weights:
    """matrix (K, N) -> what this product multiplies x (M, K) with."""
    return as_weights(product.pack_columns(matrix), WITHOUT_BIAS, matrix.shape[1])


def register_gradients(name: str, gemm: Callable, columns: Callable, *, tolerance: float, tolerance_reason: str) -> None:
    """Register `linear_grad` and `query_key_value_grad` by this product."""

    def input_grad(grad, weight, residual=None):
        return gemm(NO_ACTIVATION, grad, *columns(weight), residual=residual)[0]

    def parameter_grads(grad, packed_x, inputs):
        if not len(grad):  # no sum to take
            return np.zeros((grad.shape[1], inputs), np.float32), np.zeros(grad.shape[1], np.float32)
        return gemm(NO_ACTIVATION, transposed(grad), *packed_x)[0], sum_of_rows(grad)

    def linear_grad(grad, x, weight):
        return input_grad(grad, weight), *parameter_grads(grad, columns(x), x.shape[1])

    def query_key_value_grad(grads, query_input, x, query_weight, key_weight, value_weight):
        packed_x, inputs = columns(x), x.shape[1]
        packed_query_input = packed_x if query_input is x else columns(query_input)
        key_input_grad = input_grad(grads[1], key_weight)
        return (
            input_grad(grads[0], query_weight),
            input_grad(grads[2], value_weight, residual=key_input_grad),  # added to it in the epilogue
            *parameter_grads(grads[0], packed_query_input, inputs),
            *parameter_grads(grads[1], packed_x, inputs),
            *parameter_grads(grads[2], packed_x, inputs),
        )

    for operation, function in {"linear_grad": linear_grad, "query_key_value_grad": query_key_value_grad}.items():
        register(Variant(operation, name, function, tolerance, tolerance_reason))


register_gradients("register", gemm_f32, columns_f32, **F32_TOLERANCE)
register_gradients("bf16", PRODUCT.gemm, partial(columns_bf16, PRODUCT), **BF16_TOLERANCE)
if HAS_AMX:
    from ..gemm.split_floats import MAX_SUMMED, SPLIT_VALUES
    from .linear_amx import AMX_PRODUCT, SPLIT_TOLERANCE, gemm_amx, scaled

    register_gradients("amx", gemm_amx, columns_split, **SPLIT_TOLERANCE)
    register_gradients("amx_bf16", AMX_PRODUCT.gemm, partial(columns_bf16, AMX_PRODUCT), **BF16_TOLERANCE)
