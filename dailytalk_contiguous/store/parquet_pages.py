"""The unpacked sizes of the pages of a Parquet column, by their own headers.

A footer's sizes are only words: a file of 0.3 MB whose footer says 0.3 MB can hold pages of 2 GiB of zeros. Arrow
makes room for what a page's header says before it unpacks it, and refuses a page that has another size. So the
headers, which are Thrift's compact protocol, are read here, and nothing else of a page.
"""

import struct
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, NamedTuple

#: Bytes of a header that are read at first, and at most: those of Arrow itself.
_FIRST_BYTES, _MOST_BYTES = 128, 16 << 20

#: Bytes that are read at once of a file far away, where each read is a request.
_AHEAD_BYTES = 1 << 16

#: Structs in structs; a header has three.
_DEEPEST = 8

# Types of Thrift's compact protocol.
_BOOLS, _BYTE, _INTEGERS, _DOUBLE, _BINARY, _LISTS, _STRUCT = (1, 2), 3, (4, 5, 6), 7, 8, (9, 10), 12

# Fields of a page's header: its sizes, and the headers of its kinds, whose first field is the number of values.
_UNPACKED, _PACKED, _KINDS = 2, 3, (5, 7, 8)


class Page(NamedTuple):
    """The facts in a page's header: bytes once it is unpacked, and values."""

    n_bytes: int
    n_values: int


class ReadAhead:
    """A file far away, of which some parts are read: more at a time, and nothing of what is between them."""

    def __init__(self, file: BinaryIO, parts: Iterable[tuple[int, int]]) -> None:
        self._file, self._at = file, 0
        self._held, self._held_from = b"", 0
        self._parts: list[tuple[int, int]] = []
        for start, end in sorted(parts):
            if self._parts and start <= self._parts[-1][1]:
                start, end = self._parts[-1][0], max(end, self._parts.pop()[1])
            self._parts.append((start, end))

    def seek(self, at: int) -> None:
        self._at = at

    def read(self, n_bytes: int) -> bytes:
        start = self._at - self._held_from
        if start < 0 or start + n_bytes > len(self._held):
            end = next((end for start, end in self._parts if start <= self._at < end), self._at + n_bytes)
            self._file.seek(self._at)
            self._held = self._file.read(min(max(n_bytes, _AHEAD_BYTES), end - self._at))
            self._held_from, start = self._at, 0
        return self._held[start : start + n_bytes]


def pages_of(file: BinaryIO | ReadAhead, start: int, end: int) -> Iterator[Page]:
    """The pages between two places of a file. Raises ValueError for a header that is none."""
    while start < end:
        header, length = _header_at(file, start, end)
        kinds = [header[kind] for kind in _KINDS if isinstance(header.get(kind), dict)]
        sizes = (header.get(_UNPACKED), header.get(_PACKED), kinds[0].get(1) if kinds else 0)
        n_bytes, n_packed, n_values = (size if isinstance(size, int) else -1 for size in sizes)
        if min(n_bytes, n_packed, n_values) < 0:
            raise ValueError("a page has no size")
        yield Page(n_bytes, n_values)
        start += length + n_packed


def _header_at(file: BinaryIO | ReadAhead, start: int, end: int) -> tuple[dict[int, Any], int]:
    """The header at a place, and its length in bytes."""
    n_bytes = _FIRST_BYTES
    while True:
        file.seek(start)
        data = file.read(min(n_bytes, end - start))
        try:
            return _struct(data, 0, 0)
        except (IndexError, struct.error):
            if n_bytes >= min(_MOST_BYTES, end - start):
                raise ValueError("a page has no header") from None
            n_bytes *= 32


def _struct(data: bytes, at: int, depth: int) -> tuple[dict[int, Any], int]:
    """The fields of a struct by their numbers, and the place behind it."""
    if depth > _DEEPEST:
        raise ValueError("a page's header is too deep")
    fields: dict[int, Any] = {}
    number = 0
    while kind := data[at]:
        at += 1
        if kind >> 4:
            number += kind >> 4
        else:
            number, at = _integer(data, at)
        fields[number], at = _value(data, at, kind & 15, depth)
    return fields, at + 1


def _value(data: bytes, at: int, kind: int, depth: int, in_list: bool = False) -> tuple[Any, int]:
    """An integer or a struct; None in place of any other value; and the place behind it."""
    if kind in _INTEGERS:
        return _integer(data, at)
    if kind == _STRUCT:
        return _struct(data, at, depth + 1)
    if kind in _BOOLS:
        return None, at + in_list
    if kind == _BYTE:
        return None, at + 1
    if kind == _DOUBLE:
        return None, at + 8
    if kind == _BINARY:
        length, at = _varint(data, at)
        data[at + length]  # IndexError where it is not there: at least the end of the struct comes behind it
        return None, at + length
    if kind in _LISTS:
        n_items, of = data[at] >> 4, data[at] & 15
        at += 1
        if n_items == 15:
            n_items, at = _varint(data, at)
        for _ in range(n_items):
            data[at]
            at = _value(data, at, of, depth + 1, in_list=True)[1]
        return None, at
    raise ValueError("a page's header has a field of an unknown kind")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while data[at] & 0x80:
        value |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if shift > 63:
            raise ValueError("a page's header has a number of over 64 bits")
    return value | data[at] << shift, at + 1


def _integer(data: bytes, at: int) -> tuple[int, int]:
    """A number whose sign is its last bit."""
    value, behind = data[at], at + 1
    if value & 0x80:  # few have more than a byte
        value, behind = _varint(data, at)
    return value >> 1 ^ -(value & 1), behind
