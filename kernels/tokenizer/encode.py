"""WordPiece over many texts at once: Python's strings in; ids, offsets and word ids out, in arrays.

The definition is `minibert/tokenization/pipeline.py`; `minibert/tokenization/batch.py` makes the tables and calls this.
It is that pipeline in layers, each of which leaves the rare case to the next:

    encode_parts  What stands between two spaces gives the same pieces wherever it stands. A part of at most 16 bytes
                  is two integers, the key to its pieces in a hash table: `wordpiece_memory.py`.
    encode_new    A part not met before: its characters' normal forms from one table, its words through a trie;
                  `wordpiece_parts.py` and `wordpiece_trie.py`.
    Python        A text that holds an added token, or marks that change places: `slow` says which, nothing is emitted.

How a text comes out of Python's memory: `strings.py`. Two are in work at a time: of the next one the parts are looked up,
and their rows asked for, before this one is encoded. Where the rows fill more than the nearer caches, as those of many
scripts do, half of the time went in waiting for them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..compiler.jit import jit
from ..simd.memory import (
    bytes_at,
    copy_six,
    has_key,
    load_key,
    lowest,
    numbers_at,
    pointer,
    prefetch,
    spaces,
    spread_eight,
    spread_twelve,
    widen,
)
from .cpython_strings import layout_of, load_text
from .part_cache import (
    CHARACTERS,
    COUNT,
    IDS,
    KEPT_BYTES,
    KEPT_PIECES,
    KIND,
    PIECES,
    PLACES,
    ROW,
    WIDE,
    WORDS,
    Memory,
    find_row,
    hash_of,
    place_of,
    remember,
)  # fmt: skip
from .segment import Output, Scratch, Tables, emit, encode_part

MORE = 8  # pieces that may be written behind the last one
LISTED = 64  # parts of a text looked up at a time
AHEAD = 4  # texts between the one that is loaded and the one whose characters are asked for


class Text(NamedTuple):
    """Room for a text, and for its next parts."""

    narrow: np.ndarray  # uint8: its units, if they have one byte
    wide: np.ndarray  # uint16: its units if they have two; else those of parts that are new
    starts: np.ndarray  # (LISTED,) int64: the unit that each part begins with
    sizes: np.ndarray  # (LISTED,) int64: its bytes
    rows: np.ndarray  # (LISTED,) int64: where in the memory its row begins, if it has one; before that is known, its hash


@jit()
def key_of(text, start, size, wide):
    """A part's bytes as two words; of one that is too long to be kept, any."""
    return load_key(text.wide, 2 * start, size) if wide else load_key(text.narrow, start, size)


@jit()
def has_part(memory, row, text, start, size, wide):
    """Whether it is this part's row."""
    if memory.rows[row + KIND] != size + WIDE * wide:
        return False
    if wide:
        return has_key(memory.rows, row, text.wide, 2 * start, size)
    return has_key(memory.rows, row, text.narrow, start, size)


@jit()
def room_for_text(narrow, wide, lists):
    return Text(pointer(narrow), pointer(wide), pointer(lists[0]), pointer(lists[1]), pointer(lists[2]))


@jit()
def begin_text(texts, index, last, layout, text, memory):
    """Load a text and look up its first parts -> (how many, the unit behind them, how many units it has, whether they are
    wide). −1 units: half of a surrogate pair is in it."""
    coming = bytes_at(texts[min(index + AHEAD, last)])
    for line in range(3):
        prefetch(coming, 64 * line)
    end, wide = load_text(texts[index], layout, text.narrow, text.wide)
    parts, at = list_parts(text, np.int64(0), end, wide, memory)
    return parts, at, end, wide


@jit()
def spaces_of(text, at, wide):
    """Which of the next units are spaces, as bits: of 64, or of 32 wide ones."""
    return spaces(text.wide, at) if wide else spaces(text.narrow, at)


@jit()
def list_parts(text, at, end, wide, memory):
    """Look up the parts from unit `at` on, LISTED at the most -> (how many, the unit behind them and their space). First
    their places in the index are asked for, then their rows. A block's spaces are found at once: with a search for each,
    which cannot begin before the one ahead of it has ended, sentences of English took a fifth more time."""
    count, block, bits = 0, at, spaces_of(text, at, wide)
    while at <= end and count < LISTED:
        while bits == 0:
            block += 64 >> wide
            bits = spaces_of(text, block, wide)
        size = block + lowest(bits) - at
        bits &= bits - np.uint64(1)
        key, more = key_of(text, at, size << wide, wide)
        hashed = hash_of(key, more)
        prefetch(memory.index, place_of(hashed))
        text.starts[count], text.sizes[count], text.rows[count] = at, size << wide, hashed
        at, count = at + size + 1, count + 1
    for part in range(count):
        text.rows[part] = find_row(memory, text.rows[part])[0] * ROW
        prefetch(memory.rows, text.rows[part])
    return count, at


@jit()
def encode_text(text, reading, tables, memory, scratch, output, count):
    """A text that was begun -> count of pieces now; −1: slow."""
    parts, at, end, wide = reading
    state = count, 0, 0
    while True:
        state = encode_parts(text, parts, wide, state, tables, memory, scratch, output)
        if state[0] < 0 or at > end:
            return state[0]
        parts, at = list_parts(text, at, end, wide, memory)


@jit()
def encode_parts(text, parts, wide, state, tables, memory, scratch, output):
    """The parts listed, from a state on: count of pieces, −1: slow; the next character and word -> the state behind them."""
    rows = memory.rows
    for part in range(parts):
        start, size, row = text.starts[part], text.sizes[part], text.rows[part]
        count, character, word = state
        if size == 0:
            state = count, character + 1, word
            continue
        if not has_part(memory, row, text, start, size, wide):
            state = encode_new(text, start, size, wide, state, tables, memory, scratch, output)
            if state[0] < 0:
                return state
            continue
        # All six pieces a row can hold are written, without a branch: the next part's go over those too many.
        copy_six(output.ids, count, rows, row + IDS)
        if output.places:
            spread_twelve(output.offsets, 2 * count, rows, row + PLACES, character)
            spread_eight(output.words, count, rows, row + WORDS, word)
            character += np.int64(rows[row + CHARACTERS]) + 1
            word += np.int64(rows[row + COUNT])
        state = count + np.int64(rows[row + PIECES]), character, word
    return state


@jit()
def encode_new(text, start, size, wide, state, tables, memory, scratch, output):
    """A part that is not remembered, and from now on is if it may be -> the state behind it."""
    first, character, word = state
    stop = start + (size >> wide)
    if not wide:
        for at in range(start, stop + 1, 32):  # and the space, on which the look for added tokens ends
            widen(text.wide, at, text.narrow)
    count, characters, words = encode_part(text.wide, start, stop, tables, scratch, output, first)
    if count < 0:
        return count, character, word
    if size <= KEPT_BYTES and count - first <= KEPT_PIECES:
        key, more = key_of(text, start, size, wide)
        remember(memory, key, more, size + WIDE * wide, output, first, count, characters, words)
    if output.places:
        for piece in range(first, count):
            output.offsets[2 * piece] += character
            output.offsets[2 * piece + 1] += character
            output.words[piece] += word
    return count, character + characters + 1, word + words


@jit(nogil=True)
def encode(items, layout, tables, memory, scratch, frame, output, answers):
    """Texts, whose addresses lie at `items` -> `output` and answers: bounds (S+1,) int64, and slow (S,) uint8, 1 where
    Python is to do a text instead. A text that holds half of a surrogate pair leaves bounds[0] at −1.

    frame: ids put before and after each text (−1 for none), how many pieces of a text are kept, and whether offsets and
    word ids are wanted.
    """
    texts, layout = numbers_at(items), layout_of(layout)
    normal, images, nodes, values, single, special, special_first, unknown, longest = tables
    tables = Tables(
        pointer(normal), pointer(images), pointer(nodes), pointer(values), pointer(single), pointer(special),
        pointer(special_first), unknown, longest,
    )  # fmt: skip
    index, rows, used = memory
    memory = Memory(pointer(index), pointer(rows), pointer(used))
    words, narrow, wide, lists = scratch
    text, other = room_for_text(narrow[0], wide[0], lists[0]), room_for_text(narrow[1], wide[1], lists[1])
    scratch = Scratch(pointer(words[0]), pointer(words[1]), pointer(words[2]), pointer(words[3]), pointer(words[4]))
    before, after, room, places = frame
    ids, offsets, words = output
    output = Output(pointer(ids), pointer(offsets), pointer(words), places)
    bounds, slow = answers
    count, none, last = 0, np.int64(0), len(slow) - 1
    bounds[0] = 0
    reading, coming = (0, 0, 0, 0), (0, 0, 0, 0)
    for number in range(-1, len(slow)):
        if number < last:
            coming = begin_text(texts, number + 1, last, layout, other, memory)
        if number >= 0:
            if reading[2] < 0:
                bounds[0] = -1
                return
            first = count
            if before >= 0:
                count = emit(output, count, before, none, none, none - 1)
            start = count
            count = encode_text(text, reading, tables, memory, scratch, output, start)
            slow[number] = count < 0
            if count < 0:
                count = first
            else:
                count = min(count, start + room)
                if after >= 0:
                    count = emit(output, count, after, none, none, none - 1)
            bounds[number + 1] = count
        text, other, reading = other, text, coming
