"""`minibert run`: a file of any size through a model. What it does is in minibert/run/; here is how it is asked for."""

from __future__ import annotations

import argparse
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from .. import __version__
from ..errors import InputError
from .shared import add_kernels, add_model, at_least_one, chosen_model, command, delimiter_option, say, thread_count

INPUTS = ("txt", "csv", "tsv", "jsonl", "parquet", "arrow")
OUTPUTS = ("jsonl", "csv", "tsv")
TASK_OPTIONS = ("pair_column", "question", "question_column", "labels", "top_k", "truncate", "stride", "strategy", "prompt")
TERMINATED = 143  # 128 + SIGTERM, as a shell has it


def add_commands(commands) -> None:
    run = command(commands, "run", run_file, "answer for each row of a file of any size")
    run.add_argument(
        "input",
        metavar="INPUT",
        help="a .txt, .csv, .tsv or .jsonl, or one of these and .gz, a .parquet or .arrow file; or -, lines on stdin",
    )
    run.add_argument(
        "--task",
        default="text-classification",
        help="text-classification (if not given), token-"
        "classification, question-answering, fill-mask, zero-shot-classification, feature-extraction or "
        "sentence-embeddings",
    )
    add_model(run)
    add_kernels(run)
    run.add_argument("--threads", type=thread_count, metavar="N", help="how many threads compute (one a core)")
    add_files(run.add_argument_group("rows and files"))
    add_task_options(run.add_argument_group("what a task may be given"))


def add_files(group) -> None:
    group.add_argument("--text-column", default="text", metavar="NAME", help="the column that holds the text (text)")
    group.add_argument(
        "-o",
        "--output",
        default="-",
        metavar="FILE",
        help="a .jsonl, .csv or .tsv file, or one of these and .gz, there when it is whole; or -, stdout (-)",
    )
    group.add_argument("--input-format", choices=INPUTS, help="what the input is, where its name does not say")
    group.add_argument(
        "--delimiter",
        type=delimiter_option,
        metavar="C",
        help="what stands between the fields of a csv or tsv input: one character, or \\t for a tab (a comma, a tab)",
    )
    group.add_argument("--output-format", choices=OUTPUTS, help="what the output is to be, where its name does not say")
    group.add_argument("--prefix", default="", metavar="TEXT", help="before the names of the answer's columns")
    group.add_argument("--limit", type=at_least_one, metavar="N", help="the first N rows only")
    group.add_argument("--resume", action="store_true", help="go on with the run of this output that was interrupted")
    group.add_argument("--errors", metavar="FILE", help="a .jsonl file for rows that have no answer: line, reason, row")
    group.add_argument("--strict", action="store_true", help="end with an error at the first row that has no answer")
    group.add_argument("--progress", action=argparse.BooleanOptionalAction, help="show how far it is (on a terminal)")


def add_task_options(group) -> None:
    group.add_argument("--pair-column", metavar="NAME", help="the second text of each pair to classify")
    group.add_argument("--question", metavar="TEXT", help="what is asked of each text")
    group.add_argument("--question-column", metavar="NAME", help="the column that holds the question to its text")
    group.add_argument("--labels", metavar="A,B,...", help="what a text may be about, for zero-shot-classification")
    group.add_argument("--top-k", type=at_least_one, metavar="N", help="the N best labels or words of each text")
    group.add_argument("--truncate", action="store_true", help="cut a text that is too long instead of refusing it")
    group.add_argument("--stride", type=at_least_one, metavar="N", help="read long texts in windows that share N tokens")
    group.add_argument("--strategy", help="how tokens become entities: simple (if not given), first, average, max, none")
    group.add_argument("--prompt", help="a text to stand before each text that is embedded")


def run_file(options: argparse.Namespace) -> int:
    """The command; its status is 1 where rows were left out and no file was named for them."""
    if options.threads:
        use_threads(options.threads)
    from ..run import formats, job, reading, tasks
    from ..run.progress import Progress
    from ..run.writing import Results

    check_files(options)
    kind = options.output_format or formats.kind_of(options.output)
    options.model = chosen_model(options)
    options.input_format = options.input_format or reading.kind_of(options.input)
    results = Results(options.output, options.errors)
    if options.resume and not (results.resumable and os.path.isfile(options.input)):
        raise InputError("--resume needs an input and an output that are files; what went through a stream is gone.")
    with reading.opened(options.input, options.input_format, options.delimiter) as source, told_how_to_resume(results):
        task = tasks.make_task(
            options.task,
            options.model,
            options.text_column,
            {name: getattr(options, name) for name in TASK_OPTIONS},
            kernels=options.kernels,
            revision=options.revision,
        )
        job.check_columns(source, task, kind, options.prefix)
        values = made_by(options, kind, task)
        results.begin(values, options.resume, values["the input's time"])
        if results.done.whole:
            say(f"{options.output} is whole already; to make it anew, leave --resume out.")
            results.finish()
        else:
            with Progress(options.progress) as progress:
                job.run(
                    source,
                    task,
                    results,
                    progress,
                    kind=kind,
                    prefix=options.prefix,
                    limit=options.limit,
                    strict=options.strict,
                )
    return summary(results.done, options.errors)


def use_threads(count: int) -> None:
    """For the compiled kernels, and for the libraries NumPy may use, which read their variables when it is imported."""
    from ..kernels.runtime.thread_count import set_num_threads

    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(count)
    set_num_threads(count)


def check_files(options: argparse.Namespace) -> None:
    """InputError for a name that no file can have, or where one file would be written over another."""
    from ..run.reading import check_path

    outputs = [name for name in (options.output, options.errors) if name is not None]
    for name in (options.input, *outputs):
        check_path(name)
    for name in outputs:
        if name != "-" and os.path.realpath(name) == os.path.realpath(options.input):
            raise InputError(f"what is written must not take the place of the input; both are {name}.")


def made_by(options: argparse.Namespace, kind: str, task) -> dict:
    """What decides the bytes of the output: a run with other values cannot go on with it."""
    from ..run.tasks import identity

    names = ("task", "revision", "text_column", "input_format", "delimiter", "prefix", "limit", "errors", *TASK_OPTIONS)
    values = {flag(name): getattr(options, name) for name in names}
    size, changed = 0, 0  # of stdin nobody goes on with
    if options.input != "-":
        size, changed = os.stat(options.input).st_size, os.stat(options.input).st_mtime_ns
    return {
        "minibert": __version__,
        "--model": options.model,
        "the model": identity(options.model, options.revision),
        "the kernels": dict(task.kernels),
        "the input": os.path.realpath(options.input),
        "the input's size": size,
        "the input's time": changed,
        "--output-format": kind,
        **values,
    }


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


@contextmanager
def told_how_to_resume(results) -> Iterator[None]:
    """Ctrl-C, or a polite kill: say what is kept. (An impolite one keeps the same, and says nothing.)"""
    before = None
    if threading.current_thread() is threading.main_thread():
        before = signal.signal(signal.SIGTERM, terminated)
    try:
        yield
    except BaseException as end:
        results.discard()
        if isinstance(end, (KeyboardInterrupt, SystemExit)) and results.journal and results.done.rows:
            say(f"interrupted; {results.done.rows:,} rows are done. The same command with --resume goes on.")
        raise
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def terminated(number, frame) -> None:
    raise SystemExit(TERMINATED)


def summary(done, errors: str | None) -> int:
    """Say what was left out; the status of the command."""
    if not done.bad:
        return 0
    where = f"are in {errors}" if errors else "were left out; --errors FILE keeps them"
    more = "; ..." if done.bad > len(done.first) else ""
    say(f"{done.bad:,} of {done.rows:,} rows have no answer and {where}. {'; '.join(done.first)}{more}")
    return 0 if errors else 1
