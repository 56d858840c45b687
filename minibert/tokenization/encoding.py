"""The rows that a call returns: the ids of a text or of one window of it, and everything that belongs to each id.

    ids             [101,   4931, 1010,  2017, 102,   0    ]
    tokens          [[CLS], hey,  ",",   you,  [SEP], [PAD]]
    offsets         [(0,0), (0,3), (3,4), (5,8), (0,0), (0,0)]
    word_ids        [None,  0,    1,     2,    None,  None ]
    sequence_ids    [None,  0,    0,     0,    None,  None ]

An Encoding holds its sequences and their positions in the template. Each column is computed when it is first read.
`pad` pads rows of ids that were tokenized before.
Read next: tokenizer.py.
"""

from collections.abc import Mapping
from typing import NamedTuple

from minibert.errors import InputError, InputTypeError, as_int, is_bool, read_flag, short_repr
from minibert.tensors import holds_tensors

from .batch_encoding import BatchEncoding, read_tensor_type
from .call_arguments import as_list, padded_length, resolve

COLUMNS = ("ids", "type_ids", "tokens", "offsets", "word_ids", "sequence_ids", "special_tokens_mask", "attention_mask")


class column:
    """A property that is computed once. (functools.cached_property takes a lock, 3 µs each time, before Python 3.12.)"""

    def __init__(self, compute):
        self.compute, self.__doc__ = compute, compute.__doc__

    def __get__(self, instance, owner):
        value = instance.__dict__[self.compute.__name__] = self.compute(instance)
        return value


class Sequence:
    """A text, or a list of words, and its columns: one value per token."""

    def __init__(self, pipeline, text):
        self.pipeline, self.text = pipeline, text

    @column
    def ids(self):
        if isinstance(self.text, str):
            return self.pipeline.ids(self.text)
        return [token_id for word in self.text for token_id in self.pipeline.ids(word)]

    @column
    def tokens(self):
        if isinstance(self.text, str):
            return self.pipeline.tokens(self.text)
        return [token for word in self.text for token in self.pipeline.tokens(word)]

    @column
    def offsets(self):
        """(start, end) in the text; in a list of words, (start, end) in the word."""
        self.locate()
        return self.offsets

    @column
    def word_ids(self):
        self.locate()
        return self.word_ids

    @property
    def trims_window_starts(self):
        """Whether the first token of a window, which is not that of the text, has other offsets there."""
        return bool(self.pipeline.trimmer and self.pipeline.trimmer.add_prefix_space)

    @column
    def untrimmed(self):
        words = [self.text] if isinstance(self.text, str) else self.text
        return [piece for word in words for piece in self.pipeline.untrimmed(word)]

    def offset_at_window_start(self, token):
        """The offset of a token that begins a window."""
        return self.pipeline.trimmer.trim([self.untrimmed[token]])[0][2:4]

    def locate(self):
        """Ids, offsets and word ids in one pass."""
        if isinstance(self.text, str):
            self.ids, self.offsets, self.word_ids = self.pipeline.columns(self.text)
            return
        words = [self.pipeline.columns(word) for word in self.text]
        self.ids = [token_id for ids, _, _ in words for token_id in ids]
        self.offsets = [span for _, spans, _ in words for span in spans]
        self.word_ids = [index for index, (ids, _, _) in enumerate(words) for _ in ids]


class Padding(NamedTuple):
    """Stage 5: the values that pad a row, and the side on which they go."""

    side: str
    id: int
    token: str
    type_id: int = 0


class Encoding:
    """One row. Columns and look-ups are named as in the `tokenizers` library; a look-up that finds nothing returns None."""

    def __init__(self, sequences, windows, parts, overflowing=()):
        self.overflowing = list(overflowing)
        self._sequences, self._pad_count = sequences, 0
        self._padding: Padding | None = None
        self._slices = []  # (part of the template, the Sequence or part that has its columns, start, stop)
        for part in parts:
            if part.sequence is None:
                self._slices.append((part, part, 0, len(part.ids)))
            else:
                self._slices.append((part, sequences[part.sequence], *windows[part.sequence]))

    def pad(self, length, padding):
        """Pad to `length`, the overflow too; a longer row stays as it is."""
        for encoding in (self, *self.overflowing):
            encoding._padding, encoding._pad_count = padding, max(0, length - len(encoding) + encoding._pad_count)
            for name in COLUMNS:
                encoding.__dict__.pop(name, None)

    def _per_token(self, name, pad):
        """A column with one value per token, from the sequences and the template's special tokens."""
        row = []
        for _, source, start, stop in self._slices:
            row += getattr(source, name)[start:stop]
        return self._pad(row, pad)

    def _per_part(self, name, pad):
        """A column with one value per part of the template."""
        row = []
        for part, _, start, stop in self._slices:
            row += [getattr(part, name)] * (stop - start)
        return self._pad(row, pad)

    def _pad(self, row, pad):
        """`pad` is a value, or the name of a field of Padding."""
        if self._padding is None or not self._pad_count:
            return row
        values = [getattr(self._padding, pad) if isinstance(pad, str) else pad] * self._pad_count
        return values + row if self._padding.side == "left" else row + values

    @column
    def ids(self):
        return self._per_token("ids", "id")

    @column
    def tokens(self):
        return self._per_token("tokens", "token")

    @column
    def offsets(self):
        row = []
        for _, source, start, stop in self._slices:
            spans = source.offsets[start:stop]
            if start and spans and source.trims_window_starts:
                spans[0] = source.offset_at_window_start(start)
            row += spans
        return self._pad(row, (0, 0))

    @column
    def word_ids(self):
        return self._per_token("word_ids", None)

    @column
    def type_ids(self):
        return self._per_part("type_id", "type_id")

    @column
    def sequence_ids(self):
        return self._per_part("sequence", None)

    @column
    def special_tokens_mask(self):
        return self._per_part("is_special", 1)

    @column
    def attention_mask(self):
        return self._pad([1] * (len(self) - self._pad_count), 0)

    @property
    def n_sequences(self):
        return len(self._sequences)

    def __len__(self):
        return len(self.ids)

    def __repr__(self):
        return f"Encoding(num_tokens={len(self)}, tokens={self.tokens})"

    # --- from tokens to words and characters, and back ---

    def _range(self, sequence):
        """The tokens of a sequence, (first, last + 1); all tokens if there is no such sequence."""
        tokens = [token for token, sequence_id in enumerate(self.sequence_ids) if sequence_id == sequence]
        if tokens:
            return tokens[0], tokens[-1] + 1
        return (0, 0) if 0 <= sequence < self.n_sequences else (0, len(self))

    def token_to_sequence(self, token):
        return self.sequence_ids[token] if token < len(self) else None

    def token_to_word(self, token):
        return self.word_ids[token] if token < len(self) else None

    def token_to_chars(self, token):
        return self.offsets[token] if self.token_to_sequence(token) is not None else None

    def word_to_tokens(self, word, sequence=0):
        first, last = self._range(sequence)
        tokens = [token for token in range(first, last) if self.word_ids[token] == word]
        return (tokens[0], tokens[-1] + 1) if tokens else None

    def word_to_chars(self, word, sequence=0):
        span = self.word_to_tokens(word, sequence)
        return (self.offsets[span[0]][0], self.offsets[span[1] - 1][1]) if span else None

    def char_to_token(self, char, sequence=0):
        first, last = self._range(sequence)
        for token, (start, end) in enumerate(self.offsets[first:last], first):
            if start <= char < end:
                return token
        return None

    def char_to_word(self, char, sequence=0):
        token = self.char_to_token(char, sequence)
        return None if token is None else self.token_to_word(token)


# --- rows that were tokenized before ---

PADDED_COLUMNS = {"input_ids", "token_type_ids", "attention_mask", "special_tokens_mask"}


def pad(tokenizer, encoded_inputs, return_attention_mask, return_tensors, verbose, **options):
    """As `PreTrainedTokenizerBase.pad`; options as of `resolve`."""
    return_tensors = read_tensor_type(return_tensors)
    encoded_inputs = _columns(encoded_inputs)
    if return_tensors is None:
        return_tensors = _tensor_type_of(encoded_inputs["input_ids"])
    data = {name: _to_list(value, name) for name, value in encoded_inputs.items()}
    request = resolve(tokenizer, truncation=False, verbose=read_flag("verbose", verbose), **options)
    data["input_ids"] = as_list(data["input_ids"], "input_ids")
    is_one_row = bool(data["input_ids"]) and not isinstance(data["input_ids"][0], (list, tuple))
    if is_one_row:
        data = {name: [value] for name, value in data.items()}
    _check_rows(data)
    if tokenizer._returns("attention_mask", return_attention_mask):
        data.setdefault("attention_mask", [[1] * len(row) for row in data["input_ids"]])
    if request.padding:
        _pad_rows(tokenizer, data, request)
    return BatchEncoding({name: value[0] for name, value in data.items()} if is_one_row else data, None, return_tensors)


def _tensor_type_of(rows):
    """The type of tensors in which ids came: "pt", "np", or None for lists."""
    if holds_tensors(rows):
        return "pt"
    first = rows[0] if isinstance(rows, (list, tuple)) and rows else rows
    return "np" if hasattr(first, "tolist") and not isinstance(first, type) else None


def _columns(encoded_inputs):
    """A dictionary of columns, or a list of dictionaries of one row each -> a dictionary of columns."""
    if isinstance(encoded_inputs, (list, tuple)):
        if not all(hasattr(row, "keys") for row in encoded_inputs):
            raise InputError("pad takes a dictionary, or a list of dictionaries as tokenizer(text) returns; got others.")
        names = list(encoded_inputs[0]) if encoded_inputs else ["input_ids"]
        missing = next((name for row in encoded_inputs for name in names if name not in row), None)
        if missing is not None:
            raise InputError(f"the dictionaries to be padded must have the keys of the first; one lacks {short_repr(missing)}.")
        encoded_inputs = {name: [row[name] for row in encoded_inputs] for name in names}
    if not isinstance(encoded_inputs, Mapping):
        raise InputTypeError(f"pad takes a dictionary, or a list of them; got {type(encoded_inputs).__name__}.")
    if "input_ids" not in encoded_inputs:
        raise InputError(f"encoded_inputs must have 'input_ids'; got {', '.join(map(str, encoded_inputs))}.")
    return encoded_inputs


def _check_rows(data):
    """Each padded column must hold rows of integers, as many and as long as those of input_ids."""
    for name in PADDED_COLUMNS & data.keys():
        rows = data[name]
        if not isinstance(rows, (list, tuple)) or not all(isinstance(row, (list, tuple)) for row in rows):
            raise InputTypeError(f"{name} must be rows of integers, or one row; got {short_repr(rows)}.")
        if len(rows) != len(data["input_ids"]) or any(len(row) != len(ids) for row, ids in zip(rows, data["input_ids"])):
            raise InputError(f"{name} must have rows as long as those of input_ids; they are not.")
        if not all(type(value) is int or is_bool(value) or as_int(value) is not None for row in rows for value in row):
            raise InputTypeError(f"{name} must be rows of integers; got {short_repr(rows)}.")


def _pad_rows(tokenizer, data, request):
    length = padded_length(map(len, data["input_ids"]), request)
    pad_values = {"input_ids": tokenizer.pad_token_id, "token_type_ids": 0, "attention_mask": 0, "special_tokens_mask": 1}
    for name in pad_values.keys() & data.keys():
        rows = [(list(row), [pad_values[name]] * (length - len(row))) for row in data[name]]
        data[name] = [pads + row if request.padding_side == "left" else row + pads for row, pads in rows]


def _to_list(value, name):
    """An array, or a list of arrays, as lists."""
    if hasattr(value, "tolist") and not isinstance(value, type):
        return as_list(value, name)
    if isinstance(value, (list, tuple)):
        return [_to_list(item, name) if hasattr(item, "tolist") else item for item in value]
    return value
