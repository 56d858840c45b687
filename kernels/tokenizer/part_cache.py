"""The parts met before, with their pieces: a hash table, whose rows are a cache line each.

    index    hash of a part -> the number of its row; half of its places stay empty, so a search is short
    rows     in the order in which they were made: few parts lie on few pages, each of which takes 3 µs when first written

What `wordpiece.py` looks up in it, and writes into it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..compiler.jit import jit
from ..simd.memory import store_word

# A row, in bytes: the part, filled up with zeros; its pieces' ids; start and end of each in the part's characters; the word
# of each, counted in the part; the part's kind; how many pieces, characters, and words.
ROW, KEPT_BYTES, KEPT_PIECES = 64, 16, 6
IDS, PLACES, WORDS, KIND, PIECES, CHARACTERS, COUNT = 16, 40, 52, 58, 59, 60, 61
WIDE = 32  # in a part's kind, beside its bytes: its units have two
ROWS = (1 << 16) - 64  # a little below 4 MiB, from where on NumPy asks for pages of 2 MiB; to clear one took 2 ms
INDEX_BITS = 17  # twice as many places as rows
MIX = np.uint64(0x9E3779B97F4A7C15)  # 2⁶⁴ over the golden ratio: spreads keys over the upper bits (Knuth, TAOCP 6.4)


class Memory(NamedTuple):
    """The tables, and how much of them is used."""

    index: np.ndarray  # (1 << INDEX_BITS,) uint32: a hash's mark, and the number of a row; 0: no part
    rows: np.ndarray  # (ROWS * ROW,) uint8; row 0 is no part's
    used: np.ndarray  # (1,) int64: rows


def make_memory() -> tuple:
    """A Memory without a part, as a plain tuple. A row that lay across two lines of the cache would take two reads."""
    raw = np.empty((ROWS + 1) * ROW, np.uint8)
    skip = -raw.ctypes.data % ROW
    rows = raw[skip : skip + ROWS * ROW]
    rows[:ROW] = 0
    return np.zeros(1 << INDEX_BITS, np.uint32), rows, np.ones(1, np.int64)


@jit()
def hash_of(key, more):
    """The two words of a key -> 63 bits. The upper ones are the place in the index to begin at, 16 further down the mark."""
    return np.int64((key ^ more * MIX) * MIX >> np.uint64(1))


@jit()
def mark_of(hashed):
    return hashed >> 30 & 0xFFFF


@jit()
def place_of(hashed):
    return hashed >> (63 - INDEX_BITS)


@jit()
def find_row(memory, hashed):
    """-> (the number of the first row with this mark, 0 for none; its place in the index, or the one it would have)."""
    place = place_of(hashed)
    while True:
        entry = np.int64(memory.index[place])
        if entry == 0 or entry >> 16 == mark_of(hashed):
            return entry & 0xFFFF, place
        place = (place + 1) & ((1 << INDEX_BITS) - 1)


@jit()
def remember(memory, key, more, kind, output, first, count, characters, words):
    """Write a part's row; its pieces are those of `output` from first to count. Of two parts with one mark that would lie
    beside each other, which are rare, the second is not remembered."""
    hashed = hash_of(key, more)
    number, place = find_row(memory, hashed)
    if number:  # that, or this part was looked up twice before it was encoded
        return
    if memory.used[0] == ROWS:  # it begins afresh
        for entry in range(1 << INDEX_BITS):
            memory.index[entry] = 0
        memory.used[0], place = 1, find_row(memory, hashed)[1]
    memory.index[place] = mark_of(hashed) << 16 | memory.used[0]
    rows, row = memory.rows, memory.used[0] * ROW
    memory.used[0] += 1
    store_word(rows, row, key)
    store_word(rows, row + 8, more)
    for piece in range(count - first):
        store_word(rows, row + IDS + 4 * piece, np.uint64(output.ids[first + piece]))  # and zeros behind it
    for piece in range(count - first if output.places else 0):
        rows[row + PLACES + 2 * piece] = output.offsets[2 * (first + piece)]
        rows[row + PLACES + 2 * piece + 1] = output.offsets[2 * (first + piece) + 1]
        rows[row + WORDS + piece] = output.words[first + piece]
    rows[row + KIND], rows[row + PIECES] = kind, count - first
    rows[row + CHARACTERS], rows[row + COUNT] = characters, words
