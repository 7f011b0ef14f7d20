"""Pitch is librosa's pYIN, frame for frame: in speech, and in what is no speech at all."""

import librosa
import numpy as np
import pytest
from audio_files import EXAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st

from dailytalk_contiguous.core.audio import pcm_to_float, read_analysis, to_uri
from dailytalk_contiguous.core.pitch import BLOCK_FRAMES, F0_FRAME, F0_HOP, F0_MAX, F0_MIN, track_pitch

#: librosa compiles at its first call: in one process alone, to spend the time once.
pytestmark = pytest.mark.xdist_group("librosa")

RATE = 16000
T = np.arange(2 * RATE) / RATE


def librosa_pitch(samples: np.ndarray) -> np.ndarray:
    samples = np.pad(samples, (0, max(0, F0_FRAME - len(samples))))
    return librosa.pyin(
        samples, fmin=F0_MIN, fmax=F0_MAX, sr=RATE, frame_length=F0_FRAME, hop_length=F0_HOP, resolution=0.2
    )[0]


def assert_same(samples: np.ndarray) -> None:
    samples = samples.astype(np.float32)
    pitch, voiced = track_pitch(samples)
    np.testing.assert_array_equal(pitch, librosa_pitch(samples))
    np.testing.assert_array_equal(voiced, ~np.isnan(pitch))


@pytest.mark.parametrize("name", ["bicycle_repair", "burnt_dinner", "old_friends", "weekend_trip"])
def test_speech_of_both_sides_has_the_pitch_that_librosa_finds(name: str) -> None:
    recording = read_analysis({"path": to_uri(EXAMPLES / f"{name}.flac"), "bytes": None}, 3.0, 8.0)
    for channel in recording.T:
        assert_same(pcm_to_float(np.ascontiguousarray(channel).tobytes()))


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(5000),
        np.ones(9000) * 0.3,
        np.eye(1, 9000, 4000)[0],
        0.3 * np.sin(2 * np.pi * 50 * T),
        0.3 * np.sin(2 * np.pi * 220 * T),
        0.3 * np.sin(2 * np.pi * 700 * T),
        0.3 * np.sin(2 * np.pi * np.where(T < 1, 100, 400) * T),
        0.3 * np.sin(2 * np.pi * (80 * T + 100 * T**2)),
        0.3 * ((130 * T) % 1 - 0.5),
        0.3 * np.sign(np.sin(2 * np.pi * 180 * T + 8 * np.sin(2 * np.pi * 6 * T))),
    ],
    ids=["silence", "offset", "click", "too low", "sine", "too high", "leap", "glide", "saw", "vibrato"],
)
def test_what_is_no_speech_has_the_pitch_that_librosa_finds(samples: np.ndarray) -> None:
    assert_same(samples)


@settings(max_examples=15)
@given(st.integers(1, 3 * F0_FRAME), st.integers(0, 2**31), st.floats(0, 400))
def test_any_length_has_a_frame_for_every_16_ms(count: int, seed: int, hertz: float) -> None:
    noise = np.random.default_rng(seed).normal(0, 0.02, count)
    samples = (noise + 0.2 * np.sign(np.sin(2 * np.pi * hertz * np.arange(count) / RATE))).astype(np.float32)
    assert len(track_pitch(samples)[0]) == 1 + max(count, F0_FRAME) // F0_HOP
    assert_same(samples)


def test_blocks_leave_no_seam() -> None:
    count = (BLOCK_FRAMES + 100) * F0_HOP
    phase = 2 * np.pi * np.cumsum(150 + 40 * np.sin(np.arange(count) / 5000)) / RATE
    assert_same(0.1 * sum(np.sin(harmonic * phase) / harmonic for harmonic in range(1, 10)))
