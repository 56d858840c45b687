"""Segments that do not fit into a row of segment_cache.py, with their pieces: a hash table of entries of any length.

    index     hash of a segment -> the first value of its entry; at most half full
    values    entries: a header, the segment's bytes 16 by 16, and a value for each piece

Words of Thai or Chinese are such segments; encoding one again takes a hundred times as long.
"""

from __future__ import annotations

from mmap import mmap
from typing import NamedTuple

import numpy as np

from ..compiler.jit import jit
from ..simd.memory import load_key
from .segment_cache import MULTIPLIER

MAX_LONG_BYTES = 1008  # of a segment that is cached; so its characters and words are fewer than 1024
LONG_INDEX_BITS = 18
LONG_VALUES = (1 << 21) - 64  # 16 MiB
MAX_ENTRY_VALUES = 1 + 2 * (MAX_LONG_BYTES // 16) + 2 * MAX_LONG_BYTES  # a byte of Latin-1 has at most two pieces
SIZE_MASK = 0xFFFF  # of a header: the size in bytes and whether units have two; then pieces, characters, words, each 16 bits
WIDE_FLAG = 1 << 15
ID_BITS, FIELD_BITS = 31, 10  # of a piece: its id, start, end, word
FIELD_MASK = (1 << FIELD_BITS) - 1


class LongSegments(NamedTuple):
    index: np.ndarray  # (1 << LONG_INDEX_BITS,) int32; 0: empty
    values: np.ndarray  # (LONG_VALUES,) int64; the first is unused
    used: np.ndarray  # (2,) int64: values and entries


def make_long_segments() -> tuple:
    """An empty LongSegments, as a plain tuple. NumPy asks for pages of 2 MiB for an array of this size; mmap does not."""
    values = np.frombuffer(mmap(-1, 8 * LONG_VALUES), np.int64)
    return np.zeros(1 << LONG_INDEX_BITS, np.int32), values, np.array([1, 0])


@jit()
def hash_bytes(data, byte, size):
    """The `size` bytes from byte `byte` of `data` on -> 64 bits."""
    hashed = np.uint64(size)
    for at in range(0, size, 16):
        low, high = load_key(data, byte + at, min(size - at, 16))
        hashed = ((hashed ^ low) * MULTIPLIER ^ high) * MULTIPLIER
        hashed ^= hashed >> np.uint64(29)
    return hashed


@jit()
def equals_entry(values, entry, data, byte, size, wide):
    """Whether the entry is that of these bytes."""
    if values[entry] & SIZE_MASK != size + WIDE_FLAG * wide:
        return False
    for at in range(0, size, 16):
        low, high = load_key(data, byte + at, min(size - at, 16))
        key = entry + 1 + (at >> 3)
        if np.uint64(values[key]) != low or np.uint64(values[key + 1]) != high:
            return False
    return True


@jit()
def find_entry(long, data, byte, size, wide):
    """-> (the segment's entry, or 0; its slot in the index, or the slot that it would have)."""
    slot = np.int64(hash_bytes(data, byte, size) >> np.uint64(64 - LONG_INDEX_BITS))
    while True:
        entry = np.int64(long.index[slot])
        if entry == 0 or equals_entry(long.values, entry, data, byte, size, wide):
            return entry, slot
        slot = (slot + 1) & ((1 << LONG_INDEX_BITS) - 1)


@jit()
def insert_entry(long, slot, data, byte, size, wide, output, first, result):
    """Write a segment's entry; its pieces are those of `output` from `first` on. result: (pieces with those before, characters,
    words). If there is no room, all entries are removed, and this one is not written."""
    count, characters, words = result
    if long.used[0] + MAX_ENTRY_VALUES > LONG_VALUES or long.used[1] == 1 << (LONG_INDEX_BITS - 1):
        for other in range(1 << LONG_INDEX_BITS):
            long.index[other] = 0
        long.used[0], long.used[1] = 1, 0
        return
    entry = long.used[0]
    long.index[slot] = entry
    values, pieces = long.values, count - first
    values[entry] = (size + WIDE_FLAG * wide) | pieces << 16 | characters << 32 | words << 48
    at = entry + 1
    for offset in range(0, size, 16):
        low, high = load_key(data, byte + offset, min(size - offset, 16))
        values[at], values[at + 1], at = np.int64(low), np.int64(high), at + 2
    for piece in range(first, count):
        values[at] = np.int64(output.ids[piece])
        if output.with_offsets:
            start, end, word = output.offsets[2 * piece], output.offsets[2 * piece + 1], output.word_ids[piece]
            fields = np.int64(start) | np.int64(end) << FIELD_BITS | np.int64(word) << 2 * FIELD_BITS
            values[at] |= fields << ID_BITS
        at += 1
    long.used[0], long.used[1] = at, long.used[1] + 1


@jit()
def append_entry(long, entry, output, count, character, word):
    """The pieces of an entry -> (number of pieces in `output`, the next character, the next word)."""
    values, header = long.values, long.values[entry]
    pieces = header >> 16 & 0xFFFF
    at = entry + 1 + 2 * (((header & (WIDE_FLAG - 1)) + 15) >> 4)
    for piece in range(pieces):
        value = values[at + piece]
        output.ids[count + piece] = value & ((1 << ID_BITS) - 1)
        if output.with_offsets:
            fields = value >> ID_BITS
            output.offsets[2 * (count + piece)] = (fields & FIELD_MASK) + character
            output.offsets[2 * (count + piece) + 1] = (fields >> FIELD_BITS & FIELD_MASK) + character
            output.word_ids[count + piece] = (fields >> 2 * FIELD_BITS & FIELD_MASK) + word
    return count + pieces, character + (header >> 32 & 0xFFFF), word + (header >> 48)
