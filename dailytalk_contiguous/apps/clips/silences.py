"""The silences of a recording: its levels against its own noise floor, their lengths, and the cuts in them.

Levels are kept in half decibels, one byte for each 10 ms of a channel, so that ten hours take 4 MB.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.apps.clips.cuts import (
    SHORTEST_SILENCE,
    SILENT_PIECE,
    CutPiece,
    CutRule,
    Silences,
    cut_recording,
)
from dailytalk_contiguous.core.audio import SILENT, Samples
from dailytalk_contiguous.core.spans import frame_levels

#: Seconds of a frame.
FRAME_SECONDS = 0.01

#: dB of a step of a level, and the dBFS of level 0, which is also that of all below.
STEP_DB, LOWEST_DBFS = 0.5, -127.5

#: Levels of frames, 0 to 255, shape (frames,) or (channels, frames).
Steps = NDArray[np.uint8]


class LevelMeter:
    """Levels of a recording that comes in blocks of any length.

    Args:
        sample_rate: Hz. channels: of the recording.
    """

    def __init__(self, sample_rate: int, channels: int) -> None:
        self._sample_rate = sample_rate
        self._hop = max(1, round(FRAME_SECONDS * sample_rate))
        self._n_samples = 0
        self._steps: list[Steps] = [np.zeros((channels, 0), np.uint8)]
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
        return SoundLevels(np.concatenate(self._steps, axis=1), self._hop, self._sample_rate, self._n_samples)

    def _measure(self, block: Samples) -> None:
        if len(block):
            powers = [frame_levels(np.ascontiguousarray(channel), self._hop) for channel in block.T]
            self._steps.append(_steps(np.stack(powers)))


def _steps(powers: NDArray[np.float32]) -> Steps:
    with np.errstate(divide="ignore"):
        levels = (10 * np.log10(powers) - LOWEST_DBFS) / STEP_DB
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def _step(dbfs: float) -> int:
    """The lowest level that is at least so many dBFS."""
    return min(max(math.ceil((dbfs - LOWEST_DBFS) / STEP_DB), 0), 255)


#: Share of the frames with any sound that are not louder than the noise floor.
FLOOR_SHARE = 0.05

#: dB of a silence over the noise floor at most, and the least dB from the floor to the loudest for any silence.
ABOVE_FLOOR_DB, LEAST_RANGE_DB = 12.0, 15.0

#: Seconds of the loudest frames that are skipped (a cough, a knock), or this share of a short recording.
LOUDEST_SECONDS, LOUDEST_SHARE = 0.5, 0.1

#: Share of digital silence from which a line is taken to be gated, and dB under its loudest that still are speech
#: there: it has no room tone to measure.
GATED_SHARE, UNDER_LOUDEST_DB = 0.05, 30.0

#: dBFS of a channel that holds nothing.
NOTHING_DBFS = 10 * math.log10(SILENT)


def silence_threshold(steps: Steps) -> float | None:
    """dBFS under which a frame of a channel, levels of shape (frames,), is silent; None if nothing is louder.

    Room tone is the softest sound that lasts, so the floor is a low percentile and not the minimum. Speech is 12
    dB over the floor, as sounds are (`core.spans`), or half way to the loudest if a noisy recording has less room
    than that. If hardly any frame is louder, nothing can be called silence. A channel that holds nothing (below
    -80 dBFS) is silent.
    """
    counts = np.zeros(256, np.int64)
    for first in range(0, len(steps), 1 << 16):  # it counts a copy of 8 bytes a frame
        counts += np.bincount(steps[first : first + (1 << 16)], minlength=256)
    nothing = _step(NOTHING_DBFS)
    n_silent, counts[:nothing] = int(counts[:nothing].sum()), 0
    n_heard = int(counts.sum())
    if not n_heard:
        return NOTHING_DBFS
    up_to = np.cumsum(counts)
    floor = int(np.searchsorted(up_to, FLOOR_SHARE * n_heard))
    passed_over = min(LOUDEST_SECONDS / FRAME_SECONDS, LOUDEST_SHARE * n_heard)
    loudest = int(np.searchsorted(up_to, n_heard - passed_over))
    room = (loudest - floor) * STEP_DB
    is_gated = n_silent >= GATED_SHARE * len(steps)
    if room < LEAST_RANGE_DB:
        return NOTHING_DBFS if is_gated else None
    threshold = LOWEST_DBFS + floor * STEP_DB + min(ABOVE_FLOOR_DB, room / 2)
    if is_gated:
        threshold = min(threshold, LOWEST_DBFS + loudest * STEP_DB - UNDER_LOUDEST_DB)
    return max(threshold, NOTHING_DBFS)


#: Frames of sound between two silences that are a click in one silence.
CLICK_FRAMES = 2


@dataclass(frozen=True)
class SoundLevels:
    """Levels of a whole recording, `steps` of shape (channels, frames): one a channel and `hop` samples."""

    steps: Steps
    hop: int
    sample_rate: int
    n_samples: int

    def thresholds(self, below: float | None = None) -> list[float | None]:
        """dBFS under which each channel is silent: `below`, otherwise the channel's own."""
        return [silence_threshold(channel) if below is None else below for channel in self.steps]

    def silences(self, thresholds: Sequence[float | None]) -> Silences:
        """Return the spans in samples in which all channels are silent for at least `SHORTEST_SILENCE`.

        A channel without a threshold, of one level (a hum), does not count beside one that has it.
        """
        heard = any(threshold is not None for threshold in thresholds)
        silent = np.full(self.steps.shape[1], heard)
        for channel, threshold in zip(self.steps, thresholds, strict=True):
            if threshold is not None:
                silent &= channel < _step(threshold)
        changes = np.flatnonzero(silent[1:] != silent[:-1]) + 1
        first, last = [0] * bool(silent[:1].any()), [len(silent)] * bool(silent[-1:].any())
        edges: Silences = np.concatenate((first, changes, last)).astype(np.int64).reshape(-1, 2)
        edges = edges[(edges[:, 1] - edges[:, 0]) * self.hop >= round(SHORTEST_SILENCE * self.sample_rate)]
        apart = edges[1:, 0] - edges[:-1, 1] > CLICK_FRAMES
        starts = edges[np.concatenate(([True], apart))[: len(edges)], 0]
        ends = edges[np.concatenate((apart, [True]))[: len(edges)], 1]
        silences: Silences = np.minimum(np.stack((starts, ends), axis=1) * self.hop, self.n_samples)
        return silences

    def cut(self, rule: CutRule, silences: Silences) -> list[CutPiece]:
        powers = None
        if rule.force:  # the mean square of each frame, summed over the channels
            table = (10 ** ((LOWEST_DBFS + STEP_DB * np.arange(256)) / 10)).astype(np.float32)
            powers = np.zeros(self.steps.shape[1], np.float32)
            for channel in self.steps:
                powers += table[channel]
        return cut_recording(self.n_samples, self.sample_rate, silences, rule, powers, self.hop)


#: Seconds at which a bar of the histogram begins; the last one has no end.
BINS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4)


@dataclass(frozen=True)
class SilenceStatistics:
    """Silences in figures: how many, and the seconds of the shortest, mean, median and longest (None without any).

    `histogram`: how many begin at each length of `BINS` and are shorter than the next.
    """

    count: int
    seconds: float
    minimum: float | None
    mean: float | None
    median: float | None
    maximum: float | None
    histogram: tuple[int, ...]

    @classmethod
    def of(cls, seconds: NDArray[np.float64]) -> "SilenceStatistics":
        """Of the lengths of silences in seconds, shape (n,)."""
        bins = np.searchsorted(BINS, seconds + 1e-9, side="right") - 1
        bars = np.bincount(np.maximum(bins, 0), minlength=len(BINS))
        total, histogram = round(float(seconds.sum()), 3), tuple(map(int, bars))
        if not len(seconds):
            return cls(0, total, None, None, None, None, histogram)
        figures = seconds.min(), seconds.mean(), np.median(seconds), seconds.max()
        minimum, mean, median, maximum = (round(float(figure), 3) for figure in figures)
        return cls(len(seconds), total, minimum, mean, median, maximum, histogram)


#: Seconds of silence that are compared.
CANDIDATES = (2.0, 1.5, 1.2, 1.0, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05)

#: Share of the audio that a choice may lose against the best one and still count as good: fewer cuts inside
#: speech are worth it.
AS_GOOD = 0.005


class CutOutcome(NamedTuple):
    """The result of cutting at silences of `silence` seconds.

    `pieces` and `usable` count the pieces, and those that can be used. `usable_seconds` and `heard_seconds` are of
    the usable ones, and of all that are not silent. `cuts` and `inside_speech` count the cuts, and those inside
    speech.
    """

    silence: float
    pieces: int = 0
    usable: int = 0
    usable_seconds: float = 0.0
    heard_seconds: float = 0.0
    cuts: int = 0
    inside_speech: int = 0

    @property
    def share(self) -> float:
        """The share of the audio that is not silent in pieces that can be used; 0 to 1."""
        return self.usable_seconds / self.heard_seconds if self.heard_seconds else 0.0

    def as_dict(self) -> dict[str, Any]:
        return {**self._asdict(), "usable_share": round(self.share, 5)}


def try_cuts(
    levels: SoundLevels, silences: Silences, speech: Sequence[tuple[float, float]], rule: CutRule
) -> list[CutOutcome]:
    """Return the outcome of each of `CANDIDATES` for a recording, with all other settings of `rule`.

    `speech` are starts and ends of speech in seconds, in order, in which pauses within a sentence are closed.
    """
    edges = np.asarray(speech, np.float64).reshape(-1)
    outcomes = []
    for silence in CANDIDATES:
        pieces = levels.cut(replace(rule, silence=silence), silences)
        cuts = np.array([piece.end for piece in pieces[:-1]], np.float64) / levels.sample_rate
        usable = [piece for piece in pieces if piece.reason is None]
        heard = [piece for piece in pieces if piece.reason != SILENT_PIECE]
        outcomes.append(
            CutOutcome(
                silence,
                len(pieces),
                len(usable),
                _seconds(usable, levels.sample_rate),
                _seconds(heard, levels.sample_rate),
                len(cuts),
                int(np.count_nonzero(np.searchsorted(edges, cuts) % 2)),  # an odd place: after a start
            )
        )
    return outcomes


def _seconds(pieces: Iterable[CutPiece], sample_rate: int) -> float:
    return sum(piece.end - piece.start for piece in pieces) / sample_rate


def together(outcomes: Iterable[Sequence[CutOutcome]]) -> list[CutOutcome]:
    """The outcomes of several recordings, added up candidate by candidate."""
    columns = zip(*outcomes, strict=True)
    return [CutOutcome(column[0].silence, *map(sum, list(zip(*column, strict=True))[1:])) for column in columns]


def suggested(outcomes: Sequence[CutOutcome], longest: float) -> CutOutcome | None:
    """The best choice: nearly all that can be made usable, the fewest cuts inside speech, the longest silence.

    Choices are no longer than the longest silence of the recording, in seconds, since others cut nowhere or by
    force. None if there is none, or nothing is usable.
    """
    outcomes = [outcome for outcome in outcomes if outcome.silence <= longest]
    best = max((outcome.share for outcome in outcomes), default=0.0)
    good = [outcome for outcome in outcomes if outcome.share >= best - AS_GOOD] if best else []
    return min(good, key=lambda outcome: (outcome.inside_speech, -outcome.silence), default=None)
