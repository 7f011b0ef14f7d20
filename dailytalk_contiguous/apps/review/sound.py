"""The sound of an item for a browser: a WAV that is made as it is read, and its peaks.

No browser seeks exactly in every format of recordings, but all do in a WAV. Only the requested samples are
decoded. The peaks of a long item are computed once, and then cut from that.
"""

import math
import struct
import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.apps.review.editable import SoundStretch
from dailytalk_contiguous.core.audio import blocks, read_header, to_pcm

#: Bytes of the header of the WAV.
WAV_HEADER = 44

#: Seconds of a stretch whose peaks are made while the page waits.
EXACT_SECONDS = 150.0

#: Peaks a second of the whole of an item, items of which they are held, and seconds that are read at once.
OVERVIEW_RATE, HELD_OVERVIEWS, STEP_SECONDS = 50, 8, 60

#: The most peaks of a request.
MOST_PEAKS = 20_000

Peaks = NDArray[np.int8]


class Wav(NamedTuple):
    """A 16-bit WAV of an item: its header, and the position of its samples."""

    header: bytes
    stretch: SoundStretch
    sample_rate: int
    channels: int
    frames: int

    @property
    def size(self) -> int:
        return WAV_HEADER + self.frames * self.frame_bytes

    @property
    def frame_bytes(self) -> int:
        return 2 * self.channels

    def read(self, first: int, last: int) -> Iterator[bytes]:
        """The bytes from `first` up to `last`, a block at a time. Raises BadInput as `core.audio.blocks` does."""
        if first < WAV_HEADER:
            yield self.header[first : min(last, WAV_HEADER)]
            first = WAV_HEADER
        if last <= first:
            return
        begin, end = first - WAV_HEADER, last - WAV_HEADER
        frame, last_frame = begin // self.frame_bytes, -(-end // self.frame_bytes)
        skip, left = begin - frame * self.frame_bytes, end - begin
        # Counted from the start of the file: seconds are rounded to samples there.
        at = round(self.stretch.start * self.sample_rate) + frame
        seconds = (last_frame - frame) / self.sample_rate
        for block in blocks(self.stretch.audio, at / self.sample_rate, seconds):
            data = to_pcm(block).tobytes()[skip:]
            skip = 0
            yield data[:left]
            left -= len(data[:left])
        while left > 0:  # a recording shorter than its header says: the length was sent already
            yield bytes(min(left, 1 << 16))
            left -= min(left, 1 << 16)


def wav_of(stretch: SoundStretch) -> Wav:
    """The WAV of an item. Raises BadInput if its sound can't be read."""
    info = read_header(stretch.audio)
    rate, channels = info.sample_rate, info.channels
    frames = round((stretch.start + stretch.seconds) * rate) - round(stretch.start * rate)
    frames = max(0, min(frames, round(info.seconds * rate) - round(stretch.start * rate)))
    size = min(frames * 2 * channels, 0xFFFFFFFF - WAV_HEADER)
    header = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", size + WAV_HEADER - 8, b"WAVE", b"fmt ", 16, 1, channels, rate),
        *(rate * 2 * channels, 2 * channels, 16, b"data", size),
    )
    return Wav(header, stretch, rate, channels, frames)


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
    """Peaks of whole items, `OVERVIEW_RATE` a second, held for the latest items."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._peaks: OrderedDict[Hashable, Peaks] = OrderedDict()

    def of(self, item: Hashable, stretch: SoundStretch) -> Peaks:
        """The peaks of an item, shape (channels, n, 2). Raises BadInput as `window_peaks` does."""
        with self._lock:  # requests for several stretches of one item wait for one reading of it
            if item not in self._peaks:
                steps = range(max(1, math.ceil(stretch.seconds / STEP_SECONDS)))
                parts = [
                    window_peaks(stretch, at * STEP_SECONDS, (at + 1) * STEP_SECONDS, STEP_SECONDS * OVERVIEW_RATE)
                    for at in steps
                ]
                self._peaks[item] = np.concatenate(parts, axis=1)
                while len(self._peaks) > HELD_OVERVIEWS:
                    self._peaks.popitem(last=False)
            self._peaks.move_to_end(item)
            return self._peaks[item]


def coarser(overview: Peaks, start: float, end: float, count: int) -> Peaks:
    """`count` peaks of a stretch, from those of the whole item; beyond its end there is silence."""
    edges = np.linspace(start, end, count + 1) * OVERVIEW_RATE
    firsts = np.floor(edges[:-1]).astype(int)
    known = firsts[firsts < overview.shape[1]]
    part = overview[:, : math.ceil(edges[-1])]
    peaks = np.zeros((len(overview), count, 2), np.int8)
    if len(known):
        for side, extreme in enumerate((np.minimum, np.maximum)):
            peaks[:, : len(known), side] = extreme.reduceat(part[..., side], known, axis=1)
    return peaks
