"""The samples of a WebDataset shard: members of a tar that share a name.

Read with tarfile, and not with `load_dataset(streaming=True)`, which fails on members in Moshi's JSON (lists of
mixed types are no Arrow type).
"""

import itertools
import re
import tarfile
from collections.abc import Iterator, Sequence
from operator import attrgetter
from pathlib import PurePosixPath
from typing import BinaryIO, NamedTuple

from dailytalk_contiguous.core.audio import AUDIO_SUFFIXES
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.quotas import MOST_ROW_BYTES
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.sources.channel_names import ROLES, explains_itself

#: Column with the name of a WebDataset sample, as `datasets` calls it.
KEY = "__key__"

#: The column in a member's name: from its first dot, without a number or a space behind it (call 1.0.flac).
_COLUMN = re.compile(r"\.((?:[A-Za-z_][\w-]*\.)*[\w-]+)$")


class _Member(NamedTuple):
    """A file of a tar: the name of its sample, its column, its content, and the byte behind it."""

    key: str
    column: str
    value: bytes | BadInput
    end: int

    @property
    def part(self) -> str:
        """The column without its last ending: `left` of call.left.wav."""
        return self.column.rpartition(".")[0]

    @property
    def ending(self) -> str:
        return self.column.rpartition(".")[2]


def samples_in(file: BinaryIO) -> Iterator[tuple[Row, int]]:
    """The samples of a tar by column, each with the number of bytes read up to its end."""
    members: list[_Member] = []
    with tarfile.open(fileobj=file, mode="r|") as tar:
        for member in tar:
            folder, slash, name = member.name.rpartition("/")
            match = _COLUMN.search(name)
            if not member.isfile() or not match or name.startswith("."):
                continue
            key = folder + slash + name[: match.start()]
            column = match[1]
            if members and members[0].key != key:
                yield from _samples_of(members)
                members = []
            content = tar.extractfile(member)
            if content is None or member.size > MOST_ROW_BYTES:  # a sparse one takes no room in the tar
                size = f"{member.size / 1e9:.1f} GB, and {MOST_ROW_BYTES / 1e9:g} GB are read at most"
                value: bytes | BadInput = BadInput(f"its {column} has {size}", "publish it in shorter parts")
            else:
                value = content.read()
            n_blocks = -(-member.size // tarfile.BLOCKSIZE)
            end = member.offset_data + n_blocks * tarfile.BLOCKSIZE
            members.append(_Member(key, column.lower(), value, end))
    if members:
        yield from _samples_of(members)


def _samples_of(members: Sequence[_Member]) -> Iterator[tuple[Row, int]]:
    """The one sample of members that share a name up to its first dot, or several.

    There are several where each name up to the last dot has one audio file and is no side (mr.smith.wav,
    mr.jones.wav): one sample for each of these names.
    """
    groups = itertools.groupby(members, key=attrgetter("part"))
    pieces = [(part, list(piece)) for part, piece in groups]
    if not _are_samples(pieces):
        sample: Row = {KEY: members[0].key}
        for member in members:
            sample[member.column] = member.value
        yield sample, members[-1].end
        return
    for part, piece in pieces:
        key = members[0].key
        sample = {KEY: f"{key}.{part}" if part else key}
        for member in piece:
            sample[member.ending] = member.value
        yield sample, piece[-1].end


def _are_samples(pieces: Sequence[tuple[str, Sequence[_Member]]]) -> bool:
    """Whether members by what is before their last dot are samples of their own, not sides of one."""
    parts = [part for part, _ in pieces]
    if len(set(parts)) < len(parts):
        return False
    for part, members in pieces:
        side = part.rpartition(".")[2]
        if explains_itself(side) or side in ROLES:
            return False
        audio = [member for member in members if is_audio_column(member.column)]
        if len(audio) != 1:
            return False
    return True


def is_audio_column(column: str) -> bool:
    """Whether a column of a sample holds audio, by the ending in its name."""
    return PurePosixPath(f"_.{column}").suffix.lower() in AUDIO_SUFFIXES
