"""Synthetic vowels whose pitch and formants are known, and the formants that can be measured in a sound."""

from collections.abc import Sequence

import numpy as np
import scipy.signal
import soxr
from numpy.typing import NDArray

RATE = 24000

Formants = Sequence[tuple[float, float]]

#: Hz: an open vowel, centres and bandwidths of its formants.
OPEN = ((700.0, 80.0), (1220.0, 90.0), (2600.0, 120.0), (3400.0, 150.0))


def vowel(f0: float = 110.0, seconds: float = 1.0, formants: Formants = OPEN) -> NDArray[np.float32]:
    """Pulses through one resonance a formant, 24 kHz, peak 0.3.

    Pitch glides from 0.75 to 1.35 times `f0` (its geometric mean), so that harmonics pass over every formant: on a
    level tone, what is measured as a formant is drawn to the nearest harmonic by up to 8 %, here by 1.3 % at most.
    """
    t = np.linspace(0, 1, round(RATE * seconds), endpoint=False)
    phase = np.cumsum(f0 * 0.75 * (1.35 / 0.75) ** t) / RATE
    sound = np.diff(np.floor(phase), prepend=0.0)
    sound = scipy.signal.lfilter([1], [1, -0.97], sound)
    for centre, width in formants:
        radius = np.exp(-np.pi * width / RATE)
        sound = scipy.signal.lfilter([1], [1, -2 * radius * np.cos(2 * np.pi * centre / RATE), radius**2], sound)
    return (0.3 * sound / np.abs(sound).max()).astype(np.float32)


def formants_of(samples: NDArray[np.float32], count: int = 4) -> NDArray[np.float64]:
    """Means over 50 ms frames of the first formants in Hz: roots of a predictor of order 10 at 10 kHz."""
    sound = soxr.resample(samples, RATE, 10000)
    frames = np.lib.stride_tricks.sliding_window_view(sound, 500)[1000 : len(sound) - 1000 : 100] * np.hamming(500)
    frames[:, 1:] -= 0.97 * frames[:, :-1]
    found = []
    for predictor in predictors(frames, order=10):
        roots = np.roots(predictor)
        roots = roots[roots.imag > 0]
        hertz, width = np.angle(roots) * 5000 / np.pi, -np.log(np.abs(roots)) * 10000 / np.pi
        hertz = np.sort(hertz[(width < 500) & (hertz > 200)])
        if len(hertz) >= count:
            found.append(hertz[:count])
    return np.asarray(np.mean(found, axis=0))


def predictors(frames: NDArray[np.float64], order: int) -> NDArray[np.float64]:
    """Linear predictors of frames by Burg's method (Marple 1980), as of `librosa.lpc`: (frames, order + 1).

    librosa compiles its own for twenty seconds.
    """
    found = np.eye(1, order + 1).repeat(len(frames), axis=0)
    forward, backward = frames[:, 1:], frames[:, :-1]
    for place in range(1, order + 1):
        power = (forward**2 + backward**2).sum(axis=1)
        reflected = (-2 * (forward * backward).sum(axis=1) / power)[:, None]
        found[:, : place + 1] += reflected * found[:, place::-1]
        forward, backward = (forward + reflected * backward)[:, 1:], (backward + reflected * forward)[:, :-1]
    return found
