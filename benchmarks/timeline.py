"""How much of a conversation's turn-taking survives when one side gets another voice.

Simulated conversations with a fixed seed (60 easy ones; 200 in which 15 % of the turns are cut off early), each
utterance of the left side up to 20 % longer or shorter, and the bundled recordings with lengths from 0.8 to 1.25
times. Prints the distance of the floor-transfer offsets to the source's, overlap kept of what the new lengths
allow, and lost speech.

    python benchmarks/timeline.py
"""

import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from measuring import judged, parser, print_table, references

from dailytalk_contiguous.core.turns.timeline import TurnEvent, compare_turns, rebuild
from dailytalk_contiguous.core.turns.turn_taking import Timed

REVOICED = "left"
SAMPLE_RATE = 24000

#: Goals on every set: seconds, and shares.
DISTANCE_GOAL = 0.025
OVERLAP_GOAL = 0.95


class Conversation(NamedTuple):
    """Who speaks when, in seconds, in order of start."""

    utterances: list[Timed]
    duration: float


class Result(NamedTuple):
    """One conversation, rebuilt."""

    distance: float
    overlap_kept: float
    lost: float


def main() -> int:
    parser(__doc__).parse_args()
    sets = {
        "60 simulated": ([simulated(seed, 0.0) for seed in range(60)], 0.8, 1.2),
        "200 interrupting": ([simulated(1000 + seed, 0.15) for seed in range(200)], 0.8, 1.2),
        "bundled, varied": ([*bundled()], 0.8, 1.25),
    }
    rows = []
    met = True
    for seed, (name, (talks, shortest, longest)) in enumerate(sets.items(), 1):
        rng = np.random.default_rng(seed)
        said = [[*events(talk, shortest, longest, rng)] for talk in talks]
        results = [result(talk, of_talk) for talk, of_talk in zip(talks, said, strict=True)]
        rows.append(row(name, results))
        met &= good(results)
    print_table(("set", "distance", "worst", "overlap", "worst", "lost s"), rows)
    goals = f"distance at most {DISTANCE_GOAL} s on average, overlap kept at least {OVERLAP_GOAL:.0%}"
    judged(f"goals ({goals}, no speech lost)", met)
    return int(not met)


def events(
    conversation: Conversation, shortest: float, longest: float, rng: np.random.Generator
) -> Iterator[TurnEvent]:
    """The conversation with a side that takes `shortest` to `longest` times as long as the source."""
    for said in conversation.utterances:
        length = said.end - said.start
        is_kept = said.channel != REVOICED
        if not is_kept:
            length *= rng.uniform(shortest, longest)
        yield TurnEvent(said.channel, said.start, said.end, length, said.run, is_kept=is_kept)


def result(conversation: Conversation, said: list[TurnEvent]) -> Result:
    """Rebuild one conversation and measure it."""
    rebuilt = rebuild(said, conversation.duration, "anchor", SAMPLE_RATE)
    measures = compare_turns(said, rebuilt.starts, conversation.duration, rebuilt.duration, "anchor")
    return Result(measures.offset_distance, measures.overlap_kept, measures.lost_speech_seconds)


def good(results: list[Result]) -> bool:
    """Whether a set meets the goals."""
    return bool(
        np.nanmean([one.distance for one in results]) <= DISTANCE_GOAL
        and np.nanmean([one.overlap_kept for one in results]) >= OVERLAP_GOAL
        and all(one.lost == 0 for one in results)
    )


def bundled() -> Iterator[Conversation]:
    """The recordings of `examples/` with their exact times."""
    for reference in references().values():
        said = [Timed(one["channel"], one["start"], one["end"]) for one in reference["utterances"]]
        yield Conversation(said, reference["duration"])


def row(name: str, results: Sequence[Result]) -> list[str]:
    """The line of the table of a set."""
    distances = [one.distance for one in results]
    kept = [one.overlap_kept for one in results]
    return [
        name,
        f"{np.nanmean(distances):.4f} s",
        f"{np.nanmax(distances):.3f} s",
        f"{np.nanmean(kept):.1%}",
        f"{np.nanmin(kept):.0%}",
        f"{sum(one.lost for one in results):.3f}",
    ]


def simulated(seed: int, interruptions: float, turns: int = 40) -> Conversation:
    """A conversation of `turns` turns with gaps, overlaps, backchannels, and that share of early interruptions.

    Turns last 2.2 s in the median (log-normal, 0.5 to 15 s); who comes next waits 0.2 ± 0.25 s, as offsets in
    telephone talk spread. A fifth of the turns goes on with another utterance of the same speaker. In two of five
    turns over 2.5 s the other says one or two backchannels.
    """
    rng = np.random.default_rng(seed)
    said: list[Timed] = []
    free = {"left": 0.0, "right": 0.0}  # the earliest time at which a channel may speak again
    speaker = "left"
    start = float(rng.uniform(0.3, 1.0))
    interrupted = False
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
    return Conversation(sorted(said, key=lambda one: (one.start, -one.end)), turn.end + 0.8)


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


if __name__ == "__main__":
    sys.exit(main())
