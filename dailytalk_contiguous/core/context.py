"""Speech that a short utterance may borrow from its own speaker's neighbouring speech.

Models that rate affect are unreliable on less than about three seconds, and most utterances of a conversation
are shorter than that. What lies next to one, by the same speaker, was said in the same mood; what lies further
away may not have been, so the reach is short.
"""

from collections.abc import Sequence
from typing import NamedTuple


class Taken(NamedTuple):
    """A part of the span at place `span` of a list, by its start and end in seconds."""

    span: int
    start: float
    end: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start


def borrowed(
    spans: Sequence[tuple[float, float]], index: int, wanted: float, reach: float
) -> tuple[list[Taken], list[Taken]]:
    """The parts of a speaker's other spans that utterance `index` borrows, before and after it, in order.

    Args:
        spans: starts and ends of one speaker's utterances in seconds, in order and without overlap.
        index: of the utterance.
        wanted: seconds that it should have in all; one that is longer borrows nothing.
        reach: seconds from its edges within which speech is borrowed.

    Half of what is missing comes from each side; where one side has less, the other gives more.
    """
    start, end = spans[index]
    missing = wanted - (end - start)
    if missing <= 0:
        return [], []
    before = _clipped(spans, range(index), start - reach, start)
    after = _clipped(spans, range(index + 1, len(spans)), end, end + reach)
    from_before = min(_length(before), max(missing / 2, missing - _length(after)))
    from_after = min(_length(after), missing - from_before)
    return _last(before, from_before), _first(after, from_after)


def _clipped(spans: Sequence[tuple[float, float]], places: range, low: float, high: float) -> list[Taken]:
    return [
        Taken(place, max(spans[place][0], low), min(spans[place][1], high))
        for place in places
        if spans[place][1] > low and spans[place][0] < high
    ]


def _length(parts: Sequence[Taken]) -> float:
    return sum(part.seconds for part in parts)


def _first(parts: Sequence[Taken], seconds: float) -> list[Taken]:
    taken: list[Taken] = []
    for part in parts:
        if seconds <= 0:
            break
        taken.append(part._replace(end=min(part.end, part.start + seconds)))
        seconds -= part.seconds
    return taken


def _last(parts: Sequence[Taken], seconds: float) -> list[Taken]:
    taken: list[Taken] = []
    for part in reversed(parts):
        if seconds <= 0:
            break
        taken.append(part._replace(start=max(part.start, part.end - seconds)))
        seconds -= part.seconds
    return taken[::-1]
