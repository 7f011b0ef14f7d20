"""Answers of speech services: WAV files, with a header that was written before the length was known, and lists of
voices.

A streamed header says 0 or nearly 2^32 bytes, and then everything up to the end is audio; any other header that
promises more than there is means an answer cut short, which would otherwise be half a sentence in a dataset.
"""

import io
import json
import struct
from typing import NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from dailytalk_contiguous.core.audio import pcm_to_float
from dailytalk_contiguous.models.paid import Reply, ShortRead

#: A data size from here on means "unknown": most write 2^32-1, sox 2^31-4096 and a few bytes more.
UNKNOWN_SIZE = 0x7FFFF000


def read_wav(data: bytes) -> tuple[NDArray[np.float32], int]:
    """Mono samples in [-1, 1] of a WAV file in memory (several channels are averaged), and its rate in Hz.

    Raises ShortRead if it is empty, cut short, damaged, or no WAV.
    """
    if not data:
        raise ShortRead("it is empty")
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise ShortRead(f"it is no WAV: it begins with {data[:12]!r}")
    shape, audio = _shape_and_audio(data)
    kind, channels, sample_rate, _, _, bits = struct.unpack_from("<HHIIHH", shape)
    if (kind, channels, bits) == (1, 1, 16) and sample_rate:
        # What nearly all services send needs no detour through libsndfile.
        samples: NDArray[np.float32] = pcm_to_float(audio[: len(audio) // 2 * 2])
    else:
        samples, sample_rate = _by_libsndfile(shape, audio)
    if not np.isfinite(samples).all():
        raise ShortRead("its WAV holds samples that are not numbers")
    if not len(samples):
        raise ShortRead("its WAV holds no samples")
    return samples, sample_rate


def _by_libsndfile(shape: bytes, audio: bytes) -> tuple[NDArray[np.float32], int]:
    body = b"".join(
        (b"WAVEfmt ", struct.pack("<I", len(shape)), shape, b"data", struct.pack("<I", len(audio)), audio)
    )
    file = io.BytesIO(b"RIFF" + struct.pack("<I", len(body)) + body)
    try:
        samples, sample_rate = soundfile.read(file, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ShortRead(f"its WAV can't be read: {error.error_string}") from None
    return samples.mean(axis=1, dtype=np.float32), int(sample_rate)


def _shape_and_audio(data: bytes) -> tuple[bytes, bytes]:
    """The contents of the chunks `fmt ` and `data`; other chunks are no audio."""
    at, shape = 12, b""
    while at + 8 <= len(data):
        name, size = data[at : at + 4], struct.unpack_from("<I", data, at + 4)[0]
        start = at + 8
        if name == b"fmt ":
            shape = data[start : start + size]
        if name == b"data" and len(shape) >= 16:
            available = len(data) - start
            streamed = size == 0 or size >= UNKNOWN_SIZE
            if streamed and available % max(1, struct.unpack_from("<H", shape, 12)[0]):
                raise ShortRead("its WAV ends in the middle of a sample")
            if not streamed and size > available:
                raise ShortRead(f"its WAV promises {size} bytes of audio and holds {available}")
            return shape, data[start:] if streamed else data[start : start + size]
        at = start + size + size % 2
    raise ShortRead("its WAV ends before its audio")


class TimedText(NamedTuple):
    """A stretch of the text with its times, in seconds of the whole audio."""

    text: str
    start: float
    end: float


class Sound(NamedTuple):
    """The content of an answer: mono samples, rate in Hz, and the segments, if any."""

    samples: NDArray[np.float32]
    sample_rate: int
    segments: list[TimedText]


def read_voices(reply: Reply) -> dict[str, str]:
    """A server's ids of the voices that it lists, by their names. Raises ShortRead for another answer."""
    try:
        listed = json.loads(reply.body)
        parts = [listed.get(part) or [] for part in ("reference_ids", "voices", "uploaded_voices", "data")]
        entries = [entry if isinstance(entry, dict) else {"name": entry} for part in parts for entry in part]
    except (ValueError, RecursionError, AttributeError, TypeError):
        raise ShortRead("it lists no voices") from None
    return {
        str(entry.get("name")): str(entry.get("id") or entry.get("voice_id") or entry.get("name"))
        for entry in entries
    }


def read_plain(reply: Reply) -> Sound:
    samples, sample_rate = read_wav(reply.body)
    return Sound(samples, sample_rate, [])
