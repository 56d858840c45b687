"""x weightᵀ + bias in whole numbers: weights of 8 bits, and x rounded to 8 bits a row at a time, on the way in.

The formula is `int8_reference.py`, the weights' place in memory `int8_layout.py`, the tile `vectors_int8.py`. Two steps:

    quantise      each row of x, mixed, to 0..255, by its own least and largest value
    multiply      tasks of rows × panels, as in linear_register.py: exact sums over a span, times its scale;
                  then the write-out: the row's scale, the bias, gelu, a residual, ...

A row's numbers depend on nothing but the row, so a text's answer does not change with its neighbours.

What was tried, by the least cosine between all-MiniLM-L6-v2's float and int8 vectors of SST-2's dev sentences:

    0.9872    x to 7 bits, one scale a row; weights one an output     0.9969   x to 8 bits
    0.9891    x to 8 bits around 0, without a zero of its own         0.9953   ... and smoothed by the norms' weights
    0.9989    scales for each 128 of k, both sides                    0.9993   for each 64
    0.9995    mixed, one scale a row and an output: every 8th sentence, as those above; all 872 sentences: 0.9988
    0.9991    mixed, and the weights' scales for each 128 of k: all 872 sentences. This is what is done here

Random signs before mixing, and correcting the bias for the inputs' mean, changed nothing. Attention, norms, embeddings and
heads stay float32: little of the time, and not tried in 8 bits. ONNX Runtime's dynamic int8 has 0.79 (0.97 a channel).
"""

from __future__ import annotations

import numpy as np

from .buffers import empty
from .int8_layout import COLUMNS, GROUP, lay
from .int8_reference import (
    ROUNDS,
    SPAN,
    product_of_rounded,
    quantise_rows,
    quantise_weight,
    weighted_sums,
)
from .jit import jit
from .registry import variant
from .threads import get_num_threads, run
from .vectors import next_task
from .vectors_int8 import ROWS, WAY, WIDE, add_scaled_product, mix_once
from .write_out import PLAIN, fused, write_out

F = np.float32
CHUNK = 768  # of k: a panel's chunk is 12 KiB and, with the rows of a tile, stays in L1
BLOCK = 96  # rows of a task, a multiple of every ROWS: their chunk stays in L2
FEW = 16_384  # values of x that the caller quantises sooner alone than with a helper


BOUND = {"tolerance": 0.02, "why": "both sides are rounded to 8 bits: a value is off by up to 1/510 of its row's range"}


def rounded(weight, bias):
    """weight (N, K), bias (N,) -> whole numbers (N, K) int8, their scales (spans, N), bias."""
    return *quantise_weight(weight), bias


@variant("linear", prepare=rounded, **BOUND)
def linear_int8_reference(x, weight, scales, bias):
    """NumPy's whole numbers."""
    return product_of_rounded(*quantise_rows(x), weight, scales, bias)


@variant("linear", prepare=rounded, **BOUND)
def linear_int8_naive(x, weight, scales, bias):
    """The product as loops over whole numbers."""
    sums = weighted_sums(weight, scales)
    return multiply_naive(*quantise_rows(x), weight, scales, sums, bias)


@jit()
def multiply_naive(values, x_scale, zero, weight, scales, sums, bias):
    y = np.empty((len(values), len(weight)), F)
    for m in range(len(values)):
        for n in range(len(weight)):
            total = F(0)
            for span in range(len(scales)):
                whole = np.int32(0)
                for k in range(span * SPAN, min(span * SPAN + SPAN, values.shape[1])):
                    whole += np.int32(values[m, k]) * np.int32(weight[n, k])
                total += F(whole) * scales[span, n]
            y[m, n] = (total - zero[m] * sums[n]) * x_scale[m] + bias[n]
    return y


def pack(*arrays):
    """weight (N, K), bias (N,), once or three times -> panels (P, K / GROUP, 64) int8, their scales (spans, parts, ·),
    columns (2, parts, ·), and N.

    `columns` has each output's bias, and the sum of its weights: what the write-out needs.
    """
    outputs = len(arrays[0])
    made = [pack_one(weight, bias) for weight, bias in zip(arrays[0::2], arrays[1::2])]
    panels, scales, columns = zip(*made)
    return np.concatenate(panels), np.stack(scales, axis=1), np.stack(columns, axis=1), outputs


def pack_one(weight, bias):
    values, scales = quantise_weight(weight)
    spare = ((0, 0), (0, -len(values) % (2 * COLUMNS)))
    columns = np.stack([bias.astype(F), weighted_sums(values, scales)])
    return lay(values), np.pad(scales, spare), np.pad(columns, spare)


def product(finish, x, panels, scales, columns, outputs, residual=None):
    """-> y (parts, M, N), without what fills its last panels."""
    x = np.ascontiguousarray(x)
    rows, inputs = x.shape
    length = panels.shape[1] * GROUP
    values = empty(rows, length * np.dtype(WAY.value).itemsize // 4).view(WAY.value)
    ranges = empty(rows, 2)
    y = empty(columns.shape[1], rows, columns.shape[2])
    if rows:
        run(quantise, 1 if x.size < FEW else -(-rows // ROWS), x, values, ranges, scratch=((2, length),))
        size, tasks = share(rows, inputs, len(panels))
        other = y[0] if residual is None else np.ascontiguousarray(residual)
        run(multiply, tasks, values, ranges, panels, scales, columns, y, other, size, finish)
    return y if outputs == y.shape[2] else np.ascontiguousarray(y[:, :, :outputs])


def share(rows, inputs, panels):
    """-> (rows, panels) of a task, and how many tasks that makes; the reasons are in `linear_register.share`."""
    blocks = -(-rows // BLOCK)
    tall = -(-rows // blocks)
    tall += -tall % ROWS if blocks > 1 else 0
    cost = inputs * COLUMNS * (tall + 10)  # of a panel
    wanted = max(blocks * panels * cost // (16 * get_num_threads()), 2_000_000)
    wide = -(-panels // max(panels * cost // wanted, 1))
    wide += wide % 2
    return (tall, wide), blocks * -(-panels // wide)


@jit(nogil=True, error_model="numpy")
def quantise(counter, scratch, x, values, ranges):
    """x (M, K) -> values (M, ·) from 0 to 255, and each row's scale and zero: x, mixed, is near scale (value - zero)."""
    rows = len(x)
    lines = scratch[0][next_task(counter[1:])]
    task = next_task(counter)
    while task * ROWS < rows:
        for row in range(task * ROWS, min(task * ROWS + ROWS, rows)):
            line, target = mix(x[row], lines), values[row]
            scale, inverse, zero = range_of(line)
            ranges[row, 0], ranges[row, 1] = scale, zero
            for i in range(len(target)):
                target[i] = np.int32(min(max(np.rint(line[i] * inverse) + zero, F(0)), F(255)))
        task = next_task(counter)


@jit(inline="always", error_model="numpy")
def mix(line, lines):
    """A row (K,), and room for two of the length it is filled up to -> the row as `int8_reference.mix` has it."""
    last = lines[1]
    for i in range(len(line)):
        last[i] = line[i]
    for i in range(len(line), len(last)):
        last[i] = 0
    for turn in range(ROUNDS):  # an even number: it ends where it began
        mix_once(lines[1 - turn % 2], lines[turn % 2])
    return last


@jit(inline="always", error_model="numpy")
def range_of(line):
    """-> scale, 1 / scale, and the value that stands for 0; where the line holds what is no number, NaN, 0 and 0.

    Floats are compared as whole numbers of the same order, which a compiler makes vectors of.
    """
    low, high = np.int32(0), np.int32(0)
    for i in range(len(line)):
        bits = F(line[i]).view(np.int32)
        order = np.int32(bits ^ np.int32(np.int32(bits >> 31) & np.int32(0x7FFFFFFF)))
        low = order if order < low else low
        high = order if order > high else high
    largest = np.int32(high).view(F)
    least = np.int32(low ^ np.int32(0x7FFFFFFF)).view(F) if low < 0 else F(0)
    spread = largest - least
    if not spread < F(np.inf):
        return F(np.nan), F(0), F(0)
    spread = max(spread, F(1e-30))
    inverse = F(255) / spread
    return spread / F(255), inverse, np.rint(-least * inverse)


@jit(nogil=True, error_model="numpy")
def multiply(counter, values, ranges, panels, scales, columns, y, residual, size, finish):
    """Do one task after another until none is left."""
    tall, wide = size
    across = -(-len(panels) // wide)
    tasks = across * -(-len(values) // tall)
    parts = y.shape[2] // COLUMNS  # panels of a part
    task = next_task(counter)
    while task < tasks:
        top, first = task // across * tall, task % across * wide
        bottom, last = min(top + tall, len(values)), min(first + wide, len(panels))
        while first < last:
            part, left = first // parts, first % parts * COLUMNS
            count = min(last - first, parts - first % parts)
            right = left + count * COLUMNS
            block = y[part, top:bottom]
            multiply_block(values[top:bottom], panels[first : first + count], scales[:, part], block, left)
            dequantise(block, ranges[top:bottom], columns[:, part], left, right)
            if finish != PLAIN:
                write_out(block, residual[top:bottom], left, right, finish)
            first += count
        task = next_task(counter)


@jit(error_model="numpy")
def multiply_block(values, panels, scales, y, first):
    """y = values @ panels, from a column of y on."""
    rows, lines = len(values), panels.shape[1]
    tiles = -(-rows // ROWS)  # of nearly equal heights: 7 rows as 4 + 3, for a row alone is slow
    width = len(panels) * COLUMNS
    apart = lines * COLUMNS * GROUP if WIDE > COLUMNS else WIDE // 2 * GROUP  # from a tile's first vector to its second
    for row in range(rows):
        line = y[row][first : first + width]
        for i in range(len(line)):
            line[i] = 0
    for chunk in range(0, lines, CHUNK // GROUP):
        for left in range(0, width, WIDE):
            number = left // COLUMNS
            later = min((left + WIDE) // COLUMNS, len(panels) - 1)  # the panel that comes next
            for tile in range(tiles):
                top, bottom = tile * rows // tiles, (tile + 1) * rows // tiles
                coming = later if tile == 0 else number
                target = y[top:bottom, first + left : first + left + WIDE]
                for start in range(chunk, min(chunk + CHUNK // GROUP, lines), SPAN // GROUP):
                    stop = min(start + SPAN // GROUP, lines)
                    panel = panels[number, start:stop, left % COLUMNS * GROUP :]
                    scale = scales[start * GROUP // SPAN][first + left : first + left + WIDE]
                    x = values[top:bottom, start * GROUP : stop * GROUP]
                    add_scaled_product(target, x, panel, scale, panels[coming, start:stop], apart)


@jit(error_model="numpy")
def dequantise(y, ranges, columns, left, right):
    """The sums, in their place, -> scale_x (sum - zero · the weights' sum) + bias."""
    biases, sums = columns[0][left:right], columns[1][left:right]
    for row in range(len(y)):
        line, scale, zero = y[row][left:right], ranges[row, 0], ranges[row, 1]
        for i in range(len(line)):
            line[i] = (line[i] - zero * sums[i]) * scale + biases[i]


@variant("linear", prepare=pack, **BOUND)
def linear_int8_tile(x, *packed):
    """Sums in registers, x mixed and rounded row by row on the way in."""
    return product(PLAIN, x, *packed)[0]


fused("int8", product, pack, **BOUND)
