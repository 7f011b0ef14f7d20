"""Levels of a channel in short frames, as mean squares."""

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.audio import Pcm

#: Frames of int16 samples that are held as floats at once.
FRAMES_AT_ONCE = 100


def frame_levels(samples: NDArray[np.float32], frame_samples: int) -> NDArray[np.float32]:
    """Mean square of each frame of a channel, shape (ceil(n / frame_samples),); the last is zero-padded."""
    lacking = -len(samples) % frame_samples
    frames = np.pad(samples, (0, lacking)).reshape(-1, frame_samples)
    energies = np.einsum("ij,ij->i", frames, frames)
    return np.asarray(energies / frame_samples, np.float32)


def pcm_levels(channel: Pcm, frame_samples: int) -> NDArray[np.float32]:
    """`frame_levels` of int16 samples, of which few are held as floats; full scale is 1."""
    step = FRAMES_AT_ONCE * frame_samples
    levels = [np.zeros(0, np.float32)]
    for start in range(0, len(channel), step):
        part = channel[start : start + step].astype(np.float32)
        levels.append(frame_levels(part / np.float32(32768), frame_samples))
    return np.concatenate(levels)
