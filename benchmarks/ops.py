"""Every variant of every operation, checked and then timed: `python -m benchmarks.ops [operation ...]`.

The check is the tests' own (`tests/kernel_cases.py`: every case against the reference in float64); a variant that is
wrong prints FAIL and no time. The variants of a size are timed in turn, round after round; the median stands in the
table, with half the distance between the quartiles. A product's rate is counted in operations and measured against the
arithmetic this machine does between registers; any other's in bytes, and against copying arrays larger than the caches.
The ceilings (`peaks.py`) have their turn among the variants. The reference of a product is NumPy's OpenBLAS.

"first" is the first call: reading a compiled kernel back, or with --cold, which begins with an empty cache, compiling.
Rule for skipping: a variant whose time at the size before, scaled by the work, makes more than SLOWEST seconds.
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
from .measuring import document, in_turn, seconds_of, write
from .plots import draw, pyplot
from .sizes import Size, sizes_of

from kernel_cases import cases, error, table_with, tolerance  # isort: skip - sizes.py has put the tests' folder in the path

SLOWEST = 0.4  # seconds a call
ROUNDS = 5
SOME = 1.6e9  # operations of a ceiling's call: some 10 ms
PAUSE = 0.03  # seconds between turns: OpenBLAS's threads go on spinning for some 25 ms
TURN = 0.05
CEILINGS = {"GFLOP/s": "fp32 ceiling", "GOP/s": "int8 ceiling", "GB/s": "copying"}  # unit -> the name of its line
HEADER = f"{'variant':16}{'size':>21}{'first':>11}{'median':>15}{'spread':>7}{'rate':>15}{'of ceiling':>14}"


class Result(NamedTuple):
    """A variant at a size; without a time where it was wrong or skipped."""

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
    """name -> a table that does the operation this way, and its tolerance. A fused operation meets its parts first."""
    found = {}
    if operation in REGISTRY.compositions:
        ops = Ops({**make_ops("fast").chosen, operation: REGISTRY.compositions[operation]})
        found["composed"] = ops, tolerance(ops, operation)
    for name, made in variants(operation).items():
        found[name] = table_with(made), made.tolerance
    return found


def checked(operation: str) -> tuple[dict[str, Ops], dict[str, float], dict[str, str]]:
    """-> the variants that are right, as tables; the seconds of each one's first call; what is wrong with the others."""
    right, first, wrong = {}, {}, {}
    for name, (ops, allowed) in candidates(operation).items():
        found: list[float] = []
        case, *others = cases(operation).values()
        first[name] = seconds_of(lambda: found.append(error(ops, operation, case)))
        worst = max(found + [error(ops, operation, other) for other in others])
        if worst <= allowed:
            right[name] = ops
        else:
            wrong[name] = f"FAIL: error {worst:.1e}, may be {allowed:.0e}"
    return right, first, wrong


def benchmark(operation: str, quick: bool = False) -> Iterable[Result]:
    """Each variant at each size; the ceilings first."""
    right, first, wrong = checked(operation)
    pace: dict[str, float] = {}  # seconds per unit of work at the size before
    for size in sizes_of(operation, quick):
        notes, calls = dict(wrong), {}
        for name, ops in right.items():
            expected = pace.get(name, 0) * size.operations
            if expected > SLOWEST:
                notes[name] = f"skipped: would take {expected:.1f} s"
                continue
            packed = ops.pack_weights(operation, *size.parameters)
            calls[name] = lambda ops=ops, packed=packed: getattr(ops, operation)(*size.inputs, *packed)
        units = {name: unit_of(operation, name, size) for name in calls}
        above = {unit: ceiling(unit) for unit in dict.fromkeys(units.values())}
        every = {**{unit: call for unit, (call, _) in above.items()}, **calls}
        found = in_turn(every, 2 if quick else ROUNDS, PAUSE, 0.01 if quick else TURN)
        rates = {unit: work / found[unit].median for unit, (_, work) in above.items()}
        for unit, rate in rates.items():
            yield Result(operation, CEILINGS[unit], size.label, "", 0.0, *found[unit][:2], rate, unit, 1.0)
        for name in first:
            if name in notes:
                yield Result(operation, name, size.label, notes[name], first[name])
                continue
            unit, (median, spread, _) = units[name], found[name]
            pace[name] = median / size.operations
            rate = (size.bytes if unit == "GB/s" else size.operations) / median
            yield Result(
                operation,
                name,
                size.label,
                "",
                first[name],
                median,
                spread,
                rate,
                unit,
                rate / rates[unit],
                size.operations / size.bytes,
                size.operations / median,
            )


def unit_of(operation: str, name: str, size: Size) -> str:
    """Variants of 8-bit numbers are called so, and have a ceiling of their own where the machine does."""
    if not size.product:
        return "GB/s"
    return "GOP/s" if "int8" in name and ceiling("GOP/s") else "GFLOP/s"


@cache
def ceiling(unit: str) -> tuple[Callable, float] | None:
    """A call that does the most of this unit, and how much it does."""
    if unit == "GB/s":
        return peaks.memory()
    call = peaks.arithmetic(SOME, "int8" if unit == "GOP/s" else "fp32")
    return call and (call, SOME)


def line(found: Result) -> str:
    place = f"{found.variant:16}{found.size:>21}{found.first:9.2f} s"
    if found.median is None:
        return f"{place}   {found.note}"
    return (
        f"{place}{1e3 * found.median:12.4g} ms ±{100 * found.spread:3.0f} %{found.rate / 1e9:9.4g} {found.unit:8}"
        f"{100 * found.share:5.0f} %"
    )


def tables(results: Iterable[Result]) -> dict[str, dict]:
    """For the README, a table an operation: variants down, sizes across, rates and shares of the ceiling in them."""
    made: dict[str, dict[str, dict]] = {}
    for found in results:
        share = "" if found.variant in CEILINGS.values() else f" ({100 * found.share:.0f} %)"
        shown = f"{found.rate / 1e9:.3g} {found.unit}{share}" if found.median else found.note.partition(":")[0]
        made.setdefault(found.operation, {}).setdefault(found.variant, {})[found.size] = shown
    return {operation: table_of(rows) for operation, rows in made.items()}


def table_of(rows: dict[str, dict]) -> dict:
    sizes = list(dict.fromkeys(size for cells in rows.values() for size in cells))
    return {"columns": ["variant", *sizes], "rows": [[name, *map(cells.get, sizes)] for name, cells in rows.items()]}


def run(options: argparse.Namespace) -> list[Result]:
    from minibert.kernels.runtime.thread_count import get_num_threads, set_num_threads

    every = operations(("fast",))
    if unknown := set(options.operations) - set(every):
        raise SystemExit(f"the operations are: {', '.join(every)}; got {', '.join(sorted(unknown))}.")
    if options.threads:
        set_num_threads(options.threads)
    if options.plot:
        pyplot()  # if it is missing, now is the time to say so
    print(f"{measuring.machine()}; {get_num_threads()} threads")
    results = []
    for operation in options.operations or every:
        print(f"\n{operation}\n{HEADER}")
        for found in benchmark(operation, options.quick):
            print(line(found), flush=True)
            results.append(found)
    figures = [found._asdict() for found in results]
    write(options.json, document("ops", get_num_threads(), tables(results), figures=figures))
    if options.plot:
        print("\n" + "\n".join(map(str, draw(options.plot, results))))
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("operations", nargs="*", metavar="operation", help="all, when none is named")
    parser.add_argument("--threads", type=int, help="how many; else all cores")
    parser.add_argument("--quick", action="store_true", help="small sizes and few rounds")
    parser.add_argument("--cold", action="store_true", help="begin with an empty cache of compiled kernels")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    parser.add_argument("--plot", type=Path, metavar="FOLDER", help="also draw the ladder and the roofline, as PNG and SVG")
    options = parser.parse_args()
    if not options.cold:
        return any(found.note.startswith("FAIL") for found in run(options))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NUMBA_CACHE_DIR"] = folder
        return any(found.note.startswith("FAIL") for found in run(options))


if __name__ == "__main__":
    sys.exit(main())
