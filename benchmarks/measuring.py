"""What the benchmarks share: interleaved timing, medians with their spread, and the JSON file of figures.

`report.py` describes that file and writes it into the READMEs.
"""

from __future__ import annotations

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

import llvmlite.binding as llvm
import numpy as np

from minibert.kernels.runtime.thread_count import get_num_threads

PAUSE = 0.3  # seconds between engines: OpenMP's threads spin for 0.2 s after their last call
COPY_FLOATS = 4 << 20  # floats, 16 MiB: more than a core's own caches
TURN = 0.3  # seconds of calls in a turn; a first call that takes longer is counted, as waking up is a small part of it
MIN_CALLS, MAX_CALLS = 3, 10_000  # counted calls of a turn
COLD_CALLS = 3  # of a turn with empty caches


class Timing(NamedTuple):
    """Seconds a call."""

    median: float
    spread: float  # half the interquartile range, over the median
    count: int
    turns: tuple[float, ...]  # the median of each turn: turns of one round can be compared with each other


def seconds_of(call: Callable) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def summary(turns: list[list[float]]) -> Timing:
    seconds = sum(turns, [])
    median = statistics.median(seconds)
    first, _, third = statistics.quantiles(seconds, n=4) if len(seconds) > 1 else (median,) * 3
    return Timing(median, (third - first) / 2 / median, len(seconds), tuple(map(statistics.median, turns)))


def time_in_turn(
    calls: Mapping[str, Callable],
    rounds: int,
    pause: float = PAUSE,
    turn: float = TURN,
    more: Callable[[dict[str, Timing]], bool] = lambda timed: False,
    evict: Callable | None = None,
) -> dict[str, Timing]:
    """name -> the time of a call. All calls have a turn in every round, so a busy minute slows all of them.

    After these rounds, one follows another as long as `more` is true. With `evict`, which empties the caches, each call is
    preceded by it and a turn is COLD_CALLS calls."""
    turns: dict[str, list[list[float]]] = {name: [] for name in calls}
    gc.collect()
    while True:
        for name, call in calls.items():
            keep_awake(pause)
            turns[name].append(cold_turn(call, evict) if evict else one_turn(call, turn))
        rounds -= 1
        timed = {name: summary(times) for name, times in turns.items()}
        if rounds <= 0 and not more(timed):
            return timed


def keep_awake(seconds: float) -> None:
    """Copy memory on all threads for this long: an idle virtual core is a tenth slower for a while."""
    stop = time.perf_counter() + seconds

    def work():
        source, target = np.zeros(COPY_FLOATS, np.float32), np.empty(COPY_FLOATS, np.float32)
        while time.perf_counter() < stop:
            np.copyto(target, source)

    threads = [threading.Thread(target=work) for _ in range(get_num_threads())]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def one_turn(call: Callable, turn: float) -> list[float]:
    """Times of some calls, after an uncounted one that wakes threads and fills caches."""
    first = seconds_of(call)
    if first > turn:
        return [first]
    times: list[float] = []
    total = 0.0
    while len(times) < MIN_CALLS or (total < turn and len(times) < MAX_CALLS):
        times.append(seconds_of(call))
        total += times[-1]
    return times


def cold_turn(call: Callable, evict: Callable) -> list[float]:
    """Times of calls that find none of their arrays in the caches, nor threads that wait for them."""
    times = []
    for _ in range(COLD_CALLS):
        evict()
        times.append(seconds_of(call))
    return times


def machine() -> str:
    """The processor as the system names it and as LLVM does, its cores, and the widest vectors it has. The system of a virtual
    machine may tell no more than the maker; znver3, znver4 and znver5 are Zen 3 to 5."""
    pinned = os.environ.get("MINIBERT_ISA")
    name = processor().get("model name", platform.processor() or platform.machine())
    parts = [f"{name} ({llvm.get_host_cpu_name()})", f"{os.cpu_count()} cores", kind(), pinned and f"kernels for {pinned}"]
    return ", ".join(filter(None, parts))


def processor() -> dict[str, str]:
    """What Linux tells of it; nothing elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def kind() -> str:
    """The widest vectors or tiles that it has: tables of one kind of machine are written together."""
    flags = processor().get("flags", processor().get("Features", "")).split()
    return next((label for flag, label in WIDTHS if flag in flags), "")


WIDTHS = (
    ("amx_bf16", "AMX"),
    ("avx512_bf16", "AVX-512 with VNNI and BF16"),
    ("avx512_vnni", "AVX-512 with VNNI"),
    ("avx512f", "AVX-512"),
    ("avx2", "AVX2"),
    ("asimd", "NEON"),
)


def document(module: str, threads: int, tables: dict, arguments: Iterable[str] | None = None, **more) -> dict:
    """What `--json` writes. Folders of this machine, among the arguments, become FOLDER."""
    words = sys.argv[1:] if arguments is None else arguments
    command = ["FOLDER" if os.sep in word else word for word in without_paths(words)]
    return {
        "command": " ".join(["python -m", f"benchmarks.{module}", *command]),
        "machine": machine(),
        "kind": kind(),
        "threads": threads,
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "tables": tables,
        **more,
    }


def without_paths(words: Iterable[str]) -> list[str]:
    """Arguments without the options that name files, which change no figure."""
    remaining, skip = [], False
    for word in words:
        if skip or word.startswith(PATH_OPTIONS):
            skip = word in PATH_OPTIONS
        else:
            remaining.append(word)
    return remaining


PATH_OPTIONS = ("--json", "--plot", "-o", "--output")


def write(path: Path | None, content: dict) -> None:
    if path is not None:
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def markdown(columns: list[str], rows: Iterable[Iterable]) -> str:
    """A Markdown table; numbers with three digits, None as an empty cell."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(map(cell, line)) + " |" for line in lines)


def cell(value) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 99.95 else f"{value:.3g}"
    return str(value)
