"""Processor time of a long M4A beside a FLAC of the same sound, read as `tag` reads a recording.

A call is repeated to the length that is asked for. First the cuts between conversations are searched, in windows
around each even cut. Then each conversation is read at 16 kHz, one after the other. Goal: an M4A takes at most 1.5
times the processor time of the FLAC. Opening and reading take it from the same process, one after the other.

    python benchmarks/long_compressed.py CALL [--hours 2]
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import av
import measuring
import numpy as np
import soundfile
from numpy.typing import NDArray

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, audio_at, read_header, read_pcm
from dailytalk_contiguous.models.speech_activity import speech_probabilities
from dailytalk_contiguous.sources.folder import MAX_CONVERSATION, cuts

GOAL = 1.5

#: Bits a second and channel: what telephones use for speech.
BIT_RATE = 32_000

Pcm = NDArray[np.int16]


def main() -> int:
    """Measure both formats and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("call", type=Path, help="a recording with two channels, as FLAC or WAV")
    parser.add_argument("--hours", type=float, default=2.0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["DAILYTALK_CACHE"] = str(folder / "cache")  # where cuts are kept
        call, rate = soundfile.read(chosen.call, dtype="int16", always_2d=True)
        n_samples = round(chosen.hours * 3600 * rate)
        flac = folder / "call.flac"
        m4a = folder / "call.m4a"
        _write_flac(flac, call, rate, n_samples)
        _write_m4a(m4a, call, rate, n_samples)
        speech_probabilities(np.zeros(ANALYSIS_RATE, np.float32))  # the model is loaded before
        flac_search, flac_reading = _seconds_of(flac)
        m4a_search, m4a_reading = _seconds_of(m4a)
    hours = f"{chosen.hours:g} h at {rate} Hz"
    met = [
        _compared(f"search for cuts, {hours}", m4a_search, flac_search),
        _compared(f"conversations in order, {hours}", m4a_reading, flac_reading),
        _compared(f"both, {hours}", m4a_search + m4a_reading, flac_search + flac_reading),
    ]
    return 0 if all(met) else 1


def _compared(task: str, m4a: float, flac: float) -> bool:
    ratio = m4a / flac
    figure = f"{task}: M4A {m4a:.1f} s, FLAC {flac:.1f} s, ratio {ratio:.2f} (goal: at most {GOAL})"
    return measuring.judged(figure, ratio <= GOAL)


def _seconds_of(path: Path) -> tuple[float, float]:
    """Seconds of processor time of the search for cuts, and of reading the conversations between them."""
    audio = audio_at(path)
    started = time.process_time()
    edges = cuts(audio, read_header(audio).seconds, MAX_CONVERSATION, str(path))
    searched = time.process_time()
    for start, end in pairwise(edges):
        read_pcm(audio, start, end - start)
    return searched - started, time.process_time() - searched


def _repeated(call: Pcm, n_samples: int) -> Iterator[Pcm]:
    """The call again and again, shape (n, 2), up to so many samples."""
    n_left = n_samples
    while n_left > 0:
        piece = call[:n_left]
        yield piece
        n_left -= len(piece)


def _write_flac(path: Path, call: Pcm, rate: int, n_samples: int) -> None:
    with soundfile.SoundFile(path, "w", rate, 2, "PCM_16") as file:
        for piece in _repeated(call, n_samples):
            file.write(piece)


def _write_m4a(path: Path, call: Pcm, rate: int, n_samples: int) -> None:
    n_written = 0
    with av.open(str(path), "w") as container:
        options = {"aac_coder": "fast"}
        stream = container.add_stream("aac", rate=rate, options=options, layout="stereo", bit_rate=2 * BIT_RATE)
        for piece in _repeated(call, n_samples):
            interleaved = np.ascontiguousarray(piece.reshape(1, -1))
            frame = av.AudioFrame.from_ndarray(interleaved, "s16", "stereo")
            frame.sample_rate = rate
            frame.pts = n_written
            n_written += len(piece)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


if __name__ == "__main__":
    sys.exit(main())
