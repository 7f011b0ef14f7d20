"""Answers of speech services: WAV files, whose header may be older than their length, and lists of voices.

A streamed header says 0 or nearly 2^32 bytes, and then everything up to the end is audio; any other header that
promises more than there is means an answer cut short, which would otherwise be half a sentence in a dataset.
"""

import json
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.audio import read_at, read_header
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.models.paid import Reply
from dailytalk_contiguous.models.request_failures import ShortRead


def read_wav(data: bytes) -> tuple[NDArray[np.float32], int]:
    """Mono samples in [-1, 1] of a WAV file in memory (several channels are averaged), and its rate in Hz.

    Raises ShortRead if it is empty, cut short, damaged, or no WAV.
    """
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise ShortRead(f"it is no WAV: it begins with {data[:12]!r}")
    try:
        audio = {"bytes": data, "path": None}
        sample_rate = read_header(audio).sample_rate
        samples = read_at(audio, sample_rate).mean(axis=1, dtype=np.float32)
    except BadInput as error:
        raise ShortRead(error.reason) from None
    if not len(samples):
        raise ShortRead("its WAV holds no samples")
    return samples, sample_rate


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


#: Fields in which servers list their voices.
_VOICE_LISTS = ("reference_ids", "voices", "uploaded_voices", "data")


def read_voices(reply: Reply) -> dict[str, str]:
    """A server's ids of the voices that it lists, by their names. Raises ShortRead for another answer."""
    try:
        listed = json.loads(reply.body)
        entries = [entry for field in _VOICE_LISTS for entry in listed.get(field) or []]
    except (ValueError, RecursionError, AttributeError, TypeError):
        raise ShortRead("it lists no voices") from None
    voices: dict[str, str] = {}
    for entry in entries:
        if isinstance(entry, dict):
            name = entry.get("name")
            voices[str(name)] = str(entry.get("id") or entry.get("voice_id") or name)
        else:
            voices[str(entry)] = str(entry)
    return voices


def read_plain(reply: Reply) -> Sound:
    """The sound of an answer that is a WAV file. Raises ShortRead as `read_wav` does."""
    samples, sample_rate = read_wav(reply.body)
    return Sound(samples, sample_rate, [])
