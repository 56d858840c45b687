"""Attention with dropout of its probabilities, and attention's gradients. The formulas are `composed.attention_dropout` and
`composed.attention_grad`.

    naive       one query and one head at a time, in float64
    register    all products as register tiles, whose vectors' lanes are queries (`attention_training.py`)

For one query and one head, with p the probabilities (L,), s their dropout (L,) and g the context's gradient (Dh,):

    values   += (p s) gᵀ
    t         = s (values g)                    the gradient of the probabilities
    u         = p (t − Σ p t)                   of the scores, and of the bias
    query     = keysᵀ u / √Dh
    keys     += u queryᵀ / √Dh
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ..compiler.jit import jit
from ..composed import query_bounds
from ..philox import DropoutSettings
from ..registry import variant
from .attention_naive import ROUNDING
from .dropout import U64, dropout_arguments, philox_words

NO_DROPOUT = (0, 0, 0, 0, 0)


class AttentionOptions(NamedTuple):
    """What may be left out: all keys are unmasked, the bias (0, 1, 1), the window -1, the dropout's scale 0."""

    unmasked: np.ndarray  # of all keys
    bias: np.ndarray
    window: int
    dropout_scale: float  # 1 / (1 − rate)
    dropout_numbers: tuple  # as `dropout_arguments` gives them


class QueryPosition(NamedTuple):
    """Where a query, or the first of a tile's, stands."""

    row: int  # of all rows
    position: int  # in its sequence
    first_key: int  # of all keys, its sequence's first
    head: int
    heads: int


def arguments_of(key, bounds, key_mask, settings: DropoutSettings | None, bias, window):
    """-> bounds, AttentionOptions."""
    unmasked = np.ones(len(key), np.bool_) if key_mask is None else np.ascontiguousarray(key_mask)
    bias = np.zeros((0, 1, 1), np.float32) if bias is None else np.ascontiguousarray(bias, np.float32)
    scale, numbers = (0.0, NO_DROPOUT) if settings is None else dropout_arguments(settings)
    options = AttentionOptions(unmasked, bias, -1 if window is None else int(window), scale, numbers)
    return np.ascontiguousarray(bounds, np.int64), options


@variant("attention_dropout", tolerance=2e-6, tolerance_reason=ROUNDING)
def attention_dropout_naive(query, key, value, bounds, key_mask, heads, settings, bias=None, window=None):
    """One query and one head at a time: its probabilities, some of which become 0, and the weighted sum of the values."""
    bounds, options = arguments_of(key, bounds, key_mask, settings, bias, window)
    return dropout_rows(query, key, value, query_bounds(query, bounds), bounds, heads, options)


@variant("attention_grad", tolerance=4e-6, tolerance_reason=ROUNDING)
def attention_grad_naive(grad, query, key, value, bounds, key_mask, heads, settings=None, bias=None, window=None):
    """One query and one head at a time: its probabilities again, then what its context's gradient adds to all others."""
    bounds, options = arguments_of(key, bounds, key_mask, settings, bias, window)
    grads, bias_grad = grad_rows(grad, query, key, value, query_bounds(query, bounds), bounds, heads, options)
    return grads if bias is None else (*grads, bias_grad)


@jit()
def dropout_rows(query, key, value, q_bounds, bounds, heads, options):
    context, size = np.zeros_like(query), query.shape[1] // heads
    for sequence in range(len(bounds) - 1):
        start, stop = bounds[sequence], bounds[sequence + 1]
        probabilities, dropped = np.zeros(stop - start), np.zeros(stop - start)
        for row in range(q_bounds[sequence], q_bounds[sequence + 1]):
            for head in range(heads):
                columns = slice(head * size, head * size + size)
                at = QueryPosition(row, row - q_bounds[sequence], start, head, heads)
                probabilities_of(query[row, columns], key[start:stop, columns], options, at, probabilities, dropped)
                for k in range(stop - start):
                    for i in range(size):
                        context[row, head * size + i] += probabilities[k] * dropped[k] * value[start + k, head * size + i]
    return context


@jit()
def grad_rows(grad, query, key, value, q_bounds, bounds, heads, options):
    query_grad, key_grad, value_grad = np.zeros_like(query), np.zeros_like(key), np.zeros_like(value)
    bias_grad, size = np.zeros_like(options.bias), query.shape[1] // heads
    for sequence in range(len(bounds) - 1):
        start, stop = bounds[sequence], bounds[sequence + 1]
        count = stop - start
        probabilities, dropped, t = np.zeros(count), np.zeros(count), np.zeros(count)
        frozen = options.window < 0 and not options.unmasked[start:stop].any()  # all masked: the scores are constants
        for row in range(q_bounds[sequence], q_bounds[sequence + 1]):
            for head in range(heads):
                first, columns = head * size, slice(head * size, head * size + size)
                at = QueryPosition(row, row - q_bounds[sequence], start, head, heads)
                probabilities_of(query[row, columns], key[start:stop, columns], options, at, probabilities, dropped)
                mean = 0.0
                for k in range(count):
                    t[k] = 0.0
                    for i in range(first, first + size):
                        t[k] += grad[row, i] * value[start + k, i]
                        value_grad[start + k, i] += probabilities[k] * dropped[k] * grad[row, i]
                    t[k] *= dropped[k]
                    mean += probabilities[k] * t[k]
                for k in range(0 if frozen else count):
                    score_grad = probabilities[k] * (t[k] - mean)
                    if len(bias_grad):
                        bias_grad[head, row - q_bounds[sequence], k] += score_grad
                    for i in range(first, first + size):
                        query_grad[row, i] += score_grad * key[start + k, i] / math.sqrt(size)
                        key_grad[start + k, i] += score_grad * query[row, i] / math.sqrt(size)
    return (query_grad, key_grad, value_grad), bias_grad


@jit()
def probabilities_of(query, key, options, at, probabilities, dropped):
    """query (Dh,) at a QueryPosition, key (L, Dh) -> their softmax in probabilities (L,), and in dropped (L,) what dropout
    multiplies it by."""
    unmasked, bias, window, scale, numbers = options
    row, position, start, head, heads = at
    count, largest, total = len(key), -np.inf, 0.0
    all_masked = window < 0 and not unmasked[start : start + count].any()  # then every key gets the same weight
    for k in range(count):
        probabilities[k] = -np.inf
        if all_masked:
            probabilities[k] = 0.0
        elif unmasked[start + k] and (window < 0 or abs(position - k) <= window):
            score = 0.0
            for i in range(len(query)):
                score += query[i] * key[k, i]
            probabilities[k] = score / math.sqrt(len(query)) + (bias[head, position, k] if len(bias) else 0.0)
        largest = max(largest, probabilities[k])
    for k in range(count):
        probabilities[k] = math.exp(probabilities[k] - largest) if largest > -np.inf else 0.0
        total += probabilities[k]
    for k in range(count if total > 0 else 0):
        probabilities[k] /= total
    for k in range(count):
        words = philox_words(k // 4, row * heads + head, numbers)
        keep = words[0] if k % 4 == 0 else words[1] if k % 4 == 1 else words[2] if k % 4 == 2 else words[3]
        dropped[k] = (np.float32(scale) if keep >= U64(numbers[0]) else np.float32(0)) if scale > 0 else np.float32(1)
