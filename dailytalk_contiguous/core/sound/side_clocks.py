"""Differences between the clocks of both sides of a recording: a drift, and sound that one of them lacks.

Two machines that record a side each have clocks that differ by some parts in a million, which are a second in an
hour. A machine that loses buffers, or leaves pauses out, produces a side that gets further and further ahead. Two
things show this:

- **A transcript with times of words.** The path of offsets is searched along which the words of a side fit its
  sound best: by dynamic programming (Viterbi) over offsets, each change of which costs as much as some frames that
  do not fit. A path that is a line is a drift, one that falls is sound that the side lacks.
- **A leak** of one side into the other. Its delay is measured in windows by generalised cross-correlation with
  phase transform, with one side stretched by each drift that may be. An echo is late by a constant amount.

Constants were set on some calls and reported on others (docs/measures.md).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.sound.leak_lags import LAG_RATE, levelled_frames, phase_correlation
from dailytalk_contiguous.core.sound.levels import frame_levels
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, Pcm, Samples, pcm_to_float
from dailytalk_contiguous.core.spans import TimeSpan, rounded_frames, true_runs

#: Parts in a million of the largest drift: clocks of cheap machines have 200, programs that count wrong 3,000.
MOST_DRIFT_PPM = 4000.0

#: Seconds that a drift must come to in a recording.
LEAST_DRIFT = 0.06

#: Seconds below which a path that does not begin at 0 tells no step, but sound that lacks before its first word.
LEAST_STEP = 0.25

#: Seconds that a side may lack in all.
MOST_LACKING = 3600.0


class Lacking(NamedTuple):
    """Sound that a side lacks: `start` in seconds of that side as it is, and its length in `seconds`."""

    start: float
    seconds: float


class WordFit(NamedTuple):
    """The timing of a side compared with the words of its transcript.

    Attributes:
        slope: seconds by which the sound becomes later in a second of the transcript.
        lacking: sound that the side lacks, by its transcript; empty where the slope explains everything.
    """

    slope: float
    lacking: list[Lacking]


# By the times of words.


#: Samples of a frame in which words and sound are compared (20 ms), and seconds of it.
FRAME = 320
FRAME_SECONDS = FRAME / ANALYSIS_RATE

#: The weight of a frame without a word beside one of a word: people breathe, laugh, and say what is not written.
WEIGHT_OF_PAUSE = 0.6

#: How many times a path is searched again about the line of the one before, so that a steady change costs nothing.
SEARCHES_ALONG_LINE = 2

#: How much more of a side's sound must lie in its words than beside them: as a share of what is between its room
#: and its voice. With its own transcript it is 0.61 at least, with another one 0.57 at most.
LEAST_FIT = 0.55


#: Seconds by which words may be off the line of a drift.
OFF_LINE = 0.1

#: Words of each side without which a transcript tells nothing, and seconds from the first of them to the last.
LEAST_WORDS = 30
LEAST_TALK = 10.0


def word_fit(words: Sequence[TimeSpan], channel: Pcm) -> WordFit | None:
    """Compare the timing of a side, 16 kHz int16, with its words; None where the result is not clear."""
    latest = len(channel) / ANALYSIS_RATE + MOST_LACKING
    words = [(start, end) for start, end in words if start < end <= latest]
    first = min((start for start, _ in words), default=0.0)
    last = max((start for start, _ in words), default=0.0)
    if len(words) < LEAST_WORDS or last - first < LEAST_TALK:
        return None
    activity = _activity(channel)
    n_frames = round(max(end for _, end in words) / FRAME_SECONDS) + 1
    is_word = rounded_frames(n_frames, words, FRAME_SECONDS)
    if _is_in_step(is_word, activity):
        return WordFit(0.0, [])
    path = _path(is_word, activity, 0.0)
    starts = np.array([start for start, _ in words])
    at_words = np.minimum((starts / FRAME_SECONDS).astype(int), len(path) - 1)
    slope = _slope(starts, path[at_words])
    for _ in range(SEARCHES_ALONG_LINE):
        path = _path(is_word, activity, slope)
        slope = _slope(starts, path[at_words])
    line = np.median(path[at_words] - slope * starts) + slope * starts
    off_line = np.percentile(np.abs(path[at_words] - line), 95)
    is_line = off_line <= OFF_LINE
    if is_line and abs(slope) <= MOST_DRIFT_PPM / 1e6:
        return WordFit(slope, []) if _word_contrast(is_word, activity, path) >= LEAST_FIT else None
    lacking = _lacking_by_words(is_word, activity, slope)
    return WordFit(0.0, lacking) if lacking else None


#: Seconds of sound that a side must lack.
LEAST_LACKING = 0.5

#: What a change of the offset by a frame costs in a pause of a side that lacks sound: where buffers are lost,
#: evenly and along a line; and where whole pauses are.
BUFFERS_COST = 0.5
PAUSES_COST = 0.25

#: By how much a path must fit better that follows each pause.
CLEARLY_BETTER = 0.05


def _lacking_by_words(is_word: NDArray[np.bool_], activity: NDArray[np.float64], slope: float) -> list[Lacking]:
    """Return the sound that a side lacks where its words fit without it; empty where they don't."""
    without_buffers = _path(is_word, activity, slope, BUFFERS_COST)
    without_pauses = _path(is_word, activity, 0.0, PAUSES_COST)
    path = without_buffers
    contrast_without_buffers = _word_contrast(is_word, activity, without_buffers)
    contrast_without_pauses = _word_contrast(is_word, activity, without_pauses)
    if contrast_without_pauses > contrast_without_buffers + CLEARLY_BETTER:
        path = without_pauses
    lacking = _lacking(path, activity)
    total = math.fsum(piece.seconds for piece in lacking)
    # A side whose words fit at offsets that rise and fall has another transcript.
    is_fall = total >= LEAST_LACKING and path[0] - path[-1] >= total / 2
    fits = is_fall and _word_contrast(is_word, activity, path) >= LEAST_FIT
    return lacking if fits else []


#: Percentiles of the levels of a side, in dB, that are its room and its voice.
ROOM_LEVEL = 20
VOICE_LEVEL = 95


def _activity(channel: Pcm) -> NDArray[np.float64]:
    """Return the loudness of each frame of a side, from -0.5 (its room) to 0.5 (its voice)."""
    levels = frame_levels(pcm_to_float(channel), FRAME)
    if not levels.any():
        return np.full(len(levels), -0.5)
    decibels = 10 * np.log10(levels + 1e-10)
    # Digital silence, as after the end of a side that lacks sound, is no room.
    room, voice = np.percentile(decibels[levels > 0], [ROOM_LEVEL, VOICE_LEVEL])
    return np.asarray(((decibels - room) / max(voice - room, 1e-9)).clip(0, 1) - 0.5, np.float64)


def loud_spans(channel: Pcm) -> list[TimeSpan]:
    """Return the spans of a side, 16 kHz int16, whose level is nearer to its voice than to its room."""
    runs = true_runs(_activity(channel) > 0) * FRAME_SECONDS
    return [(start, end) for start, end in runs.tolist()]


#: Parts of a recording whose words fit at one offset where a side is in step.
N_PARTS = 4


def _is_in_step(is_word: NDArray[np.bool_], activity: NDArray[np.float64]) -> bool:
    """Whether the words of each part fit the sound best at one offset near 0, which spares the slow search."""
    weights = np.where(is_word, 1.0, -WEIGHT_OF_PAUSE)
    near = round(LEAST_STEP / FRAME_SECONDS)
    sounding = np.pad(activity, (near, near + max(0, len(is_word) - len(activity))))
    offsets = []
    for part in np.array_split(np.arange(len(is_word)), N_PARTS):
        first = int(part[0])
        last = int(part[-1]) + 1
        if is_word[first:last].any():
            fits = np.correlate(sounding[first : last + 2 * near], weights[first:last], "valid")
            offsets.append(int(fits.argmax()) - near)
    is_apart = np.ptp(offsets) > 2 or max(map(abs, offsets)) == near
    return not is_apart and _word_contrast(is_word, activity, np.zeros(len(is_word))) >= LEAST_FIT


#: Seconds by which a side may be earlier or later than its words.
FURTHEST = 11.0

#: Seconds after which the offsets that are searched are centred on the best one again.
CENTRED_EVERY = 5.0

#: What a change of the offset by a frame costs, in frames that fit wholly instead of half.
CHANGE_COST = 1.0


def _path(
    is_word: NDArray[np.bool_], activity: NDArray[np.float64], slope: float, cost_in_pause: float = CHANGE_COST
) -> NDArray[np.float64]:
    """Return the seconds by which the sound is later than each frame of words, along a line of a slope."""
    furthest = round(FURTHEST / FRAME_SECONDS)
    n_offsets = 2 * furthest + 1
    n_frames = len(is_word)
    on_line = np.round(slope * np.arange(n_frames)).astype(int)
    reach = n_offsets + n_frames + int(np.abs(on_line).max())
    sounding = np.pad(activity, (reach, reach))
    weights = np.where(is_word, 1.0, -WEIGHT_OF_PAUSE)
    every = round(CENTRED_EVERY / FRAME_SECONDS)
    centre = 0
    centres = np.zeros(n_frames, int)
    changes = np.zeros((n_frames, n_offsets), np.int8)
    scores = np.zeros(n_offsets)
    nothing = np.array([-np.inf])
    for frame in range(n_frames):
        if frame % every == 0 and frame:
            moved = int(scores.argmax()) - furthest
            padded = np.pad(scores, abs(moved), constant_values=-np.inf)
            scores = padded[abs(moved) + moved :][:n_offsets]
            centre += moved
        centres[frame] = centre
        cost = CHANGE_COST if is_word[frame] else cost_in_pause
        from_below = np.concatenate((nothing, scores[:-1])) - cost
        from_above = np.concatenate((scores[1:], nothing)) - cost
        change = np.zeros(n_offsets, np.int8)
        change[from_below > scores] = -1
        best = np.maximum(scores, from_below)
        change[from_above > best] = 1
        changes[frame] = change
        first = reach + frame + centre - furthest + on_line[frame]
        scores = np.maximum(best, from_above) + weights[frame] * sounding[first : first + n_offsets]
    offsets = np.zeros(n_frames)
    index = int(scores.argmax())
    for frame in range(n_frames - 1, -1, -1):
        offsets[frame] = centres[frame] + index - furthest + on_line[frame]
        index += int(changes[frame, index])
        if frame:
            index += int(centres[frame] - centres[frame - 1])
    return offsets * FRAME_SECONDS


#: Words of each half whose offsets are compared for a slope: more tell nothing more.
MOST_COMPARED = 1000


def _slope(times: NDArray[np.float64], offsets: NDArray[np.float64]) -> float:
    """Return the slope of a line by Theil and Sen: the median over pairs that are far apart."""
    order = np.argsort(times)
    half = len(order) // 2
    every = max(1, half // MOST_COMPARED)
    early = order[:half:every]
    late = order[half::every]
    gaps = times[late][:, np.newaxis] - times[early]
    is_far = gaps >= (times.max() - times.min()) / 5
    slopes = (offsets[late][:, np.newaxis] - offsets[early])[is_far] / gaps[is_far]
    return float(np.median(slopes))


def _word_contrast(is_word: NDArray[np.bool_], activity: NDArray[np.float64], path: NDArray[np.float64]) -> float:
    """Return how much louder a side is in its words than beside them, as a share of its range."""
    frames = np.arange(len(is_word)) + np.round(path / FRAME_SECONDS).astype(int)
    is_inside = (frames >= 0) & (frames < len(activity))
    heard = activity[frames[is_inside]]
    in_words = is_word[is_inside]
    if in_words.all() or not in_words.any():
        return 0.0
    return float(heard[in_words].mean() - heard[~in_words].mean())


#: Seconds around a change of the offset in which silence may take its place: the quietest moment.
QUIET_WITHIN = 0.1


def _lacking(path: NDArray[np.float64], activity: NDArray[np.float64]) -> list[Lacking]:
    """Return the sound that a side lacks: the falls of its path, each at the quietest moment near it."""
    lacking: list[Lacking] = []
    within = round(QUIET_WITHIN / FRAME_SECONDS)
    first = 0.0 if abs(path[0]) < LEAST_STEP else path[0]
    falls = -np.diff(np.minimum.accumulate(path), prepend=first).clip(max=0)
    for frame in np.flatnonzero(falls).tolist():
        sounding = frame + round(path[frame] / FRAME_SECONDS)
        earliest = max(0, sounding - within)
        near = activity[earliest : sounding + within + 1]
        if not len(near):
            continue
        start = (earliest + int(near.argmin())) * FRAME_SECONDS
        if lacking and start <= lacking[-1].start:
            lacking[-1] = Lacking(lacking[-1].start, lacking[-1].seconds + float(falls[frame]))
        else:
            lacking.append(Lacking(start, float(falls[frame])))
    return lacking


# By a leak.


#: Parts in a million between drifts that are tried: half of it is 0.2 ms in a window.
DRIFT_STEP_PPM = 100.0

#: Samples at `LAG_RATE` of a window (8 s), from one to the next, and the most of them, spread over the recording.
LEAK_WINDOW = 32_000
LEAK_HOP = 8_000
MOST_WINDOWS = 32

#: Seconds of the largest delay that is searched, beside what the drift comes to.
LATEST = 1.0

#: Seconds by which the delay of a window may be off the line of a drift.
ON_LINE = 0.01

#: The share of the windows that must be on one line, and their number. Without a leak up to 10 of 30 are, with one
#: at least 27.
SHARE_ON_LINE = 0.5
FEWEST_ON_LINE = 12

#: Seconds that a drift must come to in a recording: by a leak, which tells it to some milliseconds.
LEAST_DRIFT_BY_LEAK = 0.04


def drift_by_leak(left: Pcm, right: Pcm) -> float | None:
    """Return the seconds by which the right side becomes later in a second; None without a clear leak of either.

    Both are 16 kHz int16, shape (n,), and begin within a second of each other.
    """
    levelled_left = levelled_frames(pcm_to_float(left)).samples
    levelled_right = levelled_frames(pcm_to_float(right)).samples
    n_samples = len(levelled_left)
    n_windows = min(MOST_WINDOWS, (n_samples - LEAK_WINDOW) // LEAK_HOP)
    if n_windows < FEWEST_ON_LINE:
        return None
    starts = np.linspace(0, n_samples - LEAK_WINDOW, n_windows).astype(int)
    length = n_samples / LAG_RATE
    n_steps = round(MOST_DRIFT_PPM / DRIFT_STEP_PPM)
    off_line = ON_LINE + DRIFT_STEP_PPM / 1e6 * length / 2
    times = starts / LAG_RATE
    on_times = times
    on_delays = np.zeros(0)
    for step in range(-n_steps, n_steps + 1):
        slope = step * DRIFT_STEP_PPM / 1e6
        residues = _window_delays(levelled_left, levelled_right, starts, slope)
        on_line = _on_line(residues, off_line)
        if on_line.sum() > len(on_delays):
            on_times = times[on_line]
            on_delays = residues[on_line] + slope * on_times
    if len(on_delays) < FEWEST_ON_LINE:
        return None
    slope = _slope(on_times, on_delays)
    on_line = _on_line(on_delays - slope * on_times, ON_LINE)
    is_clear = on_line.sum() >= max(FEWEST_ON_LINE, SHARE_ON_LINE * n_windows)
    # Where half of the recording tells nothing, nobody knows what its clock does there.
    is_throughout = np.ptp(on_times[on_line]) >= length / 2
    return slope if is_clear and is_throughout else None


def _on_line(residues: NDArray[np.float64], off_line: float) -> NDArray[np.bool_]:
    """True for delays within `off_line` seconds of the one that most others are near."""
    near = np.abs(residues[:, np.newaxis] - residues) <= off_line
    return np.asarray(near[near.sum(axis=1).argmax()])


def _window_delays(left: Samples, right: Samples, starts: NDArray[np.intp], slope: float) -> NDArray[np.float64]:
    """Return the seconds by which the right side is later in each window, beside a drift; NaN after its end."""
    furthest = round(LATEST * LAG_RATE)
    delays = np.full(len(starts), np.nan)
    for number, start in enumerate(starts.tolist()):
        positions = (start + np.arange(LEAK_WINDOW)) * (1 + slope)
        first = int(positions[0])
        around = right[first : math.ceil(positions[-1]) + 1]
        if len(around) < LEAK_WINDOW / 2:
            continue
        stretched = np.interp(positions - first, np.arange(len(around)), around, right=0.0).astype(np.float32)
        correlation = phase_correlation(left[start : start + LEAK_WINDOW], stretched, furthest)
        delays[number] = (int(np.abs(correlation).argmax()) - furthest) / LAG_RATE
    return delays
