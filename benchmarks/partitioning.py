"""How evenly a forward pass is shared by more threads than this machine has cores: no figure here is a time.

    python -m benchmarks.partitioning [--threads 8 16 64] [--shapes 1x16 ...] [--json FILE]

The kernels' own functions divide each operation of a DistilBERT-base into tasks for so many threads. A task's cost is what
they count: multiply-adds, and reading a weight as ten rows' worth. Then each task is given to the thread that is free
first, as `fetch_add` does. A cell has the number of tasks, the longest over the mean, and how much later the last thread ends
than with an even division: at 2.0 half of the threads' time is lost. What threads do to each other is not in it: they share
a counter, memory, and perhaps two sockets.
"""

from __future__ import annotations

import argparse
import heapq
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from minibert.kernels.gemm.gemm import partition_tasks
from minibert.kernels.ops.attention_f32 import partition_queries
from minibert.kernels.ops.layer_norm import NORM_TASK_VALUES
from minibert.kernels.ops.linear_f32 import FLOAT32
from minibert.kernels.runtime.thread_count import get_num_threads, set_num_threads
from minibert.kernels.simd.shapes import MR, NR

from .measuring import document, markdown, write
from .model import FEED_FORWARD, SHAPES, WIDTH, shape_option

HEADS = 12
WEIGHT_ROWS = 10  # rows whose multiplication takes as long as reading a weight, as `partition_tasks` has it


def product_costs(rows: int, inputs: int, outputs: int, parts: int = 1) -> list[float]:
    """The cost of each task of a product (rows, inputs) -> (parts, rows, outputs), in the order of `gemm_tasks`."""
    tiles, panels = -(-rows // MR), -(-outputs // NR)
    (tiles_per_task, panels_per_task), _ = partition_tasks(FLOAT32, tiles, inputs, panels, parts)
    return [
        inputs * min(panels_per_task, panels - panel) * (rows / tiles * min(tiles_per_task, tiles - tile) + WEIGHT_ROWS)
        for tile in range(0, tiles, tiles_per_task)
        for _ in range(parts)
        for panel in range(0, panels, panels_per_task)
    ]


def attention_costs(sequences: int, length: int) -> list[float]:
    """The cost of each task of attention: its queries times all keys, and copying these as a query's worth or two."""
    block, _ = partition_queries(np.full(sequences, length), HEADS)
    queries = [min(block, length - first) for first in range(0, length, block)]
    return [length * (-(-count // NR) * NR + 2.0) for _ in range(sequences) for count in queries for _ in range(HEADS)]


def norm_costs(rows: int) -> list[float]:
    per_task = max(NORM_TASK_VALUES // WIDTH, 1)
    return [float(min(per_task, rows - first)) for first in range(0, rows, per_task)]


OPERATIONS: dict[str, Callable[[int, int], list[float]]] = {  # name -> (sequences, length) -> costs
    "query, key, value": lambda sequences, length: product_costs(sequences * length, WIDTH, WIDTH, 3),
    "attention": attention_costs,
    "attention output": lambda sequences, length: product_costs(sequences * length, WIDTH, WIDTH),
    "layer norm": lambda sequences, length: norm_costs(sequences * length),
    "feed-forward in": lambda sequences, length: product_costs(sequences * length, WIDTH, FEED_FORWARD),
    "feed-forward out": lambda sequences, length: product_costs(sequences * length, FEED_FORWARD, WIDTH),
}


def end_of_last(costs: list[float], threads: int) -> float:
    """When the last thread is done, if each task goes to the thread that is free first."""
    ends = [0.0] * threads
    for cost in costs:
        heapq.heappush(ends, heapq.heappop(ends) + cost)
    return max(ends)


def cell(costs: list[float], threads: int) -> str:
    mean = statistics.fmean(costs)
    late = end_of_last(costs, threads) * threads / sum(costs)
    return f"{len(costs)} task{'s'[: len(costs) > 1]}, {max(costs) / mean:.2f}, {late:.2f}"


def table(shapes: list[str], threads: list[int]) -> dict:
    before, rows = get_num_threads(), []
    try:
        for name, costs_of in OPERATIONS.items():
            for shape in shapes:
                row = [f"{name}, {shape.replace('x', '×')}"]
                for count in threads:
                    set_num_threads(count)
                    row.append(cell(costs_of(*map(int, shape.split("x"))), count))
                rows.append(row)
    finally:
        set_num_threads(before)
    return {"columns": ["", *(f"{count} threads" for count in threads)], "rows": rows}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", nargs="*", type=int, default=[8, 16, 64])
    parser.add_argument("--shapes", nargs="*", default=list(SHAPES), type=shape_option, help="rows x tokens")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    options = parser.parse_args()
    if min(options.threads, default=0) < 1:
        parser.error("--threads must be 1 or more")
    shares = table(options.shapes, options.threads)
    print(markdown(shares["columns"], shares["rows"]))
    write(options.json, document("partitioning", get_num_threads(), {"partitioning": shares}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
