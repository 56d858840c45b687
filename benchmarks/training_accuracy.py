"""The accuracy of fine-tuning, here and on torch: SST-2 on all-MiniLM-L6-v2, some seeds each, by one recipe. And how long
`minibert train --head-only` takes.

    python -m benchmarks.training_accuracy --data FOLDER [--seeds 3] [--rows 4000] [--epochs 1] [--head-rows 67349] [--json FILE]

Both sides fine-tune with their own Trainer and the same options: batches of 32 of like lengths, AdamW, a linear schedule with
warm-up. A seed decides the new head, the order of the rows and the dropout, which are not the same on the two sides: so the means
over the seeds are compared, and their spread is beside them. The rows are the first of train.tsv in an order that is the same for all.
The goal is set for 20,000 rows; the default is what a few minutes allow.

The command's time is that of a process from its start to its end, after one that has compiled the kernels.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import minibert

from .measuring import document, machine, markdown, write
from .tokenization_peers import model_folder
from .training import sentences

MAX_LENGTH = 128
GOAL = 1.0  # points of accuracy between the means
HEAD_SECONDS = 120.0  # the goal for 67,000 sentences
ROOT = Path(__file__).resolve().parents[1]
RECIPE = {
    "per_device_train_batch_size": 32,
    "per_device_eval_batch_size": 32,
    "learning_rate": 5e-5,
    "warmup_steps": 0.1,
    "weight_decay": 0.01,
    "train_sampling_strategy": "group_by_length",
    "save_strategy": "no",
    "report_to": "none",
    "use_cpu": True,
    "disable_tqdm": True,
}
Rows = list[dict[str, Any]]


def tokenized(data: Path, name: str, tokenizer: Any, count: int | None = None) -> Rows:
    """A file's rows as both Trainers take them, `count` of them in random order if that is set."""
    texts, labels = sentences(data, name)
    order = np.arange(len(texts)) if count is None else np.random.default_rng(0).permutation(len(texts))[:count]
    ids = tokenizer([texts[row] for row in order], truncation=True, max_length=MAX_LENGTH)["input_ids"]
    return [{"input_ids": row, "attention_mask": [1] * len(row), "label": int(labels[index])} for row, index in zip(ids, order)]


def accuracy(prediction: Any) -> dict[str, float]:
    return {"accuracy": float((prediction.predictions.argmax(axis=-1) == prediction.label_ids).mean())}


def fine_tune(library: Any, model: Path, options: dict[str, Any], train: Rows, dev: Rows) -> float:
    """`library` is minibert or transformers: the same calls -> the accuracy on dev."""
    library.set_seed(options["seed"])
    network = library.AutoModelForSequenceClassification.from_pretrained(model, num_labels=2)
    trainer = library.Trainer(
        network,
        library.TrainingArguments(**options),
        train_dataset=train,
        eval_dataset=dev,
        processing_class=library.AutoTokenizer.from_pretrained(model),
        compute_metrics=accuracy,
    )
    trainer.train()
    return trainer.evaluate()["eval_accuracy"]


def compare(options: argparse.Namespace) -> dict:
    """-> a README's table."""
    import torch
    import transformers

    torch.set_num_threads(options.threads)
    minibert.set_num_threads(options.threads)
    transformers.logging.set_verbosity_error()
    engines = {"minibert fast": minibert, "torch fp32": transformers}
    tokenizer = minibert.AutoTokenizer.from_pretrained(model_folder())
    train = tokenized(options.data, "train.tsv", tokenizer, options.rows)
    dev = tokenized(options.data, "dev.tsv", tokenizer)
    figures: dict[str, list[float]] = {name: [] for name in engines}
    for seed in range(options.seeds):
        for name, library in engines.items():
            start = time.monotonic()
            with tempfile.TemporaryDirectory() as folder:
                values = {**RECIPE, "output_dir": folder, "num_train_epochs": options.epochs, "seed": seed}
                figures[name].append(100 * fine_tune(library, model_folder(), values, train, dev))
            print(f"seed {seed}  {name:16}{figures[name][-1]:7.2f} %  {time.monotonic() - start:.0f} s", flush=True)
    return table_of(figures)


def table_of(figures: dict[str, list[float]]) -> dict:
    """Each engine's accuracies, in percent -> a row with their mean and spread; and how far the means are from each other."""
    seeds = len(next(iter(figures.values())))
    means = {name: statistics.fmean(values) for name, values in figures.items()}
    rows = []
    for name, values in figures.items():
        spread = statistics.stdev(values) if seeds > 1 else 0.0
        rows.append([name, *(f"{value:.2f}" for value in values), f"{means[name]:.2f}", f"{spread:.2f}"])
    ours, theirs = means.values()
    difference = f"{ours - theirs:+.2f}" if ours >= theirs - GOAL else f"{ours - theirs:+.2f}, not within {GOAL:g}"
    rows.append(["difference", *[None] * seeds, difference, None])
    return {"columns": ["accuracy on dev, %", *(f"seed {seed}" for seed in range(seeds)), "mean", "deviation"], "rows": rows}


def head_only(options: argparse.Namespace) -> dict:
    """-> a README's table: the command's time and accuracy, in float32 and with --bf16."""
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        lines = (options.data / "train.tsv").read_text(encoding="utf-8").splitlines(keepends=True)
        for name, count in (("few.tsv", 200), ("rows.tsv", options.head_rows)):
            Path(folder, name).write_text("".join(lines[: count + 1]), encoding="utf-8")
        for products, flags in (("float32", ()), ("bf16", ("--bf16",))):
            train_head(options, Path(folder, "few.tsv"), flags)
            start = time.monotonic()
            result = train_head(options, Path(folder, "rows.tsv"), flags)
            seconds = time.monotonic() - start
            goal = f"{HEAD_SECONDS:g}" + ("" if seconds < HEAD_SECONDS else ", missed")
            figures.append([products, min(options.head_rows, len(lines) - 1), seconds, goal, 100 * result])
    return {"columns": ["products", "sentences", "s", "goal, s", "accuracy on dev, %"], "rows": figures}


def train_head(options: argparse.Namespace, rows: Path, flags: tuple[str, ...]) -> float:
    """Run the command -> the accuracy on dev. SystemExit with its error if it fails."""
    output = rows.with_name(rows.stem + "".join(flags))
    command = ["train", "--task", "text-classification", "--model", model_folder(), "--train", rows, "--head-only", *flags]
    command += ["--eval", options.data / "dev.tsv", "--text-column", "sentence", "-o", output, "--threads", options.threads]
    done = subprocess.run(
        [sys.executable, "-m", "minibert", *map(str, command)], capture_output=True, text=True, cwd=ROOT, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    history = json.loads((output / "trainer_state.json").read_text(encoding="utf-8"))["log_history"]
    return history[-1]["eval_accuracy"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="FOLDER", required=True, help="with SST-2's train.tsv and dev.tsv")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=4000, help="of train.tsv, to fine-tune on; 0: leave out")
    parser.add_argument(
        "--head-rows", type=int, default=67349, metavar="N", help="of train.tsv, for the head alone; 0: leave out"
    )
    parser.add_argument("--epochs", type=float, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    options = parser.parse_args()
    if min(options.seeds, options.threads) < 1 or options.rows < 0 or options.epochs <= 0:
        parser.error("--seeds and --threads must be 1 or more, --rows not negative, and --epochs above 0")
    warnings.simplefilter("ignore")
    print(f"{machine()}; {options.threads} threads")
    tables = {}
    if options.rows > 0:
        tables["training-accuracy"] = compare(options)
    if options.head_rows > 0:
        tables["head-only"] = head_only(options)
    for name, one in tables.items():
        print(f"\n{name}\n\n{markdown(one['columns'], one['rows'])}")
    write(options.json, document("training_accuracy", options.threads, tables))
    return 0


if __name__ == "__main__":
    sys.exit(main())
