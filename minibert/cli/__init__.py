"""The command line: `minibert run`, `classify`, `ner`, `fill-mask`, `ask`, `embed`, `tokenize` and so on.

Answers go to stdout, one line each, everything else to stderr. Exit status: 0 done, 1 it could not be done, or not all
of it, 2 the command was not understood, 130 interrupted. A user's mistake gets one line, never a traceback.

    shared.py     the options and the texts of several commands
    texts.py      an answer for each text
    run.py        an answer for each row of a file
    tools.py      tokens, models, kernels
    verify.py     the cached files of a model, compared with their hashes
    convert.py    a checkpoint of any form, written as safetensors
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings

from .. import __version__
from ..errors import InputError, MinibertError
from . import convert, run, texts, tools, verify
from .shared import check_texts, say


def main(arguments: list[str] | None = None) -> int:
    """The command's arguments (sys.argv's by default) -> its exit status."""
    options = parser().parse_args(arguments)
    for name, value in vars(options).items():
        if value == [] and name != "texts":  # what argparse makes of --question=--
            options.refuse(f"argument --{name.replace('_', '-')}: expected a value other than '--'")
    status = 0
    try:
        if sys.stdout is None:
            raise InputError("stdout is closed, and answers go there.")
        check_texts(options)
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *where: say(f"warning: {message}")
            status = options.run(options) or 0
        sys.stdout.flush()  # here, so that a reader that has gone is met below
    except MinibertError as error:
        status = say(error)
    except BrokenPipeError:  # `minibert ... | head` has read enough
        pass
    except UnicodeEncodeError as error:
        letters = ascii(error.object[error.start : error.end])
        status = say(f"stdout is {error.encoding}, which has no {letters}; use --json, or set PYTHONIOENCODING=utf-8.")
    except OSError as error:  # the disk is full
        status = say(error)
    except KeyboardInterrupt:
        status = 130
    let_go_of_stdout()
    return status


def let_go_of_stdout() -> None:
    """What cannot be written now is thrown away, for Python would try again at its end, and complain."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(prog="minibert", description="BERT and DistilBERT on a CPU.")
    whole.add_argument("--version", action="version", version=f"minibert {__version__}")
    commands = whole.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for module in (texts, run, tools, verify, convert):
        module.add_commands(commands)
    return whole
