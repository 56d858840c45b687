"""Python's strings, read from CPython's memory: joining and encoding them took a quarter of a batch's time.

A `str` has its characters after its other fields, with 1, 2 or 4 bytes each, as its widest character needs. The kernel
reads a text as units: of one byte if that is enough for every character, otherwise UTF-16.

    layout           the offsets of the fields, checked on a few strings
    measure_texts    the memory that texts need
    load_text        the units of a text, followed by spaces
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from typing import NamedTuple

import numpy as np

from ..compiler.jit import jit
from ..simd.memory import copy_values, has_surrogate, i64_ptr, store_spaces, u8_ptr, u16_ptr, u32_ptr

# Five bits of a string's state: whether it is ASCII, whether it is compact, and three for the bytes of a character.
ASCII, LATIN, TWO_BYTES, FOUR_BYTES = 0b11001, 0b01001, 0b01010, 0b01100
WIDTH_MASK = 0b00111
CODECS = {1: "latin-1", 2: "utf-16", 4: "utf-32"}  # without a mark of the bytes' order, that is the machine's
SAMPLES = ("a!", "é!", "中!", "😀!")
PADDING_UNITS = 64  # units that are read and written after a text


class StringLayout(NamedTuple):
    """The offsets of a string's fields, in bytes."""

    type: int
    length: int
    state: int
    shift: int  # of the five bits in the state
    ascii: int  # the characters, if all are ASCII
    characters: int  # the characters, if not
    str_type: int  # the address of `str`, which is the type of a plain string


@cache
def layout() -> np.ndarray | None:
    """This Python's StringLayout, int64; None if it stores strings differently from CPython 3.10 to 3.14."""
    if sys.implementation.name != "cpython":
        return None
    header, sample = object.__basicsize__, "".join(SAMPLES)[:2]  # a new string: a constant is interned, which its state says
    state = ctypes.c_uint32.from_address(id(sample) + header + 16).value
    shift = (state & -state).bit_length() - 1  # the lowest set bit is "one byte per character"
    fields = StringLayout(
        header - 8, header, header + 16, shift, sys.getsizeof("") - 1, sys.getsizeof(chr(0x4E00)) - 4, id(str)
    )
    items = [ctypes.c_int64.from_address(tuple_items(SAMPLES) + 8 * index).value for index in range(len(SAMPLES))]
    is_valid = items == list(map(id, SAMPLES)) and all(is_read(sample, fields) for sample in SAMPLES)
    return np.array(fields, np.int64) if is_valid else None


def tuple_items(texts: tuple) -> int:
    """The address of the array of a tuple's items."""
    return id(texts) + tuple.__basicsize__


def is_read(text: str, fields: StringLayout) -> bool:
    """Whether reading memory at these offsets gives the text."""
    bits = ctypes.c_uint32.from_address(id(text) + fields.state).value >> fields.shift & 31
    length = ctypes.c_int64.from_address(id(text) + fields.length).value
    type_address = ctypes.c_int64.from_address(id(text) + fields.type).value
    if length != len(text) or type_address != fields.str_type or bits not in (ASCII, LATIN, TWO_BYTES, FOUR_BYTES):
        return False
    start = fields.ascii if bits == ASCII else fields.characters
    raw = ctypes.string_at(id(text) + start, length * (bits & WIDTH_MASK))
    return raw.decode(CODECS[bits & WIDTH_MASK], "replace") == text


@jit()
def layout_of(fields):
    return StringLayout(fields[0], fields[1], fields[2], fields[3], fields[4], fields[5], fields[6])


@jit()
def state_bits(text, layout):
    """The five bits of the string at this address; 0 if it is not a plain string."""
    if i64_ptr(text + layout.type)[0] != layout.str_type:
        return 0
    return u32_ptr(text + layout.state)[0] >> layout.shift & 31


@jit(nogil=True)
def measure_texts(items, count, layout, needs):
    """Texts, whose addresses are at `items` -> needs (2,): an upper bound of their pieces, which is that of their bytes in
    UTF-8, and of the units of the longest text. −1 pieces: one is not a plain string."""
    texts, layout = i64_ptr(items), layout_of(layout)
    pieces, longest = 0, 0
    for index in range(count):
        bits = state_bits(texts[index], layout)
        if bits != ASCII and bits != LATIN and bits != TWO_BYTES and bits != FOUR_BYTES:
            needs[0] = -1
            return
        length = i64_ptr(texts[index] + layout.length)[0]
        pieces += length * ((bits & WIDTH_MASK) + (bits == LATIN or bits == TWO_BYTES))
        longest = max(longest, length * (1 + (bits == FOUR_BYTES)))
    needs[0], needs[1] = pieces, longest


@jit()
def load_text(text, layout, narrow, wide):
    """The string at this address -> (number of units, whether they are wide); the units are in `wide` or `narrow`.
    −1 units: it has half of a surrogate pair, which is not a character."""
    bits, length = state_bits(text, layout), i64_ptr(text + layout.length)[0]
    characters = text + (layout.ascii if bits == ASCII else layout.characters)
    if bits & WIDTH_MASK == 1:
        copy_values(narrow, u8_ptr(characters), length)
        store_spaces(narrow, length)
        return length, 0
    if bits == FOUR_BYTES:
        length = to_utf16(u32_ptr(characters), length, wide)
        store_spaces(wide, max(length, 0))
        return length, 1
    copy_values(wide, u16_ptr(characters), length)
    store_spaces(wide, length)
    for start in range(0, length, 32):
        if has_surrogate(wide, start):
            return -1, 1
    return length, 1


@jit()
def to_utf16(characters, length, units):
    """Code points -> number of units; −1 for half of a surrogate pair."""
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
