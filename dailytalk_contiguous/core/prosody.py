"""Loudness, noisiness, pitch and rate of one utterance.

Pitch is librosa's pYIN over 65-500 Hz with 2048-sample frames and coarse (0.2 semitone) candidates: measured
9.9 times faster than its defaults over C2-C7, the mean within 1 Hz, and utterances ranked alike by f0_std
(correlation 0.96); 1024-sample frames change that ranking (0.71-0.86).
"""

import contextlib
import functools
import math
import os
import platform
import tempfile
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.audio import ANALYSIS_RATE
from dailytalk_contiguous.core.errors import DailytalkError

#: Samples of a frame and between frames for loudness and zero crossings (64 ms, 16 ms).
FRAME, HOP = 1024, 256

#: Hz, samples and semitones for pitch.
F0_MIN, F0_MAX = 65.0, 500.0
F0_FRAME, F0_HOP = 2048, 256
F0_RESOLUTION = 0.2

#: Voiced frames (16 ms each) below which a mean or a spread of pitch says nothing.
MIN_VOICED = 5

_ELSEWHERE = "set NUMBA_CACHE_DIR to a folder that you may write to"


def measure_prosody(samples: NDArray[np.float32], n_words: int, speech_seconds: float) -> dict[str, float]:
    """Prosody of one utterance.

    Args:
        samples: 16 kHz mono in [-1, 1], shape (n,).
        n_words: words spoken in it.
        speech_seconds: seconds of it that are speech.

    Returns:
        rms: mean of frame RMS, linear full scale. zcr: mean of zero crossings a sample. f0_mean, f0_std: Hz over
        voiced frames, NaN below `MIN_VOICED` of them. voiced_fraction: of all frames, in [0, 1]. speech_rate:
        words a second of speech. All NaN but the rate for an utterance without samples.
    """
    rate = n_words / speech_seconds if speech_seconds > 0 else math.nan
    if not len(samples):
        names = ("rms", "zcr", "f0_mean", "f0_std", "voiced_fraction")
        return dict.fromkeys(names, math.nan) | {"speech_rate": rate}
    frames = _frames(samples)
    pitch, voiced = track_pitch(samples)
    voiced_pitch = pitch[voiced]
    enough = len(voiced_pitch) >= MIN_VOICED
    return {
        "rms": float(np.sqrt(np.mean(frames**2, axis=1)).mean()),
        "zcr": float(np.mean(np.signbit(frames[:, 1:]) != np.signbit(frames[:, :-1]))),
        "f0_mean": float(voiced_pitch.mean()) if enough else math.nan,
        "f0_std": float(voiced_pitch.std()) if enough else math.nan,
        "voiced_fraction": float(voiced.mean()),
        "speech_rate": rate,
    }


def track_pitch(samples: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Pitch in Hz (NaN where unvoiced) and voicing of each 16 ms frame of 16 kHz samples, both shape (frames,)."""
    interrupts.check_interrupt()
    _compiled()
    if len(samples) < F0_FRAME:
        # librosa's padding needs something to frame; what is added is silence, hence unvoiced
        samples = np.pad(samples, (0, F0_FRAME - len(samples)))
    return _pyin(samples)


@functools.lru_cache(maxsize=1)
def _compiled() -> None:
    """Let one process at a time compile librosa's loops.

    numba compiles them in the first call and caches them, by default beside librosa's files. Two processes
    that did so at once left files by which every later one was ended by a segmentation fault; and hosts that share
    an installation share no lock. So they are kept in a folder of this host and user, and the lock beside them.
    """
    folder = compiled_folder()
    os.environ["NUMBA_CACHE_DIR"] = str(folder)  # numba reads it when it is imported, which librosa does
    with FileLock(folder / "dailytalk.lock"):
        _pyin(np.zeros(2 * F0_FRAME, np.float32))


def compiled_folder() -> Path:
    """`NUMBA_CACHE_DIR`, or a folder of this host and user. Raises DailytalkError if it can't be used."""
    user = os.getuid() if hasattr(os, "getuid") else None  # Windows has a temporary folder for each user
    default_folder = Path(tempfile.gettempdir()) / f"dailytalk-numba-{platform.node()}-{user}"
    folder = Path(os.environ.get("NUMBA_CACHE_DIR") or default_folder)
    with contextlib.suppress(OSError):  # reported below, as a DailytalkError
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise DailytalkError(f"compiled code can't be kept in {str(folder)!r}", _ELSEWHERE)
    if folder == default_folder and user is not None and folder.lstat().st_uid != user:
        raise DailytalkError(f"{str(folder)!r} is another user's, and what lies in it would be run", _ELSEWHERE)
    return folder


def _pyin(samples: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    import librosa

    pitch, voiced, _ = librosa.pyin(
        samples,
        fmin=F0_MIN,
        fmax=F0_MAX,
        sr=ANALYSIS_RATE,
        frame_length=F0_FRAME,
        hop_length=F0_HOP,
        resolution=F0_RESOLUTION,
    )
    return pitch, voiced


def _frames(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    padded = np.pad(samples, (0, max(0, FRAME - len(samples))))
    return np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP]
