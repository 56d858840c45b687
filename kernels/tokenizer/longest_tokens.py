"""Byte-pair encoding of a word by its longest tokens: what `merges.py` gives, without a merge.

    trie         the tokens that their own bytes merge to: the longest one at a place
    stays_apart  whether the bytes of two neighboring tokens merge to these two

A word's tokens are those of which each stays apart from the next; there is one way to cut a word so. It is found from the left: the
longest token is tried first, then shorter ones; where none fits, the token before is another one. A word takes one step of the trie
for each byte and a few pairs for each token, where merging looks up two pairs for each merge. Only a long word of many nested
tokens, as a line of one character, may take longer than its merges: 4,090 times "=" 4.5 ms, 1.3 ms merged.

This holds if no two merges have the same result, and each comes after those that give its two sides; merges that a trainer has
learned are so. Other lists are merged. The idea, and why there is only one way, is from the crate bpe of github.com/github/rust-gems
(H. van Antwerpen and A. Neubeck, 2024).
"""

from __future__ import annotations

import numpy as np

from ..compiler.jit import jit
from ..simd.memory import data_pointer, prefetch_line
from .merges import BYTES, NO_RANK, merges_of, rank_of

# A node of the trie of `trie.py`, in which a byte has the code byte + 1, here with the token that ends in it: the code, the token's
# symbol + 1 or 0, and the base. One array has it all, as most of the time goes into waiting for memory.
BYTE_CODE_MASK, SYMBOL_SHIFT, SYMBOL_MASK, BYTE_BASE_SHIFT = (1 << 9) - 1, 9, (1 << 21) - 1, 30
ROOT, NO_TOKEN = 0, -1

# The row of a symbol in the table of tokens, for the same reason: its id; the spaces at its start and end, by which offsets are
# trimmed; its bytes; the next shorter token that it begins with, or NO_TOKEN; the symbols of which it was merged.
ROW, ID, LEADING, TRAILING, SIZE, SHORTER, LEFT, RIGHT = 8, 0, 1, 2, 3, 4, 5, 6


@jit()
def stays_apart(merges, tokens, left, right, limit):
    """Whether no merge of a rank below `limit` crosses from token `left` to token `right`.

    Undoes the merges of both, the last one first. Two neighbors that are there at the same time are merged if the rank of their pair
    is less than that of the merge that takes one of them next; if it is equal, the pair further left is first.
    """
    while rank_of(merges, left, right) >= limit:
        if max(left, right) < BYTES:
            return True
        if left > right:
            limit, left = left - BYTES, np.int64(tokens[ROW * left + RIGHT])
        else:
            limit, right = right - BYTES + 1, np.int64(tokens[ROW * right + LEFT])
    return False


@jit()
def longest_token(nodes, symbols, start, size):
    """The longest token that symbols[start:size] begins with, and where it ends; there is one for each byte."""
    base, match, at, end = nodes[ROOT] >> BYTE_BASE_SHIFT, np.int64(0), start, start
    while base and at < size:
        code = symbols[at] + 1
        node = nodes[base ^ code]
        if node & BYTE_CODE_MASK != code:
            break
        token = node >> SYMBOL_SHIFT & SYMBOL_MASK
        at, base = at + 1, node >> BYTE_BASE_SHIFT
        match, end = (token, at) if token else (match, end)
    return match - 1, end


@jit()
def cut(word, size, nodes, tokens, merges):
    """A word of `size` bytes, which are in word.bytes -> the number of its tokens: word.symbols and word.firsts."""
    for at in range(size + 1):
        word.dead_ends[at] = 0
    count, at = 0, 0
    token, end = longest_token(nodes, word.bytes, 0, size)
    while True:
        prefetch_line(tokens, ROW * token)
        if not word.dead_ends[end] and (count == 0 or stays_apart(merges, tokens, word.symbols[count - 1], token, NO_RANK)):
            word.symbols[count], word.firsts[count] = token, at
            count, at = count + 1, end
            if at == size:
                return count
            token, end = longest_token(nodes, word.bytes, at, size)
            continue
        shorter = np.int64(tokens[ROW * token + SHORTER])
        if shorter != NO_TOKEN:
            token, end = shorter, at + np.int64(tokens[ROW * shorter + SIZE])
        else:  # no token fits behind the one before
            word.dead_ends[at] = 1
            count, end = count - 1, at
            token, at = word.symbols[count], word.firsts[count]


@jit()
def find_reachable(merges, tokens, reachable):
    """reachable[symbol] = 1 for each byte and each result of a merge that its own bytes merge to; all 0 at first."""
    merges, tokens = merges_of(merges), data_pointer(tokens)
    for byte in range(BYTES):
        reachable[byte] = 1
    for symbol in range(BYTES, len(reachable)):
        left, right = np.int64(tokens[ROW * symbol + LEFT]), np.int64(tokens[ROW * symbol + RIGHT])
        reachable[symbol] = reachable[left] and reachable[right] and stays_apart(merges, tokens, left, right, symbol - BYTES)


@jit()
def find_shorter(nodes, codes, bounds, symbols, tokens):
    """Of each of the symbols, which is codes[bounds[i] : bounds[i + 1]], the longest shorter token that it begins with."""
    for index in range(len(symbols)):
        base, match = nodes[ROOT] >> BYTE_BASE_SHIFT, 0
        for at in range(bounds[index], bounds[index + 1] - 1):
            node = nodes[base ^ codes[at]]
            token = node >> SYMBOL_SHIFT & SYMBOL_MASK
            match, base = token if token else match, node >> BYTE_BASE_SHIFT
        tokens[symbols[index], SHORTER] = match - 1
