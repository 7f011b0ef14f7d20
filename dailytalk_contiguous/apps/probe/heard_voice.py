"""The voice of a speaker at a frame: pitch, power and voicing, and how they have moved.

Pitch and power are those of `models.contours`, less the speaker's mean so far, so that no voice is known by
them. The path through the candidates of a pitch looks ahead, so all is known a frame late: of 90 frames of a call
2 were other ones when the next frame was known, and none when the one after that was.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.apps.probe.activity import RATE, Activity
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, Samples
from dailytalk_contiguous.machine.audio import blocks_at
from dailytalk_contiguous.models.contours import track_voice
from dailytalk_contiguous.publish.items import ItemSound

#: Voiced frames of the mean of the last ones (0.15 s).
LAST = 3

#: Voiced frames of the mean of those before the last ones.
BEFORE = 7

#: Voiced frames of the mean of the last half second.
RECENT = 10

#: Frames that are tracked at a time.
_AT_ONCE = 60 * RATE

#: Samples in a frame.
_HOP = ANALYSIS_RATE // RATE

#: Octaves that count as 1.
_OCTAVES = 0.25

#: Decibels that count as 1.
_DECIBELS = 6.0

#: Frames with which the mean so far begins, all of them like the first voiced one.
_PRIOR = 20


def heard_voices(sound: ItemSound, active: Activity, turned: bool = False) -> NDArray[np.float16]:
    """Return the voice features of both sides at each frame of a conversation, shape (frames, 2, 8).

    `turned`: its channels are right and left. Raises BadInput for sound that can't be read, or of one channel.
    """
    pitch = np.zeros((len(active), 2))
    power = np.zeros((len(active), 2))
    loudest_so_far = np.full(2, 1e-4)  # of each channel: what comes must not make a frame silent
    for first, block in _blocks(sound, len(active)):
        peaks = np.abs(block).reshape(-1, _HOP, 2).max(axis=1)
        loudest = np.maximum.accumulate(np.maximum(peaks, loudest_so_far))
        loudest_so_far = loudest[-1]
        for side in (0, 1):
            channel = 1 - side if turned else side
            voice = track_voice(block[:, channel], len(peaks), _HOP, _HOP, loudest[:, channel])
            last = first + len(voice.f0)
            pitch[first:last, side] = voice.f0
            power[first:last, side] = voice.power
    sides = [_voice_features(pitch[:, side], power[:, side], active[:, side]) for side in (0, 1)]
    return np.stack(sides, axis=1)


def _blocks(sound: ItemSound, count: int) -> Iterator[tuple[int, Samples]]:
    """The first frame and the samples of whole frames, `_AT_ONCE` of them at a time."""
    waiting = np.zeros((0, 2), np.float32)
    first = 0
    for block in blocks_at(sound.audio, ANALYSIS_RATE, sound.offset, count / RATE):
        if block.shape[1] != 2:
            raise BadInput(f"its sound has {block.shape[1]} channels, not 2", "build it again")
        waiting = np.concatenate((waiting, block))
        while len(waiting) >= _AT_ONCE * _HOP:
            yield first, waiting[: _AT_ONCE * _HOP]
            waiting = waiting[_AT_ONCE * _HOP :]
            first = first + _AT_ONCE
    whole = min(len(waiting) // _HOP, count - first)
    if whole:
        yield first, waiting[: whole * _HOP]


def _voice_features(
    pitch: NDArray[np.float64], power: NDArray[np.float64], active: Activity
) -> NDArray[np.float16]:
    """Return the voice features of a side at each frame, shape (frames, 8)."""
    voiced = (pitch > 0) & active
    (voiced_frames,) = np.nonzero(voiced)
    octaves = np.log2(pitch[voiced_frames]) / _OCTAVES
    levels = power[voiced_frames] / _DECIBELS
    n_before = np.concatenate(([0], np.cumsum(voiced)[:-1]))  # voiced frames before each one
    voiced_before = np.concatenate(([False], voiced[:-1]))
    columns = [voiced_before, _mean(n_before, np.arange(len(voiced)), RATE)]
    for values in (octaves, levels):
        sums = np.concatenate(([0.0], np.cumsum(values)))
        prior = _PRIOR * float(values[:1].sum())
        so_far = (sums[n_before] + prior) / (n_before + _PRIOR)
        last = _mean(sums, n_before, LAST)
        before_last = _mean(sums, np.maximum(n_before - LAST, 0), BEFORE)
        recent = _mean(sums, n_before, RECENT)
        columns.append(np.where(n_before > 0, last - so_far, 0.0))
        columns.append(np.where(n_before > 0, recent - so_far, 0.0))
        columns.append(np.where(n_before > LAST, last - before_last, 0.0))
    return np.stack(columns, axis=1).clip(-8, 8).astype(np.float16)


def _mean(sums: NDArray[np.float64], counts: NDArray[np.intp], count: int) -> NDArray[np.float64]:
    """The mean of the last `count` of the first `counts` values, or of as many as there are; 0 without any."""
    first = np.maximum(counts - count, 0)
    total = sums[counts] - sums[first]
    return np.asarray(total / np.maximum(counts - first, 1))
