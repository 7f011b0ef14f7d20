"""Tokens of sound: the same alone, padded and in windows; as runs and by word."""

import itertools
from typing import Any

import numpy as np
import pytest
import soxr
from audio_files import example
from hypothesis import given, settings
from hypothesis import strategies as st

from dailytalk_contiguous import ProsodicClusterSequences, ProsodicFeatureExtractor
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.models.codebook import Codebook
from dailytalk_contiguous.models.contours import as_features, median_f0
from dailytalk_contiguous.models.prosodic_sequences import (
    check_tokens,
    seen_by,
    speaker_levels,
    to_runs,
    word_prosody,
)

RATE = 16000
LEFT = example("old_friends")[:, 0]


def speech(seconds: float, start: float = 0.7) -> np.ndarray:
    first = round(start * RATE)
    last = round((start + seconds) * RATE)
    return LEFT[first:last]


@given(st.lists(st.integers(0, 4 * RATE), min_size=1, max_size=5))
@settings(max_examples=15, deadline=None)
def test_in_a_batch_a_sound_has_the_tokens_that_it_has_alone(lengths: list[int]) -> None:
    sequences = ProsodicClusterSequences()
    sounds = [LEFT[RATE : RATE + length] for length in lengths]
    alone = [sequences.extract_cluster_sequences(sound[None])[0] for sound in sounds]
    assert sequences.extract_cluster_sequences(sounds) == alone
    assert [len(tokens) for tokens in alone] == [-(-length // 256) for length in lengths]


def test_a_sound_without_voice_is_all_silence() -> None:
    noise = np.random.default_rng(0).normal(0, 1e-4, RATE)  # as a whisper has no pitch
    sounds = [np.zeros(RATE), np.zeros(0), np.zeros(1), noise]
    tokens = ProsodicClusterSequences().extract_cluster_sequences(sounds)
    silent, empty, single_sample, whispered = tokens
    assert silent == [0] * 63
    assert empty == []
    assert single_sample == [0]
    assert whispered.count(0) > 0.9 * len(whispered)


@pytest.mark.parametrize("rate", [8000, 96000])
def test_speech_at_another_rate_has_nearly_the_same_tokens(rate: int) -> None:
    sequences = ProsodicClusterSequences()
    sound = speech(4.0)
    at_rate = soxr.resample(sound, RATE, rate)
    resampled = sequences.resample_waveform(at_rate, rate)
    assert abs(len(resampled) - len(sound)) <= 2
    (tokens,) = sequences.extract_cluster_sequences(sound)
    (others,) = sequences.extract_cluster_sequences(resampled)
    same = [(a > 0) == (b > 0) for a, b in zip(tokens, others, strict=False)]
    # Voiced alike: at 8 kHz what is above 4 kHz is gone, and with it the same formants.
    assert np.mean(same) > 0.95


@given(st.lists(st.integers(0, 3)))
def test_runs_are_the_tokens_in_short(tokens: list[int]) -> None:
    runs = to_runs(tokens)
    at_length = list[int]()
    for run in runs:
        at_length += [run.token] * run.frames
    assert at_length == tokens
    for first, second in itertools.pairwise(runs):
        assert first.token != second.token


@pytest.mark.parametrize("wrong", [-1, 120, 1.0, None])
def test_a_token_out_of_range_is_an_error_with_its_place(wrong: Any) -> None:
    check_tokens([0, 119], 120, "row")
    with pytest.raises(BadInput, match="call/left/0001"):
        check_tokens([0, 5, wrong], 120, "call/left/0001")


def glide(first: float, last: float, seconds: float, level: float = 0.1) -> np.ndarray:
    """A buzz whose pitch moves evenly in semitones."""
    t = np.arange(round(seconds * RATE)) / RATE
    pitch = first * (last / first) ** (t / seconds)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    harmonics = [np.sin(harmonic * phase) / harmonic for harmonic in range(1, 12)]
    return level * sum(harmonics)


#: Words of a recording of which the sound begins at 10 s: three glides, and the pause after the first one.
GLIDED = [
    Word("flat", 10.0, 10.5),
    Word("up", 10.7, 11.2),
    Word("long", 11.4, 12.4),
    Word("silent", 10.5, 10.7),
]


def test_a_word_tells_its_pitch_slope_length_and_energy_against_the_speaker() -> None:
    pause = np.zeros(3200)
    flat_glide = glide(150, 150, 0.5)
    rising_glide = glide(150, 300, 0.5, 0.2)
    long_glide = glide(150, 150, 1.0)
    sound = np.concatenate([flat_glide, pause, rising_glide, pause, long_glide])
    codebook = Codebook.load()
    features = as_features(codebook.extractor.extract(audio_tensor=sound))
    tokens, _ = codebook.assign(features)
    levels = speaker_levels([features], [GLIDED])
    rows = word_prosody(GLIDED, tokens, features, levels, origin=10.0)
    flat, up, long, silent = rows
    assert [row.word for row in rows] == ["flat", "up", "long", "silent"]
    assert flat.tokens == tokens[:31].tolist()
    assert flat.pitch == pytest.approx(0, abs=0.3)
    assert flat.slope == pytest.approx(0, abs=1)
    assert up.pitch == pytest.approx(6, abs=1)
    assert up.slope == pytest.approx(24, rel=0.15)
    assert up.energy - flat.energy == pytest.approx(6, abs=1)
    assert flat.duration == pytest.approx(1.0)
    assert long.duration == pytest.approx(2.0)
    assert silent.tokens.count(0) >= len(silent.tokens) - 4


def test_relative_pitch_is_the_same_for_a_voice_an_interval_higher() -> None:
    codebook = Codebook(Codebook.load().centres, speaker_relative=True)
    seen = []
    for shift in (1.0, 1.5):
        sound = glide(110 * shift, 160 * shift, 1.0)
        contours = ProsodicFeatureExtractor().extract(audio_tensor=sound)
        features = as_features(contours)
        relative = seen_by(codebook, features, median_f0(features))
        seen.append(relative[4:-4, 0])
    low, high = seen
    np.testing.assert_allclose(low, high, atol=0.01)
    assert low.min() < 0.45
    assert low.max() > 0.55
