"""Long texts: a Longformer, full attention, and windows with a stride, here and in transformers on torch.

    python -m benchmarks.long_texts [--lengths 512 1024 2048 4096] [--kernels fast bf16 int8] [--rounds 3] [--json FILE]

The models have the sizes of RoBERTa-base, random weights and 4,098 positions; one text, two labels. A Longformer's window is
512 tokens, [CLS] is global. "full attention" is the RoBERTa of the same weights. "windows" reads the same text in pieces of 512
tokens, of which 128 are those of the piece before. Each engine is first compared with transformers' model in float32, at each
length (its largest difference, over the largest logit; FAIL and no time if rounding to its format cannot explain it). Then all
are timed in turn. A process of its own for each engine and length says what memory it needs at its peak.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from minibert import RobertaConfig, RobertaForSequenceClassification, set_num_threads
from minibert.auto import AutoModelForSequenceClassification
from minibert.convert_longformer import longformer_config, longformer_tensors
from minibert.hub import locate
from minibert.weights import WEIGHTS, save_tensors

from .measuring import document, machine, markdown, time_in_turn, write
from .model import MAX_ERROR

SIZES = {"vocab_size": 50_265, "type_vocab_size": 1, "max_position_embeddings": 4098, "layer_norm_eps": 1e-5}
SMALL = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
PIECE, STRIDE = 512, 384
WAYS = {"Longformer": "longformer", "full attention": "roberta", "windows": "roberta"}  # -> the model's folder
PEER = "torch fp32"

Engine = Callable[[np.ndarray], np.ndarray]  # ids (1, T) -> logits


def make_models(folder: Path, small: bool) -> None:
    """Write a random RoBERTa, and the Longformer of its weights."""
    config = RobertaConfig(**SIZES, **(SMALL if small else {}))
    RobertaForSequenceClassification(config, seed=0, kernels="reference").save_pretrained(folder / "roberta")
    checkpoint = locate(folder / "roberta")
    config = longformer_config(checkpoint)
    save_tensors(folder / "longformer" / WEIGHTS, longformer_tensors(checkpoint, config))
    config.save_pretrained(folder / "longformer")


def pieces(ids: np.ndarray) -> np.ndarray:
    """ids (1, T) -> windows (W, 512) of them; the last ends where the text does."""
    last = max(ids.shape[1] - PIECE, 0)
    starts = [*range(0, last, STRIDE), last]
    return np.stack([ids[0, start : start + PIECE] for start in starts])


def load(way: str, engine: str, folder: Path, threads: int) -> Engine:
    """A way and an engine -> the model, ready; an engine that is no preset is torch."""
    source = folder / WAYS[way]
    inputs_of = pieces if way == "windows" else np.asarray
    if engine == PEER:
        import torch
        import transformers

        torch.set_num_threads(threads)
        theirs = transformers.AutoModelForSequenceClassification.from_pretrained(source).eval()

        def logits(ids: np.ndarray) -> np.ndarray:
            with torch.inference_mode():
                return theirs(torch.tensor(inputs_of(ids))).logits.numpy()

        return logits
    set_num_threads(threads)
    model = AutoModelForSequenceClassification.from_pretrained(source, kernels=engine)
    return lambda ids: model(inputs_of(ids)).logits


def text_of(length: int) -> np.ndarray:
    """Random ids (1, T), none of them special."""
    return np.random.default_rng(length).integers(10, SIZES["vocab_size"] - 10, (1, length))


def compare(ready: dict[tuple[str, str], Engine], length: int, rounds: int) -> dict[tuple[str, str], tuple[float, float | str]]:
    """Engines at one length, checked and timed -> (error, tokens a second or FAIL) of each."""
    ids, errors = text_of(length), {}
    expected = {way: ready[way, PEER](ids) for way in WAYS}
    for (way, engine), call in ready.items():
        errors[way, engine] = float(np.abs(call(ids) - expected[way]).max() / np.abs(expected[way]).max())
    right = [name for name in ready if errors[name] < MAX_ERROR.get(name[1], MAX_ERROR["fp32"])]
    timed = time_in_turn({" ".join(name): lambda call=ready[name]: call(ids) for name in right}, rounds)
    return {name: (errors[name], length / timed[" ".join(name)].median if name in right else "FAIL") for name in ready}


def peak_memory(way: str, engine: str, length: int, folder: Path, threads: int) -> float:
    """MiB that a process has at its peak which loads a model and reads one text."""
    arguments = ["--peak", way, engine, str(length), str(folder), "--threads", str(threads)]
    command = [sys.executable, "-m", "benchmarks.long_texts", *arguments]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def print_peak(options: argparse.Namespace) -> None:
    way, engine, length, folder = options.peak
    load(way, engine, Path(folder), options.threads)(text_of(int(length)))
    print(next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024)


def run(options: argparse.Namespace, folder: Path) -> None:
    warnings.simplefilter("ignore")  # deprecations of the peer's
    make_models(folder, options.small)
    print(f"{machine()}; {options.threads} threads")
    names = [(way, engine) for way in WAYS for engine in (PEER, *options.kernels)]
    ready = {name: load(*name, folder, options.threads) for name in names}
    results = {length: compare(ready, length, options.rounds) for length in options.lengths}
    peaks = {name: [peak_memory(*name, length, folder, options.threads) for length in options.lengths] for name in names}
    rows: list[list] = []
    for name in names:
        speeds = [results[length][name][1] for length in options.lengths]
        worst = max(results[length][name][0] for length in options.lengths)
        rows.append([", ".join(name), f"{worst:.0e}", *speeds, *(round(peak) for peak in peaks[name])])
    lengths = [f"{length:,}" for length in options.lengths]
    columns = ["way, engine", "error", *(f"{n}, tokens/s" for n in lengths), *(f"{n}, peak MiB" for n in lengths)]
    print(markdown(columns, rows))
    write(options.json, document("long_texts", options.threads, {"long-texts": {"columns": columns, "rows": rows}}))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lengths", type=int, nargs="+", default=[512, 1024, 2048, 4096])
    parser.add_argument("--kernels", nargs="+", default=["fast", "bf16", "int8"])
    parser.add_argument("--small", action="store_true", help="two narrow layers, to try it")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--peak", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        print_peak(options)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        run(options, Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
