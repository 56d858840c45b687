"""A plan for scale: what 1 and 2 workers do here, and from that what 100 and 1,000 would.

    python -m benchmarks.scaling [--rows 20000] [--model NAME] [--kernels fast int8] [--data FOLDER] [-o benchmarks/scaling.md]

Runs `minibert run --engine ray` with one thread a worker on a Ray of this machine. First all of it is checked: the sorted
parts of each run must be the bytes of a run on one machine, or the preset prints FAIL and no figure. Then each step of a
run is measured by itself, and the estimates are sums of these rows of the same table; what the steps leave out (a shared
disk that is slower with more readers, nodes that fail) they leave out too. Memory is Linux's; with --rows 1000000 it shows
whether it grows with the rows.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

from minibert import KernelError, set_num_threads
from minibert.pipelines.streaming import chunks
from minibert.run.blocks import Block, open_block, plan_blocks
from minibert.run.environment import describe_environment
from minibert.run.job import Job, answer_chunk, encode_chunk, row_chars
from minibert.run.parts import part_name, write_part
from minibert.run.ray_engine import Cluster, Work, answer_blocks
from minibert.run.tasks import make_task
from minibert.run.writers import json_line

from .measuring import document, machine, markdown, seconds_of, write

TEN_BILLION = 10_000_000_000
WORKERS = (1, 2, 100, 1000)
MEASURED_WORKERS = (1, 2)
TINY_BLOCKS = 200  # of one row, whose time is the scheduler's
ROWS_PER_PART = 10_000  # the command's default
WORDS = ["a", "bad", "film", "not", "very", "good", "this", "movie", "is", "great", "and", "i", "love", "it", "hate", "plot"]


class Steps(NamedTuple):
    """Seconds of each step of a run."""

    start: float  # of Ray, the workers and their models
    plan: float  # a row, in the command
    schedule: float  # a part, in the command
    read: float  # a row, in a worker; so are the next two
    compute: float
    write: float
    skew: float  # the longest part over the mean part

    @property
    def row(self) -> float:
        return self.read + self.compute + self.write


class Bench(NamedTuple):
    """A preset's run: the input, and what workers need."""

    file: Block
    rows: int
    rows_per_part: int
    work: Work


def write_rows(path: Path, rows: int, data: Path | None) -> None:
    """SST-2's sentences, again and again; or sentences of 1 to 30 words."""
    draw = random.Random(0)
    texts: Iterator[str] = (" ".join(draw.choices(WORDS, k=draw.randint(1, 30))) for _ in repeat(None))
    if data is not None:
        lines = (data / "dev.tsv").read_text(encoding="utf-8").splitlines()[1:]
        texts = (line.split("\t")[1] for _ in repeat(None) for line in lines)
    with open(path, "w", encoding="utf-8") as file:
        for number in range(rows):
            file.write(json.dumps({"id": number, "text": next(texts)}) + "\n")


class EngineRun(NamedTuple):
    """A run on an engine."""

    done: list[float]  # when each part was done, in seconds from the start
    worker_mib: list[float]  # the resident memory of the largest worker, at a tenth of the parts and at the end
    command_mib: list[float]  # the command's, at the same times


def timed_run(bench: Bench, folder: Path, workers: int) -> EngineRun:
    folder.mkdir()
    blocks = list(plan_blocks(bench.file, bench.rows_per_part))
    run = EngineRun([], [], [])
    start = time.perf_counter()
    for _ in answer_blocks(blocks, bench.work._replace(folder=str(folder)), Cluster(None, workers, 1)):
        run.done.append(time.perf_counter() - start)
        if len(run.done) in (math.ceil(len(blocks) / 10), len(blocks)):
            run.worker_mib.append(max(map(resident_mib, worker_ids()), default=0.0))
            run.command_mib.append(resident_mib(os.getpid()))
    return run


def worker_ids() -> list[int]:
    """Ids of the processes of Ray Data's actors on this machine, from Linux's /proc."""
    ids = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended
            if path.read_bytes().startswith(b"ray::MapWorker"):
                ids.append(int(path.parent.name))
    return ids


def resident_mib(process: int) -> float:
    with suppress(OSError):
        pages = int(Path(f"/proc/{process}/statm").read_text(encoding="utf-8").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    return 0.0


def rate(bench: Bench, done: list[float]) -> float:
    """Rows a second, without the start: from the first part that was done to the last."""
    return bench.rows * (len(done) - 1) / len(done) / (done[-1] - done[0])


def bytes_of(folder: Path) -> bytes:
    """The lines of all parts, sorted and without the order column."""
    lines = sorted(line for path in folder.glob("part-*.jsonl") for line in path.read_bytes().splitlines(keepends=True))
    return b"".join(b"{" + line.partition(b", ")[2] for line in lines)


def steps_alone(bench: Bench, job: Job, folder: Path) -> tuple[dict[str, float], bytes]:
    """Each step of one worker by itself, in seconds a row; and the bytes of the answers."""
    blocks = list(plan_blocks(bench.file, bench.rows_per_part))
    plan = seconds_of(lambda: list(plan_blocks(bench.file, bench.rows_per_part)))
    spent = {"read": 0.0, "compute": 0.0, "write": 0.0}
    lines, part_times = [], []
    for block in blocks:
        start = time.perf_counter()
        with open_block(block) as source:
            parts = list(chunks(source.rows, row_chars))
        read = time.perf_counter()
        answers = [answer_chunk(chunk, job.task, lambda: None) for chunk in parts]
        computed = time.perf_counter()
        data = b"".join(encode_chunk(chunk, answer, block.path, job)[0] for chunk, answer in zip(parts, answers))
        write_part(folder / part_name(block, "alone"), data)
        written = time.perf_counter()
        for step, seconds in zip(spent, (read - start, computed - read, written - computed)):
            spent[step] += seconds
        lines.append(data)
        part_times.append(written - start)
    per_row = {step: seconds / bench.rows for step, seconds in {"plan": plan, **spent}.items()}
    return {**per_row, "skew": max(part_times) * len(part_times) / sum(part_times)}, b"".join(lines)


def seconds_to_schedule(bench: Bench, folder: Path) -> float:
    """Seconds for a part of one row, less its own work: what the command and Ray add to each part."""
    tiny = bench._replace(rows=TINY_BLOCKS, rows_per_part=1)
    blocks = list(plan_blocks(tiny.file, 1))[:TINY_BLOCKS]
    folder.mkdir()
    done = []
    for _ in answer_blocks(blocks, tiny.work._replace(folder=str(folder)), Cluster(None, 1, 1)):
        done.append(time.perf_counter())
    return (done[-1] - done[0]) / (len(done) - 1)


class Measured(NamedTuple):
    """What a preset took."""

    steps: Steps
    rates: dict[int, float]  # workers -> rows a second
    memory: list[list]  # rows of a table: workers, MiB of one and of the command, each at a tenth of the run and at its end


def measure(bench: Bench, folder: Path) -> Measured | None:
    """None if the bytes are not those of one machine."""
    work = bench.work
    task = make_task(work.task, work.model, work.text_column, work.options, kernels=work.kernels, revision=work.revision)
    set_num_threads(1)
    alone, expected = steps_alone(bench, Job(task, json_line, work.prefix, work.strict), folder)
    rates, starts, memory = {}, [], []
    for workers in MEASURED_WORKERS:
        parts = folder / f"{workers}"
        engine_run = timed_run(bench, parts, workers)
        done = engine_run.done
        if bytes_of(parts) != expected:
            return None
        rates[workers] = rate(bench, done)
        memory.append([workers, *engine_run.worker_mib, *engine_run.command_mib])
        starts.append(done[0] - bench.rows / (len(done) * rates[workers]) * workers)
    schedule = max(seconds_to_schedule(bench, folder / "tiny") - sum(alone[step] for step in ("read", "compute", "write")), 0.0)
    return Measured(Steps(start=max(*starts, 0.0), schedule=schedule, **alone), rates, memory)


def estimate(steps: Steps, rows: int, workers: int) -> tuple[float, str]:
    """Seconds of a run, and the step that takes most of them.

    The command plans, then hands out parts no faster than it can; workers answer their share and wait for the last part.
    """
    parts = math.ceil(rows / ROWS_PER_PART)
    share = math.ceil(parts / workers) * ROWS_PER_PART
    tail = (steps.skew - 1) * ROWS_PER_PART * steps.row
    terms = {
        "start": steps.start,
        "plan": steps.plan * rows,
        "schedule": max(steps.schedule * parts - share * steps.row, 0.0),
        "read": steps.read * share,
        "compute": steps.compute * share,
        "write": steps.write * share,
        "skew": tail,
    }
    return sum(terms.values()), max(terms, key=terms.__getitem__)


def core_hours(steps: Steps, workers: int) -> float:
    return (steps.row * TEN_BILLION + steps.start * workers) / 3600


def step_rows(measured: dict[str, Measured]) -> list[list]:
    units = {"start": "s", "schedule": "ms a part", "skew": "longest part over mean part"}
    rows: list[list] = []
    for name in Steps._fields:
        scale = 1 if name in ("start", "skew") else 1e3 if name == "schedule" else 1e6
        rows.append([name, units.get(name, "µs a row"), *(getattr(result.steps, name) * scale for result in measured.values())])
    return rows


def scale_rows(measured: dict[str, Measured]) -> list[list]:
    rows: list[list] = []
    for name, (steps, rates, _) in measured.items():
        for workers in WORKERS:
            seconds, bottleneck = estimate(steps, TEN_BILLION, workers)
            source = "measured" if workers in rates else "estimate"
            rows.append([name, workers, rates.get(workers, TEN_BILLION / seconds), source, bottleneck, seconds / 3600])
            rows[-1].append(core_hours(steps, workers))
    return rows


def page(options: argparse.Namespace, measured: dict, failed: list[str]) -> tuple[str, dict]:
    """The text of scaling.md, and its tables."""
    tables = {
        "steps": {"columns": ["step", "unit", *measured], "rows": step_rows(measured)},
        "memory": {
            "columns": ["kernels", "workers", "worker at 1/10, MiB", "at the end", "command at 1/10, MiB", "at the end"],
            "rows": [[name, *row] for name, result in measured.items() for row in result.memory],
        },
        "scaling": {
            "columns": [
                "kernels",
                "workers",
                "rows/s",
                "rows/s are",
                "bottleneck",
                "10¹⁰ rows, hours",
                "10¹⁰ rows, core hours",
            ],
            "rows": [*scale_rows(measured), *([name, None, "FAIL"] + [None] * 4 for name in failed)],
        },
    }
    figures = document("scaling", 1, tables)
    text = f"""# A plan for scale

Written by `{figures["command"]}`: {figures["machine"]}; {figures["date"]}.
Ray on the same machine, one thread a worker, {options.rows:,} rows in parts of {options.rows_per_part:,}. Each run's sorted
parts were the bytes of a run on one machine.

## Measured: the steps of a run

`start` is Ray, the workers and their models; `plan` and `schedule` are the command's own, once for all workers; `read`,
`compute` and `write` are a worker's.

{markdown(**tables["steps"])}

## Measured: memory

{markdown(**tables["memory"])}

## Workers

Rows/s of 1 and 2 workers are measured, without the start. **The others are estimates**, as are all hours and bottlenecks: ten
billion rows in parts of {ROWS_PER_PART:,}, each term a row of the table above. A bottleneck is the term that takes longest. Not in
them: a disk that gets slower with its readers, and nodes that fail.

{markdown(**tables["scaling"])}
"""
    return text, figures


def run(options: argparse.Namespace, folder: Path) -> int:
    path = folder / "rows.jsonl"
    write_rows(path, options.rows, options.data)
    model = os.path.abspath(options.model) if os.path.exists(options.model) else options.model
    measured, failed = {}, []
    print(f"{machine()}; one thread a worker")
    for name in options.kernels:
        environment = describe_environment()
        work = Work("text-classification", model, "text", {}, name, None, "", "order", False, "", 1, environment, None)
        bench = Bench(Block(0, str(path), "jsonl", None), options.rows, options.rows_per_part, work)
        preset_folder = folder / name
        preset_folder.mkdir()
        try:
            result = measure(bench, preset_folder)
        except KernelError as error:
            print(f"{name}: missing: {error}")
            continue
        if result is None:
            print(f"{name}: FAIL: the parts are not the bytes of a run on one machine")
            failed.append(name)
        else:
            measured[name] = result
    text, figures = page(options, measured, failed)
    print(text)
    if options.output is not None:
        options.output.write_text(text, encoding="utf-8")
    write(options.json, figures)
    return 1 if failed else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--rows-per-part", type=int, default=500, help="of the runs that are measured")
    parser.add_argument("--model", default="minibert-sst2", metavar="NAME")
    parser.add_argument("--kernels", nargs="*", default=["fast", "bf16", "int8"], metavar="PRESET")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="with SST-2's dev.tsv, whose sentences are the rows")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write the page here: benchmarks/scaling.md")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    options = parser.parse_args()
    if options.rows_per_part < 1 or options.rows < 4 * options.rows_per_part:
        parser.error("--rows must be at least 4 times --rows-per-part, which is 1 or more")
    with tempfile.TemporaryDirectory() as folder:
        return run(options, Path(folder))


if __name__ == "__main__":
    sys.exit(main())
