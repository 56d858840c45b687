"""The inputs that every gradient meets, beside its forward operation: odd sizes, masks, one row, large offsets, outliers.

`CASES` names them; each has the operation's forward and backward function over the arrays that have a gradient, in any
float type: `backward(grad, *arrays)` gives one gradient for each array. Constants, such as ids, are bound to both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from minibert.kernels.catalog import Ops, make_training_ops
from minibert.kernels.philox import DropoutSettings
from minibert.models import losses

HEADS = 3


class GradientCase(NamedTuple):
    operation: str
    forward: Callable
    backward: Callable
    arrays: tuple[np.ndarray, ...]  # float64
    constants: dict = {}  # what torch's version of it needs too


def normal(*shape, seed=0, scale=1.0):
    return np.random.default_rng(seed).normal(size=shape) * scale


def linear_cases(ops):
    def forward(x, weight, bias):
        return ops.linear(x, *ops.pack_weights("linear", weight, bias))

    def backward(grad, x, weight, bias):
        return ops.linear_grad(grad, x, weight)

    for name, (rows, inputs, outputs) in {"odd": (7, 61, 37), "one row": (1, 5, 3), "sums of 128": (131, 259, 140)}.items():
        arrays = normal(rows, inputs), normal(outputs, inputs, seed=1), normal(outputs, seed=2)
        yield f"linear, {name}", GradientCase("linear", forward, backward, arrays)

    def query_key_value(query_input, x, *parameters):
        return np.concatenate(ops.query_key_value(query_input, x, *ops.pack_weights("query_key_value", *parameters)))

    def query_key_value_grad(grad, query_input, x, *parameters):
        grads = np.split(grad, [len(query_input), len(query_input) + len(x)])
        return ops.query_key_value_grad(grads, query_input, x, *parameters[::2])

    parameters = [normal(*shape, seed=seed) for seed, shape in enumerate([(11, 13), (11,)] * 3)]
    arrays = normal(3, 13, seed=7), normal(8, 13, seed=8), *parameters
    yield "query_key_value", GradientCase("query_key_value", query_key_value, query_key_value_grad, arrays)


def row_cases(ops):
    rows = np.array([0, 4, 4, 2])
    yield (
        "take, one row twice",
        GradientCase(
            "take",
            lambda x: ops.take(x, rows),
            lambda grad, x: (ops.take_grad(grad, rows, len(x)),),
            (normal(6, 5),),
            {"rows": rows},
        ),
    )
    ids = np.array([3, 3, 0, 6, 3]), np.array([0, 1, 1, 0, 1]), np.array([0, 1, 2, 0, 1])
    arrays = normal(8, 13), normal(2, 13, seed=1), normal(4, 13, seed=2), normal(13, seed=3), normal(13, seed=4)
    yield (
        "embed",
        GradientCase(
            "embed",
            lambda *a: ops.embed(*ids, a[:3], *a[3:], 1e-3),
            lambda grad, *a: ops.embed_grad(grad, *ids, a[:3], a[3], 1e-3),
            arrays,
            {"ids": ids, "eps": 1e-3},
        ),
    )


def norm_cases(ops):
    x = normal(9, 33)
    inputs = {
        "odd": x,
        "one row": x[:1],
        "several blocks": normal(37, 33, seed=5),
        "a large offset": x + 100,
        "an outlier": np.where(np.arange(33) == 3, x * 1000, x),
    }
    for name, array in inputs.items():
        for eps in (1e-12, 1e-1):
            yield (
                f"layer_norm, {name}, eps {eps}",
                GradientCase(
                    "layer_norm",
                    lambda x, weight, bias, eps=eps: ops.layer_norm(x, weight, bias, eps),
                    lambda grad, x, weight, bias, eps=eps: ops.layer_norm_grad(grad, x, weight, eps),
                    (array, normal(33, seed=1), normal(33, seed=2)),
                    {"eps": eps},
                ),
            )


def softmax_cases(ops):
    masks = {"unmasked": None, "masked": np.arange(17) % 3 > 0, "all but one masked": np.arange(17) == 5}
    masks["all masked"] = np.zeros(17, bool)
    for name, mask in masks.items():
        yield (
            f"softmax, {name}",
            GradientCase(
                "softmax",
                lambda scores, mask=mask: ops.softmax(scores, mask),
                lambda grad, scores, mask=mask: (ops.softmax_grad(grad, ops.softmax(scores, mask), mask),),
                (normal(2, 5, 17, scale=3),),
                {"mask": mask},
            ),
        )


def activation_cases(ops):
    x = np.concatenate([normal(40, scale=3), [-30, -6, 1e-3, 6, 30]])
    for name in ("gelu", "gelu_tanh", "relu", "silu", "tanh"):
        gradient = getattr(ops, f"{name}_grad")
        yield name, GradientCase(name, getattr(ops, name), lambda grad, x, gradient=gradient: (gradient(grad, x),), (x,))


def dropout_cases(ops):
    settings = DropoutSettings(0.3, 5, 2, 1)
    forward, backward = lambda x: ops.dropout(x, settings), lambda grad, x: (ops.dropout(grad, settings),)
    yield "dropout", GradientCase("dropout", forward, backward, (normal(7, 13),))


def attention_cases(ops):
    bounds = np.array([0, 1, 8, 13])  # of three sequences
    masks = {
        "unmasked": None,
        "masked": np.arange(13) % 3 > 0,
        "all but one masked": np.isin(np.arange(13), (0, 3, 12)),
        "a sequence all masked": np.arange(13) < 8,
    }
    settings = DropoutSettings(0.4, 3, 1, 2)
    for mask in masks:
        for options in ({}, {"window": 2}, {"bias": True}, {"bias": True, "window": 0}, {"settings": settings}):
            for one_each in (False, True):
                name = f"attention, {mask}, {', '.join(options) or 'plain'}, {'a query each' if one_each else 'all queries'}"
                yield name, attention_case(ops, bounds, masks[mask], one_each, **options)
    bounds, mask = np.array([0, 70, 71, 104]), np.arange(104) % 7 > 0  # more queries than a tile has
    for options in ({}, {"bias": True, "window": 9}, {"settings": settings}, {"settings": settings, "bias": True}):
        name = f"attention, longer sequences, {', '.join(options) or 'plain'}"
        yield name, attention_case(ops, bounds, mask, False, size=33, **options)


def attention_case(ops, bounds, key_mask, one_each, settings=None, bias=False, window=None, size=5):
    query, key, value = normal(3, bounds[-1], HEADS * size)
    arrays = [query[bounds[:-1]] if one_each else query, key, value]
    if bias:
        arrays.append(normal(HEADS, *(2 * [max(8, np.diff(bounds).max())]), seed=4))

    def forward(query, key, value, bias=None):
        inputs = query, key, value, bounds, key_mask, HEADS
        if settings is not None:
            return ops.attention_dropout(*inputs, settings, bias, window)
        return ops.attention(*inputs, bias, window)

    def backward(grad, query, key, value, bias=None):
        return ops.attention_grad(grad, query, key, value, bounds, key_mask, HEADS, settings, bias, window)

    constants = {"bounds": bounds, "key_mask": key_mask, "window": window, "settings": settings}
    return GradientCase("attention", forward, backward, tuple(arrays), constants)


def loss_cases(ops):
    labels, weights = np.array([0, 4, -100, 2, 2, 1]), np.array([0.5, 2.0, 1.0, 0.0, 1.5])
    for class_weights in (None, weights):
        for smoothing in (0.0, 0.1, 0.9):
            arguments = labels, class_weights, smoothing
            yield (
                f"cross_entropy, {'weighted' if class_weights is not None else 'plain'}, smoothed by {smoothing}",
                GradientCase(
                    "cross_entropy",
                    lambda x, arguments=arguments: losses.cross_entropy(x, *arguments),
                    lambda grad, x, arguments=arguments: (grad * losses.cross_entropy_grad(x, *arguments),),
                    (normal(6, 5, scale=3),),
                    {"arguments": arguments},
                ),
            )
    targets = np.random.default_rng(1).random((6, 5))
    for name in ("binary_cross_entropy", "mean_squared_error"):
        forward, gradient = getattr(losses, name), getattr(losses, f"{name}_grad")
        yield (
            name,
            GradientCase(
                name,
                lambda x, forward=forward: forward(x, targets.astype(x.dtype)),
                lambda grad, x, gradient=gradient: (grad * gradient(x, targets.astype(x.dtype)),),
                (normal(6, 5, scale=20),),
                {"targets": targets},
            ),
        )


MAKERS = (linear_cases, row_cases, norm_cases, softmax_cases, activation_cases, dropout_cases, attention_cases, loss_cases)


def make_cases(ops: Ops) -> dict[str, GradientCase]:
    """Case's name -> the case, computed by these operations."""
    return {name: case for maker in MAKERS for name, case in maker(ops)}


CASES = make_cases(make_training_ops())
