"""Counts the frames that an MP4, M4A or MOV lists, before FFmpeg makes an index of them.

A table of frames of one size is twenty bytes in the file whatever their number, and 24 bytes a frame in memory: a
file of 100 kB could take 2 GB. A list of edits repeats the frames that each edit plays.
"""

import os
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from dailytalk_contiguous.core.errors import BadInput

#: Frames of all tracks: 55 hours of sound in frames of 20 ms, or 46 hours of a film at 60 frames a second.
MOST_FRAMES = 10_000_000

#: The most of frames times edits: a recording of two hours may have 150 edits, and the index takes 1.2 GB at most.
MOST_EDITED_FRAMES = 50_000_000

#: Boxes that are looked at: 30 hours in fragments of one second have as many.
MOST_BOXES = 1_000_000

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

_REMEDY = "convert it to WAV or FLAC"


class Box(NamedTuple):
    """The four letters of a box, and the bytes of the file between which its content is."""

    name: bytes
    start: int
    end: int


def refuse_endless_mp4(file: BinaryIO) -> None:
    """Raise BadInput for a file of this format that lists more than `MOST_FRAMES`. `file` is left anywhere."""
    file.seek(4)
    if file.read(4) not in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp"):
        return
    size = file.seek(0, os.SEEK_END)
    n_frames = 0
    n_edits = 0
    is_sound = False
    is_by_chunk = False
    for number, box in enumerate(_boxes(file, 0, size)):
        if number >= MOST_BOXES:
            raise BadInput(f"it has more than {MOST_BOXES:,} parts", _REMEDY)
        content = _content(file, box)
        if box.name == b"hdlr":
            is_sound = content[8:12] == b"soun"
        if box.name == b"stts":
            # FFmpeg's index has a chunk an entry where a frame is a sample, and chunks are listed one by one.
            is_by_chunk = is_sound and _number(content, 4) == 1 and _number(content, 12) == 1
        if box.name == b"elst":
            n_edits += _number(content, 4)
        if box.name == b"cmov":
            raise BadInput("its header is compressed", _REMEDY)
        if box.name == b"trun":
            n_frames += _number(content, 4)
        if box.name in (b"stsz", b"stz2") and not is_by_chunk:
            n_frames += _number(content, 8)
        if n_frames > MOST_FRAMES:
            raise BadInput(f"it lists more than {MOST_FRAMES:,} frames", _REMEDY)
        if n_frames * n_edits > MOST_EDITED_FRAMES:
            raise BadInput(f"its {n_edits:,} edits play too many of its {n_frames:,} frames", _REMEDY)


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[Box]:
    """The boxes between two bytes of a file, each before those that it holds."""
    ends = [end]
    position = start
    while ends:
        if position + 8 > ends[-1]:
            position = ends.pop()
            continue
        file.seek(position)
        head = file.read(16)
        size = _number(head, 0)
        content = position + 8
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
            content = position + 16
        box_end = min(position + size, ends[-1]) if size else ends[-1]
        if box_end < content:
            position = ends.pop()  # damaged
            continue
        box = Box(head[4:8], content, box_end)
        yield box
        if box.name in _HOLD_BOXES:
            ends.append(box_end)
            position = content
        else:
            position = box_end


def _content(file: BinaryIO, box: Box) -> bytes:
    """The first 16 bytes of the content of a box."""
    if box.name in (b"mdat", b"free", b"skip"):
        return b""
    file.seek(box.start)
    return file.read(min(16, box.end - box.start))


def _number(content: bytes, start: int) -> int:
    """Four bytes as a number; 0 past the end."""
    return int.from_bytes(content[start : start + 4], "big")
