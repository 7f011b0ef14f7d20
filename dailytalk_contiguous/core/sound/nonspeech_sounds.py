"""Sounds that speech activity misses on the kept channel: laughter, breaths, coughs.

A full-duplex model learns from them, so they are a separate kind of event: no text, no tag, never cut. A sound is
a run that stands out of the channel's room tone and is not so soft, against its speech, that it would be the
rustle of a sleeve; a leak of the other speaker is not this speaker's sound. Next to an utterance a short
run is enough: it is the part of a word that speech activity missed.
"""

from collections.abc import Sequence
from itertools import count

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.sound.levels import pcm_levels
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, Pcm
from dailytalk_contiguous.core.spans import TimeSpan, merge_gaps, outside, touched_frames, true_runs

#: Samples of a frame: 10 ms, so that a run of 80 ms differs from one of 60.
FRAME = 160

#: Seconds of a frame.
FRAME_SECONDS = FRAME / ANALYSIS_RATE

#: dB above room tone from which a frame stands out.
ABOVE_TONE_DB = 12.0

#: dB under the speech level down to which a frame stands out.
UNDER_SPEECH_DB = 30.0

#: Seconds that a sound so near to an utterance lasts at least.
SHORTEST_NEAR = 0.02

#: Seconds between two runs that are one sound (the syllables of a laugh).
GAP = 0.1

#: Seconds from an utterance within which a sound moves with it.
JOIN = 0.2

#: Percentile of the levels of quiet frames that is the room tone.
TONE_SHARE = 25

#: Mean square below which there is nothing (−90 dBFS): a gated telephone line is digital zero between words.
NOTHING = 1e-9

#: Seconds by which sums of frames may miss a limit that they meet.
ROUNDING = 1e-6


def sounds_outside_speech(
    channel: Pcm, utterances: Sequence[TimeSpan], leaked: NDArray[np.bool_] | None = None
) -> list[TimeSpan]:
    """Return the starts and ends, in seconds, of a channel's sounds outside its utterances, in order.

    Args:
        channel: 16 kHz int16, shape (n,).
        utterances: starts and ends of its utterances in seconds.
        leaked: 10 ms frames that are the other speaker's leaked voice, or None.
    """
    levels = pcm_levels(channel, FRAME)
    spoken = touched_frames(len(levels), utterances, FRAME_SECONDS)
    if spoken.all():
        return []
    tone = max(float(np.percentile(levels[~spoken], TONE_SHARE)), NOTHING)
    speech = float(levels[spoken].mean()) if spoken.any() else 0.0
    over_tone = tone * 10 ** (ABOVE_TONE_DB / 10)
    under_speech = speech / 10 ** (UNDER_SPEECH_DB / 10)
    loud = (levels >= max(over_tone, under_speech)) & ~spoken
    if leaked is not None:
        loud &= ~leaked[: len(loud)]
    total = len(channel) / ANALYSIS_RATE
    runs: list[TimeSpan] = []
    for first, last in true_runs(loud).tolist():
        runs.append((first * FRAME_SECONDS, min(last * FRAME_SECONDS, total)))
    sounds = outside(merge_gaps(runs, GAP), utterances)
    edges = np.array(utterances, np.float64).reshape(-1, 2)
    return [sound for sound in sounds if _is_long_enough(sound, loud, edges)]


#: Seconds that a sound lasts at least; a shorter one is a click, or two.
SHORTEST = 0.08

#: Seconds from an utterance within which a shorter sound is enough: the release of a plosive 70 ms before the
#: vowel, the end of a breath.
NEAR = 0.15


def _is_long_enough(run: TimeSpan, loud: NDArray[np.bool_], utterances: NDArray[np.float64]) -> bool:
    """Whether a run is long enough for a sound: next to an utterance it is probably a part of it."""
    start, end = run
    first_frame = round(start / FRAME_SECONDS)
    last_frame = round(end / FRAME_SECONDS)
    # Two clicks do not become a sound by the quiet between them.
    loud_seconds = float(np.count_nonzero(loud[first_frame:last_frame])) * FRAME_SECONDS
    seconds = min(end - start, loud_seconds)
    if seconds > SHORTEST + ROUNDING:
        return True
    gaps = np.maximum(utterances[:, 0] - end, start - utterances[:, 1])
    is_near = bool((gaps <= NEAR + ROUNDING).any())
    return seconds >= SHORTEST_NEAR - ROUNDING and is_near


def sound_blocks(
    utterances: Sequence[tuple[float, float, int]], sounds: Sequence[TimeSpan]
) -> tuple[list[int], list[int]]:
    """Number the blocks of events of a kept channel that move as one: of its utterances, and of its sounds.

    `utterances` are (start, end, run) in order: pieces of one run share a block; an utterance with a negative run
    (it was not cut) has its own. A sound within `JOIN` seconds of an utterance shares its block; others have
    their own. No block is negative.
    """
    runs = [run for _, _, run in utterances]
    free = count(max([-1, *runs]) + 1)
    numbers = [run if run >= 0 else next(free) for run in runs]
    blocks_of_sounds: list[int] = []
    for start, end in sounds:
        near: list[tuple[float, int]] = []
        for (first, last, _), number in zip(utterances, numbers, strict=True):
            distance = max(first - end, start - last)
            if distance <= JOIN:
                near.append((max(distance, 0.0), number))
        if near:
            _, number = min(near)
        else:
            number = next(free)
        blocks_of_sounds.append(number)
    return numbers, blocks_of_sounds
