"""Reading of recordings: their headers, whether they are whole, and their samples, a block at a time.

libsndfile reads the formats that it knows, `machine.decoding` the rest.
"""

import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache, wraps
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, NamedTuple, TypeAlias, TypeVar
from urllib.parse import quote_from_bytes, unquote_to_bytes

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.record import EncodedAudio
from dailytalk_contiguous.core.sound.samples import (
    ANALYSIS_RATE,
    HIGHEST_RATE,
    LOWEST_RATE,
    LOWEST_RESAMPLED,
    Pcm,
    Samples,
    to_pcm,
)
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.machine.decoder import Encoded
from dailytalk_contiguous.machine.decoding import StreamFacts, decoded_blocks, read_facts, read_tracks
from dailytalk_contiguous.machine.promised_samples import STREAMED, promised_samples
from dailytalk_contiguous.machine.regular_files import open_regular
from dailytalk_contiguous.machine.sphere import refuse_shorten, sphere_head

# Completeness: libsndfile believes the length that an MP3 states or that it guesses from the first frame, so that
# half a conversation would pass for a whole one. `machine.promised_samples` looks at other formats.


_REMEDY = "copy or export the recording again"


# Reading recordings: the facts of a file, and its samples in blocks, at any rate, never all of it in memory.
#
# The only place that turns samples into seconds and back, and the only one of this floor that touches files.
# Analysis runs on 16 kHz 16-bit samples: that is what every model here wants, and it makes a minute of one channel
# 1.9 MB.
# Files are checked while they are read (cut short, not-a-number samples), because a header can promise anything.


#: What libsndfile reads, and what `machine.decoding` does. Other files in a folder are no recordings.
AUDIO_SUFFIXES = frozenset(
    """
    .wav .wave .flac .ogg .oga .opus .mp3 .aif .aiff .aifc .au .snd .caf .w64 .rf64 .sph
    .m4a .m4b .qta .aac .wma .amr .ac3 .mka .mp4 .m4v .mov .mkv .webm .avi
    """.split()  # noqa: SIM905 (a list of quoted words is no easier to read)
)


#: Seconds read at a time: long enough to amortise the resampler, short enough to keep memory flat.
BLOCK_SECONDS = 20.0

#: libsndfile takes the length of these from a header or guesses it from the first frame, to within a frame or two.
_MPEG = {"MP3", "MPEG"}


#: Encoded audio, also of a row whose type is not known: a mapping with the keys of `EncodedAudio`.
AudioStruct: TypeAlias = EncodedAudio | Mapping[str, Any]


@dataclass(frozen=True)
class AudioHeader:
    """The facts in a file's header: rate in Hz, number of channels, length in seconds, and the format's name."""

    sample_rate: int
    channels: int
    seconds: float
    format: str


def to_uri(path: Path) -> str:
    """Return a path as text for Arrow and JSON: as it is, or a `file://` URI if its name is not UTF-8."""
    text = str(path)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "file://" + quote_from_bytes(bytes(path))
    return text


def audio_at(path: Path) -> EncodedAudio:
    """Return the `{"bytes", "path"}` struct of a file, with its absolute path."""
    return {"bytes": None, "path": to_uri(path.absolute())}


def from_uri(text: str) -> Path:
    """Undo `to_uri`."""
    if text.startswith("file://"):
        return Path(unquote_to_bytes(text.removeprefix("file://")).decode("utf-8", "surrogateescape"))
    return Path(text)


def embedded(audio: AudioStruct | None) -> EncodedAudio:
    """Return the audio of a dataset's row as a `{"bytes", "path"}` struct whose path is None.

    Every reader of finished rows uses this: a dataset may come from a stranger, and a path in it may name any file
    of this machine. A row without bytes is no error here; its decoder raises BadInput.
    """
    data = audio.get("bytes") if isinstance(audio, Mapping) else None
    content = data if isinstance(data, bytes) else None
    return {"bytes": content, "path": None}


#: How a file of Git LFS begins while only its pointer is there (git-lfs.com, docs/spec.md).
LFS_POINTER = b"version https://git-lfs.github.com/spec/"

#: What to do about such a file.
LFS_REMEDY = "run git lfs pull in the checkout"


_Measured = TypeVar("_Measured")


#: Recordings whose header and completeness are remembered: every part of one asks for them.
_REMEMBERED = 1024


def _remembered(measure: Callable[[AudioStruct], _Measured]) -> Callable[[AudioStruct], _Measured]:
    """Wrap a function of encoded audio, so that it reads a file again only after its size or date has changed."""

    @lru_cache(maxsize=_REMEMBERED)
    def measure_file(path: str, size: int, modified: int) -> _Measured:
        del size, modified  # part of the cache's key: they distinguish this file from an earlier one of its name
        return measure({"bytes": None, "path": path})

    @wraps(measure)
    def measure_once(audio: AudioStruct) -> _Measured:
        if audio["bytes"] is not None or audio["path"] is None:
            return measure(audio)
        status = from_uri(audio["path"]).stat()
        return measure_file(audio["path"], status.st_size, status.st_mtime_ns)

    return measure_once


@_remembered
def _stream_facts(audio: AudioStruct) -> StreamFacts:
    """Return the facts of the first audio stream of a file, as `machine.decoding` reads them."""
    with _opened(audio) as (encoded, _):
        return read_facts(encoded)


#: Seconds by which the frames of an MP3 may differ from its stated length (its first and last frames are padding).
MP3_TOLERANCE = 1.0


@_remembered
def read_header(audio: AudioStruct) -> AudioHeader:
    """Read the header of encoded audio, a `{"bytes", "path"}` struct.

    A file that proved whole is not checked again by this process until its size or date changes.

    Raises:
        BadInput: there is none, it is empty or cut short, or nothing here can decode it.
    """
    with _opened(audio) as (encoded, size):
        if not size:
            raise BadInput("the file is empty (0 bytes)", _REMEDY)
        if encoded.read(len(LFS_POINTER)) == LFS_POINTER:
            raise BadInput("it is a Git LFS pointer, not the file itself", LFS_REMEDY)
        refuse_shorten(sphere_head(encoded))
        promised, held = promised_samples(encoded, size) or (0, 0)
        if held < promised and promised not in STREAMED:
            reason = f"it holds {held} of the {promised} bytes that its header promises"
            raise BadInput(f"the file is cut short: {reason}", _REMEDY)
        try:
            with _sound_file(audio) as file:
                seconds = file.frames / file.samplerate
                header = AudioHeader(file.samplerate, file.channels, seconds, file.format)
            if header.format not in _MPEG:
                return header
        except NotForLibsndfile:
            header = None
        stream = _stream_facts(audio)
        _refuse_wide(stream.sample_rate, stream.channels)
        if header is None:
            return AudioHeader(stream.sample_rate, stream.channels, stream.seconds, stream.format)
        if abs(stream.seconds - header.seconds) > MP3_TOLERANCE:
            reason = f"it holds {stream.seconds:.1f} s but its header makes it {header.seconds:.1f} s"
            raise BadInput(reason, "copy it again, or convert it to WAV or FLAC")
        return header


#: Subtypes of libsndfile of which 16 bits are not all.
_FINE = frozenset({"PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAC_20", "ALAC_24", "ALAC_32"})


def has_over_16_bits(audio: AudioStruct) -> bool:
    """Whether the samples of a file that libsndfile reads have more than 16 bits."""
    try:
        with _sound_file(audio) as file:
            return file.subtype in _FINE
    except NotForLibsndfile:
        return False


# Floats in a file are samples from -1 to 1 (or a little beyond, as an editor leaves them that does not clip), or
# integers that some program wrote as floats.

#: The largest float of a file that is never taken to hold integers. One with a larger sample holds integers if all
#: of its samples are whole numbers.
LOUDEST_FLOAT = 2.0

#: A file with a sample of this size or more holds integers in any case (they may have been resampled): 48 dB over
#: full scale is no recording.
NO_FLOAT = 256.0

#: Subtypes of libsndfile whose samples are floats.
_FLOATS = ("FLOAT", "DOUBLE")

#: Full scale of integers of 16, 24 and 32 bits.
FULL_SCALES = (2.0**15, 2.0**23, 2.0**31)


class _Floats(NamedTuple):
    """Facts of a file of floats: its highest sample, without its sign, and whether all are whole numbers."""

    peak: float
    are_whole: bool


@_remembered
def _floats_in(audio: AudioStruct) -> _Floats | None:
    """Read the whole of a file of floats for its facts; None for any other file."""
    peak = 0.0
    are_whole = True
    try:
        with _sound_file(audio) as file:
            if file.subtype not in _FLOATS:
                return None
            n_samples = round(BLOCK_SECONDS * file.samplerate)
            for block in _read_blocks(file, n_samples, "float64"):
                finite = np.where(np.isfinite(block), block, 0.0)  # others are refused where they are used
                peak = max(peak, float(np.abs(finite).max()))
                are_whole = are_whole and not np.any(finite % 1.0)
    except NotForLibsndfile:
        return None
    return _Floats(peak, are_whole)


def sample_scale(audio: AudioStruct) -> float:
    """Return the factor that brings the samples of a file to [-1, 1]: 1, except for floats beyond it.

    A file louder than full scale would be clipped, so it is divided by its peak. A file of floats is read whole
    for this, and the factor is remembered until its size or date changes. Raises BadInput as `blocks` does.
    """
    floats = _floats_in(audio)
    if floats is None or floats.peak <= 1.0:
        return 1.0
    if floats.peak <= LOUDEST_FLOAT or (floats.peak < NO_FLOAT and not floats.are_whole):
        return 1.0 / floats.peak
    reached = [full_scale for full_scale in FULL_SCALES if floats.peak <= full_scale]
    full_scale = reached[0] if reached else FULL_SCALES[-1]
    return 1.0 / full_scale


def float_headroom(audio: AudioStruct) -> float:
    """Return the factor from the loudest sample of a file of floats to full scale, at least 1; 1 for other files.

    A recorder of floats leaves the level for later: at 16 bits, soft samples would lose their detail.
    """
    floats = _floats_in(audio)
    if floats is None or floats.peak == 0:
        return 1.0
    return max(1.0 / floats.peak, 1.0)


def _read_blocks(
    file: soundfile.SoundFile, n_samples: int, dtype: str
) -> Iterator[NDArray[np.float32 | np.float64 | np.int16 | np.int32]]:
    """Yield the samples of an open file from its position to its end, shape (n, channels), so many at a time."""
    block = file.read(n_samples, dtype=dtype, always_2d=True)
    while len(block):
        yield block
        block = file.read(n_samples, dtype=dtype, always_2d=True)


def scale_note(audio: AudioStruct) -> str:
    """Return a sentence for people on a file whose samples are scaled (`sample_scale`); empty for other files."""
    scale = sample_scale(audio)
    if scale == 1.0:
        return ""
    if 1 / scale in FULL_SCALES:
        return f"its float samples are integers, and were divided by {1 / scale:,.0f}"
    return f"its float samples are louder than full scale, and were divided by {1 / scale:.3g}"


#: Held while standard error is turned away: two threads must not keep each other's.
_SILENCE = Lock()


@contextmanager
def _silenced() -> Iterator[None]:
    """Keep from the terminal what libmpg123 writes of the damaged frames before a part, which are left out."""
    with _SILENCE, open(os.devnull, "wb") as nowhere:
        kept = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


#: Seconds that are decoded and left out before a part: libsndfile finds its place exactly, but the first frames of
#: an MP3 after that are damaged, and so is all that follows when it lands in the last page of an Ogg Vorbis.
_PREROLL_SECONDS = 5.0


def blocks(
    audio: AudioStruct, start: float = 0.0, duration: float | None = None, block_seconds: float = BLOCK_SECONDS
) -> Iterator[Samples]:
    """Yield the samples of a part of a recording at its own rate, float32 in [-1, 1], shape (n, channels).

    Floats beyond full scale are scaled (`sample_scale`).

    Args:
        audio: a `{"bytes", "path"}` struct.
        start: seconds from the beginning of the file, taken to the nearest sample.
        duration: seconds; to the end if None.
        block_seconds: length of a block, to within a frame of a compressed file.

    Raises:
        BadInput: the file ends before its header says, holds samples that are no numbers, or can't be read.
    """
    try:
        with _sound_file(audio) as file:
            rate: int = file.samplerate
            scale = np.float32(sample_scale(audio) if file.subtype in _FLOATS else 1.0)
            first = min(round(start * rate), file.frames)
            wanted = file.frames - first
            if duration is not None:
                wanted = min(round(duration * rate), wanted)
            if first and file.subtype in _WHOLE:
                file.seek(first)
            elif first:
                preroll = min(first, round(_PREROLL_SECONDS * rate))
                with _silenced():
                    file.seek(first - preroll)
                    file.read(preroll, dtype="float32")
            done = 0
            while done < wanted:
                n_samples = min(round(block_seconds * rate), wanted - done)
                block = file.read(n_samples, dtype="float32", always_2d=True)
                if not len(block):
                    break
                block = _finite(block, start + done / rate)
                yield block if scale == 1.0 else block * scale
                done += len(block)
            if done < wanted and file.format not in _MPEG:
                end = start + done / rate
                promised = file.frames / rate
                reason = f"the file ends at {end:.1f} s but its header promises {promised:.1f} s"
                raise BadInput(reason, _REMEDY)
            return
    except NotForLibsndfile:
        read_header(audio)  # raises BadInput for a file that was cut short
        stream = _stream_facts(audio)
        for block in decoded_blocks(_encoded(audio), stream, block_seconds, start, duration):
            yield _finite(block, start)
            start += len(block) / stream.sample_rate


def tracks(audio: AudioStruct) -> list[StreamFacts]:
    """Return the audio tracks of a container that libsndfile can't read (video, M4A); none of any other file.

    Raises BadInput as `read_header` does.
    """
    try:
        with _sound_file(audio):
            return []
    except NotForLibsndfile:
        with _opened(audio) as (encoded, _):
            return read_tracks(encoded)


def track_at(audio: AudioStruct, track: int, sample_rate: int) -> Iterator[Samples]:
    """Yield the mean of the channels of an audio track, float32, shape (n,), at a rate in Hz.

    `track` is its number in `tracks`, from 0. Raises BadInput as `blocks` does.
    """
    facts = tracks(audio)[track]

    def means() -> Iterator[Samples]:
        done = 0.0
        for block in decoded_blocks(_encoded(audio), facts, BLOCK_SECONDS, track=track):
            yield _finite(block, done).mean(axis=1)
            done += len(block) / facts.sample_rate

    yield from resampled(means(), facts.sample_rate, sample_rate)


def resampled(chunks: Iterable[Samples], rate: float, new_rate: float, channels: int = 1) -> Iterator[Samples]:
    """Yield the chunks of a sound, shape (n, channels), or (n,) of one channel, at another rate in Hz.

    One resampler streams through all of them. At their own rate they stay bit for bit.
    """
    if rate == new_rate:
        yield from chunks
        return
    resampler = soxr.ResampleStream(rate, new_rate, channels, dtype="float32")
    nothing = np.zeros((0, channels), np.float32)
    for chunk in chunks:
        nothing = chunk[:0]
        yield resampler.resample_chunk(np.ascontiguousarray(chunk))
    yield resampler.resample_chunk(nothing, last=True)


class SampleFormat(NamedTuple):
    """A format that keeps a file's samples whole in a WAV: libsndfile's subtype, and the type of an array."""

    subtype: str
    dtype: str


#: The formats that keep the samples of subtypes that lose nothing.
_WHOLE = {
    **dict.fromkeys(("PCM_U8", "PCM_S8"), SampleFormat("PCM_U8", "int16")),
    **dict.fromkeys(("PCM_16", "ALAC_16", "ULAW", "ALAW"), SampleFormat("PCM_16", "int16")),
    **dict.fromkeys(("PCM_24", "ALAC_20", "ALAC_24"), SampleFormat("PCM_24", "int32")),
    **dict.fromkeys(("PCM_32", "ALAC_32"), SampleFormat("PCM_32", "int32")),
    "FLOAT": SampleFormat("FLOAT", "float32"),
    "DOUBLE": SampleFormat("DOUBLE", "float64"),
}

#: The format of what is compressed: it is decoded once, to 16 bits.
_DECODED = SampleFormat("PCM_16", "int16")

#: The format of what libsndfile can't read: it may have lost nothing (ALAC in an M4A, APE), and seldom has more
#: than 24 bits.
_OTHERS = SampleFormat("PCM_24", "int32")


def sample_format(audio: AudioStruct) -> SampleFormat:
    """Return the format that keeps all of a recording's samples whole."""
    try:
        with _sound_file(audio) as file:
            return _WHOLE.get(file.subtype, _DECODED)
    except NotForLibsndfile:
        return _OTHERS


def whole_blocks(audio: AudioStruct, block_seconds: float = BLOCK_SECONDS) -> Iterator[NDArray[np.generic]]:
    """Yield the samples of a recording as the file has them, shape (n, channels).

    They are of the type that `sample_format` names; floats that hold integers are scaled (`sample_scale`). Raises
    BadInput as `blocks` does.
    """
    kept = sample_format(audio)
    with suppress(NotForLibsndfile), _sound_file(audio) as file:
        if file.subtype in _WHOLE:
            scale = sample_scale(audio) if file.subtype in _FLOATS else 1.0
            n_samples = round(block_seconds * file.samplerate)
            for samples in _read_blocks(file, n_samples, kept.dtype):
                yield samples if scale == 1.0 else samples * samples.dtype.type(scale)
            return
    for block in blocks(audio, block_seconds=block_seconds):
        if kept is _DECODED:
            yield to_pcm(block)
        else:
            steps = np.rint(block.astype(np.float64) * 2**23)
            whole = np.clip(steps, -(2**23), 2**23 - 1)
            yield whole.astype(np.int32) << 8


def blocks_at(
    audio: AudioStruct,
    sample_rate: int,
    start: float = 0.0,
    duration: float | None = None,
    tap: Callable[[Samples], object] | None = None,
) -> Iterator[Samples]:
    """Yield a part of a recording as float32 at a rate in Hz, shape (n, channels), by one streaming resampler.

    At its own rate it stays bit for bit. `tap` is called with each block as `blocks` yields it, before it is
    resampled. Raises BadInput as `blocks` does.
    """
    info = read_header(audio)
    if info.sample_rate != sample_rate and info.sample_rate < LOWEST_RESAMPLED:
        reason = f"its sample rate is {info.sample_rate} Hz"
        raise BadInput(reason, f"export it again at {LOWEST_RATE} to {HIGHEST_RATE} Hz")

    def tapped() -> Iterator[Samples]:
        for block in blocks(audio, start, duration):
            if tap is not None:
                tap(block)
            yield block

    yield from resampled(tapped(), info.sample_rate, sample_rate, info.channels)


#: Samples by which a length in seconds may be wrong: a frame of MP3 or two at any rate.
_SPARE = 8192


def read_pcm(
    audio: AudioStruct,
    start: float = 0.0,
    duration: float | None = None,
    tap: Callable[[Samples], object] | None = None,
    sample_rate: int = ANALYSIS_RATE,
    gain: float = 1.0,
) -> Pcm:
    """Read the blocks of `blocks_at`, times a gain, as one array of int16.

    Without a gain, 16-bit samples at that rate are unchanged.
    """
    info = read_header(audio)
    remaining = info.seconds - start
    wanted = remaining if duration is None else min(duration, remaining)
    seconds = min(max(0.0, wanted), 3600.0)  # a header may promise more than there is
    # One array from the start: blocks joined at the end exist twice, 50 MB for a quarter of an hour.
    samples = np.empty((round(seconds * sample_rate) + _SPARE, info.channels), np.int16)
    held = 0
    for block in blocks_at(audio, sample_rate, start, duration, tap):
        if held + len(block) > len(samples):
            spare = np.empty((held + len(block), info.channels), np.int16)
            samples = np.concatenate((samples[:held], spare))
        samples[held : held + len(block)] = to_pcm(block if gain == 1.0 else block * np.float32(gain))
        held += len(block)
    return samples[:held]


def read_at(audio: AudioStruct, sample_rate: int, start: float = 0.0, duration: float | None = None) -> Samples:
    """Read a part of a recording as float32, shape (n, channels), at `sample_rate`: bit for bit at its own rate.

    Raises BadInput as `blocks` does.
    """
    nothing = np.zeros((0, read_header(audio).channels), np.float32)
    return np.concatenate([nothing, *blocks_at(audio, sample_rate, start, duration)])


#: Beyond what any format means by a sample: floats that hold 32-bit integers reach 2 ** 31, others about 1.
_LARGEST_SAMPLE = 2.0**32


def _finite(block: Samples, start: float) -> Samples:
    lowest = block.min(initial=0.0)
    highest = block.max(initial=0.0)  # NaN if one sample is
    if not -_LARGEST_SAMPLE <= lowest <= highest <= _LARGEST_SAMPLE:
        kinds = f"NaN, infinite or beyond {_LARGEST_SAMPLE:.0e}"
        reason = f"samples that are not numbers ({kinds}) after {start:.1f} s"
        raise BadInput(reason, "export the recording again, as 16-bit PCM or FLAC")
    return block


class _Sequential(soundfile.SoundFile):  # type: ignore[misc]
    """A file without python-soundfile's seek after every read: MP3 frames need the bits of those before."""

    def seekable(self) -> bool:
        return False


class NotForLibsndfile(Exception):
    """A file that libsndfile doesn't know, or whose length it can't tell: `machine.decoding` reads it."""


#: What libsndfile says of a file that it does not know.
_UNKNOWN = ("not recognised", "unknown format", "unimplemented")

#: libsndfile's number of frames (SF_COUNT_MAX) for a FLAC that was streamed.
_UNKNOWN_FRAMES = 2**63 - 1


@contextmanager
def _sound_file(audio: AudioStruct) -> Iterator[soundfile.SoundFile]:
    """Open a file. Raises NotForLibsndfile, and BadInput for a damaged file of a format that libsndfile knows."""
    with _opened(audio) as (encoded, size):
        promised = promised_samples(encoded, size)
        if promised and promised[0] == 0 < promised[1]:  # libsndfile takes a length of 0 at its word
            raise NotForLibsndfile
        encoded.seek(0)
        # The descriptor and not the path, which could be another file by now.
        source: BinaryIO | int = encoded
        if audio["bytes"] is None:
            source = encoded.fileno()
            os.lseek(source, 0, os.SEEK_SET)
        try:
            with _Sequential(source, closefd=False) as file:
                if file.frames == _UNKNOWN_FRAMES:
                    raise NotForLibsndfile
                _refuse_wide(file.samplerate, file.channels)
                yield file
        except soundfile.LibsndfileError as error:
            message = str(error).lower()
            if any(unknown in message for unknown in _UNKNOWN):
                raise NotForLibsndfile from None
            cause = str(error.error_string).rstrip(".")  # without the path before it
            raise BadInput(f"it can't be decoded ({cause})", "copy or export the file again") from None


#: Samples of all channels in a second of sound: 64 channels at 48 kHz, or 32 at 96 kHz, of which `BLOCK_SECONDS`
#: take 250 MB. 200 kB of Vorbis can hold 255 channels of silence at 192 kHz.
MOST_SAMPLES_A_SECOND = 64 * 48_000


def _refuse_wide(sample_rate: int, channels: int) -> None:
    """Raise BadInput for sound so wide that a block would fill memory."""
    if channels * sample_rate > MOST_SAMPLES_A_SECOND:
        reason = f"it has {counted(channels, 'channel')} at {sample_rate:,} Hz, more than can be read at a time"
        raise BadInput(reason, "export it again with fewer channels, or at a lower rate")


@contextmanager
def _opened(audio: AudioStruct) -> Iterator[tuple[BinaryIO, int]]:
    """Open encoded audio as a binary file, and return it with its size in bytes."""
    encoded = _encoded(audio)
    if isinstance(encoded, bytes):
        yield io.BytesIO(encoded), len(encoded)
        return
    with open_regular(encoded) as file:
        yield file, os.fstat(file.fileno()).st_size


def _encoded(audio: AudioStruct) -> Encoded:
    """Return the content of encoded audio, or the path of its file. Raises BadInput where there is neither."""
    content: bytes | None = audio["bytes"]
    if content is not None:
        return content
    if audio["path"] is None:
        reason = "the row holds no audio (of a dataset only embedded bytes are read, never a path)"
        raise BadInput(reason, "publish or build the dataset again with its audio in it")
    return from_uri(audio["path"])


# The one channel of a clip of one speaker, from files with one or two channels.
#
# Corpora of single speakers hold stray stereo files: a dead second channel, the same microphone twice, or once
# inverted. These are recognised by their levels and correlation; two channels that differ have more than one
# speaker (or two microphones, whose sum would comb), and are rejected rather than mixed.


#: What to do with a recording of one channel where two are needed.
ONE_CHANNEL = (
    "if it is one side of a call, put the other side beside it, named as in call.left.wav and call.right.wav; if "
    "both speak in it, separate them into such files; or run dailytalk tag --channel mix to take it as one speaker"
)


def same_sound_remedy(audio: AudioStruct | None) -> str:
    """Return the remedy for a recording whose channels carry the same sound: its other tracks may be the sides."""
    with suppress(BadInput, OSError):
        n_tracks = len(tracks(audio)) if audio else 0
        if n_tracks > 1:
            return tracks_remedy(n_tracks)
    return ONE_CHANNEL


def tracks_remedy(count: int) -> str:
    """Return the remedy for a container of several audio tracks whose first one does not hold both sides."""
    if count == 2:
        return "it has two audio tracks: pass --tracks 1,2 if they are the two speakers"
    return f"it has {count} audio tracks: pass those of the two speakers, such as --tracks 1,2 or --tracks 2,3"
