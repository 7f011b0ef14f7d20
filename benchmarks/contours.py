"""How true the contours of a voice are, beside Praat's, and how fast.

Vowels and glides are synthesised (Rosenberg's pulse through six resonances), so pitch and formants are known.
Speech has no such truth: the pitch of both programs is compared. Speed is that of one core, beside Praat's pitch
and formants, and beside eGeMAPS where opensmile is installed (its licence forbids commercial use).

    python benchmarks/contours.py
"""

import os

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

import importlib.util
import itertools
import sys
import time
from collections.abc import Callable

import numpy as np
import parselmouth
import scipy.signal
import soxr
from measuring import EXAMPLES, judged
from numpy.typing import NDArray

from dailytalk_contiguous.core.contours import HIGHEST_F0, LOWEST_F0, ProsodicFeatureExtractor

RATE = 16000
HOP = 0.016
OURS = ProsodicFeatureExtractor(output_normalize=False, smoothing_level="light", emphasize_ratio=0.9)

#: Hz of the first three formants of vowels (after Peterson and Barney 1952, adults).
VOWELS = {
    "i": (280, 2300, 2950),
    "e": (420, 2050, 2600),
    "ae": (680, 1700, 2450),
    "a": (750, 1250, 2500),
    "o": (480, 850, 2450),
    "u": (320, 780, 2300),
    "y": (290, 1850, 2250),
    "@": (500, 1500, 2500),
}
PITCHES = (80, 120, 160, 220, 300)
NOISES = (30, 10)

#: Largest median errors, as shares; formants up to 220 Hz, since higher harmonics are too far apart to show them.
GOALS = {"f0": 0.01, "f1": 0.06, "f2": 0.06}
HIGHEST_FOR_FORMANTS = 220
MOST_GROSS = 0.05
LEAST_AGREEMENT = 0.9
LEAST_SPEED = 100
LEAST_AGAINST_EGEMAPS = 1.5


def main() -> int:
    return 0 if all([_vowels(), _speech(), _speed()]) else 1


def vowel(f0: float, formants: tuple[float, ...], glide: bool, snr_db: float) -> tuple[NDArray, NDArray]:
    """A vowel of 0.6 s at 16 kHz in noise, and its pitch at each frame in Hz; a glide rises by 8 semitones."""
    rate = 48000
    t = np.arange(round(0.6 * rate)) / rate
    pitch = f0 * 0.8 * (1.25 / 0.8) ** (t / t[-1]) if glide else np.full(len(t), f0)
    phase = np.cumsum(pitch) / rate % 1
    opening = 0.5 * (1 - np.cos(np.pi * phase / 0.4))
    closing = np.cos(np.pi / 2 * (phase - 0.4) / 0.16)
    sound = np.diff(np.where(phase < 0.4, opening, np.where(phase < 0.56, closing, 0)), prepend=0)
    for centre, width in zip((*formants, 3500, 4500, 5500), (60, 90, 120, 150, 200, 250), strict=True):
        radius = np.exp(-np.pi * width / rate)
        sound = scipy.signal.lfilter([1], [1, -2 * radius * np.cos(2 * np.pi * centre / rate), radius**2], sound)
    sound = soxr.resample(sound, rate, RATE)
    sound /= np.sqrt(np.mean(sound**2))
    sound += np.random.default_rng(0).normal(size=len(sound)) * 10 ** (-snr_db / 20)
    frames = (np.arange(OURS.get_frames_count(len(sound))) + 0.5) * HOP
    return (0.1 * sound).astype(np.float32), np.interp(frames, t, pitch)


def praat(sound: NDArray) -> dict[str, NDArray]:
    """Praat's pitch and formants with its defaults, at our frames; NaN where it has none."""
    heard = parselmouth.Sound(sound.astype(np.float64), RATE)
    pitch = heard.to_pitch_ac(time_step=HOP, pitch_floor=LOWEST_F0, pitch_ceiling=HIGHEST_F0)
    formants = heard.to_formant_burg()
    frames = (np.arange(OURS.get_frames_count(len(sound))) + 0.5) * HOP
    read: dict[str, Callable[[float], float]] = {
        "f0": pitch.get_value_at_time,
        "f1": lambda second: formants.get_value_at_time(1, second),
        "f2": lambda second: formants.get_value_at_time(2, second),
    }
    return {name: np.array([value(second) for second in frames]) for name, value in read.items()}


def _vowels() -> bool:
    errors: dict[tuple[str, str, int], list[float]] = {}
    for formants, f0, glide, noise in itertools.product(VOWELS.values(), PITCHES, (False, True), NOISES):
        sound, pitch = vowel(f0, formants, glide, noise)
        for side, contours in (("ours", OURS.extract(audio_tensor=sound)), ("praat", praat(sound))):
            for name, truth in (("f0", pitch), ("f1", formants[0]), ("f2", formants[1])):
                if name == "f0" or f0 <= HIGHEST_FOR_FORMANTS:
                    error = np.abs(contours[name] / truth - 1)[4:-4]
                    errors.setdefault((name, side, noise), []).append(float(np.nanmedian(error)))
    met = True
    print(f"median error of {len(VOWELS)} vowels and glides of {PITCHES[0]}-{PITCHES[-1]} Hz, ours and Praat's")
    for name, goal in GOALS.items():
        own = float(np.median([*errors[name, "ours", NOISES[0]], *errors[name, "ours", NOISES[1]]]))
        shown = ", ".join(
            "{} dB: {:.2%} and {:.2%}".format(
                noise, *(np.median(errors[name, side, noise]) for side in ("ours", "praat"))
            )
            for noise in NOISES
        )
        met &= judged(f"  {name}: {shown}; both {own:.2%}, goal {goal:.0%}", own <= goal)
    return met


def _speech() -> bool:
    gross = []
    agreement = []
    for path in sorted(EXAMPLES.glob("*.flac")):
        sound = OURS.load_audio(path, loader="soundfile")
        for channel, own in zip(sound, OURS.extract(audio_tensor=sound)["f0"], strict=True):
            other = praat(channel)["f0"]
            both = ~np.isnan(own) & ~np.isnan(other)
            gross.append(np.abs(own[both] / other[both] - 1) > 0.2)
            agreement.append(np.isnan(own) == np.isnan(other))
    wrong = float(np.concatenate(gross).mean())
    same = float(np.concatenate(agreement).mean())
    print("examples, against Praat")
    apart = (
        f"  pitch is over 20 % apart in {wrong:.2%} of the frames that are voiced in both, goal {MOST_GROSS:.0%}"
    )
    alike = f"  voicing agrees in {same:.1%}, goal {LEAST_AGREEMENT:.0%}"
    return all([judged(apart, wrong <= MOST_GROSS), judged(alike, same >= LEAST_AGREEMENT)])


def _speed() -> bool:
    recordings = [OURS.load_audio(path, loader="soundfile") for path in sorted(EXAMPLES.glob("*.flac"))]
    sound = np.concatenate([recording[0] for recording in recordings])
    seconds = len(sound) / RATE
    own = seconds / _least(lambda: OURS.extract(audio_tensor=sound))
    heard = parselmouth.Sound(sound.astype(np.float64), RATE)
    other = seconds / _least(lambda: (heard.to_pitch_ac(time_step=HOP), heard.to_formant_burg(time_step=HOP)))
    met = judged(f"speed on one core: {own:.0f} times real time, goal {LEAST_SPEED}", own >= LEAST_SPEED)
    print(f"  Praat's pitch and formants: {other:.0f}")
    if importlib.util.find_spec("opensmile") is None:
        print("  eGeMAPS: opensmile isn't installed (pip install opensmile), not compared")
        return met
    import opensmile

    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.LowLevelDescriptors)
    egemaps = seconds / _least(lambda: smile.process_signal(sound, RATE))
    ratio = own / egemaps
    compared = f"  eGeMAPS: {egemaps:.0f}; ours is {ratio:.1f} times as fast, goal {LEAST_AGAINST_EGEMAPS}"
    return judged(compared, ratio >= LEAST_AGAINST_EGEMAPS) and met


def _least(call: Callable[[], object]) -> float:
    times = []
    for _ in range(3):
        started = time.process_time()
        call()
        times.append(time.process_time() - started)
    return min(times)


if __name__ == "__main__":
    sys.exit(main())
