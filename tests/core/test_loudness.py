"""Loudness of clips: the target is met at any length and level, by one gain, and no true peak is too high."""

import numpy as np
import pytest
from audio_files import Samples
from hypothesis import example, given
from hypothesis import strategies as st

from dailytalk_contiguous.core.sound.loudness import (
    CEILING_DBTP,
    TARGET_LUFS,
    LevelledClip,
    clip_loudness,
    levelled,
    true_peak_dbtp,
)

RATE = 24000


def voice(seconds: float, seed: int, crest: float = 4.0) -> Samples:
    """Syllables of noise and buzz at four a second; the higher `crest`, the shorter and peakier."""
    draw = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE)) / RATE
    buzz = np.zeros(len(t))
    for k in range(1, 9):
        hertz = draw.uniform(90, 300)
        phase = 2 * np.pi * hertz * k * t
        buzz += np.sin(phase) / k
    hiss = 0.1 * draw.standard_normal(len(t))
    swell = np.sin(2 * np.pi * t + 1)
    loud = (buzz + hiss) * (0.02 + np.abs(swell) ** crest)
    peak = np.abs(loud).max()
    return np.asarray(0.9 * loud / peak, np.float32)


def levelled_clip(samples: Samples) -> LevelledClip:
    """The samples at the usual target, under the usual ceiling."""
    clip = levelled(samples, RATE, TARGET_LUFS, CEILING_DBTP)
    assert clip is not None
    return clip


@example(seconds=1.0, level_db=-45.0, seed=2, crest=42.0)  # much of it is under the gate until it is louder
@given(
    seconds=st.floats(0.5, 6),
    level_db=st.floats(-45, 0),
    seed=st.integers(0, 1000),
    crest=st.floats(1, 60),
)
def test_loudness_is_met_within_half_a_unit_where_the_ceiling_allows(
    seconds: float, level_db: float, seed: int, crest: float
) -> None:
    gain = np.float32(10 ** (level_db / 20))
    clip = levelled_clip(voice(seconds, seed, crest) * gain)
    measured = clip_loudness(clip.samples, RATE)
    peak = true_peak_dbtp(clip.samples, RATE)
    assert clip.lufs == measured
    assert peak <= CEILING_DBTP
    assert clip.true_peak_dbtp == pytest.approx(peak, abs=0.01)
    if clip.true_peak_dbtp < CEILING_DBTP - 0.1:
        assert abs(measured - TARGET_LUFS) <= 0.5
    else:
        assert measured <= TARGET_LUFS + 0.5


def test_where_the_ceiling_stands_in_the_way_the_gain_is_lowered_and_nothing_is_limited() -> None:
    clicks = np.zeros(3 * RATE, np.float32)
    clicks[:: RATE // 2] = 0.5
    clicks[1 :: RATE // 2] = -0.5
    clip = levelled_clip(clicks)
    peak = true_peak_dbtp(clip.samples, RATE)
    gain = 10 ** (clip.gain_db / 20)
    assert clip.lufs < TARGET_LUFS - 3
    assert CEILING_DBTP - 0.05 < peak <= CEILING_DBTP
    assert np.allclose(clip.samples, clicks * gain, atol=1e-6)
