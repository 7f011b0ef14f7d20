"""The sound of an item for a browser: a WAV that is made as it is read, and its peaks.

No browser seeks exactly in every format of recordings, but all do in a WAV. Only the requested samples are
decoded. The peaks of a long item are computed once, and then cut from that.
"""

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

#: Peaks of the whole of an item, a second, and items of which they are held.
OVERVIEW_RATE, HELD_OVERVIEWS = 50, 8

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
    final = min(round((stretch.start + stretch.seconds) * rate), round(info.seconds * rate))
    edges = np.linspace(first, last, count + 1)
    low = np.full((info.channels, count), np.inf, np.float32)
    high = np.full((info.channels, count), -np.inf, np.float32)
    at = first
    seconds = (min(last, final) - first) / rate
    for block in blocks(stretch.audio, first / rate, seconds) if seconds > 0 else ():
        inner = np.floor(edges).astype(np.int64) - at
        at += len(block)
        parts = np.flatnonzero((inner[1:] > 0) & (inner[:-1] < len(block)))
        if not len(parts) or not len(block):
            continue
        starts = np.clip(inner[parts], 0, len(block) - 1)
        stop = min(max(int(inner[parts[-1] + 1]), int(starts[-1]) + 1), len(block))
        for channel in range(block.shape[1]):
            samples = np.ascontiguousarray(block[:stop, channel])
            low[channel, parts] = np.minimum(low[channel, parts], np.minimum.reduceat(samples, starts))
            high[channel, parts] = np.maximum(high[channel, parts], np.maximum.reduceat(samples, starts))
    pair = np.stack((low, high), axis=-1)
    pair[~np.isfinite(pair)] = 0.0
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
                count = max(1, int(np.ceil(stretch.seconds * OVERVIEW_RATE)))
                self._peaks[item] = window_peaks(stretch, 0.0, count / OVERVIEW_RATE, count)
                while len(self._peaks) > HELD_OVERVIEWS:
                    self._peaks.popitem(last=False)
            self._peaks.move_to_end(item)
            return self._peaks[item]


def coarser(overview: Peaks, start: float, end: float, count: int) -> Peaks:
    """`count` peaks of a stretch, from those of the whole item."""
    edges = np.linspace(start * OVERVIEW_RATE, end * OVERVIEW_RATE, count + 1)
    firsts = np.clip(np.floor(edges[:-1]).astype(int), 0, overview.shape[1] - 1)
    lasts = np.clip(np.ceil(edges[1:]).astype(int), firsts + 1, overview.shape[1])
    # Cumulative extremes of ranges: each part holds few of the overview's, and at least one.
    width = int((lasts - firsts).max())
    indices = np.minimum(firsts[:, None] + np.arange(width)[None, :], lasts[:, None] - 1)
    parts = overview[:, indices, :]
    peaks = np.stack((parts[..., 0].min(axis=2), parts[..., 1].max(axis=2)), axis=-1)
    peaks[:, np.floor(edges[:-1]).astype(int) >= overview.shape[1]] = 0
    return peaks
