import io
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from tts_server import wav

from dailytalk_contiguous.models.paid import ShortRead
from dailytalk_contiguous.models.speech_answers import read_wav

TONE = (0.3 * np.sin(np.arange(2400) / 10)).astype(np.float32)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT"])
@pytest.mark.parametrize("channels", [1, 2])
def test_every_usual_wav_is_read_as_mono(subtype: str, channels: int) -> None:
    file = io.BytesIO()
    soundfile.write(file, np.stack([TONE] * channels, axis=1), 24000, format="WAV", subtype=subtype)
    samples, rate = read_wav(file.getvalue())
    assert rate == 24000
    assert np.abs(samples - TONE).max() < 0.02


@pytest.mark.parametrize("size", [0, 2_000_000_000, 0x7FFFF000, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF - 36])
def test_a_streamed_header_is_followed_by_audio_up_to_the_end(size: int) -> None:
    data = wav(TONE, 24000)
    streamed = data[:40] + struct.pack("<I", size) + data[44:]
    assert np.array_equal(read_wav(streamed)[0], read_wav(data)[0])


@given(st.integers(0, 44 + 2 * 2400 - 1))
def test_a_wav_cut_anywhere_is_a_short_read(length: int) -> None:
    with pytest.raises(ShortRead):
        read_wav(wav(TONE, 24000)[:length])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is empty"),
        (b'{"message": "no"}', "it is no WAV: it begins with b'{\"message\": '"),
        (b"ID3 an MP3 perhaps", "it is no WAV: it begins with b'ID3 an MP3 p'"),
        (b"RIFF\0\0\0\0WAVX" + b"\0" * 40, "it is no WAV: it begins with b'RIFF\\x00\\x00\\x00\\x00WAVX'"),
        (b"RIFX\0\0\0\0WAVE" + b"\0" * 40, "it is no WAV: it begins with b'RIFX\\x00\\x00\\x00\\x00WAVE'"),
        (b"RIFF\0\0\0\0WAVE" + b"\0" * 40, "it can't be decoded (Error in WAV file. No 'data' chunk marker)"),
    ],
)
def test_what_is_no_wav_is_a_short_read_that_says_what_it_is(data: bytes, reason: str) -> None:
    with pytest.raises(ShortRead) as caught:
        read_wav(data)
    assert str(caught.value) == reason


def test_chunks_around_the_audio_are_no_audio() -> None:
    data = wav(TONE, 24000)
    extra = b"LIST" + struct.pack("<I", 5) + b"hello\0"
    assert np.array_equal(read_wav(data[:36] + extra + data[36:] + extra)[0], read_wav(data)[0])


def test_samples_that_are_not_numbers_are_a_short_read() -> None:
    file = io.BytesIO()
    soundfile.write(file, np.array([0.1, np.nan], np.float32), 24000, format="WAV", subtype="FLOAT")
    with pytest.raises(ShortRead, match="not numbers"):
        read_wav(file.getvalue())


def test_a_wav_without_audio_or_a_known_kind_is_a_short_read() -> None:
    data = wav(TONE, 24000)
    for broken, reason in (
        (data[:40] + bytes(4), "holds no samples"),
        (data[:20] + struct.pack("<H", 0x7777) + data[22:], "can't be decoded"),
        (data[:-1], "holds 4799 of the 4800 bytes"),
        (data[:36], "can't be decoded"),
    ):
        with pytest.raises(ShortRead, match=reason):
            read_wav(broken)
