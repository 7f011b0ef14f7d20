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
    claims: dict[str, list[Span]] = {}
    for speaker in SPEAKERS:
        floors = [entry for entry in tracks[speaker] if KINDS.get(entry["label"]) in FLOOR_KINDS]
        claims[speaker] = [Span(entry["start_s"], entry["end_s"]) for entry in floors]
    prediction: dict[str, object] = {"conversation_id": number}
    for speaker, other in zip(SPEAKERS, reversed(SPEAKERS), strict=True):
        interruptions = [entry for entry in tracks[speaker] if KINDS.get(entry["label"]) == INTERRUPTION]
        starts = {entry["start_s"] for entry in interruptions}
        ends = {claim.end for claim in claims[speaker] if _ends_turn(claim.end, claims[speaker], claims[other])}
        prediction[speaker] = {"eot": sorted(ends), "interruption": sorted(starts)}
    return prediction


def _ends_turn(end: float, claims: Sequence[Span], other_claims: Sequence[Span]) -> bool:
    """Whether the other speaker has the floor after a speaker's claim that ends at this second.

    The other speaker claims it before this one goes on, or speaks already; or this was the last claim.
    """
    if any(claim.start < end < claim.end for claim in claims):
        return False
    goes_on = min((claim.start for claim in claims if claim.start > end), default=math.inf)
    is_taken = any(end < claim.start < goes_on or claim.start < end < claim.end for claim in other_claims)
    return is_taken or goes_on == math.inf
