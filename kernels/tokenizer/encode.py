"""WordPiece over many texts at once: Python's strings in; ids, offsets and word ids out, in arrays.

The definition is `minibert/tokenization/pipeline.py`; `minibert/tokenization/compiled.py` builds the tables and calls
this. It is the same pipeline in layers, each of which leaves the rare case to the next:

    encode_segments  A segment, which is the text between two spaces, gives the same pieces in every text. A segment of at
                     most 16 bytes is two integers, the key to its pieces in a hash table: `segment_cache.py`.
    encode_new       A segment that is not in the cache: its characters' normal forms from one table, its words through a
                     trie; `segment.py` and `trie.py`.
    Python           A text with an added token, or with marks that change places: its `fallback` is set, and it gets no
                     pieces here.

`cpython_strings.py` reads the texts from Python's memory. Two texts are processed at a time: the segments of the next one
are looked up, and their rows prefetched, before this one is encoded. If the rows exceed the nearer caches, as those of
many scripts do, waiting for them took half of the time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..compiler.jit import jit
from ..simd.memory import (
    add_u8x8,
    add_u8x12,
    copy_24_bytes,
    count_trailing_zeros,
    data_pointer,
    equals_key,
    i64_ptr,
    load_key,
    prefetch_line,
    space_mask,
    u8_ptr,
    widen_u8x32,
)
from .cpython_strings import layout_of, load_text
from .segment import Output, Scratch, Tables, append_piece, encode_segment
from .segment_cache import (
    CHARACTERS,
    IDS,
    MAX_KEY_BYTES,
    MAX_PIECES,
    OFFSETS,
    PIECES,
    ROW_BYTES,
    SIZE,
    WIDE,
    WORD_IDS,
    WORDS,
    SegmentCache,
    cache_insert,
    find_row,
    hash_key,
    slot_of,
)

EXTRA_PIECES = 8  # pieces that may be written after the last one
LOOKAHEAD = 64  # segments of a text that are looked up at a time
PREFETCH_DISTANCE = 4  # texts


class Text(NamedTuple):
    """Memory for a text and for its next segments."""

    narrow: np.ndarray  # uint8: its units, if they have one byte
    wide: np.ndarray  # uint16: its units if they have two; otherwise those of new segments
    starts: np.ndarray  # (LOOKAHEAD,) int64: the first unit of each segment
    sizes: np.ndarray  # (LOOKAHEAD,) int64: its bytes
    rows: np.ndarray  # (LOOKAHEAD,) int64: its hash, then the offset of its row in the cache


@jit()
def key_of(text, start, size, wide):
    """A segment's first 16 bytes as two words."""
    return load_key(text.wide, 2 * start, size) if wide else load_key(text.narrow, start, size)


@jit()
def has_segment(cache, row, text, start, size, wide):
    """Whether this row is the segment's."""
    if cache.rows[row + SIZE] != size + WIDE * wide:
        return False
    if wide:
        return equals_key(cache.rows, row, text.wide, 2 * start, size)
    return equals_key(cache.rows, row, text.narrow, start, size)


@jit()
def text_of(narrow, wide, lists):
    starts, sizes, rows = data_pointer(lists[0]), data_pointer(lists[1]), data_pointer(lists[2])
    return Text(data_pointer(narrow), data_pointer(wide), starts, sizes, rows)


@jit()
def load_and_look_up(texts, index, last, layout, text, cache):
    """Load a text and look up its first segments -> (their number, the unit after them, the text's units, whether these are
    wide). −1 units: it has half of a surrogate pair."""
    later_text = u8_ptr(texts[min(index + PREFETCH_DISTANCE, last)])
    for line in range(3):
        prefetch_line(later_text, 64 * line)
    end, wide = load_text(texts[index], layout, text.narrow, text.wide)
    segments, at = look_up_segments(text, np.int64(0), end, wide, cache)
    return segments, at, end, wide


@jit()
def spaces_from(text, at, wide):
    """Which of the next units are spaces, as bits: of 64, or of 32 wide ones."""
    return space_mask(text.wide, at) if wide else space_mask(text.narrow, at)


@jit()
def look_up_segments(text, at, end, wide, cache):
    """Look up at most LOOKAHEAD segments from unit `at` on -> (their number, the unit after them and their space). First
    their slots in the index are prefetched, then their rows. The spaces of a block are found at once: with one search per
    space, which cannot begin before the previous one has ended, English sentences took a fifth more time."""
    count, block, bits = 0, at, spaces_from(text, at, wide)
    while at <= end and count < LOOKAHEAD:
        while bits == 0:
            block += 64 >> wide
            bits = spaces_from(text, block, wide)
        size = block + count_trailing_zeros(bits) - at
        bits &= bits - np.uint64(1)
        low, high = key_of(text, at, size << wide, wide)
        hashed = hash_key(low, high)
        prefetch_line(cache.index, slot_of(hashed))
        text.starts[count], text.sizes[count], text.rows[count] = at, size << wide, hashed
        at, count = at + size + 1, count + 1
    for segment in range(count):
        text.rows[segment] = find_row(cache, text.rows[segment])[0] * ROW_BYTES
        prefetch_line(cache.rows, text.rows[segment])
    return count, at


@jit()
def encode_text(text, loaded, tables, cache, scratch, output, count):
    """A text that was loaded -> the number of pieces in `output`; −1: fallback."""
    segments, at, end, wide = loaded
    state = count, 0, 0
    while True:
        state = encode_segments(text, segments, wide, state, tables, cache, scratch, output)
        if state[0] < 0 or at > end:
            return state[0]
        segments, at = look_up_segments(text, at, end, wide, cache)


@jit()
def encode_segments(text, segments, wide, state, tables, cache, scratch, output):
    """The segments that were looked up. state: (number of pieces, or −1 for fallback; the next character; the next word)
    -> the state after them."""
    rows = cache.rows
    for segment in range(segments):
        start, size, row = text.starts[segment], text.sizes[segment], text.rows[segment]
        count, character, word = state
        if size == 0:
            state = count, character + 1, word
            continue
        if not has_segment(cache, row, text, start, size, wide):
            state = encode_new(text, start, size, wide, state, tables, cache, scratch, output)
            if state[0] < 0:
                return state
            continue
        # Writes all six pieces that a row can hold, without a branch; the next segment overwrites the excess.
        copy_24_bytes(output.ids, count, rows, row + IDS)
        if output.with_offsets:
            add_u8x12(output.offsets, 2 * count, rows, row + OFFSETS, character)
            add_u8x8(output.word_ids, count, rows, row + WORD_IDS, word)
            character += np.int64(rows[row + CHARACTERS]) + 1
            word += np.int64(rows[row + WORDS])
        state = count + np.int64(rows[row + PIECES]), character, word
    return state


@jit()
def encode_new(text, start, size, wide, state, tables, cache, scratch, output):
    """A segment that is not in the cache; it is inserted if it is short enough -> the state after it."""
    first, character, word = state
    stop = start + (size >> wide)
    if not wide:
        for at in range(start, stop + 1, 32):  # and the space, at which the search for added tokens ends
            widen_u8x32(text.wide, at, text.narrow)
    count, characters, words = encode_segment(text.wide, start, stop, tables, scratch, output, first)
    if count < 0:
        return count, character, word
    if size <= MAX_KEY_BYTES and count - first <= MAX_PIECES:
        low, high = key_of(text, start, size, wide)
        cache_insert(cache, low, high, size + WIDE * wide, output, first, count, characters, words)
    if output.with_offsets:
        for piece in range(first, count):
            output.offsets[2 * piece] += character
            output.offsets[2 * piece + 1] += character
            output.word_ids[piece] += word
    return count, character + characters + 1, word + words


@jit()
def tables_of(tables):
    normal, expansions, nodes, values, single, special, special_first, unknown, max_characters = tables
    return Tables(
        data_pointer(normal),
        data_pointer(expansions),
        data_pointer(nodes),
        data_pointer(values),
        data_pointer(single),
        data_pointer(special),
        data_pointer(special_first),
        unknown,
        max_characters,
    )


@jit()
def cache_of(cache):
    index, rows, used = cache
    return SegmentCache(data_pointer(index), data_pointer(rows), data_pointer(used))


@jit()
def scratch_of(words):
    return Scratch(
        data_pointer(words[0]), data_pointer(words[1]), data_pointer(words[2]), data_pointer(words[3]), data_pointer(words[4])
    )


@jit(nogil=True)
def encode(items, layout, tables, cache, scratch, options, output, results):
    """Texts, whose addresses are at `items` -> `output` and the results: bounds (S+1,) int64, and fallback (S,) uint8, 1 if
    Python must encode the text. If a text has half of a surrogate pair, bounds[0] is −1.

    options: the ids before and after each text (−1 for none), the maximum pieces of a text, and whether to write offsets
    and word ids.
    """
    texts, layout = i64_ptr(items), layout_of(layout)
    tables, cache = tables_of(tables), cache_of(cache)
    words, narrow, wide, lists = scratch
    text, next_text = text_of(narrow[0], wide[0], lists[0]), text_of(narrow[1], wide[1], lists[1])
    scratch = scratch_of(words)
    id_before, id_after, max_pieces, with_offsets = options
    ids, offsets, word_ids = output
    output = Output(data_pointer(ids), data_pointer(offsets), data_pointer(word_ids), with_offsets)
    bounds, fallback = results
    count, zero, last = 0, np.int64(0), len(fallback) - 1
    bounds[0] = 0
    loaded, next_loaded = (0, 0, 0, 0), (0, 0, 0, 0)
    for i in range(-1, len(fallback)):
        if i < last:
            next_loaded = load_and_look_up(texts, i + 1, last, layout, next_text, cache)
        if i >= 0:
            if loaded[2] < 0:
                bounds[0] = -1
                return
            first = count
            if id_before >= 0:
                count = append_piece(output, count, id_before, zero, zero, zero - 1)
            start = count
            count = encode_text(text, loaded, tables, cache, scratch, output, start)
            fallback[i] = count < 0
            if count < 0:
                count = first
            else:
                count = min(count, start + max_pieces)
                if id_after >= 0:
                    count = append_piece(output, count, id_after, zero, zero, zero - 1)
            bounds[i + 1] = count
        text, next_text, loaded = next_text, text, next_loaded
