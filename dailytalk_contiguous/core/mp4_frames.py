"""Counts the frames that an MP4, M4A or MOV lists, before FFmpeg makes an index of them.

A table of frames of equal size takes twenty bytes in the file, however many there are, and 24 bytes a frame in
memory: a file of 100 kB could take 2 GB. FFmpeg repeats frames in its index for each edit that plays them.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

from dailytalk_contiguous.core.errors import BadInput

#: Frames of all tracks: 55 hours of sound in frames of 20 ms, or 46 hours of a film at 60 frames a second.
MOST_FRAMES = 10_000_000

#: Frames times edits: a recording of two hours may have 90 edits, and the index takes 0.8 GB at most.
MOST_EDITED_FRAMES = 30_000_000

#: Boxes that are read: 11 hours of sound and film in fragments of one second have as many.
MOST_BOXES = 500_000

#: Boxes that hold others on the way to the tables.
_HOLD_BOXES = {
    b"moov",
    b"trak",
    b"mdia",
    b"minf",
    b"stbl",
    b"moof",
    b"traf",
    b"udta",
    b"edts",
    b"dinf",
    b"mvex",
    b"wave",
}

#: Boxes whose content is read.
_TABLES = {b"hdlr", b"elst", b"stts", b"stsz", b"stz2", b"trun"}

#: Kinds of handlers that say where the data is, not what it is.
_DATA_HANDLERS = (b"url ", b"alis", b"rsrc")

_REMEDY = "convert it to WAV or FLAC"


class Box(NamedTuple):
    """The four letters of a box, and where its content starts and ends in the file, in bytes."""

    name: bytes
    start: int
    end: int


@dataclass
class Track:
    """What the boxes of a track say: the frames that it lists, and the kinds of its content.

    `has_frames_of_a_sample`: whether each table of durations says that every frame lasts a sample.
    """

    n_listed: int = 0
    kinds: set[bytes] = field(default_factory=set)
    has_frames_of_a_sample: bool = True

    @property
    def n_frames(self) -> int:
        """Frames in FFmpeg's index: for PCM it has chunks in their place, each of which the file lists."""
        is_pcm = self.kinds == {b"soun"} and self.has_frames_of_a_sample
        return 0 if is_pcm else self.n_listed


def refuse_endless_mp4(file: BinaryIO) -> None:
    """Raise BadInput for a file of this format whose index of frames would fill memory.

    The position in `file` changes. Files of other formats pass: what looks like a box there has no table's name.
    """
    size = file.seek(0, os.SEEK_END)
    tracks = [Track()]  # for boxes outside tracks, such as fragments
    n_edits = 0
    for number, box in enumerate(_boxes(file, 0, size)):
        if number >= MOST_BOXES:
            raise BadInput(f"it has more than {MOST_BOXES:,} boxes", _REMEDY)
        if box.name == b"cmov":
            raise BadInput("its header is compressed", _REMEDY)
        if box.name == b"trak":
            tracks.append(Track())
        if box.name in _TABLES:
            content = _content(file, box)
            _read_table(box.name, content, tracks[-1])
            if box.name == b"elst":
                n_edits += _number(content, 4)
    n_frames = sum(track.n_frames for track in tracks)
    if n_frames > MOST_FRAMES:
        raise BadInput(f"it lists more than {MOST_FRAMES:,} frames", _REMEDY)
    if n_frames * n_edits > MOST_EDITED_FRAMES:
        raise BadInput(f"its {n_edits:,} edits play too many of its {n_frames:,} frames", _REMEDY)


def _read_table(name: bytes, content: bytes, track: Track) -> None:
    """Add what a box says to the track that it is in. `content`: as `_content` returns it."""
    if name == b"hdlr" and content[8:12] not in _DATA_HANDLERS:
        track.kinds.add(content[8:12])
    if name == b"stts" and (_number(content, 4), _number(content, 12)) != (1, 1):
        track.has_frames_of_a_sample = False
    if name in (b"stsz", b"stz2"):
        track.n_listed += _number(content, 8)
    if name == b"trun":
        track.n_listed += _number(content, 4)
        track.has_frames_of_a_sample = False


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[Box]:
    """The boxes between two bytes of a file, each before those that it holds."""
    ends = [end]
    position = start
    while ends:
        if position + 8 > ends[-1]:
            position = ends.pop()
            continue
        file.seek(position)
        size, name = struct.unpack(">I4s", file.read(8))
        content = position + 8
        if size == 1:
            size = int.from_bytes(file.read(8), "big")
            content += 8
        box_end = min(position + size, ends[-1]) if size else ends[-1]
        if box_end < content:
            position = ends.pop()  # damaged
            continue
        yield Box(name, content, box_end)
        position = box_end
        if name in _HOLD_BOXES:
            ends.append(box_end)
            position = content


def _content(file: BinaryIO, box: Box) -> bytes:
    """The first 16 bytes of the content of a box."""
    file.seek(box.start)
    return file.read(min(16, box.end - box.start))


def _number(content: bytes, start: int) -> int:
    """Four bytes as a number; 0 past the end."""
    return int.from_bytes(content[start : start + 4], "big")
