"""The tables of byte-level BPE's compiled loop: kernels/tokenizer/encode_byte_level.py."""

from __future__ import annotations

from itertools import chain

import numpy as np

from .compiled import BatchEncoder, added_units, build_trie
from .stages.byte_level import BYTE_CHARACTERS, CHARACTER_BYTES
from .stages.template import SPACES
from .stages.unicode import unicode_table


def byte_level_encoder(pipeline):
    """The BatchEncoder of a ByteLevelPipeline."""
    from minibert.kernels.compiler.call import bind
    from minibert.kernels.tokenizer import byte_level, encode_byte_level, longest_tokens, merges, trie

    model, trimmer = pipeline.model, pipeline.trimmer
    results = ["".join(pair) for pair in model.merges]
    symbols = {token: symbol for symbol, token in enumerate(dict.fromkeys(chain(BYTE_CHARACTERS, results, model.vocab)))}
    lefts, rights = (np.array([symbols[pair[side]] for pair in model.merges], np.int32) for side in (0, 1))
    pairs = make_merges(merges, bind, lefts, rights, np.array([symbols[token] for token in results], np.int32))
    tokens = make_tokens(longest_tokens, model.vocab, symbols, trimmer)
    own = merges.BYTES + np.arange(len(results))  # the symbols of the results, if the merges are as a trainer learns them
    is_cut, nodes = bool(((pairs[-1] == own) & (lefts < own) & (rights < own)).all()), np.zeros(0, np.int64)
    if is_cut:
        tokens[own, longest_tokens.LEFT], tokens[own, longest_tokens.RIGHT] = lefts, rights
        nodes = make_trie(longest_tokens, trie, bind, pairs, [*BYTE_CHARACTERS, *results], tokens)
    tables = (
        character_classes(byte_level),
        pairs,
        nodes,
        int(is_cut),
        tokens.ravel(),
        *added_units(pipeline.added_contents),
        int(pipeline.pre_tokenizer.add_prefix_space),
        int(bool(trimmer and trimmer.add_prefix_space)),
    )
    word_scratch = len(merges.Word._fields), merges.MAX_WORD_BYTES + 4
    return BatchEncoder(encode_byte_level.encode_byte_level, tables, encode_byte_level.make_caches, word_scratch)


def make_tokens(module, vocab, symbols, trimmer):
    """The rows of `longest_tokens.py`, without what its trie needs."""
    tokens = np.zeros((len(symbols), module.ROW), np.int32)
    tokens[:, module.ID] = [vocab[token] for token in symbols]
    if trimmer:
        tokens[:, module.LEADING] = [len(token) - len(token.lstrip(SPACES)) for token in symbols]
        tokens[:, module.TRAILING] = [len(token) - len(token.rstrip(SPACES)) for token in symbols]
    return tokens


def make_merges(module, bind, lefts, rights, merged):
    """`merges.Merges` as a plain tuple."""
    bits = max(2 * len(merged), 2).bit_length()
    slots, filter = np.full(1 << bits, module.EMPTY_SLOT, np.int64), np.zeros(1 << module.FILTER_BITS - 3, np.uint8)
    bind(module.build, lefts, rights, slots, bits, filter)()
    return slots, bits, filter, merged


def make_trie(module, trie, bind, merges, results, tokens):
    """The nodes of `longest_tokens.py`; fills what concerns them in `tokens`. results: the bytes and what they merge to."""
    reachable = np.zeros(len(results), np.uint8)
    bind(module.find_reachable, merges, tokens.ravel(), reachable)()
    words = [bytes(map(CHARACTER_BYTES.__getitem__, token)) for token in results]
    sizes = np.array([*map(len, words)], np.int32)
    order = np.array(sorted(np.flatnonzero(reachable), key=words.__getitem__), np.int32)
    bounds = np.cumsum([0, *sizes[order]], dtype=np.int64)
    codes = 1 + np.frombuffer(b"".join(words[symbol] for symbol in order), np.uint8).astype(np.int32)
    nodes, values = build_trie(trie, bind, codes, bounds, order, len(order))
    size = (np.flatnonzero(nodes != trie.FREE)[-1] | module.BYTE_CODE_MASK) + 1  # children of a node share the upper bits
    nodes, values = nodes[:size], values[:size].astype(np.int64)
    ends = np.where(nodes & trie.IS_PIECE, values + 1, 0) << module.SYMBOL_SHIFT
    bases = nodes >> trie.BASE_SHIFT << module.BYTE_BASE_SHIFT
    nodes = np.where(nodes == trie.FREE, 0, nodes & module.BYTE_CODE_MASK | ends | bases)
    tokens[: len(sizes), module.SIZE] = sizes
    bind(module.find_shorter, nodes, codes, bounds, order, tokens)()
    return nodes


def character_classes(byte_level):
    """The kernel's class of each character, (0x110000,) uint8."""
    table, classes = unicode_table(), np.full(0x110000, byte_level.OTHER, np.uint8)
    for codes, character_class in ((table.letters, byte_level.LETTER), (table.numbers, byte_level.NUMBER)):
        for start, end in zip(codes.bounds[::2], codes.bounds[1::2]):
            classes[start:end] = character_class
    classes[list(table.white_space)] = byte_level.WHITE_SPACE
    return classes
