"""Noise reduction: noise becomes softer by a few decibels, tones stay, and a missing library is told."""

import numpy as np
import pytest
from audio_files import room_tone, tones

from dailytalk_contiguous.apps.clips.voice_effects import MOST_DB, reduce_noise

RATE = 24000


def decibels(samples: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(samples.astype(np.float64) ** 2)))


@pytest.mark.parametrize("seconds", [0.3, 3.0])
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
