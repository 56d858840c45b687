"""The tables of byte-level BPE's compiled loop: kernels/tokenizer/encode_byte_level.py."""

from __future__ import annotations

from itertools import chain

import numpy as np

from .compiled import BatchEncoder, added_units, build_trie
from .stages.byte_level import BYTE_CHARACTERS, CHARACTER_BYTES
from .stages.template import SPACES
from .stages.unicode import unicode_table

LONGEST = (1 << 15) - 1  # spaces of a token that the kernel's table can hold; in a word that it encodes there are fewer


def byte_level_encoder(pipeline):
    """The BatchEncoder of a ByteLevelPipeline."""
    from minibert.kernels.compiler.call import bind
    from minibert.kernels.tokenizer import byte_level, encode_byte_level, longest_tokens, merges, trie

    model, trimmer = pipeline.model, pipeline.trimmer
    results = (left + right for left, right in model.merges)
    symbols = {token: symbol for symbol, token in enumerate(dict.fromkeys(chain(BYTE_CHARACTERS, results, model.vocab)))}
    tokens = np.array([*map(model.vocab.__getitem__, symbols)], np.int64)
    if trimmer:
        for shift, strip in ((32, str.lstrip), (48, str.rstrip)):
            tokens |= np.array([min(len(token) - len(strip(token, SPACES)), LONGEST) for token in symbols]) << shift
    pairs = make_merges(merges, bind, model.merges, symbols)
    is_cut, longest = make_longest_tokens(longest_tokens, merges, trie, bind, pairs, symbols)
    tables = (
        character_classes(byte_level),
        pairs,
        longest,
        int(is_cut),
        tokens,
        *added_units(pipeline.added_contents),
        int(pipeline.pre_tokenizer.add_prefix_space),
        int(bool(trimmer and trimmer.add_prefix_space)),
    )
    word_scratch = len(merges.Word._fields), merges.MAX_WORD_BYTES + 4
    return BatchEncoder(encode_byte_level.encode_byte_level, tables, encode_byte_level.make_caches, word_scratch)


def make_merges(module, bind, pairs, symbols):
    """`merges.Merges` as a plain tuple."""
    bits = max(2 * len(pairs), 2).bit_length()
    slots, filter = np.full(1 << bits, module.EMPTY_SLOT, np.int64), np.zeros(1 << module.FILTER_BITS - 3, np.uint8)
    lefts, rights = (np.array([symbols[pair[side]] for pair in pairs], np.int32) for side in (0, 1))
    bind(module.build, lefts, rights, slots, bits, filter)()
    return slots, bits, filter, lefts, rights, np.array([symbols[left + right] for left, right in pairs], np.int32)


def make_longest_tokens(module, merges, trie, bind, pairs, symbols):
    """-> (whether words can be cut; `longest_tokens.LongestTokens` as a plain tuple)."""
    *_, lefts, rights, merged = pairs
    own = merges.BYTES + np.arange(len(merged))
    if not ((merged == own) & (lefts < own) & (rights < own)).all():
        return False, (np.zeros(1, np.int64), *[np.zeros(1, np.int32)] * 3)
    reachable = np.zeros(merges.BYTES + len(merged), np.uint8)
    bind(module.find_reachable, pairs, reachable)()
    words = [bytes(map(CHARACTER_BYTES.__getitem__, token)) if found else b"" for token, found in zip(symbols, reachable)]
    sizes, kept = np.array([*map(len, words)], np.int32), np.flatnonzero(reachable)
    order = np.array(sorted(kept, key=words.__getitem__), np.int32)
    bounds = np.cumsum([0, *sizes[order]], dtype=np.int64)
    codes = 1 + np.frombuffer(b"".join(words[symbol] for symbol in order), np.uint8).astype(np.int32)
    nodes, values = build_trie(trie, bind, codes, bounds, order, len(order))
    shorter = np.full(len(words), module.NO_TOKEN, np.int32)
    bind(module.find_shorter, nodes, values, codes, bounds, order, shorter)()
    return True, (nodes, values, shorter, sizes)


def character_classes(byte_level):
    """The kernel's class of each character, (0x110000,) uint8."""
    table, classes = unicode_table(), np.full(0x110000, byte_level.OTHER, np.uint8)
    for codes, character_class in ((table.letters, byte_level.LETTER), (table.numbers, byte_level.NUMBER)):
        for start, end in zip(codes.bounds[::2], codes.bounds[1::2]):
            classes[start:end] = character_class
    classes[list(table.white_space)] = byte_level.WHITE_SPACE
    return classes
