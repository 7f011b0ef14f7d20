"""Noise and rooms: as loud, as coloured and as long as was asked for, and no word moves."""

import numpy as np
import pytest
from vowels import RATE, vowel

from dailytalk_contiguous.apps.clips.augment import (
    coloured_noise,
    room_response,
    with_noise,
)


def generator(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def power(samples: np.ndarray) -> float:
    return float(np.mean(np.square(samples, dtype=np.float64)))


@pytest.mark.parametrize(("colour", "snr_db"), [("white", 15.0), ("brown", 30.0)])
def test_speech_has_so_much_more_power_than_the_noise(colour: str, snr_db: float) -> None:
    speech = np.pad(vowel(), RATE)  # a second of silence on either side
    noise = coloured_noise(len(speech), RATE, colour, generator(5))
    noisy = with_noise(speech, RATE, noise, snr_db)
    ratio = power(vowel()) / power(noisy - speech)
    assert 10 * np.log10(ratio) == pytest.approx(snr_db, abs=0.5)


@pytest.mark.parametrize("rt60", [0.1, 0.4])
def test_a_room_rings_as_long_as_was_asked_for_after_the_direct_sound(rt60: float) -> None:
    for seed in range(6):
        response = room_response(RATE, rt60, generator(seed))
        response = response.astype(np.float64)
        assert response[0] == 1.0
        assert np.abs(response[1:]).max() < 1
        left = np.cumsum(response[:0:-1] ** 2)[::-1]
        level = 10 * np.log10(left / left[0])
        is_used = (level <= -5) & (level >= -25)  # ISO 3382-2, T20
        used = np.flatnonzero(is_used)
        slope, _ = np.polyfit(used / RATE, level[used], 1)
        assert -60 / slope == pytest.approx(rt60, rel=0.25)
