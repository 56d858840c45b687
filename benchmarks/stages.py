"""Where a forward pass goes: the time of each of its steps, by a table of operations that keeps a log.

The encoder is not changed: a model looks its operations up in `model.kernels`, and for a while finds there the same
ones with a watch around each. An operation that a layer calls twice is told apart by what was called before it.

Kernels are noted and then made under the watch, so that the interpreter's part is in no step: a pass that is noted as a
whole does without. What of its time no step accounts for is "between them".
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
    ("relu", "linear"): "head",  # where no kernel does both
    ("tanh", "linear"): "head",
}
ENOUGH = 2.0
ELSEWHERE = "between them"  # checking and packing the input, and the interpreter
Step = tuple[str, float, float]  # operation, begun, ended


def watched(ops: Ops, log: list[Step]) -> Ops:
    """The same operations; each call of one is noted in `log`. What a composed one calls is its own time."""
    made = copy.copy(ops)
    made.capturable = False  # each runs when it is called
    watching = watch_kernels if ops.capturable else watch
    for operation in ops.chosen:
        setattr(made, operation, watching(operation, getattr(ops, operation), log))
    return made


def watch(operation: str, function: Callable, log: list[Step]) -> Callable:
    def call(*arguments):
        begun = time.perf_counter()
        output = function(*arguments)
        log.append((operation, begun, time.perf_counter()))
        return output

    return call


def watch_kernels(operation: str, function: Callable, log: list[Step]) -> Callable:
    """For an operation that only calls kernels: capture them first, so that only they are timed."""

    def call(*arguments):
        with threads.capture() as recorded:
            output = function(*arguments)
        if recorded.calls:
            watch(operation, threads.run_parallel, log)(CommandList(recorded.take_calls()))
        return output

    return call


def steps_of(log: list[Step], total: float) -> dict[str, float]:
    """A forward pass's log -> seconds a step, in the order they are met, and the rest of `total`."""
    seconds: dict[str, float] = defaultdict(float)
    before = ""
    for operation, begun, ended in log:
        step = STEPS.get((operation, before)) or STEPS.get((operation, "")) or operation
        seconds[step] += ended - begun
        before = operation
    seconds[ELSEWHERE] = max(total - sum(seconds.values()), 0.0)
    return dict(seconds)


def measure(model, ids: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """step -> median seconds of it in one forward pass, over ENOUGH seconds of passes."""
    log: list[Step] = []
    kernels = model.kernels
    model(ids, attention_mask=mask)
    found: dict[str, list[float]] = defaultdict(list)
    try:
        watching = watched(kernels, log)
        stop = time.perf_counter() + ENOUGH
        while not found or time.perf_counter() < stop:
            model.kernels = kernels
            total = seconds_of(lambda: model(ids, attention_mask=mask))
            model.kernels = watching
            log.clear()
            model(ids, attention_mask=mask)
            for step, seconds in steps_of(log, total).items():
                found[step].append(seconds)
    finally:
        model.kernels = kernels
    return {step: statistics.median(seconds) for step, seconds in found.items()}


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
