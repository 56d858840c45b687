"""x with zeros from a counter-based generator. The formula is `reference.dropout`, the bits are `philox.random_bits`."""

from __future__ import annotations

import numpy as np

from ..compiler.jit import jit
from ..philox import KEY_STEPS, MULTIPLIERS, ROUNDS, DropoutSettings
from ..registry import variant
from ..runtime.buffer_pool import MIN_POOLED_FLOATS, empty
from ..runtime.threads import THREAD, run
from ..simd.emit import fetch_add

U64 = np.uint64
FIRST_MULTIPLIER, SECOND_MULTIPLIER = MULTIPLIERS
FIRST_KEY_STEP, SECOND_KEY_STEP = KEY_STEPS
LOW_WORD, WORD_BITS = U64(0xFFFFFFFF), U64(32)
DROPOUT_TASK_VALUES = 8_192  # some 10 µs
SAME_BITS = {"tolerance": 0.0, "tolerance_reason": "the same bits decide, and one product is rounded"}


def dropout_arguments(settings: DropoutSettings) -> tuple[float, tuple[int, ...]]:
    """-> 1 / (1 − rate), and (the least word that keeps a value, key's halves, site, step)."""
    least = settings.least_kept
    return 1 / (1 - settings.rate), (least, settings.seed & 0xFFFFFFFF, settings.seed >> 32, settings.site, settings.step)


@jit(inline="always")
def philox_words(block, row, numbers):
    """Four columns' bits, `block` the first column over 4: philox4x32-10 of (block, row, site, step), as four uint64."""
    a, b, c, d = U64(block), U64(row), U64(numbers[3]), U64(numbers[4])
    k, m = U64(numbers[1]), U64(numbers[2])
    for _ in range(ROUNDS):
        first, second = FIRST_MULTIPLIER * a, SECOND_MULTIPLIER * c
        a, b, c, d = (second >> WORD_BITS) ^ b ^ k, second & LOW_WORD, (first >> WORD_BITS) ^ d ^ m, first & LOW_WORD
        k, m = (k + FIRST_KEY_STEP) & LOW_WORD, (m + SECOND_KEY_STEP) & LOW_WORD
    return a, b, c, d


@variant("dropout", **SAME_BITS)
def dropout_naive(x, settings):
    """Four columns at a time: their bits, then each is kept or not."""
    scale, numbers = dropout_arguments(settings)
    return drop_rows(x, np.float32(scale), numbers)


@jit()
def drop_rows(x, scale, numbers):
    y = np.empty_like(x)
    for row in range(len(x)):
        for first in range(0, x.shape[1], 4):
            words = philox_words(first // 4, row, numbers)
            for i in range(min(4, x.shape[1] - first)):
                y[row, first + i] = x[row, first + i] * (scale if words[i] >= U64(numbers[0]) else np.float32(0))
    return y


@variant("dropout", **SAME_BITS)
def dropout_vector(x, settings):
    """A row's bits first, in vectors whose lanes are blocks of four columns; then its values. Rows on threads."""
    x = np.ascontiguousarray(x)
    y = empty(*x.shape)
    scale, numbers = dropout_arguments(settings)
    scratch = (max(x.shape[1] + 3, MIN_POOLED_FLOATS),)
    run(dropout_tasks, -(-x.size // DROPOUT_TASK_VALUES), x, y, scale, numbers, scratch=(scratch,))
    return y


@jit(nogil=True, error_model="numpy")
def dropout_tasks(counter, scratch, x, y, scale, numbers):
    """Do one task after another until none is left: some rows of x (M, K)."""
    words = scratch[0][fetch_add(counter[THREAD:])].view(np.uint32)
    columns, factor = x.shape[1], np.float32(scale)
    rows_per_task = max(DROPOUT_TASK_VALUES // columns, 1)
    task = fetch_add(counter)
    while task * rows_per_task < len(x):
        for row in range(task * rows_per_task, min(task * rows_per_task + rows_per_task, len(x))):
            fill_words(words, (columns + 3) // 4, row, numbers)
            drop_row(x[row], words, y[row], factor, numbers)
        task = fetch_add(counter)


@jit(error_model="numpy")
def fill_words(words, blocks, row, numbers):
    """The bits of a row's first 4 · blocks columns."""
    for block in range(blocks):
        a, b, c, d = philox_words(block, row, numbers)
        words[4 * block] = np.uint32(a)
        words[4 * block + 1] = np.uint32(b)
        words[4 * block + 2] = np.uint32(c)
        words[4 * block + 3] = np.uint32(d)


@jit(error_model="numpy")
def drop_row(x, words, y, factor, numbers):
    least = np.uint32(numbers[0])
    for i in range(len(x)):
        y[i] = x[i] * (factor if words[i] >= least else np.float32(0))
