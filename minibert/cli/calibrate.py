"""`minibert calibrate`: a classifier whose scores are as often right as they say. It is in minibert/calibrate.py."""

from __future__ import annotations

import argparse

from ..errors import InputError
from .shared import command, delimiter_option


def add_commands(commands: argparse._SubParsersAction) -> None:
    parser = command(commands, "calibrate", calibrate_model, "make a classifier's scores as often right as they say")
    parser.add_argument("model", metavar="MODEL", help="a folder, a bundled model, or a model of the Hugging Face hub")
    parser.add_argument("folder", metavar="FOLDER", help="where to write it; created if it does not exist")
    parser.add_argument("--rows", metavar="FILE", required=True, help="labeled rows that it was not trained on")
    parser.add_argument("--text-column", metavar="NAME", default="text", help="the column with the text (text)")
    parser.add_argument("--pair-column", metavar="NAME", help="the column with the second text of each pair")
    parser.add_argument("--label-column", metavar="NAME", default="label", help="the column with the label (label)")
    parser.add_argument("--delimiter", metavar="C", type=delimiter_option, help="between the fields of a csv or tsv")
    parser.add_argument("--strict", action="store_true", help="end with an error at the first row that cannot be used")
    parser.add_argument("--revision", help="a branch, tag or commit of the hub")


def calibrate_model(options: argparse.Namespace) -> None:
    """The command: a line with the temperature and what it changes."""
    from ..calibrate import calibrate
    from ..training.tasks import TASKS, TaskOptions, text_of
    from .train_data import read_labeled, report_left_out

    columns = TaskOptions(options.text_column, options.pair_column, options.label_column)
    file = read_labeled(options.rows, TASKS["text-classification"], columns, options.delimiter, options.strict)
    texts, labels = [], []
    for line, row, label in file.rows:
        try:
            text = text_of(row, options.text_column)
            texts.append((text, text_of(row, options.pair_column)) if options.pair_column else text)
            labels.append(label)
        except InputError as error:
            file.leave_out(line, error)
    report_left_out(file)
    temperature, before, after = calibrate(options.model, options.folder, texts, labels, revision=options.revision)
    print(f"temperature {temperature:.3f}\tcalibration error {before:.4f} -> {after:.4f}\t{len(texts):,} rows")
