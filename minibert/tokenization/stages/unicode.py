"""The properties of characters that tokenizers need, the same under every Python.

Python's own `unicodedata` differs from version to version, and the reference tokenizer mixes three Unicode versions
(categories of 8.0, decompositions of 9.0, lower case of 17). So unicode.bin, 11 kB, has the tables:

    removed       controls, format characters, private use: dropped by the normalizer
    white_space   the 25 characters that separate words
    punctuation   the characters that are words of their own
    accents       non-spacing marks: dropped when accents are stripped
    marks         all marks: dropped by a tokenizer.json's StripAccents (the file stores those that are not accents)
    word          the reference's regular-expression class for letters, digits and marks: see added_tokens.py
    letters       \\p{L} in the reference's regular expressions: see byte_level.py
    numbers       \\p{N}
    lower         capital -> small letter: {0x41: "a", ...}
    decomposed    composed character -> its parts: {0xE9: "e\u0301", ...}; Hangul is computed
    combining     mark -> rank of its combining class; marks in a row are sorted by it

`python tests/support/make_unicode_table.py` writes it, by probing the reference with every character.
Read next: normalizer.py.
"""

import bisect
import functools
import json
import zlib
from itertools import chain
from pathlib import Path
from typing import NamedTuple

TABLE = Path(__file__).with_name("unicode.bin")


class CodeSet:
    """A set of code points, stored as the bounds of its runs: [start, end, start, end, ...]."""

    def __init__(self, runs):
        self.bounds, end = [], 0
        for gap, length in zip(runs[::2], runs[1::2]):
            start, end = end + gap, end + gap + length
            self.bounds += [start, end]

    def __contains__(self, code):
        return bisect.bisect_right(self.bounds, code) % 2 == 1

    def __iter__(self):
        return chain.from_iterable(map(range, self.bounds[::2], self.bounds[1::2]))


class UnicodeTable(NamedTuple):
    """The tables, named as in the list above."""

    removed: CodeSet
    white_space: frozenset
    punctuation: frozenset
    accents: frozenset
    marks: frozenset
    word: CodeSet
    letters: CodeSet
    numbers: CodeSet
    lower: dict
    decomposed: dict
    combining: dict


@functools.cache
def unicode_table():
    """The tables of the package, read once (2 ms)."""
    packed = json.loads(zlib.decompress(TABLE.read_bytes()))
    accents = frozenset(CodeSet(packed["accents"]))
    codes, shifts = packed["lower"]
    lower = {c: s if isinstance(s, str) else chr(c + s) for c, s in zip(CodeSet(codes), shifts)}
    codes, parts = packed["decomposed"]
    decomposed = dict(zip(CodeSet(codes), parts.split(" ")))
    codes, ranks = packed["combining"]
    return UnicodeTable(
        removed=CodeSet(packed["removed"]),
        white_space=frozenset(CodeSet(packed["white_space"])),  # small, and looked up more often
        punctuation=frozenset(CodeSet(packed["punctuation"])),
        accents=accents,
        marks=accents | frozenset(CodeSet(packed["marks"])),
        word=CodeSet(packed["word"]),
        letters=CodeSet(packed["letters"]),
        numbers=CodeSet(packed["numbers"]),
        lower=lower,
        decomposed=decomposed,
        combining=dict(zip(CodeSet(codes), ranks)),
    )
