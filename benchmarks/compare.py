"""Which of two versions of minibert is faster?

    python -m benchmarks.compare REVISION REVISION [--kernels fast] [--shapes 1x16 8x128] [--minutes 10] [--json FILE]
    python -m benchmarks.compare A.json B.json      what `benchmarks.model --json` wrote, on one machine at two times

A revision is a commit of git, or a folder that holds the sources. Each version runs in a process of its own, with the same
random DistilBERT-base. First their logits are compared (FAIL and no time if they differ by more than rounding). Then both
compute the same in turn, in random order. Pairs are added until the interval of their median ratio (`intervals.py`) is narrower
than 5 %, or the minutes are over. The verdict is "slower" or "faster" if the interval ends beyond a margin of 2 % from 1, else "same".

Two files are compared by each time's ratio to the ceiling in the same turn, with a margin of 5 %.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

import minibert

from .intervals import Ratio, paired, unpaired
from .measuring import document, machine, markdown, write
from .model import CEILING, MAX_ERROR, SHAPES, shape_option

MARGIN, MARGIN_OF_FILES = 0.02, 0.05  # a difference that is called the same
MIN_PAIRS, TURN = 7, 0.3  # pairs of a workload at least; seconds of calls in a turn
TOKENIZING = "tokenizing 2,000 texts"
VOCABULARY = Path(minibert.__file__).parent / "bundled" / "minibert-sst2"  # for both versions

# A process that answers each line {"kernels": ..., "rows": ..., "length": ...} with the median seconds of a call.
WORKER = """
import json, statistics, sys, time
import numpy as np
from minibert import AutoTokenizer, DistilBertConfig, DistilBertForSequenceClassification, set_num_threads

threads, turn, vocabulary = json.loads(sys.argv[1])
set_num_threads(threads)
tokenizer = AutoTokenizer.from_pretrained(vocabulary)
texts = [f"a gripping, funny film that never drags: number {i}" for i in range(2000)]
models = {}

def call_of(kernels, rows, length):
    if kernels is None:
        return lambda: tokenizer.encode_packed(texts)
    if kernels not in models:
        models.clear()
        models[kernels] = DistilBertForSequenceClassification(DistilBertConfig(), kernels=kernels, seed=0)
    ids = np.random.default_rng(0).integers(1000, 30000, (rows, length))
    return lambda: models[kernels](ids).logits

for line in sys.stdin:
    question = json.loads(line)
    call = call_of(question["kernels"], question["rows"], question["length"])
    answer = call()
    if question["check"]:
        print(json.dumps(np.asarray(answer[0] if question["kernels"] is None else answer).tolist()), flush=True)
        continue
    seconds = []
    while len(seconds) < 3 or sum(seconds) < turn:
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    print(statistics.median(seconds), flush=True)
"""


class Version:
    """A version's sources, and the process that runs them."""

    def __init__(self, folder: Path, settings: str):
        environment = {**os.environ, "PYTHONPATH": str(folder)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, settings], env=environment, cwd=folder, text=True, stdin=-1, stdout=-1
        )

    def ask(self, question: dict, check: bool = False):
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps({**question, "check": check}) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"a version ended with {self.process.wait()} while it computed {question}")
        return json.loads(answer)

    def close(self) -> None:
        self.process.communicate()


@contextlib.contextmanager
def sources(revision: str) -> Iterator[Path]:
    """The folder of a version: itself, or a revision checked out for the time being."""
    if Path(revision, "minibert").is_dir():
        yield Path(revision).resolve()
        return
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "sources")
        done = subprocess.run(["git", "worktree", "add", "--detach", target, revision], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"a version is a commit or a folder with minibert in it; got {revision!r}: {done.stderr.strip()}")
        try:
            yield target
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", target], capture_output=True)


def workloads(options: argparse.Namespace) -> dict[str, dict]:
    """label -> a worker's question."""
    questions: dict[str, dict] = {TOKENIZING: {"kernels": None, "rows": 0, "length": 0}}
    for kernels in options.kernels:
        for shape in options.shapes:
            rows, length = map(int, shape.split("x"))
            questions[f"{kernels} {shape.replace('x', '×')}"] = {"kernels": kernels, "rows": rows, "length": length}
    return questions


def difference(versions: list[Version], question: dict) -> float:
    """The largest between their answers, over the largest value."""
    first, second = (np.array(version.ask(question, check=True), float) for version in versions)
    return float(np.abs(first - second).max() / np.abs(first).max()) if first.shape == second.shape else np.inf


def time_pairs(versions: list[Version], question: dict, seconds: float) -> Ratio:
    """Pairs of turns until the interval is narrow or the seconds are over."""
    times: tuple[list[float], list[float]] = ([], [])
    end, order = time.monotonic() + seconds, random.Random(0)
    while True:
        for index in order.sample((0, 1), 2):
            times[index].append(versions[index].ask(question))
        if len(times[0]) >= MIN_PAIRS:
            ratio = paired(*times)
            if ratio.narrow or time.monotonic() > end:
                return ratio


def compare_revisions(options: argparse.Namespace) -> dict[str, Ratio | str]:
    """workload -> the comparison, or FAIL and why."""
    questions = workloads(options)
    comparisons: dict[str, Ratio | str] = {}
    settings = json.dumps([options.threads, TURN, str(VOCABULARY)])
    with contextlib.ExitStack() as stack:
        folders = [stack.enter_context(sources(revision)) for revision in (options.first, options.second)]
        versions = [Version(folder, settings) for folder in folders]
        for version in versions:
            stack.callback(version.close)
        for label, question in questions.items():
            error = difference(versions, question)
            limit = MAX_ERROR.get(str(question["kernels"]), MAX_ERROR["fp32"]) if question["kernels"] else 0
            if error <= limit:
                comparisons[label] = time_pairs(versions, question, 60 * options.minutes / len(questions))
            else:
                comparisons[label] = f"FAIL: the answers differ by {error:.1e}"
            print(f"{label:26}{text_of(comparisons[label])}", flush=True)
    return comparisons


def compare_files(first: Path, second: Path) -> dict[str, Ratio | str]:
    """workload and engine -> the comparison of the engine's times over the ceiling's, whose turns each file has."""
    before, after = (read(path) for path in (first, second))
    if before["machine"] != after["machine"]:
        raise SystemExit(f"files of one machine can be compared; got {before['machine']} and {after['machine']}.")
    comparisons: dict[str, Ratio | str] = {}
    for label in before["figures"]["seconds"]:
        turns = [content["figures"]["seconds"].get(label, {}) for content in (before, after)]
        for engine in turns[0]:
            if engine != CEILING and all(engine in timed and CEILING in timed for timed in turns):
                comparisons[f"{label} {engine}"] = unpaired(*(over_ceiling(timed, engine) for timed in turns))
                print(f"{label:20}{engine:26}{text_of(comparisons[f'{label} {engine}'], MARGIN_OF_FILES)}")
    return comparisons


def over_ceiling(timed: Mapping[str, Mapping], engine: str) -> list[float]:
    return [mine / ceiling for mine, ceiling in zip(timed[engine]["turns"], timed[CEILING]["turns"])]


def read(path: Path) -> dict:
    """What `benchmarks.model --json` wrote."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        turns = [timed["turns"] for work in content["figures"]["seconds"].values() for timed in work.values()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SystemExit(f"{path} must be what `python -m benchmarks.model --json` wrote; {error!r}") from None
    if not turns or not content.get("machine"):
        raise SystemExit(f"{path} has no times")
    return content


def text_of(comparison: Ratio | str, margin: float = MARGIN) -> str:
    if isinstance(comparison, str):
        return comparison
    ratio, low, high, turns = comparison
    return f"{comparison.verdict(margin):8}{ratio:6.3f} [{low:.3f}, {high:.3f}], {turns} turns"


def run(options: argparse.Namespace) -> None:
    files = [Path(name) for name in (options.first, options.second)]
    of_files = all(path.suffix == ".json" for path in files)
    print(f"{machine()}; {options.threads} threads; time of {options.second} over that of {options.first}")
    comparisons = compare_files(*files) if of_files else compare_revisions(options)
    margin = MARGIN_OF_FILES if of_files else MARGIN
    rows = [
        [label, *(one[:3] if isinstance(one, Ratio) else [None] * 3), one if isinstance(one, str) else one.verdict(margin)]
        for label, one in comparisons.items()
    ]
    table = {"columns": ["workload", "ratio of times", "from", "to", "verdict"], "rows": rows}
    print("\n" + markdown(table["columns"], rows))
    write(options.json, document("compare", options.threads, {"compare": table}))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", metavar="BEFORE", help="a commit, a folder, or a JSON file")
    parser.add_argument("second", metavar="AFTER")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=10.0, help="for all workloads together, at most")
    parser.add_argument("--kernels", nargs="*", default=["fast", "int8", "bf16"], metavar="PRESET")
    parser.add_argument("--shapes", nargs="*", default=list(SHAPES), type=shape_option, help="rows x tokens")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    options = parser.parse_args()
    if options.threads < 1 or options.minutes <= 0:
        parser.error("--threads must be 1 or more, and --minutes more than 0")
    run(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
