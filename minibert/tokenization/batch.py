"""Many texts at once: the stages in one compiled loop (`kernels/tokenizer/encode.py`), arrays out, nothing in lists.

    packed = tokenizer.encode_packed(texts)
    packed.ids      [CLS] hello [SEP] [CLS] hey , you [SEP]      (N,)
    packed.bounds   0                 3                     8    (S+1,): text s is ids[bounds[s] : bounds[s + 1]]

A model takes it as it is: `model(packed)`. It gives the same as a call of the tokenizer for each text, and what it
cannot do (added tokens in a text, marks that change places) it hands to that call. For a few short texts the call is
the quicker way: here the vocabulary is first made a trie.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np

from minibert.errors import InputTypeError

from .arguments import as_flag, as_list, resolve, room, whole_number
from .normalizer import CHINESE, SpacedCharacters, clean, decompose, drop_accents, drop_marks, space_out_chinese
from .pipeline import check_characters
from .unicode import unicode_table

NO_ROOM = 1 << 60  # more pieces than a text has
KEPT_ROWS = 1 << 22  # up to here the output's memory is used again by the next call: fresh pages took half of the time
HANGUL = range(0xAC00, 0xAC00 + 11172)


class PackedEncoding(NamedTuple):
    """Texts one behind the other, without padding."""

    ids: np.ndarray  # (N,) int32
    bounds: np.ndarray  # (S+1,) int64
    offsets: np.ndarray | None  # (N, 2) int32: start and end in the text's characters; (0, 0) for [CLS] and [SEP]
    word_ids: np.ndarray | None  # (N,) int32: −1 for [CLS] and [SEP]


def encode_packed(tokenizer, texts, *, add_special_tokens, truncation, max_length, places, threads):
    """As `Tokenizer.encode_packed`."""
    texts = (None,) if isinstance(texts, (str, bytes)) else tuple(as_list(texts, "texts"))
    threads, places = whole_number("threads", threads, least=1), as_flag("places", places)
    add_special_tokens = as_flag("add_special_tokens", add_special_tokens)
    one_by_one = partial(
        tokenizer, add_special_tokens=add_special_tokens, truncation=truncation, max_length=max_length, verbose=False,
        return_offsets_mapping=True,
    )  # fmt: skip
    frame = frame_of(tokenizer, add_special_tokens, truncation, max_length)
    if frame is None:
        return joined([row_of(one_by_one(text)) for text in plain_texts(texts)], places)
    work = partial(encode_share, tokenizer._pipeline.batch, frame, places, one_by_one)
    if threads == 1 or len(texts) < 2:
        return work(texts)
    cuts = np.linspace(0, len(texts), min(threads, len(texts)) + 1).astype(int)
    shares = [texts[start:stop] for start, stop in zip(cuts[:-1], cuts[1:])]
    with ThreadPoolExecutor(len(shares)) as pool:
        return joined(list(pool.map(work, shares)), places)


def plain_texts(texts):
    """The texts as plain strings, not of a type made from `str`; refuses what is no text."""
    try:
        return tuple(["".join((text, "")) for text in texts])
    except TypeError:
        raise InputTypeError(
            "encode_packed takes a list of texts; call the tokenizer itself for one text, or for pairs."
        ) from None


def frame_of(tokenizer, add_special_tokens, truncation, max_length):
    """What the kernel puts before and after a text (ids, −1 for none), and how many pieces it keeps of one; None where
    this tokenizer's texts are to be done one by one."""
    from minibert.kernels.tokenizer import cpython_strings as strings  # which must know how this Python keeps them

    pipeline = tokenizer._pipeline
    request = resolve(
        tokenizer, padding=False, truncation=truncation, max_length=max_length, stride=0, pad_to_multiple_of=None,
        padding_side=None, overflow=False,
    )  # fmt: skip
    before, after = tokenizer._around if add_special_tokens else ([-1], [-1])
    simple = pipeline.parts_at_spaces and pipeline.pre_tokenizer.by_character
    simple = simple and not pipeline.normal.targets and len(before) == len(after) == 1
    simple = simple and not any("\0" in token for token in pipeline.raw.targets)  # which ends a token in the tables
    if not simple or strings.layout() is None or (request.truncation and tokenizer.truncation_side != "right"):
        return None
    if not request.truncation:
        return before[0], after[0], NO_ROOM
    single = tokenizer.num_special_tokens_to_add()
    return before[0], after[0], min(room(request.max_length, single if add_special_tokens else 0, 0, single), NO_ROOM)


def encode_share(encoder, frame, places, one_by_one, texts):
    """Some texts through the kernel, and those that it leaves through the tokenizer's call."""
    found, slow = encoder.encode(texts, frame, places)
    if not slow.any():
        return found
    runs, start = [], 0
    for index in np.flatnonzero(slow):
        runs += [part_of(found, start, index), row_of(one_by_one(texts[index]))]
        start = index + 1
    return joined([*runs, part_of(found, start, len(texts))], places)


def part_of(packed, start, stop):
    """Texts start to stop of a PackedEncoding."""
    first, last = packed.bounds[start], packed.bounds[stop]
    offsets = None if packed.offsets is None else packed.offsets[first:last]
    word_ids = None if packed.word_ids is None else packed.word_ids[first:last]
    return PackedEncoding(packed.ids[first:last], packed.bounds[start : stop + 1] - first, offsets, word_ids)


def row_of(encoded):
    """One text's BatchEncoding -> PackedEncoding."""
    ids = np.array(encoded["input_ids"], np.int32)
    offsets = np.array(encoded["offset_mapping"], np.int32).reshape(-1, 2)
    word_ids = np.array([-1 if word is None else word for word in encoded.word_ids()], np.int32)
    return PackedEncoding(ids, np.array([0, len(ids)]), offsets, word_ids)


def joined(parts, places):
    """PackedEncodings one behind the other."""
    starts = np.cumsum([0, *(len(part.ids) for part in parts)])
    bounds = np.concatenate([[0], *(part.bounds[1:] + start for part, start in zip(parts, starts))])
    ids = np.concatenate([np.empty(0, np.int32), *(part.ids for part in parts)])
    if not places:
        return PackedEncoding(ids, bounds, None, None)
    offsets = np.concatenate([np.empty((0, 2), np.int32), *(part.offsets for part in parts)])
    word_ids = np.concatenate([np.empty(0, np.int32), *(part.word_ids for part in parts)])
    return PackedEncoding(ids, bounds, offsets, word_ids)


class BatchEncoder:
    """A tokenizer's tables for the kernel, and a memory of parts for each thread that runs it."""

    def __init__(self, pipeline):
        from minibert.kernels.compiler.call import bind
        from minibert.kernels.runtime.buffer_pool import empty
        from minibert.kernels.tokenizer import cpython_strings, encode, part_cache, segment, trie

        self.kernel, self.strings, self.bind, self.empty = encode, cpython_strings, bind, empty
        self.make_memory = part_cache.make_memory
        self.tables = make_tables(segment, trie, self.bind, pipeline)
        # Memories that no call is using, of ids alone and with places. To take one, or add it, is one step of the interpreter.
        self.idle: dict[bool, list] = {False: [], True: []}

    def encode(self, texts: tuple, frame: tuple, places: bool):
        """Texts -> (PackedEncoding, slow): those that are slow are empty in it."""
        layout, needs = self.strings.layout(), np.empty(2, np.int64)
        items = self.strings.items_of(texts)
        self.bind(self.strings.measure, items, len(texts), layout, needs)()
        if needs[0] < 0:
            return self.encode(plain_texts(texts), frame, places)
        bounds, slow = np.empty(len(texts) + 1, np.int64), np.empty(len(texts), np.uint8)
        output = self.make_output(int(needs[0]) + 2 * len(texts), places)
        try:
            memory = self.idle[places].pop()
        except IndexError:
            memory = self.make_memory()
        arguments = items, layout, self.tables, memory, self.make_scratch(int(needs[1])), (*frame, int(places)), output
        try:
            self.bind(self.kernel.encode, *arguments, (bounds, slow))()
        finally:
            self.idle[places].append(memory)
        if bounds[0] < 0:
            for text in texts:
                check_characters(text)
        columns = [column[: bounds[-1] * width] for column, width in zip(output, (1, 2, 1))]
        if len(output[0]) <= KEPT_ROWS:
            columns = [column.copy() for column in columns]
        ids, offsets, words = columns
        return PackedEncoding(ids, bounds, offsets.reshape(-1, 2) if places else None, words if places else None), slow

    def make_output(self, pieces, places):
        """The kernel's `output` for so many pieces at the most; pages that are not written cost nothing."""
        rows = pieces + self.kernel.MORE
        size = 4 * rows if places else rows
        one = self.empty(size).view(np.int32) if rows <= KEPT_ROWS else np.empty(size, np.int32)
        return one[:rows], one[rows : 3 * rows], one[3 * rows :]

    def make_scratch(self, units):
        """The kernel's `scratch` for texts of so many units."""
        words, units = max(self.tables[-1] + 2, 8), units + self.strings.BEHIND
        of_texts = np.empty((2, units), np.uint8), np.empty((2, units), np.uint16)
        return np.empty((5, words), np.int64), *of_texts, np.empty((2, 3, self.kernel.LISTED), np.int64)


def make_tables(parts, trie, bind, pipeline):
    """`parts.Tables` as a plain tuple."""
    model = pipeline.model
    codes, nodes, values = make_trie(trie, bind, model)
    normal, images = normal_forms(parts, codes, pipeline.normalizer, pipeline.pre_tokenizer.alone)
    special = [np.frombuffer((token + "\0").encode("utf-16-le", "surrogatepass"), np.uint16) for token in pipeline.raw.targets]
    special_first = np.zeros(256, np.uint8)
    special_first[[token[0] & 255 for token in special]] = 1
    unknown = model.vocab[model.unk_token]
    single = np.full(codes.max() + 1, unknown, np.int32)
    for token, number in model.vocab.items():
        if len(token) == 1 <= model.max_characters:
            single[codes[ord(token)]] = number
    ends = np.concatenate([*special, np.zeros(1, np.uint16)])
    return normal, images, nodes, values, single, ends, special_first, unknown, model.max_characters


def make_trie(trie, bind, model):
    """The vocabulary as the kernel's trie -> (the code of each character (0x110000,), nodes, values)."""
    words, inner = sorted(model.vocab), sorted(model.inner)
    pieces = [*words, *inner]
    ids = np.array([*map(model.vocab.get, words), *map(model.inner.get, inner)], np.int32)
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
        if nodes[trie.WORDS] != trie.FREE:
            return codes, nodes, values
        size *= 2


def normal_forms(parts, codes, normalizer, alone):
    """The kernel's table of characters, by asking the pure path about every one that is not its own normal form."""
    table, spaced, steps = unicode_table(), SpacedCharacters(normalizer, alone=alone), normalizer.steps
    normal = codes.copy()
    images: list[int] = []
    if space_out_chinese in steps:
        for first, last in CHINESE:
            normal[first : last + 1] |= parts.ALONE
    if clean in steps:
        for first, end in zip(table.removed.bounds[::2], table.removed.bounds[1::2]):
            normal[first:end] = parts.DROPPED
    if decompose in steps:
        normal[HANGUL.start : HANGUL.stop] = parts.HANGUL
    asked = {*table.white_space, *table.punctuation, *table.lower, *(table.decomposed if decompose in steps else ())}
    for step, dropped in ((drop_accents, table.accents), (drop_marks, table.marks)):
        if step in steps:
            normal[list(dropped)] = parts.DROPPED
    for code in asked:
        forms = form_codes(parts, codes, spaced[code])
        normal[code] = forms[0] if len(forms) == 1 else parts.SEVERAL + len(images) if forms else parts.DROPPED
        if len(forms) > 1:
            images += [*forms, parts.SPACE]
    for character in normalizer.reordering:
        normal[ord(character)] = parts.SLOW
    return normal, np.array(images or [parts.SPACE], np.int32)


def form_codes(parts, codes, image: str) -> list[int]:
    """What SpacedCharacters has for a character -> the kernel's codes; a word of its own has spaces round it there."""
    forms, place = [], 0
    while place < len(image):
        alone = image[place] == " " and place + 2 < len(image) and image[place + 2] == " "
        if alone:
            forms.append(int(codes[ord(image[place + 1])]) | parts.ALONE)
            place += 3
        else:
            forms.append(parts.SPACE if image[place] == " " else int(codes[ord(image[place])]))
            place += 1
    return forms
