"""Train `voice-linear`, the model of affect and emotion that comes with the package, on the Berlin database.

    python benchmarks/voice_linear.py emodb [--out model.safetensors]

The same clips give the same bytes again. The clips are named as the database names them: speaker (2), sentence
(3), emotion, take. Each is learned as recorded, as a telephone passes it, in noise and in a room, so that little
depends on the microphone. What is left to choose is chosen where everything is new at once: trained on one sex
and half of the sentences, tested on the other sex and the other half.

The database: Burkhardt et al. 2005, "A database of German emotional speech"; audEERING publishes it under CC0-1.0
with unrestricted use (github.com/audeering/emodb).
"""

import argparse
import zlib
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from safetensors.numpy import save_file
from scipy import signal
from threadpoolctl import threadpool_limits

from dailytalk_contiguous.apps.learn.emotion_training import fit_arrays
from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.emotion_features import MEASURES, emotion_features
from dailytalk_contiguous.core.emotions import SIX, TYPICAL_AFFECT, softmax
from dailytalk_contiguous.models.linear_emotion import BUNDLED_WEIGHTS, LinearEmotion

EMOTIONS = {"W": "angry", "E": "disgusted", "A": "fearful", "F": "happy", "N": "neutral", "T": "sad"}
MEN = frozenset({"03", "10", "11", "12", "15"})

#: Regularisation (C of scikit-learn). On speakers left out 0.003 to 0.1 have a recall within two points; the
#: stronger ones rank valence better for other speakers and sentences, the weaker ones keep it apart from arousal.
STRENGTH = 0.01

#: How sure the model is where everything is new: as often right as such a model is on another corpus (trained on
#: Berlin 49.6 % on RAVDESS, and 51.3 % the other way round).
SURE = 0.5

#: Measures that can't be learned from these clips: they were set to one level, and cut at two seconds.
NOT_LEARNED = np.isin(
    MEASURES,
    ["level_mean", "level_low", "level_high", "power_mean", "power_low", "power_high", "log_seconds"],
)

Numbers = NDArray[np.float64]


class Spoken(NamedTuple):
    """Clips, each of shape (n,) at 16 kHz, with their labels, speakers and sentences, arrays of shape (clips,)."""

    sounds: list[Samples]
    labels: NDArray[np.intp]
    speakers: NDArray[np.str_]
    sentences: NDArray[np.str_]

    def take(self, kept: NDArray[np.bool_]) -> "Spoken":
        sounds = [sound for sound, keeps in zip(self.sounds, kept, strict=True) if keeps]
        return Spoken(sounds, self.labels[kept], self.speakers[kept], self.sentences[kept])


def read_berlin(folder: Path) -> Spoken:
    paths = [path for path in sorted(folder.glob("*.*")) if EMOTIONS.get(path.stem[5:6])]
    names = [path.stem for path in paths]
    sounds = []
    for path in paths:
        samples, rate = soundfile.read(path, dtype="float32")
        sounds.append(samples if rate == ANALYSIS_RATE else soxr.resample(samples, rate, ANALYSIS_RATE))
    labels = np.array([SIX.index(EMOTIONS[name[5]]) for name in names], np.intp)
    return Spoken(sounds, labels, np.array([name[:2] for name in names]), np.array([name[2:5] for name in names]))


def telephone(samples: Samples) -> Samples:
    """Samples as a telephone passes them: 300 to 3400 Hz, 8 kHz."""
    band = signal.butter(4, (300, 3400), "bandpass", fs=ANALYSIS_RATE, output="sos")
    narrow = soxr.resample(signal.sosfilt(band, samples), ANALYSIS_RATE, 8000)
    return np.asarray(soxr.resample(narrow, 8000, ANALYSIS_RATE), np.float32)


def altered(samples: Samples) -> list[Samples]:
    """The clip as recorded, by telephone, 25 dB over noise, and in a room whose sound falls by 60 dB in 0.4 s."""
    rng = np.random.default_rng(zlib.crc32(samples.tobytes()))
    noise = rng.standard_normal(len(samples)) * np.sqrt(np.mean(samples**2)) * 10 ** (-25 / 20)
    reflections = 0.15 * rng.standard_normal(ANALYSIS_RATE // 4) * np.exp(-np.arange(ANALYSIS_RATE // 4) / 960)
    reflections[0] = 1.0
    room = signal.fftconvolve(samples, reflections)[: len(samples)]
    room /= max(1.0, np.abs(room).max())
    return [samples, telephone(samples), (samples + noise).astype(np.float32), room.astype(np.float32)]


def _measure(samples: Samples) -> NDArray[np.float32]:
    return np.stack([emotion_features(version) for version in altered(samples)])


def measure_versions(sounds: Sequence[Samples]) -> Numbers:
    """The measures of `altered` sounds, shape (versions, clips, measures)."""
    with ProcessPoolExecutor() as pool:
        return np.stack([*pool.map(_measure, sounds, chunksize=16)], axis=1).astype(np.float64)


def fit_voice(versions: Numbers, labels: NDArray[np.intp], speakers: NDArray[np.str_]) -> dict[str, Numbers]:
    """The arrays of a `LinearEmotion`; a speaker is compared with himself in the same version."""
    numbers = np.concatenate([*versions])
    numbers[:, NOT_LEARNED] = np.nan
    people = np.concatenate([[f"{speaker}/{number}" for speaker in speakers] for number in range(len(versions))])
    every = np.tile(labels, len(versions))
    arrays = fit_arrays(numbers, every, people, STRENGTH, 1e-6)
    for head in ("alone", "relative"):
        arrays[f"spread_{head}"][NOT_LEARNED] = 1e6
    return arrays


def logits_of(arrays: dict[str, Numbers], numbers: Numbers, speakers: NDArray[np.str_]) -> Numbers:
    guesses = LinearEmotion("", SIX, arrays).of_measures(numbers, speakers.tolist())
    return np.log(np.maximum([guess.probabilities for guess in guesses], 1e-9)).astype(np.float64)


def train(versions: Numbers, spoken: Spoken) -> dict[str, NDArray[np.float32]]:
    """The arrays of a `BundledVoice`: those of `fit_voice`, the affect of each class, and how far that errs."""
    labels = spoken.labels
    speakers = spoken.speakers
    man = np.isin(speakers, [*MEN])
    half = np.isin(spoken.sentences, np.unique(spoken.sentences)[::2])
    logits = np.zeros((2, len(labels), len(SIX)))
    beyond_usual = np.zeros_like(logits)
    for sex in (man, ~man):
        for part in (half, ~half):
            known = sex & part
            new = ~sex & ~part
            arrays = fit_voice(versions[:, known], labels[known], speakers[known])
            for number in range(2):  # as recorded and by telephone
                logits[number, new] = logits_of(arrays, versions[number, new], speakers[new])
            beyond_usual[:, new] = logits[:, new] - arrays["bias_relative"]
    logits = logits.reshape(-1, len(SIX))
    truth = np.tile(labels, 2)
    temperatures = np.geomspace(0.25, 4.0, 400)
    sure = [softmax(logits, temperature).max(axis=1).mean() for temperature in temperatures]
    temperature = float(temperatures[np.argmin(np.abs(np.array(sure) - SURE))])
    shares = softmax(beyond_usual.reshape(-1, len(SIX)), temperature)
    weights = 1 / np.bincount(truth)[truth]  # every class counts the same
    affect = np.array([TYPICAL_AFFECT[name] for name in SIX])
    affect = 0.5 + (affect - affect.mean(axis=0)) / 2
    rated = shares @ affect
    covariance = np.cov(rated[:, :2].T, aweights=weights)
    # Valence is not to be arousal by another name. Of voices like those that were learned four fifths are enough.
    affect[:, 0] -= 0.8 * covariance[0, 1] / covariance[1, 1] * (affect[:, 1] - 0.5)
    arrays = fit_voice(versions, labels, speakers)
    for head in ("alone", "relative"):
        arrays[f"weights_{head}"] /= temperature
        arrays[f"bias_{head}"] /= temperature
    rated = shares @ affect
    means = np.stack([rated[truth == label].mean(axis=0) for label in range(len(SIX))])
    errors = 2 * np.sqrt(np.average((rated - means[truth]) ** 2, axis=0, weights=weights))
    return {
        name: array.astype(np.float32)
        for name, array in (arrays | {"affect": affect, "affect_error": errors}).items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path, help="the folder of the Berlin database's clips")
    parser.add_argument("--out", type=Path, default=BUNDLED_WEIGHTS)
    chosen = parser.parse_args()
    spoken = read_berlin(chosen.corpus)
    versions = measure_versions(spoken.sounds)
    with threadpool_limits(1):  # sums of several threads have other last bits
        arrays = train(versions, spoken)
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    save_file(arrays, chosen.out)
    print(f"{chosen.out}: {chosen.out.stat().st_size:,} bytes, of {len(spoken.sounds)} clips")
    for name, row in zip((*SIX, "errs by"), (*arrays["affect"], arrays["affect_error"]), strict=True):
        print(f"  {name:10} valence {row[0]:.2f}, arousal {row[1]:.2f}, dominance {row[2]:.2f}")


if __name__ == "__main__":
    main()
