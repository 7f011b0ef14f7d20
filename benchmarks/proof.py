"""What a model of turn-taking learns from recorded conversations, and from what resynthesis makes of them.

    python benchmarks/proof.py [CALLS …] [--test CALLS …] [--law-hours 5]

A small model (`turn_projection.py`) is trained on the same conversations (i) as recorded, (ii) with one side said
anew from its text by the voice joe, (iii) with one side converted (`--tts shift`), and (iv) made naively: all
lines of both said one after another from clean text, 0.4 s apart, as a pipeline without a timeline does. It is
judged on recordings of other people (`turn_scores.py`). In (ii) and (iii) the left and the right side are said
anew in turn. The number of steps and the seeds are the same for all; intervals are of 90 %, by drawing calls.

CALLS are recordings of two people, a speaker a channel, or folders of them. Without `--test` each call is judged
by models that have learned from the others: leave out calls of people who are in another one. Without CALLS, talks
of a known law come first (`talk_law.py`), in sound: (i), (iii) and (iv), and also lines 0.4 s apart that keep
their sound, which tells the timeline's part from the voice's. They are judged on talks of other seeds.
"""

import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import measuring
import numpy as np
import soxr
import spoken_law
import torch
from measuring import dailytalk, judged
from numpy.typing import NDArray
from talk_law import RATE, TalkLaw
from turn_projection import FRAME_RATE, Talk, projected, talk_of, trained
from turn_scores import (
    PAUSES,
    QUESTIONS,
    Figure,
    TalkScores,
    figures_of,
    mean_figure,
    scores_of,
)

from dailytalk_contiguous.cli.terminal import shown_steps
from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.records.schema import CHANNELS, Row
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, Samples, pcm_to_float
from dailytalk_contiguous.core.steps import steps
from dailytalk_contiguous.core.turns.turn_taking import Timed
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.core.words.fillers import without_fillers
from dailytalk_contiguous.models.contracts import Line, VoiceSettings
from dailytalk_contiguous.models.engines import convert_side, load_converter, load_synthesiser
from dailytalk_contiguous.publish.exports.exporting import seen_row
from dailytalk_contiguous.publish.exports.speech_spans import speech_of
from dailytalk_contiguous.publish.opening import open_items

RECORDED = "recorded"
RESYNTHESISED = "resynthesised"
CONVERTED = "converted"
NAIVE = "naive"
CUT = "lines as recorded, 0.4 s apart"

#: Goals: the share of what recordings teach that conversions teach, and minutes of all.
KEPT = 0.97
MINUTES = 20

#: What says lines anew, and the language of calls.
VOICE = "piper"
LANGUAGE = "en"

#: Models of each way of making talks.
SEEDS = range(5)

#: Seconds between lines that are said one after another.
BETWEEN_LINES = 0.4

#: Steps of training on the law's talks, and on calls, of which there is less.
LAW_STEPS = 300
CALL_STEPS = 100

#: Models that are trained at once, and talks that are made at once.
CORES = 2

#: Seconds of a talk of the law, hours of those that teach, and of those that judge.
TALK_SECONDS = 300
LAW_HOURS = 5.0
LAW_TEST_HOURS = 2.0


def main() -> int:
    parser = measuring.parser(__doc__)
    parser.add_argument("calls", nargs="*", type=Path)
    parser.add_argument("--test", nargs="*", type=Path, default=[])
    parser.add_argument("--law-hours", type=float, help="hours of talks of the law (5 without CALLS, else 0)")
    arguments = parser.parse_args()
    law_hours = arguments.law_hours
    if law_hours is None:
        law_hours = 0.0 if arguments.calls else LAW_HOURS
    torch.set_num_threads(1)
    started = time.perf_counter()
    met = []
    if law_hours:
        met += prove_by_law(law_hours)
    if arguments.calls:
        with tempfile.TemporaryDirectory() as scratch:
            prove_by_calls(arguments.calls, arguments.test, Path(scratch))
    else:
        print("no calls: name recordings of two people, a speaker a channel")
    minutes = (time.perf_counter() - started) / 60
    if law_hours and arguments.calls:
        met.append(judged(f"all of it took {minutes:.0f} minutes (goal {MINUTES})", minutes <= MINUTES))
    return 0 if all(met) else 1


# Talks of a known law.


def prove_by_law(hours: float) -> list[bool]:
    """Print what is learned from so many hours of the law, and whether the goals are met."""
    n_talks = round(hours * 3600 / TALK_SECONDS)
    n_tests = round(LAW_TEST_HOURS * 3600 / TALK_SECONDS)
    with ProcessPoolExecutor(CORES, get_context("spawn")) as pool, shown_steps():
        made_anew = list(steps("talks of the law made", pool.map(law_talks, range(n_talks)), n_talks))
        test_talks = pool.map(recorded_law_talk, range(n_talks, n_talks + n_tests))
        tests = list(steps("talks that judge made", test_talks, n_tests))
    arms = {arm: [talks[arm] for talks in made_anew] for arm in made_anew[0]}
    title = f"by the law, {hours:g} h, judged on {n_tests} other talks ({LAW_TEST_HOURS:g} h)"
    folds = [Fold(arms, tests)]
    figures = figures_by_arm(folds, LAW_STEPS)
    print_figures(title, figures)
    recorded = figures[RECORDED][PAUSES]
    share = (figures[CONVERTED][PAUSES].value - 0.5) / (recorded.value - 0.5)
    lost = figures[NAIVE][PAUSES].minus(recorded)
    low, high = lost.interval
    return [
        judged(
            f"the law's shifts: converted talks teach {share:.3f} of recorded ones (goal {KEPT})", share >= KEPT
        ),
        judged(f"the law's shifts: naive talks {lost.value:+.3f} [{low:+.3f}, {high:+.3f}] (below 0)", high < 0),
    ]


@lru_cache(maxsize=1)
def the_law() -> TalkLaw:
    return TalkLaw()


def law_talks(number: int) -> dict[str, Talk]:
    """The talk of the law of a number, as recorded and as it is made anew, by how it is made."""
    law = the_law()
    chance = np.random.default_rng((2027, number))
    states = law.talk(TALK_SECONDS * RATE, chance)
    sound = spoken_law.spoken(law, states, chance)
    converter = load_converter("shift", VoiceSettings("", ""))
    left = np.ascontiguousarray(sound[:, 0])
    converted = convert_side(converter, left, spoken_law.SAMPLE_RATE, f"speaker{number}")
    both = np.stack([converted, sound[:, 1]], axis=1)
    talks = {RECORDED: law_talk(number, states, sound), CONVERTED: law_talk(number, states, both)}
    for arm in (NAIVE, CUT):
        read = spoken_law.read_aloud(law, states, keeps_sound=arm == CUT)
        talks[arm] = law_talk(number, read, spoken_law.spoken(law, read, chance))
    return talks


def recorded_law_talk(number: int) -> Talk:
    """The talk of the law of a number, as recorded."""
    chance = np.random.default_rng((2027, number))
    states = the_law().talk(TALK_SECONDS * RATE, chance)
    return law_talk(number, states, spoken_law.spoken(the_law(), states, chance))


def law_talk(number: int, states: NDArray[np.int64], sound: Samples) -> Talk:
    timed = spoken_law.timed_law(the_law(), states)
    return talk_of(f"talk{number:03d}", sound, spoken_law.SAMPLE_RATE, timed)


# Calls.


def prove_by_calls(calls: Sequence[Path], others: Sequence[Path], scratch: Path) -> None:
    """Print what is learned from calls, judged on others, or on each by what the rest teaches."""
    recorded = recorded_talks(calls, scratch / "calls")
    names = sorted({talk.call for talk in recorded})
    if len(names) < 2 and not others:
        sys.exit("one call can't teach and judge: name several, or calls of other people with --test")
    arms = arms_of(recorded, scratch / "calls")
    if others:
        folds = [Fold(arms, recorded_talks(others, scratch / "test"))]
    else:
        folds = []
        for call in names:
            rest = {arm: [talk for talk in talks if talk.call != call] for arm, talks in arms.items()}
            tests = [talk for talk in recorded if talk.call == call]
            folds.append(Fold(rest, tests))
    n_calls = len({talk.call for fold in folds for talk in fold.tests})
    minutes = sum(len(talk.active) for talk in recorded) / FRAME_RATE / 60
    title = f"{minutes:.0f} minutes of calls, judged on {counted(n_calls, 'call')} of other people"
    print_figures(title, figures_by_arm(folds, CALL_STEPS))


def recorded_talks(calls: Sequence[Path], folder: Path) -> list[Talk]:
    """The conversations of calls, tagged in `folder/work`, as recorded."""
    work = folder / "work"
    options = ("--profile", "embedded", "--language", LANGUAGE, "--source-licence", "unknown")
    dailytalk("tag", *calls, "--out", work, *options)
    dailytalk("speak", work, "--out", folder / "recorded", "--revoice", "none", "--turn-ends", "none")
    return built_talks(folder / "recorded")


def arms_of(recorded: Sequence[Talk], folder: Path) -> dict[str, list[Talk]]:
    """The conversations of `recorded_talks`, and what three ways make of them."""
    arms = {RECORDED: [*recorded]}
    for arm, engine in ((RESYNTHESISED, VOICE), (CONVERTED, "shift")):
        arms[arm] = []
        for side in CHANNELS:
            spoken = folder / f"{engine}-{side}"
            options = ("--tts", engine, "--revoice", side, "--turn-ends", "none")
            dailytalk("speak", folder / "work", "--out", spoken, *options)
            arms[arm] += built_talks(spoken)
    arms[NAIVE] = naive_talks(folder / "recorded")
    return arms


def built_talks(work: Path) -> list[Talk]:
    talks = []
    for row in open_items(work).rows():
        item = seen_row(row, ANALYSIS_RATE)
        timed = []
        for channel, spans in speech_of(item).items():
            timed += [Timed(channel, start, end) for start, end in spans]
        talks.append(talk_of(row["recording_id"], pcm_to_float(item.pcm), ANALYSIS_RATE, timed))
    return talks


class SpokenLine(NamedTuple):
    """What sounds on a channel, in seconds, and its text."""

    channel: str
    start: float
    end: float
    text: str


def lines_of(row: Row) -> list[SpokenLine]:
    """What is heard in a conversation, in order."""
    lines = []
    for utterance in from_finished(row).audible_utterances:
        span = utterance.new_sounding
        if span is not None:
            lines.append(SpokenLine(utterance.channel, *span, utterance.text))
    return sorted(lines, key=lambda line: line.start)


def naive_talks(recorded: Path) -> list[Talk]:
    """Conversations whose lines are said from clean text, one after another; sounds without text are left out."""
    synthesiser = load_synthesiser(VOICE, VoiceSettings("", ""))
    talks = []
    for row in open_items(recorded).rows():
        sides: tuple[list[Samples], list[Samples]] = ([], [])
        timed = []
        moment = 0
        for line in lines_of(row):
            words = without_fillers(line.text.split(), LANGUAGE)
            if not any(letter.isalnum() for letter in " ".join(words)):
                continue
            spoken = synthesiser.speak(Line(" ".join(words), "", LANGUAGE, 0))
            samples = np.asarray(soxr.resample(spoken.samples, spoken.sample_rate, ANALYSIS_RATE), np.float32)
            start = moment / ANALYSIS_RATE
            moment += len(samples)
            timed.append(Timed(line.channel, start, moment / ANALYSIS_RATE))
            pause = np.zeros(round(BETWEEN_LINES * ANALYSIS_RATE), np.float32)
            moment += len(pause)
            for side, channel in zip(sides, CHANNELS, strict=True):
                is_speaker = channel == line.channel
                side.append(samples if is_speaker else np.zeros_like(samples))
                side.append(pause)
        if timed:
            sound = np.stack([np.concatenate(side) for side in sides], axis=1)
            talks.append(talk_of(row["recording_id"], sound, ANALYSIS_RATE, timed))
    return talks


# Training and judging.


class Fold(NamedTuple):
    """Talks to learn from, by the way in which they are made, and recorded ones of other people."""

    arms: Mapping[str, Sequence[Talk]]
    tests: Sequence[Talk]


class Lesson(NamedTuple):
    """Talks to learn from, made in one way, and those by which a model is judged."""

    talks: Sequence[Talk]
    tests: Sequence[Talk]


def figures_by_arm(folds: Sequence[Fold], n_steps: int) -> dict[str, dict[str, Figure]]:
    """The figures of each arm, by question: the mean of all seeds, each judged on the tests of all folds."""
    figures = {}
    with ProcessPoolExecutor(CORES, get_context("spawn")) as pool, shown_steps():
        for arm in folds[0].arms:
            lessons = [Lesson(fold.arms[arm], fold.tests) for fold in folds]
            jobs = [pool.submit(figures_of_seed, lessons, seed, n_steps) for seed in SEEDS]
            of_seeds = [job.result() for job in steps(f"models of talks {arm}", jobs, len(jobs))]
            questions = of_seeds[0]
            figures[arm] = {name: mean_figure([figure[name] for figure in of_seeds]) for name in questions}
    return figures


def figures_of_seed(lessons: Sequence[Lesson], seed: int, n_steps: int) -> dict[str, Figure]:
    """The figures of the models of one seed, by question; one model a lesson."""
    torch.set_num_threads(1)
    scores = list[TalkScores]()
    for lesson in lessons:
        model = trained(lesson.talks, seed, n_steps)
        scores += [scores_of(talk, projected(model, talk)) for talk in lesson.tests]
    return figures_of(scores)


def print_figures(title: str, figures: Mapping[str, Mapping[str, Figure]]) -> None:
    """Print each figure, and how far it is from that of recordings, on the same draws."""
    print(f"\n{title}; intervals of 90 % over calls")
    for question in QUESTIONS:
        recorded = figures[RECORDED][question]
        print(f"{question}, {recorded.yes:,} against {recorded.no:,} (chance: 0.500)")
        for arm, of_arm in figures.items():
            text = f"  {arm:<32} {shown(of_arm[question])}"
            if arm != RECORDED:
                text += f"  beside recorded {shown(of_arm[question].minus(recorded), sign='+')}"
            print(text, flush=True)


def shown(figure: Figure, sign: str = "") -> str:
    if np.isnan(figure.value):
        return "too little to tell"
    low, high = figure.interval
    if np.isnan(low):
        return f"{figure.value:{sign}.3f} (one call: no interval)"
    return f"{figure.value:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


if __name__ == "__main__":
    sys.exit(main())
