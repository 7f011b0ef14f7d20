"""What resynthesis keeps of the ends of turns, by a judge that hears the sound alone (Smart Turn).

    python benchmarks/cues.py FOLDER [--voices piper espeak]

FOLDER holds `spokenwoz` (calls) and `talk` (calls of another band). These and the bundled recordings are built
once with each voice, left side resynthesised. Every end of a turn behind which both are silent for 0.2 s is
judged, in the recording and in what was built of it: before the other's turn (shift) a side should sound finished,
before a pause of the same speaker (hold) it should not. Ends are compared that are of the same kind in both; the
interval is of 90 %, by drawing ends with replacement. The right side keeps its sound: it shows the judge's noise.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr
from measuring import EXAMPLES, dailytalk, judged, references

from dailytalk_contiguous.core.audio import ANALYSIS_RATE
from dailytalk_contiguous.core.figures import ends_of_turns, same_ends
from dailytalk_contiguous.core.tables import Tables
from dailytalk_contiguous.core.turn_ends import HOLD, SHIFT, TurnEndFigures, auc_change, mean_change
from dailytalk_contiguous.models.turn_end import load_smart_turn
from dailytalk_contiguous.publish.opening import open_items

#: Goals of the resynthesised side: how much more finished holds may sound than recorded ones, and how much less
#: often shifts may sound more finished than holds. Missed is one that the interval excludes.
HOLDS_GOAL, AUC_GOAL = 0.10, 0.06

#: Seconds of a judgement on one thread.
JUDGED_GOAL = 0.05

#: The recordings of `talk` that have two speakers of English.
CALLS = ("aws_auto_repairs_40.flac", "cobalt_call.flac")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--voices", nargs="+", default=["piper", "espeak"])
    arguments = parser.parse_args()
    calls = [arguments.folder / "talk" / name for name in CALLS]
    sources = {
        "spokenwoz": sorted((arguments.folder / "spokenwoz").glob("*.wav")),
        "talk": [path for path in calls if path.is_file()],
        "bundled": [EXAMPLES / f"{name}.flac" for name in sorted(references())],
    }
    met = [speed()]
    with tempfile.TemporaryDirectory() as scratch:
        for title, recordings in sources.items():
            source = Path(scratch) / title
            source.mkdir()
            for path in recordings:
                shutil.copy(path, source)
            for voice in arguments.voices if recordings else ():
                tables = built(source, Path(scratch) / f"{title}-{voice}", voice)
                met += report(title, voice, tables)
    return 0 if all(met) else 1


def built(source: Path, work: Path, voice: str) -> Tables:
    """The tables of the recordings with the left side in another voice."""
    dailytalk(
        "build",
        source,
        "--out",
        work,
        "--profile",
        "embedded",
        "--language",
        "en",
        "--tts",
        voice,
        "--turn-ends",
        "smart-turn",
        "--source-licence",
        "CC0-1.0",
    )
    return open_items(work).tables()


def report(title: str, voice: str, tables: Tables) -> Iterator[bool]:
    for (side, timeline), figures in ends_of_turns(tables).items():
        how = voice if side == "left" else "kept"
        print(f"{title}, {side} side ({how}), {timeline:<8}  {in_words(figures)}")
    shifts, holds = same_ends(tables, SHIFT), same_ends(tables, HOLD)
    paused = mean_change(holds)
    if paused:
        low, high = paused.interval
        change = f"{paused.value:+.2f} of {paused.n_holds} ({low:+.2f} to {high:+.2f}; goal {HOLDS_GOAL:+})"
        yield judged(f"  {voice}: finished at the same holds {change}", low <= HOLDS_GOAL)
    told = auc_change(shifts, holds)
    if told:
        low, high = told.interval
        change = f"{told.value:+.3f} of {told.n_shifts} shifts ({low:+.3f} to {high:+.3f}; goal -{AUC_GOAL})"
        yield judged(f"  {voice}: AUC of the same ends {change}", high >= -AUC_GOAL)


def in_words(figures: TurnEndFigures) -> str:
    values = [
        "   -" if value is None else f"{value:.2f}" for value in (figures.auc, figures.at_holds, figures.at_shifts)
    ]
    return f"AUC {values[0]}, holds {values[1]} of {figures.n_holds}, shifts {values[2]} of {figures.n_shifts}"


def speed() -> bool:
    judge = load_smart_turn()
    samples, rate = soundfile.read(next(EXAMPLES.glob("*.flac")), dtype="float32")
    side = np.asarray(soxr.resample(samples[:, 0], rate, ANALYSIS_RATE), np.float32)
    started = time.process_time()
    judge.finished(side, [float(second) for second in range(10, 30)])
    seconds = (time.process_time() - started) / 20
    return judged(f"a judgement on one thread: {seconds:.3f} s (goal {JUDGED_GOAL})", seconds <= JUDGED_GOAL)


if __name__ == "__main__":
    sys.exit(main())
