"""What is heard of a speaker at a frame: pitch, power and voicing, and how they have moved.

Pitch and power are those of `core.contours`, less the speaker's mean so far, so that no voice is known by them.
The path through the candidates of a pitch looks ahead, so all is known a frame late: of 90 frames of a call 2 were
other ones when the next frame was known, and none when the one after that was.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.apps.probe.activity import RATE, Activity
from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples, blocks_at
from dailytalk_contiguous.core.contours import track_voice
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.publish.items import ItemSound

#: Voiced frames of which a mean is taken: the last ones (0.15 s), those before them, and the last half second.
LAST = 3
BEFORE = 7
RECENT = 10

#: Frames that are tracked at a time, and samples in each.
_AT_ONCE = 60 * RATE
_HOP = ANALYSIS_RATE // RATE

#: Octaves and decibels that count as 1, and frames that a mean so far counts as having had before.
_OCTAVES = 0.25
_DECIBELS = 6.0
_PRIOR = 20


def heard_voices(sound: ItemSound, active: Activity, turned: bool = False) -> NDArray[np.float16]:
    """What is heard of both sides at each frame of a conversation, shape (frames, 2, 8).

    `turned`: its channels are right and left. Raises BadInput for sound that can't be read, or of one channel.
    """
    tracks = [(np.zeros(len(active)), np.zeros(len(active))) for _ in (0, 1)]
    so_far = np.full(2, 1e-4)  # the loudest sample of each channel: what comes must not make a frame silent
    for first, block in _blocks(sound, len(active)):
        peaks = np.abs(block).reshape(-1, _HOP, 2).max(axis=1)
        loudest = np.maximum.accumulate(np.maximum(peaks, so_far))
        so_far = loudest[-1]
        for side, (pitch, power) in enumerate(tracks):
            at = 1 - side if turned else side
            voice = track_voice(block[:, at], len(peaks), _HOP, _HOP, loudest[:, at])
            pitch[first : first + len(voice.f0)] = voice.f0
            power[first : first + len(voice.f0)] = voice.power
    return np.stack([_heard(*track, active[:, side]) for side, track in enumerate(tracks)], axis=1)


def _blocks(sound: ItemSound, count: int) -> Iterator[tuple[int, Samples]]:
    """The first frame and the samples of whole frames, `_AT_ONCE` of them at a time."""
    held = np.zeros((0, 2), np.float32)
    first = 0
    for block in blocks_at(sound.audio, ANALYSIS_RATE, sound.offset, count / RATE):
        if block.shape[1] != 2:
            raise BadInput(f"its sound has {block.shape[1]} channels, not 2", "build it again")
        held = np.concatenate((held, block))
        while len(held) >= _AT_ONCE * _HOP:
            yield first, held[: _AT_ONCE * _HOP]
            held = held[_AT_ONCE * _HOP :]
            first = first + _AT_ONCE
    whole = min(len(held) // _HOP, count - first)
    if whole:
        yield first, held[: whole * _HOP]


def _heard(pitch: NDArray[np.float64], power: NDArray[np.float64], active: Activity) -> NDArray[np.float16]:
    voiced = (pitch > 0) & active
    (at,) = np.nonzero(voiced)
    octaves = np.log2(pitch[at]) / _OCTAVES
    levels = power[at] / _DECIBELS
    known = np.concatenate(([0], np.cumsum(voiced)[:-1]))  # voiced frames before this one
    columns = [np.concatenate(([False], voiced[:-1])), _mean(known, np.arange(len(voiced)), RATE)]
    for values in (octaves, levels):
        sums = np.concatenate(([0.0], np.cumsum(values)))
        own = (sums[known] + _PRIOR * float(values[:1].sum())) / (known + _PRIOR)
        last = _mean(sums, known, LAST)
        earlier = _mean(sums, np.maximum(known - LAST, 0), BEFORE)
        columns += [
            np.where(known > 0, last - own, 0.0),
            np.where(known > 0, _mean(sums, known, RECENT) - own, 0.0),
            np.where(known > LAST, last - earlier, 0.0),
        ]
    return np.stack(columns, axis=1).clip(-8, 8).astype(np.float16)


def _mean(sums: NDArray[np.float64], at: NDArray[np.intp], count: int) -> NDArray[np.float64]:
    """The mean of the `count` values before each place, or of as many as there are; 0 where there are none."""
    first = np.maximum(at - count, 0)
    return np.asarray((sums[at] - sums[first]) / np.maximum(at - first, 1))
