"""Changes of a recorded voice: pitch and pace by Praat, and light noise reduction by noisereduce.

Pitch and pace change by PSOLA (Moulines and Charpentier 1990), as in Praat. Periods of the voice are moved nearer
or further apart, each with the sound of the vocal tract as it is, so the formants stay: measured on synthetic
vowels, ±2 semitones move them by less than 3 %, except the first of a close vowel (18 of 300 Hz). Rubber Band,
with its "preserve formants", moved the first by up to 14 %, and Signalsmith Stretch all of them by the whole
shift. The library, Praat in a wheel (praat-parselmouth, GPL-3), is an extra and loaded when it is first needed.

Noise reduction is spectral gating (noisereduce, MIT, without weights), also an extra. It is held back: a
performance with a little noise is worth more than one with the warble of a gate.
"""

import importlib
import importlib.metadata
import math
import threading
from typing import Any

import numpy as np

from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.sound.pitch import F0_MAX, F0_MIN
from dailytalk_contiguous.core.sound.samples import Samples

PRAAT_WHEEL = "praat-parselmouth"
PRAAT_REMEDY = "pip install '.[augment]' in a checkout of dailytalk_contiguous"

NOISEREDUCE_WHEEL = "noisereduce"
NOISEREDUCE_REMEDY = "pip install '.[denoise]' in a checkout of dailytalk_contiguous"

#: dB that noise reduction takes off at most, at any frequency.
MOST_REDUCED_DB = 10.0

#: Seconds of noise from which a spectrum can be learned (a few windows).
LEAST_NOISE = 0.1

#: Seconds of a window of the gate, as noisereduce advises for speech.
GATE_WINDOW = 0.04

#: Seconds of silence around a clip, for the windows at its edges.
GATE_PADDING = 0.1

#: Hz over which the gate is smoothed. The library's 500 Hz takes harmonics down with the noise between them: on a
#: line of the bundled conversations 29 dB over white noise it left more error than it took, 100 Hz takes 3 dB off.
GATE_SMOOTHING_HZ = 100

#: Seconds between two looks at the pitch, Praat's own default.
STEP = 0.01

#: Praat draws where to cut what has no period from one generator in the whole process.
_LOCK = threading.Lock()


def praat_version() -> str:
    """The version of the library. Raises DailytalkError where it is not installed."""
    try:
        return importlib.metadata.version(PRAAT_WHEEL)
    except importlib.metadata.PackageNotFoundError as error:
        raise DailytalkError("the library for pitch and pace (Praat) is not installed", PRAAT_REMEDY) from error


def shift_pitch(samples: Samples, sample_rate: int, semitones: float, seed: int) -> Samples:
    """One channel, float32, shape (n,), with its pitch moved by `semitones`; as long as before.

    `seed` decides all that is random in it. Raises BadInput for what Praat can't change, DailytalkError where
    the library is not installed.
    """
    ratio = 2 ** (semitones / 12)
    return _resynthesised(samples, sample_rate, len(samples), ratio, 1.0, seed)


def stretch(samples: Samples, sample_rate: int, factor: float, seed: int) -> Samples:
    """One channel, float32, shape (n,), at its pitch, `factor` times as long: shape (round(n·factor),).

    A sound at t seconds moves to t·factor. Raises as `shift_pitch`.
    """
    count = round(len(samples) * factor)
    return _resynthesised(samples, sample_rate, count, 1.0, factor, seed)


def _resynthesised(
    samples: Samples, sample_rate: int, count: int, pitch_ratio: float, factor: float, seed: int
) -> Samples:
    praat_version()
    library: Any = importlib.import_module("parselmouth")
    call = library.praat.call
    try:
        with _LOCK:
            library.praat.run(f"random_initializeWithSeedUnsafelyButPredictably ({seed % 2**31})")
            sound = library.Sound(samples.astype(np.float64), sample_rate)
            voice = call(sound, "To Manipulation", STEP, F0_MIN, F0_MAX)
            if pitch_ratio != 1:
                tier = call(voice, "Extract pitch tier")
                call(tier, "Multiply frequencies", 0, sound.duration, pitch_ratio)
                call([tier, voice], "Replace pitch tier")
            if factor != 1:
                tier = call("Create DurationTier", "pace", 0, sound.duration)
                call(tier, "Add point", 0, factor)
                call([tier, voice], "Replace duration tier")
            sound = call(voice, "Get resynthesis (overlap-add)")
            resynthesised = sound.values[0].astype(np.float32)
    except library.PraatError as error:  # of under 50 ms
        problem = str(error).splitlines()[0]
        raise BadInput(f"Praat can't change it ({problem})", "leave out shorter clips") from None
    # Praat may end a sample early or late.
    n_missing = max(0, count - len(resynthesised))
    padded = np.pad(resynthesised[:count], (0, n_missing))
    return np.asarray(padded, np.float32)


def noisereduce_version() -> str:
    """The version of the library. Raises DailytalkError where it is not installed."""
    try:
        return importlib.metadata.version(NOISEREDUCE_WHEEL)
    except importlib.metadata.PackageNotFoundError as error:
        raise DailytalkError("the library for noise reduction is not installed", NOISEREDUCE_REMEDY) from error


def reduce_noise(samples: Samples, noise: Samples, sample_rate: int) -> Samples:
    """One channel, float32, shape (n,), with what is like `noise` softer by up to `MOST_REDUCED_DB`.

    `noise` is a part without speech, of at least `LEAST_NOISE` seconds. Raises DailytalkError where the library is
    not installed.
    """
    noisereduce_version()
    library: Any = importlib.import_module(NOISEREDUCE_WHEEL)
    window = GATE_WINDOW * sample_rate
    window_samples = 2 ** math.ceil(math.log2(window))
    share = 1 - 10 ** (-MOST_REDUCED_DB / 20)
    padding = round(GATE_PADDING * sample_rate)
    reduced = library.reduce_noise(
        samples,
        sample_rate,
        stationary=True,
        y_noise=noise,
        prop_decrease=share,
        n_fft=window_samples,
        freq_mask_smooth_hz=GATE_SMOOTHING_HZ,
        chunk_size=max(len(samples), len(noise)),  # one chunk: the library writes several to a file
        padding=padding,
    )
    return np.asarray(reduced, np.float32)
