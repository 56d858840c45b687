"""Rows of tables: `embed`, the first layer, is word + type + position, then layer norm; `take` copies rows. The formulas are
`composed.embed` and `reference.take`."""

from __future__ import annotations

import math

import numpy as np

from ..compiler.jit import jit
from ..registry import variant
from ..runtime.buffer_pool import MIN_POOLED_FLOATS, empty, exceeds_llc
from ..runtime.threads import THREAD, run
from ..simd.elementwise import prefetch_row
from ..simd.emit import fetch_add
from .layer_norm import NORM_STREAM_TASK_VALUES, NORM_TASK_VALUES, normalize_into
from .quantization import Int8Table

ONE_SCALE = np.ones(1, np.float32)  # of all rows of a float table: it changes no bit


@variant("embed", tolerance=5e-6, tolerance_reason="the sum of three rows is rounded to float32 before its mean is subtracted")
def embed_naive(token_ids, type_ids, position_ids, tables, weight, bias, eps):
    """One token at a time: its three rows are added into the result, which is then normalized in place."""
    words, types, positions = tables
    summed = embed_rows(token_ids, type_ids, position_ids, words, types, positions)
    normalize_in_place(summed, weight, bias, eps)
    return summed


@jit()
def embed_rows(token_ids, type_ids, position_ids, words, types, positions):
    rows = np.empty((len(token_ids), words.shape[1]), words.dtype)
    for n in range(len(rows)):
        for i in range(words.shape[1]):
            rows[n, i] = words[token_ids[n], i] + types[type_ids[n], i] + positions[position_ids[n], i]
    return rows


@jit()
def normalize_in_place(rows, weight, bias, eps):
    width = rows.shape[1]
    for n in range(len(rows)):
        mean = 0.0
        for i in range(width):
            mean += rows[n, i]
        mean /= width
        variance = 0.0
        for i in range(width):
            variance += (rows[n, i] - mean) ** 2
        scale = 1 / math.sqrt(variance / width + eps)
        for i in range(width):
            rows[n, i] = (rows[n, i] - mean) * scale * weight[i] + bias[i]


@variant(
    "embed",
    tolerance=5e-6,
    tolerance_reason="the sum of three rows is rounded to float32 before its mean is subtracted",
    capturable=True,
)
def embed_vector(token_ids, type_ids, position_ids, tables, weight, bias, eps):
    """Two tokens at a time with the loops of `layer_norm_vector`, while the next word's row is prefetched; blocks on threads.
    The words may be an Int8Table."""
    ids = tuple(np.ascontiguousarray(each, np.int64) for each in (token_ids, type_ids, position_ids))
    words, types, positions = tables
    values, scales = words if isinstance(words, Int8Table) else (words, ONE_SCALE)
    tables = tuple(np.ascontiguousarray(table) for table in (values, types, positions, scales))
    y = empty(len(token_ids), values.shape[1])
    nontemporal = exceeds_llc(y)
    task_values = NORM_STREAM_TASK_VALUES if nontemporal else NORM_TASK_VALUES
    scratch = (4, max(y.shape[1], MIN_POOLED_FLOATS) if nontemporal else y.shape[1])
    run(
        embed_tasks,
        -(-y.size // task_values),
        ids,
        tables,
        (weight, bias, eps),
        y,
        task_values,
        nontemporal,
        scratch=(scratch,),
    )
    return y


@jit(nogil=True, error_model="numpy")
def embed_tasks(counter, scratch, ids, tables, norm, y, task_values, nontemporal):
    """Do one task after another until none is left: some rows of y (N, D)."""
    (token_ids, type_ids, position_ids), (words, types, positions, scales) = ids, tables
    thread, width = fetch_add(counter[THREAD:]), y.shape[1]
    summed, summed2 = scratch[0][thread, 0, :width], scratch[0][thread, 1, :width]
    rows_per_task = max(task_values // width, 1)
    task = fetch_add(counter)
    while task * rows_per_task < len(y):
        end = min(task * rows_per_task + rows_per_task, len(y))
        for row in range(task * rows_per_task, end, 2):
            row2 = min(row + 1, end - 1)
            for n, target in ((row, summed), (row2, summed2)):
                prefetch_row(words[token_ids[min(n + 2, len(y) - 1)]])
                word, type_row, position = words[token_ids[n]], types[type_ids[n]], positions[position_ids[n]]
                scale = scales[min(token_ids[n], len(scales) - 1)]
                for i in range(width):
                    target[i] = word[i] * scale + type_row[i] + position[i]
            normalize_into(summed, summed2, norm, y, row, row2, scratch[0][thread, 2:], nontemporal)
        task = fetch_add(counter)


@variant("take", tolerance=0, tolerance_reason="nothing is computed", capturable=True)
def take_vector(x, rows):
    """Rows of x, copied by a kernel, so that the forward pass can be captured."""
    x, rows = np.ascontiguousarray(x), np.ascontiguousarray(rows, np.int64)
    y = empty(len(rows), x.shape[1])
    run(take_rows, -(-y.size // NORM_TASK_VALUES), x, rows, y)
    return y


@jit(nogil=True, error_model="numpy")
def take_rows(counter, x, rows, y):
    row = fetch_add(counter)
    while row < len(y):
        source, target = x[rows[row]], y[row]
        for i in range(len(target)):
            target[i] = source[i]
        row = fetch_add(counter)
