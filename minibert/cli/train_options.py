"""The options of `minibert train`, and those that contradict each other. What they do is in `train.py`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import as_folder, check_writable
from .run import set_threads, threads_of
from .shared import CommandParser, at_least_one, delimiter_option, thread_count


def number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number; got {text!r}") from None


def count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"must be an integer, 0 or more; got {text!r}")
    return int(text)


def add_arguments(parser: CommandParser, arguments: list[str]) -> None:
    set_threads(threads_of(arguments))
    parser.set_defaults(arguments=[one for one in arguments if one != "--resume"])
    from ..training.schedules import SCHEDULES
    from ..training.tasks import TASKS

    parser.add_argument("--task", choices=TASKS, default="text-classification", help="(text-classification)")
    parser.add_argument("--model", metavar="NAME", help="where to start: a folder, a bundled model, or one of the hub")
    parser.add_argument("--revision", help="a branch, tag or commit of the hub")
    parser.add_argument("--config", metavar="FILE", help="start from random weights of this config.json, in place of --model")
    parser.add_argument("--tokenizer", metavar="NAME", help="another model's tokenizer; needed with --config")
    parser.add_argument(
        "-o", "--output", metavar="FOLDER", required=True, help="where the model and its checkpoints are written"
    )
    parser.add_argument("--resume", action="store_true", help="continue the interrupted training of this folder")
    parser.add_argument("--threads", type=thread_count, metavar="N", help="number of threads (one for each core)")
    parser.add_argument("--progress", action=argparse.BooleanOptionalAction, help="show progress (if stderr is a terminal)")
    parser.add_argument("--plot", action="store_true", help="draw the losses, FOLDER/loss.png; needs matplotlib")
    add_data_options(parser.add_argument_group("data"))
    recipe = parser.add_argument_group("recipe")
    add = recipe.add_argument
    add("--epochs", type=number, default=3.0, metavar="N", help="times that each row is seen (3)")
    add("--lr", type=number, default=5e-5, metavar="RATE", help="the largest learning rate (5e-5)")
    add("--batch-size", type=at_least_one, default=32, metavar="N", help="rows of a batch (32)")
    add("--bf16", action="store_true", help="products of numbers rounded to bf16; weights and their updates stay float32")
    add("--accumulate", type=at_least_one, default=1, metavar="N", help="batches of a step (1)")
    add("--max-length", type=at_least_one, metavar="N", help="tokens of a row; longer ones are cut (the model's limit)")
    add("--group-by-length", action="store_true", help="batches of rows of like lengths: faster, less random")
    add("--schedule", choices=SCHEDULES, default="linear", help="of the learning rate (linear)")
    add("--warmup", type=number, default=0.0, metavar="N", help="steps of rising rate, or a fraction of all, below 1 (0)")
    add("--weight-decay", type=number, default=0.01, metavar="X", help="AdamW's, of matrices (0.01)")
    add("--layer-decay", type=number, default=1.0, metavar="X", help="each layer's rate over that of the layer above (1)")
    add("--label-smoothing", type=number, default=0.0, metavar="X", help="(0)")
    add("--balanced", action="store_true", help="weigh classes by the inverse of how often they are")
    add("--teacher", metavar="NAME", help="a model whose logits are learned beside the labels: distillation")
    add("--teacher-column", metavar="NAME", help="the same, from a column of `minibert run --model TEACHER --top-k N`: faster")
    add("--distillation-weight", type=number, default=0.5, metavar="X", help="the share of the loss against the teacher (0.5)")
    add("--hidden-weight", type=number, default=0.0, metavar="X", help="of the loss against the teacher's layers (0)")
    add("--temperature", type=number, default=2.0, metavar="T", help="of the teacher's probabilities (2)")
    add("--freeze", type=count, metavar="N", help="train neither embeddings nor the first N layers")
    add("--lora", type=at_least_one, metavar="R", help="train low-rank changes of queries and values, of rank R, and the head")
    add("--head-only", action="store_true", help="train the head alone, on vectors that are computed once")
    add("--seed", type=count, default=42, metavar="N", help="of new weights, order, dropout and masks (42)")
    add("--every", type=at_least_one, metavar="N", help="evaluate and save a checkpoint every N steps (each epoch)")
    add("--metric", help="the figure by which evaluations are compared; accuracy, f1, matthews, pearson, spearman or loss")
    add("--patience", type=at_least_one, metavar="N", help="stop after N evaluations that were not better than the best")


def add_data_options(group: Any) -> None:
    formats = "csv, tsv, jsonl or parquet, or CoNLL columns (.conll)"
    group.add_argument("--train", metavar="FILE", required=True, help=f"the rows to learn: {formats}")
    group.add_argument("--eval", metavar="FILE", help="the rows to evaluate on; the best evaluation's weights are kept")
    group.add_argument("--text-column", default="text", metavar="NAME", help="the column with the text, or the words (text)")
    group.add_argument("--pair-column", metavar="NAME", help="the column with the second text of each pair")
    group.add_argument("--label-column", default="label", metavar="NAME", help="the column with the label or the tags (label)")
    group.add_argument("--label-separator", default=",", metavar="C", help="between several labels of a text (,)")
    group.add_argument("--delimiter", type=delimiter_option, metavar="C", help="between the fields of a csv or tsv")
    group.add_argument("--strict", action="store_true", help="end with an error at the first row that cannot be used")


def check_options(options: argparse.Namespace, task: Any) -> None:
    """InputError for options that contradict each other, and for a folder that holds another training; ModelFileError for one
    that cannot be written."""
    from ..training.checkpoints import checkpoint_folders

    if (options.model is None) == (options.config is None):
        raise InputError("a training starts from --model NAME, or from random weights with --config FILE; pass one of them.")
    if options.config and not options.tokenizer:
        raise InputError("--config needs --tokenizer NAME: a configuration has no vocabulary.")
    if options.metric not in (None, "loss", *task.metrics):
        raise InputError(f"the metrics of {options.task} are {', '.join((*task.metrics, 'loss'))}; got {options.metric!r}.")
    if (options.metric or options.patience) and not options.eval:
        raise InputError("--metric and --patience are of evaluations; they need --eval FILE.")
    if options.balanced and task.problem_type != "single_label_classification":
        raise InputError(f"--balanced weighs classes of texts; {options.task} has none.")
    if options.head_only and task.read_label is None:
        raise InputError("--head-only trains classifiers; a masked-lm head reads what the encoder learns.")
    if options.lora and options.head_only:
        raise InputError("--lora changes the encoder, which --head-only leaves as it is; pass one of them.")
    if options.teacher and (options.head_only or task.problem_type in ("regression", "multi_label_classification")):
        raise InputError("--teacher is for classes, one each, and not for --head-only.")
    if options.teacher_column and (options.head_only or options.task != "text-classification"):
        raise InputError("--teacher-column is for text-classification, and not for --head-only.")
    if options.teacher_column and options.teacher:
        raise InputError("--teacher computes the logits that --teacher-column reads; pass one of them.")
    if options.hidden_weight and not options.teacher:
        raise InputError("--hidden-weight is of a teacher's layers; it needs --teacher NAME.")
    if options.teacher and task.head == "ForMaskedLM":
        raise InputError("--teacher is for classifiers of texts and tokens.")
    if options.pair_column and task.head != "ForSequenceClassification":
        raise InputError(f"--pair-column does nothing for {options.task}.")
    check_writable(as_folder(options.output))
    found = checkpoint_folders(Path(options.output))
    if found and not options.resume:
        raise InputError(
            f"{options.output} holds a training up to {found[-1].name}: continue it with --resume, or name another folder."
        )
