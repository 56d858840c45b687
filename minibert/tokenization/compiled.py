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
    before, after = tokenizer._special_affixes if add_special_tokens else ([], [])
    is_supported = (
        pipeline.encodes_batches
        and max(len(before), len(after)) < 2
        and not any({" ", "\0"} & set(token) for token in pipeline.added_contents)  # "\0" terminates a token in the tables
        and cpython_strings.layout() is not None
        and not (request.truncation and tokenizer.truncation_side != "right")
    )
    if not is_supported:
        return None
    id_before, id_after = (*before, -1)[0], (*after, -1)[0]
    if not request.truncation:
        return RowLimits(id_before, id_after, NO_LIMIT)
    special_tokens = tokenizer.num_special_tokens_to_add()
    limit = max_text_tokens(request.max_length, special_tokens if add_special_tokens else 0, 0, special_tokens)
    return RowLimits(id_before, id_after, min(limit, NO_LIMIT))


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


MAX_FORMS = 8  # more than a character's normal form has characters, or its UTF-8 bytes


class BatchEncoder:
    """A tokenizer's tables for the kernel, and segment caches for the threads that run it.

    kernel: the compiled loop; tables and make_cache: its arguments; word_scratch: the shape of the scratch for the
    longest word, int64. Subclasses have these: compiled_wordpiece.py, compiled_byte_level.py.
    """

    def __init__(self, kernel, tables, make_cache, word_scratch):
        from minibert.kernels.compiler.call import bind
        from minibert.kernels.runtime.buffer_pool import empty
        from minibert.kernels.tokenizer import cpython_strings, encode

        self.sizes, self.strings, self.bind, self.empty = encode, cpython_strings, bind, empty
        self.kernel, self.tables, self.make_cache, self.word_scratch = kernel, tables, make_cache, word_scratch
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
        output = self.make_output(
            int(needs[0]) + 3 * len(texts), with_offsets
        )  # two special tokens, and the space before a text
        try:
            cache = self.idle_caches[with_offsets].pop()
        except IndexError:
            cache = self.make_cache()
        scratch, options = self.make_scratch(int(needs[1])), (*limits, int(with_offsets))
        arguments = items, layout, self.tables, cache, scratch, options, output
        try:
            self.bind(self.kernel, *arguments, (bounds, fallback))()
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
        rows = pieces + self.sizes.EXTRA_PIECES
        size = 4 * rows if with_offsets else rows
        block = self.empty(size).view(np.int32) if rows <= MAX_POOLED_ROWS else np.empty(size, np.int32)
        return block[:rows], block[rows : 3 * rows], block[3 * rows :]

    def make_scratch(self, units):
        """The kernel's `scratch` for texts of at most this many units."""
        units += self.strings.PADDING_UNITS
        narrow, wide = np.empty((2, units), np.uint8), np.empty((2, units), np.uint16)
        rows, characters = self.word_scratch
        word = np.empty((rows, min(characters, MAX_FORMS * units)), np.int64)  # no word here is longer than its text
        return word, narrow, wide, np.empty((2, 3, self.sizes.LOOKAHEAD), np.int64)


def added_units(contents):
    """Added tokens -> (their units of UTF-16, each terminated by 0, and a last 0; (256,) uint8: 1 for the low byte of a first one)."""
    units = [np.frombuffer((content + "\0").encode("utf-16-le", "surrogatepass"), np.uint16) for content in contents]
    first = np.zeros(256, np.uint8)
    first[[content[0] & 255 for content in units]] = 1
    return np.concatenate([*units, np.zeros(1, np.uint16)]), first


def build_trie(trie, bind, codes, bounds, ids, words):
    """Pieces as for `trie.build` -> its nodes and values."""
    size = 1 << (len(codes) + int(codes.max())).bit_length()
    stack, labels = np.empty((len(codes) + 2, 4), np.int64), np.empty((codes.max() + 1, 2), np.int64)
    while True:
        nodes, values = np.full(size, trie.FREE, np.int64), np.full(size, trie.FREE, np.int32)
        bind(trie.build, codes, bounds, ids, words, nodes, values, np.zeros(size, np.uint8), stack, labels)()
        if nodes[trie.WORD_ROOT] != trie.FREE:
            return nodes, values
        size *= 2
