"""Every variant of every operation, checked and then timed: `python -m benchmarks.ops [operation] [--json FILE]`.

The check is the tests' own (`tests/kernel_cases.py`: every case against the reference in float64); a variant that is
wrong prints FAIL and no time. Sizes are those of DistilBERT-base. A line says how much of the machine's ceiling it
reached: for products, the most that OpenBLAS (1,024 rows and more) or any kernel here reached in this very run; for
the rest, the rate at which memory is copied. The variants of one size are timed in turn, round after round.

Rule for skipping: where a variant's time at the size before, scaled by the work, makes more than SLOWEST seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minibert.kernels.registry import Table, operations, table, variants
from minibert.kernels.threads import get_num_threads, set_num_threads

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from kernel_cases import cases, error, table_with  # noqa: E402

SLOWEST = 2.0  # seconds a call
LEAST = 0.5  # seconds for a variant at a size, or ROUNDS calls where those take longer
ROUNDS = 5
WIDTH, INNER, HEADS = 768, 3072, 12
ROWS = (1, 16, 128, 1024, 4096)
BEYOND = 16_384  # rows of 768: 48 MiB, more than the caches hold


class Size(NamedTuple):
    """One line's worth of work: what the operation is called on, and what `prepare` gets."""

    label: str
    inputs: tuple
    parameters: tuple
    work: float  # floating-point operations of a product; bytes read and written otherwise
    unit: str  # "GFLOP/s" or "GB/s"


class Timing(NamedTuple):
    operation: str
    variant: str
    size: str
    milliseconds: float | None  # median; None where it was skipped or wrong
    best: float | None
    first: float  # seconds for the first call in this process: compiling, or reading the cache
    rate: float | None
    unit: str
    note: str


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def product_sizes(operation: str):
    """Three shapes of weight at every number of rows; the fused ones at the shape they have in the encoder."""
    shapes = {"linear_add": [(WIDTH, WIDTH), (INNER, WIDTH)], "query_key_value": [(WIDTH, WIDTH)]}
    for inputs, outputs in shapes.get(operation, [(WIDTH, WIDTH), (WIDTH, INNER), (INNER, WIDTH)]):
        copies = 3 if operation == "query_key_value" else 1
        parameters = (normal(outputs, inputs) / 30, normal(outputs)) * copies
        for rows in ROWS:
            more = (normal(rows, outputs),) if operation == "linear_add" else ()
            label = f"{rows} × {inputs} → {outputs * copies}"
            yield Size(label, (normal(rows, inputs), *more), parameters, 2 * rows * inputs * outputs * copies, "GFLOP/s")


def attention_sizes(operation: str):
    for sequences, length in ((1, 16), (1, 128), (8, 128), (1, 512)):
        arrays = (normal(sequences * length, WIDTH),) * 3
        bounds = np.arange(sequences + 1) * length
        work = 4 * sequences * length * length * WIDTH
        yield Size(f"{sequences} × {length}", (*arrays, bounds, None, HEADS), (), work, "GFLOP/s")


def row_sizes(operation: str):
    """On arrays beyond the caches, where memory sets the pace: read once, written once."""
    for rows in (128, BEYOND):
        x = normal(rows, WIDTH)
        inputs = {
            "layer_norm": (x, normal(WIDTH), normal(WIDTH), 1e-12),
            "softmax": (x, None),
            "embed": (*np.zeros((3, rows), np.intp), (x, x[:2], x[:128]), x[0], x[1], 1e-12),
        }.get(operation, (x,))
        if operation == "embed":
            inputs = (np.arange(rows), *inputs[1:])
        yield Size(f"{rows} × {WIDTH}", inputs, (), 2 * x.nbytes, "GB/s")


def sizes_of(operation: str):
    if operation == "attention":
        return attention_sizes(operation)
    return product_sizes(operation) if "linear" in operation or operation == "query_key_value" else row_sizes(operation)


def measured(calls: dict[str, Callable]) -> dict[str, list[float]]:
    """Seconds of each call, in turn, round after round."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    stop = time.perf_counter() + LEAST * len(calls)
    while calls and (time.perf_counter() < stop or len(next(iter(seconds.values()))) < ROUNDS):
        for name, call in calls.items():
            begun = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - begun)
    return seconds


def checked(operation: str) -> tuple[dict[str, Table], dict[str, float], dict[str, str]]:
    """-> the variants that are right, as tables; each one's first call in seconds; the wrong ones, and by how much."""
    right, first, wrong = {}, {}, {}
    for name, made in variants(operation).items():
        ops = table_with(made)
        begun = time.perf_counter()
        worst = error(ops, operation, next(iter(cases(operation).values())))
        first[name] = time.perf_counter() - begun
        worst = max(worst, *(error(ops, operation, case) for case in cases(operation).values()))
        if worst <= made.tolerance:
            right[name] = ops
        else:
            wrong[name] = f"FAIL: error {worst:.1e}, may be {made.tolerance:.0e}"
    return right, first, wrong


def benchmark(operation: str):
    """Yield a Timing for each variant at each size."""
    right, first, wrong = checked(operation)
    pace: dict[str, float] = {}  # seconds per unit of work at the size before
    for size in sizes_of(operation):
        notes = dict(wrong)
        calls = {}
        for name, ops in right.items():
            if pace.get(name, 0) * size.work > SLOWEST:
                notes[name] = f"skipped: would take {pace[name] * size.work:.0f} s"
                continue
            packed = ops.prepare(operation, *size.parameters)
            calls[name] = lambda ops=ops, packed=packed: getattr(ops, operation)(*size.inputs, *packed)
            calls[name]()
        seconds = measured(calls)
        for name in first:
            if name not in calls:
                yield Timing(operation, name, size.label, None, None, first[name], None, size.unit, notes[name])
                continue
            pace[name] = statistics.median(seconds[name]) / size.work
            best = min(seconds[name])
            yield Timing(operation, name, size.label, pace[name] * size.work * 1e3, best * 1e3, first[name],
                         size.work / best / 1e9, size.unit, "")  # fmt: skip


def ceilings() -> dict[str, float]:
    """The most this machine does, as far as others' code can show it: OpenBLAS's product, and copying memory."""
    x, weight = normal(2048, WIDTH), normal(INNER, WIDTH)
    source = normal(BEYOND, WIDTH)
    target, relu = np.empty_like(source), table("fast").relu
    relu(source)
    calls = {
        "sgemm": lambda: x @ weight.T,
        "copy": lambda: np.copyto(target, source),
        "relu": lambda: relu(source),  # reads and writes as a copy does, but on every thread
    }
    best = {name: min(seconds) for name, seconds in measured(calls).items()}
    moved = 2 * source.nbytes / min(best["copy"], best["relu"]) / 1e9
    return {"GFLOP/s": 2 * x.size * INNER / best["sgemm"] / 1e9, "GB/s": moved}


def printed(timings: list[Timing], ceiling: dict[str, float]) -> None:
    print(f"{'variant':11}{'size':>21}{'median ms':>12}{'best ms':>11}{'rate':>9}{'':9}{'ceiling':>8}{'first s':>9}")
    for timing in timings:
        place = f"{timing.variant:11}{timing.size:>21}"
        if timing.milliseconds is None:
            print(f"{place}  {timing.note}")
            continue
        share = timing.rate / ceiling[timing.unit]
        print(f"{place}{timing.milliseconds:12.3f}{timing.best:11.3f}{timing.rate:9.1f} {timing.unit:8}"
              f"{share:8.0%}{timing.first:9.2f}")  # fmt: skip


def main() -> None:
    every = operations(("fast",))
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ops", description=__doc__.splitlines()[0])
    parser.add_argument("operation", nargs="?", choices=every, metavar="operation", help=", ".join(every))
    parser.add_argument("--json", metavar="FILE", type=Path, help="write every figure there too")
    parser.add_argument("--threads", type=int, metavar="N", help="of the compiled kernels; OpenBLAS has its own")
    options = parser.parse_args()
    if options.threads:
        set_num_threads(options.threads)
    ceiling = ceilings()
    found = {name: list(benchmark(name)) for name in ([options.operation] if options.operation else every)}
    rates = [timing.rate for timings in found.values() for timing in timings if timing.unit == "GFLOP/s" and timing.rate]
    ours = max([0.0, *rates])
    ceiling["GFLOP/s"], whose = max((ceiling["GFLOP/s"], "OpenBLAS"), (ours, "a kernel here"))
    print(f"{platform.machine()}, {os.cpu_count()} cores, {get_num_threads()} threads; ceilings "
          f"{ceiling['GFLOP/s']:.0f} GFLOP/s ({whose}), {ceiling['GB/s']:.1f} GB/s (copied)")  # fmt: skip
    for operation, timings in found.items():
        print(f"\n{operation}")
        printed(timings, ceiling)
    if options.json:
        rows = [timing._asdict() for timings in found.values() for timing in timings]
        options.json.write_text(json.dumps({"threads": get_num_threads(), "ceiling": ceiling, "timings": rows}, indent=1))


if __name__ == "__main__":
    main()
