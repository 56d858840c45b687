"""`minibert run INPUT... -o FOLDER --engine ray`: many files on many machines. The work is done in minibert/run/."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from ..errors import InputError
from .run_shared import load_task, resume_hint_on_exit, run_fingerprint
from .shared import at_least_one, chosen_model, eprint, flag

ENGINES = ("ray",)
ROWS_PER_PART = 10_000
DEFAULTS = {"address": None, "workers": None, "cpus_per_worker": None, "rows_per_part": None, "order_column": None}
SINGLE_MACHINE = {  # options of a run on one machine -> what to do instead
    "threads": "Pass --cpus-per-worker, which is the number of a worker's threads.",
    "limit": "Pass files with fewer rows.",
    "errors": "Bad rows are in FOLDER/errors-*.jsonl.",
}


def add_arguments(group: argparse._ActionsContainer) -> None:
    group.add_argument("--engine", choices=ENGINES, help="answer on the workers of this engine; OUTPUT is a folder")
    group.add_argument(
        "--address", metavar="HOST:PORT", help="a running cluster, or auto (a Ray on this machine, for this run)"
    )
    group.add_argument("--workers", type=at_least_one, metavar="N", help="number of workers (as many as there is room for)")
    group.add_argument("--cpus-per-worker", type=at_least_one, metavar="M", help="CPUs and threads of a worker (1)")
    group.add_argument(
        "--rows-per-part", type=at_least_one, metavar="N", help=f"rows of a part of the output ({ROWS_PER_PART})"
    )
    group.add_argument("--order-column", metavar="NAME", help="the column by which lines are sorted (order)")


def check_no_engine(options: argparse.Namespace) -> None:
    """InputError for what only a run on an engine takes."""
    if len(options.inputs) > 1:
        raise InputError(
            f"a run has one input; got {len(options.inputs)}. Run each by itself, or all as the parts of a folder: --engine ray"
        )
    for name in DEFAULTS:
        if getattr(options, name) is not None:
            raise InputError(f"{flag(name)} is for a run on several machines. Add --engine ray, or leave it out.")


def check_engine(options: argparse.Namespace) -> None:
    """InputError for what a run on an engine does not take; sets the defaults of its options."""
    from ..run.source import check_path

    for name in (options.output, *options.inputs):
        check_path(name)
    for name, instead in SINGLE_MACHINE.items():
        if getattr(options, name) is not None:
            raise InputError(f"{flag(name)} is for a run on one machine; got --engine {options.engine}. {instead}")
    if options.output_format not in (None, "jsonl"):
        raise InputError(f"the parts of --engine are jsonl; got --output-format {options.output_format}. Leave it out.")
    if options.output == "-":
        raise InputError("--engine needs a folder for its parts, which all nodes see. Pass -o FOLDER.")
    output = os.path.realpath(options.output)
    for name in options.inputs:
        if os.path.commonpath([output, os.path.realpath(name)]) == os.path.realpath(name):
            raise InputError(f"the output's folder must not be an input, nor in one; {options.output} is, in {name}.")
    if "-" in options.inputs:
        raise InputError("an input of --engine is a file, a folder or a URL, which all nodes can read; got stdin.")
    options.cpus_per_worker = options.cpus_per_worker or 1
    options.rows_per_part = options.rows_per_part or ROWS_PER_PART
    options.order_column = "order" if options.order_column is None else options.order_column


def run_inputs(options: argparse.Namespace) -> int:
    """The command. Rows without an answer are no failure: they are in the folder's errors-*.jsonl."""
    from ..run.blocks import plan_blocks
    from ..run.filesystem import identity
    from ..run.parts import OutputFolder
    from ..run.ray_engine import import_ray

    check_engine(options)
    import_ray()
    make_paths_absolute(options)
    files = input_files(options)
    task = load_task(options)
    check_inputs(files, task, options)
    fingerprint = {
        "the inputs": [[file.path, identity(file.path)] for file in files],
        "--rows-per-part": options.rows_per_part,
        "--order-column": options.order_column,
        **run_fingerprint(options, "jsonl", task),
    }
    folder = OutputFolder(options.output)
    if folder.begin(fingerprint, options.resume):
        blocks = [block for file in files for block in plan_blocks(file, options.rows_per_part)]
        with resume_hint_on_exit(folder):
            answer_missing(blocks, folder, options)
        folder.finish(fingerprint)
    else:
        eprint(f"{options.output} is complete already; to write it again, delete it.")
    if bad_rows := folder.count_bad_rows():
        eprint(f"{bad_rows:,} rows have no answer; they are in {folder.path}/errors-*.jsonl.")
    return 0


def make_paths_absolute(options: argparse.Namespace) -> None:
    """Workers have another current folder."""
    options.model = local_path(chosen_model(options))
    for name, option in options.task_options.items():
        if option.type is Path and getattr(options, name) is not None:
            setattr(options, name, os.path.abspath(getattr(options, name)))


def local_path(name: str) -> str:
    """A name that is a path on this machine, as workers must have it; a URL, or a model of the hub, as it is."""
    return os.path.abspath(name) if os.path.exists(name) else name


def input_files(options: argparse.Namespace) -> list[Any]:
    """The files of all inputs, each as one block."""
    from ..run.blocks import Block
    from ..run.filesystem import list_files
    from ..run.open import check_delimiter, input_format

    paths = [local_path(path) for name in options.inputs for path in list_files(name)]
    files = []
    for index, path in enumerate(paths):
        file_format = options.input_format or input_format(path)
        if options.delimiter is not None:
            check_delimiter(options.delimiter, file_format)
        files.append(Block(index, path, file_format, options.delimiter))
    return files


def check_inputs(files: list[Any], task: Any, options: argparse.Namespace) -> None:
    """InputError if the names of a file's columns keep every row from being answered or written."""
    from ..run.blocks import open_block
    from ..run.job import check_columns

    name = options.order_column
    if name in [options.prefix + answer for answer in task.answer_columns]:
        raise InputError(f"a column of the answers has the name of the order's column, {name!r}. Pass --order-column NAME.")
    for file in files:
        with open_block(file) as source:
            check_columns(source, task, "jsonl", options.prefix)
            if name in (source.columns or ()):
                raise InputError(
                    f"{file.path} already has a column {name!r}, which is also the name of the order's column. "
                    "Pass --order-column NAME."
                )


def answer_missing(blocks: list[Any], folder: Any, options: argparse.Namespace) -> None:
    """Answer the blocks that have no part yet."""
    from ..run.environment import describe_environment
    from ..run.progress import Progress
    from ..run.ray_engine import ISA_VARIABLE, Cluster, Work, answer_blocks

    missing = folder.missing(blocks)
    if not missing:
        return
    work = Work(
        options.task,
        options.model,
        options.text_column,
        {name: getattr(options, name) for name in options.task_options},
        options.kernels,
        options.revision,
        options.prefix,
        options.order_column,
        options.strict,
        str(folder.path),
        options.cpus_per_worker,
        describe_environment(),
        os.environ.get(ISA_VARIABLE),
    )
    cluster = Cluster(options.address, options.workers, options.cpus_per_worker)
    with Progress(options.progress) as progress:
        parts_done = len(blocks) - len(missing)
        progress.begin(0, lambda: parts_done / len(blocks))
        for counts in answer_blocks(missing, work, cluster):
            parts_done += 1
            progress.advance(counts.rows, progress.rows + counts.rows)
