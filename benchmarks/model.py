"""A whole DistilBERT-base, here and on other engines: milliseconds a forward pass, and SST-2's dev sentences a second.

    python -m benchmarks.model [--threads 2] [--rounds 9] [--kernels reference fast] [--data FOLDER] [--json FILE]

Every engine runs the same random weights. Each is first compared with torch (FAIL and no time where its logits are
more than 1e-3 of the largest off), then all are timed in turn, round by round in one process, and the medians stand
in the table. Engines that are not installed are named; `pip install -e ".[bench]"` brings them. The ceiling is the
best that OpenBLAS does on a large product in the same run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from .peers import PEERS, VOCABULARY, export, minibert_with

SHAPES = ((1, 16), (1, 128), (8, 128), (32, 128), (1, 512))
LAYERS, WIDTH, FEED_FORWARD = 6, 768, 3072
FARTHEST = 1e-3  # of the largest logit; engines that reorder sums differ by some 1e-6


def floating_operations(rows: int, length: int) -> float:
    """Multiplications and additions of the products and of attention, in one forward pass."""
    a_token = LAYERS * 2 * (4 * WIDTH**2 + 2 * WIDTH * FEED_FORWARD + 2 * WIDTH * length)
    return float(rows * length * a_token)


def ceiling(rounds: int = 5) -> float:
    """FLOP/s of the best of `rounds` float32 products 1024 × 768 × 3072 by NumPy's BLAS."""
    x, weight = np.ones((1024, 768), np.float32), np.ones((3072, 768), np.float32)
    return max(2 * x.shape[0] * weight.size / timed(lambda: x @ weight.T) for _ in range(rounds))


def timed(call: Callable) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def in_turn(calls: dict[str, Callable], rounds: int) -> dict[str, list[float]]:
    """name -> seconds of each round; all run once in each, so that a busy minute is everyone's."""
    for call in calls.values():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            seconds[name].append(timed(call))
    return seconds


def engines(folder: Path, kernels: Iterable[str], threads: int) -> tuple[dict[str, Callable], dict[str, str]]:
    """Those that run here, and of the others why not."""
    factories = {f"minibert {name}": minibert_with(name) for name in kernels} | PEERS
    ready, missing = {}, {}
    for name, factory in factories.items():
        try:
            ready[name] = factory(folder, threads)
        except ImportError as fault:
            missing[name] = str(fault)
    return ready, missing


def agreeing(ready: dict[str, Callable], wanted: Callable) -> dict[str, float]:
    """name -> largest difference from torch's logits, over the largest of them, on a padded batch."""
    ids, mask = batch(4, 32)
    mask[1, 9:] = mask[3, 20:] = 0
    ids[mask == 0] = 0
    exact = wanted(ids, mask)
    return {name: float(np.abs(call(ids, mask) - exact).max() / np.abs(exact).max()) for name, call in ready.items()}


def batch(rows: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    ids = np.random.default_rng(0).integers(1000, VOCABULARY, (rows, length))
    return ids, np.ones_like(ids)


def sentences(data: Path) -> list[list[int]]:
    """SST-2's dev sentences as ids of the trained uncased vocabulary's size: their lengths are what matters here."""
    from minibert import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained("minibert-sst2")
    rows = (data / "dev.tsv").read_text(encoding="utf-8").rstrip("\n").split("\n")[1:]
    return [tokenizer.encode(row.split("\t")[1]) for row in rows]


def padded(rows: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    ids = np.zeros((len(rows), max(map(len, rows))), np.int64)
    mask = np.zeros_like(ids)
    for row, tokens in enumerate(rows):
        ids[row, : len(tokens)], mask[row, : len(tokens)] = tokens, 1
    return ids, mask


def workloads(data: Path | None) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """name -> the batches of one round."""
    found = {f"{rows}×{length}": [batch(rows, length)] for rows, length in SHAPES}
    if data is not None:
        dev = sentences(data)
        by_length = sorted(dev, key=len)
        found["SST-2 one by one"] = [padded([row]) for row in dev[:200]]
        found["SST-2 by 32"] = [padded(dev[i : i + 32]) for i in range(0, 448, 32)]
        found["SST-2 by 32, sorted"] = [padded(by_length[i : i + 32]) for i in range(0, len(dev), 64)]
    return found


def report(folder: Path, options: argparse.Namespace) -> dict:
    export(folder)
    ready, missing = engines(folder, options.kernels, options.threads)
    errors = agreeing(ready, ready["torch"]) if "torch" in ready else dict.fromkeys(ready, 0.0)
    wrong = {name for name, error in errors.items() if not error < FARTHEST}
    best = ceiling()
    print(f"{options.threads} threads; OpenBLAS float32 ceiling {best / 1e9:.0f} GFLOP/s; medians of {options.rounds}\n")
    names = list(ready)
    print("| " + " | ".join(["", *names]) + " |\n|" + " --- |" * (len(names) + 1))
    times: dict[str, dict[str, float]] = {}
    for work, batches in workloads(options.data).items():
        calls = {name: lambda call=ready[name]: [call(*one) for one in batches] for name in names if name not in wrong}
        found = {name: statistics.median(seconds) for name, seconds in in_turn(calls, options.rounds).items()}
        times[work] = found
        print("| " + " | ".join([work, *(cell(work, batches, found.get(name), best) for name in names)]) + " |", flush=True)
    for name, reason in missing.items():
        print(f"\n{name} is missing: {reason}")
    return {"threads": options.threads, "ceiling": best, "seconds": times, "errors": errors, "missing": missing}


def cell(work: str, batches: list, seconds: float | None, best: float) -> str:
    """A shape in milliseconds and percent of the ceiling; SST-2 in sentences a second."""
    if seconds is None:
        return "FAIL"
    rows = sum(len(ids) for ids, _ in batches)
    if work.startswith("SST-2"):
        return f"{rows / seconds:.1f}/s"
    share = floating_operations(*batches[0][0].shape) / seconds / best
    return f"{1000 * seconds:.1f} ms ({100 * share:.0f} %)"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--kernels", nargs="+", default=["reference", "fast"], metavar="PRESET")
    parser.add_argument("--data", type=Path, help="a folder with SST-2's dev.tsv")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = report(Path(folder), options)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
