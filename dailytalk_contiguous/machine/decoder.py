"""Decoding of an audio stream in order, which continues for a later part of the file where an earlier part ended.

Most decoders of FFmpeg remember more than a frame: the random numbers of AAC's noise, the filters of AMR, the
dither of AC-3. One that starts in the middle of a file gives other samples, however much it decodes before the
part. So a file is decoded from its start, and after each part its decoder waits for a later one. Reading a file in
order decodes it once; k readers side by side decode it k times.

A video has a clock: its sound may begin after the film, and browsers write no packets while a microphone is muted.
Silence is put there, so that a second of decoded sound is a second of the player.
"""

import atexit
import io
import itertools
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.quotas import MOST_ROW_SECONDS
from dailytalk_contiguous.machine.promised_samples import promised_samples

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet

#: Formats that are one file each, by the names of FFmpeg's demuxers. Never hls, dash, concat, sdp, image2 or
#: lavfi, which open what their text names.
FORMATS = (
    "mov,matroska,webm,asf,avi,flv,mpeg,mpegts,3gp,aac,ac3,eac3,amr,amrnb,amrwb,mp3,ogg,flac,wav,w64,aiff,caf,au,"
    "ape,dsf,dts,tta,wv"
)

#: Formats whose packets have the times of a clock, by FFmpeg's names. Elsewhere they are counted from packets or
#: bytes (AVI, AAC), or are a packet late (FFmpeg's decoders of WMA).
WITH_CLOCK = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "flv", "mpegts", "mpeg"}

#: Seconds by which the first sound may be late without silence before it: times are often whole milliseconds.
ROUNDING = 0.002

#: Seconds without packets that become silence: half a frame of Moshi. Times that a browser or a network gives to
#: packets of 20 ms vary by less.
LEAST_GAP = 0.04

#: An encoded file: its content, or where it is.
Encoded: TypeAlias = bytes | Path


def open_container(file: BinaryIO) -> "InputContainer":
    """Open a file of one of `FORMATS` from its start. Raises av.FFmpegError, OSError or ValueError."""
    import av  # FFmpeg, which few files need; an extra brings it

    options = {
        "format_whitelist": FORMATS,
        "protocol_whitelist": "file",
        "max_streams": "128",  # each, of sound or not, may take 2 MB
    }
    size = file.seek(0, os.SEEK_END)
    promised, _ = promised_samples(file, size) or (None, 0)
    if promised == 0:
        options["ignore_length"] = "1"  # of a WAV, up to the end of which are samples
    file.seek(0)
    return av.open(file, "r", options=options, metadata_errors="ignore")


def clock_start(container: "InputContainer") -> Fraction:
    """Return the second at which the first stream of a file begins, by the times in it: a player's second 0."""
    import av

    return Fraction(container.start_time or 0, av.time_base)


def packets_of(container: "InputContainer", *streams: "AudioStream") -> Iterator["Packet[Any]"]:
    """Yield packets of some or all streams up to the one in which the file ends; a WAV's include that one."""
    for packet in container.demux(*streams):
        if packet.is_corrupt and container.format.name != "wav":
            return
        yield packet


class Decoder:
    """An audio stream of a file, decoded in order.

    Attributes:
        position: samples of each channel that were yielded or skipped so far, with silence.
        is_closed: whether it can't read any more.

    Args:
        encoded: encoded file.
        channels: number of channels of the stream.
        track: number of the stream among those of audio, from 0.

    Raises:
        BadInput: the file can't be decoded.
        OSError: it can't be opened.
    """

    def __init__(self, encoded: Encoded, channels: int, track: int) -> None:
        import av

        self.position = 0
        self.is_closed = False
        self._encoded = encoded  # kept, so that no other sound gets its place in memory
        self._channels = channels
        self._layout: tuple[str, str, int] | None = None
        self._unread: NDArray[np.float32] = np.zeros((0, channels), np.float32)
        self._resampler = av.AudioResampler(format="flt")
        self._file: BinaryIO = io.BytesIO(encoded) if isinstance(encoded, bytes) else encoded.open("rb")
        try:
            self._container = open_container(self._file)
        except (av.FFmpegError, OSError, ValueError) as error:
            self._file.close()
            raise _not_decoded(error) from None
        self._start = float(clock_start(self._container))
        self._is_timed = self._container.format.name in WITH_CLOCK
        self._frames = self._with_silence(track)

    def blocks(self, first: int, last: int, n_samples: int) -> Iterator[NDArray[np.float32]]:
        """Yield the samples from `first`, which is not before `position`, up to `last` or the end of the stream.

        They are float32 of shape (n, channels), about `n_samples` at a time: a frame has only a few hundred, and
        the work on so small a block would take longer than decoding it. Raises BadInput for a damaged file.
        """
        parts: list[NDArray[np.float32]] = []
        n_held = 0
        for samples in self._parts_of_frames(first, last):
            parts.append(samples)
            n_held += len(samples)
            if n_held >= n_samples:
                yield np.concatenate(parts)
                parts.clear()
                n_held = 0
        if parts:
            yield np.concatenate(parts)

    def _parts_of_frames(self, first: int, last: int) -> Iterator[NDArray[np.float32]]:
        """Yield the samples of the part, those of a frame at a time."""
        while self.position < last:
            if not len(self._unread):
                frame = self._next_frame()
                if frame is None:
                    return
                n_samples = frame if isinstance(frame, int) else frame.samples
                if self.position + n_samples <= first:
                    self.position += n_samples
                    continue
                self._unread = self._samples_of(frame)
            n_skipped = max(0, first - self.position)
            n_wanted = last - self.position
            samples = self._unread[n_skipped:n_wanted]
            self.position += min(n_wanted, len(self._unread))
            self._unread = self._unread[n_wanted:]
            if len(samples):
                yield samples

    def close(self) -> None:
        """Close the file."""
        self.is_closed = True
        self._frames.close()
        self._container.close()
        self._file.close()

    def _with_silence(self, track: int) -> Generator["AudioFrame | int", None, None]:
        """Yield the frames of a track, and the missing samples of silence before a frame, a second at a time.

        Raises BadInput for more silence than the sound of a row may last.
        """
        stream = self._container.streams.audio[track]
        packets = packets_of(self._container, stream)
        n_done = 0
        n_silent = 0
        for frame in itertools.chain.from_iterable(map(stream.decode, packets)):
            missing = 0
            if self._is_timed and frame.time is not None:
                gap = round((frame.time - self._start) * frame.sample_rate) - n_done
                least = LEAST_GAP if n_done else ROUNDING
                missing = gap if gap >= least * frame.sample_rate else 0
            n_done += missing + frame.samples
            n_silent += missing
            if n_silent > MOST_ROW_SECONDS * frame.sample_rate:
                reason = f"its times leave more than {MOST_ROW_SECONDS / 3600:.0f} hours without sound"
                raise BadInput(reason, "export the recording again")
            while missing:
                block = min(missing, frame.sample_rate)
                yield block
                missing -= block
            yield frame

    def _next_frame(self) -> "AudioFrame | int | None":
        """Return the next frame, a number of samples of silence, or None after the last.

        Raises BadInput for a frame that is damaged or of another layout.
        """
        import av

        try:
            frame = next(self._frames, None)
        except (av.FFmpegError, ValueError, IndexError) as error:  # IndexError: another file has its name by now
            raise _not_decoded(error) from None
        if frame is None or isinstance(frame, int):
            return frame
        layout = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._layout is None:
            self._layout = layout
        if layout != self._layout:
            raise _not_decoded("its rate or its channels change")
        return frame

    def _samples_of(self, frame: "AudioFrame | int") -> NDArray[np.float32]:
        """Return the samples of a frame, or so many of silence, shape (n, channels)."""
        import av

        if isinstance(frame, int):
            return np.zeros((frame, self._channels), np.float32)
        try:
            (converted,) = self._resampler.resample(frame)  # another format, and as many samples
            plane = bytes(converted.planes[0])
            samples = np.frombuffer(plane, "<f4", converted.samples * self._channels)
            return samples.reshape(-1, self._channels)
        except (av.FFmpegError, ValueError) as error:
            raise _not_decoded(error) from None


def _not_decoded(error: object) -> BadInput:
    return BadInput(f"it can't be decoded ({error})", "convert it to WAV or FLAC")


class StreamKey(NamedTuple):
    """The key of an audio stream: identity, size and date of a file, or address and size of sound in memory."""

    file: tuple[int, ...]
    track: int


class WaitingDecoder(NamedTuple):
    """A decoder that waits for a later part of its file, with the bytes of sound that it keeps in memory."""

    key: StreamKey
    decoder: Decoder
    n_bytes: int


#: The decoders that wait, the last used at the end.
_waiting: list[WaitingDecoder] = []
_lock = Lock()

#: Decoders that waited in the parent when this process was forked. They are kept, because closing them would wait
#: for threads that this process does not have. They are never used, because both processes would move one position
#: in the file.
_waiting_in_parent: list[WaitingDecoder] = []


@contextmanager
def decoder_before(encoded: Encoded, channels: int, track: int, first: int) -> Iterator[Decoder]:
    """Yield the waiting decoder of an audio stream that is nearest before sample `first`, or a new one.

    No other reader has it inside the block; afterwards it waits for a later part unless it was closed. Raises
    OSError and BadInput for a file that can't be opened.
    """
    taken = _take(encoded, channels, track, first)
    try:
        yield taken.decoder
    except GeneratorExit:  # the caller wants no more of the part, which is no error
        _keep(taken)
        raise
    except BaseException:
        taken.decoder.close()
        raise
    _keep(taken)


def _take(encoded: Encoded, channels: int, track: int, first: int) -> WaitingDecoder:
    if isinstance(encoded, bytes):
        n_bytes = len(encoded)
        key = StreamKey((id(encoded), n_bytes), track)  # unique while the decoder holds the bytes
    else:
        n_bytes = 0
        status = encoded.stat()
        key = StreamKey((status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns), track)
    with _lock:
        earlier = [waiting for waiting in _waiting if waiting.key == key and waiting.decoder.position <= first]
        if earlier:
            nearest = max(earlier, key=lambda waiting: waiting.decoder.position)
            _waiting.remove(nearest)
            return nearest
    return WaitingDecoder(key, Decoder(encoded, channels, track), n_bytes)


#: Decoders of this process that wait: two for each of the recordings that `sources.folder` reads side by side,
#: because the search for a cut goes back now and then.
MOST_WAITING = 16

#: Bytes of sound in memory that waiting decoders may keep there.
MOST_BYTES_WAITING = 64_000_000


def _keep(used: WaitingDecoder) -> None:
    """Let a decoder wait, and close those that waited longest if there are too many."""
    if used.decoder.is_closed:
        return
    if used.n_bytes > MOST_BYTES_WAITING:
        used.decoder.close()
        return
    dropped = []
    with _lock:
        _waiting.append(used)
        while len(_waiting) > MOST_WAITING or sum(waiting.n_bytes for waiting in _waiting) > MOST_BYTES_WAITING:
            dropped.append(_waiting.pop(0))
    for waiting in dropped:
        waiting.decoder.close()


@atexit.register
def close_waiting() -> None:
    """Close the decoders that wait in this process, and their files."""
    with _lock:
        dropped = [*_waiting]
        _waiting.clear()
    for waiting in dropped:
        waiting.decoder.close()


def _forget_waiting() -> None:
    global _lock
    _lock = Lock()  # a thread of the parent may hold the old one
    _waiting_in_parent.extend(_waiting)
    _waiting.clear()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forget_waiting)
