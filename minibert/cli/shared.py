"""What commands share: their common options, the texts they are given, and how they speak."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator

from ..errors import InputError

DEFAULT_MODEL = "minibert-sst2"


def say(message: object) -> int:
    """A line on stderr, where there is one; returns the exit status of a failure."""
    if sys.stderr is not None:  # print() would take None for stdout
        print(f"minibert: {message}", file=sys.stderr)
    return 1


def command(commands, name: str, run, summary: str) -> argparse.ArgumentParser:
    made = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
    made.set_defaults(run=run, refuse=made.error)
    return made


def add_texts(made: argparse.ArgumentParser) -> None:
    made.add_argument("texts", nargs="*", metavar="TEXT", help="a text each; none, or -, reads lines from stdin")
    made.add_argument("--json", action="store_true", help="one JSON object a text")


def add_model(made: argparse.ArgumentParser, required: bool = False) -> None:
    summary = "a folder, a bundled model or one of the Hugging Face hub"
    made.add_argument("--model", metavar="NAME", required=required, help=summary)
    made.add_argument("--revision", help="a branch, tag or commit of the hub")


def add_kernels(made: argparse.ArgumentParser) -> None:
    summary = "auto, reference, naive, or linear=naive,gelu=naive"
    made.add_argument("--kernels", type=kernels_option, default="auto", metavar="PRESET", help=summary)


def chosen_model(options: argparse.Namespace) -> str:
    if options.model is None:
        say(f"using the bundled model {DEFAULT_MODEL}; name another with --model.")
        return DEFAULT_MODEL
    return options.model


def given_texts(options: argparse.Namespace) -> Iterable[str]:
    """The texts of the command line, or the lines of stdin."""
    texts = options.texts
    if texts not in ([], ["-"]):
        for text in texts:
            if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
                raise InputError(f"a TEXT must be {sys.getfilesystemencoding()}; got {text!a}.")
        return texts
    if sys.stdin is None or (not texts and sys.stdin.isatty()):
        options.refuse("a TEXT is needed, or lines on stdin")
    return lines(sys.stdin.buffer)


def lines(stream: Iterable[bytes]) -> Iterator[str]:
    """Lines without their ends; each is an answer, an empty one too."""
    for number, line in enumerate(stream, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as fault:
            raise InputError(f"stdin must be UTF-8; line {number} is not: {fault.reason} at byte {fault.start}.") from None


def at_least_one(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number, 1 or more; got {text!r}")
    return int(text)


def kernels_option(text: str) -> str | dict[str, str]:
    """`reference`, or `linear=naive,gelu=naive`."""
    if "=" not in text:
        return text
    return dict(part.split("=", 1) if "=" in part else (part, "") for part in text.split(","))
