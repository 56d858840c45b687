"""What commands share: their common options, the texts they are given, and how they speak."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator

from ..errors import InputError

DEFAULT_MODEL = "minibert-sst2"
MOST_THREADS = 1024
# the options that hold text, and no name of a file
TEXTS = ("texts", "question", "prompt", "labels", "prefix", "delimiter", "text_column", "pair_column", "question_column")


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
    summary = "auto, reference, naive, fast, bf16, int8, or linear=naive,gelu=naive"
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
        return texts
    if sys.stdin is None or (not texts and sys.stdin.isatty()):
        options.refuse("a TEXT is needed, or lines on stdin")
    return lines(sys.stdin.buffer)


def check_texts(options: argparse.Namespace) -> None:
    """InputError for a text whose bytes the locale cannot decode: Python puts half of a surrogate pair for each."""
    for name in TEXTS:
        value = getattr(options, name, None) or []
        for text in [value] if isinstance(value, str) else value:
            if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
                encoding = sys.getfilesystemencoding()
                what = "a TEXT" if name == "texts" else f"--{name.replace('_', '-')}"
                hint = "" if encoding == "utf-8" else " That is the locale's encoding; if texts are UTF-8, set PYTHONUTF8=1."
                raise InputError(f"{what} must be {encoding}; got {text!a}.{hint}")


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


def thread_count(text: str) -> int:
    count = at_least_one(text)
    if count > MOST_THREADS:
        raise argparse.ArgumentTypeError(f"must be {MOST_THREADS} at most; got {text!r}")
    return count


def delimiter_option(text: str) -> str:
    """`;`, or `\\t` for a tab."""
    return "\t" if text == "\\t" else text


def kernels_option(text: str) -> str | dict[str, str]:
    """`reference`, or `linear=naive,gelu=naive`."""
    if "=" not in text:
        return text
    return dict(part.split("=", 1) if "=" in part else (part, "") for part in text.split(","))
