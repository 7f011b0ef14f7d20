"""Speech that a short utterance may borrow from its own speaker's neighbouring speech.

Models that rate affect are unreliable on less than about three seconds, and most utterances of a conversation are
shorter than that. Speech of the same speaker next to an utterance is in the same mood; speech further away may not
be, so the reach is short.
"""

from collections.abc import Sequence
from typing import NamedTuple

from dailytalk_contiguous.core.spans import TimeSpan


class BorrowedPart(NamedTuple):
    """A part of span number `span` of a list, by its start and end in seconds."""

    span: int
    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start


def borrowed(
    spans: Sequence[TimeSpan], index: int, wanted: float, reach: float
) -> tuple[list[BorrowedPart], list[BorrowedPart]]:
    """Return the parts of a speaker's other spans that utterance `index` borrows, before and after it, in order.

    Args:
        spans: starts and ends of one speaker's utterances in seconds, in order and without overlap.
        index: index of the utterance.
        wanted: seconds that it should have in all; a longer utterance borrows nothing.
        reach: seconds from its edges within which speech is borrowed.

    Half of the missing seconds comes from each side; where one side has less, the other gives more.
    """
    start, end = spans[index]
    missing = wanted - (end - start)
    if missing <= 0:
        return [], []
    before = _parts_within(spans, range(index), start - reach, start)
    after = _parts_within(spans, range(index + 1, len(spans)), end, end + reach)
    seconds_before = sum(part.seconds for part in before)
    seconds_after = sum(part.seconds for part in after)
    from_before = min(seconds_before, max(missing / 2, missing - seconds_after))
    from_after = min(seconds_after, missing - from_before)
    return _last_seconds(before, from_before), _first_seconds(after, from_after)


def _parts_within(spans: Sequence[TimeSpan], indices: range, low: float, high: float) -> list[BorrowedPart]:
    parts: list[BorrowedPart] = []
    for index in indices:
        start, end = spans[index]
        if end > low and start < high:
            parts.append(BorrowedPart(index, max(start, low), min(end, high)))
    return parts


def _first_seconds(parts: Sequence[BorrowedPart], seconds: float) -> list[BorrowedPart]:
    first: list[BorrowedPart] = []
    for part in parts:
        if seconds <= 0:
            break
        end = min(part.end, part.start + seconds)
        first.append(part._replace(end=end))
        seconds -= part.seconds
    return first


def _last_seconds(parts: Sequence[BorrowedPart], seconds: float) -> list[BorrowedPart]:
    last: list[BorrowedPart] = []
    for part in reversed(parts):
        if seconds <= 0:
            break
        start = max(part.start, part.end - seconds)
        last.append(part._replace(start=start))
        seconds -= part.seconds
    return last[::-1]
