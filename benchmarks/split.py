"""`dailytalk split` of ten hours: its time beside FFmpeg's silencedetect, its memory, and that all audio is kept.

Recordings are made of the bundled ones (talk with pauses), as 16-bit WAV. silencedetect, as PyAV has it, finds
silences and writes nothing; `split` finds them, cuts, and writes every sample again in thousands of files that are
flushed to disk. Both run on two cores, silencedetect before and after each run of `split`, because a busy machine
is slower at one moment than at another. Goals: at most 3 times silencedetect's time; ten hours take at most 1.1
times the memory of ten minutes; the pieces joined are the recording to the sample.

    python benchmarks/split.py [--hours 10] [--rate 44100] [--folder DIR]
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import av.filter
import numpy as np
import soundfile
import soxr

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from audio_files import EXAMPLE_NAMES, example  # noqa: E402

GOAL_TIME, GOAL_MEMORY = 3.0, 1.1

#: Cores that both programs get.
CORES = 2

#: Minutes of the short recording, whose memory that of the long one is compared with.
SHORT = 10


def main() -> int:
    """Measure and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=10.0)
    parser.add_argument("--rate", type=int, default=44100)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where there is room for all of it twice")
    chosen = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:CORES]))
    with tempfile.TemporaryDirectory(dir=chosen.folder) as name:
        folder = Path(name)
        short, long = folder / "short.wav", folder / "long.wav"
        write_talk(short, SHORT / 60, chosen.rate)
        write_talk(long, chosen.hours, chosen.rate)
        _, small = split(short, folder / "out")
        ratios, peaks = [], []
        for number in range(chosen.runs):
            before = silencedetect(long)
            took, peak = split(long, folder / "out")
            after = silencedetect(long)
            ratios.append(took / ((before + after) / 2))
            peaks.append(peak)
            print(
                f"run {number + 1}: silencedetect {before:.1f} and {after:.1f} s, split {took:.1f} s, "
                f"ratio {ratios[-1]:.2f}; load {os.getloadavg()[0]:.1f}",
                flush=True,
            )
        kept = is_kept(long, folder / "out")
    ratio, memory = float(np.median(ratios)), max(peaks) / small
    met = ratio <= GOAL_TIME and memory <= GOAL_MEMORY and kept
    print(f"time: {ratio:.2f} times silencedetect's (goal: {GOAL_TIME:g})")
    print(f"memory: {small:.0f} MB, {max(peaks):.0f} MB, ratio {memory:.3f} (goal: {GOAL_MEMORY:g})")
    print(f"audio kept: {'all, to the sample' if kept else 'NOT ALL'}")
    print("met" if met else "MISSED")
    return 0 if met else 1


def write_talk(path: Path, hours: float, rate: int) -> None:
    """The bundled conversations as mono one after another, again and again."""
    talk = np.concatenate([example(name).mean(axis=1) for name in EXAMPLE_NAMES])
    samples = (soxr.resample(talk, 16000, rate) * 32767).astype(np.int16)
    left = round(hours * 3600 * rate)
    with soundfile.SoundFile(path, "w", rate, 1, "PCM_16") as file:
        while left:
            file.write(samples[:left])
            left -= min(left, len(samples))


def silencedetect(path: Path) -> float:
    """Wall seconds of the filter alone."""
    started = time.perf_counter()
    with av.open(str(path)) as container:
        graph = av.filter.Graph()
        source = graph.add_abuffer(template=container.streams.audio[0])
        graph.link_nodes(source, graph.add("silencedetect", "noise=-50dB:d=0.8"), graph.add("abuffersink"))
        graph.configure()
        for frame in container.decode(audio=0):
            graph.push(frame)
            graph.pull()
    return time.perf_counter() - started


def split(path: Path, out: Path) -> tuple[float, float]:
    """Wall seconds of the command from start to end, and its peak of memory in MB."""
    shutil.rmtree(out, ignore_errors=True)
    started = time.perf_counter()
    command = [sys.executable, "-m", "dailytalk_contiguous", "split", str(path), "--out", str(out), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"split of {path.name} failed")
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def is_kept(path: Path, out: Path) -> bool:
    """Whether the pieces laid end to end are the recording."""
    lines = map(json.loads, (out / "manifest.jsonl").read_text(encoding="utf-8").splitlines())
    with soundfile.SoundFile(path) as source:
        for line in lines:
            piece, _ = soundfile.read(out / line["file"], dtype="int16")
            if not np.array_equal(piece, source.read(len(piece), dtype="int16")):
                return False
        return not len(source.read(1))


if __name__ == "__main__":
    sys.exit(main())
