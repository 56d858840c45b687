"""Byte-pair encoding of a word by its longest tokens: what `merges.py` gives, without a merge.

    trie         the tokens that their own bytes merge to (`trie.py`; a byte has the code byte + 1): the longest one at a place
    stays_apart  whether the bytes of two neighboring tokens merge to these two

A word's tokens are those of which each stays apart from the next; there is one way to cut a word so. It is found from the left: the
longest token is tried first, then shorter ones; where none fits, the token before is another one. A word takes one step of the trie
for each byte and a few pairs for each token, where merging looks up two pairs for each merge.

This holds if no two merges have the same result, and each comes after those that give its two sides; merges that a trainer has
learned are so. Other lists are merged. The idea, and why there is only one way, is from the crate bpe of github.com/github/rust-gems
(H. van Antwerpen and A. Neubeck, 2024).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..compiler.jit import jit
from ..simd.memory import data_pointer
from .merges import BYTES, NO_RANK, merges_of, rank_of
from .trie import BASE_SHIFT, CODE_MASK, IS_PIECE, WORD_ROOT

NO_TOKEN = -1


class LongestTokens(NamedTuple):
    """The trie, and of each token in it the next shorter one that it begins with."""

    nodes: np.ndarray  # int64, as in trie.py
    values: np.ndarray  # int32: the symbol of a node's token
    shorter: np.ndarray  # (symbols,) int32: a symbol, or NO_TOKEN
    sizes: np.ndarray  # (symbols,) int32: the number of bytes


@jit()
def longest_tokens_of(tables):
    nodes, values, shorter, sizes = tables
    return LongestTokens(data_pointer(nodes), data_pointer(values), data_pointer(shorter), data_pointer(sizes))


@jit()
def stays_apart(merges, left, right, limit):
    """Whether no merge of a rank below `limit` crosses from token `left` to token `right`.

    Undoes the merges of both, the last one first. Two neighbors that are there at the same time are merged if the rank of their pair
    is less than that of the merge that takes one of them next; if it is equal, the pair further left is first.
    """
    while rank_of(merges, left, right) >= limit:
        if max(left, right) < BYTES:
            return True
        if left > right:
            limit = left - BYTES
            left = np.int64(merges.rights[limit])
        else:
            limit = right - BYTES + 1
            right = np.int64(merges.lefts[limit - 1])
    return False


@jit()
def longest_token(tables, symbols, start, size):
    """The longest token that symbols[start:size] begins with; there is one for each byte."""
    base, match, at = tables.nodes[WORD_ROOT] >> BASE_SHIFT, np.int64(0), start
    while base and at < size:
        code = symbols[at] + 1
        child = base ^ code
        node = tables.nodes[child]
        if node & CODE_MASK != code:
            break
        if node & IS_PIECE:
            match = child
        at, base = at + 1, node >> BASE_SHIFT
    return np.int64(tables.values[match])


@jit()
def cut(word, size, tables, merges):
    """A word of `size` bytes, which are in word.bytes -> the number of its tokens: word.symbols and word.firsts."""
    for at in range(size + 1):
        word.dead_ends[at] = 0
    count, at, token = 0, 0, longest_token(tables, word.bytes, 0, size)
    while True:
        end = at + np.int64(tables.sizes[token])
        if not word.dead_ends[end] and (count == 0 or stays_apart(merges, word.symbols[count - 1], token, NO_RANK)):
            word.symbols[count], word.firsts[count] = token, at
            count, at = count + 1, end
            if at == size:
                return count
            token = longest_token(tables, word.bytes, at, size)
        elif tables.shorter[token] != NO_TOKEN:
            token = np.int64(tables.shorter[token])
        else:  # no token fits behind the one before
            word.dead_ends[at] = 1
            count -= 1
            token, at = word.symbols[count], word.firsts[count]


@jit()
def find_reachable(merges, reachable):
    """reachable[symbol] = 1 for each token that its own bytes merge to; all 0 at first."""
    merges = merges_of(merges)
    for byte in range(BYTES):
        reachable[byte] = 1
    for rank in range(len(reachable) - BYTES):
        left, right = np.int64(merges.lefts[rank]), np.int64(merges.rights[rank])
        reachable[BYTES + rank] = reachable[left] and reachable[right] and stays_apart(merges, left, right, rank)


@jit()
def find_shorter(nodes, values, codes, bounds, tokens, shorter):
    """Of each token, which is codes[bounds[i] : bounds[i + 1]], the longest shorter one that it begins with."""
    for index in range(len(tokens)):
        base, token = nodes[WORD_ROOT] >> BASE_SHIFT, NO_TOKEN
        for at in range(bounds[index], bounds[index + 1] - 1):
            child = base ^ codes[at]
            if nodes[child] & IS_PIECE:
                token = np.int64(values[child])
            base = nodes[child] >> BASE_SHIFT
        shorter[tokens[index]] = token
