"""x weightᵀ + bias at the machine's speed: the top of the ladder that `linear.py` begins.

Three loops around `add_product`, the tile whose sums stay in registers (`vectors.py`):

    for each task: a block of rows × some panels of columns      tasks are what threads share
        for each chunk of k                                      the block's chunk of x is copied: it stays in L2
            for each panel                                       its chunk stays in L1
                for each tile of rows                            y += x @ panel, in registers
        the write-out: gelu, a residual, ...                     while the task's part of y is in L2

A row's result is the same to the bit whatever rows stand around it: each of its sums is the same multiply-adds in the
same order, and no sum is split between tasks.
"""

from __future__ import annotations

import numpy as np

from .buffers import aligned, empty
from .jit import jit
from .registry import variant
from .threads import get_num_threads, run
from .vectors import COLUMNS, ROWS, add_product, next_task
from .write_out import PLAIN, fused, write_out

CHUNK = 128  # products in one running sum: error against float64 0.86 of torch's; with 192 it is 1.00, with 256 1.14
BLOCK = 96  # rows of a task, a multiple of every ROWS: 96 × 128 floats are 48 KiB, a tenth of a common L2
FEW = 32  # rows: so many at most, and weights are read from memory for them, in one stream, panel after panel
WIDE = 24  # panels of a task: its part of y is read and written once a chunk, and stays in L2 with the copy of x

BOUND = {"tolerance": 2e-6, "why": "float32 rounding: sums of 128 products, added up"}


def pack(*arrays):
    """weight (N, K), bias (N,), once or three times -> panels (P, K, COLUMNS), their bias, and N.

    A panel is COLUMNS outputs side by side, so that a step of k reads one line of memory; the last is filled with 0.
    """
    weights, biases = arrays[0::2], arrays[1::2]
    outputs, inputs = weights[0].shape
    across = -(-outputs // COLUMNS)
    panels = aligned(len(weights) * across, inputs, COLUMNS)
    bias = np.zeros((len(weights), across * COLUMNS), np.float32)
    for part, weight in enumerate(weights):
        bias[part, :outputs] = biases[part]
        for number in range(across):
            lines = weight[number * COLUMNS : (number + 1) * COLUMNS]
            panels[part * across + number, :, : len(lines)] = lines.T
            panels[part * across + number, :, len(lines) :] = 0
    return panels, bias, outputs


def share(rows, inputs, panels):
    """-> (rows, panels) of a task, and how many tasks that makes.

    Reading a weight costs as much as some ten rows' work on it. A task is a sixteenth of a thread's share, so that
    none waits long for the last, and not below a million multiply-adds, some 20 µs.
    """
    blocks = -(-rows // BLOCK)
    tall = -(-rows // blocks)
    tall += -tall % ROWS if blocks > 1 else 0
    cost = inputs * COLUMNS * (tall + 10)  # of a panel
    wanted = max(blocks * panels * cost // (16 * get_num_threads()), 1_000_000)
    wide = min(-(-panels // max(panels * cost // wanted, 1)), WIDE)
    return (tall, wide), blocks * -(-panels // wide)


def product(finish, x, panels, bias, outputs, residual=None):
    """-> y (parts, M, N), without what fills its last panel."""
    x = np.ascontiguousarray(x)
    y = empty(len(bias), len(x), bias.shape[1])
    if len(x):
        size, tasks = share(len(x), x.shape[1], len(panels))
        other = y[0] if residual is None else np.ascontiguousarray(residual)
        span = x.shape[1] if len(x) <= FEW else CHUNK  # of k, copied at a time
        run(multiply, tasks, x, panels, bias, y, other, size, finish, scratch=((size[0], span),))
    return y if outputs == bias.shape[1] else np.ascontiguousarray(y[:, :, :outputs])


@jit(nogil=True, error_model="numpy")
def multiply(counter, scratch, x, panels, bias, y, residual, size, finish):
    """Do one task after another until none is left."""
    tall, wide = size
    across = -(-len(panels) // wide)
    tasks = across * -(-len(x) // tall)
    copy = scratch[0][next_task(counter[1:])]
    task = next_task(counter)
    while task < tasks:
        top, first = task // across * tall, task % across * wide
        bottom, last = min(top + tall, len(x)), min(first + wide, len(panels))
        multiply_block(x[top:bottom], panels[first:last], bias, y[:, top:bottom], copy, first)
        if finish != PLAIN:
            write_out(y[0, top:bottom], residual[top:bottom], first * COLUMNS, last * COLUMNS, finish)
        task = next_task(counter)


@jit(error_model="numpy")
def multiply_block(x, panels, bias, y, copy, first):
    """y = bias + x @ panels, for a task's rows of y and its panels, of which the first has this number."""
    rows, inputs = x.shape
    span = copy.shape[1]
    tiles = -(-rows // ROWS)  # of nearly equal heights: 7 rows as 4 + 3, for a row alone is slow
    for k in range(0, inputs, span):
        end = min(k + span, inputs)
        for row in range(rows):
            source, target = x[row][k:end], copy[row]
            for i in range(end - k):
                target[i] = source[i]
        for number in range(len(panels)):
            column = (first + number) * COLUMNS
            part, left = column // bias.shape[1], column % bias.shape[1]
            for chunk in range(k, end, CHUNK):
                depth = min(CHUNK, end - chunk)
                coming = panels[number, chunk + depth : min(chunk + depth + CHUNK, end)]
                if chunk + depth == end:
                    coming = panels[min(number + 1, len(panels) - 1), k : min(k + CHUNK, end)]
                for tile in range(tiles):
                    top, bottom = tile * rows // tiles, (tile + 1) * rows // tiles
                    if chunk == 0:
                        for row in range(top, bottom):
                            line, begin = y[part, row][left : left + COLUMNS], bias[part][left : left + COLUMNS]
                            for i in range(COLUMNS):
                                line[i] = begin[i]
                    add_product(
                        y[part, top:bottom, left : left + COLUMNS],
                        copy[top:bottom, chunk - k : chunk - k + depth],
                        panels[number, chunk : chunk + depth],
                        coming[tile * len(coming) // tiles : (tile + 1) * len(coming) // tiles],
                    )


@variant("linear", prepare=pack, **BOUND)
def linear_register(x, *packed):
    """Sums in registers, blocks in caches, tasks on threads, weights asked for before they are needed.

    On one thread of a Zen 3, GFLOP/s at 1,020 rows of 768 → 768: 87, where OpenBLAS had 89, and multiply-adds between
    registers 97. At 16 rows, each weight read from memory: 70 to 80; 32 to 40 before it was asked for ahead."""
    return product(PLAIN, x, *packed)[0]


fused("register", product, pack, **BOUND)
