"""Python's strings, read where CPython keeps their characters: joining and encoding them took a quarter of a batch's time.

A `str` has its characters behind its other fields, with 1, 2 or 4 bytes for each, as the widest needs. The kernel reads a
text as units: of one byte where that is enough for every character, else of two, UTF-16.

    layout       where the fields lie, tried out on a few strings
    measure      how much room texts may need
    load_text    one text's units, with spaces behind them
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from typing import NamedTuple

import numpy as np

from ..compiler.jit import jit
from ..simd.memory import bytes_at, copy, fill_with_spaces, halves_at, has_surrogate, numbers_at, words_at

# Five bits of a string's state: all ASCII, characters right behind the fields, and three for the bytes of a character.
ASCII, LATIN, TWO_BYTES, FOUR_BYTES = 0b11001, 0b01001, 0b01010, 0b01100
WIDTH = 0b00111
CODECS = {1: "latin-1", 2: "utf-16", 4: "utf-32"}  # without a mark of the bytes' order, that is the machine's
SAMPLES = ("a!", "é!", "中!", "😀!")
BEHIND = 64  # units that are read and written behind a text


class Layout(NamedTuple):
    """Where a string has its fields, in bytes from its address."""

    type: int
    length: int
    state: int
    shift: int  # the bits of the state before those above
    ascii: int  # the characters, if all are ASCII
    characters: int  # and if not
    plain: int  # the address of `str` itself, which is the type of a plain string


@cache
def layout() -> np.ndarray | None:
    """The fields of this Python's Layout, int64; None where it keeps strings in another way than CPython 3.10 to 3.14."""
    if sys.implementation.name != "cpython":
        return None
    head, new = object.__basicsize__, "".join(SAMPLES)[:2]  # a constant's state would say that it is shared
    state = ctypes.c_uint32.from_address(id(new) + head + 16).value
    shift = (state & -state).bit_length() - 1  # the lowest bit of one byte a character
    found = Layout(head - 8, head, head + 16, shift, sys.getsizeof("") - 1, sys.getsizeof(chr(0x4E00)) - 4, id(str))
    held = [ctypes.c_int64.from_address(items_of(SAMPLES) + 8 * number).value for number in range(len(SAMPLES))]
    fits = held == list(map(id, SAMPLES)) and all(is_read(sample, found) for sample in SAMPLES)
    return np.array(found, np.int64) if fits else None


def items_of(texts: tuple) -> int:
    """Where a tuple has the addresses of what it holds."""
    return id(texts) + tuple.__basicsize__


def is_read(text: str, found: Layout) -> bool:
    """Whether the text is found where the layout says."""
    kind = ctypes.c_uint32.from_address(id(text) + found.state).value >> found.shift & 31
    length = ctypes.c_int64.from_address(id(text) + found.length).value
    of_type = ctypes.c_int64.from_address(id(text) + found.type).value
    if length != len(text) or of_type != found.plain or kind not in (ASCII, LATIN, TWO_BYTES, FOUR_BYTES):
        return False
    start = found.ascii if kind == ASCII else found.characters
    raw = ctypes.string_at(id(text) + start, length * (kind & WIDTH))
    return raw.decode(CODECS[kind & WIDTH], "replace") == text


@jit()
def layout_of(fields):
    return Layout(fields[0], fields[1], fields[2], fields[3], fields[4], fields[5], fields[6])


@jit()
def kind_of(text, layout):
    """The kind of the string at this address; 0 where it is no plain one, or no string at all."""
    if numbers_at(text + layout.type)[0] != layout.plain:
        return 0
    return words_at(text + layout.state)[0] >> layout.shift & 31


@jit(nogil=True)
def measure(items, count, layout, needs):
    """Texts, whose addresses lie at `items` -> needs (2,): how many pieces they can have, which is no more than their bytes
    in UTF-8, and how many units the longest has. −1 where one is no plain string."""
    texts, layout = numbers_at(items), layout_of(layout)
    pieces, longest = 0, 0
    for index in range(count):
        kind = kind_of(texts[index], layout)
        if kind != ASCII and kind != LATIN and kind != TWO_BYTES and kind != FOUR_BYTES:
            needs[0] = -1
            return
        length = numbers_at(texts[index] + layout.length)[0]
        pieces += length * ((kind & WIDTH) + (kind == LATIN or kind == TWO_BYTES))
        longest = max(longest, length * (1 + (kind == FOUR_BYTES)))
    needs[0], needs[1] = pieces, longest


@jit()
def load_text(text, layout, narrow, wide):
    """The string at this address -> (how many units it has, whether they are wide), and these in `wide` or in `narrow`.
    −1 units: half of a surrogate pair is in it, which is no character."""
    kind, length = kind_of(text, layout), numbers_at(text + layout.length)[0]
    characters = text + (layout.ascii if kind == ASCII else layout.characters)
    if kind & WIDTH == 1:
        copy(narrow, bytes_at(characters), length)
        fill_with_spaces(narrow, length)
        return length, 0
    if kind == FOUR_BYTES:
        length = to_utf16(words_at(characters), length, wide)
        fill_with_spaces(wide, max(length, 0))
        return length, 1
    copy(wide, halves_at(characters), length)
    fill_with_spaces(wide, length)
    for start in range(0, length, 32):
        if has_surrogate(wide, start):
            return -1, 1
    return length, 1


@jit()
def to_utf16(characters, length, units):
    """Code points -> how many units; −1 for half of a surrogate pair."""
    count = 0
    for index in range(length):
        code = characters[index]
        if code >> 11 == 0x1B:
            return -1
        if code < 0x10000:
            units[count] = code
            count += 1
        else:
            units[count], units[count + 1] = 0xD7C0 + (code >> 10), 0xDC00 | code & 0x3FF
            count += 2
    return count
