"""The silences of a recording, and the pieces between them, so that every sample is in exactly one of them.

Pieces that a model can't be trained on (too long, too short, silent) are marked with the reason and never dropped:
laid end to end, all pieces are the recording. Positions are samples of the source and not seconds, so that this
holds at any rate. Levels are kept in dBFS, two bytes for each 10 ms of a channel, so that ten hours take 7 MB.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar, NamedTuple, TypedDict

import numpy as np
from datasets import Features, List
from numpy.typing import NDArray

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.arrow_types import record_features
from dailytalk_contiguous.core.records.record import EncodedAudio, Stored, Text
from dailytalk_contiguous.core.records.schema import Row
from dailytalk_contiguous.core.settings import setting
from dailytalk_contiguous.core.sound.levels import frame_levels
from dailytalk_contiguous.core.sound.samples import SILENT
from dailytalk_contiguous.core.spans import true_runs
from dailytalk_contiguous.machine import interrupts
from dailytalk_contiguous.machine.audio import blocks, read_header
from dailytalk_contiguous.stages.base import Stage

#: Seconds of the shortest silence in which a piece that is too long is cut: stop consonants close for as long.
SHORTEST_SILENCE = 0.05

#: A piece ends at a silence of `CutAtSilences.silence_seconds` or longer.
SILENCE = "silence"

#: A piece ends with the recording.
END = "end"

#: The reason of a piece without audible sound.
SILENT_PIECE = "it is silent"

#: A position in a recording, in samples.
Position = Annotated[int, Stored("int64")]

#: Starts and ends of silences in samples, in order and apart from each other, shape (n, 2).
Silences = NDArray[np.int64]

#: Seconds of a frame.
FRAME_SECONDS = 0.01

#: Seconds of a recording that are measured at a time: a block that fits a core's cache takes half the time.
BLOCK_SECONDS = 2.0

#: Frames of sound between two silences that are a click in one silence.
CLICK_FRAMES = 2

#: Share of the frames with any sound that are not louder than the noise floor.
FLOOR_SHARE = 0.05

#: dB that a silence may be over the noise floor.
ABOVE_FLOOR_DB = 12.0

#: dB between the floor and the loudest without which no silence can be told from speech.
LEAST_RANGE_DB = 15.0

#: Frames of the loudest half second that are skipped: a cough, a knock.
LOUDEST_FRAMES = 50

#: Share of a short recording that is skipped instead, if that is less.
LOUDEST_SHARE = 0.1

#: Share of digital silence from which a line is taken to be gated: it has no room tone to measure.
GATED_SHARE = 0.05

#: dB under its loudest that still are speech on a gated line.
UNDER_LOUDEST_DB = 30.0

#: dBFS of a channel that holds nothing.
NOTHING_DBFS = 10 * math.log10(SILENT)

#: Levels of frames in dBFS, shape (frames,) or (channels, frames).
ChannelLevels = NDArray[np.float16]


def silence_threshold(levels: ChannelLevels) -> float | None:
    """Return the level in dBFS under which a frame of a channel is silent; None if nothing is louder.

    Room tone is the softest sound that lasts, so the floor is a low percentile and not the minimum. Speech is 12
    dB over the floor, as sounds are (`core.sound.nonspeech_sounds`), or half way to the loudest if a noisy
    recording has less room
    than that. If hardly any frame is louder, nothing can be called silence. A channel that holds nothing (below
    -80 dBFS) is silent.
    """
    heard = levels[levels >= NOTHING_DBFS].astype(np.float32)
    if not len(heard):
        return NOTHING_DBFS
    skipped = min(LOUDEST_FRAMES / len(heard), LOUDEST_SHARE)
    quantiles = np.quantile(heard, [FLOOR_SHARE, 1 - skipped])
    floor, loudest = map(float, quantiles)
    is_gated = 1 - len(heard) / len(levels) >= GATED_SHARE
    room = loudest - floor
    if room < LEAST_RANGE_DB:
        return NOTHING_DBFS if is_gated else None
    threshold = floor + min(ABOVE_FLOOR_DB, room / 2)
    if is_gated:
        threshold = min(threshold, loudest - UNDER_LOUDEST_DB)
    return round(max(threshold, NOTHING_DBFS), 1)


@dataclass(frozen=True)
class SoundLevels:
    """Levels of a whole recording in dBFS, shape (channels, frames): one a channel and `hop` samples."""

    levels: ChannelLevels
    hop: int
    sample_rate: int
    n_samples: int

    def silences(self) -> Silences:
        """Return the spans in samples in which all channels are silent for at least `SHORTEST_SILENCE`.

        A channel is silent under its own `silence_threshold`. A channel without one, of one level (a hum), does
        not count beside one that has it.
        """
        has_threshold = []
        thresholds = []
        for channel in self.levels:
            threshold = silence_threshold(channel)
            has_threshold.append(threshold is not None)
            if threshold is not None:
                thresholds.append(threshold)
        limits = np.array(thresholds, np.float32)
        is_under = self.levels[has_threshold] < limits[:, None]
        is_silent = is_under.all(axis=0) & any(has_threshold)
        runs = true_runs(np.asarray(is_silent, bool))
        lengths = (runs[:, 1] - runs[:, 0]) * self.hop
        runs = runs[lengths >= round(SHORTEST_SILENCE * self.sample_rate)]
        # Silences with a click between them are one.
        is_apart = runs[1:, 0] - runs[:-1, 1] > CLICK_FRAMES
        is_first = np.append(True, is_apart)[: len(runs)]
        is_last = np.append(is_apart, True)[: len(runs)]
        starts = runs[is_first, 0]
        ends = runs[is_last, 1]
        frames = np.stack((starts, ends), axis=1)
        silences: Silences = np.minimum(frames * self.hop, self.n_samples)
        return silences


def measure_levels(audio: EncodedAudio) -> SoundLevels:
    """The levels of a `{"bytes", "path"}` struct. The last frame may lack samples, which count as silence.

    Raises BadInput if it can't be read.
    """
    info = read_header(audio)
    hop = max(1, round(FRAME_SECONDS * info.sample_rate))
    n_samples = 0
    levels: list[ChannelLevels] = [np.zeros((info.channels, 0), np.float16)]
    remainder = np.zeros((0, info.channels), np.float32)

    def measure(samples: NDArray[np.float32]) -> None:
        channels = [np.ascontiguousarray(channel) for channel in samples.T]
        powers = np.stack([frame_levels(channel, hop) for channel in channels])
        decibels = 10 * np.log10(np.maximum(powers, 1e-13))
        levels.append(decibels.astype(np.float16))

    for block in blocks(audio, block_seconds=BLOCK_SECONDS):
        interrupts.check_interrupt()
        n_samples += len(block)
        block = np.concatenate((remainder, block))
        whole = len(block) - len(block) % hop
        measure(block[:whole])
        remainder = block[whole:]
    measure(remainder)
    whole_levels = np.concatenate(levels, axis=1)
    return SoundLevels(whole_levels, hop, info.sample_rate, n_samples)


class PieceRow(TypedDict):
    """A `CutPiece` in a row."""

    start: Position
    end: Position
    reason: Text | None
    cut: Text


class CutPiece(NamedTuple):
    """A part of a recording, from sample `start` up to `end`, and why it ends there (`SILENCE`, …).

    `reason` says why it can't be used; None if it can.
    """

    start: int
    end: int
    reason: str | None
    cut: str


#: A piece ends at a shorter silence, because it would be too long.
HALVED = "halved"


@dataclass(frozen=True)
class CutAtSilences(Stage):
    """The pieces of a recording, whatever its rate and number of channels; laid end to end they are all of it.

    Raises DailytalkError if no piece could be within the limits.
    """

    silence_seconds: float = setting(
        0.8,
        "Cut at the midpoint of silences at least this long.",
        option="silence",
        panel="result",
        unit="s",
        least=0.05,
    )
    shortest_seconds: float = setting(
        0.6, "Shorter pieces are Non Usable.", option="min", panel="result", unit="s", least=0.0
    )
    longest_seconds: float = setting(
        11.0,
        "Longer pieces are cut again, at silences half as long, down to 50 ms.",
        option="max",
        panel="result",
        unit="s",
        least=0.5,
    )

    VERSION: ClassVar[int] = 3
    needs: ClassVar[tuple[str, ...]] = ("audio",)
    prepares: ClassVar[bool] = True
    refuses: ClassVar[bool] = True
    batch_rows: ClassVar[int] = 1
    adds: ClassVar[Features] = Features({"pieces": List(record_features(PieceRow))})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shortest_seconds > self.longest_seconds:
            raise DailytalkError(
                f"--min {self.shortest_seconds:g} is longer than --max {self.longest_seconds:g}",
                "give a --min under --max",
            )

    def row(self, row: Row) -> Row:
        levels = measure_levels(row["audio"])
        silences = levels.silences()
        pieces = self.cut(levels.n_samples, levels.sample_rate, silences)
        return {"pieces": [piece._asdict() for piece in pieces]}

    def cut(self, n_samples: int, sample_rate: int, silences: Silences) -> list[CutPiece]:
        """The pieces of a recording of `n_samples`, in order, without a gap and without overlap.

        A piece that is too long is cut again in one of its silences that are half as long as `silence_seconds`, of
        several in the one nearest to its middle that leaves no piece too short, so that few cuts are made; then in
        one of a quarter, and so on down to `SHORTEST_SILENCE`. Silence at the edge of a piece (the half of a long
        one, or the beginning of the recording) is cut again if it is as long as `silence_seconds`. `silences` are
        all of at least `SHORTEST_SILENCE`.
        """
        silence = round(self.silence_seconds * sample_rate)
        shortest = round(self.shortest_seconds * sample_rate)
        longest = round(self.longest_seconds * sample_rate)
        least = round(SHORTEST_SILENCE * sample_rate)
        silence_lengths = silences[:, 1] - silences[:, 0]
        long_enough = silences[silence_lengths >= silence]
        all_middles = long_enough.sum(axis=1) // 2
        middles = [int(middle) for middle in all_middles if 0 < middle < n_samples]
        edges = [0, *middles, n_samples] if n_samples else []
        waiting = [(start, end, SILENCE, silence) for start, end in pairwise(edges)]
        waiting.reverse()
        pieces: list[CutPiece] = []
        while waiting:
            start, end, cut, wanted = waiting.pop()
            first = np.searchsorted(silences[:, 1], start, side="right")
            last = np.searchsorted(silences[:, 0], end, side="left")
            inside = np.clip(silences[first:last], start, end)
            lengths = inside[:, 1] - inside[:, 0]
            centres = inside.sum(axis=1) // 2
            is_at_edge = (inside[:, 0] == start) | (inside[:, 1] == end)
            shorter_side = np.minimum(centres - start, end - centres)
            leaves_enough = shorter_side >= max(shortest, 1)
            is_allowed = np.where(is_at_edge, lengths >= max(silence, 2), leaves_enough)
            fits = is_allowed & (lengths >= wanted)
            while not fits.any() and wanted > least:
                wanted = max(wanted // 2, least)
                fits = is_allowed & (lengths >= wanted)
            if not fits.any():  # rather a piece that is too short than one that is too long
                fits = ~is_at_edge
            if end - start > longest and fits.any():
                candidates = centres[fits]
                off_middle = np.abs(2 * candidates - start - end)
                middle = int(candidates[np.argmin(off_middle)])
                first_cut = SILENCE if wanted >= silence else HALVED
                waiting.append((middle, end, cut, wanted))
                waiting.append((start, middle, first_cut, wanted))
                continue
            reason = None
            length = f"it is {(end - start) / sample_rate:.2f} s long"
            if inside.tolist() == [[start, end]]:
                reason = SILENT_PIECE
            elif end - start < shortest:
                reason = f"{length} (at least {self.shortest_seconds:g} s)"
            elif end - start > longest:
                reason = f"{length} (at most {self.longest_seconds:g} s), without a silence to cut it in"
            pieces.append(CutPiece(start, end, reason, cut))
        if pieces:
            pieces[-1] = pieces[-1]._replace(cut=END)
        return pieces
