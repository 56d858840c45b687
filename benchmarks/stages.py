"""Where the time of a forward pass goes: the seconds of each step, by an `Ops` whose operations are timed.

The encoder is not changed: a model looks its operations up in `model.kernels`, which is replaced for a while by the same
operations with a timer around each. Two calls of one operation in a layer are distinguished by the operation before.

Kernels are captured and then executed under the timer, so the interpreter's time is in no step, as in a captured pass.
The rest of a pass's time is "between them".
"""

from __future__ import annotations

import copy
import statistics
import time
from collections import defaultdict
from collections.abc import Callable

import numpy as np

from minibert.kernels.catalog import Ops
from minibert.kernels.runtime import threads
from minibert.kernels.runtime.capture import CommandList

from .measuring import seconds_of

# (operation, the operation before it) -> the step in words; an operation with one place in a layer has "" there.
STEPS = {
    ("embed", ""): "embedding + norm",
    ("query_key_value", ""): "query, key, value",
    ("take", ""): "the first tokens' rows",
    ("attention", ""): "attention",
    ("linear_add", "attention"): "attention output",
    ("linear_gelu", ""): "feed-forward in + gelu",
    ("linear_add", "linear_gelu"): "feed-forward out",
    ("layer_norm", ""): "norms",
    ("linear_relu", ""): "head",
    ("linear", ""): "head",
    ("relu", "linear"): "head",  # if no kernel fuses them
    ("tanh", "linear"): "head",
}
MIN_SECONDS = 2.0
ELSEWHERE = "between them"  # checking and packing the input, and the interpreter
Step = tuple[str, float, float]  # operation, start, stop


def timed_ops(ops: Ops, log: list[Step]) -> Ops:
    """The same operations; each call is added to `log`. The time of a composed one includes its parts."""
    timed = copy.copy(ops)
    timed.capturable = False  # each runs when it is called
    watching = timed_kernels if ops.capturable else timed_call
    for operation in ops.chosen:
        setattr(timed, operation, watching(operation, getattr(ops, operation), log))
    return timed


def timed_call(operation: str, function: Callable, log: list[Step]) -> Callable:
    def call(*arguments, **options):
        start = time.perf_counter()
        output = function(*arguments, **options)
        log.append((operation, start, time.perf_counter()))
        return output

    return call


def timed_kernels(operation: str, function: Callable, log: list[Step]) -> Callable:
    """For an operation that only calls kernels: capture them first, so that only they are timed."""

    def call(*arguments, **options):
        with threads.capture() as recorded:
            output = function(*arguments, **options)
        if recorded.calls:
            timed_call(operation, threads.run_parallel, log)(CommandList(recorded.take_calls()))
        return output

    return call


def steps_of(log: list[Step], total: float) -> dict[str, float]:
    """A forward pass's log -> seconds a step, in the order they are met, and the rest of `total`."""
    seconds: dict[str, float] = defaultdict(float)
    before = ""
    for operation, start, stop in log:
        step = STEPS.get((operation, before)) or STEPS.get((operation, "")) or operation
        seconds[step] += stop - start
        before = operation
    seconds[ELSEWHERE] = max(total - sum(seconds.values()), 0.0)
    return dict(seconds)


def measure(model, ids: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """step -> median seconds of it in one forward pass, over ENOUGH seconds of passes."""
    log: list[Step] = []
    kernels = model.kernels
    model(ids, attention_mask=mask)
    times: dict[str, list[float]] = defaultdict(list)
    try:
        watching = timed_ops(kernels, log)
        stop = time.perf_counter() + MIN_SECONDS
        while not times or time.perf_counter() < stop:
            model.kernels = kernels
            total = seconds_of(lambda: model(ids, attention_mask=mask))
            model.kernels = watching
            log.clear()
            model(ids, attention_mask=mask)
            for step, seconds in steps_of(log, total).items():
                times[step].append(seconds)
    finally:
        model.kernels = kernels
    return {step: statistics.median(seconds) for step, seconds in times.items()}


def table(measured: dict[tuple[str, str], dict[str, float]]) -> dict:
    """(kernels, shape) -> steps, as a README's table: steps down, shapes across, milliseconds and share in each cell."""
    several = len({kernels for kernels, _ in measured}) > 1
    columns = ["step", *dict.fromkeys(f"{shape}, ms" for _, shape in measured)]
    rows: dict[str, list] = {}
    for (kernels, shape), steps in measured.items():
        total = sum(steps.values())
        for step, seconds in steps.items():
            row = rows.setdefault(f"{kernels}: {step}" if several else step, [None] * (len(columns) - 1))
            row[columns.index(f"{shape}, ms") - 1] = f"{1e3 * seconds:.3g} ({100 * seconds / total:.0f} %)"
    return {"columns": columns, "rows": [[name, *row] for name, row in rows.items()]}
