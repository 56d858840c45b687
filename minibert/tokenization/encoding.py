"""What one text, or one window of it, became: ids and, where asked for, all that belongs to each of them.

    ids             [101,   4931, 1010,  2017, 102,   0    ]
    tokens          [[CLS], hey,  ",",   you,  [SEP], [PAD]]
    offsets         [(0,0), (0,3), (3,4), (5,8), (0,0), (0,0)]
    word_ids        [None,  0,    1,     2,    None,  None ]
    sequence_ids    [None,  0,    0,     0,    None,  None ]

An Encoding knows its sequences and where the template puts them; each column is made when it is first looked at.
Read next: tokenizer.py.
"""

from typing import NamedTuple

COLUMNS = ("ids", "type_ids", "tokens", "offsets", "word_ids", "sequence_ids", "special_tokens_mask", "attention_mask")


class column:
    """A property made once. (functools.cached_property takes a lock, 3 µs a time, before Python 3.12.)"""

    def __init__(self, make):
        self.make, self.__doc__ = make, make.__doc__

    def __get__(self, owner, kind):
        value = owner.__dict__[self.make.__name__] = self.make(owner)
        return value


class Sequence:
    """A text, or a list of words, and its columns: one value for each piece."""

    def __init__(self, pipeline, text):
        self.pipeline, self.text = pipeline, text

    @column
    def ids(self):
        if isinstance(self.text, str):
            return self.pipeline.ids(self.text)
        return [number for word in self.text for number in self.pipeline.ids(word)]

    @column
    def tokens(self):
        if isinstance(self.text, str):
            return self.pipeline.tokens(self.text)
        return [token for word in self.text for token in self.pipeline.tokens(word)]

    @column
    def offsets(self):
        """Places in the text; in a list of words, places in the word."""
        self.locate()
        return self.offsets

    @column
    def word_ids(self):
        self.locate()
        return self.word_ids

    def locate(self):
        """Ids, offsets and word ids in one pass."""
        if isinstance(self.text, str):
            self.ids, self.offsets, self.word_ids = self.pipeline.columns(self.text)
            return
        each = [self.pipeline.columns(word) for word in self.text]
        self.ids = [number for ids, _, _ in each for number in ids]
        self.offsets = [span for _, spans, _ in each for span in spans]
        self.word_ids = [index for index, (ids, _, _) in enumerate(each) for _ in ids]


class Padding(NamedTuple):
    """Stage 5: what fills a row up to the length of its batch, and on which side."""

    side: str
    id: int
    token: str
    type_id: int = 0


class Encoding:
    """One row. Columns and look-ups are named as in the `tokenizers` library; a place that holds nothing gives None."""

    def __init__(self, sequences, windows, parts, overflowing=()):
        self.overflowing = list(overflowing)
        self._sequences, self._padding, self._pads = sequences, None, 0
        self._places = []  # (part of the template, what has its columns, from, to)
        for part in parts:
            if part.sequence is None:
                self._places.append((part, part, 0, len(part.ids)))
            else:
                self._places.append((part, sequences[part.sequence], *windows[part.sequence]))

    def pad(self, length, padding):
        """Fill up to `length`, the overflow too; a row that is longer stays as it is."""
        for encoding in (self, *self.overflowing):
            encoding._padding, encoding._pads = padding, max(0, length - len(encoding) + encoding._pads)
            for name in COLUMNS:
                encoding.__dict__.pop(name, None)

    def _each(self, name, pad):
        """A column with a value for each token, which the template's special tokens and the sequences have."""
        row = []
        for _, source, start, stop in self._places:
            row += getattr(source, name)[start:stop]
        return self._fill(row, pad)

    def _same(self, name, pad):
        """A column in which all tokens of a part have one value."""
        row = []
        for part, _, start, stop in self._places:
            row += [getattr(part, name)] * (stop - start)
        return self._fill(row, pad)

    def _fill(self, row, pad):
        """`pad` is a value, or the name of one that the padding has."""
        if not self._pads:
            return row
        filling = [getattr(self._padding, pad) if isinstance(pad, str) else pad] * self._pads
        return filling + row if self._padding.side == "left" else row + filling

    @column
    def ids(self):
        return self._each("ids", "id")

    @column
    def tokens(self):
        return self._each("tokens", "token")

    @column
    def offsets(self):
        return self._each("offsets", (0, 0))

    @column
    def word_ids(self):
        return self._each("word_ids", None)

    @column
    def type_ids(self):
        return self._same("type_id", "type_id")

    @column
    def sequence_ids(self):
        return self._same("sequence", None)

    @column
    def special_tokens_mask(self):
        return self._same("is_special", 1)

    @column
    def attention_mask(self):
        return self._fill([1] * (len(self) - self._pads), 0)

    @property
    def n_sequences(self):
        return len(self._sequences)

    def __len__(self):
        return len(self.ids)

    def __repr__(self):
        return f"Encoding(num_tokens={len(self)}, tokens={self.tokens})"

    # --- from tokens to words and characters, and back ---

    def _range(self, sequence):
        """The rows of a sequence: (first, last + 1); of one that is not there, all rows."""
        rows = [row for row, owner in enumerate(self.sequence_ids) if owner == sequence]
        if rows:
            return rows[0], rows[-1] + 1
        return (0, 0) if 0 <= sequence < self.n_sequences else (0, len(self))

    def token_to_sequence(self, token):
        return self.sequence_ids[token] if token < len(self) else None

    def token_to_word(self, token):
        return self.word_ids[token] if token < len(self) else None

    def token_to_chars(self, token):
        return self.offsets[token] if self.token_to_sequence(token) is not None else None

    def word_to_tokens(self, word, sequence=0):
        first, last = self._range(sequence)
        rows = [row for row in range(first, last) if self.word_ids[row] == word]
        return (rows[0], rows[-1] + 1) if rows else None

    def word_to_chars(self, word, sequence=0):
        span = self.word_to_tokens(word, sequence)
        return (self.offsets[span[0]][0], self.offsets[span[1] - 1][1]) if span else None

    def char_to_token(self, char, sequence=0):
        first, last = self._range(sequence)
        for row, (start, end) in enumerate(self.offsets[first:last], first):
            if start <= char < end:
                return row
        return None

    def char_to_word(self, char, sequence=0):
        token = self.char_to_token(char, sequence)
        return None if token is None else self.token_to_word(token)
