"""What resynthesis keeps of the pauses of a speaker, by a judge that hears the sound alone (Smart Turn).

    python benchmarks/cues.py FOLDER

FOLDER holds `spokenwoz` (calls) and `talk` (calls of another band). These and the bundled recordings are said
again by joe and by `--tts shift`, the left side and the right side in turn. Every pause of a speaker of 0.2 s at
least in which the other is silent (a hold) is judged, in the recording and in what was built of it: a side should
not sound finished before it. Ends are compared that are holds in both; the interval is of 90 %, by drawing ends
with replacement.
"""

import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile
import soxr
from measuring import EXAMPLES, calls, dailytalk, data_parser, english_calls, judged, sound_alone
from numpy.typing import NDArray

from dailytalk_contiguous.core.records.figures import same_ends
from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, to_pcm
from dailytalk_contiguous.core.turns.turn_ends import HOLD, mean_change
from dailytalk_contiguous.models.turn_end import SpokenEnd, load_smart_turn
from dailytalk_contiguous.publish.item_tables import tables_of
from dailytalk_contiguous.publish.opening import open_items

#: How much more finished holds of a new voice may sound than recorded ones. Missed is what the interval excludes.
GOALS = {"piper": 0.10, "shift": 0.05}

#: Seconds of a judgement on one thread.
JUDGED_GOAL = 0.05


def main() -> int:
    chosen = data_parser(__doc__).parse_args()
    sources = {
        "spokenwoz": calls(chosen.data),
        "talk": english_calls(chosen.data),
        "bundled": sorted(EXAMPLES.glob("*.flac")),
    }
    met = [speed()]
    holds: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as scratch:
        for title, recordings in sources.items():
            if not recordings:
                continue
            tagged = tag(recordings, Path(scratch) / title)
            for voice in GOALS:
                holds[voice] += holds_of(tagged, voice)
    for voice, of_sides in holds.items():
        met.append(judge_change(voice, np.concatenate(of_sides)))
    return 0 if all(met) else 1


def tag(recordings: Sequence[Path], folder: Path) -> Path:
    """The work folder of these recordings, tagged."""
    source = sound_alone(recordings, folder / "source")
    work = folder / "work"
    options = ("--profile", "embedded", "--language", "en", "--source-licence", "CC0-1.0")
    dailytalk("tag", source, "--out", work, *options)
    return work


def holds_of(tagged: Path, voice: str) -> Iterator[NDArray[np.float64]]:
    """How finished the holds of each side sound as recorded and with a new voice, shape (ends, 2)."""
    for side in CHANNELS:
        work = tagged.parent / f"{voice}-{side}"
        options = ("--tts", voice, "--revoice", side, "--turn-ends", "smart-turn")
        dailytalk("speak", tagged, "--out", work, *options)
        yield same_ends(tables_of(open_items(work)), HOLD)


def judge_change(voice: str, holds: NDArray[np.float64]) -> bool:
    """Print how the holds of all recordings changed, beside the goal."""
    change = mean_change(holds)
    if change is None:
        print(f"{voice}: {len(holds)} holds, too few to tell")
        return True
    recorded, built = holds.mean(axis=0)
    low, high = change.interval
    figure = f"{recorded:.2f} to {built:.2f}, {change.value:+.2f} ({low:+.2f} to {high:+.2f})"
    goal = f"{voice}: {len(holds)} holds sound finished {figure}; goal {GOALS[voice]:+.2f}"
    return judged(goal, low <= GOALS[voice])


def speed() -> bool:
    judge = load_smart_turn()
    samples, rate = soundfile.read(next(EXAMPLES.glob("*.flac")), dtype="float32")
    side = to_pcm(soxr.resample(samples[:, 0], rate, ANALYSIS_RATE))
    started = time.process_time()
    judge.finished([SpokenEnd(side, float(second)) for second in range(10, 30)])
    seconds = (time.process_time() - started) / 20
    return judged(f"a judgement on one thread: {seconds:.3f} s (goal {JUDGED_GOAL})", seconds <= JUDGED_GOAL)


if __name__ == "__main__":
    sys.exit(main())
