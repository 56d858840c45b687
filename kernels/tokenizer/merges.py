"""Byte-pair encoding of a word: the merges as a hash table of pairs, and their order.

    pairs      [left symbol and right symbol, rank and merged symbol, ...]; of open addressing, at most half full
    symbols    tokens by their index in the vocabulary; at first those of a word's bytes

The definition is `minibert/tokenization/stages/byte_level_bpe.py`. Words are short, so the pair to merge is searched among all.
"""

from __future__ import annotations

import numpy as np

from ..compiler.jit import jit
from .segment_cache import MULTIPLIER

NO_PAIR = (1 << 63) - 1  # more than any rank and symbol
EMPTY_SLOT = -1
SYMBOL_MASK = (1 << 32) - 1


@jit()
def slot_of_pair(pair, bits):
    return np.int64(np.uint64(pair) * MULTIPLIER >> np.uint64(64 - bits))


@jit()
def build(lefts, rights, merged, pairs, bits):
    """The merges in the order of their rank -> pairs (2 << bits,), all EMPTY_SLOT at first. Of two equal merges the last counts."""
    for rank in range(len(lefts)):
        pair = lefts[rank] << 32 | rights[rank]
        slot = slot_of_pair(pair, bits)
        while pairs[2 * slot] != EMPTY_SLOT and pairs[2 * slot] != pair:
            slot = (slot + 1) & ((1 << bits) - 1)
        pairs[2 * slot], pairs[2 * slot + 1] = pair, np.int64(rank) << 32 | merged[rank]


@jit()
def find_pair(pairs, bits, left, right):
    """-> rank << 32 | merged symbol, or NO_PAIR."""
    pair = left << 32 | right
    slot = slot_of_pair(pair, bits)
    while pairs[2 * slot] != pair:
        if pairs[2 * slot] == EMPTY_SLOT:
            return NO_PAIR
        slot = (slot + 1) & ((1 << bits) - 1)
    return pairs[2 * slot + 1]


@jit()
def merge(symbols, firsts, found, size, pairs, bits):
    """The symbols of a word's bytes -> the number of its tokens; `symbols` and `firsts` are theirs, and the first byte of each.

    found: scratch for the pair of each symbol and the next one.
    """
    for index in range(size):
        firsts[index] = index
        found[index] = find_pair(pairs, bits, symbols[index], symbols[index + 1]) if index + 1 < size else NO_PAIR
    while True:
        first, at = NO_PAIR, 0
        for index in range(size - 1):
            if found[index] < first:
                first, at = found[index], index
        if first == NO_PAIR:
            return size
        size -= 1
        for index in range(at + 1, size):
            symbols[index], firsts[index], found[index] = symbols[index + 1], firsts[index + 1], found[index + 1]
        symbols[at] = first & SYMBOL_MASK
        found[at] = find_pair(pairs, bits, symbols[at], symbols[at + 1]) if at + 1 < size else NO_PAIR
        if at:
            found[at - 1] = find_pair(pairs, bits, symbols[at - 1], symbols[at])
