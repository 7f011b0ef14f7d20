"""Moves the edges of words to where speech begins and ends.

Recognisers place a word's edges on a coarse grid and often in the silence beside it. An edge is only moved out of
silence, into the nearest speech: what lies inside speech is left alone, and no word is lost or reordered.
"""

from collections.abc import Sequence
from typing import NamedTuple

from dailytalk_contiguous.core.packing import SHORTEST_WORD, Word

#: Seconds that an edge may move. A word further from any speech is misplaced altogether, and stays where it is.
FURTHEST = 0.5


class Snapped(NamedTuple):
    """The words, as many as before, and by how much their edges were moved.

    Attributes:
        words: sorted by start, without overlap.
        offset: median of the moves of starts in seconds, positive for later; a constant error of the aligner.
        moved: number of edges that were moved.
        unplaced: number of words with no speech within `FURTHEST`, left as they were.
    """

    words: list[Word]
    offset: float
    moved: int
    unplaced: int


def snap_words(words: Sequence[Word], activity_spans: Sequence[tuple[float, float]]) -> Snapped:
    """Move word edges that lie in silence to the speech of their own speaker.

    Args:
        words: of one speaker, sorted, in seconds.
        activity_spans: starts and ends of that speaker's speech in seconds, sorted, without overlap.
    """
    snapped: list[Word] = []
    moves: list[float] = []
    moved = unplaced = 0
    for word in words:
        start, end = _snap(word.start, word.end, activity_spans)
        if start is None or end is None:
            unplaced += 1
            start, end = word.start, word.end
        if snapped and start < snapped[-1].end:
            start = min(max(start, snapped[-1].end), max(end - SHORTEST_WORD, snapped[-1].end))
            end = max(end, start + SHORTEST_WORD)
        moves += [start - word.start] if start != word.start else []
        moved += (start != word.start) + (end != word.end)
        snapped.append(word._replace(start=start, end=end))
    return Snapped(snapped, _median(moves), moved, unplaced)


def _snap(
    start: float, end: float, spans: Sequence[tuple[float, float]]
) -> tuple[float, float] | tuple[None, None]:
    touched = [span for span in spans if span[0] < end and span[1] > start]
    if touched:
        # Silence inside a word (a stop consonant, a short pause) stays; only what sticks out is taken off.
        inner = max(start, touched[0][0]), min(end, touched[-1][1])
        return inner if inner[1] - inner[0] >= SHORTEST_WORD else (start, end)
    near = min(spans, key=lambda span: max(span[0] - end, start - span[1]), default=None)
    if near is None or max(near[0] - end, start - near[1]) > FURTHEST:
        return None, None
    length = min(end - start, near[1] - near[0])
    return (near[0], near[0] + length) if near[0] >= end else (near[1] - length, near[1])


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    if not ordered:
        return 0.0
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
