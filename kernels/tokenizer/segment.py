"""The pieces of one segment of a text: the normal forms of its characters from a table, its words split by the trie.

`encode.py` calls it for a segment that is not in the cache. Arrays are raw pointers here: with arrays, the loops spent
most of their time on reference counting (70 MB/s of English text instead of 200).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..compiler.jit import jit
from .trie import longest_match

# The entry of a character in `Tables.normal`: the code of its normal form, maybe with a flag; or one of the four below.
ISOLATED = 1 << 24  # a flag: the character is a word of its own
SEVERAL = 1 << 25  # a flag: the other bits are the index in `Tables.expansions` at which its several forms begin
FORM_MASK = ISOLATED - 1
DROPPED, SPACE, FALLBACK, HANGUL = -1, -2, -3, -4


class Tables(NamedTuple):
    """A tokenizer's constant tables. Characters have the codes of the trie (`trie.py`)."""

    normal: np.ndarray  # (0x110000,) int32: entries as above
    expansions: np.ndarray  # int32: the forms of characters that have several, each list terminated by SPACE
    nodes: np.ndarray  # int64: the trie
    values: np.ndarray  # int32: the ids of its pieces
    single: np.ndarray  # int32: code -> id of the word of that one character, for ISOLATED characters
    special: np.ndarray  # uint16: the units of added tokens, each terminated by 0, and a last 0
    special_first: np.ndarray  # (256,) uint8: 1 for the low byte of each token's first unit
    unknown: int  # the id of [UNK]
    max_characters: int  # of a word; a longer one is unknown


class Scratch(NamedTuple):
    """Working memory: the current word, its pieces, and a character's forms."""

    word: np.ndarray  # (max_characters + 2,) int64
    sources: np.ndarray  # (max_characters + 2,) int64: the index in the segment of each character
    pieces: np.ndarray  # (max_characters + 1,) int64
    ends: np.ndarray  # (max_characters + 1,) int64
    forms: np.ndarray  # (8,) int64


class Output(NamedTuple):
    """The result."""

    ids: np.ndarray  # (N,) int32
    offsets: np.ndarray  # (2 * N,) int32: start, end; only if with_offsets
    word_ids: np.ndarray  # (N,) int32; only if with_offsets
    with_offsets: int


@jit()
def decode_utf16(text, at):
    """A character of UTF-16 -> (code point, number of units)."""
    first = np.int64(text[at])
    if first >> 10 == 0x36:
        return 0x10000 + ((first & 0x3FF) << 10 | text[at + 1] & 0x3FF), 2
    return first, 1


@jit()
def several_forms(form, character, tables, forms):
    """The normal forms of a HANGUL syllable, or of a character with SEVERAL -> their number; −1 for FALLBACK."""
    if form == FALLBACK:
        return -1
    if form == HANGUL:  # the arithmetic of the Unicode standard, 3.12
        index = character - 0xAC00
        forms[0], forms[1] = tables.normal[0x1100 + index // 588], tables.normal[0x1161 + index % 588 // 28]
        forms[2] = tables.normal[0x11A7 + index % 28]
        return 2 + (index % 28 > 0)
    count = 0
    while tables.expansions[form - SEVERAL + count] != SPACE:
        forms[count] = tables.expansions[form - SEVERAL + count]
        count += 1
    return count


@jit()
def begins_special(text, at, special):
    """Whether an added token begins here."""
    token = 0
    while special[token]:
        position = at
        while special[token] and special[token] == text[position]:
            token, position = token + 1, position + 1
        if not special[token]:
            return True
        while special[token]:
            token += 1
        token += 1
    return False


@jit()
def append_piece(output, count, token_id, start, end, word):
    """Append a piece -> the number of pieces."""
    output.ids[count] = token_id
    if output.with_offsets:
        output.offsets[2 * count], output.offsets[2 * count + 1], output.word_ids[count] = start, end, word
    return count + 1


@jit()
def append_word(scratch, size, last, tables, output, count, word):
    """The word in `scratch`, of `size` characters, the last from source `last` -> its pieces in `output`."""
    pieces = 0
    if size <= tables.max_characters:
        pieces = longest_match(scratch.word, size, tables.nodes, tables.values, scratch.pieces, scratch.ends)
    if not pieces:
        return append_piece(output, count, tables.unknown, scratch.sources[0], last + 1, word)
    start = 0
    for piece in range(pieces):
        end = scratch.ends[piece]
        count = append_piece(output, count, scratch.pieces[piece], scratch.sources[start], scratch.sources[end - 1] + 1, word)
        start = end
    return count


@jit()
def encode_segment(text, start, stop, tables, scratch, output, count):
    """Units start to stop, which have no space -> (number of pieces in `output`, characters, words); −1 pieces: fallback.
    Offsets and word ids are those in the segment."""
    size, last, at, character, word = 0, 0, start, 0, 0
    while at < stop:
        if tables.special_first[text[at] & 255] and begins_special(text, at, tables.special):
            return -1, 0, 0
        code, width = decode_utf16(text, at)
        form = np.int64(tables.normal[code])
        if DROPPED <= form < ISOLATED:  # hard to predict which of the two, so there is no branch
            size, last = append_char(scratch, size, last, form, character, tables.max_characters)
            at, character = at + width, character + 1
            continue
        scratch.forms[0], forms = form, 1
        if form < SPACE or form >= SEVERAL:
            forms = several_forms(form, code, tables, scratch.forms)
            if forms < 0:
                return -1, 0, 0
        for index in range(forms):
            form = scratch.forms[index]
            if 0 <= form < ISOLATED:
                size, last = append_char(scratch, size, last, form, character, tables.max_characters)
                continue
            if size:
                count = append_word(scratch, size, last, tables, output, count, word)
                size, word = 0, word + 1
            if form != SPACE:
                count = append_piece(output, count, tables.single[form & FORM_MASK], character, character + 1, word)
                word += 1
        at, character = at + width, character + 1
    if size:
        count = append_word(scratch, size, last, tables, output, count, word)
        word += 1
    return count, character, word


@jit()
def append_char(scratch, size, last, form, character, max_characters):
    """Append a character to the word, unless it is DROPPED -> the word's size, and its last character."""
    scratch.word[size], scratch.sources[size] = form, character
    is_appended = np.int64(form != DROPPED)
    return min(size + is_appended, max_characters + 1), character if is_appended else last
