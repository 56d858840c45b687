"""WordPiece over many texts at once: UTF-8 in; ids, offsets and word ids out, in arrays.

The definition is `minibert/tokenization/pipeline.py`; `minibert/tokenization/batch.py` makes the tables and calls this.
It is that pipeline in three layers, each of which leaves the rare case to the next:

    encode_known  What stands between two spaces gives the same pieces wherever it stands. A part of at most 16 bytes
                  is two integers, and those are its key in a hash table of 64-byte rows: one cache line holds the part
                  and its pieces. The next part is read, and its row asked for, before this one's is looked at.
    encode_part   A part not met before: its characters' normal forms from one table, its words through a trie;
                  `wordpiece_parts.py` and `wordpiece_trie.py`.
    Python        A text that holds an added token, or marks that change places: `slow` says which, nothing is emitted.
"""

from __future__ import annotations

import numpy as np

from .jit import Instruction, jit
from .wordpiece_parts import Output, Scratch, Tables, emit, encode_part

pointer, load_word, store_word, prefetch, bytes_before_space, copy_six, spread_twelve, spread_eight = (
    Instruction(name, "minibert.kernels.wordpiece_intrinsics")
    for name in (
        "pointer", "load_word", "store_word", "prefetch", "bytes_before_space", "copy_six", "spread_twelve", "spread_eight",
    )
)  # fmt: skip

SEPARATOR = "\x1e"  # with a space on either side it ends a text: Unicode's record separator, which BERT drops
LOOK_AHEAD = 64  # bytes read from where a part begins, wanted or not: its own, and those of the part behind it

# A row of the memory, in bytes: the part, filled up with zeros; its pieces' ids; start and end of each in the part's
# characters; the word of each, counted in the part; the bytes of the part; how many pieces, characters, and words.
ROW, ROW_BITS, KEPT_BYTES, KEPT_PIECES = 64, 16, 16, 6
IDS, PLACES, WORDS, SIZE, PIECES, CHARACTERS, COUNT = 16, 40, 52, 58, 59, 60, 61
MORE = 8  # pieces that may be written behind the last one
PROBES = 4  # rows looked at before the last of them is given to someone else
MIX = np.uint64(0x9E3779B97F4A7C15)  # 2⁶⁴ over the golden ratio: spreads keys over the upper bits (Knuth, TAOCP 6.4)

# By the size of a part, 17 if it is too long to be kept: which bytes of its first and second eight belong to it.
FIRST_BYTES = np.array([(1 << 8 * min(size, 8)) - 1 for size in range(KEPT_BYTES + 2)], np.uint64)
LAST_BYTES = np.array([(1 << 8 * min(max(size - 8, 0), 8)) - 1 for size in range(KEPT_BYTES + 2)], np.uint64)


# --- the memory ---


@jit()
def read_part(text, at, memory):
    """The part that begins at `at` -> (its size, 17 for more than 16 bytes; the two words of its key; its place in the
    memory). The row there is asked for, and comes while other parts are worked on: where the rows fill more than the
    nearer caches, as those of many scripts do, it took a seventh more time without that."""
    size = bytes_before_space(text, at)
    key, more = load_word(text, at) & FIRST_BYTES[size], load_word(text, at + 8) & LAST_BYTES[size]
    place = np.int64(((key ^ more * MIX) * MIX) >> np.uint64(64 - ROW_BITS))
    prefetch(memory, place * ROW)
    return size, key, more, place


@jit()
def find_row(memory, size, key, more, place):
    """(where the row of a part begins, whether it is that part's); else the first empty one, or the last one looked at."""
    row = place * ROW
    for probe in range(PROBES):
        row = ((place + probe) & ((1 << ROW_BITS) - 1)) * ROW
        if load_word(memory, row) == key and load_word(memory, row + 8) == more and memory[row + SIZE] == size:
            return row, True
        if memory[row + SIZE] == 0:
            break
    return row, False


@jit()
def remember(memory, row, text, at, size, output, first, count, characters, words):
    """Write a part's row; its pieces are those of `output` from first to count."""
    store_word(memory, row, load_word(text, at) & FIRST_BYTES[size])
    store_word(memory, row + 8, load_word(text, at + 8) & LAST_BYTES[size])
    for piece in range(count - first):
        store_word(memory, row + IDS + 4 * piece, np.uint64(output.ids[first + piece]))  # and zeros behind it
    for piece in range(count - first if output.places else 0):
        memory[row + PLACES + 2 * piece] = output.offsets[2 * (first + piece)]
        memory[row + PLACES + 2 * piece + 1] = output.offsets[2 * (first + piece) + 1]
        memory[row + WORDS + piece] = output.words[first + piece]
    memory[row + SIZE], memory[row + PIECES] = size, count - first
    memory[row + CHARACTERS], memory[row + COUNT] = characters, words


@jit()
def encode_known(text, state, memory, output):
    """A text from `state` on, as far as its parts are remembered -> (the state there, the size of the part that is not:
    17 for more than 16 bytes; the row it may have). The separator is no part, and never remembered."""
    (at, count, character, word), row = state, 0
    part = read_part(text, at, memory)
    while True:
        size, key, more, place = part
        part = read_part(text, at + size + 1, memory)
        if size == 0:
            at, character = at + 1, character + 1
            continue
        if size > KEPT_BYTES:
            break
        row, held = find_row(memory, size, key, more, place)
        if not held:
            break
        # All six pieces a row can hold are written, without a branch: the next part's go over those too many.
        copy_six(output.ids, count, memory, row + IDS)
        if output.places:
            spread_twelve(output.offsets, 2 * count, memory, row + PLACES, character)
            spread_eight(output.words, count, memory, row + WORDS, word)
            character += np.int64(memory[row + CHARACTERS]) + 1
            word += np.int64(memory[row + COUNT])
        at, count = at + size + 1, count + np.int64(memory[row + PIECES])  # and the space behind it
    return (at, count, character, word), size, row


@jit()
def encode_new(text, state, size, row, tables, memory, scratch, output):
    """The part at `state`, which is not remembered, and from now on is if it may be -> the state behind it; count −1: slow."""
    at, first, character, word = state
    end = at + size
    while text[end] != 32:
        end += 1
    count, characters, words = encode_part(text, at, end, tables, scratch, output, first)
    if count < 0:
        return at, count, character, word
    if size <= KEPT_BYTES and count - first <= KEPT_PIECES:
        remember(memory, row, text, at, size, output, first, count, characters, words)
    if output.places:
        for piece in range(first, count):
            output.offsets[2 * piece] += character
            output.offsets[2 * piece + 1] += character
            output.words[piece] += word
    return end + 1, count, character + characters + 1, word + words


@jit()
def encode_text(text, at, tables, memory, scratch, output, count):
    """A text from byte `at` -> (where its separator stands, count of pieces now; −1: slow)."""
    state, size, row = encode_known(text, (at, count, 0, 0), memory, output)
    while size != 1 or text[state[0]] != 0x1E:
        state = encode_new(text, state, size, row, tables, memory, scratch, output)
        at = state[0]
        if state[1] < 0:
            while text[at] != 0x1E or text[at - 1] != 32 or text[at + 1] != 32:
                at += 1
            return at, state[1]
        state, size, row = encode_known(text, state, memory, output)
    return state[0], state[1]


@jit(nogil=True)
def encode(data, size, tables, memory, scratch, frame, output, bounds, slow):
    """UTF-8 texts, each with " SEPARATOR " behind it, `size` bytes in all, and LOOK_AHEAD spaces after that -> `output`,
    bounds (S+1,) int64, and slow (S,) uint8: 1 where Python is to do a text instead. A text that holds what ends a text
    leaves bounds[0] at −1.

    frame: ids put before and after each text (−1 for none), how many pieces of a text are kept, and whether offsets and
    word ids are wanted.
    """
    text, memory = pointer(data), pointer(memory)
    normal, images, nodes, values, single, special, special_first, unknown, longest = tables
    tables = Tables(
        pointer(normal), pointer(images), pointer(nodes), pointer(values), pointer(single), pointer(special),
        pointer(special_first), unknown, longest,
    )  # fmt: skip
    word, sources, pieces, ends, forms = scratch
    scratch = Scratch(pointer(word), pointer(sources), pointer(pieces), pointer(ends), pointer(forms))
    before, after, room, places = frame
    ids, offsets, words = output
    output = Output(pointer(ids), pointer(offsets), pointer(words), places)
    at, count, none = 0, 0, np.int64(0)
    for index in range(len(slow)):
        if at >= size:
            break
        first = count
        if before >= 0:
            count = emit(output, count, before, none, none, none - 1)
        start = count
        at, count = encode_text(text, at, tables, memory, scratch, output, start)
        at += 2
        slow[index] = count < 0
        if count < 0:
            count = first
        else:
            count = min(count, start + room)
            if after >= 0:
                count = emit(output, count, after, none, none, none - 1)
        bounds[index + 1] = count
    bounds[0] = 0 if at == size else -1
