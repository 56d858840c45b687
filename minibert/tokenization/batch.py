"""Many texts at once: the stages in one compiled loop (`kernels/wordpiece.py`), arrays out, nothing in lists.

    packed = tokenizer.encode_packed(texts)
    packed.ids      [CLS] hello [SEP] [CLS] hey , you [SEP]      (N,)
    packed.bounds   0                 3                     8    (S+1,): text s is ids[bounds[s] : bounds[s + 1]]

A model takes it as it is: `model(packed)`. It gives the same as a call of the tokenizer for each text, and what it
cannot do (added tokens in a text, marks that change places) it hands to that call. For a few short texts the call is
the quicker way: this one imports Numba.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Lock
from typing import NamedTuple

import numpy as np

from minibert.errors import InputError, InputTypeError

from .arguments import resolve, room
from .normalizer import CHINESE, SpacedCharacters, drop_accents, reordering_characters
from .pipeline import check_characters
from .unicode import unicode_table

ROWS = 1 << 16  # of 64 bytes: the parts remembered, 4 MB a thread
NO_ROOM = 1 << 60  # more pieces than a text has
HANGUL = range(0xAC00, 0xAC00 + 11172)


class PackedEncoding(NamedTuple):
    """Texts one behind the other, without padding."""

    ids: np.ndarray  # (N,) int32
    bounds: np.ndarray  # (S+1,) int64
    offsets: np.ndarray | None  # (N, 2) int32: start and end in the text's characters; (0, 0) for [CLS] and [SEP]
    word_ids: np.ndarray | None  # (N,) int32: −1 for [CLS] and [SEP]


def encode_packed(tokenizer, texts, *, add_special_tokens, truncation, max_length, places, threads):
    """As `Tokenizer.encode_packed`."""
    texts = list(texts) if not isinstance(texts, (str, bytes)) else [None]
    if not all(issubclass(kind, str) for kind in set(map(type, texts))):
        raise InputTypeError("encode_packed takes a list of texts; call the tokenizer itself for one text, or for pairs.")
    if type(threads) is not int or threads < 1:
        raise InputError(f"threads must be a whole number, 1 or more; got {threads!r}.")
    one_by_one = partial(
        tokenizer, add_special_tokens=add_special_tokens, truncation=truncation, max_length=max_length, verbose=False,
        return_offsets_mapping=True,
    )  # fmt: skip
    frame = frame_of(tokenizer, add_special_tokens, truncation, max_length)
    if frame is None:
        return joined([row_of(one_by_one(text)) for text in texts], places)
    encoder = tokenizer._pipeline.batch
    cuts = np.linspace(0, len(texts), min(threads, len(texts) or 1) + 1).astype(int)
    shares = [texts[start:stop] for start, stop in zip(cuts[:-1], cuts[1:])]
    work = partial(encode_share, encoder, frame, places, one_by_one)
    if len(shares) == 1:
        return work(shares[0])
    with ThreadPoolExecutor(len(shares)) as pool:
        return joined(list(pool.map(work, shares)), places)


def frame_of(tokenizer, add_special_tokens, truncation, max_length):
    """What the kernel puts before and after a text (ids, −1 for none), and how many pieces it keeps of one; None where
    this tokenizer's texts are to be done one by one."""
    pipeline = tokenizer._pipeline
    request = resolve(
        tokenizer, padding=False, truncation=truncation, max_length=max_length, stride=0, pad_to_multiple_of=None,
        padding_side=None, overflow=False,
    )  # fmt: skip
    before, after = tokenizer._around if add_special_tokens else ([-1], [-1])
    simple = pipeline.parts_at_spaces and not pipeline.normal.targets and len(before) == len(after) == 1
    if not simple or (request.truncation and tokenizer.truncation_side != "right"):
        return None
    if not request.truncation:
        return before[0], after[0], NO_ROOM
    single = tokenizer.num_special_tokens_to_add()
    return before[0], after[0], room(request.max_length, single if add_special_tokens else 0, 0, single)


def encode_share(encoder, frame, places, one_by_one, texts):
    """Some texts through the kernel, and those that it leaves through the tokenizer's call."""
    text = " ".join(texts)
    try:
        data = text.encode()
    except UnicodeEncodeError:
        check_characters(text)
        raise
    lengths = np.fromiter(map(len, texts if text.isascii() else map(str.encode, texts)), np.int64, len(texts))
    bounds = np.zeros(len(texts) + 1, np.int64)
    np.cumsum(lengths + 1, out=bounds[1:])
    ids, rows, stops, slow = encoder.encode(data + encoder.after, bounds, frame, places)
    bounds = np.concatenate([[0], stops])
    found = PackedEncoding(ids, bounds, rows[:, :2] if places else None, rows[:, 2] if places else None)
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
        from minibert.kernels import wordpiece as kernel

        self.kernel = kernel
        self.tables = make_tables(kernel, pipeline)
        longest = self.tables.special.shape[1]
        self.after = b" " * (1 + kernel.KEPT_BYTES + longest)  # the kernel may look this far beyond the last text
        self.idle: list[tuple] = []  # memories that no call is using
        self.lock = Lock()

    def encode(self, data: bytes, bounds: np.ndarray, frame: tuple, places: bool):
        """Texts as `kernel.encode` wants them -> (ids, places, stops, slow)."""
        kernel, size = self.kernel, len(data)
        text = np.frombuffer(data, np.uint8)
        rows = size + 2 * len(bounds) + kernel.KEPT_PIECES  # a byte gives a piece at the most; pages not written cost nothing
        output = kernel.Output(
            ids=np.empty(rows, np.int32),
            places=np.empty((rows if places else 0, 3), np.int32),
            stops=np.empty(len(bounds) - 1, np.int64),
            slow=np.empty(len(bounds) - 1, np.bool_),
        )
        with self.lock:
            memories, scratch = self.idle.pop() if self.idle else self.make_memories()
        try:
            count = kernel.encode(text, bounds, self.tables, memories[places], scratch, frame, output)
        finally:
            with self.lock:
                self.idle.append((memories, scratch))
        return output.ids[:count], output.places[:count], output.stops, output.slow

    def make_memories(self):
        """One for ids alone and one with places: a row of the first would lack them."""
        longest = self.tables.longest + 1
        memories = tuple(np.zeros((ROWS, self.kernel.ROW), np.uint64) for _ in range(2))
        scratch = self.kernel.Scratch(
            np.empty(longest, np.int32), np.empty(longest, np.int32), np.empty((longest, 2), np.int32), np.empty(8, np.int32)
        )
        return memories, scratch


def make_tables(kernel, pipeline):
    normal, images = normal_forms(kernel, pipeline.normalizer)
    special = [token.encode() for token in pipeline.raw.targets]
    longest = max(map(len, special), default=0) + 1
    special_bytes = np.zeros((len(special), longest), np.uint8)
    for row, token in zip(special_bytes, special):
        row[: len(token)] = np.frombuffer(token, np.uint8)
    special_first = np.zeros(256, np.bool_)
    special_first[special_bytes[:, 0]] = True
    model = pipeline.model
    return kernel.Tables(
        normal, images, make_trie(kernel, model), special_bytes, special_first, model.vocab[model.unk_token],
        model.max_characters,
    )  # fmt: skip


def make_trie(kernel, model):
    """The vocabulary as the kernel's hash table: pieces that begin a word under root 0, those that go on under root 1."""
    words = [*model.vocab, *model.inner]
    ids = np.fromiter((*model.vocab.values(), *model.inner.values()), np.int64, len(words))
    bounds = np.zeros(len(words) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, words), np.int64, len(words)), out=bounds[1:])
    roots = np.repeat([kernel.WORDS, kernel.INNER], [len(model.vocab), len(model.inner)])
    characters = np.frombuffer("".join(words).encode("utf-32-le"), np.uint32)
    slots = 1 << max(4, int(2 * len(characters)).bit_length())
    edges = np.full((slots, 2), kernel.EMPTY)
    kernel.build_trie(characters, bounds, roots, ids, edges)
    return edges


def normal_forms(kernel, normalizer):
    """The kernel's table of characters, by asking the pure path about every one that is not its own normal form."""
    table, spaced = unicode_table(), SpacedCharacters(normalizer)
    normal = np.arange(0x110000, dtype=np.int32)
    images: list[int] = []
    strips = drop_accents in normalizer.steps
    if normalizer.handle_chinese_chars:
        for first, last in CHINESE:
            normal[first : last + 1] |= kernel.ALONE
    if normalizer.clean_text:
        normal[list(table.removed)] = kernel.DROPPED
    if strips:
        normal[HANGUL.start : HANGUL.stop] = kernel.HANGUL
    asked = {*table.white_space, *table.punctuation, *table.lower, *(table.decomposed if strips else ())}
    if strips:
        normal[list(table.accents)] = kernel.DROPPED
    for code in asked:
        forms = form_codes(kernel, spaced[code])
        normal[code] = forms[0] if len(forms) == 1 else kernel.SEVERAL + len(images) if forms else kernel.DROPPED
        if len(forms) > 1:
            images += [*forms, kernel.SPACE]
    if strips:
        for character in reordering_characters():
            normal[ord(character)] = kernel.SLOW
    return normal, np.array(images or [kernel.SPACE], np.int32)


def form_codes(kernel, image: str) -> list[int]:
    """What SpacedCharacters has for a character -> the kernel's codes; a word of its own has spaces round it there."""
    codes, place = [], 0
    while place < len(image):
        alone = image[place] == " " and place + 2 < len(image) and image[place + 2] == " "
        if alone:
            codes.append(ord(image[place + 1]) | kernel.ALONE)
            place += 3
        else:
            codes.append(kernel.SPACE if image[place] == " " else ord(image[place]))
            place += 1
    return codes
