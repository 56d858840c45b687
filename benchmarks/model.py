"""A whole DistilBERT-base, here and on other engines: milliseconds a forward pass, and SST-2's sentences a second.

    python -m benchmarks.model [--shapes 1x16 8x128] [--kernels fast] [--peers fp32] [--data FOLDER] [--json FILE]

Every engine runs the same random weights. Each is first compared with torch in float64 (its largest difference, over the
largest logit; FAIL and no time if rounding to its format cannot explain it). Then all are timed in turn, round by round in
one process; the table has medians. More rounds follow until the intervals of the ratios that `goals.py` shows are narrower
than 5 %, or the minutes are over. The threads of an engine spin after its last call, so a turn begins with a pause, in
which memory is copied, and an uncounted call. "fp32 ceiling" is timed in turn too: the same number of operations on
registers (`peaks.py`). Sentences are text: the time includes each engine's tokenizer.

Engines that are not installed are named; `pip install -e ".[bench]"` installs them. At the end: where minibert's time goes.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minibert import AutoTokenizer, DistilBertForSequenceClassification, set_num_threads
from minibert.errors import KernelError
from minibert.kernels.catalog import PRESETS

from . import goals, peaks, stages
from .export import VOCABULARY, export
from .measuring import Timing, document, kind, machine, markdown, time_in_turn, write
from .peers import PEERS, Engine, Peer, minibert_with, torch_with

SHAPES = ("1x16", "1x128", "8x128", "32x128", "1x512")
LAYERS, WIDTH, FEED_FORWARD = 6, 768, 3072
# of the largest logit: engines that add up in another order differ by some 1e-6; 8 bits round by some hundredths
MAX_ERROR = {"fp32": 1e-4, "bf16": 0.1, "int8": 0.25}
BATCH = 32
CEILING = "fp32 ceiling"


class Workload(NamedTuple):
    """What an engine computes in one call."""

    label: str
    call: Callable[[Engine], object]
    operations: float = 0.0  # multiplications and additions of a shape, or of texts one by one
    sentences: int = 0  # of SST-2

    @property
    def column(self) -> str:
        return f"{self.label}, {'sentences/s' if self.sentences else 'ms'}"

    def figure(self, seconds: float) -> float:
        return self.sentences / seconds if self.sentences else 1e3 * seconds


def floating_operations(rows: int, length: int) -> float:
    """Multiplications and additions of the products and of attention in one forward pass. The last layer computes key and
    value of all tokens, and the rest for the first token of each row only: the classifier reads nothing else."""
    key_value, others = 2 * WIDTH**2, 2 * WIDTH**2 + 2 * WIDTH * FEED_FORWARD + 2 * WIDTH * length  # of a token, in a layer
    return 2.0 * rows * (length * (LAYERS * key_value + (LAYERS - 1) * others) + others)


def batch(shape: str) -> tuple[np.ndarray, np.ndarray]:
    rows, length = map(int, shape.split("x"))
    ids = np.random.default_rng(0).integers(1000, VOCABULARY, (rows, length))
    return ids, np.ones_like(ids)


def sentences(data: Path) -> list[str]:
    path = data / "dev.tsv"
    if not path.is_file():
        raise SystemExit(f"--data must be a folder that holds SST-2's dev.tsv; {path} is not there.")
    return [line.split("\t")[1] for line in path.read_text(encoding="utf-8").rstrip("\n").split("\n")[1:]]


def workloads(options: argparse.Namespace, folder: Path) -> Iterator[Workload]:
    for shape in options.shapes:
        ids, mask = batch(shape)
        yield Workload(
            shape.replace("x", "×"),
            lambda engine, ids=ids, mask=mask: engine.logits(ids, mask),
            floating_operations(*ids.shape),
        )
    if options.data:
        dev = sentences(options.data)[options.every // 2 :: options.every]  # the same for all three
        as_they_come = [dev[i : i + BATCH] for i in range(0, len(dev), BATCH)]
        by_length = sorted(dev, key=lambda text: len(text.split()))
        in_order = [by_length[i : i + BATCH] for i in range(0, len(dev), BATCH)]
        lengths = map(len, AutoTokenizer.from_pretrained(folder)(dev)["input_ids"])
        alone = sum(floating_operations(1, length) for length in lengths)
        for label, batches, operations in (
            ("SST-2 one by one", [[text] for text in dev], alone),
            (f"SST-2 by {BATCH}", as_they_come, 0),
            (f"SST-2 by {BATCH}, sorted", in_order, 0),
        ):
            yield Workload(
                label, lambda engine, batches=batches: [engine.classify(texts) for texts in batches], operations, len(dev)
            )


def choose_peers(options: argparse.Namespace) -> dict[str, Peer]:
    """minibert with each preset, and the peers whose names contain one of the words."""
    ours = {f"minibert {name}": Peer(minibert_with(name), name if name in MAX_ERROR else "fp32") for name in options.kernels}
    return ours | {name: peer for name, peer in PEERS.items() if any(word in name for word in options.peers)}


def build_engines(peers: dict[str, Peer], folder: Path, threads: int) -> tuple[dict[str, Engine], dict[str, str]]:
    """The engines that run here, and for the others the reason why not."""
    ready, missing = {}, {}
    for name, peer in peers.items():
        try:
            ready[name] = peer.make(folder, threads)
        except (ImportError, KernelError) as error:
            missing[name] = str(error)
    return ready, missing


def errors_of(ready: dict[str, Engine], exact: Callable) -> dict[str, float]:
    """name -> largest difference from torch's float64 logits, over the largest of them, on a padded batch."""
    ids, mask = batch("4x32")
    mask[1, 9:] = mask[3, 20:] = 0
    ids[mask == 0] = 0
    logits = exact(ids, mask)
    return {
        name: float(np.abs(engine.logits(ids, mask) - logits).max() / np.abs(logits).max()) for name, engine in ready.items()
    }


def check_engines(options: argparse.Namespace, folder: Path) -> tuple[dict[str, Engine], dict[str, float], dict[str, str]]:
    """-> the correct engines; the printed errors of all that run here; the reasons why others do not."""
    peers = choose_peers(options)
    ready, missing = build_engines(peers, folder, options.threads)
    errors = errors_of(ready, torch_with("fp64")(folder, options.threads).logits)
    right = {name: engine for name, engine in ready.items() if errors[name] < MAX_ERROR[peers[name].numbers]}
    for name, error in errors.items():
        print(f"{name:20} error {error:.1e}{'' if name in right else '   FAIL'}")
    for name, reason in missing.items():
        print(f"{name:20} missing: {reason}")
    return right, errors, missing


def compare(options: argparse.Namespace, folder: Path) -> tuple[dict, dict]:
    """All engines, checked and timed -> a README's table; the raw figures."""
    right, errors, missing = check_engines(options, folder)
    ceilings = {f"{numbers} ceiling": numbers for numbers in peaks.SPEED if numbers != "bf16" and peaks.instruction(numbers)}
    rows: dict[str, dict] = {name: {} for name in (*errors, *ceilings)}
    seconds: dict[str, dict] = {}
    works = list(workloads(options, folder))
    for work in works:
        calls = {name: lambda engine=engine: work.call(engine) for name, engine in right.items()}
        if work.operations:
            calls |= {name: peaks.arithmetic(work.operations, numbers) for name, numbers in ceilings.items()}
        timed = time_until_settled(calls, work.label, seconds, options.rounds, 60 * options.minutes / len(works))
        for name, timing in timed.items():
            share = f"{100 * timed[CEILING].median / timing.median:6.0f} % of the ceiling" if CEILING in timed else ""
            figure = rows[name][work.column] = work.figure(timing.median)
            print(f"{work.column:34} {name:20}{figure:10.2f} ±{100 * timing.spread:2.0f} %{share}", flush=True)
        for name in set(errors) - set(right):
            rows[name][work.column] = "FAIL"
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    for name, error in errors.items():
        rows[name]["error"] = f"{error:.0e}"
    columns.insert(0, "error")
    cells = [[name, *map(row.get, columns)] for name, row in rows.items() if row]
    table = {"columns": ["engine", *columns], "rows": cells}
    return table, {"seconds": seconds, "errors": errors, "missing": missing}


def time_until_settled(calls: dict[str, Callable], label: str, seconds: dict, rounds: int, limit: float) -> dict[str, Timing]:
    """In turn, also after these rounds as long as a ratio is uncertain and the limit, in seconds, is not reached. The times are
    also put into seconds[label]."""
    end = time.monotonic() + limit

    def unsettled(timed: dict[str, Timing]) -> bool:
        seconds[label] = {name: timing._asdict() for name, timing in timed.items()}
        return time.monotonic() < end and not all(ratio.narrow for ratio in goals.ratios(seconds, label, kind()))

    return time_in_turn(calls, rounds, more=unsettled)


def stages_of(options: argparse.Namespace, folder: Path) -> dict[tuple[str, str], dict[str, float]]:
    """(kernels, shape) -> seconds a step of minibert's forward pass."""
    times = {}
    for kernels in options.kernels:
        with contextlib.suppress(KernelError):  # named as missing above
            model = DistilBertForSequenceClassification.from_pretrained(folder, kernels=kernels)
            for shape in options.shapes:
                times[kernels, shape.replace("x", "×")] = stages.measure(model, *batch(shape))
    return times


def run(options: argparse.Namespace, folder: Path) -> None:
    warnings.simplefilter("ignore")  # peers' deprecations
    set_num_threads(options.threads)
    export(folder)
    print(f"{machine()}; {options.threads} threads")
    table, figures = compare(options, folder)
    steps = stages_of(options, folder)
    tables = {"engines": table, "engines-goals": goals.table(figures["seconds"], kind())} | (
        {"stages": stages.table(steps)} if steps else {}
    )
    for name, one in tables.items():
        print(f"\n{name}\n\n{markdown(one['columns'], one['rows'])}")
    figures["stages"] = {f"{kernels} {shape}": one for (kernels, shape), one in steps.items()}
    write(options.json, document("model", options.threads, tables, figures=figures))


def shape_option(text: str) -> str:
    rows, _, length = text.replace("×", "x").partition("x")
    if not (rows.isdecimal() and length.isdecimal() and int(rows) > 0 and 0 < int(length) <= 512):
        raise argparse.ArgumentTypeError(f"a shape is rows x tokens, such as 8x128, at most 512 tokens; got {text!r}.")
    return f"{int(rows)}x{int(length)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--minutes", type=float, default=10.0, help="for all: until then, rounds follow while a ratio is uncertain"
    )
    parser.add_argument("--kernels", nargs="*", default=[name for name in PRESETS if name != "naive"], metavar="PRESET")
    parser.add_argument("--peers", nargs="*", default=[""], metavar="WORD", help="peers whose names contain one of the words")
    parser.add_argument("--shapes", nargs="*", default=list(SHAPES), type=shape_option, help="rows x tokens")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="with SST-2's dev.tsv: also time its sentences")
    parser.add_argument("--every", type=int, default=8, metavar="N", help="every Nth of SST-2's sentences; 1 for all")
    parser.add_argument("--model", type=Path, metavar="FOLDER", help="export the model here, or use the one that is here")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    options = parser.parse_args()
    if min(options.threads, options.rounds, options.every) < 1 or options.minutes < 0:
        parser.error("--threads, --rounds and --every must be 1 or more, --minutes 0 or more")
    with contextlib.ExitStack() as stack:
        run(options, options.model or Path(stack.enter_context(tempfile.TemporaryDirectory())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
