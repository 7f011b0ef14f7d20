"""Silences of a recording: told from its own noise floor, in all channels, and the duration that is suggested."""

import numpy as np
import pytest
from audio_files import Samples, room_tone, struct_of, wav_bytes

from dailytalk_contiguous.apps.clips.silences import measure_levels

RATE = 16000


def sine(peak: float, pitch: float, seconds: float, rate: int) -> Samples:
    t = np.arange(round(seconds * rate)) / rate
    return (peak * np.sin(2 * np.pi * pitch * t)).astype("float32")


def found(samples: Samples, rate: int = RATE) -> list[tuple[float, float]]:
    audio = struct_of(wav_bytes(samples, rate))
    silences = measure_levels(audio).silences() / rate
    return [(start, end) for start, end in silences.round(2).tolist()]


def talk(*pauses: tuple[float, float], seconds: float = 6.0, noise: float = -60.0, rate: int = RATE) -> Samples:
    """A loud tone over room tone, with pauses in which only the room tone is left."""
    tone = sine(0.2, 220, seconds, rate)
    for start, end in pauses:
        pause = slice(round(start * rate), round(end * rate))
        tone[pause] = 0
    return tone + room_tone(len(tone), noise)


@pytest.mark.parametrize(("noise", "rate"), [(-75.0, 8000), (-35.0, 96000)])
def test_pauses_are_found_over_any_noise_floor_at_any_rate(noise: float, rate: int) -> None:
    pauses = [(1.0, 2.0), (4.0, 4.3)]
    recording = talk(*pauses, noise=noise, rate=rate)
    silences = found(recording, rate)
    np.testing.assert_allclose(silences, pauses, rtol=0, atol=0.02)


def test_silence_is_where_all_channels_are_silent() -> None:
    left = talk((1.0, 3.0))
    right = talk((2.0, 4.0))
    stereo = np.stack((left, right), 1)
    assert found(stereo) == [(2.0, 3.0)]


def test_channel_that_only_hums_does_not_hide_the_pauses_of_the_other() -> None:
    speech = talk((1.0, 2.0))
    hum = sine(0.05, 50, 6.0, RATE)
    stereo = np.stack((speech, hum), 1)
    assert found(stereo) == [(1.0, 2.0)]
