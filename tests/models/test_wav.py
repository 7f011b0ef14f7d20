import io
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from tts_server import wav

from dailytalk_contiguous.models.request_failures import ShortRead
from dailytalk_contiguous.models.speech_answers import read_wav, sound_quota

SINE = np.sin(np.arange(2400) / 10)
TONE = (0.3 * SINE).astype(np.float32)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT"])
@pytest.mark.parametrize("channels", [1, 2])
def test_every_usual_wav_is_read_as_mono(subtype: str, channels: int) -> None:
    file = io.BytesIO()
    sound = np.stack([TONE] * channels, axis=1)
    soundfile.write(file, sound, 24000, format="WAV", subtype=subtype)
    samples, rate = read_wav(file.getvalue(), sound_quota("a line"))
    assert rate == 24000
    assert np.abs(samples - TONE).max() < 0.02


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_a_streamed_header_is_followed_by_audio_up_to_the_end(size: int) -> None:
    data = wav(TONE, 24000)
    size_field = struct.pack("<I", size)
    streamed = data[:40] + size_field + data[44:]
    samples, _ = read_wav(streamed, sound_quota("a line"))
    expected, _ = read_wav(data, sound_quota("a line"))
    assert np.array_equal(samples, expected)


@given(st.integers(0, 44 + 2 * 2400 - 1))
def test_a_wav_cut_anywhere_is_a_short_read(length: int) -> None:
    whole = wav(TONE, 24000)
    with pytest.raises(ShortRead):
        read_wav(whole[:length], sound_quota("a line"))
