"""x weightᵀ at the machine's speed, for every data type: the loops around the microkernel (BLIS's macrokernel).

    pack_rows     packs the rows of x, one tile after another, in the order in which the microkernel reads them
    gemm_tasks    for each task (some tiles of rows × some panels of columns; threads share the tasks)
                      for each KC steps of k     the task's part of x and two panels' parts fit into L2
                          for each panel
                              for each tile      y += x @ panel in registers; after the last step the epilogue:
                                                 scales, bias, residual, activation

`ops/linear_f32.py`, `ops/linear_bf16.py` and `ops/linear_int8.py` define what differs: how weights and x are packed.

A row's result has the same bits whatever other rows are in x: each of its sums is the same multiply-adds in the same
order, and no sum is split between tasks. Next: `microkernel.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..compiler.jit import Kernel, jit
from ..runtime.buffer_pool import empty
from ..runtime.thread_count import get_num_threads
from ..runtime.threads import NEXT_TILE, PACKED, THREAD, flush, run
from ..simd.atomics import load_acquire, spin_hint
from ..simd.emit import fetch_add
from ..simd.scalar_math import NO_ACTIVATION
from ..simd.shuffle import interleave_rows
from ..simd.trace import activate_tile
from .int8_layout import K_EXACT, K_PACK
from .microkernel import TileArgs
from .microkernel import microkernel_f32 as microkernel

# Steps between two updates of a tile of y. A tile's x then fills half of L1, a panel a tenth of L2. KC is a multiple of
# K_ACCUMULATE. In int8 it is the integers' exact sums, so that answers depend on it.
KC = K_EXACT // K_PACK  # 768
MC_TILES = 16  # tiles of a task at most: 16 × 6 rows × KC × 4 bytes are 290 KiB, a third of a common L2
NC_PANELS = 24  # panels of a task at most: their part of y stays in L2 too


class GemmSpec(NamedTuple):
    """What the loops must know of a data type."""

    mr: int  # rows of a tile at most
    x_step_bytes: int  # bytes of one row of packed x in a step
    tasks: Kernel  # `gemm_tasks` with this type's `pack_rows` and `microkernel`
    k_accumulate: int  # steps that a running sum takes before it is added to the total, and y is prefetched meanwhile
    # steps -> shapes of two scratch arrays of a thread, for `pack_rows` and for panels
    scratch: Callable = lambda steps: ((1,), (1,))
    kc: int = KC  # steps that are done before the next panel
    mc_tiles: int = MC_TILES
    tasks_per_thread: int = 16  # so that no thread waits long for the last one
    x_slack: int = 0  # floats after packed x that the microkernel may load, but does not use


class Weights(NamedTuple):
    """One packed weight, or three that are multiplied with the same x."""

    panels: np.ndarray  # (P, steps, 4 NR bytes): a panel is NR outputs; the last one of each weight is padded with 0
    epilogue_vectors: np.ndarray  # (weights, 1 to 3, ·) float32: each output's bias; its scale; its sum of weights
    outputs: int  # of one weight, without the padding

    def parts(self, selected: slice) -> Weights:
        """Some of the weights."""
        panels_per_weight = len(self.panels) // len(self.epilogue_vectors)
        first, last, _ = selected.indices(len(self.epilogue_vectors))
        panels = self.panels[first * panels_per_weight : last * panels_per_weight]
        return Weights(panels, self.epilogue_vectors[selected], self.outputs)


ALL = slice(None)


def gemm(spec: GemmSpec, activation: int, x, *packed, residual=None, parts: slice = ALL, packed_x=None):
    """x (M, K), times these parts of the packed weights -> y (parts, M, N), then an activation or NO_ACTIVATION.

    A residual (M, N) is added to y. The operations built on this are in `ops/epilogues.py`.
    """
    x, weights = np.ascontiguousarray(x), Weights(*packed).parts(parts)
    count, _, width = weights.epilogue_vectors.shape
    y = empty(count, len(x), width)
    multiply(spec, activation, x, weights, y, residual, packed_x)
    trimmed = y[:, :, : weights.outputs]
    if trimmed.flags.c_contiguous:
        return trimmed
    narrow = empty(*trimmed.shape)
    run(trim_columns, count * len(x), y, narrow)
    return narrow


def multiply(spec: GemmSpec, activation: int, x, weights: Weights, y, residual=None, packed_x=None) -> None:
    """y (parts, M, ·) = what `gemm` returns, of whole panels. packed_x (·,) is memory for x as `spec` packs it."""
    if not len(x):
        return
    steps, (count, _, width) = weights.panels.shape[1], weights.epilogue_vectors.shape
    row_length = steps * spec.x_step_bytes // 4
    if packed_x is None:
        packed_x = empty(len(x) * row_length + spec.x_slack)
    tiles = -(-len(x) // spec.mr)
    per_task, tasks = partition_tasks(spec, tiles, steps, len(weights.panels) // count, count)
    added = y[0][:0] if residual is None else pad_columns(residual, width)
    blocking = (spec.mr, *per_task, get_num_threads(), spec.kc, spec.k_accumulate, row_length)
    packed = packed_x, empty(len(x), 2)
    run(spec.tasks, tasks, x, packed, weights[:2], y, added, blocking, activation, scratch=spec.scratch(steps))


def pad_columns(residual, width):
    """Pad the residual to whole panels: a tile reads whole panels of it, past the end of a narrower one."""
    if residual.shape[1] == width:
        return np.ascontiguousarray(residual)
    flush()
    return np.pad(residual, ((0, 0), (0, width - residual.shape[1])))


def partition_tasks(spec: GemmSpec, tiles: int, steps: int, panels: int, parts: int) -> tuple[tuple[int, int], int]:
    """-> (tiles per task, panels per task), and the number of tasks.

    Reading a weight costs as much as multiplying it with ten rows. A task is a part of a thread's share, but not below
    10 µs. The number of tasks is a multiple of the threads if it can be.
    """
    threads = get_num_threads()
    row_blocks = -(-tiles // spec.mc_tiles)
    tiles_per_task = -(-tiles // row_blocks)
    panel_cost = steps * (tiles_per_task * spec.mr + 10)
    task_cost = max(row_blocks * parts * panels * panel_cost // (spec.tasks_per_thread * threads), 40_000)
    column_blocks = max(panels * panel_cost // task_cost, 1)
    column_blocks += next(more for more in range(threads) if row_blocks * parts * (column_blocks + more) % threads == 0)
    panels_per_task = min(-(-panels // column_blocks), NC_PANELS)
    return (tiles_per_task, panels_per_task), row_blocks * parts * -(-panels // panels_per_task)


@jit(nogil=True, error_model="numpy")
def trim_columns(counter, wide, narrow):
    """narrow (P, M, N) = the first columns of wide (P, M, ·). A task is a row."""
    parts, rows, columns = narrow.shape
    task = fetch_add(counter)
    while task < parts * rows:
        source, target = wide[task // rows, task % rows], narrow[task // rows, task % rows]
        for i in range(columns):
            target[i] = source[i]
        task = fetch_add(counter)


@jit(error_model="numpy")
def pack_rows(x, next_row, scratch, packed_x, row_scales):
    """A tile's rows of x (R, K) -> packed_x (K R,): the rows' values of the first k, of the next k, ...

    bf16 and int8 replace it. Theirs prefetch `next_row`, use two scratch arrays, and write two values a row to `row_scales`.
    """
    interleave_rows(x, packed_x)


@jit(inline="always")
def start_tasks():
    """What a thread does before it packs, and after its last task; nothing but for AMX, which replaces this and what follows."""


@jit(inline="always")
def end_tasks():
    pass


@jit(inline="always")
def begin_blocks(activation):
    """Before the first microkernel and after the last."""


@jit(inline="always")
def begin_panels(scratch, tiles_per_task):
    """Before the first panel."""


@jit(inline="always")
def finish_blocks():
    pass


@jit(nogil=True, error_model="numpy")
def gemm_tasks(counter, scratch, x, packed_x, weights, y, residual, blocking, activation):
    """Pack tiles of x until none is left, wait until the other threads have packed theirs, then do tasks until none is left.

    At the end of a task, prefetch the panel this thread will most likely process next."""
    packed, row_scales = packed_x
    panels, epilogue_vectors = weights
    mr, tiles_per_task, panels_per_task, threads, kc, k_accumulate, length = blocking  # length: floats of a packed row
    parts, rows, _ = y.shape
    steps, nr = panels.shape[1], panels.shape[2] // 4
    tiles, panels_per_weight = -(-rows // mr), len(panels) // parts
    row_split = rows // tiles, rows % tiles
    column_blocks = -(-panels_per_weight // panels_per_task)  # of a weight
    start_tasks()
    thread, tile = fetch_add(counter[THREAD:]), fetch_add(counter[NEXT_TILE:])
    while tile < tiles:
        top, bottom = tile_start(tile, row_split), tile_start(tile + 1, row_split)
        next_row = x[tile_start(min(tile + threads, tiles - 1), row_split)]  # of the tile this thread will probably pack next
        lines = scratch[0][thread], scratch[1][thread]
        pack_rows(x[top:bottom], next_row, lines, packed[top * length : bottom * length], row_scales[top:bottom])
        fetch_add(counter[PACKED:])
        tile = fetch_add(counter[NEXT_TILE:])
    spins = 0
    while load_acquire(counter, PACKED) < tiles:
        spins += 1
        spin_hint(spins)
    begin_blocks(activation)
    begin_panels(scratch[1][thread], tiles_per_task)
    task, tasks = fetch_add(counter), -(-tiles // tiles_per_task) * parts * column_blocks
    while task < tasks:
        part, first_tile = task // column_blocks % parts, task // (parts * column_blocks) * tiles_per_task
        first_panel = task % column_blocks * panels_per_task
        last_tile, last_panel = min(first_tile + tiles_per_task, tiles), min(first_panel + panels_per_task, panels_per_weight)
        target, vectors = y[part], epilogue_vectors[part]
        for k in range(0, steps, kc):
            end = min(k + kc, steps)
            prefetch_lines = -(-(end - k) // (last_tile - first_tile))  # rows of the next panel that each tile prefetches
            # Bytes a step. Rounded up: a row that is not prefetched would be waited for.
            prefetch_stride = -(-prefetch_lines * panels.shape[2] // (end - k))
            done = k * length // steps  # words of a packed row
            for panel_index in range(first_panel, last_panel):
                left, next_index = panel_index * nr, part * panels_per_weight + panel_index + 1
                if panel_index + 1 == last_panel and task + threads < tasks:
                    next_part, next_block = (task + threads) // column_blocks % parts, (task + threads) % column_blocks
                    next_index = next_part * panels_per_weight + next_block * panels_per_task
                elif panel_index + 1 == last_panel:
                    next_index = part * panels_per_weight + panel_index  # which the cache holds already
                panel, next_panel = panels[part * panels_per_weight + panel_index, k:end], panels[next_index, k:end]
                bottom = tile_start(first_tile, row_split)
                for tile in range(first_tile, last_tile):
                    top, bottom = bottom, tile_start(tile + 1, row_split)
                    x_start = top * length + (bottom - top) * done
                    prefetch_row = (tile - first_tile) * prefetch_lines
                    args = TileArgs(top, bottom - top, left, x_start, prefetch_row, prefetch_stride, k_accumulate)
                    first, last = k == 0, end == steps
                    microkernel(target, packed, panel, next_panel, vectors, row_scales, residual, args, first, last)
                    if activation != NO_ACTIVATION and last:
                        activate_tile(target, (top, bottom - top, left, nr), activation)
        task = fetch_add(counter)
    finish_blocks()
    end_tasks()


@jit(inline="always")
def tile_start(tile, row_split):
    """A tile's first row. Tiles have nearly equal heights (7 rows are 4 + 3, because a tile of one row is slow): the first
    row_split[1] tiles have row_split[0] + 1 rows, the others row_split[0]."""
    return tile * row_split[0] + min(tile, row_split[1])
