"""Byte-level BPE over many texts at once. As `encode.py`, of which it replaces these parts:

    look_up_segments   A segment is the text between two spaces together with the space before it: "a new day" -> "a" " new" " day".
    encode_segments    Several spaces in a row are empty segments. All but the last are a word.
    encode_new         A segment that is not in the cache: in `long_segments.py`, or by `byte_level.py`.
    encode_text        If a segment begins or ends with other white space, its words depend on its neighbors. Then the text is
                       encoded as one range.

Python encodes a text with an added token or a very long word, and one that begins with white space if the space before a text
matters.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..compiler.jit import jit
from ..simd.memory import add_u8x8, add_u8x12, copy_24_bytes, count_trailing_zeros, data_pointer, prefetch_line, widen_u8x32
from .byte_level import SPACE_UNIT, WHITE_SPACE, Tables, encode_range
from .encode import LOOKAHEAD, encode, has_segment, key_of, load_and_look_up, spaces_from
from .long_segments import MAX_LONG_BYTES, LongSegments, append_entry, find_entry, insert_entry, make_long_segments
from .merges import merges_of, word_of
from .segment_cache import (
    CHARACTERS,
    IDS,
    MAX_KEY_BYTES,
    MAX_PIECES,
    OFFSETS,
    PIECES,
    ROW_BYTES,
    WIDE,
    WORD_IDS,
    WORDS,
    SegmentCache,
    cache_insert,
    find_row,
    hash_key,
    make_cache,
    slot_of,
)

NEEDS_PYTHON, AS_ONE_RANGE = -1, -2  # in place of a number of pieces


class Caches(NamedTuple):
    """Of segments that fit into a row, and of the others."""

    short: SegmentCache
    long: LongSegments


def make_caches() -> tuple:
    """Empty Caches, as a plain tuple."""
    return *make_cache(), *make_long_segments()


@jit()
def caches_of(caches):
    index, rows, used, long_index, values, long_used = caches
    short = SegmentCache(data_pointer(index), data_pointer(rows), data_pointer(used))
    return Caches(short, LongSegments(data_pointer(long_index), data_pointer(values), data_pointer(long_used)))


@jit()
def tables_of(tables):
    classes, merges, nodes, is_cut, tokens, special, special_first, has_prefix, keeps_prefix = tables
    return Tables(
        data_pointer(classes),
        merges_of(merges),
        data_pointer(nodes),
        is_cut,
        data_pointer(tokens),
        data_pointer(special),
        data_pointer(special_first),
        has_prefix,
        keeps_prefix,
    )


@jit()
def look_up_segments(text, at, end, wide, caches):
    """As in `encode.py`. A segment that is not empty, nor the first, begins with the space before it."""
    count, block, bits, cache = 0, at, spaces_from(text, at, wide), caches.short
    while at <= end and count < LOOKAHEAD:
        while bits == 0:
            block += 64 >> wide
            bits = spaces_from(text, block, wide)
        size = block + count_trailing_zeros(bits) - at
        bits &= bits - np.uint64(1)
        before = np.int64(size > 0 and at > 0)
        start, length = at - before, size + before << wide
        low, high = key_of(text, start, length, wide)
        hashed = hash_key(low, high)
        prefetch_line(cache.index, slot_of(hashed))
        text.starts[count], text.sizes[count], text.rows[count] = start, length, hashed
        at, count = at + size + 1, count + 1
    for segment in range(count):
        text.rows[segment] = find_row(cache, text.rows[segment])[0] * ROW_BYTES
        prefetch_line(cache.rows, text.rows[segment])
    return count, at


load_and_look_up_byte_level = load_and_look_up.specialize("load_and_look_up_byte_level", look_up_segments=look_up_segments)


@jit()
def encode_text(text, loaded, tables, caches, scratch, output, count):
    """A text that was loaded -> the number of pieces in `output`; −1: fallback."""
    segments, at, end, wide = loaded
    first = np.int64(text.wide[0] if wide else text.narrow[0])
    if end and (tables.has_prefix or tables.keeps_prefix) and tables.classes[first] == WHITE_SPACE:
        return NEEDS_PYTHON
    state = count, np.int64(0), np.int64(0), np.int64(0)
    while True:
        state = encode_segments(text, segments, wide, state, tables, caches, scratch, output)
        if state[0] < 0 or at > end:
            break
        segments, at = look_up_segments(text, at, end, wide, caches)
    if state[0] >= 0 and state[3]:
        state = append_spaces(text, end, wide, state, tables, scratch, output)
    if state[0] != AS_ONE_RANGE:
        return state[0]
    widen(text, 0, end, wide)
    return encode_range(text.wide, np.int64(0), end, True, tables, scratch, output, count)[0]


@jit()
def widen(text, start, stop, wide):
    """Units start to stop, and one more, into text.wide."""
    if not wide:
        for at in range(start, stop + 1, 32):
            widen_u8x32(text.wide, at, text.narrow)


@jit()
def encode_segments(text, segments, wide, state, tables, caches, scratch, output):
    """The segments that were looked up. state: (number of pieces, NEEDS_PYTHON or AS_ONE_RANGE; the next character; the next word;
    the spaces before the next segment that are a word of their own) -> the state after them."""
    rows = caches.short.rows
    for segment in range(segments):
        start, size, row = text.starts[segment], text.sizes[segment], text.rows[segment]
        if size == 0:
            state = state[0], state[1], state[2], state[3] + (start > 0)
            continue
        if state[3]:
            state = append_spaces(text, start, wide, state, tables, scratch, output)
        if not has_segment(caches.short, row, text, start, size, wide):
            state = encode_new(text, start, size, wide, state, tables, caches, scratch, output)
            if state[0] < 0:
                return state
            continue
        count, character, word, spaces = state
        # Writes all six pieces that a row can hold, without a branch; the next segment overwrites the excess.
        copy_24_bytes(output.ids, count, rows, row + IDS)
        if output.with_offsets:
            add_u8x12(output.offsets, 2 * count, rows, row + OFFSETS, character)
            add_u8x8(output.word_ids, count, rows, row + WORD_IDS, word)
            character += np.int64(rows[row + CHARACTERS])
            word += np.int64(rows[row + WORDS])
        state = count + np.int64(rows[row + PIECES]), character, word, spaces
    return state


@jit()
def append_spaces(text, stop, wide, state, tables, scratch, output):
    """The spaces that end at unit `stop` as a word -> the state after it."""
    first, character, word, spaces = state
    widen(text, stop - spaces, stop, wide)
    count = encode_range(text.wide, stop - spaces, stop, False, tables, scratch, output, first)[0]
    if count < 0:
        return np.int64(NEEDS_PYTHON), character, word, np.int64(0)
    shift_pieces(output, first, count, character, word)
    return count, character + spaces, word + 1, np.int64(0)


@jit()
def shift_pieces(output, first, count, character, word):
    """Add the position of a range in the text to the offsets and word ids of its pieces."""
    if output.with_offsets:
        for piece in range(first, count):
            output.offsets[2 * piece] += character
            output.offsets[2 * piece + 1] += character
            output.word_ids[piece] += word


@jit()
def encode_new(text, start, size, wide, state, tables, caches, scratch, output):
    """A segment that is not in the cache of short ones; it is inserted into one of the two, if it fits -> the state after it."""
    first, character, word, spaces = state
    byte, entry, slot = start << wide, np.int64(0), np.int64(0)
    if size <= MAX_LONG_BYTES:
        entry, slot = find_long(text, byte, size, wide, caches)
        if entry:
            count, character, word = append_entry(caches.long, entry, output, first, character, word)
            return count, character, word, spaces
    stop = start + (size >> wide)
    widen(text, start, stop, wide)
    has_space = text.wide[start] == SPACE_UNIT
    if tables.classes[text.wide[start + has_space]] == WHITE_SPACE or tables.classes[text.wide[stop - 1]] == WHITE_SPACE:
        return np.int64(AS_ONE_RANGE), character, word, spaces
    count, characters, words = encode_range(text.wide, start, stop, not has_space, tables, scratch, output, first)
    if count < 0:
        return np.int64(NEEDS_PYTHON), character, word, spaces
    if size <= MAX_KEY_BYTES and count - first <= MAX_PIECES:
        low, high = key_of(text, start, size, wide)
        cache_insert(caches.short, low, high, size + WIDE * wide, output, first, count, characters, words)
    elif size <= MAX_LONG_BYTES:
        insert_long(text, slot, byte, size, wide, caches, output, first, (count, characters, words))
    shift_pieces(output, first, count, character, word)
    return count, character + characters, word + words, spaces


@jit()
def find_long(text, byte, size, wide, caches):
    if wide:
        return find_entry(caches.long, text.wide, byte, size, wide)
    return find_entry(caches.long, text.narrow, byte, size, wide)


@jit()
def insert_long(text, slot, byte, size, wide, caches, output, first, result):
    if wide:
        insert_entry(caches.long, slot, text.wide, byte, size, wide, output, first, result)
    else:
        insert_entry(caches.long, slot, text.narrow, byte, size, wide, output, first, result)


encode_byte_level = encode.specialize(
    "encode_byte_level",
    tables_of=tables_of,
    cache_of=caches_of,
    scratch_of=word_of,
    load_and_look_up=load_and_look_up_byte_level,
    encode_text=encode_text,
)
