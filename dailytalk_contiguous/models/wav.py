"""WAV files as speech services send them: with a header written before anybody knew how long the speech would be.

A streamed header says 0 or nearly 2^32 bytes, and then everything up to the end is audio; any other header that
promises more than there is means an answer cut short, which would otherwise be half a sentence in a dataset.
"""

import io
import struct

import numpy as np
import soundfile
from numpy.typing import NDArray

from dailytalk_contiguous.models.http import ShortRead

#: A data size from here on stands for "unknown": ffmpeg writes 2^32-1, sox 2^31-4096 and a few bytes more.
UNKNOWN_SIZE = 0x7FFFF000


def read_wav(data: bytes) -> tuple[NDArray[np.float32], int]:
    """Mono samples in [-1, 1] of a WAV file in memory (several channels are averaged), and its rate in Hz.

    Raises ShortRead if it is empty, cut short, damaged, or no WAV.
    """
    if not data:
        raise ShortRead("it is empty")
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise ShortRead(f"it is no WAV: it begins with {data[:12]!r}")
    try:
        samples, rate = soundfile.read(io.BytesIO(_with_true_sizes(data)), dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ShortRead(f"its WAV can't be read: {error.error_string}") from None
    if not np.isfinite(samples).all():
        raise ShortRead("its WAV holds samples that are not numbers")
    if not len(samples):
        raise ShortRead("its WAV holds no samples")
    mono: NDArray[np.float32] = samples.mean(axis=1) if samples.shape[1] > 1 else samples[:, 0]
    return mono, int(rate)


def _with_true_sizes(data: bytes) -> bytes:
    """The file up to the end of its audio, its sizes written as they are."""
    at, frame_bytes = 12, 1
    while at + 8 <= len(data):
        name, size = data[at : at + 4], struct.unpack_from("<I", data, at + 4)[0]
        start = at + 8
        if name == b"fmt " and start + 14 <= len(data):
            frame_bytes = max(1, struct.unpack_from("<H", data, start + 12)[0])
        if name == b"data":
            there = len(data) - start
            streamed = size == 0 or size >= UNKNOWN_SIZE
            if streamed and there % frame_bytes:
                raise ShortRead("its WAV ends in the middle of a sample")
            if not streamed and size > there:
                raise ShortRead(f"its WAV promises {size} bytes of audio and holds {there}")
            size = there if streamed else size
            # Chunks after the audio are left out, so the whole file is what lies before its end.
            sizes = struct.pack("<I", start + size - 8), struct.pack("<I", size)
            return b"".join((b"RIFF", sizes[0], data[8 : at + 4], sizes[1], data[start : start + size]))
        at = start + size + size % 2
    raise ShortRead("its WAV ends before its audio")
