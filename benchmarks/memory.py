"""Peak memory of `dailytalk tag` on a long recording against a short one.

Makes a stereo file of ten minutes and one of an hour out of the bundled recordings, tags each in a process of its
own with tiny models (what is measured is the audio, not the weights), and prints both peaks. Goal: the hour takes
at most 1.5 times the memory of the ten minutes. Takes some minutes.

    python benchmarks/memory.py [--minutes 10 60]
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import soundfile

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # the makers of random models serve tests and benchmarks alike

from tiny_models import make_tiny_affect, make_tiny_whisper  # noqa: E402

GOAL = 1.5


def main() -> int:
    """Measure both and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, nargs=2, default=(10.0, 60.0))
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = [str(make_tiny_whisper(folder / "whisper")), str(make_tiny_affect(folder / "affect"))]
        peaks = [
            _peak(_recording(folder, minutes), folder / f"out{minutes:g}", models) for minutes in chosen.minutes
        ]
    for minutes, peak in zip(chosen.minutes, peaks, strict=True):
        print(f"{minutes:>6g} min of stereo: peak {peak:.0f} MB")
    ratio = peaks[1] / peaks[0]
    print(f"ratio {ratio:.2f} (goal: at most {GOAL}): {'met' if ratio <= GOAL else 'MISSED'}")
    return 0 if ratio <= GOAL else 1


def _recording(folder: Path, minutes: float) -> Path:
    """The bundled recordings, again and again, as one file of that length."""
    path = folder / f"{minutes:g}.wav"
    sources = sorted((ROOT / "examples").glob("*.flac"))
    rate = soundfile.info(sources[0]).samplerate
    left = round(minutes * 60 * rate)
    with soundfile.SoundFile(path, "w", rate, 2, "PCM_16") as file:
        while left > 0:
            for source in sources:
                samples = soundfile.read(source, dtype="int16")[0][:left]
                file.write(samples)
                left -= len(samples)
    return path


def _peak(recording: Path, out: Path, models: list[str]) -> float:
    """Peak resident memory in MB of tagging a recording in a process of its own."""
    command = [sys.executable, "-m", "dailytalk_contiguous.cli.main", "tag", str(recording), "--out", str(out)]
    command += ["--asr-model", models[0], "--affect-model", models[1], "--language", "en", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"tagging {recording.name} failed")
    return usage.ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
