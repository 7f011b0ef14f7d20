"""Short conversations cut out of the bundled recordings, each with the transcript of its two utterances.

With their words given no recogniser runs, so that what an engine itself costs is not lost in what a model costs.
"""

import json
import shutil
from pathlib import Path

import measuring  # noqa: F401
import soundfile
from audio_files import EXAMPLE_NAMES, example, reference

RATE = 16000

#: Seconds of the recording before and after the utterances.
EDGE = 0.3


def short_talks(folder: Path, count: int, distinct: int) -> list[Path]:
    """Write `count` recordings of some seconds, each with a transcript beside it; the first `distinct` recur."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(distinct):
        _cut(folder / f"call{number:05d}.wav", number)
    for number in range(distinct, count):
        for ending in ("wav", "json"):
            source = folder / f"call{number % distinct:05d}.{ending}"
            shutil.copyfile(source, folder / f"call{number:05d}.{ending}")
    return [folder / f"call{number:05d}.wav" for number in range(count)]


def _cut(path: Path, number: int) -> None:
    name = EXAMPLE_NAMES[number % len(EXAMPLE_NAMES)]
    said = sorted(reference(name), key=lambda one: float(one["start"]))
    first = 2 * (number // len(EXAMPLE_NAMES))
    pair = said[first : first + 2]
    if len(pair) < 2:
        raise ValueError(f"the bundled recordings have no conversation {number}")
    begin = max(0.0, pair[0]["start"] - EDGE)
    end = max(one["end"] for one in pair) + EDGE
    soundfile.write(path, example(name)[round(begin * RATE) : round(end * RATE)], RATE, "PCM_16")
    told = [  # with their language, for which two lines are too few
        {"channel": one["channel"], "text": one["text"], "language": "en"}
        | {key: one[key] - begin for key in ("start", "end")}
        for one in pair
    ]
    path.with_suffix(".json").write_text(json.dumps({"utterances": told}), encoding="utf-8")
