"""x weightᵀ + bias with the weights as bf16: half the memory, and half the bytes where a short text waits for them.

A bf16 is a float32 without its lower 16 bits. Where the machine multiplies them (AVX512-BF16), x is rounded to bf16 too
and the sums stay float32; elsewhere the weights are widened in registers, two for one load, and nothing else is rounded.
The loops are those of `linear_register.py`; a step of a panel is a word for each output, two neighbours of k.
"""

from __future__ import annotations

import numpy as np

from .buffers import empty
from .jit import Instruction, jit
from .linear_register import CHUNK, share
from .registry import variant
from .threads import run
from .vectors import COLUMNS, FEATURES, ROWS, next_task
from .write_out import PLAIN, fused, write_out

PAIRED = {"avx512bf16", "avx512f"} <= FEATURES
add_product_of_pairs = Instruction("add_product_of_pairs", "minibert.kernels.intrinsics_bf16")

BOUND = {"tolerance": 0.01, "why": "weights keep 8 of 24 bits, each is off by up to 1/512; and so does x if PAIRED"}


def to_bf16(x):
    """float32 -> the nearest bf16, as the uint16 that its bits are; NaN stays one."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    nearest = (bits + np.uint32(0x7FFF) + (bits >> 16 & 1)) >> 16
    return np.where(np.isnan(x), bits >> 16 | 0x40, nearest).astype(np.uint16)


def pack(*arrays):
    """weight (N, K), bias (N,), once or three times -> panels (P, K / 2, COLUMNS) of words, their bias, and N."""
    weights, biases = arrays[0::2], arrays[1::2]
    outputs, inputs = weights[0].shape
    across = -(-outputs // COLUMNS)
    panels = np.zeros((len(weights), across, COLUMNS, inputs + inputs % 2), np.uint16)
    bias = np.zeros((len(weights), across * COLUMNS), np.float32)
    for part, weight in enumerate(weights):
        panels[part].reshape(across * COLUMNS, -1)[:outputs, :inputs] = to_bf16(weight)
        bias[part, :outputs] = biases[part]
    words = panels.view("<u4").reshape(-1, COLUMNS, panels.shape[-1] // 2)  # the first of a pair is the lower half
    return np.ascontiguousarray(words.transpose(0, 2, 1)), bias, outputs


def product(finish, x, panels, bias, outputs, residual=None):
    """-> y (parts, M, N), without what fills its last panel."""
    x = np.ascontiguousarray(x)
    y = empty(len(bias), len(x), bias.shape[1])
    if len(x):
        size, tasks = share(len(x), x.shape[1], len(panels))
        other = y[0] if residual is None else np.ascontiguousarray(residual)
        run(multiply, tasks, x, panels, bias, y, other, size, finish, scratch=((size[0], CHUNK),))
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
    tiles = -(-rows // ROWS)  # of nearly equal heights: 7 rows as 4 + 3, for a row alone is slow
    for k in range(0, inputs, CHUNK):
        depth = min(CHUNK, inputs - k)
        pairs = (depth + 1) // 2
        for row in range(rows):
            copy_row(x[row][k : k + depth], copy[row])
        for number in range(len(panels)):
            column = (first + number) * COLUMNS
            part, left = column // bias.shape[1], column % bias.shape[1]
            panel = panels[number, k // 2 : k // 2 + pairs]
            later = panels[min(number + 1, len(panels) - 1), k // 2 : k // 2 + pairs]
            for tile in range(tiles):
                top, bottom = tile * rows // tiles, (tile + 1) * rows // tiles
                if k == 0:
                    for row in range(top, bottom):
                        line, begin = y[part, row][left : left + COLUMNS], bias[part][left : left + COLUMNS]
                        for i in range(COLUMNS):
                            line[i] = begin[i]
                target = y[part, top:bottom, left : left + COLUMNS]
                add_product_of_pairs(target, copy[top:bottom], panel, later if tile == 0 else panel)


@jit(inline="always", error_model="numpy")
def copy_row(source, target):
    """Floats as they are, a 0 after an odd one; or, PAIRED, words of two bf16 in the place of the first floats."""
    if PAIRED:
        for i in range(len(source) // 2):
            target[i] = np.uint32(nearest(source[2 * i]) >> np.uint32(16) | nearest(source[2 * i + 1])).view(np.float32)
        if len(source) % 2:
            target[len(source) // 2] = np.uint32(nearest(source[len(source) - 1]) >> np.uint32(16)).view(np.float32)
    else:
        for i in range(len(source)):
            target[i] = source[i]
        if len(source) % 2:
            target[len(source)] = 0


@jit(inline="always", error_model="numpy")
def nearest(value):
    """A float -> its bf16 in the upper half of a word; NaN stays one."""
    bits = np.float32(value).view(np.uint32)
    if value != value:
        return np.uint32(bits | np.uint32(0x400000)) & np.uint32(0xFFFF0000)
    return np.uint32(bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))) & np.uint32(0xFFFF0000)


@variant("linear", prepare=pack, **BOUND)
def linear_bf16(x, *packed):
    """Half the bytes of the register one."""
    return product(PLAIN, x, *packed)[0]


fused("bf16", product, pack, **BOUND)
