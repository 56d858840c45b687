"""Every variant of every operation, checked and then timed: `python -m benchmarks.ops [operation ...]`.

The check is the tests' own (`tests/support/kernel_cases.py`: every case against the reference in float64); a variant that is
wrong prints FAIL and no time. The variants of a size are timed in turn, round after round; the table has the median and
half the interquartile range. The rate of a product is in operations a second, compared with this machine's arithmetic on
registers; that of any other operation is in bytes a second, compared with copying arrays larger than the caches. These
ceilings (`peaks.py`) are timed in turn with the variants. The reference of a product is NumPy's OpenBLAS.

Sizes whose arrays fit into the caches are timed with empty caches too ("cold"): before each call other arrays are copied, after
which a kernel's threads sleep as well.

"first" is the first call: it loads a compiled kernel from the cache, or compiles it with --cold (an empty cache).
A variant is skipped if its time at the previous size, scaled by the work, exceeds MAX_SECONDS.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from minibert.kernels.catalog import Ops, make_ops, operations, variants
from minibert.kernels.registry import REGISTRY

from . import measuring, peaks
from .measuring import document, seconds_of, time_in_turn, write
from .plots import draw, pyplot
from .sizes import Size, sizes_of

from kernel_cases import cases, error, table_with, tolerance  # isort: skip - sizes.py has put the tests' folder in the path

MAX_SECONDS = 0.4  # seconds a call
ROUNDS = 5
CACHED = 16 << 20  # bytes: half of a large L3
CEILING_OPERATIONS = 1.6e9  # float32 operations of a ceiling's call: some 10 ms
PAUSE = 0.03  # seconds between turns: OpenBLAS's threads go on spinning for some 25 ms
TURN = 0.05
CEILINGS = {  # the name of its line -> unit
    "fp32 ceiling": "GFLOP/s",
    "int8 ceiling": "GOP/s",
    "bf16 tiles ceiling": "GFLOP/s",
    "int8 tiles ceiling": "GOP/s",
    "copying": "GB/s",
}
HEADER = f"{'variant':16}{'size':>21}{'first':>11}{'median':>15}{'spread':>7}{'rate':>15}{'of ceiling':>14}"


class Result(NamedTuple):
    """A variant at a size; without a time if it was wrong or skipped."""

    operation: str
    variant: str
    size: str
    note: str = ""  # why there is no time
    first: float = 0.0  # seconds
    median: float | None = None
    spread: float = 0.0
    rate: float = 0.0  # a second
    unit: str = ""
    share: float = 0.0  # of the ceiling
    intensity: float = 0.0  # operations a byte
    operations_a_second: float = 0.0


def candidates(operation: str) -> dict[str, tuple[Ops, float]]:
    """name -> an `Ops` with this variant, and its tolerance. A fused operation is first composed of its parts."""
    tables = {}
    if operation in REGISTRY.compositions:
        ops = Ops({**make_ops("fast").chosen, operation: REGISTRY.compositions[operation]})
        tables["composed"] = ops, tolerance(ops, operation)
    for name, variant in variants(operation).items():
        tables[name] = table_with(variant), variant.tolerance
    return tables


def check_variants(operation: str) -> tuple[dict[str, Ops], dict[str, float], dict[str, str]]:
    """-> `Ops` of the correct variants; seconds of every variant's first call; the error message of the wrong ones."""
    right, first, wrong = {}, {}, {}
    for name, (ops, allowed) in candidates(operation).items():
        errors: list[float] = []
        case, *others = cases(operation).values()
        first[name] = seconds_of(lambda: errors.append(error(ops, operation, case)))
        worst = max(errors + [error(ops, operation, other) for other in others])
        if worst <= allowed:
            right[name] = ops
        else:
            wrong[name] = f"FAIL: error {worst:.1e}, may be {allowed:.0e}"
    return right, first, wrong


def benchmark(operation: str, quick: bool = False) -> Iterable[Result]:
    """Each variant at each size; the ceilings first."""
    right, first, wrong = check_variants(operation)
    pace: dict[str, float] = {}  # seconds per unit of work at the size before
    for size in sizes_of(operation, quick):
        notes, calls = dict(wrong), {}
        for name, ops in right.items():
            expected = pace.get(name, 0) * size.operations
            if expected > MAX_SECONDS:
                notes[name] = f"skipped: would take {expected:.1f} s"
                continue
            packed = ops.pack_weights(operation, *size.parameters)
            calls[name] = lambda ops=ops, packed=packed: getattr(ops, operation)(*size.inputs, *packed)
        limits = {name: ceiling_of(name, size) for name in calls}
        ceilings = {limit: ceiling(limit) for limit in dict.fromkeys(limits.values())}
        all_calls = {**{limit: call for limit, (call, _) in ceilings.items()}, **calls}
        times = time_in_turn(all_calls, 2 if quick else ROUNDS, PAUSE, 0.01 if quick else TURN)
        rates = {limit: work / times[limit].median for limit, (_, work) in ceilings.items()}
        for limit, rate in rates.items():
            yield Result(operation, limit, size.label, "", 0.0, *times[limit][:2], rate, CEILINGS[limit], 1.0)
        for name in first:
            if name in notes:
                yield Result(operation, name, size.label, notes[name], first[name])
                continue
            pace[name] = times[name].median / size.operations
            yield result_of(operation, name, size, size.label, first[name], times[name], limits[name], rates[limits[name]])
        if size.bytes <= CACHED and not quick:
            times = time_in_turn(calls, ROUNDS, PAUSE, evict=peaks.memory()[0])
            for name in calls:
                label = f"{size.label}, cold"
                yield result_of(operation, name, size, label, first[name], times[name], limits[name], rates[limits[name]])


def result_of(
    operation: str, name: str, size: Size, label: str, first: float, timing: measuring.Timing, limit: str, best: float
) -> Result:
    """The rate of a variant, beside `best`, that of its ceiling."""
    rate = (size.bytes if limit == "copying" else size.operations) / timing.median
    return Result(
        operation,
        name,
        label,
        "",
        first,
        timing.median,
        timing.spread,
        rate,
        CEILINGS[limit],
        rate / best,
        size.operations / size.bytes,
        size.operations / timing.median,
    )


def ceiling_of(name: str, size: Size) -> str:
    """Which line of CEILINGS a variant is compared with: int8 variants, and those on tiles (by their names), have their own if
    the machine has one."""
    if not size.product:
        return "copying"
    numbers = "int8" if "int8" in name else "bf16 tiles" if name.startswith("amx") else "fp32"
    own = f"{numbers} tiles ceiling" if name.startswith("amx_int8") else f"{numbers} ceiling"
    return own if ceiling(own) else "fp32 ceiling"


@cache
def ceiling(name: str) -> tuple[Callable, float] | None:
    """A call that reaches the machine's maximum, and how much work it does; None if the machine has no such unit."""
    if name == "copying":
        return peaks.memory()
    numbers = name.removesuffix(" ceiling")
    work = CEILING_OPERATIONS * peaks.SPEED[numbers]
    call = peaks.arithmetic(work, numbers)
    return call and (call, work)


def line(result: Result) -> str:
    label = f"{result.variant:16}{result.size:>21}{result.first:9.2f} s"
    if result.median is None:
        return f"{label}   {result.note}"
    return (
        f"{label}{1e3 * result.median:12.4g} ms ±{100 * result.spread:3.0f} %{result.rate / 1e9:9.4g} {result.unit:8}"
        f"{100 * result.share:5.0f} %"
    )


def tables(results: Iterable[Result]) -> dict[str, dict]:
    """For the README, a table for each operation: a row a variant, a column a size, rates and shares of the ceiling."""
    cells_of: dict[str, dict[str, dict]] = {}
    for result in results:
        share = "" if result.variant in CEILINGS else f" ({100 * result.share:.0f} %)"
        cell = f"{result.rate / 1e9:.3g} {result.unit}{share}" if result.median else result.note.partition(":")[0]
        cells_of.setdefault(result.operation, {}).setdefault(result.variant, {})[result.size] = cell
    return {operation: table_of(rows) for operation, rows in cells_of.items()}


def table_of(rows: dict[str, dict]) -> dict:
    sizes = list(dict.fromkeys(size for cells in rows.values() for size in cells))
    return {"columns": ["variant", *sizes], "rows": [[name, *map(cells.get, sizes)] for name, cells in rows.items()]}


def run(options: argparse.Namespace) -> list[Result]:
    from minibert.kernels.runtime.thread_count import get_num_threads, set_num_threads

    known = operations(("fast",))
    if unknown := set(options.operations) - set(known):
        raise SystemExit(f"the operations are: {', '.join(known)}; got {', '.join(sorted(unknown))}.")
    if options.threads:
        set_num_threads(options.threads)
    if options.plot:
        pyplot()  # if it is missing, now is the time to say so
    print(f"{measuring.machine()}; {get_num_threads()} threads")
    results = []
    for operation in options.operations or known:
        print(f"\n{operation}\n{HEADER}")
        for result in benchmark(operation, options.quick):
            print(line(result), flush=True)
            results.append(result)
    figures = [result._asdict() for result in results]
    write(options.json, document("ops", get_num_threads(), tables(results), figures=figures))
    if options.plot:
        warm = [result for result in results if not result.size.endswith("cold")]
        print("\n" + "\n".join(map(str, draw(options.plot, warm))))
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("operations", nargs="*", metavar="operation", help="all if none is named")
    parser.add_argument("--threads", type=int, help="the number of threads (all cores)")
    parser.add_argument("--quick", action="store_true", help="small sizes and few rounds")
    parser.add_argument("--cold", action="store_true", help="start with an empty cache of compiled kernels")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    parser.add_argument("--plot", type=Path, metavar="FOLDER", help="also draw the ladder and the roofline, as PNG and SVG")
    options = parser.parse_args()
    if not options.cold:
        return any(result.note.startswith("FAIL") for result in run(options))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NUMBA_CACHE_DIR"] = folder
        return any(result.note.startswith("FAIL") for result in run(options))


if __name__ == "__main__":
    sys.exit(main())
