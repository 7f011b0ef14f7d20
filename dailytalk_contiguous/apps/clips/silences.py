"""The silences of a recording, and the pieces between them, so that every sample is in exactly one of them.

Pieces that a model can't be trained on (too long, too short, silent) are marked with the reason and never dropped:
laid end to end, all pieces are the recording. Positions are samples of the source and not seconds, so that this
holds at any rate. Levels are kept in dBFS, two bytes for each 10 ms of a channel, so that ten hours take 7 MB.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, NamedTuple

import numpy as np
from datasets import Features, List, Value
from numpy.typing import NDArray

from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.audio import SILENT, Samples, blocks, read_header
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.schema import MEASURE, STRING, Row
from dailytalk_contiguous.core.settings import setting
from dailytalk_contiguous.core.spans import cut_long, frame_levels, true_runs
from dailytalk_contiguous.stages.base import Stage

#: Seconds of the shortest silence in which a piece that is too long is cut: stop consonants close for as long.
SHORTEST_SILENCE = 0.05

#: Reasons for the end of a piece: a silence of `CutRule.silence` or longer, a shorter one because it would be too
#: long, its quietest point, or the end of the recording.
SILENCE, HALVED, FORCED, END = ("silence", "halved", "forced", "end")

#: The reason of a piece without audible sound.
SILENT_PIECE = "it is silent"

#: Starts and ends of silences in samples, in order and apart from each other, shape (n, 2).
Silences = NDArray[np.int64]


@dataclass(frozen=True)
class CutRule:
    """The silences at which a recording is cut, and the pieces that can be used.

    Raises DailytalkError if no piece could be within the limits.
    """

    silence: float = setting(
        0.8, "Cut at the midpoint of silences of at least so long.", panel="result", unit="s", least=0.05
    )
    shortest: float = setting(
        0.6, "Shorter pieces are Non Usable.", option="min", panel="result", unit="s", least=0.0
    )
    longest: float = setting(
        11.0,
        "Longer pieces are cut again, at silences half as long, down to 50 ms.",
        option="max",
        panel="result",
        unit="s",
        least=0.5,
    )
    force: bool = setting(
        False, "Cut what is still too long at its quietest point, inside speech, too.", panel="result"
    )
    merge_short: bool = setting(
        False, "Join a piece that is too short to a neighbour, if both stay within --max.", panel="result"
    )

    def __post_init__(self) -> None:
        if self.shortest > self.longest:
            raise DailytalkError(
                f"--min {self.shortest:g} is longer than --max {self.longest:g}", "give a --min under --max"
            )


class CutPiece(NamedTuple):
    """A part of a recording, from sample `start` up to `end`, and why it ends there (`SILENCE`, …).

    `reason` says why it can't be used; None if it can.
    """

    start: int
    end: int
    reason: str | None
    cut: str

    @property
    def length(self) -> int:
        return self.end - self.start


class _Limits(NamedTuple):
    """The seconds of a rule as samples."""

    silence: int
    shortest: int
    longest: int
    least: int


def cut_recording(
    n_samples: int,
    sample_rate: int,
    silences: Silences,
    rule: CutRule,
    powers: NDArray[np.float32] | None = None,
    hop: int = 1,
) -> list[CutPiece]:
    """The pieces of a recording, in order, without a gap and without overlap.

    A piece that is too long is cut again in one of its silences that are half as long as `rule.silence`, of
    several in the one nearest to its middle that leaves no piece too short, so that few cuts are made; then in one
    of a quarter, and so on down to `SHORTEST_SILENCE`. Silence at the edge of a piece (the half of a long one, or
    the beginning of the recording) is cut again if it is as long as `rule.silence`.

    Args:
        n_samples: of the recording. sample_rate: Hz.
        silences: those of at least `SHORTEST_SILENCE`.
        rule: where to cut.
        powers: mean square of each `hop` samples, shape (ceil(n_samples / hop),), in which `rule.force` finds
            quiet points; None if nothing is forced.
    """
    seconds = (rule.silence, rule.shortest, rule.longest, SHORTEST_SILENCE)
    limits = _Limits(*(round(value * sample_rate) for value in seconds))
    silences = np.asarray(silences, np.int64).reshape(-1, 2)
    long_enough = silences[silences[:, 1] - silences[:, 0] >= limits.silence]
    middles = [int(middle) for middle in long_enough.sum(axis=1) // 2 if 0 < middle < n_samples]
    edges = [0, *middles, n_samples] if n_samples else []
    whole = [CutPiece(start, end, None, SILENCE) for start, end in pairwise(edges)]
    pieces = [piece for part in whole for piece in _halved(part, silences, limits)]
    if rule.force and powers is not None:
        pieces = [part for piece in pieces for part in _forced(piece, powers, hop, limits.longest, sample_rate)]
    if pieces:
        pieces[-1] = pieces[-1]._replace(cut=END)
    if rule.merge_short:
        pieces = _merged(pieces, limits)
    return [piece._replace(reason=_reason(piece, silences, limits, rule, sample_rate)) for piece in pieces]


def _halved(piece: CutPiece, silences: Silences, limits: _Limits) -> list[CutPiece]:
    """A piece cut in ever shorter silences until it is short enough, or has none."""
    done: list[CutPiece] = []
    waiting = [(piece, limits.silence)]
    while waiting:
        piece, wanted = waiting.pop()
        inside = _inside(piece, silences) if piece.length > limits.longest else silences[:0]
        lengths, middles = inside[:, 1] - inside[:, 0], inside.sum(axis=1) // 2
        at_edge = (inside[:, 0] == piece.start) | (inside[:, 1] == piece.end)
        fits = np.minimum(middles - piece.start, piece.end - middles) >= np.maximum(limits.shortest, 1)
        allowed = np.where(at_edge, lengths >= max(limits.silence, 2), fits)
        while not (fitting := allowed & (lengths >= wanted)).any() and wanted > limits.least:
            wanted = max(wanted // 2, limits.least)
        if not fitting.any():  # rather a piece that is too short than one that is too long
            fitting = ~at_edge
        if not fitting.any():
            done.append(piece)
            continue
        middles = middles[fitting]
        middle = int(middles[np.argmin(np.abs(2 * middles - piece.start - piece.end))])
        first = piece._replace(end=middle, cut=SILENCE if wanted >= limits.silence else HALVED)
        waiting += [(piece._replace(start=middle), wanted), (first, wanted)]
    return done


def _inside(piece: CutPiece, silences: Silences) -> Silences:
    first = int(np.searchsorted(silences[:, 1], piece.start, side="right"))
    last = int(np.searchsorted(silences[:, 0], piece.end, side="left"))
    return np.clip(silences[first:last], piece.start, piece.end)


def _forced(
    piece: CutPiece, powers: NDArray[np.float32], hop: int, longest: int, sample_rate: int
) -> list[CutPiece]:
    if piece.length <= longest:
        return [piece]
    first, seconds = piece.start // hop, hop / sample_rate
    # Shorter by some frames than allowed: a cut is put on whole frames of the recording.
    frames = powers[first : -(-piece.end // hop)]
    spans = cut_long([(0.0, len(frames) * seconds)], frames, seconds, longest / sample_rate - 3 * seconds)
    cuts = [round((first + span.end / seconds) * hop) for span in spans[:-1]]
    edges = [piece.start, *(cut for cut in cuts if piece.start < cut < piece.end), piece.end]
    parts = [CutPiece(start, end, None, FORCED) for start, end in pairwise(edges)]
    return [*parts[:-1], parts[-1]._replace(cut=piece.cut)]


def _merged(pieces: Sequence[CutPiece], limits: _Limits) -> list[CutPiece]:
    """Pieces, with those that are too short joined to a neighbour, preferably not across a `SILENCE`."""
    merged, index = list(pieces), 0
    while index < len(merged):
        sides = [
            (merged[left].cut == SILENCE, merged[left + 1].end - merged[left].start, left)
            for left in (index - 1, index)
            if 0 <= left < len(merged) - 1
        ]
        fitting = [side for side in sides if side[1] <= limits.longest]
        if merged[index].length >= limits.shortest or not fitting:
            index += 1
            continue
        index = min(fitting)[2]  # it may still be too short
        merged[index : index + 2] = [merged[index + 1]._replace(start=merged[index].start)]
    return merged


def _reason(piece: CutPiece, silences: Silences, limits: _Limits, rule: CutRule, sample_rate: int) -> str | None:
    if _inside(piece, silences).tolist() == [[piece.start, piece.end]]:
        return SILENT_PIECE
    seconds = f"it is {piece.length / sample_rate:.2f} s long"
    if piece.length < limits.shortest:
        return f"{seconds} (at least {rule.shortest:g} s)"
    if piece.length > limits.longest:
        return f"{seconds} (at most {rule.longest:g} s), without a silence to cut it in"
    return None


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
