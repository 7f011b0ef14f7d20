"""Decodes by PyAV, whose libraries are FFmpeg's, what libsndfile can't read: M4A, AAC, WMA, the sound of videos.

A file may come from a stranger's dataset: only formats that are one file each are opened, never a playlist, which
opens what its text names.
"""

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.decoder import Encoded, decoder_before, open_container, packets_of
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.mp4_frames import refuse_endless_mp4

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer

#: Formats whose header has no length: FFmpeg guesses it from the first bit rate.
WITHOUT_LENGTH = {"aac", "ac3", "eac3", "amr", "amrnb", "amrwb", "dts", "mp3"}

#: Seconds by which the sound may be longer or shorter than promised: a container is as long as its longest track.
TOLERANCE = 1.0

#: Audio streams of a file that are looked at.
MOST_TRACKS = 64

_NO_AUDIO = BadInput("it holds no audio that can be read", "convert it to WAV or FLAC")
_COPY = "copy or export the recording again"


class StreamFacts(NamedTuple):
    """Rate in Hz, channels, seconds and tags of an audio stream, and the name of the format it is in.

    `start`: the second of the file's clock at which its sound begins.
    """

    sample_rate: int
    channels: int
    seconds: float
    format: str
    tags: dict[str, str]
    start: float = 0.0


def read_facts(file: BinaryIO) -> StreamFacts:
    """The facts of the first audio stream.

    Raises BadInput for a file without audio, and for one of a format that isn't read.
    """
    first = next(iter(_streams(file, most=1)), None)
    if first is None:
        raise _NO_AUDIO
    return first


def read_tracks(file: BinaryIO) -> list[StreamFacts]:
    """The facts of every audio stream, in their order: the tracks of a container.

    Raises BadInput as `read_facts` does, and for a file with a stream that can't be decoded.
    """
    tracks = _streams(file, most=MOST_TRACKS)
    if None in tracks or not tracks:
        raise _NO_AUDIO
    return [track for track in tracks if track]


def _streams(file: BinaryIO, most: int) -> list[StreamFacts | None]:
    """The facts of the first audio streams, at most so many; None for one that can't be decoded."""
    import av  # FFmpeg, which few files need; an extra brings it

    refuse_endless_mp4(file)
    try:
        container = open_container(file)
    except (av.FFmpegError, OSError, ValueError):
        raise _NO_AUDIO from None
    with container:
        return [_facts_of(container, stream) for stream in container.streams.audio[:most]]


def _facts_of(container: "InputContainer", stream: "AudioStream") -> StreamFacts | None:
    import av

    codec = stream.codec_context  # None where there is no decoder
    seconds = Fraction(container.duration or 0, av.time_base)
    if stream.duration and stream.time_base:
        seconds = stream.duration * stream.time_base
    if seconds <= 0 or container.format.name in WITHOUT_LENGTH:
        seconds = Fraction(0)
        for packet in packets_of(container, stream):
            ticks = packet.duration or 0
            seconds += ticks * packet.time_base
    if not (codec and codec.sample_rate and codec.channels and seconds > 0):
        return None
    start = Fraction(0)
    if stream.start_time and stream.time_base:
        start = stream.start_time * stream.time_base
    tags = container.metadata | stream.metadata
    name = container.format.name
    return StreamFacts(codec.sample_rate, codec.channels, float(seconds), name, tags, float(start))


def decoded_blocks(
    encoded: Encoded,
    stream: StreamFacts,
    block_seconds: float,
    start: float = 0.0,
    duration: float | None = None,
    track: int = 0,
) -> Iterator[NDArray[np.float32]]:
    """Yield the samples of a part of an audio stream, float32, shape (n, channels).

    They are those of the whole stream, decoded from its start, in whichever order parts are read.

    Args:
        encoded: an encoded file.
        stream: the facts of the stream.
        block_seconds: length of what is yielded at a time, to within a frame.
        start: seconds from the beginning of the stream.
        duration: seconds; to the end if None.
        track: the number of the stream among those of audio, from 0.

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
