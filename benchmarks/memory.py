"""Peak memory of `tag`: of a long recording against a short one.

Recordings are made of the bundled ones with room tone between them (a quarter is talk: what is measured is the
audio that is held, and talk costs time), and tagged with Whisper tiny.en and a tiny affect model in a process of
their own. Goals: three hours in one file take at most 1.1 times the memory of twenty minutes, and less than
2.5 GB.

    python benchmarks/memory.py [--minutes 20 180]
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import measuring
import numpy as np
import soundfile
from audio_files import EXAMPLE_NAMES, example, room_tone
from tiny_models import make_tiny_affect

GOAL = 1.1
GOAL_MB = 2500

RATE = 16000

#: Seconds of talk, and of room tone after it.
TALK = 15
TONE = 45


def main() -> int:
    parser = measuring.parser(__doc__)
    parser.add_argument("--minutes", type=float, nargs=2, default=(20.0, 180.0))
    short, long = parser.parse_args().minutes
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        affect = str(make_tiny_affect(folder / "affect"))
        small = _peak(folder, short, affect)
        large = _peak(folder, long, affect)
    shown = f"tag: {short:g} min {small:.0f} MB, {long:g} min {large:.0f} MB, ratio {large / small:.3f}"
    goal = f"{shown} (goal: at most {GOAL}, and under {GOAL_MB} MB)"
    return int(not measuring.judged(goal, large <= GOAL * small and large < GOAL_MB))


def _peak(folder: Path, minutes: float, affect: str) -> float:
    """The peak in MB of tagging one file of that length."""
    path = folder / f"{minutes:g}.flac"
    with soundfile.SoundFile(path, "w", RATE, 2, "PCM_16") as file:
        for piece, _ in zip(_pieces(), range(round(minutes * 60 / (TALK + TONE))), strict=False):
            file.write(piece)
    models = ("--asr-model", "tiny.en", "--affect-model", affect)
    return measuring.dailytalk("tag", path, "--out", folder / f"file{minutes:g}", "--language", "en", *models).peak


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
