"""WordPiece over many texts at once: UTF-8 in; ids, offsets and word ids out, in arrays.

The definition is `minibert/tokenization/pipeline.py`; `minibert/tokenization/batch.py` makes the tables and calls this.
It is that pipeline in three layers, each of which leaves the rare case to the next:

    encode_known  What stands between two spaces gives the same pieces wherever it stands. A part of at most 16 bytes
                  is two integers, and those are its key in a hash table of 64-byte rows: one cache line holds the part
                  and its pieces. The next part is found without waiting for this one's row.
    encode_part   A part not met before: its characters' normal forms from one table, its words through a trie; this
                  stands in wordpiece_parts.py.
    Python        A text that holds an added token, or marks that change places: `slow` says which, nothing is emitted.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .jit import jit
from .wordpiece_parts import MIX, ZERO, Output, Scratch, Tables, decode, emit, encode_part, pointer

# A row of the memory is eight 64-bit words: two of key, one of counts, three of ids, one of starts, one of ends.
ROW, ROW_BITS, KEPT_BYTES, KEPT_PIECES = 8, 16, 16, 6
PROBES = 4  # rows looked at before the last of them is given to someone else
LOOK_AHEAD = 32  # bytes read from where a part begins, wanted or not

# By the size of a part: which bytes of its first and second eight belong to it.
FIRST_BYTES = np.array([(1 << 8 * min(size, 8)) - 1 for size in range(KEPT_BYTES + 1)], np.uint64)
LAST_BYTES = np.array([(1 << 8 * max(size - 8, 0)) - 1 for size in range(KEPT_BYTES + 1)], np.uint64)


# --- memory as the machine has it ---


@intrinsic
def load_word(typing_context, data, index):
    """data[index : index + 8] of bytes as one uint64, aligned or not."""

    def generate(context, builder, signature, arguments):
        address = builder.bitcast(builder.gep(arguments[0], [arguments[1]]), ir.IntType(64).as_pointer())
        word = builder.load(address)
        word.align = 1
        return word

    return types.uint64(data, types.int64), generate


@intrinsic
def store_word(typing_context, data, index, word):
    """data[index], data[index + 1] of int32 = the lower and the upper half of a uint64."""

    def generate(context, builder, signature, arguments):
        address = builder.bitcast(builder.gep(arguments[0], [arguments[1]]), ir.IntType(64).as_pointer())
        builder.store(arguments[2], address).align = 4
        return context.get_dummy_value()

    return types.none(data, types.int64, types.uint64), generate


@intrinsic
def bytes_before_space(typing_context, data, index):
    """How many bytes from data[index] on come before the first space; 17 where that is more than 16."""

    def generate(context, builder, signature, arguments):
        vector = ir.VectorType(ir.IntType(8), LOOK_AHEAD)
        address = builder.bitcast(builder.gep(arguments[0], [arguments[1]]), vector.as_pointer())
        block = builder.load(address)
        block.align = 1
        spaces = builder.icmp_unsigned("==", block, ir.Constant(vector, [ord(" ")] * LOOK_AHEAD))
        spaces = builder.bitcast(spaces, ir.IntType(LOOK_AHEAD))
        spaces = builder.or_(spaces, ir.Constant(ir.IntType(LOOK_AHEAD), 1 << KEPT_BYTES + 1))
        return builder.zext(builder.cttz(spaces, ir.Constant(ir.IntType(1), 1)), ir.IntType(64))

    return types.int64(data, types.int64), generate


# --- the memory ---


@jit()
def find_row(memory, key, more, size):
    """(where the row of a part begins, whether it is that part's); else the first empty one, or the last one looked at."""
    row = np.int64(((key ^ more * MIX) * MIX) >> np.uint64(64 - ROW_BITS))
    line = row * ROW
    for probe in range(PROBES):
        line = ((row + probe) & ((1 << ROW_BITS) - 1)) * ROW
        counts = memory[line + 2]
        if memory[line] == key and memory[line + 1] == more and counts & np.uint64(0xFF) == np.uint64(size):
            return line, True
        if counts == 0:
            break
    return line, False


@jit()
def remember(memory, line, size, output, first, count, characters, words):
    """Write a part's pieces, the `output` rows from first to count, with its counts; the key is there already."""
    pieces = count - first
    numbers, starts, ends = np.uint64(0), np.uint64(0), np.uint64(0)
    for piece in range(pieces if output.places else 0):
        shift = np.uint64(8 * piece)
        starts |= np.uint64(output.offsets[2 * (first + piece)]) << shift
        ends |= np.uint64(output.offsets[2 * (first + piece) + 1]) << shift
        numbers |= np.uint64(output.words[first + piece]) << np.uint64(4 * piece)
    for pair in range(KEPT_PIECES // 2):
        low = np.uint64(output.ids[first + 2 * pair]) if 2 * pair < pieces else np.uint64(0)
        high = np.uint64(output.ids[first + 2 * pair + 1]) if 2 * pair + 1 < pieces else np.uint64(0)
        memory[line + 3 + pair] = low | high << np.uint64(32)
    memory[line + 2] = np.uint64(size | pieces << 8 | characters << 16 | words << 24) | numbers << np.uint64(32)
    memory[line + 6], memory[line + 7] = starts, ends


@jit()
def recall(memory, line, pieces, output, count, character, word):
    """A remembered part's pieces into the output. All six ids are written, as the next part's go over those too many."""
    for pair in range(KEPT_PIECES // 2):
        store_word(output.ids, count + 2 * pair, memory[line + 3 + pair])
    if output.places:
        starts, ends, numbers = memory[line + 6], memory[line + 7], memory[line + 2] >> np.uint64(32)
        piece = count
        while True:  # once at least, as one piece is the rule: a loop of `pieces` turns was harder to foresee
            output.offsets[2 * piece] = character + np.int64(starts & np.uint64(0xFF))
            output.offsets[2 * piece + 1] = character + np.int64(ends & np.uint64(0xFF))
            output.words[piece] = word + np.int64(numbers & np.uint64(15))
            piece += 1
            if piece >= count + pieces:
                break
            starts, ends, numbers = starts >> np.uint64(8), ends >> np.uint64(8), numbers >> np.uint64(4)


@jit()
def encode_known(text, state, length, memory, output):
    """A text of `length` characters from `state` on, as far as its parts are remembered -> (the state there, the size of
    the part that is not: 17 for more than 16 bytes, 0 at the text's end)."""
    at, count, character, word = state
    while character < length:
        size = bytes_before_space(text, at)
        if size == 0:
            at, character = at + 1, character + 1
            continue
        if size > KEPT_BYTES:
            return (at, count, character, word), size
        key, more = load_word(text, at) & FIRST_BYTES[size], load_word(text, at + 8) & LAST_BYTES[size]
        line, held = find_row(memory, key, more, size)
        if not held:
            return (at, count, character, word), size
        counts = memory[line + 2]
        pieces = np.int64(counts >> np.uint64(8) & np.uint64(0xFF))
        recall(memory, line, pieces, output, count, character, word)
        at, count = at + size + 1, count + pieces  # and the space behind it
        character += np.int64(counts >> np.uint64(16) & np.uint64(0xFF)) + 1
        word += np.int64(counts >> np.uint64(24) & np.uint64(0xFF))
    return (at + (character == length), count, character, word), 0


@jit()
def encode_new(text, state, size, tables, memory, scratch, output):
    """The part at `state`, which is not remembered, and from now on is if it may be -> the state behind it; count −1: slow."""
    at, first, character, word = state
    end = at + size
    while text[end] != 32:
        end += 1
    count, characters, words = encode_part(text, at, end, tables, scratch, output, first)
    if count < 0:
        return at, count, character, word
    if size <= KEPT_BYTES and count - first <= KEPT_PIECES:
        key, more = load_word(text, at) & FIRST_BYTES[size], load_word(text, at + 8) & LAST_BYTES[size]
        line, _ = find_row(memory, key, more, size)
        memory[line], memory[line + 1] = key, more
        remember(memory, line, size, output, first, count, characters, words)
    if output.places:
        for piece in range(first, count):
            output.offsets[2 * piece] += character
            output.offsets[2 * piece + 1] += character
            output.words[piece] += word
    return end + 1, count, character + characters + 1, word + words


@jit()
def encode_text(text, at, length, tables, memory, scratch, output, count):
    """A text of `length` characters from byte `at` -> (where the next begins, count of pieces now; −1: slow)."""
    state, size = encode_known(text, (at, count, ZERO, ZERO), length, memory, output)
    while size:
        state = encode_new(text, state, size, tables, memory, scratch, output)
        if state[1] < 0:
            break
        state, size = encode_known(text, state, length, memory, output)
    if not size:
        return state[0], state[1]
    for _ in range(length + 1):
        at += decode(text, at)[1]
    return at, -1


@jit(nogil=True)
def encode(data, lengths, tables, memory, scratch, frame, output, results):
    """UTF-8 texts of so many characters (S,), a space behind each, LOOK_AHEAD bytes behind all -> `output`, and `results`:
    stops (S,) int64, the end of each text's pieces; slow (S,) bool, whether Python is to do it instead.

    frame: ids put before and after each text (−1 for none), and how many pieces of a text are kept. -> pieces in all.
    """
    text, memory = pointer(data), pointer(memory)
    tables = Tables(
        pointer(tables.normal), pointer(tables.images), pointer(tables.edges), pointer(tables.single),
        pointer(tables.special), pointer(tables.special_first), tables.slots, tables.unknown, tables.longest,
    )  # fmt: skip
    scratch = Scratch(
        pointer(scratch.word), pointer(scratch.sources), pointer(scratch.pieces), pointer(scratch.ends), pointer(scratch.forms)
    )
    output = Output(pointer(output.ids), pointer(output.offsets), pointer(output.words), output.places)
    (before, after, room), (stops, slow) = frame, results
    at, count = ZERO, ZERO
    for index in range(len(lengths)):
        first = count
        if before >= 0:
            count = emit(output, count, before, ZERO, ZERO, ZERO - 1)
        start = count
        at, count = encode_text(text, at, lengths[index], tables, memory, scratch, output, start)
        slow[index] = count < 0
        if count < 0:
            count = first
        else:
            count = min(count, start + room)
            if after >= 0:
                count = emit(output, count, after, ZERO, ZERO, ZERO - 1)
        stops[index] = count
    return count
