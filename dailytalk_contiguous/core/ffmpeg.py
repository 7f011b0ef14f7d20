"""Formats that libsndfile does not know (M4A, AAC, WMA, video files), through the ffmpeg program.

A program and not a library, because it is the one that people have, and because a crash or an endless loop on
a hostile file then stays in a process of its own. It reads single files of known formats alone: a playlist,
whatever its name, would make it open other files of this machine.
"""

import json
import math
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile
from threading import Timer

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.errors import BadInput

#: Seconds after which reading a header is given up.
PROBE_TIMEOUT = 60

#: Formats that are one file each, by the names of ffmpeg's demuxers. Never hls, dash, concat, sdp, image2 or
#: lavfi, which open what their text names.
FORMATS = (
    *("mov", "matroska", "webm", "asf", "avi", "flv", "mpeg", "mpegts", "3gp"),
    *("aac", "ac3", "eac3", "amr", "amrnb", "amrwb", "mp3", "ogg", "flac", "wav", "w64", "aiff", "caf", "au"),
    *("ape", "dsf", "dts", "tta", "wv"),
)

#: What both programs get before their input: what they may open, and the bytes of their largest block of memory.
#: Of a file in which no frame begins, the parser would hold everything.
_FENCED = (
    *("-protocol_whitelist", "file,pipe", "-format_whitelist", ",".join(FORMATS)),
    *("-max_alloc", str(256 << 20)),
)

#: Seconds that ffmpeg may be waited for: so many, and as many as it decodes, but no more than a day. It decodes
#: some hundred times as fast as speech is spoken: this ends what is stuck, whatever length a header promises.
DECODE_TIMEOUT, LONGEST_DECODE = 60.0, 86400.0

#: Bytes of its messages that are read: of a damaged recording it may write megabytes, and the last line says why.
_LAST_MESSAGES = 4096

#: Streams without a header that tells their length: ffprobe guesses it from the first bit rate.
ESTIMATED_LENGTH = {"aac", "ac3", "eac3", "amr", "mp3"}

#: A Ctrl-C of the terminal is for the command alone: ffmpeg ended by it would look like a damaged file.
_OWN_GROUP = 0

#: Seconds by which what is decoded may be shorter than promised: a container is as long as its longest track.
SHORT_BY = 1.0


def installed() -> bool:
    """Whether both `ffmpeg` and `ffprobe` can be run."""
    return shutil.which("ffmpeg") is not None and shutil.which("ffprobe") is not None


def is_needed(message: str) -> bool:
    """Whether libsndfile's message means an unknown format, and not a damaged file of a known one."""
    return "not recognised" in message or "unknown format" in message.lower() or "unimplemented" in message.lower()


def probe(path: Path) -> tuple[int, int, float, str]:
    """(sample rate in Hz, channels, seconds, format name) of the first audio stream. Raises BadInput."""
    fields = "stream=codec_type,sample_rate,channels,duration:format=duration,format_name"
    command = ["ffprobe", "-v", "error", *_FENCED, "-select_streams", "a:0"]
    command += ["-show_entries", fields, "-of", "json"]
    try:
        done = subprocess.run(
            [*command, _argument(path)],
            capture_output=True,
            timeout=PROBE_TIMEOUT,
            check=False,
            process_group=_OWN_GROUP,
        )
    except subprocess.TimeoutExpired:
        raise BadInput(f"ffprobe found nothing in {PROBE_TIMEOUT} s", "convert it to WAV or FLAC") from None
    if b"not on whitelist" in done.stderr:
        raise BadInput(
            "its content is of no format that is read, such as a playlist, which would open other files",
            "convert it to WAV or FLAC",
        )
    # On a failure, what it has written is cut off anywhere.
    told = {} if done.returncode else json.loads(done.stdout)
    stream, container = (told.get("streams") or [{}])[0], told.get("format") or {}
    rate, channels = int(_number(stream.get("sample_rate"))), int(_number(stream.get("channels")))
    seconds = _number(stream.get("duration")) or _number(container.get("duration"))
    if not rate or not channels or not seconds:
        raise BadInput("it holds no audio that libsndfile or ffmpeg can read", "convert it to WAV or FLAC")
    return rate, channels, seconds, str(container.get("format_name"))


def blocks(
    path: Path, start: float, duration: float | None, block_seconds: float
) -> Iterator[NDArray[np.float32]]:
    """Yield float32 blocks of shape (n, channels) at the file's own rate.

    Everything before `start` is decoded, too: ffmpeg's seeking is off by some milliseconds in several formats.

    Raises:
        BadInput: ffmpeg fails, is stuck, or finds much less than the file's header promises.
    """
    rate, channels, seconds, container = probe(path)
    wanted = f"atrim=start_sample={round(start * rate)}"
    wanted += f":end_sample={round((start + duration) * rate)}" if duration is not None else ""
    command: list[str | bytes] = ["ffmpeg", "-nostdin", "-v", "error", *_FENCED]
    command += ["-i", _argument(path), "-map", "a:0"]
    command += ["-af", wanted, "-f", "f32le", "-acodec", "pcm_f32le", "pipe:1"]
    done = 0
    patience = _Patience(min(DECODE_TIMEOUT + (seconds if duration is None else start + duration), LONGEST_DECODE))
    # Messages go to a file: a pipe that nobody reads fills up on a damaged recording, and ffmpeg waits forever.
    with (
        TemporaryFile() as messages,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=messages, process_group=_OWN_GROUP) as process,
    ):
        try:
            while data := patience.read(process, 4 * channels * round(block_seconds * rate)):
                whole = len(data) - len(data) % (4 * channels)
                yield np.frombuffer(data[:whole], "<f4").reshape(-1, channels)
                done += whole // (4 * channels)
            failed = process.wait() != 0
            messages.seek(max(0, messages.seek(0, os.SEEK_END) - _LAST_MESSAGES))
            message = messages.read().decode(errors="replace").strip()
        finally:
            process.kill()  # a reader that stops early must not leave ffmpeg waiting on a full pipe
    if patience.ended:
        raise BadInput(
            f"ffmpeg was stuck in it (nothing more after {patience.seconds:.0f} s)", "convert it to WAV or FLAC"
        )
    if failed:
        raise BadInput(f"ffmpeg stopped reading it ({message.splitlines()[-1:]})", "convert it to WAV or FLAC")
    promised = min(seconds - start, seconds if duration is None else duration)
    if done / rate < promised - SHORT_BY and container not in ESTIMATED_LENGTH:
        raise BadInput(
            f"the file ends at {start + done / rate:.1f} s but its header promises {seconds:.1f} s",
            "copy or export the recording again",
        )


class _Patience:
    """Reads from a process that is ended when it has been waited for too long, all reads together.

    What a caller does between two reads, while ffmpeg waits for it, does not count.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds, self.ended = seconds, False
        self._left = seconds

    def read(self, process: "subprocess.Popen[bytes]", count: int) -> bytes:
        """Up to `count` bytes of what it writes; fewer only at its end."""
        assert process.stdout is not None
        started = time.monotonic()
        watch = Timer(max(0.0, self._left), self._end, (process,))
        watch.start()
        try:
            return process.stdout.read(count)
        finally:
            watch.cancel()
            self._left -= time.monotonic() - started

    def _end(self, process: "subprocess.Popen[bytes]") -> None:
        self.ended = True
        process.kill()


def _argument(path: Path) -> bytes:
    # An explicit protocol, or a name with a colon or a leading dash would be taken for one or for an option.
    return b"file:" + bytes(path)


def _number(text: str | int | None) -> float:
    """A field of ffprobe; 0 where it is unknown ("N/A") or no positive number."""
    try:
        value = float(text or 0.0)
    except ValueError:
        return 0.0
    return value if 0.0 < value < math.inf else 0.0
