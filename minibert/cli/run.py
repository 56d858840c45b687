"""`minibert run`: a file of any size through a model. Its arguments and its steps; the work is done in minibert/run/.

With --engine, many files on many machines: run_engine.py.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from ..errors import InputError
from . import run_engine
from .run_shared import load_task, resume_hint_on_exit, run_fingerprint
from .shared import (
    CommandParser,
    add_kernels,
    add_model,
    add_task_option,
    at_least_one,
    chosen_model,
    command,
    delimiter_option,
    eprint,
    thread_count,
)


def add_commands(commands: argparse._SubParsersAction) -> None:
    parser = command(commands, "run", run_file, "answer each row of a file of any size")
    parser.add_arguments = add_arguments


def add_arguments(parser: CommandParser, arguments: list[str]) -> None:
    from ..run.tasks import command_tasks

    set_threads(threads_of(arguments))
    tasks = command_tasks()
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="a .txt, .csv, .tsv or .jsonl file (each may be followed by .gz), a .parquet or .arrow file; or - for stdin. "
        "With --engine, any number of files, folders and URLs that fsspec reads",
    )
    parser.add_argument(
        "--task",
        choices=[*tasks, *(alias for registration in tasks.values() for alias in registration.aliases)],
        default="text-classification",
        metavar="TASK",
        help=f"{', '.join(tasks)} (text-classification)",
    )
    add_model(parser)
    add_kernels(parser)
    parser.add_argument("--threads", type=thread_count, metavar="N", help="number of threads (one for each core)")
    add_file_options(parser.add_argument_group("rows and files"))
    run_engine.add_arguments(parser.add_argument_group("several machines"))
    add_task_options(parser, list(tasks))


def threads_of(arguments: list[str]) -> int | None:
    """The value of --threads, read first: the options of the tasks import NumPy, whose libraries fix their threads then."""
    early = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    early.add_argument("--threads", type=thread_count)
    try:
        return early.parse_known_args(arguments)[0].threads
    except argparse.ArgumentError:  # reported when all arguments are parsed
        return None


def set_threads(count: int | None) -> None:
    """Set the threads of the compiled kernels, and of the libraries that NumPy may use, which read these variables."""
    if count is None:
        return
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(count)
    from ..kernels.runtime.thread_count import set_num_threads

    set_num_threads(count)


def add_file_options(group: argparse._ActionsContainer) -> None:
    from ..run import open, writers

    group.add_argument("--text-column", default="text", metavar="NAME", help="the column with the text (text)")
    group.add_argument(
        "-o",
        "--output",
        default="-",
        metavar="FILE",
        help="a .jsonl, .csv or .tsv file (each may be followed by .gz), which appears when it is complete; - is stdout (-)",
    )
    group.add_argument("--input-format", choices=open.FORMATS, help="the input's format, if its name does not tell it")
    group.add_argument(
        "--delimiter",
        type=delimiter_option,
        metavar="C",
        help="the character between the fields of a csv or tsv input, \\t for a tab (a comma in csv, a tab in tsv)",
    )
    group.add_argument("--output-format", choices=writers.FORMATS, help="the output's format, if its name does not tell it")
    group.add_argument("--prefix", default="", metavar="TEXT", help="put before the names of the answer's columns")
    group.add_argument("--limit", type=at_least_one, metavar="N", help="read the first N rows only")
    group.add_argument("--resume", action="store_true", help="continue the interrupted run of this output")
    group.add_argument(
        "--errors", metavar="FILE", help="a .jsonl file for rows without an answer: line, reason, row; exit status 0"
    )
    group.add_argument("--strict", action="store_true", help="end with an error at the first row without an answer")
    group.add_argument("--progress", action=argparse.BooleanOptionalAction, help="show progress (if stderr is a terminal)")


def add_task_options(parser: CommandParser, tasks: list[str]) -> None:
    """The options of all tasks; the help names the tasks of each."""
    from ..pipelines import pipeline_class
    from ..pipelines.task import Option

    options: dict[str, Option] = {}
    helps: dict[str, dict[str, list[str]]] = {}  # option -> help -> tasks
    for task in tasks:
        for option in pipeline_class(task).command_options:
            options.setdefault(option.name, option)
            helps.setdefault(option.name, {}).setdefault(option.help, []).append(task)
    group = parser.add_argument_group("options of tasks")
    for name, option in options.items():
        help = "; ".join(f"{text} [{', '.join(names)}]" for text, names in helps[name].items())
        add_task_option(group, option, help)
    parser.set_defaults(task_options=options)


def run_file(options: argparse.Namespace) -> int:
    """The command. Returns 1 if rows were left out, which those in the file of --errors are not."""
    from ..run import job, open, writers
    from ..run.output import Results

    if options.engine is not None:
        return run_engine.run_inputs(options)
    run_engine.check_no_engine(options)
    (options.input,) = options.inputs
    check_files(options)
    file_format = options.output_format or writers.output_format(options.output)
    options.model = chosen_model(options)
    options.input_format = options.input_format or open.input_format(options.input)
    results = Results(options.output, options.errors)
    if options.resume and not (results.resumable and os.path.isfile(options.input)):
        raise InputError("--resume needs an input and an output that are files; a stream cannot be read or written again.")
    with open.open_source(options.input, options.input_format, options.delimiter) as source, resume_hint_on_exit(results):
        task = load_task(options)
        job.check_columns(source, task, file_format, options.prefix)
        size, time = 0, 0  # stdin cannot be resumed
        if options.input != "-":
            size, time = os.stat(options.input).st_size, os.stat(options.input).st_mtime_ns
        inputs = {"the input": os.path.realpath(options.input), "the input's size": size, "the input's time": time}
        results.begin({**inputs, **run_fingerprint(options, file_format, task)}, options.resume, time)
        if results.state.complete:
            unknown = "" if results.journal else " (by a run whose arguments are not known, and were not compared)"
            eprint(f"{options.output} is complete already{unknown}; to write it again, leave --resume out.")
            results.finish()
        else:
            run_job(options, source, task, results, file_format)
    return print_summary(results.state, options.errors)


def run_job(options: argparse.Namespace, source: Any, task: Any, results: Any, file_format: str) -> None:
    from ..run import job
    from ..run.progress import Progress

    with Progress(options.progress) as progress:
        job.run(
            source,
            task,
            results,
            progress,
            file_format=file_format,
            prefix=options.prefix,
            limit=options.limit,
            strict=options.strict,
        )


def check_files(options: argparse.Namespace) -> None:
    """InputError for a value that cannot be a file's name, and for an output that would overwrite a file that is read."""
    from ..run.output import WORK_FILES
    from ..run.source import check_path

    outputs = [name for name in (options.output, options.errors) if name is not None]
    of_tasks = [getattr(options, name) for name, option in options.task_options.items() if option.type is Path]
    inputs = [options.input, *(name for name in of_tasks if name is not None)]
    for name in (*inputs, *outputs):
        check_path(name)
    read = {os.path.realpath(name) for name in inputs if name != "-"}
    for name in outputs:
        for end in ("", *WORK_FILES):
            if name != "-" and os.path.realpath(name) + end in read:
                raise InputError(f"an output must not overwrite the input; both are {name}{end}.")


def print_summary(state: Any, errors: str | None) -> int:
    """Say which rows were left out. Returns the command's exit status."""
    if not state.bad_rows:
        return 0
    outcome = f"are in {errors}" if errors else "were left out; --errors FILE records them"
    more = "; ..." if state.bad_rows > len(state.reasons) else ""
    eprint(f"{state.bad_rows:,} of {state.rows:,} rows have no answer and {outcome}. {'; '.join(state.reasons)}{more}")
    return 0 if errors else 1
