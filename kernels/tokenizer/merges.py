"""Byte-pair encoding of a word: the merges as a hash table of pairs, and their order.

    pairs      left symbol, right symbol and rank in one integer; open addressing, at most half full
    filter     a bit for each hash of a pair, 0 for most pairs that are not there: they are not looked for in the larger table

A symbol is a token's number: the bytes first, then what the merges give, in the order of their rank. So that of a merge is
BYTES + rank, unless two merges give the same token. The definition is `minibert/tokenization/stages/byte_level_bpe.py`.

`merge` takes any list of merges. Words are short, so the next pair is the least of all, eight of which a vector instruction
compares. For the lists that a trainer makes, `longest_tokens.py` is faster.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..compiler.jit import jit
from ..simd.memory import data_pointer
from .segment_cache import MULTIPLIER

SYMBOL_BITS, RANK_BITS = 20, 23  # of an entry: two symbols and a rank
NO_RANK = (1 << RANK_BITS) - 1
EMPTY_SLOT = -1
FILTER_BITS = 20
INDEX_BITS_OF_KEY = 16
BYTES = 256
MAX_WORD_BYTES = 4096  # the time of `merge` grows with the square
NO_KEY = NO_RANK << INDEX_BITS_OF_KEY


class Merges(NamedTuple):
    pairs: np.ndarray  # (1 << bits,) int64
    bits: int
    filter: np.ndarray  # (1 << FILTER_BITS - 3,) uint8
    merged: np.ndarray  # int32: rank -> the symbol that the pair becomes


@jit()
def hash_pair(left, right):
    return np.uint64(left << SYMBOL_BITS | right) * MULTIPLIER


@jit()
def slot_of_pair(hashed, bits):
    return np.int64(hashed >> np.uint64(64 - bits))


@jit()
def filter_bit(hashed):
    """Other bits than those of the slot."""
    return np.int64(hashed >> np.uint64(20)) & ((1 << FILTER_BITS) - 1)


@jit()
def build(lefts, rights, pairs, bits, filter):
    """The merges in the order of their rank -> pairs, all EMPTY_SLOT at first, and filter, all 0. Of two equal merges the last
    counts."""
    for rank in range(len(lefts)):
        hashed, pair = hash_pair(lefts[rank], rights[rank]), lefts[rank] << SYMBOL_BITS | rights[rank]
        slot, bit = slot_of_pair(hashed, bits), filter_bit(hashed)
        while pairs[slot] != EMPTY_SLOT and pairs[slot] >> RANK_BITS != pair:
            slot = (slot + 1) & ((1 << bits) - 1)
        pairs[slot] = pair << RANK_BITS | rank
        filter[bit >> 3] |= np.uint8(1 << (bit & 7))


@jit()
def rank_of(merges, left, right):
    """The rank of a pair, or NO_RANK."""
    hashed = hash_pair(left, right)
    bit = filter_bit(hashed)
    if not merges.filter[bit >> 3] >> (bit & 7) & 1:
        return NO_RANK
    slot, pair = slot_of_pair(hashed, merges.bits), left << SYMBOL_BITS | right
    while merges.pairs[slot] >> RANK_BITS != pair:
        if merges.pairs[slot] == EMPTY_SLOT:
            return NO_RANK
        slot = (slot + 1) & ((1 << merges.bits) - 1)
    return merges.pairs[slot] & NO_RANK


class Word(NamedTuple):
    """Working memory for a word. For `merge` its symbols are a linked list, by the index of the first byte of each."""

    bytes: np.ndarray  # int64, as all of these
    sources: np.ndarray  # the character of each byte
    symbols: np.ndarray  # the result: each token,
    firsts: np.ndarray  # and its first byte
    following: np.ndarray  # the next symbol
    previous: np.ndarray
    keys: np.ndarray  # of the pair with the next symbol: its rank and this index; or NO_KEY and the index
    dead_ends: np.ndarray  # for longest_tokens.py: 1 for a byte at which no token can begin


@jit()
def set_key(word, index, size, merges):
    """Look up the pair of this symbol and the next one."""
    after, rank = word.following[index], NO_RANK
    if after < size:
        rank = rank_of(merges, word.symbols[index], word.symbols[after])
    word.keys[index] = rank << INDEX_BITS_OF_KEY | index


@jit()
def least(keys, size):
    """The least of keys[:size]."""
    key = keys[0]
    for index in range(1, size):
        key = min(key, keys[index])
    return key


@jit()
def merge(word, size, merges):
    """A word of `size` bytes, which are in word.bytes -> the number of its tokens: word.symbols and word.firsts."""
    for index in range(size):
        word.symbols[index] = word.bytes[index]
    for index in range(size):
        word.following[index], word.previous[index] = index + 1, index - 1
        set_key(word, index, size, merges)
    while True:
        key = least(word.keys, size)
        if key >= NO_KEY:
            break
        left = key & ((1 << INDEX_BITS_OF_KEY) - 1)
        right = word.following[left]
        after = word.following[right]
        symbol = np.int64(merges.merged[key >> INDEX_BITS_OF_KEY])
        word.symbols[left], word.following[left], word.previous[after] = symbol, after, left
        word.keys[right] = NO_KEY
        set_key(word, left, size, merges)
        if left:
            set_key(word, word.previous[left], size, merges)
    count, index = 0, 0
    while index < size:
        word.symbols[count], word.firsts[count] = word.symbols[index], index
        count, index = count + 1, word.following[index]
    return count


@jit()
def merges_of(merges):
    pairs, bits, filter, merged = merges
    return Merges(data_pointer(pairs), bits, data_pointer(filter), data_pointer(merged))


@jit()
def word_of(scratch):
    return Word(
        data_pointer(scratch[0]),
        data_pointer(scratch[1]),
        data_pointer(scratch[2]),
        data_pointer(scratch[3]),
        data_pointer(scratch[4]),
        data_pointer(scratch[5]),
        data_pointer(scratch[6]),
        data_pointer(scratch[7]),
    )
