"""A training step of DistilBERT-base, here and on torch: forward, backward and AdamW, in examples a second.

    python -m benchmarks.training --data FOLDER [--kernels fast bf16] [--rounds 3] [--json FILE]

The batches have 32 sentences of SST-2's train.tsv at random, 32 of like lengths, and 16 × 64 tokens without padding. torch
gets them padded to their longest row, as transformers' collator does; minibert packs them. Both train with the
configuration's dropout. torch's step is that of transformers' Trainer: float32, or autocast to bf16, and fused AdamW.

Gradients without dropout are first compared with torch's in float64: `error` is the length of the difference, over the
gradient's length; FAIL and no time if rounding cannot explain it. Then all engines take a turn in
every round. `peak` is the memory of a process of its own that trains on the random batches. The tokenizer's time is not
included.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minibert import AdamW, AutoTokenizer, DistilBertForSequenceClassification, loss_and_gradients, set_num_threads
from minibert.models.losses import PLAIN
from minibert.training.forward import DropoutKey
from minibert.training.gradients import BatchSettings, loss_and_row_gradients
from minibert.training.optimizer import catch_up

from .export import VOCABULARY, export
from .measuring import document, machine, markdown, time_in_turn, write
from .startup import run_program

ROWS, MAX_LENGTH, SORTED_FROM = 32, 128, 20  # batches of like lengths are cut from as many random ones
RANDOM, ALIKE, FULL = "SST-2 by 32, random", "SST-2 by 32, like lengths", "16×64, no padding"
GOALS = {RANDOM: 2.4, ALIKE: 1.2, FULL: 1.0}  # times torch fp32
MAX_ERROR = {"fp32": 1e-4, "bf16": 0.3}  # of 8 bits: torch's autocast is 0.2 off at random weights
SETTINGS = {"lr": 2e-5}
PEAK = """
from benchmarks import training
training.train(training.ENGINES[{name!r}](folder, {threads}), training.read_batches({batches!r}))
"""


class Batch(NamedTuple):
    ids: np.ndarray  # (B, T)
    mask: np.ndarray
    labels: np.ndarray  # (B,)


class Engine(NamedTuple):
    gradients: Callable[[Batch], dict[str, np.ndarray]]  # by the names of minibert's tensors, without dropout
    step: Callable[[Batch], Any]


def minibert_with(kernels: str) -> Callable:
    def make(folder: Path, threads: int) -> Engine:
        set_num_threads(threads)
        model = DistilBertForSequenceClassification.from_pretrained(folder, kernels="reference")
        parameters = {name: np.array(tensor) for name, tensor in model.tensors.items()}
        model = model.with_tensors(parameters)  # and not the mapped file's, which would count as memory
        optimizer = AdamW(parameters, weight_decay=0.01, kernels=kernels, **SETTINGS)  # torch's default, but not for biases
        words, steps = f"{model.encoder_names.words}.weight", 0

        def gradients(batch: Batch) -> dict[str, np.ndarray]:
            inputs, options = (batch.ids, batch.mask), {"parameters": parameters, "kernels": kernels}
            return loss_and_gradients(model, *inputs, labels=batch.labels, **options)[1]

        def before_read(ids: np.ndarray) -> None:
            catch_up(optimizer, words, np.unique(ids))

        def step(batch: Batch) -> None:
            nonlocal steps
            steps += 1
            inputs = {"input_ids": batch.ids, "attention_mask": batch.mask}
            settings = BatchSettings(DropoutKey(0, steps), parameters, kernels=kernels, before_read=before_read)
            optimizer.step(loss_and_row_gradients(model, inputs, {"labels": batch.labels}, PLAIN, settings)[1])

        return Engine(gradients, step)

    return make


def torch_with(numbers: str) -> Callable:
    def make(folder: Path, threads: int) -> Engine:
        import torch
        import transformers

        torch.set_num_threads(threads)
        dtype = torch.float64 if numbers == "fp64" else torch.float32
        model = transformers.DistilBertForSequenceClassification.from_pretrained(folder, dtype=dtype)
        optimizer = torch.optim.AdamW(model.parameters(), fused=True, **SETTINGS)

        def backward(batch: Batch) -> None:
            optimizer.zero_grad()
            ids, mask, labels = map(torch.from_numpy, batch)
            with torch.autocast("cpu", torch.bfloat16, enabled=numbers == "bf16"):
                loss = model(ids, attention_mask=mask, labels=labels).loss
            loss.backward()

        def gradients(batch: Batch) -> dict[str, np.ndarray]:
            model.eval()
            backward(batch)
            return {name.removeprefix("distilbert."): value.grad.numpy() for name, value in model.named_parameters()}

        def step(batch: Batch) -> None:
            model.train()
            backward(batch)
            optimizer.step()

        return Engine(gradients, step)

    return make


ENGINES = {
    "minibert fast": minibert_with("fast"),
    "minibert bf16": minibert_with("bf16"),
    "torch fp32": torch_with("fp32"),
    "torch bf16": torch_with("bf16"),
}


def sentences(data: Path, name: str = "train.tsv") -> tuple[list[str], np.ndarray]:
    path = data / name
    if not path.is_file():
        raise SystemExit(f"--data must be a folder that holds SST-2's {name}; {path} is not there.")
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").rstrip("\n").split("\n")[1:]]
    return [text for _, text in rows], np.array([int(label) for label, _ in rows])


def workloads(options: argparse.Namespace, folder: Path) -> dict[str, list[Batch]]:
    random = np.random.default_rng(0)
    texts, labels = sentences(options.data)
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def batch(rows: np.ndarray) -> Batch:
        encoded = tokenizer(
            [texts[row] for row in rows], padding=True, truncation=True, max_length=MAX_LENGTH, return_tensors="np"
        )
        return Batch(encoded["input_ids"], encoded["attention_mask"], labels[rows])

    order = random.permutation(len(texts))
    at_random = order[: options.batches * ROWS].reshape(-1, ROWS)
    pool = order[: options.batches * SORTED_FROM * ROWS]
    by_length = pool[np.argsort([len(texts[row].split()) for row in pool], kind="stable")].reshape(-1, ROWS)
    alike = by_length[SORTED_FROM // 2 :: SORTED_FROM]  # short ones, middling ones, long ones
    ids = random.integers(1000, VOCABULARY, (options.batches, 16, 64))
    full = [Batch(rows, np.ones_like(rows), np.arange(16) % 2) for rows in ids]
    return {RANDOM: list(map(batch, at_random)), ALIKE: list(map(batch, alike)), FULL: full}


def train(engine: Engine, batches: list[Batch]) -> None:
    for batch in batches:
        engine.step(batch)


def write_batches(path: Path, batches: list[Batch]) -> None:
    np.savez(path, **{f"{field} {i}": array for i, batch in enumerate(batches) for field, array in batch._asdict().items()})


def read_batches(path: Path | str) -> list[Batch]:
    """The batches of a file that `write_batches` wrote."""
    with np.load(path) as arrays:
        return [Batch(*(arrays[f"{field} {i}"] for field in Batch._fields)) for i in range(len(arrays) // len(Batch._fields))]


def error_of(gradients: dict[str, np.ndarray], exact: dict[str, np.ndarray]) -> float:
    """The length of the difference of all gradients, over their length."""
    squares = [(np.square(gradients[name] - grad).sum(), np.square(grad).sum()) for name, grad in exact.items()]
    difference, length = np.sqrt(np.sum(squares, axis=0))
    return float(difference / length)


def numbers_of(name: str) -> str:
    return "bf16" if "bf16" in name else "fp32"


def compare(options: argparse.Namespace, folder: Path) -> tuple[dict, dict]:
    """Check, then time -> a README's table; seconds and errors."""
    batches = workloads(options, folder)
    names = [f"minibert {name}" for name in options.kernels] + ["torch fp32", "torch bf16"]
    engines = {name: ENGINES[name](folder, options.threads) for name in names}
    smallest = min(batches[RANDOM], key=lambda batch: batch.ids.size)
    exact = torch_with("fp64")(folder, options.threads).gradients(smallest)
    errors = {name: error_of(engine.gradients(smallest), exact) for name, engine in engines.items()}
    right = {name: engine for name, engine in engines.items() if errors[name] < MAX_ERROR[numbers_of(name)]}
    rows: dict[str, dict] = {name: {"error": f"{error:.0e}"} for name, error in errors.items()}
    seconds: dict[str, dict] = {}
    for label, work in batches.items():
        examples = sum(len(batch.labels) for batch in work)
        calls = {name: lambda engine=engine: train(engine, work) for name, engine in right.items()}
        for call in calls.values():
            call()  # compiles what is compiled, and grows what grows
        timed = time_in_turn(calls, options.rounds)
        seconds[label] = {name: time._asdict() for name, time in timed.items()}
        for name in names:
            rows[name][f"{label}, examples/s"] = examples / timed[name].median if name in timed else "FAIL"
            print(f"{label:28}{name:16}{rows[name][f'{label}, examples/s']:>8.4}", flush=True)
    columns = list(rows[names[0]])
    return {"columns": ["engine", *columns], "rows": [[name, *row.values()] for name, row in rows.items()]}, seconds


def ratios(seconds: dict[str, dict]) -> dict:
    """The table of goals: how many times as fast as torch."""
    rows = []
    for ours, theirs in (("minibert fast", "torch fp32"), ("minibert bf16", "torch bf16")):
        cells = []
        for label, timed in seconds.items():
            if ours in timed and theirs in timed:
                ratio = timed[theirs]["median"] / timed[ours]["median"]
                goal = GOALS[label] if theirs == "torch fp32" else 0
                cells.append(f"{ratio:.2f}" if ratio >= goal else f"{ratio:.2f}, not {goal}")
        if cells:
            rows.append([f"{ours}: {theirs}", *cells])
    return {"columns": ["times as fast as", *seconds], "rows": rows}


def peaks(table: dict, options: argparse.Namespace, folder: Path) -> None:
    """Add a column to the table: the peak memory of a process of each engine's own."""
    table["columns"].append("peak, MiB")
    batches = workloads(options, folder)[RANDOM]
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "batches.npz"
        write_batches(path, batches)
        for row in table["rows"]:
            program = PEAK.format(name=row[0], threads=options.threads, batches=str(path))
            row.append(run_program(program, folder)[1])


def run(options: argparse.Namespace, folder: Path) -> None:
    warnings.simplefilter("ignore")
    export(folder)
    print(f"{machine()}; {options.threads} threads")
    table, seconds = compare(options, folder)
    peaks(table, options, folder)
    tables = {"training": table, "training-goals": ratios(seconds)}
    for name, one in tables.items():
        print(f"\n{name}\n\n{markdown(one['columns'], one['rows'])}")
    write(options.json, document("training", options.threads, tables, figures=seconds))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="FOLDER", required=True, help="with SST-2's train.tsv")
    parser.add_argument("--kernels", nargs="*", default=["fast", "bf16"], metavar="PRESET")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=3, help="of each workload, in a round")
    parser.add_argument("--model", type=Path, metavar="FOLDER", help="export the model here, or use the one that is here")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    options = parser.parse_args()
    if min(options.threads, options.rounds, options.batches) < 1:
        parser.error("--threads, --rounds and --batches must be 1 or more")
    with contextlib.ExitStack() as stack:
        run(options, options.model or Path(stack.enter_context(tempfile.TemporaryDirectory())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
