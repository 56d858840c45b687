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
    if type(threads) is not int or threads < 1:
        raise InputError(f"threads must be a whole number, 1 or more; got {threads!r}.")
    one_by_one = partial(
        tokenizer, add_special_tokens=add_special_tokens, truncation=truncation, max_length=max_length, verbose=False,
        return_offsets_mapping=True,
    )  # fmt: skip
    frame = frame_of(tokenizer, add_special_tokens, truncation, max_length)
    if frame is None:
        join(texts)
        return joined([row_of(one_by_one(text)) for text in texts], places)
    work = partial(encode_share, tokenizer._pipeline.batch, frame, places, one_by_one)
    if threads == 1 or len(texts) < 2:
        return work(texts)
    cuts = np.linspace(0, len(texts), min(threads, len(texts)) + 1).astype(int)
    shares = [texts[start:stop] for start, stop in zip(cuts[:-1], cuts[1:])]
    with ThreadPoolExecutor(len(shares)) as pool:
        return joined(list(pool.map(work, shares)), places)


def join(texts):
    """The texts with a space between; refuses what is no text, which is the quickest way to find it."""
    try:
        return " ".join(texts)
    except TypeError:
        raise InputTypeError(
            "encode_packed takes a list of texts; call the tokenizer itself for one text, or for pairs."
        ) from None


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
    simple = simple and not any("\0" in token for token in pipeline.raw.targets)  # which ends a token in the tables
    if not simple or (request.truncation and tokenizer.truncation_side != "right"):
        return None
    if not request.truncation:
        return before[0], after[0], NO_ROOM
    single = tokenizer.num_special_tokens_to_add()
    return before[0], after[0], room(request.max_length, single if add_special_tokens else 0, 0, single)


def encode_share(encoder, frame, places, one_by_one, texts):
    """Some texts through the kernel, and those that it leaves through the tokenizer's call."""
    text = join(texts) + encoder.after
    try:
        data = text.encode()
    except UnicodeEncodeError:
        check_characters(text)
        raise
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    ids, offsets, word_ids, (stops, slow) = encoder.encode(data, lengths, frame, places)
    bounds = np.concatenate([[0], stops])
    found = PackedEncoding(ids, bounds, offsets if places else None, word_ids if places else None)
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
        from minibert.kernels import wordpiece_parts as parts

        self.kernel = kernel
        self.tables = make_tables(parts, pipeline)
        self.after = " " * (1 + kernel.LOOK_AHEAD)  # the kernel may look this far beyond the last text
        self.idle: list[tuple] = []  # memories that no call is using
        self.lock = Lock()

    def encode(self, data: bytes, lengths: np.ndarray, frame: tuple, places: bool):
        """Texts as `kernel.encode` wants them -> (ids, offsets, word ids, (stops, slow))."""
        kernel, text = self.kernel, np.frombuffer(data, np.uint8)
        # A byte gives a piece at the most, and pages that are not written cost nothing.
        rows = len(data) + 2 * len(lengths) + kernel.KEPT_PIECES
        placed = rows if places else 0
        output = kernel.Output(np.empty(rows, np.int32), np.empty(2 * placed, np.int32), np.empty(placed, np.int32), int(places))
        results = np.empty(len(lengths), np.int64), np.empty(len(lengths), np.bool_)
        with self.lock:
            memories, scratch = self.idle.pop() if self.idle else self.make_memories()
        try:
            count = kernel.encode(text, lengths, self.tables, memories[places], scratch, frame, output, results)
        finally:
            with self.lock:
                self.idle.append((memories, scratch))
        return output.ids[:count], output.offsets[: 2 * count].reshape(-1, 2), output.words[:count], results

    def make_memories(self):
        """One for ids alone and one with places: a row of the first would lack them."""
        kernel, longest = self.kernel, self.tables.longest + 1
        memories = tuple(np.zeros(kernel.ROW << kernel.ROW_BITS, np.uint64) for _ in range(2))
        return memories, kernel.Scratch(*(np.empty(size, np.int64) for size in (longest, longest, longest, longest, 8)))


def make_tables(parts, pipeline):
    normal, images = normal_forms(parts, pipeline.normalizer)
    special = [token.encode(errors="surrogatepass") + b"\0" for token in pipeline.raw.targets]
    special_first = np.zeros(256, np.uint8)
    special_first[[token[0] for token in special]] = 1
    model = pipeline.model
    edges, unknown = make_trie(parts, model), model.vocab[model.unk_token]
    single = np.full(0x110000, unknown, np.int32)
    for token, number in model.vocab.items():
        if len(token) == 1 <= model.max_characters:
            single[ord(token)] = number
    return parts.Tables(
        normal, images, edges, single, np.frombuffer(b"".join(special) + b"\0", np.uint8), special_first,
        len(edges) // 2, unknown, model.max_characters,
    )  # fmt: skip


def make_trie(parts, model):
    """The vocabulary as the kernel's hash table: pieces that begin a word under root 0, those that go on under root 1."""
    words = [*model.vocab, *model.inner]
    ids = np.fromiter((*model.vocab.values(), *model.inner.values()), np.int64, len(words))
    bounds = np.zeros(len(words) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, words), np.int64, len(words)), out=bounds[1:])
    roots = np.repeat([parts.WORDS, parts.INNER], [len(model.vocab), len(model.inner)])
    characters = np.frombuffer("".join(words).encode("utf-32-le", "surrogatepass"), np.uint32)
    edges = np.full(4 << len(characters).bit_length(), parts.EMPTY)
    nodes = parts.build_trie(characters, bounds, roots, ids, edges)
    edges = np.full(4 << int(nodes).bit_length(), parts.EMPTY)  # now that the nodes are counted, a third as large
    parts.build_trie(characters, bounds, roots, ids, edges)
    return edges


def normal_forms(parts, normalizer):
    """The kernel's table of characters, by asking the pure path about every one that is not its own normal form."""
    table, spaced = unicode_table(), SpacedCharacters(normalizer)
    normal = np.arange(0x110000, dtype=np.int32)
    images: list[int] = []
    strips = drop_accents in normalizer.steps
    if normalizer.handle_chinese_chars:
        for first, last in CHINESE:
            normal[first : last + 1] |= parts.ALONE
    if normalizer.clean_text:
        for first, end in zip(table.removed.bounds[::2], table.removed.bounds[1::2]):
            normal[first:end] = parts.DROPPED
    if strips:
        normal[HANGUL.start : HANGUL.stop] = parts.HANGUL
    asked = {*table.white_space, *table.punctuation, *table.lower, *(table.decomposed if strips else ())}
    if strips:
        normal[list(table.accents)] = parts.DROPPED
    for code in asked:
        forms = form_codes(parts, spaced[code])
        normal[code] = forms[0] if len(forms) == 1 else parts.SEVERAL + len(images) if forms else parts.DROPPED
        if len(forms) > 1:
            images += [*forms, parts.SPACE]
    if strips:
        for character in reordering_characters():
            normal[ord(character)] = parts.SLOW
    return normal, np.array(images or [parts.SPACE], np.int32)


def form_codes(parts, image: str) -> list[int]:
    """What SpacedCharacters has for a character -> the kernel's codes; a word of its own has spaces round it there."""
    codes, place = [], 0
    while place < len(image):
        alone = image[place] == " " and place + 2 < len(image) and image[place + 2] == " "
        if alone:
            codes.append(ord(image[place + 1]) | parts.ALONE)
            place += 3
        else:
            codes.append(parts.SPACE if image[place] == " " else ord(image[place]))
            place += 1
    return codes
