"""Many texts at once: the stages in one compiled loop (`kernels/tokenizer/encode.py`) that writes arrays.

    packed = tokenizer.encode_packed(texts)
    packed.ids      [CLS] hello [SEP] [CLS] hey , you [SEP]      (N,)
    packed.bounds   0                 3                     8    (S+1,): text s is ids[bounds[s] : bounds[s + 1]]

A model accepts it directly: `model(packed)`. The ids are those of a call of the tokenizer for each text. Texts that the
kernel cannot encode (with added tokens, or marks that change places) are encoded by that call. For a few short texts the
call is faster, because a trie of the vocabulary must be built first here.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np

from minibert.errors import InputTypeError, read_int

from .call_arguments import as_list, max_text_tokens, resolve
from .pipeline import check_characters
from .stages.normalizer import CHINESE, TranslationTable, clean, decompose, drop_accents, drop_marks, space_out_chinese
from .stages.template import SPACE_CHARACTER
from .stages.unicode import unicode_table

NO_LIMIT = 1 << 60  # more pieces than a text has
MAX_POOLED_ROWS = 1 << 22  # up to here the next call uses the output's memory again: new pages took half of the time
HANGUL = range(0xAC00, 0xAC00 + 11172)


class PackedEncoding(NamedTuple):
    """Texts one after the other, without padding."""

    ids: np.ndarray  # (N,) int32
    bounds: np.ndarray  # (S+1,) int64; "cu_seqlens" elsewhere
    offsets: np.ndarray | None  # (N, 2) int32: start and end in the text's characters; (0, 0) for [CLS] and [SEP]
    word_ids: np.ndarray | None  # (N,) int32: −1 for [CLS] and [SEP]


class RowLimits(NamedTuple):
    """The special tokens of a row, and its size."""

    id_before: int  # −1 for none
    id_after: int  # −1 for none
    max_pieces: int


def encode_packed(tokenizer, texts, *, add_special_tokens, truncation, max_length, return_offsets, threads):
    """As `Tokenizer.encode_packed`."""
    texts = (None,) if isinstance(texts, (str, bytes)) else tuple(as_list(texts, "texts"))
    threads = read_int("threads", threads, least=1)
    encode_one = partial(
        tokenizer,
        add_special_tokens=add_special_tokens,
        truncation=truncation,
        max_length=max_length,
        verbose=False,
        return_offsets_mapping=True,
    )
    limits = row_limits(tokenizer, add_special_tokens, truncation, max_length)
    if limits is None:
        return concatenate([as_packed(encode_one(text)) for text in plain_texts(texts)], return_offsets)
    encode = partial(encode_chunk, tokenizer._pipeline.batch_encoder, limits, return_offsets, encode_one)
    if threads == 1 or len(texts) < 2:
        return encode(texts)
    bounds = np.linspace(0, len(texts), min(threads, len(texts)) + 1).astype(int)
    chunks = [texts[start:stop] for start, stop in zip(bounds[:-1], bounds[1:])]
    with ThreadPoolExecutor(len(chunks)) as pool:
        return concatenate(list(pool.map(encode, chunks)), return_offsets)


def plain_texts(texts):
    """The texts as `str` itself, not a subclass. InputTypeError if one is not a text."""
    try:
        return tuple(["".join((text, "")) for text in texts])
    except TypeError:
        raise InputTypeError(
            "encode_packed takes a list of texts; call the tokenizer itself for one text, or for pairs."
        ) from None


def row_limits(tokenizer, add_special_tokens, truncation, max_length):
    """The RowLimits of a call; None if the kernel cannot encode this tokenizer's texts."""
    from minibert.kernels.tokenizer import cpython_strings

    pipeline = tokenizer._pipeline
    request = resolve(tokenizer, padding=False, truncation=truncation, max_length=max_length)
    before, after = tokenizer._special_affixes if add_special_tokens else ([-1], [-1])
    is_supported = (
        pipeline.splits_at_spaces
        and not any(" " in token for token in pipeline.raw_matcher.targets)
        and not (pipeline.trimmer and any(SPACE_CHARACTER in token for token in pipeline.model.vocab))
        and pipeline.pre_tokenizer.context_free
        and not pipeline.normalized_matcher.targets
        and len(before) == len(after) == 1
        and not any("\0" in token for token in pipeline.raw_matcher.targets)  # which terminates a token in the tables
        and cpython_strings.layout() is not None
        and not (request.truncation and tokenizer.truncation_side != "right")
    )
    if not is_supported:
        return None
    if not request.truncation:
        return RowLimits(before[0], after[0], NO_LIMIT)
    special_tokens = tokenizer.num_special_tokens_to_add()
    limit = max_text_tokens(request.max_length, special_tokens if add_special_tokens else 0, 0, special_tokens)
    return RowLimits(before[0], after[0], min(limit, NO_LIMIT))


def encode_chunk(encoder, limits, with_offsets, encode_one, texts):
    """Some texts through the kernel, and those that need the fallback through the tokenizer's call."""
    packed, fallback = encoder.encode(texts, limits, with_offsets)
    if not fallback.any():
        return packed
    runs, start = [], 0
    for index in np.flatnonzero(fallback):
        runs += [slice_packed(packed, start, index), as_packed(encode_one(texts[index]))]
        start = index + 1
    return concatenate([*runs, slice_packed(packed, start, len(texts))], with_offsets)


def slice_packed(packed, start, stop):
    """Texts start to stop of a PackedEncoding."""
    first, last = packed.bounds[start], packed.bounds[stop]
    offsets = None if packed.offsets is None else packed.offsets[first:last]
    word_ids = None if packed.word_ids is None else packed.word_ids[first:last]
    return PackedEncoding(packed.ids[first:last], packed.bounds[start : stop + 1] - first, offsets, word_ids)


def as_packed(encoded):
    """One text's BatchEncoding -> PackedEncoding."""
    ids = np.array(encoded["input_ids"], np.int32)
    offsets = np.array(encoded["offset_mapping"], np.int32).reshape(-1, 2)
    word_ids = np.array([-1 if word is None else word for word in encoded.word_ids()], np.int32)
    return PackedEncoding(ids, np.array([0, len(ids)]), offsets, word_ids)


def concatenate(runs, with_offsets):
    """PackedEncodings -> one of all their texts."""
    starts = np.cumsum([0, *(len(run.ids) for run in runs)])
    bounds = np.concatenate([[0], *(run.bounds[1:] + start for run, start in zip(runs, starts))])
    ids = np.concatenate([np.empty(0, np.int32), *(run.ids for run in runs)])
    if not with_offsets:
        return PackedEncoding(ids, bounds, None, None)
    offsets = np.concatenate([np.empty((0, 2), np.int32), *(run.offsets for run in runs)])
    word_ids = np.concatenate([np.empty(0, np.int32), *(run.word_ids for run in runs)])
    return PackedEncoding(ids, bounds, offsets, word_ids)


class BatchEncoder:
    """A tokenizer's tables for the kernel, and segment caches for the threads that run it."""

    def __init__(self, pipeline):
        from minibert.kernels.compiler.call import bind
        from minibert.kernels.runtime.buffer_pool import empty
        from minibert.kernels.tokenizer import cpython_strings, encode, segment, segment_cache, trie

        self.kernel, self.strings, self.bind, self.empty = encode, cpython_strings, bind, empty
        self.make_cache = segment_cache.make_cache
        self.tables = make_tables(segment, trie, self.bind, pipeline)
        # Caches that no call is using: of ids alone, and with offsets. `pop` and `append` are atomic.
        self.idle_caches: dict[bool, list] = {False: [], True: []}

    def encode(self, texts: tuple, limits: RowLimits, with_offsets: bool):
        """Texts -> (PackedEncoding, fallback (S,)). Texts with fallback are empty in the encoding."""
        layout, needs = self.strings.layout(), np.empty(2, np.int64)
        items = self.strings.tuple_items(texts)
        self.bind(self.strings.measure_texts, items, len(texts), layout, needs)()
        if needs[0] < 0:
            return self.encode(plain_texts(texts), limits, with_offsets)
        bounds, fallback = np.empty(len(texts) + 1, np.int64), np.empty(len(texts), np.uint8)
        output = self.make_output(int(needs[0]) + 2 * len(texts), with_offsets)
        try:
            cache = self.idle_caches[with_offsets].pop()
        except IndexError:
            cache = self.make_cache()
        scratch, options = self.make_scratch(int(needs[1])), (*limits, int(with_offsets))
        arguments = items, layout, self.tables, cache, scratch, options, output
        try:
            self.bind(self.kernel.encode, *arguments, (bounds, fallback))()
        finally:
            self.idle_caches[with_offsets].append(cache)
        if bounds[0] < 0:
            for text in texts:
                check_characters(text)
        columns = [column[: bounds[-1] * width] for column, width in zip(output, (1, 2, 1))]
        if len(output[0]) <= MAX_POOLED_ROWS:
            columns = [column.copy() for column in columns]
        ids, offsets, word_ids = columns
        if not with_offsets:
            return PackedEncoding(ids, bounds, None, None), fallback
        return PackedEncoding(ids, bounds, offsets.reshape(-1, 2), word_ids), fallback

    def make_output(self, pieces, with_offsets):
        """The kernel's `output` for at most this many pieces. Pages that are never written cost nothing."""
        rows = pieces + self.kernel.EXTRA_PIECES
        size = 4 * rows if with_offsets else rows
        block = self.empty(size).view(np.int32) if rows <= MAX_POOLED_ROWS else np.empty(size, np.int32)
        return block[:rows], block[rows : 3 * rows], block[3 * rows :]

    def make_scratch(self, units):
        """The kernel's `scratch` for texts of at most this many units."""
        words, units = max(self.tables[-1] + 2, 8), units + self.strings.PADDING_UNITS
        narrow, wide = np.empty((2, units), np.uint8), np.empty((2, units), np.uint16)
        return np.empty((5, words), np.int64), narrow, wide, np.empty((2, 3, self.kernel.LOOKAHEAD), np.int64)


def make_tables(segment, trie, bind, pipeline):
    """`segment.Tables` as a plain tuple."""
    model = pipeline.model
    codes, nodes, values = make_trie(trie, bind, model)
    normal, expansions = normal_forms(segment, codes, pipeline.normalizer, pipeline.pre_tokenizer.isolates_punctuation)
    tokens = pipeline.raw_matcher.targets
    special = [np.frombuffer((token + "\0").encode("utf-16-le", "surrogatepass"), np.uint16) for token in tokens]
    special_first = np.zeros(256, np.uint8)
    special_first[[units[0] & 255 for units in special]] = 1
    unknown = model.vocab[model.unk_token]
    single = np.full(codes.max() + 1, unknown, np.int32)
    for token, token_id in model.vocab.items():
        if len(token) == 1 <= model.max_characters:
            single[codes[ord(token)]] = token_id
    special_units = np.concatenate([*special, np.zeros(1, np.uint16)])
    return normal, expansions, nodes, values, single, special_units, special_first, unknown, model.max_characters


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
    size = 1 << (len(characters) + len(codes[codes > 0])).bit_length()
    stack, labels = np.empty((len(characters) + 2, 4), np.int64), np.empty((codes.max() + 1, 2), np.int64)
    while True:
        nodes, values = np.full(size, trie.FREE, np.int64), np.full(size, trie.FREE, np.int32)
        used = np.zeros(size, np.uint8)
        bind(trie.build, codes[characters], bounds, ids, len(words), nodes, values, used, stack, labels)()
        if nodes[trie.WORD_ROOT] != trie.FREE:
            return codes, nodes, values
        size *= 2


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
