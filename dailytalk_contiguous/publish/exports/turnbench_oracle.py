"""The answer to a folder of TurnBench that gets full marks, by the rules of its scorer.

Where three tracks are the same, the scorer (SesameAILabs/turnbench, `turnbench/gold.py`) looks for the end of each
claim of the floor after which the other speaker claims it, and for the start of each interruption that takes it.
"""

import math
from collections.abc import Mapping, Sequence

from dailytalk_contiguous.core.turns.turnbench_layout import (
    FLOOR_KINDS,
    INTERRUPTION,
    KINDS,
    SPEAKERS,
    TurnAnnotation,
)
from dailytalk_contiguous.core.words.word import Span


def perfect_prediction(number: str, tracks: Mapping[str, Sequence[TurnAnnotation]]) -> dict[str, object]:
    """Return the times that a conversation of this number and these tracks, by speaker, asks for.

    They are seconds, strictly rising: `eot` where turns of a speaker end, `interruption` where the speaker
    interrupts.

    >>> question = {"start_s": 0.0, "end_s": 2.0, "label": "Normal Turn", "text": "Why?"}
    >>> answer = {"start_s": 2.2, "end_s": 3.0, "label": "Normal Turn", "text": "Because."}
    >>> perfect_prediction("1", {"speaker_1": [question], "speaker_2": [answer]})["speaker_1"]
    {'eot': [2.0], 'interruption': []}
    """
    prediction: dict[str, object] = {"conversation_id": number}
    for speaker, other in zip(SPEAKERS, reversed(SPEAKERS), strict=True):
        track = tracks[speaker]
        interruptions = {entry["start_s"] for entry in track if KINDS.get(entry["label"]) == INTERRUPTION}
        ends = _handovers(_claims(track), _claims(tracks[other]))
        prediction[speaker] = {"eot": ends, "interruption": sorted(interruptions)}
    return prediction


def _claims(track: Sequence[TurnAnnotation]) -> list[Span]:
    """When a speaker claims the floor."""
    return [Span(entry["start_s"], entry["end_s"]) for entry in track if KINDS.get(entry["label"]) in FLOOR_KINDS]


def _handovers(claims: Sequence[Span], other_claims: Sequence[Span]) -> list[float]:
    """The ends of a speaker's claims of the floor, in seconds, after which the other speaker has it.

    The other speaker claims it before this one goes on, or speaks already; or this was the last claim.
    """
    ends: set[float] = set()
    for claim in claims:
        if _is_inside(claim.end, claims):
            continue
        goes_on = _next_start(claims, claim.end)
        is_taken = _next_start(other_claims, claim.end) < goes_on or _is_inside(claim.end, other_claims)
        if goes_on == math.inf or is_taken:
            ends.add(claim.end)
    return sorted(ends)


def _is_inside(second: float, claims: Sequence[Span]) -> bool:
    return any(claim.start < second < claim.end for claim in claims)


def _next_start(claims: Sequence[Span], second: float) -> float:
    """When the next claim begins after a second; infinite if there is none."""
    return min((claim.start for claim in claims if claim.start > second), default=math.inf)
