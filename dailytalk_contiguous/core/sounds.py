"""What speech activity misses on the kept channel: laughter, breaths, coughs.

A full-duplex model learns from them, so they are events of their own kind: no text, no tag, never cut. A sound is
a run that stands out of the channel's room tone and is not so soft, against its speech, that it would be the
rustle of a sleeve; what leaked in from the other speaker is not his sound. Next to an utterance a short run is
enough: what speech activity missed of a word.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Pcm
from dailytalk_contiguous.core.spans import frame_levels, merge_gaps

#: Samples of a frame: 10 ms, so that a run of 80 ms is told from one of 60.
FRAME = 160
FRAME_SECONDS = FRAME / ANALYSIS_RATE

#: Seconds that stand out; less is a click, or two. dB above room tone; dB under the speech level.
SHORTEST, ABOVE_TONE_DB, UNDER_SPEECH_DB = 0.08, 12.0, 30.0

#: Seconds from an utterance within which less is enough, and how much: the release of a plosive 70 ms before the
#: vowel, the end of a breath.
NEAR, SHORTEST_NEAR = 0.15, 0.02

#: Seconds between two runs that are one sound (the syllables of a laugh), and from an utterance that it joins.
GAP, JOIN = 0.1, 0.2

#: Share of the quiet frames that are taken for room tone: the softest.
TONE_SHARE = 25

#: Mean square below which there is nothing (−90 dBFS): a gated telephone line is digital zero between words.
NOTHING = 1e-9


def find_sounds(
    channel: Pcm, utterances: Sequence[tuple[float, float]], leaked: NDArray[np.bool_] | None = None
) -> list[tuple[float, float]]:
    """Starts and ends, in seconds, of the sounds of a channel outside its utterances, in order.

    Args:
        channel: 16 kHz int16, shape (n,).
        utterances: starts and ends of its utterances in seconds.
        leaked: 10 ms frames that are the other speaker's leaked voice, or None.
    """
    levels = np.concatenate(
        [np.zeros(0, np.float32)]
        + [
            frame_levels(channel[start : start + 100 * FRAME].astype(np.float32) / np.float32(32768), FRAME)
            for start in range(0, len(channel), 100 * FRAME)
        ]
    )
    spoken = spoken_frames(len(levels), utterances)
    if not spoken.any() or spoken.all():
        return []
    tone = max(float(np.percentile(levels[~spoken], TONE_SHARE)), NOTHING)
    speech = float(levels[spoken].mean())
    floor = max(tone * 10 ** (ABOVE_TONE_DB / 10), speech / 10 ** (UNDER_SPEECH_DB / 10))
    loud = (levels >= floor) & ~spoken
    if leaked is not None:
        loud &= ~leaked[: len(loud)]
    edges = np.flatnonzero(np.diff(np.concatenate(([0], loud.astype(np.int8), [0]))))
    runs = [
        (start * FRAME_SECONDS, min(end * FRAME_SECONDS, len(channel) / ANALYSIS_RATE))
        for start, end in edges.reshape(-1, 2).tolist()
    ]
    found = _outside(merge_gaps(runs, GAP), utterances)
    return [run for run in found if _lasts(run, min(run[1] - run[0], _loud_seconds(loud, run)), utterances)]


def spoken_frames(count: int, utterances: Sequence[tuple[float, float]]) -> NDArray[np.bool_]:
    """Which of `count` frames of 10 ms touch an utterance."""
    spoken = np.zeros(count, bool)
    for start, end in utterances:
        spoken[int(start / FRAME_SECONDS) : int(np.ceil(end / FRAME_SECONDS))] = True
    return spoken


def blocks(
    utterances: Sequence[tuple[float, float, int]], sounds: Sequence[tuple[float, float]]
) -> tuple[list[int], list[int]]:
    """Which events of a kept channel move as one: block numbers of the utterances, and of the sounds.

    `utterances` are (start, end, run) in order: pieces of one run share a block; an utterance with a negative run
    (nobody cut it) has one of its own. A sound within `JOIN` seconds of an utterance shares its block; others have
    one of their own. No block is negative.
    """
    free = max([-1, *(run for _, _, run in utterances)]) + 1
    numbers: list[int] = []
    for _, _, run in utterances:
        numbers.append(run if run >= 0 else free)
        free += run < 0
    own: list[int] = []
    for start, end in sounds:
        near = [
            (max(first - end, start - last, 0.0), number)
            for (first, last, _), number in zip(utterances, numbers, strict=True)
            if max(first - end, start - last) <= JOIN
        ]
        if near:
            own.append(min(near)[1])
        else:
            own.append(free)
            free += 1
    return numbers, own


def _lasts(run: tuple[float, float], seconds: float, utterances: Sequence[tuple[float, float]]) -> bool:
    """Whether a run is long enough for a sound: next to an utterance it is probably a part of it."""
    if seconds > SHORTEST + 1e-6:
        return True
    away = min(max(first - run[1], run[0] - last) for first, last in utterances)
    return seconds >= SHORTEST_NEAR - 1e-6 and away <= NEAR + 1e-6


def _loud_seconds(loud: NDArray[np.bool_], run: tuple[float, float]) -> float:
    """Seconds of a run that stand out: two clicks do not become a sound by the quiet between them."""
    first, last = round(run[0] / FRAME_SECONDS), round(run[1] / FRAME_SECONDS)
    return float(np.count_nonzero(loud[first:last])) * FRAME_SECONDS


def _outside(
    spans: Sequence[tuple[float, float]], utterances: Sequence[tuple[float, float]]
) -> list[tuple[float, float]]:
    """The parts of spans that no utterance covers (merging may have bridged a short one)."""
    parts: list[tuple[float, float]] = []
    for start, end in spans:
        at = start
        for first, last in sorted(utterances):
            if last <= at or first >= end:
                continue
            if first > at:
                parts.append((at, first))
            at = max(at, last)
        if at < end:
            parts.append((at, end))
    return parts
