"""The pieces of one part of a text: its characters' normal forms from a table, its words cut by a trie.

What `kernels/wordpiece.py` does with a part it has not met. The trie is a hash table, from (node, character) to the next
node: built in milliseconds, and one look a character. Within, arrays are bare pointers: with arrays the loops spent
most of their time counting references to them (70 MB/s of English text then, 200 now).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import types
from numba.extending import intrinsic

from .jit import jit

# What `Tables.normal` says of a character: its normal form, perhaps with a mark; or one of these.
ALONE = 1 << 24  # a mark: the character is a word of its own
SEVERAL = 1 << 25  # a mark: the rest is where its several forms begin in `Tables.images`
CHARACTER = ALONE - 1
DROPPED, SPACE, SLOW, HANGUL = -1, -2, -3, -4

WORDS, INNER = 0, 1  # the trie's two roots: pieces that begin a word, and those that go on
EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
ZERO = np.int64(0)  # a plain 0 is a type of its own to Numba, and what takes one would be compiled twice
MIX = np.uint64(0x9E3779B97F4A7C15)  # 2⁶⁴ over the golden ratio: spreads keys over the upper bits (Knuth, TAOCP 6.4)
NODE = np.uint64(0xFFFFFFFF)  # the half of an edge's value that is the next node


class Tables(NamedTuple):
    """What a tokenizer knows, and does not change."""

    normal: np.ndarray  # (0x110000,) int32: see above
    images: np.ndarray  # int32: the forms of the characters that have several, each run ended by SPACE
    edges: np.ndarray  # (2 * slots,) uint64: (node, character), next node and its piece's id + 1, and so on
    single: np.ndarray  # (0x110000,) int32: the id of a word of one character, to be asked of those that stand alone
    special: np.ndarray  # uint8: the bytes of added tokens, a 0 after each, a 0 after the last; each begins a slow text
    special_first: np.ndarray  # (256,) uint8: 1 for the bytes that begin one
    slots: int  # a power of two
    unknown: int  # the id of [UNK]
    longest: int  # characters of a word; a longer one is unknown


class Output(NamedTuple):
    """Where the answers go: as many rows as there are bytes, and two for each text, are always enough."""

    ids: np.ndarray  # (N,) int32
    offsets: np.ndarray  # (2 * N,) int32: start, end; only with `places`
    words: np.ndarray  # (N,) int32; only with `places`
    places: int  # whether the two are wanted


class Scratch(NamedTuple):
    """Room for the word being read, its pieces, and a character's forms."""

    word: np.ndarray  # (longest + 1,) int64
    sources: np.ndarray  # (longest + 1,) int64: the character of the text that each came from
    pieces: np.ndarray  # (longest + 1,) int64
    ends: np.ndarray  # (longest + 1,) int64
    forms: np.ndarray  # (8,) int64


@intrinsic
def pointer(typing_context, array):
    """Where an array's values lie, to be read and written as p[i]."""

    def generate(context, builder, signature, arguments):
        return context.make_array(signature.args[0])(context, builder, arguments[0]).data

    return types.CPointer(array.dtype)(array), generate


# --- the trie ---


@jit()
def find_edge(edges, slots, node, character):
    """Where in `edges` an edge is, or would be."""
    key = np.uint64(node) << np.uint64(21) | np.uint64(character)
    slot = np.int64((key * MIX) >> np.uint64(36)) & (slots - 1)
    while edges[2 * slot] != key and edges[2 * slot] != EMPTY:
        slot = (slot + 1) & (slots - 1)
    return 2 * slot


@jit()
def build_trie(characters, bounds, roots, ids, edges):
    """Pieces as code points, piece i from bounds[i] to bounds[i + 1] under roots[i] -> `edges` filled (from EMPTY)."""
    edges, slots, nodes = pointer(edges), len(edges) // 2, 2
    for piece in range(len(ids)):
        node, place = np.int64(roots[piece]), ZERO
        for index in range(bounds[piece], bounds[piece + 1]):
            place = find_edge(edges, slots, node, characters[index])
            if edges[place] == EMPTY:
                edges[place] = np.uint64(node) << np.uint64(21) | np.uint64(characters[index])
                edges[place + 1] = np.uint64(nodes)
                nodes += 1
            node = np.int64(edges[place + 1] & NODE)
        if bounds[piece] < bounds[piece + 1]:
            edges[place + 1] = edges[place + 1] & NODE | np.uint64(ids[piece] + 1) << np.uint64(32)
    return nodes


@jit()
def cut_word(scratch, size, tables):
    """Greedy longest match of scratch.word[:size] -> how many pieces (scratch.pieces, .ends); 0 where one is not found."""
    count, start, root = ZERO, ZERO, WORDS
    while start < size:
        node, place, end = root, start, -1
        while place < size:
            edge = find_edge(tables.edges, tables.slots, node, scratch.word[place])
            if tables.edges[edge] == EMPTY:
                break
            place += 1
            found = tables.edges[edge + 1]
            node = np.int64(found & NODE)
            if found > NODE:
                end = place
                scratch.pieces[count] = np.int64(found >> np.uint64(32)) - 1
        if end < 0:
            return 0
        scratch.ends[count] = end
        count, start, root = count + 1, end, INNER
    return count


# --- a part that is not remembered ---


@jit()
def decode(text, at):
    """A character of UTF-8 -> (code point, bytes it takes)."""
    first = np.int64(text[at])
    if first < 0x80:
        return first, 1
    if first < 0xE0:
        return (first & 0x1F) << 6 | text[at + 1] & 0x3F, 2
    if first < 0xF0:
        return (first & 0x0F) << 12 | (text[at + 1] & 0x3F) << 6 | text[at + 2] & 0x3F, 3
    return (first & 7) << 18 | (text[at + 1] & 0x3F) << 12 | (text[at + 2] & 0x3F) << 6 | text[at + 3] & 0x3F, 4


@jit()
def several_forms(form, character, images, forms):
    """The normal forms of a character that is not simply another -> how many; -1 where it depends on its neighbours."""
    if form == SLOW:
        return -1
    if form == HANGUL:  # the arithmetic of the Unicode standard, 3.12
        index = character - 0xAC00
        forms[0], forms[1], forms[2] = 0x1100 + index // 588, 0x1161 + index % 588 // 28, 0x11A7 + index % 28
        return 2 + (index % 28 > 0)
    if form == DROPPED:
        return 0
    if form < SEVERAL:  # a space, or a character that is a word
        forms[0] = form
        return 1
    count = ZERO
    while images[form - SEVERAL + count] != SPACE:
        forms[count] = images[form - SEVERAL + count]
        count += 1
    return count


@jit()
def begins_special(text, at, special):
    """Whether an added token stands here."""
    token = ZERO
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
    found = cut_word(scratch, size, tables) if size <= tables.longest else 0
    if not found:
        return emit(output, count, tables.unknown, scratch.sources[0], last + 1, word)
    start = ZERO
    for piece in range(found):
        end = scratch.ends[piece]
        count = emit(output, count, scratch.pieces[piece], scratch.sources[start], scratch.sources[end - 1] + 1, word)
        start = end
    return count


@jit()
def encode_part(text, start, stop, tables, scratch, output, count):
    """Bytes start to stop, which hold no space, as if they began a text -> (count of pieces now, characters, words);
    count −1: slow."""
    size, last, at, character, word = ZERO, ZERO, start, ZERO, ZERO
    while at < stop:
        if tables.special_first[text[at]] and begins_special(text, at, tables.special):
            return ZERO - 1, ZERO, ZERO
        code, width = decode(text, at)
        form = np.int64(tables.normal[code])
        plain = 0 <= form < ALONE
        forms = 1 if plain else several_forms(form, code, tables.images, scratch.forms)
        if forms < 0:
            return ZERO - 1, ZERO, ZERO
        for index in range(forms):
            form = form if plain else scratch.forms[index]
            apart = form == SPACE or form >= ALONE
            if apart and size:
                count = emit_word(scratch, size, last, tables, output, count, word)
                size, word = ZERO, word + 1
            if form >= ALONE:
                count = emit(output, count, np.int64(tables.single[form & CHARACTER]), character, character + 1, word)
                word += 1
            elif form != SPACE:
                if size <= tables.longest:
                    scratch.word[size], scratch.sources[size] = form, character
                    size += 1
                last = character
        at, character = at + width, character + 1
    if size:
        count = emit_word(scratch, size, last, tables, output, count, word)
        word += 1
    return count, character, word
