"""The answer to a folder of TurnBench that gets full marks, by the rules of its scorer.

Where three tracks are the same, the scorer (SesameAILabs/turnbench, `turnbench/gold.py`) looks for the end of each
claim of the floor after which the other speaker claims it, and for the start of each interruption that takes it.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import TypedDict

from dailytalk_contiguous.core.turns.turnbench_layout import (
    FLOOR_KINDS,
    INTERRUPTION,
    KINDS,
    SPEAKERS,
    TurnAnnotation,
)


class SpeakerTimes(TypedDict):
    """Seconds, strictly rising, at which turns of a speaker end, and at which the speaker interrupts."""

    eot: list[float]
    interruption: list[float]


class Prediction(TypedDict):
    """The part of a submission that is about one conversation."""

    conversation_id: str
    speaker_1: SpeakerTimes
    speaker_2: SpeakerTimes


class Submission(TypedDict):
    """A submission to TurnBench: every conversation once."""

    schema_version: int
    predictions: list[Prediction]


def perfect_prediction(number: str, tracks: Mapping[str, Sequence[TurnAnnotation]]) -> Prediction:
    """Return the times that a conversation of this number and these tracks, by speaker, asks for.

    >>> question = {"start_s": 0.0, "end_s": 2.0, "label": "Normal Turn", "text": "Why?"}
    >>> answer = {"start_s": 2.2, "end_s": 3.0, "label": "Normal Turn", "text": "Because."}
    >>> perfect_prediction("1", {"speaker_1": [question], "speaker_2": [answer]})["speaker_1"]
    {'eot': [2.0], 'interruption': []}
    """
    first, second = (tracks[speaker] for speaker in SPEAKERS)
    return {
        "conversation_id": number,
        "speaker_1": {"eot": handovers(first, second), "interruption": interruptions(first)},
        "speaker_2": {"eot": handovers(second, first), "interruption": interruptions(second)},
    }


def handovers(track: Sequence[TurnAnnotation], other_track: Sequence[TurnAnnotation]) -> list[float]:
    """Return the ends of a speaker's claims of the floor, in seconds, after which the other speaker has it.

    The other speaker claims it before this one goes on, or speaks already; or this was the last claim.
    """
    claims = _claims(track)
    other_claims = _claims(other_track)
    starts = sorted(claim["start_s"] for claim in claims)
    other_starts = sorted(claim["start_s"] for claim in other_claims)
    ends: set[float] = set()
    for claim in claims:
        end = claim["end_s"]
        if _is_inside(end, claims):
            continue
        goes_on = _first_after(starts, end)
        is_last = goes_on == math.inf
        is_taken = _first_after(other_starts, end) < goes_on or _is_inside(end, other_claims)
        if is_last or is_taken:
            ends.add(end)
    return sorted(ends)


def interruptions(track: Sequence[TurnAnnotation]) -> list[float]:
    """Return the starts of a speaker's interruptions that take the floor, in seconds."""
    starts = {entry["start_s"] for entry in track if KINDS.get(entry["label"]) == INTERRUPTION}
    return sorted(starts)


def _claims(track: Sequence[TurnAnnotation]) -> list[TurnAnnotation]:
    return [entry for entry in track if KINDS.get(entry["label"]) in FLOOR_KINDS]


def _is_inside(second: float, claims: Sequence[TurnAnnotation]) -> bool:
    return any(claim["start_s"] < second < claim["end_s"] for claim in claims)


def _first_after(starts: Sequence[float], second: float) -> float:
    """The first of these rising starts that is after a second; infinite if there is none."""
    index = bisect_right(starts, second)
    return starts[index] if index < len(starts) else math.inf
