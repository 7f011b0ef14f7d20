"""How loud each moment of a file is.

Read in blocks, so that an hour needs hardly more memory than a minute. Frames of 20 ms are short beside a word,
and long enough that room tone does not look like speech by chance.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.audio import blocks, probe
from dailytalk_contiguous.core.spans import frame_levels

#: Seconds a frame: about two periods of a low voice, and short beside any word.
FRAME_SECONDS = 0.02

#: dB of full scale. What never gets louder is silence: room tone of a quiet recording lies at -60 and below.
SILENCE_DBFS = -60.0

#: dB. A word this far below the loudest moment of its channel is not there: whispers lie 20 to 30 dB below shouts.
BELOW_LOUDEST = 40.0

_BLOCK_FRAMES = 1000


@dataclass(frozen=True)
class Loudness:
    """Levels of a file.

    Attributes:
        sample_rate: Hz.
        channels: number of channels.
        seconds: length as decoded, not as its header promises.
        dbfs: RMS of each frame in dB of full scale, shape (frames, channels).
        frame: seconds of a frame.
    """

    sample_rate: int
    channels: int
    seconds: float
    dbfs: NDArray[np.float32]
    frame: float

    def loudest(self, channel: int) -> float:
        """The loudest frame of a channel in dBFS; -inf where there is none."""
        return float(self.dbfs[:, channel].max()) if len(self.dbfs) else -np.inf

    def is_silent(self, channel: int) -> bool:
        """Whether a channel never rises above `SILENCE_DBFS`."""
        return self.loudest(channel) < SILENCE_DBFS

    def has_energy(self, start: float, end: float, channel: int) -> bool:
        """Whether anything can be heard in a stretch of seconds, give or take one frame."""
        first, last = max(0, int(start / self.frame) - 1), int(np.ceil(end / self.frame)) + 1
        inside = self.dbfs[first:last, channel]
        return len(inside) > 0 and float(inside.max()) >= max(SILENCE_DBFS, self.loudest(channel) - BELOW_LOUDEST)


def measure(audio: dict[str, Any]) -> Loudness:
    """Levels of encoded audio, a `{"bytes", "path"}` struct. Raises BadInput if it can't be read to its end."""
    info = probe(audio)
    frame = max(1, round(FRAME_SECONDS * info.sample_rate))
    levels: list[NDArray[np.float32]] = []
    n_samples = 0
    for block in blocks(audio, block_seconds=_BLOCK_FRAMES * frame / info.sample_rate):
        n_samples += len(block)
        levels.append(np.stack([frame_levels(channel, frame) for channel in block.T], axis=1))
    power = np.concatenate(levels) if levels else np.zeros((0, info.channels), np.float32)
    with np.errstate(divide="ignore"):
        dbfs = np.asarray(10 * np.log10(power), np.float32)
    return Loudness(info.sample_rate, info.channels, n_samples / info.sample_rate, dbfs, frame / info.sample_rate)
