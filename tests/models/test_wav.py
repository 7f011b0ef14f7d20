import io
import struct
import uuid

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from tts_server import wav

from dailytalk_contiguous.models.request_failures import LongRead, ShortRead
from dailytalk_contiguous.models.speech_answers import (
    CHARACTERS_PER_SECOND,
    LEAST_SECONDS,
    read_voices,
    read_wav,
    sound_quota,
)

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


def flac_in_wav(seconds: int, sample_rate: int) -> bytes:
    """Silence as FLAC inside a WAV file, of a few bytes a second, whose header promises what it holds."""
    flac = io.BytesIO()
    with soundfile.SoundFile(flac, "w", sample_rate, 1, format="FLAC", subtype="PCM_16") as file:
        file.write(np.zeros(seconds * sample_rate, np.int16))
    sound = flac.getvalue()
    codec = uuid.UUID("0000f1ac-0000-0010-8000-00aa00389b71").bytes_le
    bytes_per_second = len(sound) // seconds
    layout = struct.pack("<HHIIHHHHI", 0xFFFE, 1, sample_rate, bytes_per_second, 2, 16, 22, 16, 4)
    body = b"WAVEfmt " + struct.pack("<I", 40) + layout + codec + b"data" + struct.pack("<I", len(sound)) + sound
    return b"RIFF" + struct.pack("<I", len(body)) + body


def test_a_small_answer_with_hours_of_sound_is_refused_as_soon_as_it_is_too_long() -> None:
    answer = flac_in_wav(3000, 8000)
    assert len(answer) < 200_000
    quota = sound_quota("Good morning.")
    with pytest.raises(LongRead, match="more than 60 seconds"):
        read_wav(answer, quota)
    assert quota.amount <= 2 * LEAST_SECONDS


def test_the_sound_of_a_long_text_may_be_ten_times_as_long_as_usual() -> None:
    text = "a word and another " * 20
    seconds = 10 * len(text) / CHARACTERS_PER_SECOND
    assert seconds > 2 * LEAST_SECONDS
    sound = np.zeros(round((seconds - 1) * 8000), np.float32)
    samples, _ = read_wav(wav(sound, 8000), sound_quota(text))
    assert len(samples) == len(sound)
    longer = np.zeros(round((seconds + 1) * 8000), np.float32)
    with pytest.raises(LongRead):
        read_wav(wav(longer, 8000), sound_quota(text))


@pytest.mark.parametrize(("channels", "sample_rate"), [(1, 1), (1, 4_000_000_000), (1000, 24000)])
def test_a_form_that_no_voice_has_is_refused_before_it_is_decoded(channels: int, sample_rate: int) -> None:
    layout = struct.pack("<HHIIHH", 1, channels, sample_rate, 0, 2 * channels, 16)
    body = b"WAVEfmt " + struct.pack("<I", 16) + layout + b"data" + struct.pack("<I", 4000) + b"\0" * 4000
    with pytest.raises(ShortRead):
        read_wav(b"RIFF" + struct.pack("<I", len(body)) + body, sound_quota("a line"))


@pytest.mark.parametrize(
    "body",
    [
        b'{"voices": [' + b"[]," * 2_000_000 + b"[]]}",
        b"[" * 100_000,
        b'{"voices": 3}',
        b"[]",
    ],
    ids=["millions", "deep", "a number", "a list"],
)
def test_a_list_of_voices_that_is_none_is_refused(body: bytes) -> None:
    with pytest.raises(ShortRead, match="it lists no voices"):
        read_voices(body)
