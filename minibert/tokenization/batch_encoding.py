"""What a tokenizer returns: a dictionary of model inputs that still knows which text each token came from.

    batch["input_ids"]  batch.input_ids  batch[0]  **batch  batch.word_ids(0)  batch.char_to_token(0, 5)
"""

from collections import UserDict
from typing import NamedTuple

from minibert.errors import InputError


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

    def __init__(self, data=None, encodings=None, tensor_type=None):
        self.data = dict(data or {})  # UserDict's own way of copying takes 4 µs
        self._encodings = encodings
        if tensor_type is not None:
            self.convert_to_tensors(tensor_type)

    def __getitem__(self, key):
        if isinstance(key, str):
            return self.data[key]
        if isinstance(key, int) or (isinstance(key, slice) and self._encodings is not None):
            return self.encodings_or_refuse()[key]
        if isinstance(key, slice):
            return {name: value[key] for name, value in self.data.items()}
        raise KeyError(f"a key must be a name, a row or a slice; got {key!r}. The names: {', '.join(self.data)}.")

    def __getattr__(self, name):
        if name == "data" or name.startswith("__") or name not in self.data:
            raise AttributeError(f"a BatchEncoding has no {name!r}; it holds {', '.join(self.__dict__.get('data', ()))}")
        return self.data[name]

    def keys(self):
        return self.data.keys()

    def values(self):
        return self.data.values()

    def items(self):
        return self.data.items()

    def convert_to_tensors(self, tensor_type="np"):
        """Make NumPy arrays of the lists, in place."""
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

    def tokens(self, row=0):
        return self.encodings_or_refuse()[row].tokens

    def word_ids(self, row=0):
        return self.encodings_or_refuse()[row].word_ids

    def sequence_ids(self, row=0):
        return self.encodings_or_refuse()[row].sequence_ids

    def _at(self, row_or_place, place):
        """The Encoding meant, and the place in it; a negative place counts from the end."""
        row, place = (0, row_or_place) if place is None else (row_or_place, place)
        encoding = self.encodings_or_refuse()[row]
        return encoding, place + len(encoding) if place < 0 else place

    def token_to_sequence(self, row_or_token, token=None):
        encoding, token = self._at(row_or_token, token)
        return encoding.token_to_sequence(token)

    def token_to_word(self, row_or_token, token=None):
        encoding, token = self._at(row_or_token, token)
        return encoding.token_to_word(token)

    def token_to_chars(self, row_or_token, token=None):
        encoding, token = self._at(row_or_token, token)
        return _span(CharSpan, encoding.token_to_chars(token))

    def word_to_tokens(self, row_or_word, word=None, sequence_index=0):
        encoding, word = self._at(row_or_word, word)
        return _span(TokenSpan, encoding.word_to_tokens(word, sequence_index))

    def word_to_chars(self, row_or_word, word=None, sequence_index=0):
        encoding, word = self._at(row_or_word, word)
        return _span(CharSpan, encoding.word_to_chars(word, sequence_index))

    def char_to_token(self, row_or_char, char=None, sequence_index=0):
        encoding, char = self._at(row_or_char, char)
        return encoding.char_to_token(char, sequence_index)

    def char_to_word(self, row_or_char, char=None, sequence_index=0):
        encoding, char = self._at(row_or_char, char)
        return encoding.char_to_word(char, sequence_index)


def _span(kind, pair):
    return None if pair is None else kind(*pair)


def check_tensor_type(tensor_type):
    if tensor_type not in (None, "np"):
        raise InputError(
            f"return_tensors must be 'np' or left out: minibert works on NumPy arrays; got {tensor_type!r}. Use 'np'."
        )


def to_array(name, value):
    """A list of rows -> an int64 array (B, T, ...); rows of different lengths are refused."""
    import numpy as np

    if isinstance(value, np.ndarray):
        return value
    if value and isinstance(value[0], (list, tuple)):
        lengths = {len(row) for row in value}
        if len(lengths) > 1:
            raise InputError(
                f"the rows of an array must be of one length; those of {name!r} have {min(lengths)} to {max(lengths)}."
                " Pass padding=True, and truncation=True where texts may be too long."
            )
    shape = (0, 0) if not value else None
    return np.asarray(value, dtype=np.int64) if shape is None else np.zeros(shape, dtype=np.int64)
