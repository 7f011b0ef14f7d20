"""Formats that libsndfile does not know (M4A, AAC, WMA, video files), through the ffmpeg program.

A program and not a library, because it is the one that people have, and because a crash or an endless loop on
a hostile file then stays in a process of its own.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.errors import BadInput

#: Seconds after which reading a header is given up.
PROBE_TIMEOUT = 60


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
    """Yield float32 blocks of shape (n, channels) at the file's own rate. Raises BadInput when ffmpeg fails."""
    rate, channels, _, _ = probe(path)
    command: list[str | bytes] = [
        "ffmpeg",
        "-nostdin",
        "-v",
        "error",
        "-ss",
        f"{start:.6f}",
        "-i",
        _argument(path),
    ]
    command += ["-t", f"{duration:.6f}"] if duration is not None else []
    command += ["-map", "a:0", "-f", "f32le", "-acodec", "pcm_f32le", "pipe:1"]
    size = 4 * channels * round(block_seconds * rate)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            while data := process.stdout.read(size):
                whole = len(data) - len(data) % (4 * channels)
                yield np.frombuffer(data[:whole], "<f4").reshape(-1, channels)
            message = process.stderr.read().decode(errors="replace").strip()
        finally:
            process.kill()  # a reader that stops early must not leave ffmpeg waiting on a full pipe
    if process.returncode not in (0, -9):
        raise BadInput(f"ffmpeg stopped reading it ({message.splitlines()[-1:]})", "convert it to WAV or FLAC")


def _argument(path: Path) -> bytes:
    # An explicit protocol, or a name with a colon or a leading dash would be taken for one or for an option.
    return b"file:" + bytes(path)


def _number(text: str | None) -> float:
    try:
        return float(text or 0.0)
    except ValueError:
        return 0.0
