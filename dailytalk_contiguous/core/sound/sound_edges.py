"""The edges of the sound of an utterance.

Speech activity ends late (it waits for the voice to come back, and is padded) and may begin in the middle of a
soft consonant. That is good for a recogniser, but not for the length of a gap. The edges are those of the sound:
from the first to the last moment that is over the room and not far under the utterance's loudest one.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.sound.levels import pcm_levels
from dailytalk_contiguous.core.sound.nonspeech_sounds import (
    ABOVE_TONE_DB,
    GAP,
    JOIN,
    NOTHING,
    ROUNDING,
    SHORTEST_NEAR,
)
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, Pcm
from dailytalk_contiguous.core.spans import TimeSpan, merge_gaps, touched_frames, true_runs

#: Samples of a step: edges are known to 5 ms. Levels are those of two steps, which a low voice's period fits into.
STEP = 80

#: Seconds of a step.
STEP_SECONDS = STEP / ANALYSIS_RATE

#: dB under the loudest moment of an utterance from which nothing of it counts: what people trim speech at.
UNDER_PEAK_DB = 40.0

#: Seconds of the beginning of an utterance that a room hides for each dB that it is over what counts: the median
#: of phrases that nine readers say in silence, for 8 dB.
RISE = 0.0003

#: Seconds of the end of an utterance that it hides for each dB, measured in the same way.
FADE = 0.001


def sounding(
    channel: Pcm,
    utterances: Sequence[TimeSpan],
    leaked: NDArray[np.bool_] | None = None,
) -> list[TimeSpan]:
    """Return start and end of each utterance's sound in seconds; its own where nothing of it is over the room.

    Args:
        channel: 16 kHz int16, shape (n,).
        utterances: starts and ends of its utterances in seconds, in order and without overlap.
        leaked: steps of 5 ms that are the other speaker's leaked voice, or None.
    """
    levels, over_room = _levels(channel, utterances, leaked)
    edges: list[TimeSpan] = []
    previous_ends = [0.0, *(end for _, end in utterances)]
    next_starts = [*(start for start, _ in utterances[1:]), math.inf]
    for (start, end), previous_end, next_start in zip(utterances, previous_ends, next_starts, strict=False):
        earliest = max(start - JOIN, previous_end)
        latest = min(end + JOIN, next_start)
        runs, hidden_db = _loud_runs(levels, over_room, (start, end), (earliest, latest))
        runs_inside = [run for run in runs if run[0] < end and run[1] > start]
        if runs_inside:
            begins, ends = _around(runs_inside, hidden_db)
            edges.append((max(earliest, begins), min(ends, latest)))
        else:
            edges.append((start, end))
    return edges


def _levels(
    channel: Pcm, utterances: Sequence[TimeSpan], leaked: NDArray[np.bool_] | None
) -> tuple[NDArray[np.floating], float]:
    """Return the level of each step in dB, and that from which sound is no part of the room; as in `sounding`."""
    steps = pcm_levels(channel, STEP)
    if leaked is not None:
        steps = np.where(leaked[: len(steps)], np.float32(0), steps)
    following = np.append(steps[1:], 0)
    levels = 10 * np.log10(np.maximum((steps + following) / 2, NOTHING))
    quiet = ~touched_frames(len(levels), utterances, STEP_SECONDS)
    if leaked is not None:
        quiet &= ~leaked[: len(levels)]
    return levels, _over_room(levels[quiet])


#: Standard deviations over a steady room from which sound is no chance.
DEVIATIONS = 2.5

#: Percentiles of the levels of quiet moments by which a room's level and its deviation are known. They are of the
#: softest moments, so that it does not matter how much of what speech activity left out is sound.
ROOM_SHARES = (5, 25)

#: Where these percentiles are in a normal distribution, in standard deviations.
ROOM_PLACES = (-1.645, -0.674)

#: dBFS of a room of which there is no quiet moment.
UNKNOWN_ROOM_DB = -90.0


def _over_room(quiet_levels: NDArray[np.floating]) -> float:
    """Return the level in dB from which sound is no part of the room, by the levels of quiet moments."""
    low = UNKNOWN_ROOM_DB
    high = UNKNOWN_ROOM_DB
    if len(quiet_levels):
        low, high = np.percentile(quiet_levels, ROOM_SHARES)
    low_place, high_place = ROOM_PLACES
    deviation = (high - low) / (high_place - low_place)
    return high + min((DEVIATIONS - high_place) * deviation, ABOVE_TONE_DB)


def _loud_runs(
    levels: NDArray[np.floating], over_room: float, utterance: TimeSpan, searched: TimeSpan
) -> tuple[list[TimeSpan], float]:
    """Return the spans of an utterance's sound within `searched`, in seconds, and the dB that a room hides."""
    start, end = utterance
    loudest = levels[int(start / STEP_SECONDS) : math.ceil(end / STEP_SECONDS)].max()
    under_peak = loudest - UNDER_PEAK_DB
    floor = max(over_room, under_peak)
    earliest, latest = searched
    total = len(levels) * STEP_SECONDS
    first = int(earliest / STEP_SECONDS)
    last = math.ceil(min(latest, total) / STEP_SECONDS)
    runs: list[TimeSpan] = []
    for begin, finish in true_runs(levels[first:last] >= floor).tolist():
        seconds = (finish - begin + 1) * STEP_SECONDS
        if seconds >= SHORTEST_NEAR - ROUNDING:
            run_start = (first + begin + 0.5) * STEP_SECONDS
            run_end = (first + finish + 0.5) * STEP_SECONDS
            runs.append((run_start, run_end))
    return merge_gaps(runs, GAP), float(floor - under_peak)


def _around(runs: Sequence[TimeSpan], hidden_db: float) -> TimeSpan:
    """Return the span from the first run to the last, extended by the sound that a room hides at both ends."""
    return runs[0][0] - RISE * hidden_db, runs[-1][1] + FADE * hidden_db


#: Probability of speech from which a frame before a start belongs to it, if it sounds: an "h", an "s" or a softly
#: begun word has little, and a breath less. Set on four speakers of TIMIT, and reported on four others, on planted
#: phrases and on readers (docs/measures.md).
ONSET = 0.02

#: Seconds that an onset lasts at most.
LONGEST_ONSET = 0.3


def with_onsets(
    utterances: Sequence[TimeSpan],
    edges: Sequence[TimeSpan],
    probabilities: NDArray[np.float32],
    frame_seconds: float,
) -> list[TimeSpan]:
    """Begin utterances where their sound does, if speech activity has heard something of it.

    Args:
        utterances: starts and ends in seconds, in order and without overlap.
        edges: start and end of the sound of each of them (`sounding`).
        probabilities: probability of speech in each frame of the channel.
        frame_seconds: length of a frame.
    """
    begun: list[TimeSpan] = []
    previous_end = 0.0
    for (start, end), (sounds_from, _) in zip(utterances, edges, strict=True):
        earliest = max(start - LONGEST_ONSET, previous_end)
        frame = math.floor(start / frame_seconds)
        while frame > 0 and probabilities[frame - 1] >= ONSET:
            frame -= 1
        begins = max(frame * frame_seconds, sounds_from, earliest)
        begun.append((min(start, begins), end))
        previous_end = end
    return begun


#: Seconds of a part of an utterance at least: two steps, whose level is measured.
SHORTEST_PART = 2 * STEP_SECONDS


def without_pauses(
    channel: Pcm, utterances: Sequence[TimeSpan], words: Sequence[TimeSpan], pause: float
) -> list[TimeSpan]:
    """Divide utterances at the pauses inside them: spans in seconds, in order, at least `pause` apart.

    A pause has neither a word nor a sound: words alone end too early or too late, and some spoken ones are not
    written.

    Args:
        channel: 16 kHz int16, shape (n,).
        utterances: starts and ends of their sound in seconds, in any order.
        words: starts and ends of the words in them, in seconds, by start.
        pause: shortest pause in seconds.
    """
    total = len(channel) / ANALYSIS_RATE
    spans = []
    for start, end in merge_gaps(sorted(utterances), 0.0):
        span_start = max(0.0, start)
        span_end = min(end, total)
        if span_end - span_start >= SHORTEST_PART:
            spans.append((span_start, span_end))
    parts_of_each: list[list[TimeSpan]] = []
    all_parts: list[TimeSpan] = []
    for span, inside in zip(spans, _words_of_each(spans, words), strict=True):
        parts = _parts_with_words(span, inside, pause)
        parts_of_each.append(parts)
        all_parts += parts
    if not all_parts:
        return []
    levels, over_room = _levels(channel, all_parts, None)
    speech: list[TimeSpan] = []
    for span, parts in zip(spans, parts_of_each, strict=True):
        speech += _sounding_parts(levels, over_room, span, parts)
    return merge_gaps(speech, pause)


def _words_of_each(spans: Sequence[TimeSpan], words: Sequence[TimeSpan]) -> list[list[TimeSpan]]:
    """Return the words of each utterance: those whose middle is in it."""
    starts = [start for start, _ in spans]
    words_of_each: list[list[TimeSpan]] = [[] for _ in spans]
    for word in words:
        middle = sum(word) / 2
        index = bisect_right(starts, middle) - 1
        if index >= 0 and middle < spans[index][1]:
            words_of_each[index].append(word)
    return words_of_each


def _parts_with_words(span: TimeSpan, words: Sequence[TimeSpan], pause: float) -> list[TimeSpan]:
    """Divide an utterance where its words are at least `pause` seconds apart."""
    start, end = span
    parts = []
    part_start = start
    for (_, pause_start), (pause_end, _) in pairwise(words):
        is_long_enough = pause_start - part_start >= SHORTEST_PART and end - pause_end >= SHORTEST_PART
        if pause_end - pause_start >= pause and is_long_enough:
            parts.append((part_start, pause_start))
            part_start = pause_end
    parts.append((part_start, end))
    return parts


def _sounding_parts(
    levels: NDArray[np.floating],
    over_room: float,
    utterance: TimeSpan,
    parts: Sequence[TimeSpan],
) -> list[TimeSpan]:
    """Return the spans of sound of an utterance's parts with words, and of other sounds between them, in order."""
    if len(parts) == 1:
        return [utterance]
    start, end = utterance
    runs, hidden_db = _loud_runs(levels, over_room, utterance, utterance)
    speech: list[TimeSpan] = []
    others = set(runs)
    for part_start, part_end in parts:
        part_runs = [run for run in runs if run[0] < part_end and run[1] > part_start]
        others.difference_update(part_runs)
        if part_runs:
            speech.append(_around(part_runs, hidden_db))
        else:
            speech.append((part_start, part_end))
    speech += [_around([run], hidden_db) for run in others]
    merged = merge_gaps(sorted(speech), 0.0)
    merged[0] = (start, merged[0][1])
    merged[-1] = (merged[-1][0], end)
    return merged
