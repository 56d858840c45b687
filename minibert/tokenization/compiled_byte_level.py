"""The tables of byte-level BPE's compiled loop: kernels/tokenizer/encode_byte_level.py."""

from __future__ import annotations

from itertools import chain

import numpy as np

from .compiled import BatchEncoder, added_units
from .stages.byte_level import BYTE_CHARACTERS
from .stages.template import SPACES
from .stages.unicode import unicode_table

LONGEST = (1 << 15) - 1  # spaces of a token that the kernel's table can hold; in a word that it encodes there are fewer


def byte_level_encoder(pipeline):
    """The BatchEncoder of a ByteLevelPipeline."""
    from minibert.kernels.compiler.call import bind
    from minibert.kernels.tokenizer import byte_level, encode_byte_level, merges

    tables = make_tables(byte_level, merges, bind, pipeline)
    word_scratch = word_scratch_of(merges)
    return BatchEncoder(encode_byte_level.encode_byte_level, tables, encode_byte_level.make_caches, word_scratch)


def make_tables(byte_level, merges, bind, pipeline):
    """`byte_level.Tables` as a plain tuple. A symbol is the index of a token in the vocabulary."""
    model, trimmer = pipeline.model, pipeline.trimmer
    symbols = {token: symbol for symbol, token in enumerate(model.vocab)}
    tokens = np.fromiter(model.vocab.values(), np.int64, len(symbols))
    if trimmer:
        for shift, strip in ((32, str.lstrip), (48, str.rstrip)):
            tokens |= np.array([min(len(token) - len(strip(token, SPACES)), LONGEST) for token in symbols]) << shift
    return (
        character_classes(byte_level),
        np.array([symbols[character] for character in BYTE_CHARACTERS]),
        make_merges(merges, bind, model.merges, symbols),
        tokens,
        *added_units(pipeline.added_contents),
        int(pipeline.pre_tokenizer.add_prefix_space),
        int(bool(trimmer and trimmer.add_prefix_space)),
    )


def word_scratch_of(merges):
    """The shape of `merges.Word` as an array."""
    return 6, merges.MAX_WORD_BYTES + 4


def make_merges(module, bind, pairs, symbols):
    """`merges.Merges` as a plain tuple."""
    bits, word_bits = (max(2 * count, 2).bit_length() for count in (len(pairs), len(symbols)))
    slots, filter = np.full(1 << bits, module.EMPTY_SLOT, np.int64), np.zeros(1 << module.FILTER_BITS - 3, np.uint8)
    lefts, rights = (np.array([symbols[pair[side]] for pair in pairs], np.int64) for side in (0, 1))
    bind(module.build, lefts, rights, slots, bits, filter)()
    merged = np.array([symbols[left + right] for left, right in pairs], np.int32)
    alphabet = {character: symbols[character] for character in BYTE_CHARACTERS}
    # A token with other characters, as special tokens have, is no word, and has no bytes here.
    tokens = [[*map(alphabet.get, token)] if alphabet.keys() >= set(token) else [] for token in symbols]
    bounds = np.cumsum([0, *map(len, tokens)], dtype=np.int32)
    words, token_bytes = np.full(1 << word_bits, module.EMPTY_SLOT, np.int32), np.array([*chain(*tokens)], np.int32)
    merges = slots, bits, filter, merged, words, word_bits, token_bytes, bounds
    bind(module.build_words, merges, np.empty(word_scratch_of(module), np.int64), len(symbols))()
    return merges


def character_classes(byte_level):
    """The kernel's class of each character, (0x110000,) uint8."""
    table, classes = unicode_table(), np.full(0x110000, byte_level.OTHER, np.uint8)
    for codes, character_class in ((table.letters, byte_level.LETTER), (table.numbers, byte_level.NUMBER)):
        for start, end in zip(codes.bounds[::2], codes.bounds[1::2]):
            classes[start:end] = character_class
    classes[list(table.white_space)] = byte_level.WHITE_SPACE
    return classes
