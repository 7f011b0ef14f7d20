"""Hearing a clip: speech at any rate and level, laughs that speech activity misses, and nothing in silence."""

import numpy as np
import pytest
import soxr
from audio_files import room_tone, wav_bytes
from clips import RATE, line

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.models.speech_activity import hear, read_clip

SPOKEN = len(line(edge=0.0)) / RATE


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
@pytest.mark.parametrize("gain", [1.0, 0.02])
def test_speech_is_heard_at_its_place_at_any_rate_and_level(rate: int, gain: float) -> None:
    heard = hear(gain * soxr.resample(line(edge=0.8), RATE, rate), rate)
    for spans in heard:
        assert spans[0][0] == pytest.approx(0.8, abs=0.15)
        assert spans[-1][1] == pytest.approx(0.8 + SPOKEN, abs=0.25)


def test_a_burst_of_breath_is_a_sound_but_no_speech() -> None:
    breath = 0.05 * np.hanning(RATE // 3).astype(np.float32) * room_tone(RATE // 3, 0)
    samples = np.concatenate((room_tone(RATE // 2, -70), breath, line()))
    heard = hear(samples, RATE)
    assert heard.sounds[0][0] == pytest.approx(0.5, abs=0.15)
    assert heard.speech[0][0] > 0.5 + 1 / 3
    assert all(first[1] <= second[0] for first, second in zip(heard.sounds, heard.sounds[1:], strict=False))


@pytest.mark.parametrize("count", [0, 1, 511, RATE])
def test_nothing_is_heard_in_silence(count: int) -> None:
    assert hear(np.zeros(count, np.float32), RATE) == ([], [])


@pytest.mark.parametrize("more", [0, 1])
def test_file_of_over_ten_minutes_is_no_clip(more: int) -> None:
    audio = {"bytes": wav_bytes(np.zeros((600 * 100 + more, 1), np.float32), 100), "path": None}
    if more:
        with pytest.raises(BadInput, match=r"it is 600 s long, which is no clip: cut it into clips"):
            read_clip(audio)
    else:
        assert len(read_clip(audio).samples) == 60_000
