"""The result of a tokenizer: a dictionary of model inputs that knows which part of the text each token came from.

Ways to use one:

    batch["input_ids"]  batch.input_ids  batch[0]  **batch  batch.word_ids(0)  batch.char_to_token(0, 5)
"""

from collections import UserDict
from collections.abc import Mapping
from typing import NamedTuple

from minibert.errors import InputError, InputTypeError, as_int, read_flag, read_int, short_repr, strict_arguments
from minibert.tensors import as_array, check_device, holds_tensors, is_torch_tensor, to_torch

TENSOR_TYPES = ("np", "pt")


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

    The look-ups take (row, index), or the index alone for row 0. They return None if there is nothing, as for [CLS].
    """

    @strict_arguments
    def __init__(self, data=None, encodings=None, tensor_type=None, prepend_batch_axis=False):
        if data is not None and type(data) is not dict and not isinstance(data, Mapping):
            raise InputTypeError(f"data must be a dictionary; got {type(data).__name__}: {short_repr(data)}.")
        if type(encodings) is not list and encodings is not None:
            raise InputTypeError(f"encodings must be a list, as a tokenizer returns it; got {type(encodings).__name__}.")
        self.data = dict(data or {})  # UserDict.__init__ takes 4 µs
        self._encodings = encodings
        if tensor_type is not None:
            self.convert_to_tensors(tensor_type, prepend_batch_axis)

    def __getitem__(self, key):
        if isinstance(key, str):
            return self.data[key]
        if as_int(key) is not None or (isinstance(key, slice) and self._encodings is not None):
            return self._require_encodings()[key]
        if isinstance(key, slice):
            return {name: value[key] for name, value in self.data.items()}
        raise KeyError(f"a key must be a name, a row or a slice; got {short_repr(key)}. The names: {self._names()}.")

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

    @strict_arguments
    def convert_to_tensors(self, tensor_type=None, prepend_batch_axis=False):
        """Convert the lists, in place: "np" to NumPy arrays, "pt" to torch tensors. prepend_batch_axis: (T,) -> (1, T)."""
        tensor_type = read_tensor_type(tensor_type)
        prepends = read_flag("prepend_batch_axis", prepend_batch_axis)
        if tensor_type is not None:
            for name, value in self.data.items():
                self.data[name] = to_tensor(name, [value] if prepends else value, tensor_type)
        return self

    @strict_arguments
    def to(self, device, *, non_blocking=False):
        """The batch itself: `device` must be the CPU, where its arrays are. `non_blocking` has no effect."""
        check_device(device)
        read_flag("non_blocking", non_blocking)
        return self

    @property
    def encodings(self):
        """The rows as Encodings, or None if the batch was built from ids."""
        return self._encodings

    def _require_encodings(self):
        if self._encodings is None:
            raise InputError(
                "only a batch that a tokenizer returned for texts has words and characters; this one was built from ids."
                " Look it up in the result of tokenizer(text)."
            )
        return self._encodings

    @property
    def n_sequences(self):
        return self._encodings[0].n_sequences if self._encodings else None

    @property
    def is_fast(self):
        return self._encodings is not None

    @strict_arguments
    def tokens(self, row=0):
        return self._row(row).tokens

    @strict_arguments
    def word_ids(self, row=0):
        return self._row(row).word_ids

    @strict_arguments
    def sequence_ids(self, row=0):
        return self._row(row).sequence_ids

    def _row(self, row):
        """The Encoding of a row; a negative one counts from the end."""
        encodings, index = self._require_encodings(), read_int("a row", row, least=None)
        if not -len(encodings) <= index < len(encodings):
            raise InputError(f"a row must be one of the {len(encodings)} of the batch; got {short_repr(row)}.")
        return encodings[index]

    def _row_and_index(self, row_or_index, index):
        """The Encoding of a row, and the index in it; a negative index counts from the end."""
        row, position = (0, row_or_index) if index is None else (row_or_index, index)
        encoding, index = self._row(row), read_int("an index", position, least=None)
        index += len(encoding) if index < 0 else 0
        if index < 0:
            raise InputError(f"an index must be one of the {len(encoding)} of its row; got {short_repr(position)}.")
        return encoding, index

    @strict_arguments
    def token_to_sequence(self, row_or_token, token=None):
        encoding, token = self._row_and_index(row_or_token, token)
        return encoding.token_to_sequence(token)

    @strict_arguments
    def token_to_word(self, row_or_token, token=None):
        encoding, token = self._row_and_index(row_or_token, token)
        return encoding.token_to_word(token)

    @strict_arguments
    def token_to_chars(self, row_or_token, token=None):
        encoding, token = self._row_and_index(row_or_token, token)
        return _as_span(CharSpan, encoding.token_to_chars(token))

    @strict_arguments
    def word_to_tokens(self, row_or_word, word=None, sequence_index=0):
        encoding, word = self._row_and_index(row_or_word, word)
        return _as_span(TokenSpan, encoding.word_to_tokens(word, read_int("sequence_index", sequence_index)))

    @strict_arguments
    def word_to_chars(self, row_or_word, word=None, sequence_index=0):
        encoding, word = self._row_and_index(row_or_word, word)
        return _as_span(CharSpan, encoding.word_to_chars(word, read_int("sequence_index", sequence_index)))

    @strict_arguments
    def char_to_token(self, row_or_char, char=None, sequence_index=0):
        encoding, char = self._row_and_index(row_or_char, char)
        return encoding.char_to_token(char, read_int("sequence_index", sequence_index))

    @strict_arguments
    def char_to_word(self, row_or_char, char=None, sequence_index=0):
        encoding, char = self._row_and_index(row_or_char, char)
        return encoding.char_to_word(char, read_int("sequence_index", sequence_index))


def _as_span(span_type, pair):
    return None if pair is None else span_type(*pair)


def read_tensor_type(tensor_type):
    """return_tensors, also as transformers' TensorType -> "np", "pt" or None."""
    if tensor_type is None:
        return None
    name = tensor_type if isinstance(tensor_type, type) else getattr(tensor_type, "value", tensor_type)
    if not isinstance(name, str) or name not in TENSOR_TYPES:
        raise InputError(
            "return_tensors must be 'np' for NumPy arrays, 'pt' for torch tensors, or left out for lists; got"
            f" {short_repr(tensor_type)}. Use 'np'."
        )
    return name


def to_tensor(name, value, tensor_type):
    """A list of rows, an array or a tensor -> an array or a tensor: of int64, unless there are fractions in it."""
    if is_torch_tensor(value) and tensor_type == "pt":
        return value
    array = to_array(name, value)
    if tensor_type == "np":
        return array
    return to_torch(array if array is value or array.dtype != "float64" else array.astype("float32"))  # torch's default


def to_array(name, value):
    """A list of rows -> an array (B, T, ...). Rows of different lengths are an InputError."""
    import numpy as np

    if isinstance(value, np.ndarray):
        return value
    if holds_tensors(value):
        return as_array(value, name)
    rows = value if isinstance(value, (list, tuple)) else ()
    if rows and isinstance(rows[0], (list, tuple)):
        lengths = {len(row) for row in rows if isinstance(row, (list, tuple))}
        if len(lengths) > 1:
            raise InputError(
                f"the rows of an array must have the same length; those of {name!r} have {min(lengths)} to {max(lengths)}."
                " Pass padding=True, and truncation=True if texts may be too long."
            )
    if isinstance(value, (list, tuple)) and not value:
        return np.zeros((0, 0), np.int64)
    try:
        array = np.asarray(value)
        if array.size and array.dtype.kind == "f":
            return array
        return array.astype(np.int64, casting="safe" if array.size else "unsafe", copy=False)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise InputTypeError(f"{name!r} must hold numbers to be an array; got {short_repr(value)}: {error}") from None
