"""What benchmarks share: arguments, recordings of people, commands and their cost, tables, and goals.

FOLDER in their usage holds recordings that are not part of the repository; a benchmark says which of these it
needs, and leaves out what is not there:

- `spokenwoz/NAME.wav`: telephone calls, a speaker a channel, with the words in `NAME.json`
- `talk/NAME.flac`: other calls, a speaker a channel
- `readers/NAME/*.flac`: readers of LibriSpeech
- `labelled`: recordings whose words people have labelled (`words.py`), `labelled/timit/NAME/*` those of TIMIT
- `fillers`: single sounds of a person, "um" and "uh" among them
- `emodb`, `other-emotion`: clips of the Berlin database and of TESS
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
for part in ("tests/apps/converse", "tests/apps/learn", "tests"):
    sys.path.insert(0, str(ROOT / part))  # what makes recordings, models and servers serves benchmarks, too
EXAMPLES = ROOT / "examples/conversations"

#: The recordings of `talk` that have two speakers of English.
ENGLISH_CALLS = ("aws_auto_repairs_40.flac", "cobalt_call.flac")


class Cost(NamedTuple):
    """What a command printed, and what it took with all its processes: seconds, and the largest of them in MB."""

    printed: str
    wall: float
    processor: float
    peak: float


def parser(description: str | None) -> argparse.ArgumentParser:
    """The parser of a benchmark; its help is the whole docstring of its module."""
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def data_parser(description: str | None, optional: bool = False) -> argparse.ArgumentParser:
    """The parser of a benchmark that measures recordings of people, in `data`: a folder as this module has it."""
    own = parser(description)
    own.add_argument("data", type=Path, metavar="FOLDER", nargs="?" if optional else None)
    return own


def calls(data: Path | None) -> list[Path]:
    """The calls of a folder that have the words beside them."""
    return sorted((data / "spokenwoz").glob("*.wav")) if data else []


def english_calls(data: Path | None) -> list[Path]:
    """The other calls in English of a folder."""
    paths = [data / "talk" / name for name in ENGLISH_CALLS] if data else []
    return [path for path in paths if path.is_file()]


def dailytalk(*arguments: object, **environment: str) -> Cost:
    """Run a command in a process of its own. Ends this one unless all, or all except rejects, went well."""
    return python("-m", "dailytalk_contiguous", *arguments, **environment)


def python(*arguments: object, **environment: str) -> Cost:
    """Run Python in a process of its own. Ends this one unless all, or all except rejects, went well."""
    command = [sys.executable, *map(str, arguments)]
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(command, env=os.environ | environment, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - started
        printed, complaints = (file.seek(0) or file.read() for file in (out, err))
    if process.returncode not in (0, 3):
        raise SystemExit(f"{' '.join(command[1:])} failed:\n{complaints[-2000:]}")
    return Cost(printed, wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


class Side(NamedTuple):
    """One speaker of a recording, and what they say: start and end in seconds, and the text, in order."""

    path: Path
    channel: str
    speaker: str
    said: list[tuple[float, float, str]]

    @property
    def text(self) -> str:
        return " ".join(text for _, _, text in self.said)

    def sound(self) -> tuple[NDArray[np.float32], int]:
        """Samples, shape (n,), and their rate."""
        samples, rate = soundfile.read(self.path, dtype="float32")
        return samples[:, ("left", "right").index(self.channel)].copy(), rate


def bundled_sides() -> list[Side]:
    """The sides of the bundled recordings, with their lines."""
    sides = []
    for name, reference in references().items():
        for channel in ("left", "right"):
            lines = [line for line in reference["utterances"] if line["channel"] == channel]
            said = [(line["start"], line["end"], line["text"]) for line in lines]
            sides.append(Side(EXAMPLES / f"{name}.flac", channel, f"{name}/{channel}", said))
    return sides


def call_sides(data: Path | None) -> list[Side]:
    """The sides of the calls of a folder, with their words."""
    sides = []
    for path in calls(data):
        words = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        for channel, speaker in (("left", "A"), ("right", "B")):
            said = [(word["start"], word["end"], word["word"]) for word in words if word["speaker"] == speaker]
            sides.append(Side(path, channel, f"{path.stem}/{speaker}", said))
    return sides


def sound_alone(recordings: Iterable[Path], folder: Path) -> Path:
    """A folder of copies of recordings, without the transcripts beside them, which `tag` would take."""
    folder.mkdir(parents=True)
    for path in recordings:
        shutil.copy(path, folder)
    return folder


def references() -> dict[str, dict[str, Any]]:
    """What is said in each bundled recording, by its name: its duration and its utterances, with exact times."""
    files = sorted(EXAMPLES.glob("*.reference.json"))
    return {path.name.partition(".")[0]: json.loads(path.read_text(encoding="utf-8")) for path in files}


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under their head; the first column is flush left, the others are flush right."""
    table = [head, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    for first, *others in table:
        cells = [f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True)]
        print("  ".join([f"{first:<{widths[0]}}", *cells]), flush=True)


def judged(figure: str, met: object) -> bool:
    """Print a figure beside its goal, and whether it is met, which is given back."""
    print(f"{figure}: {'met' if met else 'MISSED'}", flush=True)
    return bool(met)
