"""What resynthesis keeps of the ends of turns, by a judge that hears the sound alone (Smart Turn).

    python benchmarks/cues.py FOLDER [--voices piper piper/line espeak shift] [--exports]

FOLDER holds `spokenwoz` (calls) and `talk` (calls of another band). These and the bundled recordings are said
anew by each voice, the left side and the right side in turn. Every end of a turn behind which both are silent for
0.2 s is judged, in the recording and in what was built of it: before the other's turn (shift) a side should sound
finished, before a pause of the same speaker (hold) it should not. Ends are compared that are of the same kind in
both; the interval is of 90 %, by drawing ends with replacement. The other side keeps its sound: it shows the noise
of the judge. `/line` says each utterance alone, and not each turn in one take.

With `--exports` the recordings are kept as they are and exported for Smart Turn, and each clip is judged: it
should sound as finished as its end did in the recording, within 0.02.

Beside the judge: how pitch moves in the last 0.3 s, how long the last syllable is held and how loud the end is,
each beside the source's (`core.delivery.measure_ending`) and, for comparison, beside another line of the source.
"""

import argparse
import shutil
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
from measuring import EXAMPLES, dailytalk, judged, references
from numpy.typing import NDArray

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Pcm, Samples, pcm_to_float, read_pcm
from dailytalk_contiguous.core.delivery import Ending, measure_ending, performance_of, register_of
from dailytalk_contiguous.core.documents import read_json
from dailytalk_contiguous.core.figures import ends_of_turns, same_ends
from dailytalk_contiguous.core.schema import CHANNELS
from dailytalk_contiguous.core.turn_ends import (
    HOLD,
    SHIFT,
    TurnEndFigures,
    area_under_curve,
    auc_change,
    mean_change,
)
from dailytalk_contiguous.core.utterance import sounding_span
from dailytalk_contiguous.models.turn_end import SILENCE_SECONDS, load_smart_turn
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.publish.smart_turn import SMART_TURN_CLIPS
from dailytalk_contiguous.publish.tagged_items import TaggedItems
from dailytalk_contiguous.store.work_folder import RUN

#: Goals of a new voice: how much more finished holds may sound than recorded ones, and how much less often shifts
#: may sound more finished than holds. Missed is one that the interval excludes.
GOALS = {"piper": (0.10, 0.06), "shift": (0.05, 0.03)}

#: Seconds of a judgement on one thread, and the share of a build that all of them take.
JUDGED_GOAL = 0.05
SHARE_GOAL = 0.25

#: How far the judgement of an exported clip may be from that of the same end in its recording.
EXPORT_GOAL = 0.02

#: The recordings of `talk` that have two speakers of English.
CALLS = ("aws_auto_repairs_40.flac", "cobalt_call.flac")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--voices", nargs="+", default=["piper", "piper/line", "espeak", "shift"])
    parser.add_argument("--exports", action="store_true", help="judge exports for Smart Turn instead of voices")
    arguments = parser.parse_args()
    calls = [arguments.folder / "talk" / name for name in CALLS]
    sources = {
        "spokenwoz": sorted((arguments.folder / "spokenwoz").glob("*.wav")),
        "talk": [path for path in calls if path.is_file()],
        "bundled": [EXAMPLES / f"{name}.flac" for name in sorted(references())],
    }
    met = [speed()]
    ends: dict[str, list[Revoiced]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as scratch:
        for title, recordings in sources.items():
            if not recordings:
                continue
            tagged = tag(recordings, Path(scratch) / title)
            if arguments.exports:
                met.append(judge_export(title, tagged))
                continue
            for voice in arguments.voices:
                ends[voice].append(revoiced(title, tagged, voice))
            if "piper" in arguments.voices:
                met.append(judge_share(title, tagged, tagged.parent / "piper-left"))
    for voice, of_sources in ends.items():
        met += judge_changes(voice, of_sources)
    return 0 if all(met) else 1


def tag(recordings: Sequence[Path], folder: Path) -> Path:
    """The work folder of these recordings, tagged."""
    source = folder / "source"
    source.mkdir(parents=True)
    for path in recordings:
        shutil.copy(path, source)
    work = folder / "work"
    options = ("--profile", "embedded", "--language", "en", "--source-licence", "CC0-1.0")
    dailytalk("tag", source, "--out", work, *options)
    return work


def judge_share(title: str, tagged: Path, spoken: Path) -> bool:
    """The judge's share of the time of all stages that make a conversation, by the embedded profile."""
    seconds: dict[str, float] = {}
    for record in (read_json(tagged / RUN), read_json(spoken / RUN)["speak"]):
        seconds |= {stage: took for stage, (took, _) in record["time"]["stages"].items()}
    share = seconds["JudgeTurnEnds"] / sum(seconds.values())
    return judged(
        f"{title}: the judge's share of a build {share:.0%} (goal {SHARE_GOAL:.0%})", share <= SHARE_GOAL
    )


def judge_export(title: str, tagged: Path) -> bool:
    """Whether each clip of an export of recordings sounds as its end of a turn did in the recording.

    At the rate of the clips it should; what the package's own 24 kHz costs is printed beside it. Pauses inside
    utterances have no `turn_end`: their clips are judged beside the conversation that they are from.
    """
    usual = differences_of_export(tagged, 24000)
    costs = [clip.difference for clip in usual if not clip.in_utterance]
    mean = np.mean(costs)
    print(f"{title}: clips of conversations at 24 kHz are at most {max(costs):.4f} apart, on average {mean:.4f}")
    clips = differences_of_export(tagged, ANALYSIS_RATE)
    for label in sorted({clip.label for clip in clips}):
        finished = [clip.finished for clip in clips if clip.label == label]
        print(f"{title}: {len(finished)} clips are {label} and sound finished {np.mean(finished):.2f}")
    largest = max(clip.difference for clip in clips)
    figure = f"{title}: {len(clips)} clips of conversations at 16 kHz sound as recorded, {largest:.4f} apart"
    return judged(f"{figure} (goal {EXPORT_GOAL})", largest <= EXPORT_GOAL)


class JudgedClip(NamedTuple):
    """How finished a clip sounds, and how far that is from how finished its end sounds in its conversation."""

    is_complete: bool
    in_utterance: bool
    finished: float
    difference: float

    @property
    def label(self) -> str:
        if self.in_utterance:
            return "incomplete, inside an utterance"
        return "complete" if self.is_complete else "incomplete"


def differences_of_export(tagged: Path, sample_rate: int) -> list[JudgedClip]:
    """The clips of an export of recordings, judged."""
    work = tagged.parent / f"recorded-{sample_rate}"
    kept = ("--revoice", "none", "--turn-ends", "smart-turn", "--sample-rate", sample_rate)
    dailytalk("speak", tagged, "--out", work, *kept)
    out = tagged.parent / f"clips-{sample_rate}"
    dailytalk("export", work, "--format", "smart-turn", "--layout", "raw", "--out", out)
    sources = read_json(out / SMART_TURN_CLIPS)["clips"]
    items = open_items(work)
    judge = load_smart_turn()
    clips: list[JudgedClip] = []
    for path in sorted(out.rglob("*.flac")):
        source = sources[path.stem]
        samples, rate = soundfile.read(path, dtype="float32")
        (finished,) = judge.finished(samples, [len(samples) / rate - SILENCE_SECONDS])
        expected = source["turn_end"]
        if source["in_utterance"]:
            built = read_pcm(items.sound(source["conversation_id"]).audio)
            side = pcm_to_float(built[:, CHANNELS.index(source["channel"])])
            (expected,) = judge.finished(side, [source["end"] - SILENCE_SECONDS])
        is_complete = path.parent.name.startswith("complete-")
        clips.append(JudgedClip(is_complete, source["in_utterance"], finished, abs(finished - expected)))
    return clips


class Revoiced(NamedTuple):
    """How ends of a new voice sound.

    Attributes:
        shifts, holds: how finished those sound that are of one kind as recorded and as built, shape (ends, 2).
        endings: how each utterance ends, in the source and as built.
    """

    shifts: NDArray[np.float64]
    holds: NDArray[np.float64]
    endings: list[tuple[Ending, Ending]]


def revoiced(title: str, tagged: Path, voice: str) -> Revoiced:
    """Say both sides of tagged recordings in turn, and print how their ends sound."""
    shifts = []
    holds = []
    endings = []
    engine, _, takes_of = voice.partition("/")
    for side in CHANNELS:
        work = tagged.parent / f"{voice.replace('/', '-')}-{side}"
        takes = ("--takes-of", takes_of) if takes_of else ()
        options = ("--tts", engine, *takes, "--revoice", side, "--turn-ends", "smart-turn")
        dailytalk("speak", tagged, "--out", work, *options)
        endings += endings_of(work, tagged, CHANNELS.index(side))
        tables = open_items(work).tables()
        for (channel, timeline), figures in ends_of_turns(tables).items():
            # The new voice is on the left of the result; the other side shows the judge's own noise.
            how = voice if channel == "left" else "kept"
            print(f"{title}, {side} side said anew, {how:<10} {timeline:<8}  {in_words(figures)}", flush=True)
        shifts.append(same_ends(tables, SHIFT))
        holds.append(same_ends(tables, HOLD))
    return Revoiced(np.concatenate(shifts), np.concatenate(holds), endings)


def endings_of(work: Path, tagged: Path, side: int) -> Iterator[tuple[Ending, Ending]]:
    """How each utterance of a new voice ends, in the recording and as built, by its speaker's usual values."""
    recordings = TaggedItems(tagged)
    items = open_items(work)
    for row in items.rows():
        name = row["conversation_id"]
        recorded = recordings.sound(name)
        source = read_pcm(recorded.audio, recorded.offset, row["source_duration"])[:, side]
        built = read_pcm(items.sound(name).audio)[:, 0]
        said = [utterance for utterance in row["utterances"] if utterance["status"] == "spoken"]
        sources = [performance_of(excerpt(source, sounding_span(one, "source_"))) for one in said]
        takes = [performance_of(excerpt(built, sounding_span(one))) for one in said]
        usual = register_of(sources)
        usual_of_voice = register_of(takes)
        if usual is None or usual_of_voice is None:
            continue
        for performance, take in zip(sources, takes, strict=True):
            ending = measure_ending(performance, usual)
            new_ending = measure_ending(take, usual_of_voice)
            if ending and new_ending:
                yield ending, new_ending


def excerpt(side: Pcm, span: tuple[float, float] | None) -> Samples:
    assert span is not None
    start, end = span
    return pcm_to_float(side[round(start * ANALYSIS_RATE) : round(end * ANALYSIS_RATE)])


def print_endings(voice: str, endings: Sequence[tuple[Ending, Ending]]) -> None:
    """The median differences of endings from the source's, and from those of other utterances of the source."""
    order = np.random.default_rng(0).permutation(len(endings))
    others = [(endings[number][0], new) for number, (_, new) in zip(order, endings, strict=True)]
    for what, pairs in (("its source", endings), ("another line", others)):
        rises = [abs(a.rise - b.rise) for a, b in pairs if a.rise is not None and b.rise is not None]
        lengths = [abs(a.lengthening - b.lengthening) for a, b in pairs]
        levels = [abs(a.level - b.level) for a, b in pairs]
        print(
            f"{voice}: {len(pairs)} ends beside {what}: pitch in the last 0.3 s {np.median(rises):.1f} semitones, "
            f"last syllable {2 ** np.median(lengths):.2f} times, level {np.median(levels):.1f} dB apart"
        )


def judge_changes(voice: str, of_sources: Sequence[Revoiced]) -> Iterator[bool]:
    """How the same ends of all recordings changed, beside the goals."""
    print_endings(voice, [pair for of_source in of_sources for pair in of_source.endings])
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
    side = np.asarray(soxr.resample(samples[:, 0], rate, ANALYSIS_RATE), np.float32)
    started = time.process_time()
    judge.finished(side, [float(second) for second in range(10, 30)])
    seconds = (time.process_time() - started) / 20
    return judged(f"a judgement on one thread: {seconds:.3f} s (goal {JUDGED_GOAL})", seconds <= JUDGED_GOAL)


if __name__ == "__main__":
    sys.exit(main())
