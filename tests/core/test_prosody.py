"""Prosody: known signals give their known loudness, pitch and rate, and what has no pitch has none."""

import math

import numpy as np
import pytest

from dailytalk_contiguous.core.prosody import MIN_VOICED, measure_prosody

RATE = 16000


def voiced(f0: float, seconds: float, level: float = 0.1) -> np.ndarray:
    """A harmonic complex with a falling spectrum, as voices have."""
    t = np.arange(round(seconds * RATE)) / RATE
    tone = sum(np.sin(2 * np.pi * f0 * k * t) / k for k in range(1, 20) if f0 * k < RATE / 2)
    return (level * tone / np.abs(tone).max()).astype(np.float32)


def test_rms_of_a_sine_is_its_amplitude_over_root_two() -> None:
    sine = (0.3 * np.sin(2 * np.pi * 250 * np.arange(RATE) / RATE)).astype(np.float32)
    measured = measure_prosody(sine, 3, 1.0)
    assert measured["rms"] == pytest.approx(0.3 / math.sqrt(2), rel=1e-3)
    assert measured["zcr"] == pytest.approx(2 * 250 / RATE, rel=0.03)


@pytest.mark.parametrize("f0", [75, 205, 470])
def test_pitch_of_a_voiced_tone_is_found(f0: float) -> None:
    measured = measure_prosody(voiced(f0, 0.6), 1, 0.6)
    assert measured["f0_mean"] == pytest.approx(f0, rel=0.02)
    assert measured["f0_std"] < 0.02 * f0
    assert measured["voiced_fraction"] > 0.9


def test_noise_and_silence_have_no_pitch() -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, RATE).astype(np.float32)
    for signal in (noise, np.zeros(RATE, np.float32)):
        measured = measure_prosody(signal, 1, 1.0)
        assert math.isnan(measured["f0_mean"])
        assert math.isnan(measured["f0_std"])
        assert measured["voiced_fraction"] < 0.1
    assert measure_prosody(noise, 1, 1.0)["zcr"] == pytest.approx(0.5, abs=0.02)


def test_too_few_voiced_frames_give_no_pitch() -> None:
    noise = np.random.default_rng(0).normal(0, 0.02, RATE).astype(np.float32)
    for seconds, known in ((0.02, False), (0.4, True)):
        signal = noise.copy()
        signal[:8000] = 0
        tone = voiced(200, seconds, 0.5)
        signal[2000 : 2000 + len(tone)] += tone
        measured = measure_prosody(signal, 1, 1.0)
        assert math.isfinite(measured["f0_mean"]) is known
        n_frames = 1 + RATE // 256
        assert (measured["voiced_fraction"] * n_frames >= MIN_VOICED - 0.5) is known
