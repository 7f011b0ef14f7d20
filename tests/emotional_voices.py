"""Made-up voices in six manners, which differ as voices do and overlap a little: seconds of work, no recording."""

from collections.abc import Sequence

import numpy as np
from audio_files import Samples

from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE

#: Multiples of a voice's own pitch and level, how steeply its partials fall, and its syllables a second.
MANNERS = {
    "angry": (1.2, 3.0, 0.8, 5.0),
    "disgusted": (0.9, 1.0, 1.2, 3.0),
    "fearful": (1.3, 1.2, 1.6, 6.5),
    "happy": (1.4, 2.0, 1.0, 4.5),
    "neutral": (1.0, 1.0, 1.4, 4.0),
    "sad": (0.85, 0.5, 2.0, 2.5),
}


def voice(
    manner: str, pitch: float, level: float, rng: np.random.Generator, seconds: float, spread: float
) -> Samples:
    """A voice of that usual pitch (Hz) and level (RMS) in a manner, drawn with that relative spread."""
    f0, loud, fall, rate = (value * np.exp(rng.normal(0, spread)) for value in MANNERS[manner])
    n_samples = round(seconds * ANALYSIS_RATE)
    t = np.arange(n_samples) / ANALYSIS_RATE
    vibrato = np.sin(2 * np.pi * 2 * t + rng.uniform(0, 6))
    phase = 2 * np.pi * pitch * f0 * (t + 0.002 * vibrato)
    partials = sum(np.sin(number * phase) / number**fall for number in range(1, 16))
    swing = np.sin(2 * np.pi * rate * t + rng.uniform(0, 6))
    syllables = np.sqrt(np.clip(swing, 0, None))
    sound = partials * syllables
    rms = np.sqrt(np.mean(sound**2))
    sound *= level * loud / rms
    sound = sound + rng.normal(0, 1e-4, n_samples)
    return sound.astype(np.float32).clip(-1, 1)


def drawn_voices(
    speakers: int, each: int, seed: int = 0, manners: Sequence[str] = tuple(MANNERS), spread: float = 0.06
) -> tuple[list[Samples], list[str], list[str]]:
    """Sounds, their manners and their speakers: `each` of every manner by every speaker."""
    rng = np.random.default_rng(seed)
    sounds = list[Samples]()
    labels = list[str]()
    people = list[str]()
    for number in range(speakers):
        pitch = rng.uniform(100, 220)
        level = 0.03 * np.exp(rng.normal(0, 0.3))
        for manner in manners:
            for _ in range(each):
                sounds.append(voice(manner, pitch, level, rng, 0.9, spread))
                labels.append(manner)
                people.append(f"speaker-{seed}-{number}")
    return sounds, labels, people
