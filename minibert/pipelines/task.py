"""What a task declares for the command line: its options, the columns it reads and the columns of its answers.

`minibert run` and the commands for single texts are built from these declarations (minibert/cli/, minibert/run/).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple


class Option(NamedTuple):
    """An option of the command line: `Option("top_k", "the N best labels", int, "N", parameter="top_k")` is --top-k N.

    It sets `parameter`, a keyword of the pipeline; or `input`, a key of each input, to its value or, if `is_column`, to
    the text in the column that it names.
    """

    name: str
    help: str
    type: type = str  # bool is a flag without a value, int an integer from 1 up, Path the name of a file that is read
    metavar: str | None = None
    parameter: str = ""
    input: str = ""
    is_column: bool = False
    choices: tuple[str, ...] | None = None  # the values that there are; the command line takes them in any case

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")


TRUNCATE = Option("truncate", "cut a text that is too long instead of refusing it", bool, parameter="truncation")
STRIDE = Option("stride", "read a long text in windows that share N tokens", int, "N", parameter="stride")


class Task:
    """Base of the classes that the command line can run. The attributes below are what a class declares."""

    task: str
    command_options: tuple[Option, ...] = ()
    required_options: tuple[str, ...] = ()  # names of options; one of them must be passed
    command_defaults: Mapping[str, Any] = {}  # keywords of the pipeline, if no option says otherwise
    text_input = "text"  # the key of an input that holds the text; a task with one key takes the text itself
    default_model: str | None = None  # the bundled model that is used if none is named
    model: Any

    @property
    def answer_types(self) -> Mapping[str, Any]:
        """The columns that `to_columns` returns, in order, and the type of each. Most classes set it as an attribute.

        A type is str, int or float, [type] for a list, {name: type} for a dictionary.
        """
        raise NotImplementedError

    @property
    def answer_columns(self) -> tuple[str, ...]:
        return tuple(self.answer_types)

    def answered(self, **options: Any) -> Callable[[list], Iterator[tuple[int, Any]]]:
        """A function from inputs to (index, answer) of each, with the InputError of an input that is refused."""
        raise NotImplementedError

    def to_columns(self, answer: Any) -> dict[str, Any]:
        """An answer -> its columns, with values that JSON can hold, or arrays."""
        return {name: answer[name] for name in self.answer_columns}

    @classmethod
    def parameters(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values of command-line options, by name -> keywords of the pipeline."""
        options = [option for option in cls.command_options if option.parameter and option.name in values]
        return {**cls.command_defaults, **{option.parameter: values[option.name] for option in options}}
