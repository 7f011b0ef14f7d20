"""Decoding by PyAV, with FFmpeg's libraries, of formats that libsndfile can't read: M4A, AAC, WMA, videos.

A file may come from a stranger's dataset: only formats that are one file each are opened, never a playlist, which
opens what its text names.
"""

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.machine.decoder import Encoded, clock_start, decoder_before, open_container, packets_of

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer

#: Formats whose header has the length of the longest stream alone, such as that of the film.
WITH_ONE_LENGTH = {"matroska,webm", "flv", "asf"}

#: Seconds by which the sound may be longer or shorter than promised.
TOLERANCE = 1.0

_UNPACK = "unpack it, and give the recording that is in it"
_DOWNLOAD = "download it again: its address may have expired, or ask for a login"

#: Files that are given the name of a recording by mistake, by how they begin, with what to do about them.
NO_SOUND = (
    (b"<!doctype html", "a page of HTML", _DOWNLOAD),
    (b"<html", "a page of HTML", _DOWNLOAD),
    (b"<", "XML", _DOWNLOAD),
    (b"{", "JSON", _DOWNLOAD),
    (b"[", "JSON", _DOWNLOAD),
    (b"\x1f\x8b", "packed by gzip", _UNPACK),
    (b"pk\x03\x04", "a ZIP archive", _UNPACK),
)

#: Bytes of a file in which it shows what it is.
_HEAD = 1024
_COPY = "copy or export the recording again"


class StreamFacts(NamedTuple):
    """Rate in Hz, channels and seconds of an audio stream, and the name of its format.

    `seconds` counts to its end, from the start of the file's clock.
    """

    sample_rate: int
    channels: int
    seconds: float
    format: str


def read_facts(file: BinaryIO) -> StreamFacts:
    """Read the facts of the first audio stream.

    Raises BadInput for a file without audio, and for one of a format that isn't read.
    """
    streams = _streams(file)
    if not streams or streams[0] is None:
        raise _no_audio(file)
    return streams[0]


def read_tracks(file: BinaryIO) -> list[StreamFacts]:
    """Read the facts of every audio stream, in their order: the tracks of a container.

    Raises BadInput as `read_facts` does, and for a file with a stream that can't be decoded.
    """
    tracks = _streams(file)
    if None in tracks or not tracks:
        raise _no_audio(file)
    return [track for track in tracks if track]


def _no_audio(file: BinaryIO) -> BadInput:
    """Return the error for a file without audio that can be read. It names the kind of file if that is known."""
    reason = "it holds no audio that can be read"
    file.seek(0)
    head = file.read(_HEAD).removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for beginning, kind, remedy in NO_SOUND:
        if head.startswith(beginning):
            return BadInput(f"{reason}: it is {kind}", remedy)
    if head and head.isascii() and bytes(1) not in head:
        return BadInput(f"{reason}: it is text", _DOWNLOAD)
    return BadInput(reason, "convert it to WAV or FLAC")


def _streams(file: BinaryIO) -> list[StreamFacts | None]:
    """Read the facts of the audio streams, in their order; None for one that can't be decoded."""
    import av  # FFmpeg, which few files need; an extra brings it

    try:
        with open_container(file) as container:
            streams = container.streams.audio
            ends = [_end_in_header(container, stream) for stream in streams]
            if not all(ends):
                ends = _ends_of_packets(container)
            facts: list[StreamFacts | None] = []
            for stream, end in zip(streams, ends, strict=True):
                codec = stream.codec_context  # None where there is no decoder
                seconds = float(end - clock_start(container))
                if codec and codec.sample_rate and codec.channels and seconds > 0:
                    name = container.format.name
                    facts.append(StreamFacts(codec.sample_rate, codec.channels, seconds, name))
                else:
                    facts.append(None)
            return facts
    except (av.FFmpegError, OSError, ValueError):
        raise _no_audio(file) from None


#: Formats whose header has no length: FFmpeg guesses it from the first bit rate. That of a WAV is wrong where
#: libsndfile does not read it.
WITHOUT_LENGTH = {"aac", "ac3", "eac3", "amr", "amrnb", "amrwb", "dts", "mp3", "wav"}


def _end_in_header(container: "InputContainer", stream: "AudioStream") -> Fraction:
    """Return the time at which a stream ends, by the header of its file; 0 where that does not say."""
    import av

    if container.format.name in WITHOUT_LENGTH | WITH_ONE_LENGTH:
        return Fraction(0)
    if stream.duration and stream.time_base:
        start = stream.start_time or 0
        return (start + stream.duration) * stream.time_base
    if container.duration:
        return clock_start(container) + Fraction(container.duration, av.time_base)
    return Fraction(0)


def _ends_of_packets(container: "InputContainer") -> list[Fraction]:
    """Return the times at which the streams of sound end, by their packets; 0 for one that has none.

    The end of the file is read, and all of it where a stream has no packets there. Raises BadInput for a file that
    ends before its header says.
    """
    import av

    promised = 0
    if container.format.name in WITH_ONE_LENGTH:
        promised = container.duration or 0
    ends: dict[int, Fraction] = {}
    for start in sorted({promised, 0}, reverse=True):
        container.seek(start)
        ends = _ends_from_here(container)
        if all(stream.index in ends for stream in container.streams.audio):
            break
    promised_seconds = promised / av.time_base
    if max(ends.values(), default=0) < promised_seconds - TOLERANCE:
        raise BadInput(f"it does not last the {promised_seconds:.1f} s that its header promises", _COPY)
    return [ends.get(stream.index, Fraction(0)) for stream in container.streams.audio]


def _ends_from_here(container: "InputContainer") -> dict[int, Fraction]:
    """Return the time at which each stream's last packet ends, by the stream's index, if it has a packet."""
    starts: dict[int, Fraction] = {}
    ends: dict[int, Fraction] = {}
    for packet in packets_of(container):
        if packet.pts is None:  # the one without content that comes last
            continue
        index = packet.stream_index
        start = packet.pts * packet.time_base
        ticks = packet.duration or 0
        length = ticks * packet.time_base
        if not length:  # Matroska need not say how long a packet of AAC is: as long as the one before it
            length = start - starts.get(index, start)
        starts[index] = start
        ends[index] = max(ends.get(index, start), start + length)
    return ends


def decoded_blocks(
    encoded: Encoded,
    stream: StreamFacts,
    block_seconds: float,
    start: float = 0.0,
    duration: float | None = None,
    track: int = 0,
) -> Iterator[NDArray[np.float32]]:
    """Yield the samples of a part of an audio stream, float32, shape (n, channels).

    They are those of the whole stream, decoded from its start, in any order of parts.

    Args:
        encoded: encoded file.
        stream: facts of the stream.
        block_seconds: length of a block, to within a frame.
        start: seconds from the beginning of the stream.
        duration: seconds; to the end if None.
        track: number of the stream among those of audio, from 0.

    Raises:
        BadInput: the file is damaged, or longer or shorter than its header says.
        OSError: it can't be opened.
    """
    rate = stream.sample_rate
    seconds = stream.seconds
    end = seconds + TOLERANCE if duration is None else start + duration
    first = max(0, round(start * rate))
    last = round(end * rate)
    if duration is None:
        last += 1  # a sample that must not be there
    with decoder_before(encoded, stream.channels, track, first) as decoder:
        yield from decoder.blocks(first, last, round(block_seconds * rate))
        n_decoded = decoder.position
        if n_decoded / rate > seconds - TOLERANCE:
            decoder.close()  # next to nothing is left
    is_short = n_decoded / rate < min(seconds, end) - TOLERANCE
    is_long = duration is None and n_decoded >= last
    if is_short or is_long:
        raise BadInput(f"its sound does not last the {seconds:.1f} s that its header promises", _COPY)
