"""Synthetic vowels whose pitch and formants are known, and the formants that can be measured in a sound."""

from collections.abc import Sequence

import numpy as np
import scipy.signal
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
    pitch = f0 * 0.75 * (1.35 / 0.75) ** t
    phase = np.cumsum(pitch) / RATE
    sound = np.diff(np.floor(phase), prepend=0.0)
    sound = scipy.signal.lfilter([1], [1, -0.97], sound)
    for centre, width in formants:
        radius = np.exp(-np.pi * width / RATE)
        angle = 2 * np.pi * centre / RATE
        resonance = [1, -2 * radius * np.cos(angle), radius**2]
        sound = scipy.signal.lfilter([1], resonance, sound)
    peak = np.abs(sound).max()
    return (0.3 * sound / peak).astype(np.float32)
