"""Formats that libsndfile does not know (M4A, AAC, WMA, video files), through the ffmpeg program.

A program and not a library, because it is the one that people have, and because a crash or an endless loop on
a hostile file then stays in a process of its own.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.errors import BadInput

#: Seconds after which reading a header is given up.
PROBE_TIMEOUT = 60

#: Streams without a header that tells their length: ffprobe guesses it from the first bit rate.
ESTIMATED_LENGTH = {"aac", "ac3", "eac3", "amr", "mp3"}

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
    command = ["ffprobe", "-v", "error", "-select_streams", "a:0", "-show_entries", fields, "-of", "json"]
    try:
        done = subprocess.run([*command, _argument(path)], capture_output=True, timeout=PROBE_TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        raise BadInput(f"ffprobe found nothing in {PROBE_TIMEOUT} s", "convert it to WAV or FLAC") from None
    told = json.loads(done.stdout or b"{}")
    streams, container = told.get("streams") or [], told.get("format") or {}
    seconds = _number((streams[0] if streams else {}).get("duration")) or _number(container.get("duration"))
    if done.returncode or not streams or not seconds:
        raise BadInput("it holds no audio that libsndfile or ffmpeg can read", "convert it to WAV or FLAC")
    return int(streams[0]["sample_rate"]), int(streams[0]["channels"]), seconds, str(container.get("format_name"))


def blocks(
    path: Path, start: float, duration: float | None, block_seconds: float
) -> Iterator[NDArray[np.float32]]:
    """Yield float32 blocks of shape (n, channels) at the file's own rate.

    Everything before `start` is decoded, too: ffmpeg's seeking is off by some milliseconds in several formats.

    Raises:
        BadInput: ffmpeg fails, or finds much less than the file's header promises.
    """
    rate, channels, seconds, container = probe(path)
    wanted = f"atrim=start_sample={round(start * rate)}"
    wanted += f":end_sample={round((start + duration) * rate)}" if duration is not None else ""
    command: list[str | bytes] = ["ffmpeg", "-nostdin", "-v", "error", "-i", _argument(path), "-map", "a:0"]
    command += ["-af", wanted, "-f", "f32le", "-acodec", "pcm_f32le", "pipe:1"]
    done = 0
    # Messages go to a file: a pipe that nobody reads fills up on a damaged recording, and ffmpeg waits forever.
    with (
        TemporaryFile() as messages,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=messages) as process,
    ):
        assert process.stdout is not None
        try:
            while data := process.stdout.read(4 * channels * round(block_seconds * rate)):
                whole = len(data) - len(data) % (4 * channels)
                yield np.frombuffer(data[:whole], "<f4").reshape(-1, channels)
                done += whole // (4 * channels)
            failed = process.wait() != 0
            messages.seek(0)
            message = messages.read().decode(errors="replace").strip()
        finally:
            process.kill()  # a reader that stops early must not leave ffmpeg waiting on a full pipe
    if failed:
        raise BadInput(f"ffmpeg stopped reading it ({message.splitlines()[-1:]})", "convert it to WAV or FLAC")
    promised = min(seconds - start, seconds if duration is None else duration)
    if done / rate < promised - SHORT_BY and container not in ESTIMATED_LENGTH:
        raise BadInput(
            f"the file ends at {start + done / rate:.1f} s but its header promises {seconds:.1f} s",
            "copy or export the recording again",
        )


def _argument(path: Path) -> bytes:
    # An explicit protocol, or a name with a colon or a leading dash would be taken for one or for an option.
    return b"file:" + bytes(path)


def _number(text: str | None) -> float:
    try:
        return float(text or 0.0)
    except ValueError:
        return 0.0
