"""Noise and rooms around a clip: the changes that are plain arithmetic on samples.

Noise is set against the speech itself and not against the clip, whose pauses would make it louder. A room keeps
the length of a clip and the time of its direct sound, so that no word moves. Pitch and rate need more than
arithmetic
to leave the formants where they are: `models.praat`.
"""

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.audio import Samples
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.spans import frame_levels

#: Seconds of a frame of energy; a frame counts as speech down to this many dB under the loudest.
FRAME, BELOW_LOUDEST = 0.02, 30.0

#: Hz under which noise has nothing: brown noise would be mostly a slow sway of the membrane.
LOWEST_NOISE = 40.0

#: How fast power falls with frequency: 1/f to this.
SLOPES = {"white": 0.0, "pink": 1.0, "brown": 2.0}

#: Seconds in which what a room still holds fades out at the end of the clip.
FADE = 0.03


def speech_power(samples: Samples, sample_rate: int) -> float:
    """Mean square of the frames of one channel, shape (n,), at most 30 dB under the loudest; 0 if silent."""
    levels = frame_levels(samples, round(FRAME * sample_rate)).astype(np.float64)
    loudest = float(levels.max(initial=0.0))
    return float(levels[levels >= loudest * 10 ** (-BELOW_LOUDEST / 10)].mean()) if loudest > 0 else 0.0


def coloured_noise(count: int, sample_rate: int, colour: str, generator: np.random.Generator) -> Samples:
    """`count` samples of noise of a colour of `SLOPES`, without what lies under 40 Hz; its level is arbitrary."""
    from scipy.fft import irfft, next_fast_len, rfft, rfftfreq

    size = next_fast_len(count, real=True)
    frequency = rfftfreq(size, 1 / sample_rate)
    shape: NDArray[np.float64] = np.maximum(frequency, LOWEST_NOISE) ** (-SLOPES[colour] / 2)
    shape /= np.sqrt(np.mean(shape**2))
    shape[frequency < LOWEST_NOISE] = 0.0
    noise = irfft(rfft(generator.standard_normal(size)) * shape, size)[:count]
    return np.asarray(noise, np.float32)


def with_noise(samples: Samples, sample_rate: int, noise: Samples, snr_db: float) -> Samples:
    """One channel with `noise`, of the same length, so soft that speech has `snr_db` more power than it.

    Raises BadInput where either is silent.
    """
    if noise.shape != samples.shape:
        raise ValueError(f"noise of shape {noise.shape} does not fit samples of shape {samples.shape}")
    speech, power = speech_power(samples, sample_rate), float(np.mean(np.square(noise, dtype=np.float64)))
    if not speech:
        raise BadInput("it holds no sound that noise could be set against", "leave it out")
    if not power:
        raise BadInput("the recording of noise is silent", "take it out of the folder of noises")
    return samples + noise * np.float32(np.sqrt(speech / power * 10 ** (-snr_db / 10)))


def in_room(samples: Samples, sample_rate: int, response: Samples) -> Samples:
    """One channel as heard through an impulse response that begins with the direct sound; of the same length."""
    from scipy.signal import fftconvolve

    heard = np.asarray(fftconvolve(samples, response)[: len(samples)], np.float32)
    width = min(round(FADE * sample_rate), len(heard))
    if width:
        heard[len(heard) - width :] *= np.linspace(1, 0, width, dtype=np.float32)
    return heard
