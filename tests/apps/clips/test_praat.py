"""Pitch and pace: they move by what is asked for, and the voice stays the same, bit for bit, every time."""

import numpy as np
import pytest
import soxr
from vowels import RATE, vowel

from dailytalk_contiguous.apps.clips.voice_effects import shift_pitch, stretch
from dailytalk_contiguous.core.pitch import track_pitch


def semitones_between(before: np.ndarray, after: np.ndarray) -> float:
    """By how much pitch moved, over the moments at which both have one."""
    (low, _), (high, _) = (track_pitch(soxr.resample(samples, RATE, 16000)) for samples in (before, after))
    return float(np.nanmedian(12 * np.log2(high / low)))


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
    low, high = (track_pitch(soxr.resample(samples, RATE, 16000))[0] for samples in (before, after))
    assert np.nanmedian(high) == pytest.approx(np.nanmedian(low), rel=0.02)


def test_what_was_at_a_time_is_at_that_time_stretched() -> None:
    gap = np.zeros(RATE // 2, np.float32)
    sound = np.concatenate([gap, vowel(120, 0.5), gap, vowel(140, 0.5), gap])
    loud = np.abs(stretch(sound, RATE, 1.1, seed=3)) > 0.03
    inside = np.convolve(loud, np.ones(600), "same") > 0  # half a period of silence is no pause
    begins = np.flatnonzero(np.diff(inside.astype(int)) == 1) / RATE
    assert begins == pytest.approx([0.5 * 1.1, 1.5 * 1.1], abs=0.02)
