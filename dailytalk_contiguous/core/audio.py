"""Reading recordings: what is in a file, and its samples in blocks, at any rate, without holding it whole.

The only place that turns samples into seconds and back, and the only one of this floor that touches files.
libsndfile reads what it can; anything else goes through the `ffmpeg` program where it is installed. Analysis
runs on 16 kHz 16-bit samples: that is what every model here wants, and it makes a minute of one channel 1.9 MB.
Files are checked while they are read (cut short, not-a-number samples), because a header can promise anything.
"""

import io
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote_from_bytes, unquote_to_bytes

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from dailytalk_contiguous.core import ffmpeg
from dailytalk_contiguous.core.completeness import mended, refuse_truncated, refuse_wrong_length
from dailytalk_contiguous.core.errors import BadInput

#: Hz. The rate of all analysis (Silero, Whisper and wav2vec2 were trained at it).
ANALYSIS_RATE = 16000

#: Hz. Below, speech has lost the consonants that recognisers need; above, a file is likely mislabelled.
LOWEST_RATE, HIGHEST_RATE = 8000, 96000

#: Seconds read at a time: long enough to amortise the resampler, short enough to keep memory flat.
BLOCK_SECONDS = 20.0

#: libsndfile takes the length of these from a header or guesses it from the first frame, to within a frame or two.
_MPEG = {"MP3", "MPEG"}

#: libsndfile's number of frames (SF_COUNT_MAX) for a FLAC that was streamed.
_UNKNOWN_FRAMES = 2**63 - 1

#: Seconds that are decoded and left out before a part: libsndfile finds its place exactly, but the first frames of
#: an MP3 after that are damaged, and so is all that follows when it lands in the last page of an Ogg Vorbis.
_PREROLL_SECONDS = 5.0

#: Samples by which a length in seconds may be wrong: a frame of MP3 or two at any rate.
_SPARE = 8192

#: Seconds that are made room for because a header says so; what is longer has to be there first.
_LONGEST_PROMISE = 3600.0

#: Recordings whose header and completeness are remembered: every part of one asks for them, and a day of MP3 has
#: millions of frames to walk.
_REMEMBERED = 1024

#: Beyond what any format means by a sample: floats that hold 32-bit integers reach 2 ** 31, others about 1.
_LARGEST_SAMPLE = 2.0**32

_KINDS = {
    stat.S_IFDIR: "a folder that can't be searched",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}

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


def embedded(audio: Mapping[str, Any] | None) -> dict[str, Any]:
    """The audio of a dataset's row as a `{"bytes", "path"}` struct whose path is None.

    Every reader of finished rows goes through this: a dataset may come from anybody, and a path in one may name
    any file of this machine. A row without bytes is no error here; whoever decodes it raises BadInput.
    """
    data = audio.get("bytes") if isinstance(audio, Mapping) else None
    return {"bytes": data if isinstance(data, bytes) else None, "path": None}


#: How a file of Git LFS begins while only its pointer is there (git-lfs.com, docs/spec.md).
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
LFS_REMEDY = "run git lfs pull in the checkout"


def probe(audio: dict[str, Any]) -> Probe:
    """Read the header of encoded audio, a `{"bytes", "path"}` struct.

    A file that was found whole is not looked at again by this process until its size or date changes.

    Raises:
        BadInput: there is none, it is no regular file, empty or cut short, or nothing here can decode it.
    """
    if audio["bytes"] is not None or audio["path"] is None:
        return _probe(audio)
    status = from_uri(audio["path"]).stat()
    _refuse_irregular(status.st_mode)
    return _probe_file(audio["path"], status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=_REMEMBERED)
def _probe_file(path: str, size: int, modified: int) -> Probe:
    del size, modified  # they tell this file from what was there before
    return _probe({"bytes": None, "path": path})


def _probe(audio: dict[str, Any]) -> Probe:
    with _opened(audio) as (encoded, size):
        refuse_truncated(encoded, size)
        encoded.seek(0)
        if encoded.read(len(LFS_POINTER)) == LFS_POINTER:
            raise BadInput("it is a Git LFS pointer, not the file itself", LFS_REMEDY)
        try:
            with _sound_file(audio) as file:
                found = Probe(file.samplerate, file.channels, file.frames / file.samplerate, file.format)
                frames = file.frames
        except soundfile.LibsndfileError as error:
            return Probe(*ffmpeg.probe(_path_for_ffmpeg(audio, error)))
        if frames == _UNKNOWN_FRAMES:
            raise BadInput("its header does not say how long it is (it was streamed)", "convert it to WAV or FLAC")
        if found.format in _MPEG:
            refuse_wrong_length(encoded, found.seconds)
    return found


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
        with _sound_file(audio) as file:
            yield from _sound_file_blocks(file, start, duration, block_seconds)
            return
    except soundfile.LibsndfileError as error:
        if not ffmpeg.is_needed(str(error)):
            raise BadInput(f"it can't be decoded ({_cause(error)})", "copy or export the file again") from None
        path = _path_for_ffmpeg(audio, error)
    for block in ffmpeg.blocks(path, start, duration, block_seconds):
        yield _finite(block, start)


def pcm_blocks(
    audio: dict[str, Any], sample_rate: int, start: float = 0.0, duration: float | None = None
) -> Iterator[Pcm]:
    """Yield a part of a recording as int16 at a rate in Hz, shape (n, channels), by one streaming resampler.

    16-bit samples at that rate come back unchanged. Raises BadInput as `blocks` does.
    """
    info = probe(audio)
    resampler = None
    if info.sample_rate != sample_rate:
        resampler = soxr.ResampleStream(info.sample_rate, sample_rate, info.channels, dtype="float32")
    for block in blocks(audio, start, duration):
        yield to_pcm(resampler.resample_chunk(block) if resampler else block)
    nothing = np.zeros((0, info.channels), np.float32)
    yield to_pcm(resampler.resample_chunk(nothing, last=True) if resampler else nothing)


def analysis_blocks(audio: dict[str, Any], start: float = 0.0, duration: float | None = None) -> Iterator[Pcm]:
    """`pcm_blocks` at the rate of all analysis, 16 kHz."""
    return pcm_blocks(audio, ANALYSIS_RATE, start, duration)


def read_analysis(audio: dict[str, Any], start: float = 0.0, duration: float | None = None) -> Pcm:
    """`read_pcm` at the rate of all analysis, 16 kHz."""
    return read_pcm(audio, ANALYSIS_RATE, start, duration)


def read_pcm(audio: dict[str, Any], sample_rate: int, start: float = 0.0, duration: float | None = None) -> Pcm:
    """What `pcm_blocks` yields, as one array."""
    info = probe(audio)
    left = info.seconds - start
    seconds = min(max(0.0, left if duration is None else min(duration, left)), _LONGEST_PROMISE)
    # One array from the start: blocks put together at the end are there twice, 50 MB for a quarter of an hour.
    samples = np.empty((round(seconds * sample_rate) + _SPARE, info.channels), np.int16)
    held = 0
    for block in pcm_blocks(audio, sample_rate, start, duration):
        if held + len(block) > len(samples):
            samples = np.concatenate((samples[:held], np.empty((held + len(block), info.channels), np.int16)))
        samples[held : held + len(block)] = block
        held += len(block)
    return samples[:held]


def read_at(audio: dict[str, Any], sample_rate: int, start: float = 0.0, duration: float | None = None) -> Samples:
    """A part of a recording as float32, shape (n, channels), at `sample_rate`: bit for bit if that is its rate.

    Raises BadInput as `blocks` does.
    """
    info = probe(audio)
    found = [np.zeros((0, info.channels), np.float32)]
    if info.sample_rate == sample_rate:
        return np.concatenate([*found, *blocks(audio, start, duration)])
    resampler = soxr.ResampleStream(info.sample_rate, sample_rate, info.channels, dtype="float32")
    found += [resampler.resample_chunk(block) for block in blocks(audio, start, duration)]
    found.append(resampler.resample_chunk(np.zeros((0, info.channels), np.float32), last=True))
    return np.concatenate(found)


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
    before = min(first, round(_PREROLL_SECONDS * rate))
    if first:
        file.seek(first - before)
        file.read(before, dtype="float32")
    done = 0
    while done < wanted:
        block = file.read(min(round(block_seconds * rate), wanted - done), dtype="float32", always_2d=True)
        if not len(block):
            break
        yield _finite(block, start + done / rate)
        done += len(block)
    if done < wanted and file.format not in _MPEG:
        raise BadInput(
            f"the file ends at {start + done / rate:.1f} s but its header promises {file.frames / rate:.1f} s",
            "copy or export the recording again",
        )


def _finite(block: Samples, start: float) -> Samples:
    if not (np.abs(block) <= _LARGEST_SAMPLE).all():  # False for NaN too
        raise BadInput(
            f"samples that are not numbers (NaN, infinite or beyond {_LARGEST_SAMPLE:.0e}) after {start:.1f} s",
            "export the recording again, as 16-bit PCM or FLAC",
        )
    return block


class _Sequential(soundfile.SoundFile):  # type: ignore[misc]
    """Without the seek that python-soundfile makes after every read: MP3 frames need the bits of those before."""

    def seekable(self) -> bool:
        return False


@contextmanager
def _sound_file(audio: dict[str, Any]) -> Iterator[soundfile.SoundFile]:
    with _opened(audio) as (encoded, size):
        source: Any = mended(encoded, size)
        if source is None:
            encoded.seek(0)
            # The descriptor and not the path, which could be another file by now.
            source = encoded if audio["bytes"] is not None else encoded.fileno()
            if isinstance(source, int):
                os.lseek(source, 0, os.SEEK_SET)
        with _Sequential(source, closefd=False) as file:
            yield file


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


@contextmanager
def _opened(audio: dict[str, Any]) -> Iterator[tuple[BinaryIO, int]]:
    """The encoded audio as a binary file, and its size in bytes."""
    if audio["bytes"] is not None:
        yield io.BytesIO(audio["bytes"]), len(audio["bytes"])
        return
    if audio["path"] is None:
        raise BadInput(
            "the row holds no audio (of a dataset only embedded bytes are read, never a path)",
            "publish or build the dataset again with its audio in it",
        )
    path = from_uri(audio["path"])
    _refuse_irregular(path.stat().st_mode)
    with open(path, "rb", opener=_without_waiting) as file:
        status = os.fstat(file.fileno())
        _refuse_irregular(status.st_mode)
        yield file, status.st_size


def _without_waiting(path: str, flags: int) -> int:
    # A pipe put in a recording's place would be waited on for ever.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _refuse_irregular(mode: int) -> None:
    """Raise BadInput for what is no file: opening a pipe waits for ever, and a device may never end."""
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "something else")
        raise BadInput(f"it is {kind}, not a file", "copy the recording into a file")
