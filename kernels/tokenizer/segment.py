"""The pieces of one part of a text: its characters' normal forms from a table, its words cut by the trie.

What `wordpiece.py` does with a part it has not met. Arrays are bare pointers here: with arrays the loops spent most of
their time counting references to them (70 MB/s of English text then, 200 now).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..compiler.jit import jit
from .trie import cut

# What `Tables.normal` says of a character: the code of its normal form, perhaps with a mark; or one of these.
ALONE = 1 << 24  # a mark: the character is a word of its own
SEVERAL = 1 << 25  # a mark: the rest is where its several forms begin in `Tables.images`
CODE = ALONE - 1
DROPPED, SPACE, SLOW, HANGUL = -1, -2, -3, -4


class Tables(NamedTuple):
    """What a tokenizer knows, and does not change. Characters have the codes of the trie (`wordpiece_trie.py`)."""

    normal: np.ndarray  # (0x110000,) int32: see above
    images: np.ndarray  # int32: the forms of the characters that have several, each run ended by SPACE
    nodes: np.ndarray  # int64: the trie
    values: np.ndarray  # int32: the ids of its pieces
    single: np.ndarray  # int32: by its code, the id of a word of one character, to be asked of those that stand alone
    special: np.ndarray  # uint16: the units of added tokens, a 0 after each, a 0 after the last; each begins a slow text
    special_first: np.ndarray  # (256,) uint8: 1 for the lower bytes of the units that begin one
    unknown: int  # the id of [UNK]
    longest: int  # characters of a word; a longer one is unknown


class Scratch(NamedTuple):
    """Room for the word being read, its pieces, and a character's forms."""

    word: np.ndarray  # (longest + 2,) int64
    sources: np.ndarray  # (longest + 2,) int64: the character of the text that each came from
    pieces: np.ndarray  # (longest + 1,) int64
    ends: np.ndarray  # (longest + 1,) int64
    forms: np.ndarray  # (8,) int64


class Output(NamedTuple):
    """Where the answers go."""

    ids: np.ndarray  # (N,) int32
    offsets: np.ndarray  # (2 * N,) int32: start, end; only with `places`
    words: np.ndarray  # (N,) int32; only with `places`
    places: int  # whether the two are wanted


@jit()
def decode(text, at):
    """A character of UTF-16 -> (code point, units it takes)."""
    first = np.int64(text[at])
    if first >> 10 == 0x36:
        return 0x10000 + ((first & 0x3FF) << 10 | text[at + 1] & 0x3FF), 2
    return first, 1


@jit()
def several_forms(form, character, tables, forms):
    """The normal forms of a syllable of HANGUL, or of a character with SEVERAL -> how many; −1 for one that is SLOW."""
    if form == SLOW:
        return -1
    if form == HANGUL:  # the arithmetic of the Unicode standard, 3.12
        index = character - 0xAC00
        forms[0], forms[1] = tables.normal[0x1100 + index // 588], tables.normal[0x1161 + index % 588 // 28]
        forms[2] = tables.normal[0x11A7 + index % 28]
        return 2 + (index % 28 > 0)
    count = 0
    while tables.images[form - SEVERAL + count] != SPACE:
        forms[count] = tables.images[form - SEVERAL + count]
        count += 1
    return count


@jit()
def begins_special(text, at, special):
    """Whether an added token stands here."""
    token = 0
    while special[token]:
        place = at
        while special[token] and special[token] == text[place]:
            token, place = token + 1, place + 1
        if not special[token]:
            return True
        while special[token]:
            token += 1
        token += 1
    return False


@jit()
def emit(output, count, number, start, end, word):
    output.ids[count] = number
    if output.places:
        output.offsets[2 * count], output.offsets[2 * count + 1], output.words[count] = start, end, word
    return count + 1


@jit()
def emit_word(scratch, size, last, tables, output, count, word):
    """The word in `scratch`, of `size` characters, the last from source `last` -> its pieces in `output`."""
    found = 0
    if size <= tables.longest:
        found = cut(scratch.word, size, tables.nodes, tables.values, scratch.pieces, scratch.ends)
    if not found:
        return emit(output, count, tables.unknown, scratch.sources[0], last + 1, word)
    start = 0
    for piece in range(found):
        end = scratch.ends[piece]
        count = emit(output, count, scratch.pieces[piece], scratch.sources[start], scratch.sources[end - 1] + 1, word)
        start = end
    return count


@jit()
def encode_part(text, start, stop, tables, scratch, output, count):
    """Units start to stop, which hold no space, as if they began a text -> (count of pieces now, characters, words);
    count −1: slow."""
    size, last, at, character, word = 0, 0, start, 0, 0
    while at < stop:
        if tables.special_first[text[at] & 255] and begins_special(text, at, tables.special):
            return -1, 0, 0
        code, width = decode(text, at)
        form = np.int64(tables.normal[code])
        if DROPPED <= form < ALONE:  # which of the two is hard to foresee, so there is no branch
            size, last = put(scratch, size, last, form, character, tables.longest)
            at, character = at + width, character + 1
            continue
        scratch.forms[0], forms = form, 1
        if form < SPACE or form >= SEVERAL:
            forms = several_forms(form, code, tables, scratch.forms)
            if forms < 0:
                return -1, 0, 0
        for index in range(forms):
            form = scratch.forms[index]
            if 0 <= form < ALONE:
                size, last = put(scratch, size, last, form, character, tables.longest)
                continue
            if size:
                count = emit_word(scratch, size, last, tables, output, count, word)
                size, word = 0, word + 1
            if form != SPACE:
                count = emit(output, count, tables.single[form & CODE], character, character + 1, word)
                word += 1
        at, character = at + width, character + 1
    if size:
        count = emit_word(scratch, size, last, tables, output, count, word)
        word += 1
    return count, character, word


@jit()
def put(scratch, size, last, form, character, longest):
    """A character at the end of the word, unless it is DROPPED -> the word's size, and the last character in it."""
    scratch.word[size], scratch.sources[size] = form, character
    kept = np.int64(form != DROPPED)
    return min(size + kept, longest + 1), character if kept else last
