"""The tables of WordPiece's compiled loop: kernels/tokenizer/encode.py.

Read next: compiled_byte_level.py.
"""

from __future__ import annotations

import numpy as np

from .compiled import MAX_FORMS, BatchEncoder, added_units, build_trie
from .stages.normalizer import CHINESE, TranslationTable, clean, decompose, drop_accents, drop_marks, space_out_chinese
from .stages.unicode import unicode_table

HANGUL = range(0xAC00, 0xAC00 + 11172)


def wordpiece_encoder(pipeline):
    """The BatchEncoder of a WordPiecePipeline."""
    from minibert.kernels.compiler.call import bind
    from minibert.kernels.tokenizer import encode, segment, segment_cache, trie

    word_scratch = 5, max(pipeline.model.max_characters + 2, MAX_FORMS)
    return BatchEncoder(encode.encode, make_tables(segment, trie, bind, pipeline), segment_cache.make_cache, word_scratch)


def make_tables(segment, trie, bind, pipeline):
    """`segment.Tables` as a plain tuple."""
    model = pipeline.model
    codes, nodes, values = make_trie(trie, bind, model)
    normal, expansions = normal_forms(segment, codes, pipeline.normalizer, pipeline.pre_tokenizer.isolates_punctuation)
    special, special_first = added_units(pipeline.added_contents)
    unknown = model.vocab[model.unk_token]
    single = np.full(codes.max() + 1, unknown, np.int32)
    for token, token_id in model.vocab.items():
        if len(token) == 1 <= model.max_characters:
            single[codes[ord(token)]] = token_id
    return normal, expansions, nodes, values, single, special, special_first, unknown, model.max_characters


def make_trie(trie, bind, model):
    """The vocabulary as the kernel's trie -> (the code of each character (0x110000,), nodes, values)."""
    words, continuations = sorted(model.vocab), sorted(model.continuations)
    pieces = [*words, *continuations]
    ids = np.array([*map(model.vocab.get, words), *map(model.continuations.get, continuations)], np.int32)
    bounds = np.zeros(len(pieces) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, pieces), np.int64, len(pieces)), out=bounds[1:])
    characters = np.frombuffer("".join(pieces).encode("utf-32-le", "surrogatepass"), np.uint32)
    codes = np.zeros(0x110000, np.int32)
    codes[characters] = 1
    codes[codes > 0] = np.arange(1, codes.sum() + 1)
    return codes, *build_trie(trie, bind, codes[characters], bounds, ids, len(words))


def normal_forms(segment, codes, normalizer, isolates_punctuation):
    """The kernel's table of characters. Those that may differ from their normal form are looked up in a TranslationTable."""
    table, steps = unicode_table(), normalizer.steps
    translation = TranslationTable(normalizer, isolates_punctuation=isolates_punctuation)
    normal = codes.copy()
    expansions: list[int] = []
    if space_out_chinese in steps:
        for first, last in CHINESE:
            normal[first : last + 1] |= segment.ISOLATED
    if clean in steps:
        for first, end in zip(table.removed.bounds[::2], table.removed.bounds[1::2]):
            normal[first:end] = segment.DROPPED
    if decompose in steps:
        normal[HANGUL.start : HANGUL.stop] = segment.HANGUL
    for step, dropped in ((drop_accents, table.accents), (drop_marks, table.marks)):
        if step in steps:
            normal[list(dropped)] = segment.DROPPED
    for code in {*table.white_space, *table.punctuation, *table.lower, *(table.decomposed if decompose in steps else ())}:
        forms = form_codes(segment, codes, translation[code])
        normal[code] = forms[0] if len(forms) == 1 else segment.SEVERAL + len(expansions) if forms else segment.DROPPED
        if len(forms) > 1:
            expansions += [*forms, segment.SPACE]
    for character in normalizer.reordering:
        normal[ord(character)] = segment.FALLBACK
    return normal, np.array(expansions or [segment.SPACE], np.int32)


def form_codes(segment, codes, normal_form: str) -> list[int]:
    """A character's normal form in a TranslationTable, where spaces surround a word of its own -> the kernel's codes."""
    forms, index = [], 0
    while index < len(normal_form):
        character = normal_form[index]
        is_isolated = character == " " and index + 2 < len(normal_form) and normal_form[index + 2] == " "
        if is_isolated:
            forms.append(int(codes[ord(normal_form[index + 1])]) | segment.ISOLATED)
            index += 3
        else:
            forms.append(segment.SPACE if character == " " else int(codes[ord(character)]))
            index += 1
    return forms
