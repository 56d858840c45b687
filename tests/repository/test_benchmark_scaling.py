"""The plan for scale: it checks before it measures, and its estimates are sums of what it measured."""

import os
import re
import sys

import pytest
from checkpoints import make_checkpoint

from benchmarks import scaling
from benchmarks.scaling import ROWS_PER_PART, Steps, estimate
from minibert.run.parts import Counts
from minibert.run.ray_engine import Worker

STEPS = Steps(start=10.0, plan=1e-6, schedule=1e-3, read=1e-5, compute=1e-3, write=1e-5, skew=1.5)


def test_workers_share_the_rows_and_wait_for_the_longest_part():
    part = ROWS_PER_PART * STEPS.row
    assert estimate(STEPS, ROWS_PER_PART, 1)[0] == pytest.approx(10 + 1e-6 * ROWS_PER_PART + 1.5 * part)
    one, bottleneck = estimate(STEPS, 1000 * ROWS_PER_PART, 1)
    hundred, _ = estimate(STEPS, 1000 * ROWS_PER_PART, 100)
    assert bottleneck == "compute" and one - hundred == pytest.approx(990 * part)


def test_the_bottleneck_of_very_many_workers_is_the_command():
    assert estimate(STEPS._replace(schedule=1.0), 10_000 * ROWS_PER_PART, 10_000)[1] == "schedule"
    assert estimate(STEPS._replace(plan=1e-3), 10_000 * ROWS_PER_PART, 10_000)[1] == "plan"
    assert estimate(STEPS._replace(start=1e9), 10_000 * ROWS_PER_PART, 10_000)[1] == "start"


@pytest.fixture
def benchmark(tmp_path, monkeypatch):
    """The benchmark on a tiny model, with workers in this process. `alter` changes what a worker has written."""

    def benchmark(alter=lambda folder: None):
        def answer_blocks(blocks, work, cluster):
            worker = Worker(work)
            for block in blocks:
                counts = worker.answer(block)
                assert not counts.pop("error")
                alter(scaling.Path(work.folder))
                yield Counts(**counts)

        monkeypatch.setattr(scaling, "answer_blocks", answer_blocks)
        model, page = str(make_checkpoint(tmp_path / "m", num_labels=2)), tmp_path / "page.md"
        arguments = ["--rows", "40", "--rows-per-part", "10", "--model", model, "--kernels", "reference", "-o", str(page)]
        monkeypatch.setattr(sys, "argv", ["scaling.py", *arguments])
        return scaling.main(), page.read_text(encoding="utf-8")

    return benchmark


def test_every_row_is_measured_or_called_an_estimate(benchmark):
    status, page = benchmark()
    rows = re.findall(r"^\| reference \| (\d+) \| ([\d.e+]+) \| (measured|estimate) \| (\w+) \|", page, flags=re.MULTILINE)
    assert status == 0
    assert [(workers, source) for workers, _, source, _ in rows] == [
        ("1", "measured"),
        ("2", "measured"),
        ("100", "estimate"),
        ("1000", "estimate"),
    ]
    for step in Steps._fields:
        assert re.search(rf"^\| {step} \| .* \| [\d.e+-]+ \|$", page, flags=re.MULTILINE), step


def test_memory_is_that_of_the_process():
    assert scaling.resident_mib(os.getpid()) > 10
    assert scaling.resident_mib(2**22 + 1) == 0.0


def test_wrong_bytes_are_a_failure_without_a_figure(benchmark):
    def alter(folder):
        for path in folder.glob("part-*"):
            path.write_bytes(path.read_bytes().replace(b'"score": 0.', b'"score": 1.'))

    status, page = benchmark(alter)
    assert status == 1 and "| reference |  | FAIL |  |  |  |  |" in page
    assert not re.search(r"\| (measured|estimate) \|", page)
