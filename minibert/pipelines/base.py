"""What every task shares: the forms of a call, its options, batches, and long texts in windows.

A task's class says which options it has, and turns rows into answers (`answers`), one for each row, in order.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from os import PathLike
from typing import Any

import numpy as np

from ..errors import InputError, InputTypeError, short_repr, strict_arguments
from ..families import PRETRAINED
from ..ignored_arguments import PIPELINE, PIPELINE_CALLS, Argument, without_ignored
from ..loading import MODEL_OPTIONS, check_loaded, saving_folder
from ..tensors import cpu_device
from ..tokenization.tokenizer import Tokenizer
from .call_options import TOKENIZER_OPTIONS, cuts, instead, padded
from .streaming import TRUNCATION_HINT, as_rows, in_batches, stream, type_name
from .task import Task

BATCH = 32  # rows at once for a list: past that, larger products gain little and take more memory
DEFAULT_IF_NONE = (  # options whose None is as if they were not passed, as in transformers
    "batch_size",
    "padding",
    "aggregation_strategy",
    "ignore_labels",
    "is_split_into_words",
    "multi_label",
)
STEPS = ("preprocess", "forward", "postprocess")  # that a pipeline of transformers has, each by itself
MODEL_INPUTS = ("input_ids", "token_type_ids", "attention_mask")


class Pipeline(Task):
    """`pipe(text)` gives an answer, `pipe([text, ...])` a list, `pipe(generator)` an iterator that reads as it is asked.

    `batch_size` rows go through the model at once. `pipe.stream(iterable)` chooses the batches itself, and is the
    quicker way for many texts. Options given to the pipeline are its calls' defaults.
    """

    trained_for = ""  # the purpose of the head its models need (families/__init__.py), if that is not `task`
    may_start_from: tuple[str, ...] = PRETRAINED  # purposes of other heads, whose encoders its model may take
    option_names: tuple[str, ...] = ()
    tokenizer_options: tuple[str, ...] = TOKENIZER_OPTIONS
    ignored_options: Mapping[str, Argument] = {}  # options of other tasks that say what this one does anyway
    former_options: Mapping[str, str] = {}  # an option of older versions of transformers -> what to pass instead
    tokenizer_mapping = ""  # the option that is a dictionary of the tokenizer's options, if there is one
    length_option = "max_length"  # what limits a text's tokens
    inputs = "a text, a list or an iterable of them"  # what a call takes, for an error's message

    @staticmethod
    def auto_class() -> Any:
        """The Auto class that loads the task's models."""
        raise NotImplementedError

    @strict_arguments
    def __init__(self, model: Any, tokenizer: Any, *, task: str | None = None, config: Any = None, **options: Any) -> None:
        """A loaded model and tokenizer. `task` is the class's own, whatever name it has; `config` is the model's."""
        check_model(type(self), model)
        if not isinstance(tokenizer, Tokenizer):
            raise InputTypeError(f"tokenizer is a name, a folder or a loaded one; got {of_another_library(tokenizer)}")
        if not isinstance(task, (str, type(None))):
            raise InputTypeError(f"task must be a task's name; got {short_repr(task)}.")
        options = without_ignored(options, PIPELINE)
        check_loaded(model, config, {name: options.pop(name) for name in MODEL_OPTIONS if name in options})
        self.model = model
        self.tokenizer = tokenizer
        self.options = self.read_options(options)
        self.check(self.options)

    @strict_arguments
    def __call__(self, inputs: Any, **options: Any) -> Any:
        options = self.chosen(options) if options else dict(self.options)  # those of the pipeline are checked already
        size = options.pop("batch_size", BATCH if isinstance(inputs, list) else 1)
        if isinstance(inputs, (str, Mapping, tuple)):
            (answer,) = self.answers([inputs], size, **options)
            return answer
        if isinstance(inputs, list):
            return list(self.answers(inputs, size, **options))
        rows = as_rows(inputs)
        if rows is None:
            raise InputTypeError(f"a pipeline takes {self.inputs}; got {type_name(inputs)}.")
        return self.answers(rows, size, **options)

    @strict_arguments
    def predict(self, X: Any, **options: Any) -> Any:  # the names of transformers, which are scikit-learn's
        """The call."""
        return self(X, **options)

    transform = predict

    @strict_arguments
    def stream(self, inputs: Iterable, **options: Any) -> Iterator:
        """An iterable of any length -> its answers, in order, those of `pipe(iterable)`; see streaming.py.

        Reads some 1,000 inputs ahead, so that texts of like length go through the model together; memory stays bounded.
        """
        return stream(inputs, self.answered(**options))

    def answered(self, **options: Any) -> Callable[[list], Iterator[tuple[int, Any]]]:
        """Options -> a function from rows to (place, answer) of each, the InputError of a row in its answer's place."""
        if "batch_size" in options:
            raise InputError("a stream's batches are of as many tokens, not rows; leave batch_size out.")
        options = self.chosen(options)
        options.pop("batch_size", None)
        return lambda rows: in_batches(rows, self.tokenizer, lambda batch: self.answers(batch, len(batch), **options))

    def answers(self, inputs: Iterable, batch_size: int, **options: Any) -> Iterator:
        """Rows -> an answer each, reading no further than a batch ahead."""
        raise NotImplementedError

    def chosen(self, options: dict[str, Any]) -> dict[str, Any]:
        """A call's options over those of the pipeline, checked."""
        options = {**self.options, **self.read_options(options)}
        self.check(options)
        return options

    def read_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Options of a call or of the pipeline -> the same with Python's own numbers, the tokenizer's beside the others.

        InputError if a tokenizer's option is both there and in the dictionary, as `transformers` has it.
        """
        options = {
            name: plain(value)
            for name, value in without_ignored(options, self.ignored_options, PIPELINE_CALLS).items()
            if value is not None or name not in DEFAULT_IF_NONE
        }
        more = options.pop(self.tokenizer_mapping, None)
        if more is None:
            return options
        if not isinstance(more, Mapping):
            raise InputTypeError(
                f"{self.tokenizer_mapping} is a dictionary of the tokenizer's options; got {short_repr(more)}."
            )
        for name, value in without_ignored(more, PIPELINE_CALLS).items():
            if name not in TOKENIZER_OPTIONS:
                known = ", ".join(TOKENIZER_OPTIONS)
                raise InputTypeError(f"the options of {self.tokenizer_mapping} are {known}; got {short_repr(name)}.")
            if options.get(name) is not None:
                raise InputError(
                    f"an option is passed once; {name} is an option of the call and in {self.tokenizer_mapping} too. "
                    "Leave one out."
                )
            options[name] = plain(value)
        return options

    def check(self, options: Mapping[str, Any]) -> None:
        """InputError for an option that would fail later, or mean nothing."""
        known = (*self.option_names, "batch_size", *self.tokenizer_options)
        unknown = sorted(set(options) - set(known))
        if unknown:
            hint = next((f" Pass {self.former_options[name]}." for name in unknown if name in self.former_options), None)
            hint = instead(unknown, known) if hint is None else hint
            raise InputTypeError(f"the options are {', '.join(known)}; got {', '.join(unknown)}.{hint}")
        check_count("batch_size", options.get("batch_size", 1))
        if "max_length" in self.tokenizer_options and options.get("max_length") is not None:
            least = 0 if "add_special_tokens" in self.tokenizer_options else self.tokenizer.num_special_tokens_to_add()
            check_count("max_length", options["max_length"], least=least)

    def __getattr__(self, name: str) -> Any:  # called only for names that are not there
        steps = " Its steps are those of tokenizer and model: model(**tokenizer(text, return_tensors='np'))."
        raise AttributeError(f"a {type(self).__name__} has no {name!r}.{steps if name in STEPS else ''}")

    @property
    def device(self) -> Any:
        """torch.device("cpu") if torch is imported, else "cpu"."""
        return cpu_device()

    @strict_arguments
    def save_pretrained(self, save_directory: str | PathLike | None = None, **options: Any) -> None:
        """Write a folder that `pipeline(model=folder)` loads: the model and the tokenizer. The options are transformers', and
        change nothing."""
        folder = saving_folder(save_directory, options)
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    @property
    def limit(self) -> int:
        """How many tokens of a text the model can see at once."""
        return min(self.tokenizer.model_max_length, self.model.architecture.max_tokens)

    def encode(self, texts: list, pairs: list | None = None, **options: Any) -> Mapping[str, np.ndarray]:
        """Texts, or pairs of texts -> the tokenizer's arrays, padded to one length; InputError if the model takes no more."""
        if len(texts) == 1 and pairs is None and not options:  # a text alone, which nothing is to be done to
            ids = np.array([self.tokenizer.encode(texts[0], verbose=False)])
            encoded = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        else:
            options = {"return_tensors": "np", "return_attention_mask": True, "verbose": False, **padded(options)}
            if cuts(options.get("truncation")) and options.get("max_length") is None:
                options["max_length"] = self.limit
            encoded = self.tokenizer(texts, **options) if pairs is None else self.tokenizer(texts, pairs, **options)
        self.check_length(encoded["attention_mask"], options)
        return encoded

    def check_length(self, mask: np.ndarray, options: Mapping[str, Any]) -> None:
        """InputError if a row of this mask (B, T) has tokens past the model's positions."""
        longest = int(mask.any(axis=0).nonzero()[0].max(initial=-1)) + 1
        positions = self.model.architecture.max_tokens
        if longest > positions:
            long_option = options.get("max_length") is not None or "truncation" not in self.tokenizer_options
            remedy = f"Pass {self.length_option}={positions} or less." if long_option else TRUNCATION_HINT
            raise InputError(f"a sequence may have {positions} tokens, the positions this model has; got {longest}. {remedy}")

    def windows(self, texts: list, pairs: list | None = None, **options: Any) -> tuple[Any, np.ndarray]:
        """As `encode`, but a text that is too long becomes several rows; with the first and last + 1 of each text's."""
        options = {"truncation": True, **options, "return_overflowing_tokens": True, "return_offsets_mapping": True}
        encoded = self.encode(texts, pairs, return_special_tokens_mask=True, **options)
        owners = encoded["overflow_to_sample_mapping"]
        return encoded, np.searchsorted(owners, np.arange(len(texts) + 1))

    def run(self, encoded: Mapping[str, np.ndarray], batch_size: int) -> dict[str, np.ndarray]:
        """The tokenizer's arrays (R, T) -> the model's outputs, R rows each, computed `batch_size` rows at a time."""
        inputs = {name: encoded[name] for name in MODEL_INPUTS if name in encoded}
        rows = len(inputs["input_ids"])
        batch_size = min(batch_size, max(rows, 1))
        parts = [
            self.model(**{name: array[start : start + batch_size] for name, array in inputs.items()})
            for start in range(0, rows, batch_size)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def batches(rows: Iterable, size: int, read: Callable) -> Iterator[list]:
    """Lists of `size` rows, each row passed through `read`."""
    rows = iter(rows)
    while batch := list(map(read, islice(rows, min(size, sys.maxsize)))):
        yield batch


def as_list(values: Any) -> list | None:
    """Many values of an option, in whatever form `as_rows` takes -> a list of them; None for what is no such form."""
    rows = as_rows(values)
    return None if rows is None else [plain(value) for value in rows]


def plain(value: Any) -> Any:
    """NumPy's integers, truth values and strings -> Python's; anything else as it is."""
    return value.item() if isinstance(value, (np.integer, np.bool_, np.str_)) else value


def as_text(row: Any) -> str:
    if not isinstance(row, str):
        raise InputTypeError(f"each input is a text; got {type_name(row)}.")
    return row if type(row) is str else str.__str__(row)  # np.str_, which would stay in the answer


def check_room(pipe: Pipeline, fixed: list[str], length: int, what: str) -> None:
    """InputError if one of the texts that are never cut leaves its partner no token of `length`, in this pipeline's terms."""
    special = pipe.tokenizer.num_special_tokens_to_add(pair=True)
    longest = max(len(pipe.tokenizer.tokenize(text)) for text in fixed)
    if length <= special + longest:
        raise InputError(
            f"{pipe.length_option} must leave room for a text beside {special} special tokens and a {what} of {longest}; "
            f"got {length}. Make it shorter, or {pipe.length_option} larger."
        )


def check_model(pipeline_class: type[Pipeline], model: Any) -> None:
    """InputTypeError for an object that is no model, or one whose head is for something else."""
    classes = tuple(pipeline_class.auto_class().classes().values())
    if isinstance(model, classes):
        return
    names = ", ".join(known.__name__ for known in classes)
    raise InputTypeError(
        f"{pipeline_class.task} wants a model's name, or one of class {names}; got {of_another_library(model)}"
    )


def of_another_library(value: Any) -> str:
    """The end of a message about a model or a tokenizer that is none of minibert's."""
    name = type_name(value)
    return f"{name}, of another library. Pass the name or the folder that it was loaded from." if "." in name else f"{name}."


def check_count(name: str, value: Any, also: str = "", least: int = 1) -> None:
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
        raise InputError(f"{name} must be a whole number, {least} or more{also}; got {short_repr(value)}.")


def check_labels(config: Any, logits: np.ndarray) -> None:
    """InputError if labels were set that are fewer than the columns of the logits (..., labels)."""
    if logits.shape[-1] > config.num_labels:
        raise InputError(
            f"config.id2label must name the model's {logits.shape[-1]} labels; got {short_repr(config.id2label)}. Set all of them."
        )


def check_flag(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise InputError(f"{name} must be True or False; got {short_repr(value)}.")


def check_choice(name: str, value: Any, choices: Iterable[str]) -> None:
    if not isinstance(value, str) or value.lower() not in choices:
        raise InputError(f"{name} is one of {', '.join(choices)}; got {short_repr(value)}.")
