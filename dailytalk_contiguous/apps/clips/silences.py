"""The silences of a recording: its levels against its own noise floor, and the pieces between them.

ChannelLevels are kept in dBFS, two bytes for each 10 ms of a channel, so that ten hours take 7 MB.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from datasets import Features, List, Value
from numpy.typing import NDArray

from dailytalk_contiguous.apps.clips.cuts import SHORTEST_SILENCE, CutPiece, CutRule, Silences, cut_recording
from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.audio import SILENT, Samples, blocks, read_header
from dailytalk_contiguous.core.schema import MEASURE, STRING, Row
from dailytalk_contiguous.core.settings import setting
from dailytalk_contiguous.core.spans import frame_levels, true_runs
from dailytalk_contiguous.stages.base import Stage

#: Seconds of a frame.
FRAME_SECONDS = 0.01

#: Seconds of a recording that are measured at a time: a block that fits a core's cache takes half the time.
BLOCK_SECONDS = 2.0

#: Frames of sound between two silences that are a click in one silence.
CLICK_FRAMES = 2

#: Share of the frames with any sound that are not louder than the noise floor.
FLOOR_SHARE = 0.05

#: dB of a silence over the noise floor at most, and the least dB from the floor to the loudest for any silence.
ABOVE_FLOOR_DB, LEAST_RANGE_DB = 12.0, 15.0

#: Frames of the loudest half second that are skipped (a cough, a knock), or this share of a short recording.
LOUDEST_FRAMES, LOUDEST_SHARE = 50, 0.1

#: Share of digital silence from which a line is taken to be gated, and dB under its loudest that still are speech
#: there: it has no room tone to measure.
GATED_SHARE, UNDER_LOUDEST_DB = 0.05, 30.0

#: dBFS of a channel that holds nothing.
NOTHING_DBFS = 10 * math.log10(SILENT)

#: ChannelLevels of frames in dBFS, shape (frames,) or (channels, frames).
ChannelLevels = NDArray[np.float16]


def silence_threshold(levels: ChannelLevels) -> float | None:
    """dBFS under which a frame of a channel is silent; None if nothing is louder.

    Room tone is the softest sound that lasts, so the floor is a low percentile and not the minimum. Speech is 12
    dB over the floor, as sounds are (`core.spans`), or half way to the loudest if a noisy recording has less room
    than that. If hardly any frame is louder, nothing can be called silence. A channel that holds nothing (below
    -80 dBFS) is silent.
    """
    heard = levels[levels >= NOTHING_DBFS].astype(np.float32)
    if not len(heard):
        return NOTHING_DBFS
    skipped = min(LOUDEST_FRAMES / len(heard), LOUDEST_SHARE)
    floor, loudest = map(float, np.quantile(heard, [FLOOR_SHARE, 1 - skipped]))
    is_gated, room = 1 - len(heard) / len(levels) >= GATED_SHARE, loudest - floor
    if room < LEAST_RANGE_DB:
        return NOTHING_DBFS if is_gated else None
    threshold = floor + min(ABOVE_FLOOR_DB, room / 2)
    if is_gated:
        threshold = min(threshold, loudest - UNDER_LOUDEST_DB)
    return round(max(threshold, NOTHING_DBFS), 1)


class LevelMeter:
    """ChannelLevels of a recording that comes in blocks of any length.

    Args:
        sample_rate: Hz. channels: of the recording.
    """

    def __init__(self, sample_rate: int, channels: int) -> None:
        self._sample_rate = sample_rate
        self._hop = max(1, round(FRAME_SECONDS * sample_rate))
        self._n_samples = 0
        self._levels: list[ChannelLevels] = [np.zeros((channels, 0), np.float16)]
        self._rest = np.zeros((0, channels), np.float32)

    def push(self, block: Samples) -> None:
        """Take the next samples, float32 in [-1, 1], shape (n, channels)."""
        self._n_samples += len(block)
        block = np.concatenate((self._rest, block)) if len(self._rest) else block
        whole = len(block) - len(block) % self._hop
        self._rest = block[whole:].copy()
        self._measure(block[:whole])

    def levels(self) -> "SoundLevels":
        """The levels of all samples. The last frame may lack samples, which count as silence."""
        self._measure(self._rest)
        return SoundLevels(np.concatenate(self._levels, axis=1), self._hop, self._sample_rate, self._n_samples)

    def _measure(self, block: Samples) -> None:
        powers = np.stack([frame_levels(np.ascontiguousarray(channel), self._hop) for channel in block.T])
        self._levels.append((10 * np.log10(np.maximum(powers, 1e-13))).astype(np.float16))


@dataclass(frozen=True)
class SoundLevels:
    """ChannelLevels of a whole recording, shape (channels, frames): one a channel and `hop` samples."""

    levels: ChannelLevels
    hop: int
    sample_rate: int
    n_samples: int

    def thresholds(self, below: float | None = None) -> list[float | None]:
        """dBFS under which each channel is silent: `below`, otherwise the channel's own."""
        return [silence_threshold(channel) if below is None else below for channel in self.levels]

    def silences(self, thresholds: Sequence[float | None]) -> Silences:
        """Return the spans in samples in which all channels are silent for at least `SHORTEST_SILENCE`.

        A channel without a threshold, of one level (a hum), does not count beside one that has it.
        """
        known = [threshold is not None for threshold in thresholds]
        limits = np.array([threshold for threshold in thresholds if threshold is not None], np.float32)
        silent = (self.levels[known] < limits[:, None]).all(axis=0)
        runs = true_runs(np.asarray(silent & any(known), bool))
        runs = runs[(runs[:, 1] - runs[:, 0]) * self.hop >= round(SHORTEST_SILENCE * self.sample_rate)]
        apart = runs[1:, 0] - runs[:-1, 1] > CLICK_FRAMES
        starts, ends = runs[np.append(True, apart)[: len(runs)], 0], runs[np.append(apart, True)[: len(runs)], 1]
        silences: Silences = np.minimum(np.stack((starts, ends), axis=1) * self.hop, self.n_samples)
        return silences

    def cut(self, rule: CutRule, silences: Silences) -> list[CutPiece]:
        powers = None
        if rule.force:  # the mean square of each frame, summed over the channels
            powers = np.zeros(self.levels.shape[1], np.float32)
            for channel in self.levels:
                powers += 10 ** (channel.astype(np.float32) / 10)
        return cut_recording(self.n_samples, self.sample_rate, silences, rule, powers, self.hop)


#: A part of a recording: its samples from `start` up to `end`, why it can't be used (null if it can), and why it
#: ends there.
PIECE = {"start": Value("int64"), "end": Value("int64"), "reason": STRING, "cut": STRING}


@dataclass(frozen=True)
class CutAtSilences(Stage):
    """The pieces of a recording, whatever its rate and number of channels; laid end to end they are all of it.

    `below` is the dBFS under which all channels must be for a silence; None for each channel's own noise floor.
    """

    rule: CutRule = CutRule()
    below: float | None = setting(
        None,
        "Level of a silence in dBFS.",
        panel="result",
        least=-120.0,
        most=0.0,
        metavar="DB",
        shown="from the recording's noise floor",
    )

    VERSION: ClassVar[int] = 2
    needs: ClassVar[tuple[str, ...]] = ("audio",)
    prepares: ClassVar[bool] = True
    refuses: ClassVar[bool] = True
    batch_rows: ClassVar[int] = 1
    adds: ClassVar[Features] = Features({"pieces": List(PIECE), "thresholds_dbfs": List(MEASURE)})

    def row(self, row: Row) -> Row:
        info = read_header(row["audio"])
        meter = LevelMeter(info.sample_rate, info.channels)
        for block in blocks(row["audio"], block_seconds=BLOCK_SECONDS):
            interrupts.check_interrupt()
            meter.push(block)
        levels = meter.levels()
        thresholds = levels.thresholds(self.below)
        pieces = levels.cut(self.rule, levels.silences(thresholds))
        return {"pieces": [piece._asdict() for piece in pieces], "thresholds_dbfs": thresholds}
