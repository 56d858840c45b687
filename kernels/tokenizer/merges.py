"""Byte-pair encoding of a word: the merges as a hash table of pairs, and their order.

    pairs      left symbol, right symbol and rank in one integer; open addressing, at most half full
    filter     a bit for each hash of a pair, 0 for most pairs that are not there: they are not looked for in the larger table
    merged     rank -> the symbol that the pair becomes
    words      hash table of the tokens that are what their own bytes merge to: a word that is such a token needs no merges

Symbols are tokens by their index in the vocabulary; at first those of a word's bytes. The definition is
`minibert/tokenization/stages/byte_level_bpe.py`. Words are short, so the next pair is the least of all, eight of which a vector
instruction compares.
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
MAX_WORD_BYTES = 4096  # the time of `merge` grows with the square
NO_KEY = NO_RANK << INDEX_BITS_OF_KEY


class Merges(NamedTuple):
    pairs: np.ndarray  # (1 << bits,) int64
    bits: int
    filter: np.ndarray  # (1 << FILTER_BITS - 3,) uint8
    merged: np.ndarray  # int32
    words: np.ndarray  # (1 << word_bits,) int32: a symbol, or EMPTY_SLOT
    word_bits: int
    token_bytes: np.ndarray  # int32: the bytes of all tokens, as symbols
    bounds: np.ndarray  # (symbols + 1,) int32: where in token_bytes those of a symbol begin


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
    """Working memory for a word: a linked list of symbols, by the index of the first byte of each."""

    symbols: np.ndarray  # int64, as all of these: the symbol
    following: np.ndarray  # the next symbol
    previous: np.ndarray
    keys: np.ndarray  # of the pair with the next symbol: its rank and this index; or NO_KEY and the index
    firsts: np.ndarray  # the result: the first byte of each token
    sources: np.ndarray  # the character of each byte


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
    """A word of `size` bytes, whose symbols are in `word` -> the number of its tokens: word.symbols and word.firsts."""
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
def slot_of_word(symbols, size, bits):
    """The first slot of a word of `size` bytes."""
    hashed = np.uint64(size)
    for index in range(size):
        hashed = (hashed ^ np.uint64(symbols[index])) * MULTIPLIER
    return np.int64(hashed >> np.uint64(64 - bits))


@jit()
def is_token(symbols, size, token, merges):
    """Whether these bytes are those of the token."""
    start = np.int64(merges.bounds[token])
    if np.int64(merges.bounds[token + 1]) - start != size:
        return False
    equal = 0
    while equal < size and symbols[equal] == merges.token_bytes[start + equal]:
        equal += 1
    return equal == size


@jit()
def find_word(symbols, size, merges):
    """The token that the bytes of a word merge to; EMPTY_SLOT if that is not one, or not known."""
    slot = slot_of_word(symbols, size, merges.word_bits)
    while True:
        token = np.int64(merges.words[slot])
        if token == EMPTY_SLOT or is_token(symbols, size, token, merges):
            return token
        slot = (slot + 1) & ((1 << merges.word_bits) - 1)


@jit()
def merges_of(merges):
    pairs, bits, filter, merged, words, word_bits, token_bytes, bounds = merges
    return Merges(
        data_pointer(pairs),
        bits,
        data_pointer(filter),
        data_pointer(merged),
        data_pointer(words),
        word_bits,
        data_pointer(token_bytes),
        data_pointer(bounds),
    )


@jit()
def word_of(scratch):
    return Word(
        data_pointer(scratch[0]),
        data_pointer(scratch[1]),
        data_pointer(scratch[2]),
        data_pointer(scratch[3]),
        data_pointer(scratch[4]),
        data_pointer(scratch[5]),
    )


@jit()
def build_words(merges, scratch, tokens):
    """Fill `words`, all EMPTY_SLOT at first, with those of the first `tokens` symbols that their bytes merge to."""
    merges, word = merges_of(merges), word_of(scratch)
    for token in range(tokens):
        start = np.int64(merges.bounds[token])
        size = np.int64(merges.bounds[token + 1]) - start
        if size == 0 or size > MAX_WORD_BYTES:
            continue
        for index in range(size):
            word.symbols[index] = np.int64(merges.token_bytes[start + index])
        slot = slot_of_word(word.symbols, size, merges.word_bits)
        if merge(word, size, merges) > 1 or word.symbols[0] != token:
            continue
        while merges.words[slot] != EMPTY_SLOT:
            slot = (slot + 1) & ((1 << merges.word_bits) - 1)
        merges.words[slot] = token
