"""Prosody: known signals give their known loudness, pitch and rate, and what has no pitch has none."""

import math

import numpy as np
import pytest

from dailytalk_contiguous.core.sound.prosody import MIN_VOICED, measure_prosody

RATE = 16000


def voiced(f0: float, seconds: float, level: float = 0.1) -> np.ndarray:
    """A harmonic complex with a falling spectrum, as voices have."""
    t = np.arange(round(seconds * RATE)) / RATE
    tone = np.zeros(len(t))
    for harmonic in range(1, 20):
        hertz = f0 * harmonic
        if hertz < RATE / 2:
            phase = 2 * np.pi * f0 * harmonic * t
            tone += np.sin(phase) / harmonic
    scaled = level * tone / np.abs(tone).max()
    return scaled.astype(np.float32)


def noise_of(level: float) -> np.ndarray:
    """A second of noise of so much RMS."""
    generator = np.random.default_rng(0)
    noise = generator.normal(0, level, RATE)
    return noise.astype(np.float32)


def test_rms_of_a_sine_is_its_amplitude_over_root_two() -> None:
    phase = 2 * np.pi * 250 * np.arange(RATE) / RATE
    sine = (0.3 * np.sin(phase)).astype(np.float32)
    measured = measure_prosody(sine, 3, 1.0)
    rms = 0.3 / math.sqrt(2)
    assert measured["rms"] == pytest.approx(rms, rel=1e-3)
    assert measured["zcr"] == pytest.approx(2 * 250 / RATE, rel=0.03)


@pytest.mark.parametrize("f0", [75, 205, 470])
def test_pitch_of_a_voiced_tone_is_found(f0: float) -> None:
    tone = voiced(f0, 0.6)
    measured = measure_prosody(tone, 1, 0.6)
    assert measured["f0_mean"] == pytest.approx(f0, rel=0.02)
    assert measured["f0_std"] < 0.02 * f0
    assert measured["voiced_fraction"] > 0.9


def test_noise_and_silence_have_no_pitch() -> None:
    noise = noise_of(0.05)
    for signal in (noise, np.zeros(RATE, np.float32)):
        measured = measure_prosody(signal, 1, 1.0)
        assert math.isnan(measured["f0_mean"])
        assert math.isnan(measured["f0_std"])
        assert measured["voiced_fraction"] < 0.1
    measured = measure_prosody(noise, 1, 1.0)
    assert measured["zcr"] == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(("seconds", "has_pitch"), [(0.02, False), (0.4, True)])
def test_too_few_voiced_frames_give_no_pitch(seconds: float, has_pitch: bool) -> None:
    signal = noise_of(0.02)
    signal[:8000] = 0
    tone = voiced(200, seconds, 0.5)
    signal[2000 : 2000 + len(tone)] += tone
    measured = measure_prosody(signal, 1, 1.0)
    n_voiced = measured["voiced_fraction"] * (1 + RATE // 256)
    is_enough = n_voiced >= MIN_VOICED - 0.5
    assert math.isfinite(measured["f0_mean"]) is has_pitch
    assert is_enough is has_pitch
