"""The shift between the sides of a recording that are out of step, by its sound or its transcript.

Two tracks of one call that were started at different times are out of step, and their clocks may run apart (see
`core.sound.side_clocks`). Two things tell by how much they were apart at the start:

- **Leak.** The other speaker is heard softly in a channel. Both channels are brought to one level, frame by frame,
  so that a speaker's loud words do not hide a leak 50 dB below them, and are compared by generalised
  cross-correlation with phase transform (Knapp and Carter 1976, "The generalized correlation method for estimation
  of time delay"). Sound that is heard before its source is no leak of sides in step. Sound after it may be an
  echo of the network, which may take 0.4 s each way (ITU-T G.114), so it shows nothing below `LATEST_ECHO`.
- **Transcript.** The words of both sides are on one clock. Where those of one side fit the sound of their channel
  later than those of the other fit theirs, the sides are out of step.

A shift by a leak is wrong by the way of the leak: a few milliseconds of air, or the delay of an echo.

A shift is believed only where it is clear: the first quarter of an hour has it throughout, and no other shift fits
nearly as well. Limits were set on the bundled conversations, and reported on other calls
(docs/measures.md).
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeGuard, cast

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.documents import LATEST, fits, is_number
from dailytalk_contiguous.core.records.conversation import Cue
from dailytalk_contiguous.core.records.record import LackingSound, SideShift
from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.sound.leak_lags import (
    LAG_RATE,
    LEVEL_FRAME,
    LevelledFrames,
    aligned_frames,
    levelled_frames,
    phase_correlation,
)
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, Pcm, pcm_to_float
from dailytalk_contiguous.core.sound.side_clocks import (
    LEAST_DRIFT,
    LEAST_DRIFT_BY_LEAK,
    MOST_DRIFT_PPM,
    MOST_LACKING,
    WordFit,
    drift_by_leak,
    loud_spans,
    word_fit,
)
from dailytalk_contiguous.core.spans import TimeSpan, merge_gaps, total_seconds
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.core.words.cues import spoken_spans
from dailytalk_contiguous.core.words.transcript_clock import (
    LEAST_FIT,
    best_clock,
    fit_on_clock,
    steady_clock,
    transcript_clock,
)

#: Seconds below which a shift is not told: 0.3 s, less by what it may be measured wrong.
LEAST_SHIFT = 0.25

#: Seconds of the largest shift that is searched.
FURTHEST_SHIFT = 11.0

#: Seconds of a recording that are compared: a shift is the same in all of it.
SEARCHED_SECONDS = 900.0

#: `SideShift.known_by` of a shift that the other speaker's voice in a channel tells.
BY_LEAK = "leak"

#: `SideShift.known_by` of a shift that the times of a transcript tell.
BY_TRANSCRIPT = "transcript"

#: `SideShift.known_by` where neither a leak nor a transcript tells anything.
BY_NOTHING = "nothing"


def later_side(shift: float) -> str:
    """Return the side that is later by a shift, which is positive where the right one is later.

    >>> later_side(0.5), later_side(-0.5)
    ('right', 'left')
    """
    return "right" if shift > 0 else "left"


def in_step(known_by: str) -> SideShift:
    """Return the shift of sides that are in step."""
    return {"seconds": 0.0, "drift_ppm": 0.0, "lacking": [], "known_by": known_by, "aligned": False}


def is_apart(shift: SideShift) -> bool:
    """Whether sides are, or were, out of step."""
    return bool(shift["seconds"] or shift["drift_ppm"] or shift["lacking"])


def is_shift(value: object) -> TypeGuard[SideShift]:
    """Whether something from outside is a shift that `tag --align-sides` may have found."""
    if not fits(value, SideShift):
        return False
    shift = cast(SideShift, value)
    lacking = 0.0
    for piece in shift["lacking"]:
        if piece["channel"] not in CHANNELS or not is_number(piece["start"], 0, LATEST):
            return False
        if not is_number(piece["seconds"], 0, MOST_LACKING):
            return False
        lacking += piece["seconds"]
    is_near = is_number(shift["seconds"], -FURTHEST_SHIFT, FURTHEST_SHIFT)
    is_clock = is_number(shift["drift_ppm"], -MOST_DRIFT_PPM, MOST_DRIFT_PPM)
    return is_near and is_clock and lacking <= MOST_LACKING


def shift_sentence(shift: SideShift) -> str:
    """Describe in words how the sides of a recording are out of step."""
    if shift["known_by"] == BY_NOTHING:
        return "neither a leak nor a transcript of both sides with times of words shows whether they are in step"
    sign = "the times of its transcript"
    if shift["known_by"] == BY_LEAK:
        sign = "a voice that is heard on both sides"
    parts = []
    if shift["seconds"]:
        later = later_side(shift["seconds"])
        parts.append(f"the {later} side is {abs(shift['seconds']):.2f} s late")
    if shift["drift_ppm"]:
        slower = later_side(shift["drift_ppm"])
        parts.append(f"the {slower} side becomes later by {abs(shift['drift_ppm']):,.0f} ppm")
    for channel in CHANNELS:
        pieces = [piece["seconds"] for piece in shift["lacking"] if piece["channel"] == channel]
        if pieces:
            parts.append(f"the {channel} side lacks {math.fsum(pieces):.2f} s in {counted(len(pieces), 'place')}")
    return f"{' and '.join(parts) or 'they are in step'}, by {sign}"


def side_shift_of(
    pcm: Pcm, cues: Sequence[Cue], speech: Mapping[str, Sequence[TimeSpan]], thorough: bool = False
) -> SideShift | None:
    """Measure how far the sides of a recording are out of step; None where nothing shows it.

    Args:
        pcm: the recording, 16 kHz int16, shape (n, 2).
        cues: of a transcript of both sides on one clock; empty without one.
        speech: starts and ends of the speech of each channel, in seconds.
        thorough: whether a drift that comes to less than `LEAST_SHIFT` is reported, and is also searched by a
            leak, which takes some seconds.
    """
    seconds = shift_by_leak(pcm[:, 0], pcm[:, 1])
    known_by = BY_LEAK
    if seconds is None:
        seconds = shift_by_transcript(cues, speech)
        known_by = BY_TRANSCRIPT
    clocks = _clocks_by_leak(pcm, seconds or 0.0) if thorough else None
    clocks = clocks or _clocks_by_transcript(pcm, cues, LEAST_DRIFT if thorough else LEAST_SHIFT)
    if seconds is None:
        return clocks
    return {**(clocks or in_step(known_by)), "seconds": round(seconds, 4), "known_by": known_by}


def _clocks_by_leak(pcm: Pcm, seconds: float) -> SideShift | None:
    """Measure how the clocks of sides run apart whose right one is later by `seconds`, by their leak."""
    n_late = round(abs(seconds) * ANALYSIS_RATE)
    left = pcm[:, 0]
    right = pcm[:, 1]
    if seconds > 0:
        right = right[n_late:]
    else:
        left = left[n_late:]
    slope = drift_by_leak(left, right)
    if slope is None:
        return None
    is_drift = abs(slope) * len(pcm) / ANALYSIS_RATE >= LEAST_DRIFT_BY_LEAK
    drift = round(1e6 * slope, 1) if is_drift else 0.0
    return {**in_step(BY_LEAK), "drift_ppm": drift}


def _clocks_by_transcript(pcm: Pcm, cues: Sequence[Cue], least_drift: float) -> SideShift | None:
    """Measure how the clocks of sides run apart by their transcript; a drift is at least `least_drift` seconds.

    None where nothing shows it, and where the transcript has a clock of its own, which both sides follow.
    """
    timed = [cue for cue in cues if cue.words or not cue.text]
    words = words_by_side(timed)
    fits: dict[str, WordFit] = {}
    for number, channel in enumerate(CHANNELS):
        fit = word_fit(words.get(channel, ()), pcm[:, number])
        if fit is None:
            return None
        fits[channel] = fit
    lacking: list[LackingSound] = []
    for channel, fit in fits.items():
        for start, seconds in fit.lacking:
            lacking.append({"channel": channel, "start": round(start, 4), "seconds": round(seconds, 4)})
    if lacking:
        loud: dict[str, list[TimeSpan]] = {}
        for number, channel in enumerate(CHANNELS):
            loud[channel] = merge_gaps(loud_spans(pcm[:, number]), WORD_GAP)
        if transcript_clock(timed, loud) is not None:
            return None
    slope = (1 + fits["right"].slope) / (1 + fits["left"].slope) - 1
    is_drift = not lacking and abs(slope) * len(pcm) / ANALYSIS_RATE >= least_drift
    drift = round(1e6 * slope, 1) if is_drift else 0.0
    return {**in_step(BY_TRANSCRIPT), "drift_ppm": drift, "lacking": lacking}


# The leak of a side in the other one.


#: Seconds of sound without which no leak is searched.
LEAST_SOUND = 20.0

#: How much higher the correlation at a shift must be than at any other one. Without a leak the four bundled
#: conversations have at most 1.5; with one 20 to 50 dB down, both ways or one way, at least 3.0.
CLEAREST = 2.0

#: The same in each half of the recording, near that shift.
CLEAR_IN_HALF = 1.5

#: Seconds around a shift that are part of it: a room smears a leak.
NEAR_SHIFT = 0.06

#: Seconds after its source from which on a leak is no echo of a network any more.
LATEST_ECHO = 1.0


class _Peak(NamedTuple):
    """The lag in seconds of the second channel at which it is most like the first, and how clear that is."""

    lag: float
    clarity: float


def shift_by_leak(left: Pcm, right: Pcm) -> float | None:
    """Return the seconds by which the right channel is later than the left, by the leak of either in the other.

    Both are 16 kHz int16, shape (n,). The shift is None where there is no leak, where the sides are in step, and
    where a leak may be an echo.
    """
    n_samples = min(len(left), len(right), round(SEARCHED_SECONDS * ANALYSIS_RATE))
    if n_samples < LEAST_SOUND * ANALYSIS_RATE:
        return None
    levelled_left = levelled_frames(pcm_to_float(left[:n_samples]))
    levelled_right = levelled_frames(pcm_to_float(right[:n_samples]))
    peak = _peak(levelled_left.samples, levelled_right.samples, FURTHEST_SHIFT)
    if abs(peak.lag) < LEAST_SHIFT or peak.clarity < CLEAREST:
        return None
    n_late = round(peak.lag * LAG_RATE / LEVEL_FRAME)
    aligned_left, aligned_right = aligned_frames(levelled_left, levelled_right, n_late)
    middle = len(aligned_left.samples) // 2
    for half in (slice(0, middle), slice(middle, None)):
        nearby = _peak(aligned_left.samples[half], aligned_right.samples[half], LATEST_ECHO)
        if abs(nearby.lag) > NEAR_SHIFT or nearby.clarity < CLEAR_IN_HALF:
            return None
    return peak.lag if _is_no_echo(aligned_left, aligned_right, peak.lag) else None


def _peak(first: NDArray[np.float32], second: NDArray[np.float32], furthest: float) -> _Peak:
    """Find the lag at which two channels are most alike, up to `furthest` seconds either way."""
    n_lags = round(furthest * LAG_RATE)
    likeness = np.abs(phase_correlation(first, second, n_lags))
    best = int(likeness.argmax())
    n_near = round(NEAR_SHIFT * LAG_RATE)
    elsewhere = np.concatenate((likeness[: max(0, best - n_near)], likeness[best + n_near :]))
    highest_elsewhere = float(elsewhere.max(initial=0.0))
    clarity = float(likeness[best]) / max(highest_elsewhere, 1e-9)
    return _Peak((best - n_lags) / LAG_RATE, clarity)


def _is_no_echo(left: LevelledFrames, right: LevelledFrames, lag: float) -> bool:
    """Whether a leak is heard before its source, or too long after it for an echo; the channels are aligned."""
    delays = []
    if _is_source(left, right):
        delays.append(lag)
    if _is_source(right, left):
        delays.append(-lag)
    return any(delay < 0 or delay > LATEST_ECHO for delay in delays)


#: dB by which a side must be louder to be the source of a leak.
SOURCE_DB = 6.0


def _is_source(source: LevelledFrames, other: LevelledFrames) -> bool:
    """Whether the voice of a side is heard on the other one where the side is louder."""
    is_louder = source.louder_samples(other, SOURCE_DB)
    peak = _peak(source.samples * is_louder, other.samples * is_louder, LATEST_ECHO)
    return abs(peak.lag) <= NEAR_SHIFT and peak.clarity >= CLEAR_IN_HALF


# The times of a transcript.


#: Seconds by which both measures of a shift may differ.
SAME_SHIFT = 0.15

#: Seconds by which both may speak at once for longer in sides that are aligned. More contradicts the transcript:
#: people wait for each other.
MORE_OVERLAP = 2.0


#: Standard errors that a shift must exceed.
CERTAIN = 3.0


class TranscriptOffset(NamedTuple):
    """Seconds by which the sound of a side is later than its transcript, measured twice.

    `by_overlap` is the offset at which they fit best (`core.words.transcript_clock`), `by_starts` the median
    difference of their starts. People mark lines too long, and a line may last until the next one begins, on
    either side; where both agree neither matters. `error` is the standard error of `by_starts`.
    """

    by_overlap: float
    by_starts: float
    error: float


def words_by_side(cues: Sequence[Cue]) -> dict[str, list[TimeSpan]]:
    """Return the starts and ends of the words of each side; empty where a transcript does not name the sides."""
    if any(cue.channel not in CHANNELS for cue in cues):
        return {}
    words: dict[str, list[TimeSpan]] = {}
    for channel in CHANNELS:
        words[channel] = spoken_spans(cue for cue in cues if cue.channel == channel)
    return words


def shift_by_transcript(cues: Sequence[Cue], speech: Mapping[str, Sequence[TimeSpan]]) -> float | None:
    """Return the seconds by which the right channel is later than the left, by a transcript of both on one clock.

    Args:
        cues: cues of both sides.
        speech: starts and ends of the speech of each channel, in seconds.

    Returns:
        None where the transcript lacks a side or does not clearly fit, and where the sides are in step.
    """
    words = words_by_side(cues)
    if not words:
        return None
    left = transcript_offset(words["left"], speech["left"])
    right = transcript_offset(words["right"], speech["right"])
    if left is None or right is None:
        return None
    shift = right.by_starts - left.by_starts
    shift_by_overlap = right.by_overlap - left.by_overlap
    error = math.hypot(left.error, right.error)
    if abs(shift - shift_by_overlap) > SAME_SHIFT or abs(shift) < CERTAIN * error:
        return None
    if not LEAST_SHIFT <= abs(shift) <= FURTHEST_SHIFT:
        return None
    aligned_right = [(start - shift, end - shift) for start, end in speech["right"]]
    overlap = _overlap(speech["left"], speech["right"])
    overlap_when_aligned = _overlap(speech["left"], aligned_right)
    if overlap_when_aligned > overlap + MORE_OVERLAP:
        return None
    return shift


#: Seconds of speech that each side needs, in its transcript and in its sound.
LEAST_WORDS = 8.0


#: Seconds from the start of a stretch of words to that of the speech that may be the same.
SAME_START = 0.6

#: Stretches of words whose starts are those of speech, of each side, without which a shift is not told.
LEAST_STARTS = 6


def transcript_offset(word_spans: Sequence[TimeSpan], speech_spans: Sequence[TimeSpan]) -> TranscriptOffset | None:
    """Measure how much later than its transcript the sound of a side is; None where that is not clear."""
    words = _stretches(word_spans)
    speech = _stretches(speech_spans)
    if min(total_seconds(words), total_seconds(speech)) < LEAST_WORDS:
        return None
    side = [(words, speech)]
    clock = best_clock(side, FURTHEST_SHIFT)
    steady = steady_clock(clock)
    if steady is None or steady.slope or fit_on_clock(side, clock) < LEAST_FIT:
        return None
    offset = -steady.lateness
    starts = np.array([start for start, _ in speech])
    differences: list[float] = []
    for start, _ in words:
        nearest = float(starts[np.abs(starts - start - offset).argmin()])
        if abs(nearest - start - offset) <= SAME_START:
            differences.append(nearest - start)
    if len(differences) < LEAST_STARTS:
        return None
    low, median, high = np.percentile(differences, [25, 50, 75])
    # The standard deviation of normal values with these quartiles, and the standard error of their median.
    deviation = (high - low) / 1.349
    error = 1.2533 * deviation / math.sqrt(len(differences))
    return TranscriptOffset(offset, float(median), float(error))


#: Seconds of silence between words that the comparison closes, as speech activity does.
WORD_GAP = 0.35


def _stretches(spans: Sequence[TimeSpan]) -> list[TimeSpan]:
    searched = [(start, end) for start, end in sorted(spans) if 0 <= start < end <= SEARCHED_SECONDS]
    return merge_gaps(searched, WORD_GAP)


def _overlap(left: Sequence[TimeSpan], right: Sequence[TimeSpan]) -> float:
    """Return the seconds in which both sides speak."""
    of_either = merge_gaps(sorted([*left, *right]), 0.0)
    return total_seconds(left) + total_seconds(right) - total_seconds(of_either)
