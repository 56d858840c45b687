"""The directory of a zip file: where the bytes of each entry are, so that they can be mapped.

Python's zipfile reads entries, and does not say where they begin; it also reads a directory of any size. The format is
PKWARE's APPNOTE, of which this takes what torch.save writes: one disk, zip64 or not, entries stored or deflated. Nothing
is unpacked into files. CRCs are not compared: torch may be told not to compute them.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from dataclasses import dataclass
from functools import cached_property

from .errors import WeightsError, short_repr

LARGEST_DIRECTORY = 1 << 20  # bytes
LONGEST_END = 22 + 65535  # bytes of the last record and its comment
INFLATED = 1 << 20  # bytes that a compressed entry may always have; above, MOST_RATIO times its size in the file
MOST_RATIO = 16  # floats shrink to a half at most; a bomb's zeros to a thousandth

END, END64, LOCATOR64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
ENTRY, LOCAL = b"PK\x01\x02", b"PK\x03\x04"
STORED, DEFLATED = 0, 8


@dataclass(frozen=True)
class ZipEntry:
    """An entry: where its bytes are. If it is deflated, `size` is that of the bytes it stands for."""

    content: mmap.mmap
    start: int
    size: int
    stored_size: int
    deflated: bool

    def read(self) -> bytes:
        return self.inflated if self.deflated else self.content[self.start : self.start + self.stored_size]

    @cached_property
    def inflated(self) -> bytes:
        """Once for all tensors that are parts of it."""
        piece = self.content[self.start : self.start + self.stored_size]
        stream = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            inflated = stream.decompress(piece, self.size + 1)
        except zlib.error as error:
            raise WeightsError(f"a compressed entry is damaged: {error}. Download the file again.") from None
        if len(inflated) != self.size or not stream.eof:
            raise damaged(f"an entry has other than its {self.size} bytes")
        return inflated


def read_directory(content: mmap.mmap) -> dict[str, ZipEntry]:
    """A mapped zip file -> its entries by name. WeightsError, which does not name the file, if it is not sound."""
    start, size, count = find_directory(content)
    directory, position, entries, spans = content[start : start + size], 0, {}, []
    for _ in range(count):
        header = directory[position : position + 46]
        if len(header) < 46 or not header.startswith(ENTRY):
            raise damaged("its directory ends too early")
        name_length, extra_length, comment_length = struct.unpack_from("<3H", header, 28)
        end = position + 46 + name_length
        name, extra = directory[position + 46 : end], directory[end : end + extra_length]
        position = end + extra_length + comment_length
        text = name.decode("utf-8", "replace")
        if text in entries:
            raise damaged(f"{short_repr(text)} is there twice")
        offset, entry = read_entry(content, header, name, extra)
        if entry.start + entry.stored_size > start:
            raise damaged(f"{short_repr(text)} ends past the end")
        entries[text] = entry
        spans.append((offset, entry.start + entry.stored_size, text))
    if position != size:
        raise damaged("its directory has bytes that are no entry's")
    check_spans(spans)
    return entries


def find_directory(content: mmap.mmap) -> tuple[int, int, int]:
    """Where the directory begins, its bytes, and how many entries it has."""
    at = content.rfind(END, max(0, len(content) - LONGEST_END))
    if at < 0 or at + 22 > len(content):
        raise damaged("it has no directory at its end")
    disk, first_disk, _, count, size, start, comment = struct.unpack("<4H2LH", content[at + 4 : at + 22])
    end = at
    if at >= 20 and content[at - 20 : at - 16] == LOCATOR64:
        end = struct.unpack("<Q", content[at - 12 : at - 4])[0]
        record = content[end : end + 56] if end <= at - 76 else b""
        if len(record) < 56 or not record.startswith(END64):
            raise damaged("its zip64 directory is not where it says")
        disk, first_disk, _, count, size, start = struct.unpack("<2L4Q", record[16:56])
    if disk or first_disk or at + 22 + comment != len(content) or start + size > end:
        raise damaged("its directory is not where it says")
    if size > LARGEST_DIRECTORY:
        raise WeightsError(f"the directory of a zip file may have {LARGEST_DIRECTORY} bytes; this one has {size}.")
    return start, size, count


def read_entry(content: mmap.mmap, header: bytes, name: bytes, extra: bytes) -> tuple[int, ZipEntry]:
    """An entry's record in the directory -> where its own header begins, and the entry."""
    flags, method = struct.unpack_from("<2H", header, 8)
    stored_size, size = struct.unpack_from("<2L", header, 20)
    offset = struct.unpack_from("<L", header, 42)[0]
    size, stored_size, offset = widen(extra, (size, stored_size, offset))
    shown = short_repr(name.decode("utf-8", "replace"))
    if flags & 1 or method not in (STORED, DEFLATED):
        raise WeightsError(f"an entry of a checkpoint is stored or deflated; {shown} is encrypted or of method {method}.")
    local = content[offset : offset + 30]
    if len(local) < 30 or not local.startswith(LOCAL):
        raise damaged(f"{shown} is not where it says")
    name_length, extra_length = struct.unpack_from("<2H", local, 26)
    if content[offset + 30 : offset + 30 + name_length] != name:
        raise damaged(f"{shown} has another name where it begins")
    if method == STORED and size != stored_size:
        raise damaged(f"{shown} has two sizes")
    if method == DEFLATED and (size > max(INFLATED, MOST_RATIO * stored_size) or stored_size > 2 * size + INFLATED):
        raise WeightsError(
            f"a compressed entry may have {INFLATED} bytes, or {MOST_RATIO} times what it has in the file; {shown} would "
            f"have {size} of {stored_size}. torch.save writes entries that are not compressed."
        )
    return offset, ZipEntry(content, offset + 30 + name_length + extra_length, size, stored_size, method == DEFLATED)


def widen(extra: bytes, values: tuple[int, int, int]) -> tuple[int, ...]:
    """Size, stored size and offset of 32 bits; those that do not fit are of 64 bits in the extra field 1, in this order."""
    wide, at = b"", 0
    while at + 4 <= len(extra):
        field, length = struct.unpack_from("<2H", extra, at)
        wide = extra[at + 4 : at + 4 + length] if field == 1 else wide
        at += 4 + length
    result = []
    for value in values:
        if value == 0xFFFFFFFF:
            if len(wide) < 8:
                raise damaged("an entry has no size")
            value, wide = struct.unpack_from("<Q", wide)[0], wide[8:]
        result.append(value)
    return tuple(result)


def check_spans(spans: list[tuple[int, int, str]]) -> None:
    """WeightsError if two entries share bytes."""
    spans.sort()
    for (_, end, one), (start, _, other) in zip(spans, spans[1:]):
        if start < end:
            raise damaged(f"{short_repr(one)} and {short_repr(other)} overlap")


def damaged(what: str) -> WeightsError:
    return WeightsError(f"the zip file is damaged: {what}. Download it again.")
