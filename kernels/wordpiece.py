"""WordPiece over many texts at once: UTF-8 in; ids, places and word numbers out, in arrays.

The definition is `minibert/tokenization/pipeline.py`; `minibert/tokenization/batch.py` makes the tables and calls this.
It is that pipeline in three layers, each of which leaves the rare case to the next:

    encode        What stands between two spaces gives the same pieces wherever it stands. A part of at most 16 bytes
                  is two integers, and those are its key in a hash table of 64-byte rows: one cache line holds the part
                  and its pieces. Four parts of five in English text end here.
    encode_part   A part not met before: its characters' normal forms from one table, its words through the trie.
    Python        A text that holds an added token, or marks that change places: `slow` says which, nothing is emitted.

The trie is a hash table too, from (node, character) to the next node: quickly built, and one look a character.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from llvmlite import ir
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
MIX = np.uint64(0x9E3779B97F4A7C15)  # 2⁶⁴ over the golden ratio: spreads keys over the upper bits (Knuth, TAOCP 6.4)

# A row of the memory is eight 64-bit words: two of key, one of counts, three of ids, one of ends, one of starts.
ROW, KEPT_BYTES, KEPT_PIECES = 8, 16, 6
PROBES = 4  # rows looked at before the last of them is given to someone else


class Tables(NamedTuple):
    """What a tokenizer knows, and does not change."""

    normal: np.ndarray  # (0x110000,) int32: see above
    images: np.ndarray  # int32: the forms of the characters that have several, each run ended by SPACE
    edges: np.ndarray  # (slots, 2) uint64: (node, character) -> next node and its piece's id
    special: np.ndarray  # (tokens, longest + 1) uint8: the bytes of added tokens, zero-padded; each begins a slow text
    special_first: np.ndarray  # (256,) bool: the bytes that begin one
    unknown: int
    longest: int  # characters of a word; a longer one is unknown


class Output(NamedTuple):
    """Where the answers go: as many rows as there are bytes are always enough."""

    ids: np.ndarray  # (N,) int32
    places: np.ndarray  # (N, 3) int32: start, end, word; of length 0 when only ids are wanted
    stops: np.ndarray  # (S,) int64: the end of each text's pieces in the two
    slow: np.ndarray  # (S,) bool: texts that Python is to do


@intrinsic
def load_word(typing_context, array, index):
    """array[index : index + 8] of bytes as one uint64, aligned or not."""

    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        pointer = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(64).as_pointer())
        word = builder.load(pointer)
        word.align = 1
        return word

    return types.uint64(array, types.int64), generate


@intrinsic
def zeros_below(typing_context, word):
    """How many of a uint64's lowest bits are 0."""

    def generate(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), generate


@jit(inline="always")
def bytes_before_space(word):
    """A word of eight bytes -> how many come before its first space; 8 where none is one."""
    found = word ^ np.uint64(0x2020202020202020)  # a space becomes 0, and only a 0 borrows in what follows
    found = (found - np.uint64(0x0101010101010101)) & ~found & np.uint64(0x8080808080808080)
    return np.int64(zeros_below(found) >> np.uint64(3))


@jit(inline="always")
def keep_bytes(word, count):
    """The first `count` (1 to 8) bytes of a word, zeros after them."""
    return word & (EMPTY >> np.uint64(8 * (8 - count)))


# --- the trie ---


@jit()
def find_edge(edges, node, character):
    """The slot of an edge, or the empty one where it would be."""
    key = (np.uint64(node) << np.uint64(21)) | np.uint64(character)
    mask = len(edges) - 1
    slot = np.int64((key * MIX) >> np.uint64(40)) & mask
    while edges[slot, 0] != key and edges[slot, 0] != EMPTY:
        slot = (slot + 1) & mask
    return slot


@jit()
def build_trie(characters, bounds, roots, ids, edges):
    """Pieces as code points, piece i from bounds[i] to bounds[i + 1] under roots[i] -> `edges` filled (from EMPTY).

    The second column holds the next node, and above it the piece's id + 1 where one ends there.
    """
    nodes = 2
    for piece in range(len(ids)):
        node, slot = np.int64(roots[piece]), 0
        for place in range(bounds[piece], bounds[piece + 1]):
            slot = find_edge(edges, node, characters[place])
            if edges[slot, 0] == EMPTY:
                edges[slot, 0] = (np.uint64(node) << np.uint64(21)) | np.uint64(characters[place])
                edges[slot, 1] = np.uint64(nodes)
                nodes += 1
            node = np.int64(edges[slot, 1] & np.uint64(0xFFFFFFFF))
        if bounds[piece] < bounds[piece + 1]:
            edges[slot, 1] |= np.uint64(ids[piece] + 1) << np.uint64(32)
    return nodes


@jit()
def cut_word(word, size, tables, pieces):
    """Greedy longest match: word[:size] -> how many pieces, their (id, end) in `pieces`; 0 where one is not found."""
    count, start, root = 0, 0, WORDS
    while start < size:
        node, place, end = root, start, -1
        while place < size:
            slot = find_edge(tables.edges, node, word[place])
            if tables.edges[slot, 0] == EMPTY:
                break
            place += 1
            found = tables.edges[slot, 1]
            node = np.int64(found & np.uint64(0xFFFFFFFF))
            if found >> np.uint64(32):
                end = place
                pieces[count, 0] = np.int64(found >> np.uint64(32)) - 1
        if end < 0:
            return 0
        pieces[count, 1] = end
        count, start, root = count + 1, end, INNER
    return count


# --- a part that is not remembered ---


class Scratch(NamedTuple):
    """Room for the word being read, its pieces, and a character's forms."""

    word: np.ndarray  # (longest + 1,) int32
    sources: np.ndarray  # (longest + 1,) int32: the character of the text that each came from
    pieces: np.ndarray  # (longest + 1, 2) int32
    forms: np.ndarray  # (8,) int32


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
def normal_forms(character, tables, forms):
    """A character's normal forms into `forms` -> how many; -1 where it depends on its neighbours."""
    form = tables.normal[character]
    if form == SLOW:
        return -1
    if form == HANGUL:  # the arithmetic of the Unicode standard, 3.12
        index = character - 0xAC00
        forms[0], forms[1], forms[2] = 0x1100 + index // 588, 0x1161 + index % 588 // 28, 0x11A7 + index % 28
        return 2 + (index % 28 > 0)
    if form == DROPPED:
        return 0
    if form == SPACE or form < SEVERAL:
        forms[0] = form
        return 1
    count, place = 0, form - SEVERAL
    while tables.images[place] != SPACE:
        forms[count] = tables.images[place]
        count, place = count + 1, place + 1
    return count


@jit()
def begins_special(text, at, tables):
    """Whether an added token stands here."""
    if not tables.special_first[text[at]]:
        return False
    for token in tables.special:
        place = 0
        while token[place] and text[at + place] == token[place]:
            place += 1
        if not token[place]:
            return True
    return False


@jit()
def emit_word(scratch, size, last, tables, output, count, number):
    """The word in `scratch`, of `size` characters, the last from source `last` -> its pieces in `output`."""
    found = cut_word(scratch.word, size, tables, scratch.pieces) if size <= tables.longest else 0
    if not found:
        output.ids[count] = tables.unknown
        if len(output.places):
            output.places[count, 0], output.places[count, 1] = scratch.sources[0], last + 1
            output.places[count, 2] = number
        return count + 1
    start = 0
    for piece in range(found):
        end = scratch.pieces[piece, 1]
        output.ids[count] = scratch.pieces[piece, 0]
        if len(output.places):
            output.places[count, 0], output.places[count, 1] = scratch.sources[start], scratch.sources[end - 1] + 1
            output.places[count, 2] = number
        start = end
        count += 1
    return count


@jit()
def encode_part(text, start, stop, tables, scratch, output, count, character, number):
    """Bytes start to stop, which hold no space -> (count of pieces now, character now, word number now); count −1: slow."""
    size, last, at = 0, 0, start
    while at < stop:
        if begins_special(text, at, tables):
            return -1, 0, 0
        code, width = decode(text, at)
        forms = normal_forms(code, tables, scratch.forms)
        if forms < 0:
            return -1, 0, 0
        for form in scratch.forms[:forms]:
            apart = form == SPACE or form >= ALONE
            if apart and size:
                count = emit_word(scratch, size, last, tables, output, count, number)
                size, number = 0, number + 1
            if form == SPACE:
                continue
            if size <= tables.longest:
                scratch.word[size] = form & CHARACTER
                scratch.sources[size] = character
                size += 1
            last = character
            if apart:
                count = emit_word(scratch, size, last, tables, output, count, number)
                size, number = 0, number + 1
        at += width
        character += 1
    if size:
        count = emit_word(scratch, size, last, tables, output, count, number)
        number += 1
    return count, character, number


# --- the memory ---


@jit(inline="always")
def find_row(memory, key, more, size):
    """(row, whether it holds this part). The row of a part not held is the first empty one, or the last one looked at."""
    mask = len(memory) - 1
    row = np.int64(((key ^ (more * MIX)) * MIX) >> np.uint64(32)) & mask
    held, probe = False, 0
    while probe < PROBES:
        counts = memory[row, 2]
        held = memory[row, 0] == key and memory[row, 1] == more and counts & np.uint64(0xFF) == np.uint64(size)
        if held or counts == 0 or probe == PROBES - 1:
            break
        row = (row + 1) & mask
        probe += 1
    return row, held


@jit()
def remember(memory, row, key, more, size, output, first, count, characters, words):
    """Write a part's pieces, the `output` rows from first to count, places from the part's own beginning."""
    line = memory[row]
    pieces = count - first
    numbers, starts, ends = np.uint64(0), np.uint64(0), np.uint64(0)
    for piece in range(pieces if len(output.places) else 0):
        shift = np.uint64(8 * piece)
        starts |= np.uint64(output.places[first + piece, 0]) << shift
        ends |= np.uint64(output.places[first + piece, 1]) << shift
        numbers |= np.uint64(output.places[first + piece, 2]) << np.uint64(4 * piece)
    for pair in range(KEPT_PIECES // 2):
        low = np.uint64(output.ids[first + 2 * pair]) if 2 * pair < pieces else np.uint64(0)
        high = np.uint64(output.ids[first + 2 * pair + 1]) if 2 * pair + 1 < pieces else np.uint64(0)
        line[3 + pair] = low | high << np.uint64(32)
    line[0], line[1] = key, more
    line[2] = np.uint64(size | pieces << 8 | characters << 16 | words << 24) | numbers << np.uint64(32)
    line[6], line[7] = starts, ends


@jit(inline="always")
def recall(memory, row, ids, places, count, character, number):
    """A remembered part's pieces into the output -> count of pieces now. All six ids are written: the next part's go over."""
    counts = memory[row, 2]
    for pair in range(KEPT_PIECES // 2):
        ids[count + 2 * pair] = np.int32(memory[row, 3 + pair] & np.uint64(0xFFFFFFFF))
        ids[count + 2 * pair + 1] = np.int32(memory[row, 3 + pair] >> np.uint64(32))
    pieces = np.int64(counts >> np.uint64(8)) & 0xFF
    if len(places):
        starts, ends, numbers = memory[row, 6], memory[row, 7], counts >> np.uint64(32)
        for piece in range(count, count + pieces):
            places[piece, 0] = character + np.int64(starts & np.uint64(0xFF))
            places[piece, 1] = character + np.int64(ends & np.uint64(0xFF))
            places[piece, 2] = number + np.int64(numbers & np.uint64(15))
            starts, ends, numbers = starts >> np.uint64(8), ends >> np.uint64(8), numbers >> np.uint64(4)
    return count + pieces


@jit(inline="always")
def find_part(text, at):
    """The part that begins at a byte -> its first eight bytes, its next eight, its size; size −1: more than 16 bytes."""
    key, more = load_word(text, at), np.uint64(0)
    size = bytes_before_space(key)
    if size == 0:
        key = np.uint64(0)
    elif size < 8:
        key = keep_bytes(key, size)
    else:
        more = load_word(text, at + 8)
        rest = bytes_before_space(more)
        more = keep_bytes(more, rest) if rest else np.uint64(0)
        size = 8 + rest if rest < 8 or text[at + 16] == 32 else -1
    return key, more, size


@jit()
def encode_new(text, at, size, tables, memory, scratch, output, count):
    """A part that is not remembered, of `size` bytes, or −1 for more than are: encoded as if it began the text, and
    remembered if it may be -> (count of pieces now, its characters, its words, its bytes); count −1: slow."""
    end = at + size
    if size < 0:
        end = at + KEPT_BYTES
        while text[end] != 32:
            end += 1
    first = count
    count, characters, words = encode_part(text, at, end, tables, scratch, output, first, 0, 0)
    if size > 0 and 0 <= count - first <= KEPT_PIECES:
        key, more, _ = find_part(text, at)
        row, _ = find_row(memory, key, more, size)
        remember(memory, row, key, more, size, output, first, count, characters, words)
    return count, characters, words, end - at


@jit()
def encode_text(text, at, stop, tables, memory, scratch, output, count):
    """Bytes at to stop, the one after them a space -> count of pieces now; −1: slow."""
    ids, places = output.ids, output.places
    character, number = 0, 0
    while at < stop:
        key, more, size = find_part(text, at)
        if size == 0:
            at, character = at + 1, character + 1
            continue
        row, held = find_row(memory, key, more, size)
        if held:
            count = recall(memory, row, ids, places, count, character, number)
            counts = memory[row, 2]
            characters, words = np.int64(counts >> np.uint64(16)) & 0xFF, np.int64(counts >> np.uint64(24)) & 0xFF
        else:
            first = count
            count, characters, words, size = encode_new(text, at, size, tables, memory, scratch, output, first)
            if count < 0:
                return -1
            for piece in range(first, count if len(places) else first):
                places[piece, 0] += character
                places[piece, 1] += character
                places[piece, 2] += number
        at, character, number = at + size + 1, character + characters + 1, number + words  # and the space behind it
    return count


@jit(nogil=True)
def encode(text, bounds, tables, memory, scratch, frame, output):
    """UTF-8 texts, the i-th from bounds[i] to a space at bounds[i + 1] − 1, 16 more bytes after the last -> `output`.

    frame: ids put before and after each text (−1 for none), and how many pieces of a text are kept. -> pieces in all.
    """
    before, after, room = frame
    count = 0
    for index in range(len(bounds) - 1):
        first = count
        if before >= 0:
            count = emit_frame(output, count, before)
        start = count
        count = encode_text(text, bounds[index], bounds[index + 1] - 1, tables, memory, scratch, output, start)
        output.slow[index] = count < 0
        if count < 0:
            count = first
        else:
            count = min(count, start + room)
            if after >= 0:
                count = emit_frame(output, count, after)
        output.stops[index] = count
    return count


@jit()
def emit_frame(output, count, number):
    output.ids[count] = number
    if len(output.places):
        output.places[count, 0], output.places[count, 1], output.places[count, 2] = 0, 0, -1
    return count + 1
