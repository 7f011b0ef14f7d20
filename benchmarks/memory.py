"""Peak memory of `tag` and `speak`: of long recordings against short ones, and of large folders.

Recordings are made of the bundled ones with room tone between them (a quarter is talk: what is measured is the
audio that is held, and talk costs time), tagged with Whisper tiny.en and a tiny affect model in a process of their
own, and the folders said again by Piper. Goals: three hours in one file take at most 1.1 times the memory of
twenty minutes, and less than 2.5 GB; five hours of short files at most 1.1 times that of half an hour. Takes most
of an hour.

    python benchmarks/memory.py [--minutes 20 180] [--folder-minutes 30 300]
"""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import measuring
import numpy as np
import soundfile
from audio_files import EXAMPLE_NAMES, example, room_tone
from tiny_models import make_tiny_affect

GOAL = 1.1
GOAL_MB = 2500

RATE = 16000

#: Seconds of talk, and of room tone after it; a short file is one of each.
TALK = 15
TONE = 45

#: What a small recogniser hears may be nothing that a voice could say, which must not end the measurement.
KEEP = ("--on-failure", "keep-original")


def main() -> int:
    parser = measuring.parser(__doc__)
    parser.add_argument("--minutes", type=float, nargs=2, default=(20.0, 180.0))
    parser.add_argument("--folder-minutes", type=float, nargs=2, default=(30.0, 300.0))
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = ["--asr-model", "tiny.en"]
        models += ["--affect-model", str(make_tiny_affect(folder / "affect"))]
        found = [_of_folder(folder, one, models) for one in chosen.folder_minutes]
        met = [
            _compare("tag, one file", [_of_file(folder, one, models) for one in chosen.minutes]),
            _compare("tag, short files", [one for one, _ in found]),
            _compare("speak, short files", [one for _, one in found]),
        ]
    return 0 if all(met) else 1


def _compare(what: str, peaks: Sequence[tuple[float, float]]) -> bool:
    (short, small), (long, large) = peaks
    shown = f"{what}: {short:g} min {small:.0f} MB, {long:g} min {large:.0f} MB, ratio {large / small:.3f}"
    goal = f"{shown} (goal: at most {GOAL}, and under {GOAL_MB} MB)"
    return measuring.judged(goal, large <= GOAL * small and large < GOAL_MB)


def _of_file(folder: Path, minutes: float, models: list[str]) -> tuple[float, float]:
    """Minutes, and the peak in MB of tagging one file of that length."""
    path = folder / f"{minutes:g}.flac"
    with soundfile.SoundFile(path, "w", RATE, 2, "PCM_16") as file:
        for piece, _ in zip(_pieces(), range(round(minutes * 60 / (TALK + TONE))), strict=False):
            file.write(piece)
    tagged = measuring.dailytalk(
        "tag", path, "--out", folder / f"file{minutes:g}", "--language", "en", *models, "--json"
    )
    return minutes, tagged.peak


def _of_folder(folder: Path, minutes: float, models: list[str]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Minutes and the peak in MB of tagging a folder of short files, and of speaking it."""
    calls = folder / f"calls{minutes:g}"
    out = folder / f"folder{minutes:g}"
    calls.mkdir()
    for piece, number in zip(_pieces(), range(round(minutes * 60 / (TALK + TONE))), strict=False):
        soundfile.write(calls / f"call{number:05d}.flac", piece, RATE, "PCM_16")
    tagged = measuring.dailytalk("tag", calls, "--out", out, "--language", "en", *models, "--json").peak
    said = measuring.dailytalk("speak", out, "--profile", "embedded", *KEEP, "--json").peak
    return (minutes, tagged), (minutes, said)


def _pieces() -> Iterator[np.ndarray]:
    """Some talk and room tone after it, again and again, from ever other places; shape (n, 2)."""
    tone = np.stack([room_tone(TONE * RATE, seed=side) for side in range(2)], 1)
    number = 0
    while True:
        source = example(EXAMPLE_NAMES[number % len(EXAMPLE_NAMES)])
        first = number * RATE // 2 % (len(source) - TALK * RATE)
        yield np.concatenate((source[first : first + TALK * RATE], tone))
        number += 1


if __name__ == "__main__":
    sys.exit(main())
