"""Pauses inside utterances, in which a speaker keeps the turn.

An utterance is a sentence, and goes on over pauses of up to a second. `transition` is only at ends of utterances.
The pauses inside are found by sound and words (`core.sound.sound_edges.without_pauses`), and judged by the rules
of `core.turns.turn_ends` as if each part between two pauses were an utterance.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from dailytalk_contiguous.core.spans import TimeSpan
from dailytalk_contiguous.core.turns.turn_ends import HOLD, turn_ends
from dailytalk_contiguous.core.turns.turn_taking import Timed, indices_by_channel


class InnerPause(NamedTuple):
    """A pause inside an utterance.

    Attributes:
        utterance: index of its utterance.
        number: number among the pauses of its utterance, from 0.
        start: seconds at which the speaker falls silent.
        end: seconds at which the speaker goes on.
        is_hold: whether it is a hold. It is none if the other speaker is heard in its first 0.2 s, or speaks
            before it ends.
    """

    utterance: int
    number: int
    start: float
    end: float
    is_hold: bool


def inner_pauses(utterances: Sequence[Timed], speech: Mapping[str, Sequence[TimeSpan]]) -> list[InnerPause]:
    """Return the pauses inside the utterances of a conversation, side by side.

    Args:
        utterances: utterances of both sides, in any order.
        speech: starts and ends of speech without pauses by channel, in seconds, in order.

    >>> utterances = [Timed("left", 0.0, 3.0), Timed("right", 4.0, 5.0)]
    >>> speech = {"left": [(0.0, 1.0), (2.0, 3.0)], "right": [(4.0, 5.0)]}
    >>> [(pause.start, pause.end) for pause in inner_pauses(utterances, speech)]
    [(1.0, 2.0)]
    """
    parts: list[Timed] = []
    for channel, spans in speech.items():
        for start, end in spans:
            parts.append(Timed(channel, start, end))
    transitions = {end.utterance: end.transition for end in turn_ends(parts)}
    numbers: Counter[int] = Counter()
    pauses: list[InnerPause] = []
    by_channel = indices_by_channel(utterances)
    for index, (part, following) in enumerate(pairwise(parts)):
        indices = by_channel.get(part.channel, [])
        n_begun = bisect_left(indices, part.end, key=lambda index: utterances[index].start)
        if not n_begun or following.channel != part.channel:
            continue
        utterance = indices[n_begun - 1]
        is_inside = following.start < utterances[utterance].end
        if not is_inside:
            continue
        is_hold = transitions.get(index) == HOLD
        pauses.append(InnerPause(utterance, numbers[utterance], part.end, following.start, is_hold))
        numbers[utterance] += 1
    return pauses
