"""The pages of a Parquet file, counted as they are read, because its footer may be wrong about them.

Arrow allocates what the header of each page asks for, without a limit. `CountedFile` is the file that Arrow reads
from. It parses the headers among the bytes that pass through it, so that nothing is read twice, and counts what
each page unpacks to before Arrow sees the page.
"""

import os
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import BinaryIO, NamedTuple

import pyarrow as pa

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.quotas import Quota

#: Bytes that an unpacked value takes besides its content: its offset, and its levels. A file stores runs of equal
#: levels as a count.
VALUE_BYTES = 12

#: Bytes that a row group may unpack to, however small it is in the file.
LARGEST_UNPACKED = 1 << 28

#: The encoding in which a value may repeat the beginning of the one before it, by its number in a page's header.
DELTA_BYTE_ARRAY = 7

#: Kinds of pages, by their numbers in the header.
_DATA = 0
_DICTIONARY = 2
_DATA_V2 = 3

#: By the kind of a page: the field of its header with details of the kind, and in these the field of the encoding.
_DETAILS = {_DATA: (5, 2), _DICTIONARY: (7, 2), _DATA_V2: (8, 4)}

# Types of the compact protocol of Thrift, in which headers are written.
_TRUTHS = (1, 2)
_BYTE = 3
_INTEGER_32 = 5
_INTEGERS = (4, _INTEGER_32, 6)
_DOUBLE = 7
_BINARY = 8
_STRUCT = 12

#: Arrow's names of codecs that have another name in a footer.
_CODECS = {"LZ4": "lz4_raw"}

#: The length of a value, which stands before it.
_LENGTH = struct.Struct("<I")

#: Bytes of the largest header that Arrow reads.
_LARGEST_HEADER = 1 << 24

#: Bytes that hold the header of a dictionary, which has only a few numbers.
_DICTIONARY_HEADER_BYTES = 128

#: Bytes that usually hold the header of a page; statistics can make it longer.
_USUAL_HEADER_BYTES = 512

#: Bytes of a dictionary, unpacked, in which the largest value is looked for: writers stop at a megabyte.
_SEARCHED_DICTIONARY_BYTES = 1 << 24

#: Structs inside structs of a header: its statistics are the deepest.
_DEEPEST = 4

#: The highest number of a field. Arrow keeps 16 bits of it, so that a higher one would be another field there.
_LAST_FIELD = (1 << 15) - 1


class Leaf(NamedTuple):
    """A column of simple values, as Parquet stores a table.

    Attributes:
        path: its name after those of the lists and structs around it, joined by dots.
        names: possible names of its column in the table: a name may have dots, too.
        value_bytes: bytes of each value of a type of fixed length; 0 for numbers and texts.
        is_text: whether its values are texts or bytes of any length.
        is_repeated: whether it is inside a list.
    """

    path: str
    names: frozenset[str]
    value_bytes: int
    is_text: bool
    is_repeated: bool

    @property
    def counted_bytes(self) -> int:
        """Bytes that count for each value in addition to its page."""
        return self.value_bytes + (VALUE_BYTES if self.is_repeated else 0)


class Chunk(NamedTuple):
    """A column of a row group, by the footer.

    Attributes:
        start: where its first page begins in the file.
        end: the byte behind its last page.
        column: its column.
        n_values: number of values, with nulls.
        unpacked: bytes of its pages once unpacked.
        has_deltas: whether values may begin with parts of those before them.
        codec: how its pages are compressed.
    """

    start: int
    end: int
    column: Leaf
    n_values: int
    unpacked: int
    has_deltas: bool
    codec: str


class PageHeader(NamedTuple):
    """The header of a page.

    Attributes:
        kind: number of its kind.
        unpacked: bytes of the page once unpacked.
        packed: bytes of the page in the file.
        n_values: number of values.
        encoding: number of their encoding.
        start: position of the page, which follows the header.
    """

    kind: int
    unpacked: int
    packed: int
    n_values: int
    encoding: int
    start: int

    @property
    def is_dictionary(self) -> bool:
        return self.kind == _DICTIONARY


class _Struct(NamedTuple):
    """A struct of Thrift: its 32-bit integers and its structs by field number, and the position after it."""

    numbers: dict[int, int]
    structs: dict[int, "_Struct"]
    end: int


def parse_header(data: bytes, position: int) -> PageHeader:
    """Parse the header of a page. Raises IndexError if `data` ends inside it, ValueError if it is not a header."""
    header = _parse_struct(data, position, _DEEPEST)
    kind = header.numbers.get(1, -1)
    details_field, encoding_field = _DETAILS.get(kind, (0, 0))
    details: dict[int, int] = {}
    if details_field in header.structs:
        details = header.structs[details_field].numbers
    unpacked = header.numbers.get(2, 0)
    packed = header.numbers.get(3, 0)
    n_values = details.get(1, 0)
    if min(unpacked, packed, n_values) < 0:
        raise ValueError("a page of a negative size")
    return PageHeader(kind, unpacked, packed, n_values, details.get(encoding_field, 0), header.end)


def _parse_struct(data: bytes, position: int, depth: int) -> _Struct:
    """Parse a struct as Arrow does: the last of repeated fields counts, and fields of another type are skipped.

    Raises IndexError and ValueError as `parse_header` does.
    """
    if not depth:
        raise ValueError("structs nested too deep")
    numbers: dict[int, int] = {}
    structs: dict[int, _Struct] = {}
    field = 0
    while True:
        head = data[position]
        position += 1
        if not head:
            return _Struct(numbers, structs, position)
        kind = head & 15
        if head > 15:
            field += head >> 4
        else:
            field, position = _integer(data, position)
        if not 0 < field <= _LAST_FIELD:
            raise ValueError("a field of an impossible number")
        if kind in _INTEGERS:
            number = data[position]  # most have one byte, and a call costs as much as ten of them
            position += 1
            if number > 127:
                number, position = _varint(data, position - 1)
            if kind == _INTEGER_32:
                numbers[field] = number >> 1 ^ -(number & 1)
        elif kind == _STRUCT:
            inner = _parse_struct(data, position, depth - 1)
            structs[field] = inner
            position = inner.end
        elif kind == _BINARY:
            size, position = _varint(data, position)
            position += size
        elif kind == _BYTE:
            position += 1
        elif kind == _DOUBLE:
            position += 8
        elif kind not in _TRUTHS:
            raise ValueError("a field of an unknown type")


def _integer(data: bytes, position: int) -> tuple[int, int]:
    """A signed number and the position behind it."""
    number, position = _varint(data, position)
    return number >> 1 ^ -(number & 1), position


def _varint(data: bytes, position: int) -> tuple[int, int]:
    number = data[position]
    position += 1
    if number < 128:
        return number, position
    number &= 127
    for shift in range(7, 64, 7):
        byte = data[position]
        position += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, position
    raise ValueError("a number of more than 64 bits")


class CountedFile:
    """A file that counts the pages of expected chunks as they are read.

    Arrow reads a chunk at once, in parts, or together with its neighbours. The parts may be read in any order, but
    Arrow unpacks a page only after it has read all of its parts.
    """

    def __init__(self, file: BinaryIO, name: str, remedy: str) -> None:
        self._file = file
        self._name = name
        self._remedy = remedy
        self.size = file.seek(0, os.SEEK_END)
        self._position = file.seek(0)
        self._walks: dict[int, _Walk] = {}
        self._starts = list[int]()

    def expect(self, chunks: Iterable[Chunk], quota: Quota) -> None:
        """Count what the pages of chunks unpack to, from now on; earlier chunks in the same bytes are forgotten.

        Raises BadInput if chunks share bytes, which would be unpacked once for each of them.
        """
        starts: list[int] = []
        ends: list[int] = []
        walks: dict[int, _Walk] = {}
        for chunk in sorted(chunks):
            if ends and chunk.start < ends[-1]:
                raise self._damage("two of its columns share their bytes")
            starts.append(chunk.start)
            ends.append(chunk.end)
            walks[chunk.start] = _Walk(chunk, quota)
        for start, walk in self._walks.items():
            following = bisect_left(starts, walk.end)
            is_replaced = following > 0 and ends[following - 1] > start
            if not walk.is_over and not is_replaced:
                walks[start] = walk
        self._walks = walks
        self._starts = sorted(walks)

    def count_pages(self, chunks: Iterable[Chunk], quota: Quota) -> None:
        """Count what the pages of chunks unpack to, reading little more than their headers.

        Raises BadInput as `expect` and `read` do, and where a header is missing.
        """
        self.expect(chunks, quota)
        for walk in self._walks.values():
            n_bytes = _USUAL_HEADER_BYTES
            while not walk.is_over:
                position = walk.position
                self.seek(position)
                data = self.read(n_bytes)
                if walk.position > position:
                    n_bytes = _USUAL_HEADER_BYTES
                elif len(data) < n_bytes or n_bytes > _LARGEST_HEADER:
                    raise self._damage("a page has no header")
                else:
                    n_bytes *= 8

    def largest_value(self, chunk: Chunk) -> int:
        """An upper bound on the bytes of a value in a chunk's dictionary; 0 if the chunk has no dictionary.

        It is the size of the dictionary where that is small, or too large to be searched. Many short texts fill a
        dictionary as one long text does, but only repeating the long one takes much memory.
        """
        self.seek(chunk.start)
        beginning = self.read(min(_DICTIONARY_HEADER_BYTES, chunk.end - chunk.start))
        try:
            page = parse_header(beginning, 0)
        except (IndexError, ValueError):
            return chunk.unpacked
        if not page.is_dictionary:
            return 0
        are_few = page.unpacked * chunk.n_values <= LARGEST_UNPACKED
        if are_few or page.unpacked > _SEARCHED_DICTIONARY_BYTES:
            return page.unpacked
        self.seek(chunk.start + page.start)
        packed = self.read(min(page.packed, chunk.end - chunk.start))
        try:
            return _longest_of(_unpacked(packed, chunk.codec, page.unpacked))
        except (OSError, ValueError, struct.error):  # Arrow will say what is wrong
            return page.unpacked

    def read(self, size: int = -1) -> bytes:
        """Read as a file does. Raises BadInput for a page beyond its quota, and for a damaged header."""
        data = self._file.read(size)
        start = self._position
        self._position += len(data)
        first = max(bisect_right(self._starts, start) - 1, 0)
        last = bisect_left(self._starts, self._position)
        for chunk_start in self._starts[first:last]:
            try:
                self._walks[chunk_start].go_on(start, data)
            except ValueError as error:
                raise self._damage(str(error)) from None
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        self._position = self._file.seek(offset, whence)
        return self._position

    def tell(self) -> int:
        return self._position

    def close(self) -> None:
        """Leave the file open: it belongs to the caller."""

    @property
    def closed(self) -> bool:
        return self._file.closed

    def _damage(self, problem: str) -> BadInput:
        return BadInput(f"{self._name} can't be read ({problem})", self._remedy)


def _unpacked(data: bytes, codec: str, n_bytes: int) -> bytes:
    """Unpack a page of `n_bytes`. Raises OSError or ValueError for another size, or a codec that Arrow lacks."""
    if codec == "UNCOMPRESSED":
        return data
    name = _CODECS.get(codec, codec.lower())
    unpacked: bytes = pa.Codec(name).decompress(data, n_bytes, asbytes=True)
    return unpacked


def _longest_of(values: bytes) -> int:
    """Bytes of the longest of the values of a dictionary, each with its length before it.

    Raises struct.error where there is no such length.
    """
    longest = 0
    position = 0
    while position < len(values):
        (length,) = _LENGTH.unpack_from(values, position)
        position += 4 + length
        longest = max(longest, length)
    return longest


class _Walk:
    """The way through the pages of a chunk, from header to header.

    Attributes:
        position: the byte of the file at which the next header begins.
    """

    def __init__(self, chunk: Chunk, quota: Quota) -> None:
        self._chunk = chunk
        self._quota = quota
        self.position = chunk.start
        self._n_values = 0
        #: What was read of the file, from the next header on, by its position.
        self._parts: dict[int, bytes] = {}

    @property
    def end(self) -> int:
        return self._chunk.end

    @property
    def is_over(self) -> bool:
        return self.position >= self.end

    def go_on(self, start: int, data: bytes) -> None:
        """Count the pages whose headers are complete once this part of the file has been read.

        Raises BadInput beyond the quota, ValueError for a page that is damaged.
        """
        self._count_pages(start, data)
        if not self.is_over and self.position < start + len(data):
            self._parts[start] = data
        if self._parts.keys() - {start}:
            self._count_joined()

    def _count_pages(self, start: int, data: bytes) -> None:
        """Count the pages whose headers are in one part."""
        stop = min(self._chunk.end, start + len(data))
        while start <= self.position < stop:
            try:
                page = parse_header(data, self.position - start)
            except IndexError:
                return
            self._count(page)
            self.position = start + page.start + page.packed

    def _count_joined(self) -> None:
        """Count the pages of the parts that were kept: a header may begin in one and end in the next."""
        joined_at = -1
        while self.position != joined_at:
            joined_at = self.position
            joined = b""
            for first, part in sorted(self._parts.items()):
                offset = joined_at + len(joined) - first
                if 0 <= offset < len(part):
                    joined += part[offset : offset + _LARGEST_HEADER]
            self._count_pages(joined_at, joined)
        for first, part in list(self._parts.items()):
            if self.is_over or first + len(part) <= self.position:
                del self._parts[first]

    def _count(self, page: PageHeader) -> None:
        chunk = self._chunk
        if page.is_dictionary and self.position > chunk.start:
            raise ValueError("a dictionary after its values")
        if page.encoding == DELTA_BYTE_ARRAY and not chunk.has_deltas:
            raise ValueError("a page has an encoding that its footer does not name")
        if not page.is_dictionary:
            self._n_values += page.n_values
        if self._n_values > chunk.n_values:
            raise ValueError("a column has more values than its footer says")
        is_larger = page.unpacked > chunk.unpacked
        if is_larger and page.unpacked * chunk.n_values > LARGEST_UNPACKED:
            raise ValueError("a page is larger than its footer says")
        self._quota.take(page.unpacked + page.n_values * chunk.column.counted_bytes)
