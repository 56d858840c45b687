"""The command line: `minibert run`, `train`, `classify`, `ner`, `fill-mask`, `ask`, `embed`, `explain`, `rerank`, `tokenize` and so on.

Answers go to stdout, one line each, everything else to stderr. A user's mistake prints one line, never a traceback.
Exit status:

    0    done. Rows without an answer are no failure if they are recorded: in the file of --errors, or in the folder of --engine
    1    not done, or rows were left out without a record
    2    not understood: an option that is not there, a value that is none of its choices, a text that is missing
    130  interrupted, or 143 by SIGTERM

    shared.py     the parser of a command, options that several commands have, texts from the arguments or stdin
    predict.py    an answer for each text
    explain.py    a page that shows how a text became its answer
    rerank.py     texts in the order of their scores
    run.py        an answer for each row of a file; run_engine.py, of many files on many machines; run_shared.py
    train.py      a model fine-tuned on a file of labeled rows; train_options.py, train_data.py, train_card.py
    manage.py     tokens, models, kernels
    verify.py     the cached files of a model, compared with their hashes
    convert.py    a checkpoint of any form, written as safetensors
    calibrate.py  a classifier whose scores are as often right as they say
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from typing import Any

from .. import __version__
from ..errors import InputError, KernelError, MinibertError
from . import calibrate, convert, explain, manage, predict, rerank, run, train, verify
from .shared import CommandParser, check_texts, eprint, flag


def main(arguments: list[str] | None = None) -> int:
    """The command's arguments (by default sys.argv's) -> its exit status."""
    options = make_parser().parse_args(arguments)
    for name, value in vars(options).items():
        if value == [] and name != "texts":  # what argparse makes of --question=--
            options.usage_error(f"argument {flag(name)}: expected a value other than '--'")
    status = 0
    try:
        if sys.stdout is None:
            raise InputError("stdout is closed, and answers go there.")
        check_texts(options)
        with warnings.catch_warnings():
            warnings.showwarning = print_warning
            status = options.run(options) or 0
        sys.stdout.flush()  # a broken pipe is noticed here, and handled below
    except KernelError as error:
        if getattr(options, "kernels", "auto") != "auto":
            options.usage_error(f"argument --kernels: {error}")
        status = eprint(error)
    except MinibertError as error:
        status = eprint(error)
    except BrokenPipeError:  # `minibert ... | head` has read enough
        pass
    except UnicodeEncodeError as error:
        text = ascii(error.object[error.start : error.end])
        status = eprint(f"stdout is {error.encoding}, which cannot encode {text}; use --json, or set PYTHONIOENCODING=utf-8.")
    except OSError as error:  # the disk is full
        status = eprint(error)
    except KeyboardInterrupt:
        status = 130
    flush_or_discard_stdout()
    return status


def print_warning(message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: str | None = None) -> None:
    """`warnings.showwarning`, in one line."""
    eprint(f"warning: {message}")


def flush_or_discard_stdout() -> None:
    """Discard what cannot be written: Python would try again at exit, and print an error."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="minibert", description="BERT-family encoders on a CPU.")
    parser.add_argument("--version", action="version", version=f"minibert {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=CommandParser)
    for module in (predict, explain, rerank, run, train, calibrate, manage, verify, convert):
        module.add_commands(commands)
    return parser
