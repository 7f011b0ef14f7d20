"""How much of a conversation's turn-taking survives when its left side is said anew with other lengths.

Simulated conversations with a fixed seed (60 easy ones; 200 in which 15 % of the turns are cut off early), each
utterance of the left side up to 20 % longer or shorter, and the bundled recordings with lengths from 0.8 to 1.25
times, and as espeak speaks them. Prints `anchor` and `sequential` side by side: distance of the floor-transfer
offsets to the source's, overlap kept of what the new lengths allow, backchannels inside their turn, those that
have room there, and all, lost speech, and length. Exits with 1 if `anchor` misses a goal. Takes seconds.

    python benchmarks/timeline.py
"""

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dailytalk_contiguous.core.speech_gate import judge
from dailytalk_contiguous.core.timeline import KEPT_PAUSE, MODES, Event, rebuild
from dailytalk_contiguous.core.turns import Timed, compare, stretches
from dailytalk_contiguous.models.espeak import Espeak
from dailytalk_contiguous.models.synthesiser import Line

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
REVOICED = "left"
SAMPLE_RATE = 24000

#: Goals for `anchor` on every set: seconds, and shares.
DISTANCE_GOAL = 0.025
OVERLAP_GOAL = 0.95


class Conversation(NamedTuple):
    """Who speaks when, in seconds, in order of start; and what, where it is known."""

    name: str
    utterances: list[Timed]
    duration: float
    texts: tuple[str, ...] = ()


#: Gives the new length in seconds of each utterance of the re-voiced side, in order.
Voice = Callable[[Conversation, list[Timed]], list[float]]


class Result(NamedTuple):
    """One conversation, rebuilt."""

    distance: float
    overlap_kept: float
    backchannels: int
    fitting: int
    inside: int
    lost: float
    ratio: float


def main() -> int:
    """Rebuild every set in both modes and compare."""
    sets: list[tuple[str, list[Conversation], Voice]] = [
        ("60 simulated", [simulated(seed, 0.0) for seed in range(60)], varied(1, 0.8, 1.2)),
        ("200 interrupting", [simulated(1000 + seed, 0.15) for seed in range(200)], varied(2, 0.8, 1.2)),
        ("bundled, varied", list(bundled()), varied(3, 0.8, 1.25)),
        ("bundled, espeak", list(bundled()), spoken),
    ]
    print(
        f"{'set':<18}{'timeline':<12}{'distance':>10}{'worst':>9}{'overlap':>9}{'worst':>7}"
        f"{'inside/fit/all':>18}{'lost s':>8}{'length':>8}"
    )
    met = True
    for name, conversations, voice in sets:
        built = [events(one, voice) for one in conversations]
        for mode in MODES:
            results = [result(one, said, mode) for one, said in zip(conversations, built, strict=True)]
            _print(name, mode, results)
            met &= mode != "anchor" or good(results)
    print(
        f"goals for anchor (distance at most {DISTANCE_GOAL} s on average, overlap kept at least "
        f"{OVERLAP_GOAL:.0%}, every backchannel that fits inside its turn, no speech lost): "
        f"{'met' if met else 'MISSED'}"
    )
    return 0 if met else 1


def varied(seed: int, low: float, high: float) -> Voice:
    """A voice that takes `low` to `high` times as long as the source, evenly spread."""
    rng = np.random.default_rng(seed)

    def lengths(_: Conversation, said: list[Timed]) -> list[float]:
        return [(one.end - one.start) * rng.uniform(low, high) for one in said]

    return lengths


def spoken(conversation: Conversation, said: list[Timed]) -> list[float]:
    """What espeak really takes for each utterance, without its edge silence."""
    synthesiser = Espeak()
    lengths = []
    for one, text in zip(conversation.utterances, conversation.texts, strict=True):
        if one.channel == REVOICED:
            heard = synthesiser.speak(Line(text, "", "en", 0))
            trimmed = judge(heard.samples, heard.sample_rate, text, one.end - one.start).samples
            lengths.append(len(trimmed) / heard.sample_rate)
    return lengths


def events(conversation: Conversation, voice: Voice) -> list[Event]:
    """The conversation with the new lengths of its re-voiced side."""
    lengths = iter(voice(conversation, [one for one in conversation.utterances if one.channel == REVOICED]))
    return [
        Event(one.channel, one.start, one.end, next(lengths), one.run)
        if one.channel == REVOICED
        else Event(one.channel, one.start, one.end, one.end - one.start, one.run, kept=True)
        for one in conversation.utterances
    ]


def result(conversation: Conversation, said: list[Event], mode: str) -> Result:
    """Rebuild one conversation and measure it."""
    rebuilt = rebuild(said, conversation.duration, mode, SAMPLE_RATE)
    measures = compare(said, rebuilt.starts, conversation.duration, rebuilt.duration)
    found = stretches(conversation.utterances)
    hosted = [(index, found[one.host].members) for one in found if one.host is not None for index in one.members]
    fitting = sum(fits(index, turn, said, rebuilt.starts) for index, turn in hosted)
    return Result(
        measures["offset_distance"],
        measures["overlap_kept"],
        measures["backchannels"],
        fitting,
        measures["backchannels_kept"],
        measures["lost_speech_seconds"],
        measures["duration_ratio"],
    )


def fits(index: int, turn: list[int], said: list[Event], starts: list[float]) -> bool:
    """Whether a backchannel has room in its rebuilt turn after what its own speaker says before it."""
    one = said[index]
    first, end = starts[turn[0]], max(starts[i] + said[i].new_length for i in turn)
    before = [i for i in range(index) if said[i].channel == one.channel]
    if before:
        last = before[-1]
        pause = min(one.start - said[last].end, KEPT_PAUSE)
        first = max(first, starts[last] + said[last].new_length + pause)
    return one.new_length <= end - first


def good(results: list[Result]) -> bool:
    """Whether a set meets the goals."""
    return bool(
        np.nanmean([one.distance for one in results]) <= DISTANCE_GOAL
        and np.nanmean([one.overlap_kept for one in results]) >= OVERLAP_GOAL
        and all(one.inside >= one.fitting for one in results)
        and all(one.lost == 0 for one in results)
    )


def bundled() -> Iterable[Conversation]:
    """The recordings of `examples/` with their exact times."""
    for path in sorted(EXAMPLES.glob("*.reference.json")):
        reference = json.loads(path.read_text(encoding="utf-8"))
        said = [Timed(one["channel"], one["start"], one["end"]) for one in reference["utterances"]]
        texts = tuple(one["text"] for one in reference["utterances"])
        yield Conversation(path.name.removesuffix(".reference.json"), said, reference["duration"], texts)


def simulated(seed: int, interruptions: float, turns: int = 40) -> Conversation:
    """A conversation of `turns` turns with gaps, overlaps, backchannels, and that share of early interruptions.

    Turns last 2.2 s in the median (log-normal, 0.5 to 15 s); who comes next waits 0.2 ± 0.25 s, as offsets in
    telephone talk spread. A fifth of the turns goes on with another utterance of the same speaker. In two of five
    turns over 2.5 s the other says one or two backchannels.
    """
    rng = np.random.default_rng(seed)
    said: list[Timed] = []
    free = {"left": 0.0, "right": 0.0}  # the earliest time at which a channel may speak again
    speaker, start, interrupted = "left", float(rng.uniform(0.3, 1.0)), False
    turn = Timed("", 0.0, 0.0)
    for _ in range(turns):
        length = float(np.clip(rng.lognormal(np.log(2.2), 0.7), 0.5, 15.0))
        start = max(start, free[speaker])
        if interrupted:
            length = max(length, turn.end - start + rng.uniform(0.5, 2.0))
        turn = Timed(speaker, start, max(start + length, turn.end + 0.2))
        said.append(turn)
        free[speaker] = turn.end + 0.2
        other = "right" if speaker == "left" else "left"
        interrupted = bool(rng.random() < interruptions) and turn.end - turn.start > 1.0
        following, start = _next(rng, turn, interrupted)
        last_word = min(start if following else turn.end, turn.end) - 0.3
        if turn.end - turn.start > 2.5 and rng.random() < 0.4:
            _add_backchannels(rng, said, other, max(turn.start + 0.3, free[other]), last_word)
            free[other] = max(free[other], said[-1].end + 0.2 if said[-1].channel == other else 0.0)
        speaker = other if following else speaker
    return Conversation(f"simulated {seed}", sorted(said, key=lambda one: (one.start, -one.end)), turn.end + 0.8)


def _next(rng: np.random.Generator, turn: Timed, interrupted: bool) -> tuple[bool, float]:
    """Whether the other speaks next, and when."""
    length = turn.end - turn.start
    if interrupted:
        return True, turn.start + length * rng.uniform(0.1, 0.6)
    if rng.random() < 0.2:
        return False, turn.end + rng.uniform(0.4, 1.2)
    return True, turn.end + max(rng.normal(0.2, 0.25), -length / 3)


def _add_backchannels(
    rng: np.random.Generator, said: list[Timed], channel: str, first: float, last: float
) -> None:
    for _ in range(rng.integers(1, 3)):
        length = rng.uniform(0.25, 0.6)
        if last - first < length:
            return
        start = rng.uniform(first, last - length)
        said.append(Timed(channel, start, start + length))
        first = start + length + 0.4


def _print(name: str, mode: str, results: list[Result]) -> None:
    distances, kept = [one.distance for one in results], [one.overlap_kept for one in results]
    counts = [sum(getattr(one, field) for one in results) for field in ("inside", "fitting", "backchannels")]
    print(
        f"{name:<18}{mode:<12}{np.nanmean(distances):>8.4f} s{np.nanmax(distances):>7.3f} s"
        f"{np.nanmean(kept):>9.1%}{np.nanmin(kept):>7.0%}{'/'.join(map(str, counts)):>18}"
        f"{sum(one.lost for one in results):>8.3f}{np.mean([one.ratio for one in results]):>8.3f}"
    )


if __name__ == "__main__":
    sys.exit(main())
