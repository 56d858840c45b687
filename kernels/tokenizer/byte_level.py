"""The pieces of a range of a text by byte-level BPE: its words by GPT-2's rule, the bytes of each, their merges.

The definition is `minibert/tokenization/stages/byte_level.py`, and byte_level_bpe.py beside it; symbols are those of `merges.py`.
`encode_byte_level.py` calls this for a segment that is not in a cache, and for a text whose segments depend on each other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..compiler.jit import jit
from .longest_tokens import ID, LEADING, ROW, TRAILING, cut
from .merges import MAX_WORD_BYTES, Merges, merge
from .segment import append_piece, begins_special, decode_utf16

OTHER, LETTER, NUMBER, WHITE_SPACE = 0, 1, 2, 3  # the classes of characters
APOSTROPHE, SPACE_UNIT = ord("'"), ord(" ")
UNIT_D, UNIT_E, UNIT_L, UNIT_M, UNIT_R, UNIT_S, UNIT_T, UNIT_V = map(ord, "delmrstv")  # of 's 't 'm 'd 're 've 'll


class Tables(NamedTuple):
    """A tokenizer's constant tables."""

    classes: np.ndarray  # (0x110000,) uint8
    merges: Merges
    nodes: np.ndarray  # int64: the trie of `longest_tokens.py`, by which words are cut; empty if they are merged
    is_cut: int  # whether they are cut
    tokens: np.ndarray  # (symbols * ROW,) int32: the rows that stand there
    special: np.ndarray  # uint16: the units of added tokens, each terminated by 0, and a last 0
    special_first: np.ndarray  # (256,) uint8: 1 for the low byte of each token's first unit
    has_prefix: int  # whether a text gets a space before it
    keeps_prefix: int  # whether trimming leaves a single space at the start of a text


@jit()
def class_of(text, at, tables):
    """The class of the character here, and its number of units."""
    code, width = decode_utf16(text, at)
    return np.int64(tables.classes[code]), width


@jit()
def end_of_run(text, at, stop, character_class, tables):
    """Where the characters of this class end."""
    while at < stop:
        other, width = class_of(text, at, tables)
        if other != character_class:
            break
        at += width
    return at


@jit()
def contraction(text, at):
    """The number of units of 's, 're and the others after an apostrophe; 0 for none of them."""
    first, second = text[at + 1], text[at + 2]
    if first == UNIT_S or first == UNIT_T or first == UNIT_M or first == UNIT_D:
        return 2
    if ((first == UNIT_R or first == UNIT_V) and second == UNIT_E) or (first == UNIT_L and second == UNIT_L):
        return 3
    return 0


@jit()
def end_of_word(text, at, stop, after_prefix, tables):
    """Where the word that begins here ends. after_prefix: there is a space before it that is not in the text."""
    if text[at] == APOSTROPHE and not after_prefix:
        units = contraction(text, at)
        if units:
            return at + units
    begin = at + (text[at] == SPACE_UNIT and at + 1 < stop and tables.classes[text[at + 1]] != WHITE_SPACE)
    character_class, width = class_of(text, begin, tables)
    end = end_of_run(text, begin + width, stop, character_class, tables)
    if character_class != WHITE_SPACE or end == stop or end == at + 1:
        return end
    return end - 1  # white space leaves its last character to the next word


@jit()
def load_bytes(text, at, stop, after_prefix, character, tables, scratch):
    """The bytes of a word -> (their number, the next character); −1 bytes: a fallback, because there is an added token in it,
    or it is too long."""
    size = 0
    if after_prefix:
        scratch.bytes[0], scratch.sources[0], size = SPACE_UNIT, character, 1
    while at < stop:
        if size > MAX_WORD_BYTES - 4 or (tables.special_first[text[at] & 255] and begins_special(text, at, tables.special)):
            return -1, 0
        code, width = decode_utf16(text, at)
        count = utf8_length(code)
        for index in range(count):
            scratch.bytes[size + index] = utf8_byte(code, index, count)
            scratch.sources[size + index] = character
        at, size, character = at + width, size + count, character + 1
    return size, character


@jit()
def utf8_length(code):
    return 1 + (code > 0x7F) + (code > 0x7FF) + (code > 0xFFFF)


@jit()
def utf8_byte(code, index, count):
    """Byte `index` of the `count` bytes of a character."""
    if count == 1:
        return code
    if index:
        return 0x80 | code >> 6 * (count - 1 - index) & 0x3F
    return 0xF00 >> count & 0xFF | code >> 6 * (count - 1)


@jit()
def append_word(scratch, size, word, starts_text, tables, output, count):
    """The word in `scratch`, of `size` bytes -> its pieces in `output`; their number with those before."""
    if tables.is_cut:
        tokens = cut(scratch, size, tables.nodes, tables.tokens, tables.merges)
    else:
        tokens = merge(scratch, size, tables.merges)
    scratch.firsts[tokens] = size
    for token in range(tokens):
        start, end = scratch.sources[scratch.firsts[token]], scratch.sources[scratch.firsts[token + 1] - 1] + 1
        row = ROW * scratch.symbols[token]
        leading, trailing = np.int64(tables.tokens[row + LEADING]), np.int64(tables.tokens[row + TRAILING])
        if leading == 1 and starts_text and start == 0 and tables.keeps_prefix:
            leading = 0
        start = min(start + leading, end)
        count = append_piece(output, count, tables.tokens[row + ID], start, max(end - trailing, start), word)
    return count


@jit()
def encode_range(text, start, stop, starts_text, tables, scratch, output, count):
    """Units start to stop -> (number of pieces in `output`, characters, words); −1 pieces: fallback. Offsets and word ids are
    those in the range. starts_text: whether the range begins the text, and without white space."""
    at, character, word = start, 0, 0
    while at < stop:
        after_prefix = at == start and starts_text and tables.has_prefix
        end = end_of_word(text, at, stop, after_prefix, tables)
        size, character = load_bytes(text, at, end, after_prefix, character, tables, scratch)
        if size < 0:
            return -1, 0, 0
        count = append_word(scratch, size, word, starts_text, tables, output, count)
        at, word = end, word + 1
    return count, character, word
