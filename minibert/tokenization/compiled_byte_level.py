"""The tables of byte-level BPE's compiled loop: kernels/tokenizer/encode_byte_level.py."""

from __future__ import annotations

import numpy as np

from .compiled import BatchEncoder, added_units
from .stages.byte_level import BYTE_CHARACTERS
from .stages.template import SPACES
from .stages.unicode import unicode_table


def byte_level_encoder(pipeline):
    """The BatchEncoder of a ByteLevelPipeline."""
    from minibert.kernels.compiler.call import bind
    from minibert.kernels.tokenizer import byte_level, encode_byte_level, merges

    tables = make_tables(byte_level, merges, bind, pipeline)
    word_scratch = 6, byte_level.MAX_WORD_BYTES + 4
    return BatchEncoder(encode_byte_level.encode_byte_level, tables, encode_byte_level.make_caches, word_scratch)


def make_tables(byte_level, merges, bind, pipeline):
    """`byte_level.Tables` as a plain tuple. A symbol is the index of a token in the vocabulary."""
    model, trimmer = pipeline.model, pipeline.trimmer
    symbols = {token: symbol for symbol, token in enumerate(model.vocab)}
    spaces = np.zeros((len(symbols), 2), np.int32)
    if trimmer:
        spaces[:, 0] = [len(token) - len(token.lstrip(SPACES)) for token in symbols]
        spaces[:, 1] = [len(token) - len(token.rstrip(SPACES)) for token in symbols]
    return (
        character_classes(byte_level),
        np.array([symbols[character] for character in BYTE_CHARACTERS]),
        make_merges(merges, bind, model.merges, symbols),
        np.fromiter(model.vocab.values(), np.int32, len(symbols)),
        spaces.reshape(-1),
        *added_units(pipeline.added_contents),
        int(pipeline.pre_tokenizer.add_prefix_space),
        int(bool(trimmer and trimmer.add_prefix_space)),
    )


def make_merges(module, bind, pairs, symbols):
    """`merges.Merges` as a plain tuple."""
    bits = max(2 * len(pairs), 2).bit_length()
    slots, filter = np.full(1 << bits, module.EMPTY_SLOT, np.int64), np.zeros(1 << module.FILTER_BITS - 3, np.uint8)
    lefts, rights = (np.array([symbols[pair[side]] for pair in pairs], np.int64) for side in (0, 1))
    bind(module.build, lefts, rights, slots, bits, filter)()
    return slots, bits, filter, np.array([symbols[left + right] for left, right in pairs], np.int32)


def character_classes(byte_level):
    """The kernel's class of each character, (0x110000,) uint8."""
    table, classes = unicode_table(), np.full(0x110000, byte_level.OTHER, np.uint8)
    for codes, character_class in ((table.letters, byte_level.LETTER), (table.numbers, byte_level.NUMBER)):
        for start, end in zip(codes.bounds[::2], codes.bounds[1::2]):
            classes[start:end] = character_class
    classes[list(table.white_space)] = byte_level.WHITE_SPACE
    return classes
