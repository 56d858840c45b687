"""What commands share: their parser, common options, the texts they read, and messages on stderr."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..errors import InputError
from ..kernels.runtime.thread_count import MAX_THREADS

DEFAULT_MODEL = "minibert-sst2"
# Options that hold text, not names of files; tasks add theirs.
TEXT_OPTIONS = ("texts", "prefix", "delimiter", "text_column", "question", "replace")


class CommandParser(argparse.ArgumentParser):
    """The parser of one command. `add_arguments(parser, arguments)` is called only if the command is used.

    So the options of tasks, whose files import NumPy, cost nothing to `minibert --help` and to the other commands.
    """

    add_arguments: Callable[[CommandParser, list[str]], None] | None = None

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if self.add_arguments is not None:
            add_arguments, self.add_arguments = self.add_arguments, None
            add_arguments(self, args)
        self.refuse(self.unknown_options(args))  # before argparse, which may miss a required option first
        namespace, unknown = super().parse_known_args(args, namespace)
        self.refuse(unknown)  # here, as the parent's usage would not show the command's options
        return namespace, unknown

    def unknown_options(self, arguments: list[str]) -> list[str]:
        """The arguments that begin with -- and no option's name does. None if help is requested."""
        if "--" in arguments:
            arguments = arguments[: arguments.index("--")]
        names = {text: text.partition("=")[0] for text in arguments if text.startswith("--") and " " not in text}
        known = tuple(self._option_string_actions)
        unknown = [text for text, name in names.items() if not any(flag.startswith(name) for flag in known)]
        return [] if {"-h", "--help"} & set(arguments) else unknown

    def refuse(self, unknown: list[str]) -> None:
        """A usage error that names the unknown arguments and, if the first is like an option, that one."""
        if not unknown:
            return
        from difflib import get_close_matches

        known = {squeezed(flag): flag for flag in self._option_string_actions}
        for option in (self.get_default("task_options") or {}).values():  # by the pipeline's name for it too
            known.setdefault(squeezed(option.parameter or option.name), option.flag)
        name = squeezed(unknown[0].partition("=")[0])[:80] if unknown[0].startswith("-") else ""
        closest = get_close_matches(name, known, 1)
        hint = f". Did you mean {known[closest[0]]}?" if closest else ""
        self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")


def squeezed(flag: str) -> str:
    """--top-k, or top_k -> topk"""
    return flag.replace("-", "").replace("_", "")


def eprint(message: object) -> int:
    """Print a line on stderr, if it is open. Returns the exit status of a failure."""
    if sys.stderr is not None:  # print() would take None for stdout
        print(f"minibert: {message}", file=sys.stderr)
    return 1


def flag(name: str) -> str:
    """top_k -> --top-k"""
    return "--" + name.replace("_", "-")


def command(
    commands: argparse._SubParsersAction, name: str, run: Callable[[argparse.Namespace], int | None], summary: str
) -> CommandParser:
    """Add a command: its name, the function that does it, and a line for the help."""
    parser = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
    parser.set_defaults(run=run, usage_error=parser.error)
    return parser


def add_texts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="one text each; without any, or with -, read lines from stdin")
    parser.add_argument("--json", action="store_true", help="print one JSON object for each text")


def add_model(parser: argparse.ArgumentParser, required: bool = False) -> None:
    summary = "a folder, a bundled model, or a model of the Hugging Face hub"
    parser.add_argument("--model", metavar="NAME", required=required, help=summary)
    parser.add_argument("--revision", help="a branch, tag or commit of the hub")


def add_kernels(parser: argparse.ArgumentParser) -> None:
    summary = "auto, reference, naive, fast, bf16, int8, or variants by operation: linear=naive,gelu=naive"
    parser.add_argument("--kernels", type=kernels_option, default="auto", metavar="PRESET", help=summary)


def add_task_option(parser: argparse._ActionsContainer, option: Any, help: str = "", required: bool = False) -> None:
    """A task's declaration of an option (pipelines/task.py) -> the same in argparse."""
    if option.type is bool:
        parser.add_argument(option.flag, action="store_true", help=help or option.help)
        return
    read: Callable[[str], Any] = at_least_one if option.type is int else str  # a file's name is checked where it is read
    parser.add_argument(
        option.flag,
        type=read if option.choices is None else str.lower,
        choices=option.choices,
        metavar=option.metavar,
        required=required,
        help=help or option.help,
    )


def chosen_model(options: argparse.Namespace) -> str:
    if options.model is None:
        eprint(f"using the bundled model {DEFAULT_MODEL}; name another with --model.")
        return DEFAULT_MODEL
    return options.model


def input_texts(options: argparse.Namespace) -> Iterable[str]:
    """The texts of the command line, or the lines of stdin."""
    texts = options.texts
    if texts not in ([], ["-"]):
        return texts
    if sys.stdin is None or (not texts and sys.stdin.isatty()):
        options.usage_error("a TEXT is needed, or lines on stdin")
    return decoded_lines(sys.stdin.buffer)


def check_texts(options: argparse.Namespace) -> None:
    """InputError for a text with bytes that the locale cannot decode: Python has replaced them by lone surrogates."""
    task_options = getattr(options, "task_options", {})
    for name in (*TEXT_OPTIONS, *(name for name, option in task_options.items() if option.type is str)):
        value = getattr(options, name, None) or []
        for text in [value] if isinstance(value, str) else value:
            if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
                encoding = sys.getfilesystemencoding()
                argument = "a TEXT" if name == "texts" else flag(name)
                hint = "" if encoding == "utf-8" else " That is the locale's encoding; if texts are UTF-8, set PYTHONUTF8=1."
                raise InputError(f"{argument} must be {encoding}; got {text!a}.{hint}")


def decoded_lines(stream: Iterable[bytes]) -> Iterator[str]:
    """Lines without their ends; an empty line is a text too."""
    for line_number, line in enumerate(stream, 1):
        try:
            yield line.decode("utf-8-sig" if line_number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            message = f"stdin must be UTF-8; line {line_number} is not: {error.reason} at byte {error.start}."
            raise InputError(message) from None


def at_least_one(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be an integer, 1 or more; got {text!r}")
    return int(text)


def thread_count(text: str) -> int:
    count = at_least_one(text)
    if count > MAX_THREADS:
        raise argparse.ArgumentTypeError(f"must be {MAX_THREADS} at most; got {text!r}")
    return count


def delimiter_option(text: str) -> str:
    """`;`, or `\\t` for a tab."""
    return "\t" if text == "\\t" else text


def kernels_option(text: str) -> str | dict[str, str]:
    """`reference`, or `linear=naive,gelu=naive`."""
    if "=" not in text:
        return text
    return {name: variant for name, _, variant in (part.partition("=") for part in text.split(","))}
