"""Light noise reduction of a clip: spectral gating by noisereduce, held back.

A performance with a little noise is worth more than one with the warble of a gate, so at most `MOST_DB` are taken
off, and what counts as noise is learnt from the clip's own quiet stretches. The library (MIT licence, no weights)
is an extra: only who asks for it needs it.
"""

import importlib
import importlib.metadata
import math
from typing import Any

import numpy as np

from dailytalk_contiguous.core.audio import Samples
from dailytalk_contiguous.core.errors import DailytalkError

WHEEL = "noisereduce"
REMEDY = 'pip install "dailytalk-contiguous[denoise]"'

#: dB that at most are taken off at any frequency.
MOST_DB = 10.0

#: Seconds of noise from which a spectrum can be learnt (five windows), and of a window (as in noisereduce's advice
#: for speech), and of the silence that is put around a clip for the windows at its edges.
LEAST_NOISE, WINDOW, AROUND = 0.1, 0.04, 0.1

#: Hz over which the gate is smoothed. The library's 500 Hz takes harmonics down with the noise between them: on a
#: line of the bundled conversations 29 dB over white noise it left more error than it took, 100 Hz takes 3 dB off.
SMOOTHED_HZ = 100


def installed_version() -> str:
    """The version of the library. Raises DailytalkError where it is not installed."""
    try:
        return importlib.metadata.version(WHEEL)
    except importlib.metadata.PackageNotFoundError as error:
        raise DailytalkError("the library for noise reduction is not installed", REMEDY) from error


def reduce_noise(samples: Samples, noise: Samples, sample_rate: int) -> Samples:
    """Samples with what sounds like `noise` made softer by up to `MOST_DB`; both one channel of shape (n,).

    Raises:
        DailytalkError: the library is not installed.
        ValueError: `noise` is shorter than `LEAST_NOISE` seconds.
    """
    if len(noise) < LEAST_NOISE * sample_rate:
        raise ValueError(f"{len(noise) / sample_rate:.2f} s of noise are fewer than {LEAST_NOISE} s")
    installed_version()
    library: Any = importlib.import_module(WHEEL)
    window = 2 ** math.ceil(math.log2(WINDOW * sample_rate))
    length = max(len(samples), len(noise))
    reduced = library.reduce_noise(
        *(samples, sample_rate),
        stationary=True,
        y_noise=noise,
        prop_decrease=1 - 10 ** (-MOST_DB / 20),
        n_fft=window,
        freq_mask_smooth_hz=SMOOTHED_HZ,
        chunk_size=length,  # a clip is one chunk: several would be written to a file
        padding=round(AROUND * sample_rate),
    )
    return np.asarray(reduced, np.float32)
