"""What every task shares: the forms of a call, its options, batches, and long texts in windows.

A task's class says which options it has, and turns rows into answers (`answers`), one for each row, in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np

from ..errors import InputError, InputTypeError
from .streaming import in_batches, stream

BATCH = 32  # rows at once for a list: past that, larger products gain little and take more memory
TOKENIZER_OPTIONS = ("truncation", "max_length", "padding", "padding_side", "pad_to_multiple_of", "add_special_tokens")


class Pipeline:
    """`pipe(text)` gives an answer, `pipe([text, ...])` a list, `pipe(generator)` an iterator that reads as it is asked.

    `batch_size` rows go through the model at once. `pipe.stream(iterable)` chooses the batches itself, and is the
    quicker way for many texts. Options given to the pipeline are its calls' defaults.
    """

    task: str
    option_names: tuple[str, ...] = ()
    tokenizer_options: tuple[str, ...] = TOKENIZER_OPTIONS
    inputs = "a text, a list or an iterable of them"  # what a call takes, for an error's message

    def __init__(self, model, tokenizer, **options: Any):
        self.model = model
        self.tokenizer = tokenizer
        self.options = options
        self.check(options)

    def __call__(self, inputs, **options: Any):
        options = {**self.options, **options}
        self.check(options)
        size = options.pop("batch_size", BATCH if isinstance(inputs, list) else 1)
        if isinstance(inputs, (str, Mapping, tuple)):
            (answer,) = self.answers([inputs], size, **options)
            return self.of_one(inputs, answer)
        if isinstance(inputs, list):
            return list(self.answers(inputs, size, **options))
        if isinstance(inputs, Iterable) and not isinstance(inputs, (bytes, bytearray)):
            return self.answers(inputs, size, **options)
        raise InputTypeError(f"a pipeline takes {self.inputs}; got {type(inputs).__name__}.")

    def stream(self, inputs: Iterable, **options: Any) -> Iterator:
        """An iterable of any length -> its answers, in order, those of `pipe(iterable)`; see streaming.py.

        Reads some 1,000 inputs ahead, so that texts of like length go through the model together; memory stays bounded.
        """
        return stream(inputs, self.answered(**options))

    def answered(self, **options: Any) -> Callable[[list], Iterator[tuple[int, Any]]]:
        """Options -> a function from rows to (place, answer) of each, the InputError of a row in its answer's place."""
        if "batch_size" in options:
            raise InputError("a stream's batches are of as many tokens, not rows; leave batch_size out.")
        options = {**self.options, **options}
        self.check(options)
        options.pop("batch_size", None)
        return lambda rows: in_batches(rows, self.tokenizer, lambda batch: self.answers(batch, len(batch), **options))

    def answers(self, inputs: Iterable, batch_size: int, **options: Any) -> Iterator:
        """Rows -> an answer each, reading no further than a batch ahead."""
        raise NotImplementedError

    def of_one(self, inputs, answer):
        """What a call with one row returns, of the row's answer."""
        return answer

    def check(self, options: Mapping[str, Any]) -> None:
        """InputError for an option that would fail later, or mean nothing."""
        known = (*self.option_names, "batch_size", *self.tokenizer_options)
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise InputError(f"the options are {', '.join(known)}; got {', '.join(unknown)}.")
        check_count("batch_size", options.get("batch_size", 1))

    def encode(self, texts: list, pairs: list | None = None, **options: Any):
        """Texts, or pairs of texts -> the tokenizer's arrays, padded to one length."""
        options = {"padding": True, "return_tensors": "np", "verbose": False, **options}
        return self.tokenizer(texts, **options) if pairs is None else self.tokenizer(texts, pairs, **options)

    def windows(self, texts: list, pairs: list | None = None, **options: Any):
        """As `encode`, but a text that is too long becomes several rows; with the first and last + 1 of each text's."""
        options = {"truncation": True, **options, "return_overflowing_tokens": True, "return_offsets_mapping": True}
        encoded = self.encode(texts, pairs, return_special_tokens_mask=True, **options)
        owners = encoded["overflow_to_sample_mapping"]
        return encoded, np.searchsorted(owners, np.arange(len(texts) + 1))

    def run(self, encoded: Mapping[str, np.ndarray], batch_size: int) -> dict[str, np.ndarray]:
        """The tokenizer's arrays (R, T) -> the model's outputs, R rows each, computed `batch_size` rows at a time."""
        inputs = {name: encoded[name] for name in self.tokenizer.model_input_names}
        rows = len(inputs["input_ids"])
        parts = [
            self.model(**{name: array[start : start + batch_size] for name, array in inputs.items()})
            for start in range(0, rows, batch_size)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def batches(rows: Iterable, size: int, read: Callable) -> Iterator[list]:
    """Lists of `size` rows, each row passed through `read`."""
    rows = iter(rows)
    while batch := [read(row) for row in islice(rows, size)]:
        yield batch


def as_text(row) -> str:
    if not isinstance(row, str):
        raise InputTypeError(f"each input is a text; got {type(row).__name__}.")
    return row


def check_count(name: str, value, also: str = "", least: int = 1) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InputError(f"{name} must be a whole number, {least} or more{also}; got {value!r}.")


def check_flag(name: str, value) -> None:
    if not isinstance(value, bool):
        raise InputError(f"{name} must be True or False; got {value!r}.")


def check_choice(name: str, value, choices: Iterable[str]) -> None:
    if not isinstance(value, str) or value.lower() not in choices:
        raise InputError(f"{name} is one of {', '.join(choices)}; got {value!r}.")
