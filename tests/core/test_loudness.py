"""Loudness of clips: the target is met at any length and level, by one gain, and no true peak is too high."""

import numpy as np
import pytest
from audio_files import Samples
from hypothesis import example, given
from hypothesis import strategies as st

from dailytalk_contiguous.core.loudness import (
    CEILING_DBTP,
    TARGET_LUFS,
    clip_loudness,
    levelled,
    true_peak_dbtp,
)

RATE = 24000


def voice(seconds: float, seed: int, crest: float = 4.0) -> Samples:
    """Syllables of noise and buzz at four a second; the higher `crest`, the shorter and peakier."""
    draw = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE)) / RATE
    buzz = sum(np.sin(2 * np.pi * draw.uniform(90, 300) * k * t) / k for k in range(1, 9))
    loud = (buzz + 0.1 * draw.standard_normal(len(t))) * (0.02 + np.abs(np.sin(2 * np.pi * t + 1)) ** crest)
    return np.asarray(0.9 * loud / np.abs(loud).max(), np.float32)


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
    found = levelled(
        voice(seconds, seed, crest) * np.float32(10 ** (level_db / 20)), RATE, TARGET_LUFS, CEILING_DBTP
    )
    assert found is not None
    measured = clip_loudness(found.samples, RATE)
    assert found.lufs == measured
    assert true_peak_dbtp(found.samples, RATE) <= CEILING_DBTP
    assert found.true_peak_dbtp == pytest.approx(true_peak_dbtp(found.samples, RATE), abs=0.01)
    if found.true_peak_dbtp < CEILING_DBTP - 0.1:
        assert abs(measured - TARGET_LUFS) <= 0.5
    else:
        assert measured <= TARGET_LUFS + 0.5


def test_where_the_ceiling_stands_in_the_way_the_gain_is_lowered_and_nothing_is_limited() -> None:
    clicks = np.zeros(3 * RATE, np.float32)
    clicks[:: RATE // 2] = 0.5
    clicks[1 :: RATE // 2] = -0.5
    found = levelled(clicks, RATE, TARGET_LUFS, CEILING_DBTP)
    assert found is not None
    assert found.lufs < TARGET_LUFS - 3
    assert CEILING_DBTP - 0.05 < true_peak_dbtp(found.samples, RATE) <= CEILING_DBTP
    assert np.allclose(found.samples, clicks * 10 ** (found.gain_db / 20), atol=1e-6)
