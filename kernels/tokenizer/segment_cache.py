"""The segments encoded before, with their pieces: a hash table whose rows are one cache line each.

    index    hash of a segment -> the number of its row; half of the slots stay empty, so that a search is short
    rows     in the order of insertion: a few segments lie on a few pages, and the first write to a page takes 3 µs

`encode.py` reads and writes it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..compiler.jit import jit
from ..simd.memory import store_u64

# A row, in bytes: the segment, padded with zeros; its pieces' ids; start and end of each in the segment's characters; the
# word of each in the segment; the segment's size and width; the number of its pieces, characters, and words.
ROW_BYTES, MAX_KEY_BYTES, MAX_PIECES = 64, 16, 6
IDS, OFFSETS, WORD_IDS, SIZE, PIECES, CHARACTERS, WORDS = 16, 40, 52, 58, 59, 60, 61
WIDE = 32  # added to a segment's size in bytes if its units have two bytes
ROWS = (1 << 16) - 64  # a little below 4 MiB: from there on NumPy asks for pages of 2 MiB, and clearing one took 2 ms
INDEX_BITS = 17  # twice as many slots as rows
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2⁶⁴ over the golden ratio: Fibonacci hashing (Knuth, TAOCP 6.4)


class SegmentCache(NamedTuple):
    """The tables, and the number of rows in use."""

    index: np.ndarray  # (1 << INDEX_BITS,) uint32: a hash's tag and a row number; 0: empty
    rows: np.ndarray  # (ROWS * ROW_BYTES,) uint8; row 0 is always empty
    used: np.ndarray  # (1,) int64: rows


def make_cache() -> tuple:
    """An empty SegmentCache, as a plain tuple. Rows are aligned: one across two cache lines would take two reads."""
    raw = np.empty((ROWS + 1) * ROW_BYTES, np.uint8)
    skip = -raw.ctypes.data % ROW_BYTES
    rows = raw[skip : skip + ROWS * ROW_BYTES]
    rows[:ROW_BYTES] = 0
    return np.zeros(1 << INDEX_BITS, np.uint32), rows, np.ones(1, np.int64)


@jit()
def hash_key(low, high):
    """The two words of a key -> 63 bits. The upper ones are the first slot in the index, the 16 in the middle the tag."""
    return np.int64((low ^ high * MULTIPLIER) * MULTIPLIER >> np.uint64(1))


@jit()
def tag_of(hashed):
    return hashed >> 30 & 0xFFFF


@jit()
def slot_of(hashed):
    return hashed >> (63 - INDEX_BITS)


@jit()
def find_row(cache, hashed):
    """-> (the number of the first row with this tag, or 0; its slot in the index, or the slot that it would have)."""
    slot = slot_of(hashed)
    while True:
        entry = np.int64(cache.index[slot])
        if entry == 0 or entry >> 16 == tag_of(hashed):
            return entry & 0xFFFF, slot
        slot = (slot + 1) & ((1 << INDEX_BITS) - 1)


@jit()
def cache_insert(cache, low, high, size, output, first, count, characters, words):
    """Write a segment's row; its pieces are those of `output` from first to count. Of two segments with the same tag and
    neighboring slots, which are rare, the second is not cached."""
    hashed = hash_key(low, high)
    row_number, slot = find_row(cache, hashed)
    if row_number:  # such a second segment, or one that was looked up twice before it was encoded
        return
    if cache.used[0] == ROWS:  # full: clear it
        for entry in range(1 << INDEX_BITS):
            cache.index[entry] = 0
        cache.used[0], slot = 1, find_row(cache, hashed)[1]
    cache.index[slot] = tag_of(hashed) << 16 | cache.used[0]
    rows, row = cache.rows, cache.used[0] * ROW_BYTES
    cache.used[0] += 1
    store_u64(rows, row, low)
    store_u64(rows, row + 8, high)
    for piece in range(count - first):
        store_u64(rows, row + IDS + 4 * piece, np.uint64(output.ids[first + piece]))  # and zeros behind it
    for piece in range(count - first if output.with_offsets else 0):
        rows[row + OFFSETS + 2 * piece] = output.offsets[2 * (first + piece)]
        rows[row + OFFSETS + 2 * piece + 1] = output.offsets[2 * (first + piece) + 1]
        rows[row + WORD_IDS + piece] = output.word_ids[first + piece]
    rows[row + SIZE], rows[row + PIECES] = size, count - first
    rows[row + CHARACTERS], rows[row + WORDS] = characters, words
