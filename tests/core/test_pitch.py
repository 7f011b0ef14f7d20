"""Pitch is librosa's pYIN, frame for frame: in speech, and in what is no speech at all.

What librosa finds stands in `librosa_pitch.npz`, since librosa compiles its own code for twenty seconds first. The
nightly tests ask librosa itself; `PYTHONPATH=tests python tests/core/test_pitch.py` writes the file.
"""

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
from audio_files import EXAMPLES

from dailytalk_contiguous.core.sound.pitch import BLOCK_FRAMES, F0_FRAME, F0_HOP, F0_MAX, F0_MIN, track_pitch
from dailytalk_contiguous.core.sound.samples import pcm_to_float
from dailytalk_contiguous.machine.audio import read_pcm, to_uri

RATE = 16000
REFERENCES = Path(__file__).with_name("librosa_pitch.npz")

CALLS = ("bicycle_repair", "burnt_dinner", "old_friends", "weekend_trip")

T = np.arange(2 * RATE) / RATE

# Phases in radians, in the order of operations that the references were made with.
LEAP_HERTZ = np.where(T < 1, 100, 400)
LEAP = 2 * np.pi * LEAP_HERTZ * T
GLIDE = 2 * np.pi * (80 * T + 100 * T**2)
WOBBLE = 8 * np.sin(2 * np.pi * 6 * T)
VIBRATO = 2 * np.pi * 180 * T + WOBBLE
NO_SPEECH = {
    "silence": np.zeros(5000),
    "click": np.eye(1, 9000, 4000)[0],
    "sine": 0.3 * np.sin(2 * np.pi * 220 * T),
    "leap": 0.3 * np.sin(LEAP),
    "glide": 0.3 * np.sin(GLIDE),
    "vibrato": 0.3 * np.sign(np.sin(VIBRATO)),
}

#: Numbers of samples: the fewest, those around one frame and around a hop more, and any.
LENGTHS = (
    1,
    2,
    F0_HOP,
    F0_FRAME - 1,
    F0_FRAME,
    F0_FRAME + 1,
    F0_FRAME + F0_HOP - 1,
    F0_FRAME + F0_HOP,
    3 * F0_FRAME,
    *np.random.default_rng(0).integers(1, 3 * F0_FRAME, 15).tolist(),
)


def librosa_pitch(samples: np.ndarray) -> np.ndarray:
    import librosa

    missing = max(0, F0_FRAME - len(samples))
    padded = np.pad(samples, (0, missing))
    pitch, _, _ = librosa.pyin(
        padded, fmin=F0_MIN, fmax=F0_MAX, sr=RATE, frame_length=F0_FRAME, hop_length=F0_HOP, resolution=0.2
    )
    return pitch


def as_pcm(samples: np.ndarray) -> np.ndarray:
    """In steps of 16 bits, as files have it: a sine's last bit is not the same on every machine."""
    steps = np.round(samples * 32768)
    return (steps / 32768).astype(np.float32)


def speech(name: str, side: int) -> np.ndarray:
    uri = to_uri(EXAMPLES / f"{name}.flac")
    call = {"path": uri, "bytes": None}
    recording = read_pcm(call, 3.0, 8.0)
    samples = np.ascontiguousarray(recording[:, side])
    return pcm_to_float(samples.tobytes())


def noisy_tone(count: int) -> np.ndarray:
    random = np.random.default_rng(count)
    any_pitch = random.uniform(0, 400)
    hertz = random.choice([0.0, any_pitch], p=[0.1, 0.9])
    phase = 2 * np.pi * hertz * np.arange(count) / RATE
    tone = 0.2 * np.sign(np.sin(phase))
    noise = random.normal(0, 0.02, count)
    return as_pcm(noise + tone)


def long_voice() -> np.ndarray:
    count = (BLOCK_FRAMES + 100) * F0_HOP
    times = np.arange(count) / 5000
    hertz = 150 + 40 * np.sin(times)
    phase = 2 * np.pi * np.cumsum(hertz) / RATE
    tone = np.zeros(count)
    for harmonic in range(1, 10):
        tone += np.sin(harmonic * phase) / harmonic
    return as_pcm(0.1 * tone)


def assert_same(samples: np.ndarray, name: str) -> None:
    pitch, voiced = track_pitch(samples)
    if os.environ.get("HYPOTHESIS_PROFILE") == "nightly":
        np.testing.assert_array_equal(pitch, librosa_pitch(samples))
    with np.load(REFERENCES) as references:
        np.testing.assert_allclose(pitch, references[name], rtol=1e-12)
    np.testing.assert_array_equal(voiced, ~np.isnan(pitch))


@pytest.mark.parametrize("side", [0, 1], ids=["left", "right"])
@pytest.mark.parametrize("name", CALLS)
def test_speech_of_both_sides_has_the_pitch_that_librosa_finds(name: str, side: int) -> None:
    samples = speech(name, side)
    assert_same(samples, f"{name} {side}")


@pytest.mark.parametrize("name", NO_SPEECH)
def test_what_is_no_speech_has_the_pitch_that_librosa_finds(name: str) -> None:
    samples = as_pcm(NO_SPEECH[name])
    assert_same(samples, name)


@pytest.mark.parametrize("count", LENGTHS)
def test_any_length_has_a_frame_for_every_16_ms(count: int) -> None:
    samples = noisy_tone(count)
    pitch, _ = track_pitch(samples)
    assert len(pitch) == 1 + max(count, F0_FRAME) // F0_HOP
    assert_same(samples, str(count))


def test_blocks_leave_no_seam() -> None:
    assert_same(long_voice(), "long voice")


@pytest.mark.parametrize("hertz", [80.0, 150.0, 330.0, 479.0, 489.0])
def test_tone_anywhere_in_the_range_is_found_to_an_eighth_of_a_semitone(hertz: float) -> None:
    """Between two lags of whole samples, too, which are a third of a semitone apart at the highest pitches."""
    pitch, _ = track_pitch(as_pcm(0.2 * np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE)))
    assert abs(12 * np.log2(np.nanmedian(pitch) / hertz)) < 0.125


if __name__ == "__main__":
    SOUNDS = {}
    for call, side in itertools.product(CALLS, (0, 1)):
        SOUNDS[f"{call} {side}"] = speech(call, side)
    SOUNDS |= {name: as_pcm(samples) for name, samples in NO_SPEECH.items()}
    SOUNDS |= {str(count): noisy_tone(count) for count in LENGTHS}
    SOUNDS["long voice"] = long_voice()
    PITCHES = {name: librosa_pitch(samples) for name, samples in SOUNDS.items()}
    np.savez_compressed(REFERENCES, **PITCHES)
