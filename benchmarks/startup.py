"""From nothing to an answer: seconds and memory of a whole process that classifies one short sentence.

    python -m benchmarks.startup [--rounds 5] [--kernels fast] [--peers fp32] [--json FILE]

Each engine's program is started in turn, with a random DistilBERT-base and the real vocabulary on disk and in the
system's page cache. Seconds are those of the process, the interpreter included; memory is its peak. "first ever" is the
same with an empty cache of compiled kernels: once on a machine.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from minibert.kernels.catalog import PRESETS
from minibert.kernels.runtime.thread_count import get_num_threads
from minibert.quantize import quantize

from .export import export
from .measuring import document, markdown, write

FIRST_RUNS = 3  # of those that begin with an empty cache of kernels
SENTENCE = "We are very happy to show you this library."
OURS = """
from minibert import pipeline
print(pipeline("text-classification", model=folder{checkpoint}, kernels={kernels!r})(text))
"""
TRANSFORMERS = """
from transformers import pipeline
print(pipeline("text-classification", model=folder)(text))
"""
# What every program of ONNX Runtime or CTranslate2 would write around it: ids before, a label after.
ONNXRUNTIME = """
import numpy, onnxruntime, tokenizers
row = tokenizers.Tokenizer.from_file(folder + "/tokenizer.json").encode(text)
session = onnxruntime.InferenceSession(folder + "/{file}", providers=["CPUExecutionProvider"])
logits = session.run(None, {{"input_ids": numpy.array([row.ids]), "attention_mask": numpy.array([row.attention_mask])}})[0]
print(logits.argmax())
"""
CTRANSLATE2 = """
import ctranslate2, numpy, tokenizers
row = tokenizers.Tokenizer.from_file(folder + "/tokenizer.json").encode(text)
encoder = ctranslate2.Encoder(folder + "/ctranslate2.{kind}", device="cpu", compute_type="{kind}")
print(numpy.array(encoder.forward_batch([row.ids]).last_hidden_state).shape)
"""
PEERS = {
    "torch fp32": TRANSFORMERS,  # through transformers.pipeline
    "ONNX Runtime fp32": ONNXRUNTIME.format(file="model.onnx"),
    "ONNX Runtime int8": ONNXRUNTIME.format(file="model.int8.onnx"),
    "CTranslate2 fp32": CTRANSLATE2.format(kind="float32"),  # the encoder only: it has no classifier
    "CTranslate2 int8": CTRANSLATE2.format(kind="int8"),
}
BEFORE = "import sys\nfolder, text = sys.argv[1:]\n"
AFTER = """
import resource
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
try:  # of this program alone; the other counts what its parent had when it was forked
    peak = next(1024 * int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
except OSError:
    pass
print(peak)
"""


def run_program(program: str, folder: Path, cache: str | None = None) -> tuple[float, float]:
    """-> seconds, and MiB at the peak. RuntimeError with the last line of a failing program's stderr."""
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    if cache is not None:
        environment["NUMBA_CACHE_DIR"] = cache
    start = time.perf_counter()
    process = subprocess.run(
        [sys.executable, "-c", BEFORE + program + AFTER, str(folder), SENTENCE],
        capture_output=True,
        text=True,
        env=environment,
        cwd=Path(__file__).resolve().parents[1],
    )
    seconds = time.perf_counter() - start
    if process.returncode:
        raise RuntimeError(process.stderr.strip().rpartition("\n")[2])
    return seconds, int(process.stdout.split()[-1]) / 2**20


def first_ever(program: str, folder: Path) -> float:
    """Seconds with an empty cache of compiled kernels."""
    with tempfile.TemporaryDirectory() as empty:
        return run_program(program, folder, empty)[0]


def measure(programs: dict[str, str], folder: Path, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """name -> (seconds, MiB) of each round, in turn; without programs that do not run here."""
    times: dict[str, list] = {}
    for name, program in programs.items():
        try:
            run_program(program, folder)  # reads the files, and compiles what is compiled once
            times[name] = []
        except RuntimeError as error:
            print(f"{name:20} missing: {error}")
    for _ in range(rounds):
        for name in times:
            times[name].append(run_program(programs[name], folder))
    return times


def run(options: argparse.Namespace, folder: Path) -> None:
    ours = {f"minibert {name}": OURS.format(checkpoint="", kernels=name) for name in options.kernels}
    peers = {name: program for name, program in PEERS.items() if any(word in name for word in options.peers)}
    export(folder)
    if "int8" in options.kernels:
        quantize(folder, folder / "minibert.int8")
        program = OURS.format(checkpoint=' + "/minibert.int8"', kernels="int8")
        ours["minibert int8, from its own checkpoint"] = program
    times = measure(ours | peers, folder, options.rounds)
    rows = []
    for name, pairs in times.items():
        seconds, peaks = zip(*pairs)
        ever = statistics.median(first_ever(ours[name], folder) for _ in range(FIRST_RUNS)) if name in ours else None
        rows.append([name, statistics.median(seconds), max(peaks), ever])
    columns = ["engine", "start to answer, s", "peak, MiB", "first ever, s"]
    print(markdown(columns, rows))
    tables = {"engines": {"columns": columns, "rows": rows}}
    write(options.json, document("startup", get_num_threads(), tables, figures=times))  # each round's (seconds, MiB)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kernels", nargs="*", default=[name for name in PRESETS if name != "naive"], metavar="PRESET")
    parser.add_argument("--peers", nargs="*", default=[""], metavar="WORD", help="peers whose names contain one of the words")
    parser.add_argument("--model", type=Path, metavar="FOLDER", help="export the model here, or use the one that is here")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds must be 1 or more")
    with contextlib.ExitStack() as stack:
        run(options, options.model or Path(stack.enter_context(tempfile.TemporaryDirectory())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
