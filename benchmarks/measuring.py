"""What the benchmarks share: whose turn it is, what a median was made of, and the form in which figures are kept.

The form is told in `report.py`, which puts it into the README.
"""

from __future__ import annotations

import contextlib
import datetime
import gc
import json
import os
import platform
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minibert.kernels.runtime.thread_count import get_num_threads

PAUSE = 0.3  # seconds: OpenMP's threads go on spinning for 0.2 s, and would spin in the next engine's time
COPIED = 4 << 20  # floats, 16 MiB: more than a core's own caches
TURN = 0.3  # seconds for the calls of a turn; a first call that is longer counts: what it wakes up is little beside it
FEWEST = 3  # calls of a turn after a first one that is shorter


class Timing(NamedTuple):
    """Seconds a call."""

    median: float
    spread: float  # half the way from the first quartile to the third, as a share of the median
    count: int


def seconds_of(call: Callable) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def summary(seconds: list[float]) -> Timing:
    median = statistics.median(seconds)
    first, _, third = statistics.quantiles(seconds, n=4) if len(seconds) > 1 else (median,) * 3
    return Timing(median, (third - first) / 2 / median, len(seconds))


def in_turn(calls: Mapping[str, Callable], rounds: int, pause: float = PAUSE, turn: float = TURN) -> dict[str, Timing]:
    """name -> the time of a call. Each has a turn in every round, so that a busy minute is everyone's."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    gc.collect()
    for _ in range(rounds):
        for name, call in calls.items():
            keep_awake(pause)
            seconds[name] += one_turn(call, turn)
    return {name: summary(found) for name, found in seconds.items()}


def keep_awake(seconds: float) -> None:
    """Copy memory on all threads for so long: after a pause without work a virtual core is slower by a tenth for a while."""
    stop = time.perf_counter() + seconds

    def work():
        begun, ended = np.zeros(COPIED, np.float32), np.empty(COPIED, np.float32)
        while time.perf_counter() < stop:
            np.copyto(ended, begun)

    threads = [threading.Thread(target=work) for _ in range(get_num_threads())]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def one_turn(call: Callable, turn: float) -> list[float]:
    """Some calls after one that wakes threads and caches up."""
    first = seconds_of(call)
    if first > turn:
        return [first]
    found: list[float] = []
    while len(found) < FEWEST or sum(found) < turn:
        found.append(seconds_of(call))
    return found


def machine() -> str:
    """The processor as the system names it, its cores, and the widest vectors it has."""
    name, flags = platform.processor() or platform.machine(), ""
    with contextlib.suppress(OSError):  # not Linux
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            name = value.strip() if key.startswith("model name") else name
            flags = value if key.startswith("flags") else flags
    widest = [shown for flag, shown in WIDTHS if flag in flags.split()]
    return ", ".join([name, f"{os.cpu_count()} cores", *widest[:1]])


WIDTHS = (
    ("avx512_bf16", "AVX-512 with VNNI and BF16"),
    ("avx512_vnni", "AVX-512 with VNNI"),
    ("avx512f", "AVX-512"),
    ("avx2", "AVX2"),
    ("asimd", "NEON"),
)


def document(module: str, threads: int, tables: dict, arguments: Iterable[str] | None = None, **more) -> dict:
    """What `--json` writes. Folders of this machine, among the arguments, become FOLDER."""
    given = sys.argv[1:] if arguments is None else arguments
    typed = ["FOLDER" if os.sep in word else word for word in without_places(given)]
    return {
        "command": " ".join(["python -m", f"benchmarks.{module}", *typed]),
        "machine": machine(),
        "threads": threads,
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "tables": tables,
        **more,
    }


def without_places(words: Iterable[str]) -> list[str]:
    """Arguments less those that say where files go, which change no figure."""
    kept, skip = [], False
    for word in words:
        if skip or word.startswith(WHERE):
            skip = word in WHERE
        else:
            kept.append(word)
    return kept


WHERE = ("--json", "--plot", "--model")


def write(path: Path | None, made: dict) -> None:
    if path is not None:
        path.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def markdown(columns: list[str], rows: Iterable[Iterable]) -> str:
    """A table as the README has it; a number with three digits, None as nothing."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(map(cell, line)) + " |" for line in lines)


def cell(value) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 99.95 else f"{value:.3g}"
    return str(value)
