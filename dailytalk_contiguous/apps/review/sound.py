"""The sound of an item for a browser: a WAV that is made as it is read, and its peaks.

No browser seeks exactly in every format of recordings, but all do in a WAV. Only the requested samples are
decoded.
"""

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.sound.samples import to_pcm
from dailytalk_contiguous.machine.audio import AudioStruct, audio_at, blocks, read_header

#: Bytes of the header of the WAV.
WAV_HEADER = 44

#: Seconds that are read at once for peaks.
STEP_SECONDS = 60.0

Peaks = NDArray[np.int8]


class SoundStretch(NamedTuple):
    """The sound of an item: encoded audio as `machine.audio` takes it, and its start and length in seconds."""

    audio: AudioStruct
    start: float
    seconds: float


def whole_sound(path: Path) -> SoundStretch:
    """All of a file. Raises BadInput if it is no sound, or can't be read."""
    audio = audio_at(path)
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
        """The bytes from `first` up to `last`, a block at a time. Raises BadInput as `machine.audio.blocks`
        does.
        """
        if first < WAV_HEADER:
            yield self.header[first : min(last, WAV_HEADER)]
        begin = max(0, first - WAV_HEADER)
        end = last - WAV_HEADER
        if end <= begin:
            return
        frame, skip = divmod(begin, self.frame_bytes)
        remaining = end - begin
        n_frames = math.ceil(end / self.frame_bytes) - frame
        start = (self.first_frame + frame) / self.sample_rate
        for block in blocks(self.stretch.audio, start, n_frames / self.sample_rate):
            data = to_pcm(block).tobytes()[skip : skip + remaining]
            skip = 0
            remaining -= len(data)
            yield data
        while remaining > 0:  # a recording shorter than its header says: the length was sent already
            yield bytes(min(remaining, 1 << 16))
            remaining -= min(remaining, 1 << 16)


def wav_of(stretch: SoundStretch) -> Wav:
    """The WAV of an item. Raises BadInput if its sound can't be read."""
    info = read_header(stretch.audio)
    rate = info.sample_rate
    frame_bytes = 2 * info.channels
    first = round(stretch.start * rate)
    last = min(round((stretch.start + stretch.seconds) * rate), round(info.seconds * rate))
    frames = max(0, last - first)
    size = min(frames * frame_bytes, 0xFFFFFFFF - WAV_HEADER)
    header = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF",
        size + WAV_HEADER - 8,
        b"WAVE",
        b"fmt ",
        16,
        1,
        info.channels,
        rate,
        rate * frame_bytes,
        frame_bytes,
        16,
        b"data",
        size,
    )
    return Wav(header, stretch, rate, frame_bytes, first, frames)


def peaks_of(stretch: SoundStretch, start: float, end: float, count: int) -> Peaks:
    """Smallest and largest sample of each of `count` equal parts of a stretch, shape (channels, count, 2).

    127 is full scale. Beyond the end of the item there is silence. Raises BadInput as `machine.audio.blocks` does.
    """
    info = read_header(stretch.audio)
    limit = min(stretch.start + stretch.seconds, info.seconds)
    times = stretch.start + np.linspace(start, end, count + 1)
    peaks = np.zeros((count, info.channels, 2))
    steps = max(1, math.ceil((end - start) / STEP_SECONDS))
    for columns in np.array_split(np.arange(count), steps):
        if not len(columns):
            continue
        first = times[columns[0]]
        last = min(times[columns[-1] + 1], limit)
        parts = [*blocks(stretch.audio, first, last - first)] if last > first else []
        if not parts:
            continue
        samples = np.concatenate(parts)
        edges = ((times[columns] - first) * info.sample_rate).astype(int)
        is_inside = edges < len(samples)
        inside_edges = edges[is_inside]
        inside_columns = columns[is_inside]
        peaks[inside_columns, :, 0] = np.minimum.reduceat(samples, inside_edges, axis=0)
        peaks[inside_columns, :, 1] = np.maximum.reduceat(samples, inside_edges, axis=0)
    scaled: Peaks = np.clip(np.rint(peaks * 127), -127, 127).astype(np.int8)
    return scaled.transpose(1, 0, 2)
