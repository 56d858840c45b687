"""What a run on one machine and a run on an engine share: the task, the fingerprint, what is said to a signal."""

from __future__ import annotations

import argparse
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .. import __version__
from .shared import eprint, flag

SIGTERM_STATUS = 143  # 128 + SIGTERM, as shells have it


def load_task(options: argparse.Namespace) -> Any:
    """The options of the command -> the Task (run/tasks.py)."""
    from ..run.tasks import make_task

    values = {name: getattr(options, name) for name in options.task_options}
    return make_task(
        options.task, options.model, options.text_column, values, kernels=options.kernels, revision=options.revision
    )


def run_fingerprint(options: argparse.Namespace, file_format: str, task: Any) -> dict:
    """What, besides the input, decides the bytes of the output: a run can be resumed only if all of it is the same."""
    from ..run.environment import processor_identity
    from ..run.tasks import model_identity

    files = [
        name for name, option in options.task_options.items() if option.type is Path and getattr(options, name) is not None
    ]
    names = ("task", "revision", "text_column", "input_format", "delimiter", "prefix", "limit", "errors", *options.task_options)
    return {
        "minibert": __version__,
        "--model": options.model,
        "the model": model_identity(options.model, options.revision),
        "the kernels": dict(task.kernels),
        "the processor": processor_identity(),
        "--output-format": file_format,
        **{flag(name): getattr(options, name) for name in names},
        **{f"the time of {flag(name)}": os.stat(getattr(options, name)).st_mtime_ns for name in files},
    }


@contextmanager
def resume_hint_on_exit(results: Any) -> Iterator[None]:
    """After Ctrl-C or SIGTERM, say what is saved. (After SIGKILL the same is saved, without a message.)"""
    previous = None
    if threading.current_thread() is threading.main_thread():
        previous = signal.signal(signal.SIGTERM, exit_on_sigterm)
    try:
        yield
    except BaseException as exception:
        results.discard()
        if isinstance(exception, (KeyboardInterrupt, SystemExit)) and results.saved:
            eprint(f"interrupted; {results.saved} are done. Run the same command with --resume to continue.")
        raise
    finally:
        if previous is not None:
            signal.signal(signal.SIGTERM, previous)


def exit_on_sigterm(signal_number: int, frame: object) -> None:
    raise SystemExit(SIGTERM_STATUS)
