"""Noise reduction: noise becomes softer by a few decibels, tones stay, and a missing library is told."""

import importlib
from typing import Any

import numpy as np
import pytest
from audio_files import room_tone, tones

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.models import voice_effects
from dailytalk_contiguous.models.voice_effects import MOST_DB, reduce_noise
from dailytalk_contiguous.stages.condition import Condition

RATE = 24000


def decibels(samples: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(samples.astype(np.float64) ** 2)))


@pytest.mark.parametrize("seconds", [0.3, 3.0, 30.0])
def test_noise_becomes_softer_by_ten_decibels_at_most_and_a_voice_stays(seconds: float) -> None:
    count = round(seconds * RATE)
    noise = room_tone(2 * count, -45)
    said = tones(seconds, RATE)[:, 0]
    signal = np.concatenate((noise[:count], noise[count:] + said))
    reduced = reduce_noise(signal, noise[: RATE // 4], RATE)
    assert reduced.shape == signal.shape
    assert reduced.dtype == np.float32
    quiet = slice(count // 10, count - count // 10)
    assert MOST_DB - 5 < decibels(signal[quiet]) - decibels(reduced[quiet]) < MOST_DB + 0.5
    assert decibels(reduced[count:]) == pytest.approx(decibels(said), abs=0.5)


@pytest.mark.parametrize(("rate", "window"), [(24000, 1024), (44100, 2048)])
@pytest.mark.parametrize(("seconds", "of_noise"), [(0.5, 0.2), (0.2, 0.5)])
def test_gate_is_stationary_and_set_for_speech(rate: int, window: int, seconds: float, of_noise: float) -> None:
    library: Any = importlib.import_module("noisereduce")
    samples, noise = room_tone(round(seconds * rate), -40), room_tone(round(of_noise * rate), -40, seed=1)
    expected = library.reduce_noise(
        *(samples, rate),
        stationary=True,
        y_noise=noise,
        prop_decrease=1 - 10**-0.5,
        n_fft=window,
        freq_mask_smooth_hz=100,
        chunk_size=rate,
        padding=rate // 10,
    )
    assert np.array_equal(reduce_noise(samples, noise, rate), np.asarray(expected, np.float32))


def test_tenth_of_a_second_of_noise_is_enough() -> None:
    tone = room_tone(RATE)
    assert reduce_noise(tone, tone[: RATE // 10], RATE).shape == tone.shape
    with pytest.raises(ValueError, match=r"0\.10 s of noise are fewer than 0\.1 s"):
        reduce_noise(tone, tone[: RATE // 10 - 1], RATE)


def test_too_little_noise_is_refused() -> None:
    with pytest.raises(ValueError, match=r"0\.05 s of noise"):
        reduce_noise(room_tone(RATE), room_tone(RATE // 20), RATE)


def test_a_missing_library_is_told_before_the_run_and_only_where_it_is_needed(monkeypatch) -> None:
    monkeypatch.setattr(voice_effects, "NOISEREDUCE_WHEEL", "a-wheel-that-nobody-made")
    Condition().preflight()
    assert "noise_reduction" not in Condition().models()
    with pytest.raises(DailytalkError, match=r"dailytalk-contiguous\[denoise\]"):
        Condition(reduce_noise_under=20.0).preflight()
