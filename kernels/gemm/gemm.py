"""x weightᵀ at the machine's speed, for numbers of every kind: the loops around the register tile of `intrinsics_tile.py`.

    lay         each tile's rows of x are put side by side, once, as the tile reads them
    multiply    for each task, which is some tiles of rows × some panels of columns     tasks are what threads share
                    for each span of k       the task's part of x and two panels' lie in L2
                        for each panel
                            for each tile    y += x @ panel, in registers; the last time with scales, bias, residual, gelu

`linear_register.py`, `linear_bf16.py` and `linear_int8.py` have what differs: how weights and x become 4-byte steps.

A row's result is the same to the bit whatever rows stand around it: each of its sums is the same multiply-adds in the
same order, and no sum is split between tasks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..compiler.jit import Kernel, jit
from ..runtime.buffer_pool import empty
from ..runtime.thread_count import get_num_threads
from ..runtime.threads import run, settle
from ..simd.atomics import load_acquire, spin_hint
from ..simd.emit import fetch_add
from ..simd.scalar_math import NO_ACTIVATION
from ..simd.shuffle import interleave_rows
from ..simd.trace import activate_tile
from .microkernel import add_product as add_tile

# Steps between two visits to a place of y: a tile's x then fills half of L1, a panel a tenth of L2. It is a multiple of
# every format's chunk.
SPAN = 768
BLOCK = 16  # tiles of a task at most: 16 × 6 rows × SPAN × 4 bytes are 290 KiB, a third of a common L2
WIDE = 24  # panels of a task at most, whose part of y stays in L2 with it


class Format(NamedTuple):
    """What a kind of numbers is to the loops."""

    rows: int  # of a tile at most
    x_bytes: int  # of a row, in a step
    multiply: Kernel  # the one below, with its own `lay` and `add_tile`
    chunk: Callable  # steps -> how many of them are summed up before they are added to a total, or scaled
    scratch: Callable = lambda steps: ((1,), (1,))  # steps -> the shapes of what `lay` needs for itself


class Weights(NamedTuple):
    """One weight, or three that are multiplied with the same x, packed."""

    panels: np.ndarray  # (P, steps, 4 C bytes): a panel is C outputs; the last of each weight is filled up with 0
    scales: np.ndarray  # (weights, chunks, ·) float32 for each output; not read where numbers need none
    columns: np.ndarray  # (weights, 1 or 2, ·) float32: each output's bias, and what else a tile ends with
    outputs: int  # of one weight, without those that fill its last panel

    def parts(self, some: slice) -> Weights:
        """Some of the weights."""
        each = len(self.panels) // len(self.columns)
        first, last, _ = some.indices(len(self.columns))
        return Weights(self.panels[first * each : last * each], self.scales[some], self.columns[some], self.outputs)


ALL = slice(None)


def product(form: Format, finish: int, x, packed: tuple, residual=None, parts: slice = ALL):
    """x (M, K), times these parts of the packed weights -> y (parts, M, N), followed by an activation or PLAIN (`fused.py`)."""
    x, weights = np.ascontiguousarray(x), Weights(*packed).parts(parts)
    steps, (count, _, width) = weights.panels.shape[1], weights.columns.shape
    y = empty(count, len(x), width)
    if len(x):
        tiles = -(-len(x) // form.rows)
        laid = empty(len(x) * steps * form.x_bytes // 4), empty(len(x), 2)
        (tall, wide), tasks = share(tiles, form.rows, steps, len(weights.panels) // count, count)
        other = y[0][:0] if residual is None else filled_up(residual, width)
        size = (form.rows, tall, wide, get_num_threads(), form.chunk(steps))
        run(form.multiply, tasks, x, laid, weights[:3], y, other, size, finish, scratch=form.scratch(steps))
    found = y[:, :, : weights.outputs]
    if found.flags.c_contiguous:
        return found
    narrow = empty(*found.shape)
    run(cut, count * len(x), y, narrow)
    return narrow


def filled_up(residual, width):
    """A tile reads whole panels of the residual, and would read past the end of one that is narrower."""
    if residual.shape[1] == width:
        return np.ascontiguousarray(residual)
    settle()
    return np.pad(residual, ((0, 0), (0, width - residual.shape[1])))


def share(tiles: int, rows: int, steps: int, panels: int, parts: int) -> tuple[tuple[int, int], int]:
    """-> (tiles of rows, panels) of a task, and how many tasks that makes.

    Reading a weight costs as much as some ten rows' work on it. A task is a sixteenth of a thread's share, so that
    none waits long for the last, and not below some 10 µs; and each thread can have as many as the others.
    """
    threads = get_num_threads()
    blocks = -(-tiles // BLOCK)
    tall = -(-tiles // blocks)
    cost = steps * (tall * rows + 10)  # of a panel
    wanted = max(blocks * parts * panels * cost // (16 * threads), 40_000)
    strips = max(panels * cost // wanted, 1)
    strips += next(more for more in range(threads) if blocks * parts * (strips + more) % threads == 0)
    wide = min(-(-panels // strips), WIDE)
    return (tall, wide), blocks * parts * -(-panels // wide)


@jit(nogil=True, error_model="numpy")
def cut(counter, wide, narrow):
    """narrow (P, M, N) = the first columns of wide (P, M, ·), a row a task."""
    parts, rows, columns = narrow.shape
    task = fetch_add(counter)
    while task < parts * rows:
        source, target = wide[task // rows, task % rows], narrow[task // rows, task % rows]
        for i in range(columns):
            target[i] = source[i]
        task = fetch_add(counter)


@jit(error_model="numpy")
def lay(x, coming, scratch, laid, ranges):
    """A tile's rows of x (R, K) -> laid (K R,), side by side. Other numbers than float32 have a `lay` of their own, with
    a row that is worth asking for, some scratch, and two values of each row in `ranges`."""
    interleave_rows(x, laid)


@jit(nogil=True, error_model="numpy")
def multiply(counter, scratch, x, laid, weights, y, residual, size, finish):
    """Lay one tile after another until none is left; then, when all are laid, do one task after another. What is asked for
    ahead, at a task's end, are the weights of the one that this thread will probably do next."""
    words, ranges = laid
    panels, scales, columns = weights
    height, tall, wide, threads, chunk = size
    parts, rows, _ = y.shape
    steps, across = panels.shape[1], panels.shape[2] // 4
    tiles, each = -(-rows // height), len(panels) // parts
    split = rows // tiles, rows % tiles
    strips = -(-each // wide)  # of a weight
    length = len(words) // rows  # of a row
    own, tile = fetch_add(counter[1:]), fetch_add(counter[2:])
    while tile < tiles:
        top, bottom = top_of(tile, split), top_of(tile + 1, split)
        coming = x[top_of(min(tile + threads, tiles - 1), split)]  # what this thread will probably lay next begins there
        lines = scratch[0][own], scratch[1][own]
        lay(x[top:bottom], coming, lines, words[top * length : bottom * length], ranges[top:bottom])
        fetch_add(counter[3:])
        tile = fetch_add(counter[2:])
    turn = 0
    while load_acquire(counter, 3) < tiles:
        turn += 1
        spin_hint(turn)
    task, tasks = fetch_add(counter), -(-tiles // tall) * parts * strips
    while task < tasks:
        part, first_tile, first = task // strips % parts, task // (parts * strips) * tall, task % strips * wide
        last_tile, last = min(first_tile + tall, tiles), min(first + wide, each)
        target, column = y[part], columns[part]
        for k in range(0, steps, SPAN):
            end, scale = min(k + SPAN, steps), scales[part, k // chunk :]
            asked = -(-(end - k) // (last_tile - first_tile))  # lines asked for ahead by each tile
            ahead = -(-asked * panels.shape[2] // (end - k))  # bytes a step; not one line less: it would be waited for
            for number in range(first, last):
                left, follows = number * across, part * each + number + 1
                if number + 1 == last and task + threads < tasks:
                    follows = (task + threads) // strips % parts * each + (task + threads) % strips * wide
                elif number + 1 == last:
                    follows = part * each + number  # which is there already
                panel, coming = panels[part * each + number, k:end], panels[follows, k:end]
                bottom = top_of(first_tile, split)
                for tile in range(first_tile, last_tile):
                    top, bottom = bottom, top_of(tile + 1, split)
                    start = top * length + k * (bottom - top) * (length // steps)
                    place = top, bottom - top, left, start, (tile - first_tile) * asked, ahead, chunk
                    add_tile(target, words, panel, coming, scale, column, ranges, residual, place, k == 0, end == steps)
                    if finish != NO_ACTIVATION and end == steps:
                        activate_tile(target, (top, bottom - top, left, across), finish)
        task = fetch_add(counter)


@jit(inline="always")
def top_of(tile, split):
    """A tile's first row; tiles are of nearly equal heights (7 rows are 4 + 3, for a row alone is slow): the first
    split[1] of them have split[0] + 1 rows, the others split[0]."""
    return tile * split[0] + min(tile, split[1])
