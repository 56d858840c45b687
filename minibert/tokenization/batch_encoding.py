"""What a tokenizer returns: a dictionary of model inputs that still knows which text each token came from.

    batch["input_ids"]  batch.input_ids  batch[0]  **batch  batch.word_ids(0)  batch.char_to_token(0, 5)
"""

from collections import UserDict
from collections.abc import Mapping
from typing import NamedTuple

from minibert.errors import InputError, InputTypeError, brief

from .arguments import as_int, refuse_unknown, whole_number


class CharSpan(NamedTuple):
    """Characters start up to, not including, end."""

    start: int
    end: int


class TokenSpan(NamedTuple):
    """Tokens start up to, not including, end."""

    start: int
    end: int


class BatchEncoding(UserDict):
    """A dictionary of lists or arrays. An integer key gives the Encoding of that row.

    The look-ups take (row, place), or the place alone for row 0. What stands for nothing, as [CLS] does, gives None.
    """

    def __init__(self, data=None, encodings=None, tensor_type=None, **unknown):
        if unknown:
            refuse_unknown("BatchEncoding", unknown, ("data", "encodings", "tensor_type"))
        if data is not None and type(data) is not dict and not isinstance(data, Mapping):
            raise InputTypeError(f"data must be a dictionary; got {type(data).__name__}: {brief(data)}.")
        if type(encodings) is not list and encodings is not None:
            raise InputTypeError(f"encodings must be a list, as a tokenizer makes it; got {type(encodings).__name__}.")
        self.data = dict(data or {})  # UserDict's own way of copying takes 4 µs
        self._encodings = encodings
        if tensor_type is not None:
            self.convert_to_tensors(tensor_type)

    def __getitem__(self, key):
        if isinstance(key, str):
            return self.data[key]
        if as_int(key) is not None or (isinstance(key, slice) and self._encodings is not None):
            return self.encodings_or_refuse()[key]
        if isinstance(key, slice):
            return {name: value[key] for name, value in self.data.items()}
        raise KeyError(f"a key must be a name, a row or a slice; got {brief(key)}. The names: {self._names()}.")

    def __getattr__(self, name):
        if name == "data" or name.startswith("__") or name not in self.data:
            raise AttributeError(f"a BatchEncoding has no {name!r}; it holds {self._names()}")
        return self.data[name]

    def _names(self):
        return ", ".join(map(str, self.__dict__.get("data", ())))

    def keys(self):
        return self.data.keys()

    def values(self):
        return self.data.values()

    def items(self):
        return self.data.items()

    def convert_to_tensors(self, tensor_type="np", **unknown):
        """Make NumPy arrays of the lists, in place."""
        refuse_unknown("convert_to_tensors", unknown, ("tensor_type",))
        check_tensor_type(tensor_type)
        if tensor_type is not None:
            for name, value in self.data.items():
                self.data[name] = to_array(name, value)
        return self

    @property
    def encodings(self):
        """The rows as Encodings, or None where the batch was made of ids."""
        return self._encodings

    def encodings_or_refuse(self):
        if self._encodings is None:
            raise InputError(
                "only a batch that a tokenizer made of text knows its words and characters; this one was made of ids."
                " Look it up in what tokenizer(text) returned."
            )
        return self._encodings

    @property
    def n_sequences(self):
        return self._encodings[0].n_sequences if self._encodings else None

    @property
    def is_fast(self):
        return self._encodings is not None

    def tokens(self, row=0, **unknown):
        return self._row(row, unknown).tokens

    def word_ids(self, row=0, **unknown):
        return self._row(row, unknown).word_ids

    def sequence_ids(self, row=0, **unknown):
        return self._row(row, unknown).sequence_ids

    def _row(self, row, unknown=None):
        """The Encoding of a row; a negative one counts from the end."""
        refuse_unknown("this look-up", unknown, ("row",))
        encodings, index = self.encodings_or_refuse(), whole_number("a row", row, least=None)
        if not -len(encodings) <= index < len(encodings):
            raise InputError(f"a row must be one of the {len(encodings)} of the batch; got {brief(row)}.")
        return encodings[index]

    def _at(self, row_or_place, place, unknown):
        """The Encoding meant, and the place in it; a negative place counts from the end."""
        refuse_unknown("this look-up", unknown, ("a row and a place, or a place in row 0",))
        row, place = (0, row_or_place) if place is None else (row_or_place, place)
        encoding, index = self._row(row), whole_number("a place", place, least=None)
        index += len(encoding) if index < 0 else 0
        if index < 0:
            raise InputError(f"a place must be one of the {len(encoding)} of its row; got {brief(place)}.")
        return encoding, index

    def token_to_sequence(self, row_or_token, token=None, **unknown):
        encoding, token = self._at(row_or_token, token, unknown)
        return encoding.token_to_sequence(token)

    def token_to_word(self, row_or_token, token=None, **unknown):
        encoding, token = self._at(row_or_token, token, unknown)
        return encoding.token_to_word(token)

    def token_to_chars(self, row_or_token, token=None, **unknown):
        encoding, token = self._at(row_or_token, token, unknown)
        return _span(CharSpan, encoding.token_to_chars(token))

    def word_to_tokens(self, row_or_word, word=None, sequence_index=0, **unknown):
        encoding, word = self._at(row_or_word, word, unknown)
        return _span(TokenSpan, encoding.word_to_tokens(word, whole_number("sequence_index", sequence_index)))

    def word_to_chars(self, row_or_word, word=None, sequence_index=0, **unknown):
        encoding, word = self._at(row_or_word, word, unknown)
        return _span(CharSpan, encoding.word_to_chars(word, whole_number("sequence_index", sequence_index)))

    def char_to_token(self, row_or_char, char=None, sequence_index=0, **unknown):
        encoding, char = self._at(row_or_char, char, unknown)
        return encoding.char_to_token(char, whole_number("sequence_index", sequence_index))

    def char_to_word(self, row_or_char, char=None, sequence_index=0, **unknown):
        encoding, char = self._at(row_or_char, char, unknown)
        return encoding.char_to_word(char, whole_number("sequence_index", sequence_index))


def _span(kind, pair):
    return None if pair is None else kind(*pair)


def check_tensor_type(tensor_type):
    if tensor_type is not None and (not isinstance(tensor_type, str) or tensor_type != "np"):
        raise InputError(
            "return_tensors must be 'np' or left out: minibert works on NumPy arrays; got"
            f" {brief(tensor_type)}. Use 'np'."
        )


def to_array(name, value):
    """A list of rows -> an int64 array (B, T, ...); rows of different lengths are refused."""
    import numpy as np

    if isinstance(value, np.ndarray):
        return value
    rows = value if isinstance(value, (list, tuple)) else ()
    if rows and isinstance(rows[0], (list, tuple)):
        lengths = {len(row) for row in rows if isinstance(row, (list, tuple))}
        if len(lengths) > 1:
            raise InputError(
                f"the rows of an array must be of one length; those of {name!r} have {min(lengths)} to {max(lengths)}."
                " Pass padding=True, and truncation=True where texts may be too long."
            )
    if isinstance(value, (list, tuple)) and not value:
        return np.zeros((0, 0), np.int64)
    try:
        return np.asarray(value, dtype=np.int64)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise InputTypeError(f"{name!r} must hold integers to be an array; got {brief(value)}: {error}") from None
