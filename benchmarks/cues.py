"""What resynthesis keeps of the ends of turns, by a judge that hears the sound alone (Smart Turn).

    python benchmarks/cues.py FOLDER [--voices piper espeak shift]

FOLDER holds `spokenwoz` (calls) and `talk` (calls of another band). These and the bundled recordings are said
again by each voice, the left side and the right side in turn. Every end of a turn behind which both are silent for
0.2 s is judged, in the recording and in what was built of it: before the other's turn (shift) a side should sound
finished, before a pause of the same speaker (hold) it should not. Ends are compared that are of the same kind in
both; the interval is of 90 %, by drawing ends with replacement. The other side keeps its sound: it shows the noise
of the judge.
"""

import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr
from measuring import EXAMPLES, calls, dailytalk, data_parser, english_calls, judged, sound_alone
from numpy.typing import NDArray

from dailytalk_contiguous.core.records.figures import ends_of_turns, same_ends
from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, to_pcm
from dailytalk_contiguous.core.turns.turn_ends import (
    HOLD,
    SHIFT,
    TurnEndFigures,
    area_under_curve,
    auc_change,
    mean_change,
)
from dailytalk_contiguous.models.turn_end import SpokenEnd, load_smart_turn
from dailytalk_contiguous.publish.item_tables import tables_of
from dailytalk_contiguous.publish.opening import open_items

#: Goals of a new voice: how much more finished holds may sound than recorded ones, and how much less often shifts
#: may sound more finished than holds. Missed is one that the interval excludes.
GOALS = {"piper": (0.10, 0.06), "shift": (0.05, 0.03)}

#: Seconds of a judgement on one thread.
JUDGED_GOAL = 0.05


def main() -> int:
    parser = data_parser(__doc__)
    parser.add_argument("--voices", nargs="+", default=["piper", "espeak", "shift"])
    chosen = parser.parse_args()
    sources = {
        "spokenwoz": calls(chosen.data),
        "talk": english_calls(chosen.data),
        "bundled": sorted(EXAMPLES.glob("*.flac")),
    }
    met = [speed()]
    ends: dict[str, list[Revoiced]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as scratch:
        for title, recordings in sources.items():
            if not recordings:
                continue
            tagged = tag(recordings, Path(scratch) / title)
            for voice in chosen.voices:
                ends[voice].append(revoiced(title, tagged, voice))
    for voice, of_sources in ends.items():
        met += judge_changes(voice, of_sources)
    return 0 if all(met) else 1


def tag(recordings: Sequence[Path], folder: Path) -> Path:
    """The work folder of these recordings, tagged."""
    source = sound_alone(recordings, folder / "source")
    work = folder / "work"
    options = ("--profile", "embedded", "--language", "en", "--source-licence", "CC0-1.0")
    dailytalk("tag", source, "--out", work, *options)
    return work


class Revoiced(NamedTuple):
    """How finished ends sound that are of one kind as recorded and as built, each of shape (ends, 2)."""

    shifts: NDArray[np.float64]
    holds: NDArray[np.float64]


def revoiced(title: str, tagged: Path, voice: str) -> Revoiced:
    """Say both sides of tagged recordings in turn, and print how their ends sound."""
    shifts = []
    holds = []
    for side in CHANNELS:
        work = tagged.parent / f"{voice}-{side}"
        options = ("--tts", voice, "--revoice", side, "--turn-ends", "smart-turn")
        dailytalk("speak", tagged, "--out", work, *options)
        tables = tables_of(open_items(work))
        for (channel, timeline), figures in ends_of_turns(tables).items():
            # The new voice is on the left of the result; the other side shows the judge's own noise.
            how = voice if channel == "left" else "kept"
            print(f"{title}, {side} side said again, {how:<10} {timeline:<8}  {in_words(figures)}", flush=True)
        shifts.append(same_ends(tables, SHIFT))
        holds.append(same_ends(tables, HOLD))
    return Revoiced(np.concatenate(shifts), np.concatenate(holds))


def judge_changes(voice: str, of_sources: Sequence[Revoiced]) -> Iterator[bool]:
    """How the same ends of all recordings changed, beside the goals."""
    shifts = np.concatenate([ends.shifts for ends in of_sources])
    holds = np.concatenate([ends.holds for ends in of_sources])
    holds_goal, auc_goal = GOALS.get(voice, GOALS["piper"])
    paused = mean_change(holds)
    if paused:
        recorded, built = holds.mean(axis=0)
        low, high = paused.interval
        change = f"{recorded:.2f} to {built:.2f}, {paused.value:+.2f} ({low:+.2f} to {high:+.2f})"
        figure = f"{voice}: {len(holds)} holds sound finished {change}; goal {holds_goal:+.2f}"
        yield judged(figure, low <= holds_goal)
    told = auc_change(shifts, holds)
    if told:
        before = area_under_curve(shifts[:, 0], holds[:, 0])
        after = area_under_curve(shifts[:, 1], holds[:, 1])
        low, high = told.interval
        change = f"{before:.3f} to {after:.3f}, {told.value:+.3f} ({low:+.3f} to {high:+.3f})"
        figure = f"{voice}: {len(shifts)} shifts above holds, AUC {change}; goal {-auc_goal:+.2f}"
        yield judged(figure, high >= -auc_goal)


def in_words(figures: TurnEndFigures) -> str:
    values = [
        "   -" if value is None else f"{value:.2f}" for value in (figures.auc, figures.at_holds, figures.at_shifts)
    ]
    return f"AUC {values[0]}, holds {values[1]} of {figures.n_holds}, shifts {values[2]} of {figures.n_shifts}"


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
