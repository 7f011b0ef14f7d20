"""The sound of an item for a browser: a WAV that is made as it is read, and its peaks.

No browser seeks exactly in every format of recordings, but all do in a WAV. Only the requested samples are
decoded. The peaks of a long item are computed once, and then cut from that.
"""

import math
import struct
import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.apps.review.edits import Json
from dailytalk_contiguous.core.audio import blocks, read_header, to_pcm, to_uri

#: Bytes of the header of the WAV.
WAV_HEADER = 44

#: Seconds of a stretch whose peaks are made while the page waits.
EXACT_SECONDS = 150.0

#: Peaks a second of the whole of an item, items of which they are held, and seconds that are read at once.
OVERVIEW_RATE, HELD_OVERVIEWS, STEP_SECONDS = 50, 8, 60

#: The most peaks of a request.
MOST_PEAKS = 20_000

Peaks = NDArray[np.int8]


class SoundStretch(NamedTuple):
    """The sound of an item: encoded audio as `core.audio` takes it, and its start and length in seconds."""

    audio: Json
    start: float
    seconds: float


def whole_sound(path: Path) -> SoundStretch:
    """All of a file. Raises BadInput if it is no sound, or can't be read."""
    audio = {"bytes": None, "path": to_uri(path.absolute())}
    return SoundStretch(audio, 0.0, read_header(audio).seconds)


class Wav(NamedTuple):
    """A 16-bit WAV of an item: its header, and the frames of the recording that it has."""

    header: bytes
    stretch: SoundStretch
    sample_rate: int
    frame_bytes: int
    first_frame: int
    frames: int

    @property
    def size(self) -> int:
        return WAV_HEADER + self.frames * self.frame_bytes

    def read(self, first: int, last: int) -> Iterator[bytes]:
        """The bytes from `first` up to `last`, a block at a time. Raises BadInput as `core.audio.blocks` does."""
        if first < WAV_HEADER:
            yield self.header[first : min(last, WAV_HEADER)]
        begin, end = max(0, first - WAV_HEADER), last - WAV_HEADER
        if end <= begin:
            return
        frame, skip = divmod(begin, self.frame_bytes)
        left = end - begin
        seconds = (math.ceil(end / self.frame_bytes) - frame) / self.sample_rate
        for block in blocks(self.stretch.audio, (self.first_frame + frame) / self.sample_rate, seconds):
            data = to_pcm(block).tobytes()[skip : skip + left]
            skip = 0
            left -= len(data)
            yield data
        while left > 0:  # a recording shorter than its header says: the length was sent already
            yield bytes(min(left, 1 << 16))
            left -= min(left, 1 << 16)


def wav_of(stretch: SoundStretch) -> Wav:
    """The WAV of an item. Raises BadInput if its sound can't be read."""
    info = read_header(stretch.audio)
    rate, frame_bytes = info.sample_rate, 2 * info.channels
    first = round(stretch.start * rate)
    last = min(round((stretch.start + stretch.seconds) * rate), round(info.seconds * rate))
    frames = max(0, last - first)
    size = min(frames * frame_bytes, 0xFFFFFFFF - WAV_HEADER)
    header = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", size + WAV_HEADER - 8, b"WAVE", b"fmt ", 16, 1, info.channels, rate),
        *(rate * frame_bytes, frame_bytes, 16, b"data", size),
    )
    return Wav(header, stretch, rate, frame_bytes, first, frames)


def window_peaks(stretch: SoundStretch, start: float, end: float, count: int) -> Peaks:
    """Smallest and largest sample of each of `count` equal parts of a stretch, shape (channels, count, 2).

    127 is full scale. Beyond the end of the item there is silence. Raises BadInput as `core.audio.blocks` does.
    """
    info = read_header(stretch.audio)
    rate = info.sample_rate
    first, last = (round((stretch.start + at) * rate) for at in (start, end))
    final = min(last, round((stretch.start + stretch.seconds) * rate), round(info.seconds * rate))
    samples = np.zeros((max(1, last - first), info.channels), np.float32)
    at = 0
    for block in blocks(stretch.audio, first / rate, (final - first) / rate) if final > first else ():
        block = block[: len(samples) - at]
        samples[at : at + len(block)] = block
        at += len(block)
    edges = np.minimum(np.linspace(0, len(samples), count + 1).astype(int)[:-1], len(samples) - 1)
    pair = np.stack([extreme.reduceat(samples, edges, axis=0).T for extreme in (np.minimum, np.maximum)], axis=-1)
    scaled: Peaks = np.clip(np.rint(pair * 127), -127, 127).astype(np.int8)
    return scaled


class Overviews:
    """Peaks of items, of which long ones are read once and held at `OVERVIEW_RATE`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._whole: OrderedDict[Hashable, Peaks] = OrderedDict()

    def peaks(self, item: Hashable, stretch: SoundStretch, start: float, end: float, count: int) -> Peaks:
        """`window_peaks` of a stretch of an item; coarser where it is longer than `EXACT_SECONDS`."""
        if min(end, stretch.seconds) - start <= EXACT_SECONDS:
            return window_peaks(stretch, start, end, count)
        with self._lock:  # requests for several stretches of one item wait for one reading of it
            if item not in self._whole:
                starts = range(0, max(1, math.ceil(stretch.seconds)), STEP_SECONDS)
                parts = [
                    window_peaks(stretch, at, at + STEP_SECONDS, STEP_SECONDS * OVERVIEW_RATE) for at in starts
                ]
                self._whole[item] = np.concatenate(parts, axis=1)
                while len(self._whole) > HELD_OVERVIEWS:
                    self._whole.popitem(last=False)
            whole = self._whole[item]
        edges = (np.linspace(start, end, count + 1) * OVERVIEW_RATE).astype(int)[:-1]
        known = edges[edges < whole.shape[1]]
        peaks = np.zeros((len(whole), count, 2), np.int8)
        part = whole[:, : math.ceil(end * OVERVIEW_RATE)]
        for side, extreme in enumerate((np.minimum, np.maximum)):
            if len(known):
                peaks[:, : len(known), side] = extreme.reduceat(part[..., side], known, axis=1)
        return peaks
