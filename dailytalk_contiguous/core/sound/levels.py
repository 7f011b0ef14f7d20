"""Levels of a channel in short frames, as mean squares."""

import math

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.sound.samples import Pcm, to_pcm

#: Frames of int16 samples that are held as floats at once.
FRAMES_AT_ONCE = 100


def frame_levels(samples: NDArray[np.float32], frame_samples: int) -> NDArray[np.float32]:
    """Mean square of each frame of a channel, shape (ceil(n / frame_samples),); the last is zero-padded."""
    lacking = -len(samples) % frame_samples
    frames = np.pad(samples, (0, lacking)).reshape(-1, frame_samples)
    energies = np.einsum("ij,ij->i", frames, frames)
    return np.asarray(energies / frame_samples, np.float32)


def pcm_levels(channel: Pcm, frame_samples: int, offset: float = 0.0) -> NDArray[np.float32]:
    """Return `frame_levels` of int16 samples without an offset, holding few of them as floats; full scale is 1."""
    step = FRAMES_AT_ONCE * frame_samples
    levels = [np.zeros(0, np.float32)]
    for start in range(0, len(channel), step):
        centred = channel[start : start + step] - np.float32(offset)
        levels.append(frame_levels(centred / np.float32(32768), frame_samples))
    return np.concatenate(levels)


def loud_db(levels_db: NDArray[np.floating], reach_db: float = 60.0) -> float:
    """Return the level in dB of loud frames: the 95th percentile of those within `reach_db` of the loudest."""
    is_near = levels_db > levels_db.max() - reach_db
    return float(np.percentile(levels_db[is_near], 95))


#: Samples of a frame whose mean is measured (64 ms at 16 kHz).
OFFSET_FRAME = 1024


def offset_of(channel: NDArray[np.number]) -> float:
    """Return the constant offset of a channel, in the unit of its samples: the usual mean of a frame.

    A lopsided voice gives the whole channel another mean, but not its pauses.
    """
    n_frames = len(channel) // OFFSET_FRAME
    if not n_frames:
        return 0.0
    frames = channel[: n_frames * OFFSET_FRAME].reshape(n_frames, OFFSET_FRAME)
    return float(np.median(frames.mean(axis=1, dtype=np.float64)))


#: dB under the level of speech down to which a frame is part of it, as in method B of ITU-T P.56.
ACTIVE_DB = 15.9

#: Percentile of the levels of these frames that is the level of speech: a shout is not all of it.
SPEECH_SHARE = 75


def speech_level(levels: NDArray[np.floating]) -> float:
    """Mean square of a speaker's usual speech, by the levels of all frames of a channel; 0 for silence.

    Frames count that are at most `ACTIVE_DB` under the mean of all that count (ITU-T P.56, "Objective measurement
    of active speech level", method B), so that it makes no difference how much of the channel is speech.

    >>> speech_level(np.array([0.01, 0.01, 1e-6, 1e-6, 1e-6]))
    0.01
    """
    active = levels[levels > 0]
    while len(active):
        least = float(np.mean(active)) * 10 ** (-ACTIVE_DB / 10)
        is_active = active >= least
        if is_active.all():
            return float(np.percentile(active, SPEECH_SHARE))
        active = active[is_active]
    return 0.0


#: dBFS of a speaker's usual speech in what is heard, by `speech_level`: the nominal level of tests of telephones
#: (ITU-T P.830). From -28 to -18 nearly the same is heard of planted phrases.
HEARD_DBFS = -26.0

#: dB by which a channel is raised or lowered for that at most.
MOST_GAIN_DB = 40.0


def gain_for(levels: NDArray[np.floating]) -> np.float32:
    """Return the factor that brings a channel to the level at which it is heard, by its frames' mean squares.

    Speech activity is less sure of soft speech, and its result must not depend on the gain of a file.
    """
    level = speech_level(levels)
    if level == 0:
        return np.float32(1)
    gain_db = HEARD_DBFS - 10 * math.log10(level)
    bounded_db = min(max(gain_db, -MOST_GAIN_DB), MOST_GAIN_DB)
    return np.float32(10 ** (bounded_db / 20))


#: Samples of a frame by which the level of speech is known (32 ms at 16 kHz).
SPEECH_FRAME = 512


def at_speech_level(channel: Pcm) -> Pcm:
    """Bring a channel to the level at which it is heard, without its offset, holding few samples as floats."""
    offset = offset_of(channel)
    gain = gain_for(pcm_levels(channel, SPEECH_FRAME, offset))
    heard = np.empty(len(channel), np.int16)
    step = FRAMES_AT_ONCE * SPEECH_FRAME
    for start in range(0, len(channel), step):
        centred = channel[start : start + step] - np.float32(offset)
        heard[start : start + step] = to_pcm(centred / np.float32(32768) * gain)
    return heard
