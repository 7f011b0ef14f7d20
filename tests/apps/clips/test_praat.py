"""Pitch and pace: they move by what is asked for, and the voice stays the same, bit for bit, every time."""

import numpy as np
import pytest
import soxr
from vowels import RATE, vowel

from dailytalk_contiguous.apps.clips.voice_effects import shift_pitch, stretch
from dailytalk_contiguous.core.sound.pitch import track_pitch


def pitch_of(samples: np.ndarray) -> np.ndarray:
    """Hz by moment, NaN without one."""
    pitch, _ = track_pitch(soxr.resample(samples, RATE, 16000))
    return pitch


def semitones_between(before: np.ndarray, after: np.ndarray) -> float:
    """By how much pitch moved, over the moments at which both have one."""
    semitones = 12 * np.log2(pitch_of(after) / pitch_of(before))
    return float(np.nanmedian(semitones))


@pytest.mark.parametrize("semitones", [-2.0, 1.3])
def test_pitch_moves_by_what_is_asked_for_and_nothing_is_longer(semitones: float) -> None:
    before = vowel(110, 2.0)
    after = shift_pitch(before, RATE, semitones, seed=1)
    assert semitones_between(before, after) == pytest.approx(semitones, abs=0.15)
    assert after.shape == before.shape


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_a_stretched_voice_keeps_its_pitch_and_is_as_long_as_said(factor: float) -> None:
    before = vowel(110)[:-7]
    after = stretch(before, RATE, factor, seed=1)
    assert len(after) == round(len(before) * factor)
    expected = np.nanmedian(pitch_of(before))
    assert np.nanmedian(pitch_of(after)) == pytest.approx(expected, rel=0.02)
