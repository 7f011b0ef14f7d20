"""Speech that a short utterance may borrow from its own speaker's neighbouring speech.

Models that rate affect are unreliable on less than about three seconds, and most utterances of a conversation
are shorter than that. What lies next to one, by the same speaker, was said in the same mood; what lies further
away may not have been, so the reach is short.
"""

from collections.abc import Sequence

Part = tuple[float, float]


def borrowed(spans: Sequence[Part], index: int, wanted: float, reach: float) -> tuple[list[Part], list[Part]]:
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
    before = _clipped(spans[:index], start - reach, start)
    after = _clipped(spans[index + 1 :], end, end + reach)
    from_before = min(_length(before), max(missing / 2, missing - _length(after)))
    from_after = min(_length(after), missing - from_before)
    return _last(before, from_before), _first(after, from_after)


def _clipped(spans: Sequence[Part], low: float, high: float) -> list[Part]:
    return [(max(start, low), min(end, high)) for start, end in spans if end > low and start < high]


def _length(parts: Sequence[Part]) -> float:
    return sum(end - start for start, end in parts)


def _first(parts: Sequence[Part], seconds: float) -> list[Part]:
    taken: list[Part] = []
    for start, end in parts:
        if seconds <= 0:
            break
        taken.append((start, min(end, start + seconds)))
        seconds -= end - start
    return taken


def _last(parts: Sequence[Part], seconds: float) -> list[Part]:
    turned = _first([(-end, -start) for start, end in reversed(parts)], seconds)
    return [(-end, -start) for start, end in reversed(turned)]
