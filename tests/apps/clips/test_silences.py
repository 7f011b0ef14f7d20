"""Silences of a recording: told from its own noise floor, in all channels, and the duration that is suggested."""

import numpy as np
import pytest
from audio_files import Samples, room_tone, struct_of, wav_bytes

from dailytalk_contiguous.apps.clips.silences import measure_levels

RATE = 16000


def found(samples: Samples, rate: int = RATE, below: float | None = None) -> list[tuple[float, float]]:
    levels = measure_levels(struct_of(wav_bytes(samples, rate)))
    silences = levels.silences(below) / rate
    return [(round(float(start), 2), round(float(end), 2)) for start, end in silences]


def talk(*pauses: tuple[float, float], seconds: float = 6.0, noise: float = -60.0, rate: int = RATE) -> Samples:
    """A loud tone over room tone, with pauses in which only the room tone is left."""
    t = np.arange(round(seconds * rate)) / rate
    tone = (0.2 * np.sin(2 * np.pi * 220 * t)).astype("float32")
    for start, end in pauses:
        tone[round(start * rate) : round(end * rate)] = 0
    return tone + room_tone(len(tone), noise)


@pytest.mark.parametrize(("noise", "rate"), [(-75.0, 8000), (-35.0, 96000)])
def test_pauses_are_found_over_any_noise_floor_at_any_rate(noise: float, rate: int) -> None:
    silences = found(talk((1.0, 2.0), (4.0, 4.3), noise=noise, rate=rate), rate)
    assert np.abs(np.array(silences) - [(1.0, 2.0), (4.0, 4.3)]).max() <= 0.02


def test_silence_is_where_all_channels_are_silent() -> None:
    left = talk((1.0, 3.0))
    right = talk((2.0, 4.0))
    assert found(np.stack((left, right), 1)) == [(2.0, 3.0)]


def test_channel_that_only_hums_does_not_hide_the_pauses_of_the_other() -> None:
    hum = (0.05 * np.sin(2 * np.pi * 50 * np.arange(6 * RATE) / RATE)).astype("float32")
    assert found(np.stack((talk((1.0, 2.0)), hum), 1)) == [(1.0, 2.0)]
