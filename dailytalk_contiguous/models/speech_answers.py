"""Answers of speech services: WAV files, whose header may be older than their length, and lists of voices.

A streamed header says 0 or nearly 2^32 bytes, and then everything up to the end is audio; any other header that
promises more than there is means an answer cut short, which would otherwise be half a sentence in a dataset.

An answer of a megabyte can hold hours of sound, so its seconds are counted while it is decoded. The limit follows
from the text of the line.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.documents import parse_json
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.quotas import Quota
from dailytalk_contiguous.core.sound.samples import HIGHEST_RATE, LOWEST_RATE
from dailytalk_contiguous.machine.audio import blocks, read_header
from dailytalk_contiguous.models.request_failures import LongRead, ShortRead

#: Characters that a voice usually says in a second.
CHARACTERS_PER_SECOND = 15

#: How many times as long as usual a line may take: a slow voice, a language with few characters, long pauses.
SLOWEST = 10

#: Seconds that any line may take, however short it is.
LEAST_SECONDS = 60.0


def sound_quota(text: str) -> Quota:
    """The seconds of sound that may come out of the answer to a line with this text."""
    expected = len(text) / CHARACTERS_PER_SECOND
    most = max(SLOWEST * expected, LEAST_SECONDS)
    return Quota("the sound of a line", most, "seconds", "ask again, or choose another voice")


def read_wav(data: bytes, quota: Quota) -> tuple[NDArray[np.float32], int]:
    """Mono samples in [-1, 1] of a WAV file in memory (several channels are averaged), and its rate in Hz.

    `quota` counts its seconds block by block. Raises LongRead for too many of them, and ShortRead if it is empty,
    cut short, damaged, of another rate or number of channels than speech has, or no WAV.
    """
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise ShortRead(f"it is no WAV: it begins with {data[:12]!r}")
    mono = [np.zeros(0, np.float32)]
    try:
        audio = {"bytes": data, "path": None}
        header = read_header(audio)
        if not LOWEST_RATE <= header.sample_rate <= HIGHEST_RATE:
            raise ShortRead(f"its WAV has {header.channels:,} channels at {header.sample_rate:,} Hz")
        for block in blocks(audio):
            count(quota, len(block) / header.sample_rate)
            mono.append(block.mean(axis=1, dtype=np.float32))
    except BadInput as error:
        raise ShortRead(error.reason) from None
    samples = np.concatenate(mono)
    if not len(samples):
        raise ShortRead("its WAV holds no samples")
    return samples, header.sample_rate


def count(quota: Quota, amount: float) -> None:
    """Count a part of an answer. Raises LongRead in place of BadInput for more than may come out in all."""
    try:
        quota.take(amount)
    except BadInput as error:
        raise LongRead(error.reason) from None


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


def read_voices(body: bytes) -> dict[str, str]:
    """A server's ids of the voices that it lists, by their names. Raises ShortRead for another answer."""
    try:
        listed = parse_json(body, "", limit=4 << 20)  # tens of thousands of voices
        entries = [entry for field in _VOICE_LISTS for entry in listed.get(field) or []]
    except BadInput as error:
        raise ShortRead(f"it lists no voices: {error.reason}") from None
    except (AttributeError, TypeError):
        raise ShortRead("it lists no voices") from None
    voices: dict[str, str] = {}
    for entry in entries:
        if isinstance(entry, str | int):
            voices[str(entry)] = str(entry)
        elif isinstance(entry, dict):
            name = entry.get("name")
            voice = entry.get("id") or entry.get("voice_id") or name
            if isinstance(name, str) and isinstance(voice, str | int):
                voices[name] = str(voice)
    return voices


def read_plain(body: bytes, text: str) -> Sound:
    """The sound of an answer that is a WAV file: that of a line with this text.

    Raises ShortRead and LongRead as `read_wav` does.
    """
    samples, sample_rate = read_wav(body, sound_quota(text))
    return Sound(samples, sample_rate, [])
