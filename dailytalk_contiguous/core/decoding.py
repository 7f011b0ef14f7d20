"""A program that decodes what libsndfile can't read (M4A, AAC, WMA, the sound of videos) for `core.audio`.

PyAV's libraries, which are FFmpeg's, run in this process alone: a crash, an endless loop or too much memory on a
damaged or hostile file costs that file and not the run. It imports nothing but PyAV, so that it starts in a tenth
of a second, takes one file after another, and ends with the process that started it.
"""

import json
import os
import resource
import signal
import socket
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, BinaryIO

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet

#: Formats that are one file each, by the names of FFmpeg's demuxers. Never hls, dash, concat, sdp, image2 or
#: lavfi, which open what their text names.
FORMATS = (
    *("mov", "matroska", "webm", "asf", "avi", "flv", "mpeg", "mpegts", "3gp"),
    *("aac", "ac3", "eac3", "amr", "amrnb", "amrwb", "mp3", "ogg", "flac", "wav", "w64", "aiff", "caf", "au"),
    *("ape", "dsf", "dts", "tta", "wv"),
)

#: Those whose header has no length: FFmpeg guesses it from the first bit rate.
WITHOUT_LENGTH = {"aac", "ac3", "eac3", "amr", "amrnb", "amrwb", "dts", "mp3"}

#: Bytes of memory that this process may take. The parser would keep all of a file in which no frame begins.
MOST_MEMORY = 1 << 30

#: Seconds by which the sound may be longer or shorter than promised: a container is as long as its longest track.
TOLERANCE = 1.0

#: Characters of a tag that are kept.
LONGEST_TAG = 10_000

_NO_AUDIO = "it holds no audio that can be read"
_CONVERT = "convert it to WAV or FLAC"
_COPY = "copy or export the recording again"


class Unreadable(Exception):
    """The reason and the remedy of a `core.errors.BadInput`."""


def serve() -> None:
    """Answer requests until the process that sends them ends.

    A request is the arguments of `_answers` in JSON, and the descriptor of a file. It is answered by lines of
    JSON, of which those with `bytes` are followed by so many; the last is an `error`, null for none.
    """
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, MOST_MEMORY))
    requests = socket.socket(fileno=0)
    answers = requests.makefile("wb")
    while True:
        request, descriptors, _, _ = socket.recv_fds(requests, 4096, 1)
        if not request:
            return
        error: Any = None
        try:
            with os.fdopen(descriptors[0], "rb", buffering=0) as file:
                for answer, block in _answers(file, **json.loads(request)):
                    answers.write(json.dumps(answer).encode() + b"\n")
                    answers.write(block)
                    answers.flush()
        except Unreadable as problem:
            error = problem.args
        except (av.FFmpegError, OSError, ValueError, MemoryError) as problem:
            error = f"it can't be decoded ({getattr(problem, 'strerror', problem) or 'out of memory'})", _CONVERT
        answers.write(json.dumps({"error": error}).encode() + b"\n")
        answers.flush()


def _answers(
    file: BinaryIO,
    patience: float,
    decode: bool = False,
    start: float = 0.0,
    duration: float | None = None,
    block_seconds: float = 1.0,
) -> Iterator[tuple[dict[str, Any], bytes | bytearray]]:
    """The facts of a file, then, if `decode` is true, the samples of a part of it as interleaved float32.

    `patience`: seconds of processor time that one packet may take; after them this process ends.
    """
    facts = _facts(file, patience)
    yield facts, b""
    if not decode:
        return
    rate, channels, seconds = facts["sample_rate"], facts["channels"], facts["seconds"]
    end = seconds + TOLERANCE if duration is None else start + duration
    first, last, done = round(start * rate), round(end * rate), 0
    sample_size = 4 * channels
    block_size = max(1, round(block_seconds * rate)) * sample_size
    held = bytearray()
    # All before the part is decoded, too: a decoder that begins in the midst of a file gives other samples.
    for samples in _samples(file, rate, channels, patience):
        held += samples[max(0, first - done) * sample_size : max(0, last - done) * sample_size]
        done += len(samples) // sample_size
        while len(held) >= block_size:
            yield {"bytes": block_size}, held[:block_size]
            del held[:block_size]
        if done > last:
            break
    if held:
        yield {"bytes": len(held)}, held
    if duration is None and done > last:
        raise Unreadable(f"it goes on after the {seconds:.1f} s that its header promises", _COPY)
    if done / rate < min(seconds, end) - TOLERANCE:
        raise Unreadable(f"the file ends at {done / rate:.1f} s but its header promises {seconds:.1f} s", _COPY)


def _facts(file: BinaryIO, patience: float) -> dict[str, Any]:
    """Rate in Hz, channels, seconds and tags of the first audio stream, and the name of the format."""
    try:
        container = _open(file, patience)
    except (av.FFmpegError, OSError):
        raise Unreadable(_NO_AUDIO, _CONVERT) from None
    with container:
        for stream in container.streams.audio[:1]:
            codec = stream.codec_context  # None where there is no decoder
            seconds = Fraction(container.duration or 0, av.time_base)
            if stream.duration and stream.time_base:
                seconds = stream.duration * stream.time_base
            if seconds <= 0 or container.format.name in WITHOUT_LENGTH:
                packets = _packets(container, stream, patience)
                seconds = sum((packet.duration or 0) * packet.time_base for packet in packets) or Fraction(0)
            tags = container.metadata | stream.metadata
            if codec and codec.sample_rate and codec.channels and seconds > 0:
                return {
                    "sample_rate": codec.sample_rate,
                    "channels": codec.channels,
                    "seconds": float(seconds),
                    "format": container.format.name,
                    "tags": {name: text[:LONGEST_TAG] for name, text in tags.items()},
                }
    raise Unreadable(_NO_AUDIO, _CONVERT)


def _samples(file: BinaryIO, rate: int, channels: int, patience: float) -> Iterator[memoryview]:
    """The samples of each frame of the first audio stream, as interleaved float32."""
    with _open(file, patience) as container:
        stream, resampler, done = container.streams.audio[0], av.AudioResampler(format="flt"), 0
        for packet in _packets(container, stream, patience):
            for decoded in packet.decode():
                if (decoded.sample_rate, decoded.layout.nb_channels) != (rate, channels):
                    raise Unreadable(f"its rate or its channels change at {done / rate:.1f} s", _CONVERT)
                for frame in resampler.resample(decoded):
                    yield memoryview(frame.planes[0])[: frame.samples * 4 * channels]
                    done += frame.samples


def _open(file: BinaryIO, patience: float) -> InputContainer:
    file.seek(0)
    signal.setitimer(signal.ITIMER_PROF, patience)
    lists = {"format_whitelist": ",".join(FORMATS), "protocol_whitelist": "file"}
    return av.open(file, "r", options=lists, metadata_errors="ignore")


def _packets(container: InputContainer, stream: AudioStream, patience: float) -> Iterator["Packet[AudioStream]"]:
    """The packets of a stream up to the one in which the file ends."""
    for packet in container.demux(stream):
        signal.setitimer(signal.ITIMER_PROF, patience)
        if packet.is_corrupt:
            return
        yield packet


if __name__ == "__main__":
    serve()
