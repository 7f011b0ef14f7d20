"""Reading recordings: what is in a file, and its samples in blocks, at any rate, without holding it whole.

The only place that turns samples into seconds and back, and the only one of this floor that touches files.
libsndfile reads what it can; anything else goes through the `ffmpeg` program where it is installed. Analysis
runs on 16 kHz 16-bit samples: that is what every model here wants, and it makes a minute of one channel 1.9 MB.
Files are checked while they are read (cut short, not-a-number samples), because a header can promise anything.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from dailytalk_contiguous.core import ffmpeg
from dailytalk_contiguous.core.errors import BadInput

#: Hz. The rate of all analysis (Silero, Whisper and wav2vec2 were trained at it).
ANALYSIS_RATE = 16000

#: Hz. Below, speech has lost the consonants that recognisers need; above, a file is likely mislabelled.
LOWEST_RATE, HIGHEST_RATE = 8000, 96000

#: Seconds read at a time: long enough to amortise the resampler, short enough to keep memory flat.
BLOCK_SECONDS = 20.0

#: libsndfile only estimates the length of these, so a difference says nothing.
_ESTIMATED_LENGTH = {"MP3", "MPEG"}

#: A WAV header says one of these when the program that wrote it did not know the length (it was streamed).
_UNKNOWN_LENGTHS = {0, 0xFFFFFFFF}

Samples = NDArray[np.float32]
Pcm = NDArray[np.int16]


@dataclass(frozen=True)
class Probe:
    """What a file says of itself: rate in Hz, number of channels, length in seconds, and the format's name."""

    sample_rate: int
    channels: int
    seconds: float
    format: str


def to_uri(path: Path) -> str:
    """A path as text that Arrow and JSON can hold: as it is, or a `file://` URI if its name is not UTF-8."""
    text = str(path)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "file://" + quote_from_bytes(bytes(path))
    return text


def from_uri(text: str) -> Path:
    """Undo `to_uri`."""
    if text.startswith("file://"):
        return Path(unquote_to_bytes(text.removeprefix("file://")).decode("utf-8", "surrogateescape"))
    return Path(text)


def probe(audio: dict[str, Any]) -> Probe:
    """Read the header of encoded audio, a `{"bytes", "path"}` struct.

    Raises:
        BadInput: it is empty, cut short, or nothing here can decode it.
    """
    _refuse_truncated(audio)
    try:
        with soundfile.SoundFile(_openable(audio)) as file:
            seconds = file.frames / file.samplerate
            return Probe(file.samplerate, file.channels, seconds, file.format)
    except soundfile.LibsndfileError as error:
        return Probe(*ffmpeg.probe(_path_for_ffmpeg(audio, error)))


def blocks(
    audio: dict[str, Any], start: float = 0.0, duration: float | None = None, block_seconds: float = BLOCK_SECONDS
) -> Iterator[Samples]:
    """Yield the samples of a part of a recording at its own rate, float32 in [-1, 1], shape (n, channels).

    Args:
        audio: a `{"bytes", "path"}` struct.
        start: seconds from the beginning of the file, taken to the nearest sample.
        duration: seconds; to the end if None.
        block_seconds: length of what is yielded at a time.

    Raises:
        BadInput: the file ends before its header says, holds samples that are no numbers, or can't be read.
    """
    try:
        with soundfile.SoundFile(_openable(audio)) as file:
            yield from _sound_file_blocks(file, start, duration, block_seconds)
            return
    except soundfile.LibsndfileError as error:
        if not ffmpeg.is_needed(str(error)):
            raise BadInput(f"it can't be decoded ({_cause(error)})", "copy or export the file again") from None
        path = _path_for_ffmpeg(audio, error)
    for block in ffmpeg.blocks(path, start, duration, block_seconds):
        yield _finite(block, start)


def analysis_blocks(audio: dict[str, Any], start: float = 0.0, duration: float | None = None) -> Iterator[Pcm]:
    """Yield a part of a recording as 16 kHz int16, shape (n, channels), through one streaming resampler."""
    info = probe(audio)
    resampler = None
    if info.sample_rate != ANALYSIS_RATE:
        resampler = soxr.ResampleStream(info.sample_rate, ANALYSIS_RATE, info.channels, dtype="float32")
    for block in blocks(audio, start, duration):
        yield to_pcm(resampler.resample_chunk(block) if resampler else block)
    if resampler:
        yield to_pcm(resampler.resample_chunk(np.zeros((0, info.channels), np.float32), last=True))


def read_analysis(audio: dict[str, Any], start: float = 0.0, duration: float | None = None) -> Pcm:
    """A part of a recording as 16 kHz int16, shape (n, channels). Raises BadInput as `blocks` does."""
    return np.concatenate(list(analysis_blocks(audio, start, duration)) or [np.zeros((0, 1), np.int16)])


def to_pcm(samples: Samples) -> Pcm:
    """Float samples in [-1, 1] as int16; what lies outside is clipped."""
    scaled: Samples = np.clip(np.rint(samples * np.float32(32768)), -32768, 32767)
    return scaled.astype(np.int16)


def pcm_to_float(data: bytes) -> Samples:
    """Little-endian int16 bytes as float32 in [-1, 1), shape (n,)."""
    return np.frombuffer(data, "<i2").astype(np.float32) / 32768.0


def _sound_file_blocks(
    file: soundfile.SoundFile, start: float, duration: float | None, block_seconds: float
) -> Iterator[Samples]:
    rate: int = file.samplerate
    first = round(start * rate)
    wanted = file.frames - first if duration is None else min(round(duration * rate), file.frames - first)
    if first:
        file.seek(first)
    done = 0
    while done < wanted:
        block = file.read(min(round(block_seconds * rate), wanted - done), dtype="float32", always_2d=True)
        if not len(block):
            break
        yield _finite(block, start + done / rate)
        done += len(block)
    if done < wanted and file.format not in _ESTIMATED_LENGTH:
        raise BadInput(
            f"the file ends at {start + done / rate:.1f} s but its header promises {file.frames / rate:.1f} s",
            "copy or export the recording again",
        )


def _finite(block: Samples, start: float) -> Samples:
    if not np.isfinite(block).all():
        raise BadInput(
            f"samples that are not numbers (NaN or infinite) after {start:.1f} s",
            "export the recording again, as 16-bit PCM or FLAC",
        )
    return block


def _openable(audio: dict[str, Any]) -> Any:
    if audio["bytes"] is not None:
        return io.BytesIO(audio["bytes"])
    return bytes(from_uri(audio["path"]))


def _path_for_ffmpeg(audio: dict[str, Any], error: Exception) -> Path:
    """The path that ffmpeg may try, or BadInput where it is no use."""
    if audio["bytes"] is not None or not ffmpeg.installed():
        raise BadInput(
            f"libsndfile can't read it ({_cause(error)})",
            "install ffmpeg if it is another audio format, or convert it to WAV or FLAC",
        ) from None
    return from_uri(audio["path"])


def _cause(error: Exception) -> str:
    """libsndfile's own words without the path that it puts before them."""
    return str(getattr(error, "error_string", error)).rstrip(".")


def _refuse_truncated(audio: dict[str, Any]) -> None:
    """Raise BadInput for an empty file and for a WAV that holds less than its header says.

    libsndfile quietly shortens such a WAV, so that half a conversation would pass for a whole one.
    """
    if audio["bytes"] is not None:
        head, size = audio["bytes"][:4096], len(audio["bytes"])
    else:
        path = from_uri(audio["path"])
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(4096)
    if not size:
        raise BadInput("the file is empty (0 bytes)", "copy or export the recording again")
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return
    at = 12
    while at + 8 <= len(head):
        name, promised = head[at : at + 4], int.from_bytes(head[at + 4 : at + 8], "little")
        held = size - at - 8
        if name == b"data" and promised not in _UNKNOWN_LENGTHS and held < promised:
            raise BadInput(
                f"the file is cut short: it holds {held} of the {promised} bytes that its header promises",
                "copy or export the recording again",
            )
        if name == b"data":
            return
        at += 8 + promised + promised % 2
