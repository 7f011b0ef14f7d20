"""The samples of a WebDataset shard: members of a tar that share a name.

Read with tarfile, and not with `load_dataset(streaming=True)`, which fails on members in Moshi's JSON (lists of
mixed types are no Arrow type).
"""

import itertools
import os
import re
import tarfile
from collections.abc import Iterator, Sequence
from operator import attrgetter
from pathlib import PurePosixPath
from typing import BinaryIO, NamedTuple, Self

from dailytalk_contiguous.core.documents import quoted
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.quotas import MOST_ROW_BYTES, Quota
from dailytalk_contiguous.core.records.schema import Row
from dailytalk_contiguous.machine.audio import AUDIO_SUFFIXES
from dailytalk_contiguous.sources.formats.channel_names import ROLES, is_side_name

#: Column with the name of a WebDataset sample, as `datasets` calls it.
KEY = "__key__"

#: Bytes of the name and attributes that may come before a member: a path has at most 4,096, attributes a few more.
#: Python before 3.11.10 reads them in a time that grows with their square (CVE-2024-6232): of these, 0.1 s.
_LONGEST_NAMES = 8 << 10

#: Files of a sample: a recording has about ten, and a folder of short clips in one sample a few thousand.
MOST_MEMBERS = 10_000

#: Recordings with one name up to the first dot by which it is decided whether they are samples of their own or one
#: sample (two sides, and a mix of them). Those that follow in the tar are treated like them.
_DECIDING_PARTS = 4

#: Headers that tarfile reads into memory as a whole: the name and other attributes of the member after them.
_HEADERS_OF_NAMES = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)

_REMEDY = "publish it in shorter parts"


class _ShortNamed(tarfile.TarInfo):
    """A header of a tar. Raises ReadError where tarfile would read names or attributes that fill memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        header = super().frombuf(buf, encoding, errors)
        if header.type in _HEADERS_OF_NAMES and header.size > _LONGEST_NAMES:
            raise tarfile.ReadError(f"names and attributes of more than {_LONGEST_NAMES:,} bytes")
        return header


class _Member(NamedTuple):
    """A file of a sample: its column, its content, and the bytes read up to its end."""

    column: str
    content: bytes
    end: int

    @property
    def part(self) -> str:
        """The column without its last ending: `left` of call.left.wav."""
        return _part_of(self.column)


def _part_of(column: str) -> str:
    return column.rpartition(".")[0]


class _Members:
    """The members read so far of what may be one sample; none once it is refused, with the problem."""

    def __init__(self, key: str, name: str) -> None:
        self.key = key
        self._members: list[_Member] = []
        self._problem: BadInput | None = None
        self._end = 0
        self._n_parts = 0
        self._subject = f"{name}: its sample {quoted(key)}"
        self._bytes = Quota(self._subject, MOST_ROW_BYTES, "bytes", _REMEDY)
        self._count = Quota(self._subject, MOST_MEMBERS, "files", _REMEDY)

    def are_samples_before(self, part: str) -> bool:
        """Whether the members before one of this part are samples of their own, which are complete without it."""
        is_decided = self._n_parts == _DECIDING_PARTS and part != self._members[-1].part
        return is_decided and _are_samples(_pieces_of(self._members))

    def add(self, tar: tarfile.TarFile, member: tarfile.TarInfo, column: str) -> None:
        """Read a member, unless the sample was refused."""
        self._end = tar.offset
        if self._problem:
            return
        try:
            if member.issparse():
                raise BadInput(f"{self._subject} has a file with holes", "publish it without `tar --sparse`")
            self._count.take(1)
            self._bytes.take(member.size)
        except BadInput as problem:
            self._problem = problem
            self._n_parts = 0
            self._members.clear()
            return
        file = tar.extractfile(member)
        read = _Member(column, file.read() if file else b"", tar.offset)
        if not self._members or self._members[-1].part != read.part:
            self._n_parts += 1
        self._members.append(read)

    def samples(self) -> Iterator[tuple[Row | BadInput, int]]:
        """Yield the one sample of these members, or several, each with the bytes read up to its end.

        There are several where each name up to the last dot has one audio file and is no side (mr.smith.wav,
        mr.jones.wav): one sample for each of these names.
        """
        if self._problem:
            yield self._problem, self._end
            return
        pieces = _pieces_of(self._members)
        if not _are_samples(pieces):
            yield {KEY: self.key} | {member.column: member.content for member in self._members}, self._end
            return
        for part, members in pieces:
            sample: Row = {KEY: f"{self.key}.{part}" if part else self.key}
            for member in members:
                sample[member.column.rpartition(".")[2]] = member.content
            yield sample, members[-1].end


#: The column in a member's name: from its first dot, without a number or a space behind it (call 1.0.flac).
_COLUMN = re.compile(r"\.((?:[A-Za-z_][\w-]*\.)*[\w-]+)$")


def samples_in(file: BinaryIO, name: str, start: int = 0) -> Iterator[tuple[Row | BadInput, int]]:
    """Yield the samples of a tar by column, each with the number of bytes from `start` to its end.

    A sample that can't be used is a BadInput. `name`: that of the tar in errors. Raises TarError for damage.
    """
    n_bytes = file.seek(0, os.SEEK_END) - start
    if start and n_bytes <= 0:
        return  # what is left is empty, and no tar
    file.seek(start)
    members: _Members | None = None
    with tarfile.open(fileobj=file, mode="r|", tarinfo=_ShortNamed) as tar:
        for member in _members_of(tar, n_bytes):
            folder, slash, file_name = member.name.rpartition("/")
            match = _COLUMN.search(file_name)
            if not member.isfile() or not match or file_name.startswith("."):
                continue
            key = folder + slash + file_name[: match.start()]
            column = match[1].lower()
            if members is None or members.key != key or members.are_samples_before(_part_of(column)):
                if members:
                    yield from members.samples()
                members = _Members(key, name)
            members.add(tar, member, column)
    if members:
        yield from members.samples()


#: Global attributes of a tar. Git writes one; tarfile copies them for each member that has attributes of its own.
_MOST_ATTRIBUTES = 1000


def _members_of(tar: tarfile.TarFile, n_bytes: int) -> Iterator[tarfile.TarInfo]:
    """Yield the members of a tar of so many bytes, without the list of them that tarfile keeps.

    Raises TarError for damage.
    """
    while True:
        try:
            member = tar.next()
        except (ValueError, OverflowError, RecursionError) as error:  # from numbers, and from headers of headers
            raise tarfile.ReadError(f"a damaged header ({type(error).__name__})") from None
        if member is None:
            return
        if len(tar.pax_headers) > _MOST_ATTRIBUTES:
            raise tarfile.ReadError(f"more than {_MOST_ATTRIBUTES:,} global attributes")
        yield member
        if tar.offset > n_bytes:  # tarfile would search for the next one after the end, for hours
            raise tarfile.ReadError("a file that ends after the archive")
        tar.members.clear()  # type: ignore[attr-defined]


def _pieces_of(members: Sequence[_Member]) -> list[tuple[str, list[_Member]]]:
    """Members that follow each other, by what is before their last dot."""
    groups = itertools.groupby(members, key=attrgetter("part"))
    return [(part, list(piece)) for part, piece in groups]


def _are_samples(pieces: Sequence[tuple[str, Sequence[_Member]]]) -> bool:
    """Whether members by what is before their last dot are samples of their own, not sides of one."""
    parts = [part for part, _ in pieces]
    if len(set(parts)) < len(parts):
        return False
    for part, members in pieces:
        side = part.rpartition(".")[2]
        if is_side_name(side) or side in ROLES:
            return False
        audio = [member for member in members if is_audio_column(member.column)]
        if len(audio) != 1:
            return False
    return True


def is_audio_column(column: str) -> bool:
    """Whether a column of a sample holds audio, by the ending in its name."""
    return PurePosixPath(f"_.{column}").suffix.lower() in AUDIO_SUFFIXES
