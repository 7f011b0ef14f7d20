"""Where a long conversation is cut for a trainer's window: in silence of both speakers, and evenly.

The trainer itself cuts every file each `duration_sec`, in the middle of a word if need be. A cut of ours never
parts a word, an utterance or a laugh: where nobody is silent for the whole of a window, the piece stays longer.
"""

from collections.abc import Iterable

from dailytalk_contiguous.core.spans import balanced_range

#: Seconds of mutual silence at least: a cut in less would clip a breath or the end of a room's echo.
SHORTEST_SILENCE = 0.2


def cut_points(busy: Iterable[tuple[float, float]], duration: float, longest: float) -> list[float]:
    """Edges of the pieces, from 0.0 to `duration` seconds.

    Args:
        busy: starts and ends in seconds of all that is said or heard, of both speakers, in any order.
        duration: seconds.
        longest: seconds that a piece may have; longer only where no silence allows a cut. 0 never cuts.
    """
    edges = [0.0]
    gaps = _silences(busy, duration)
    while longest and duration - edges[-1] > longest:
        low, high = balanced_range(duration - edges[-1], longest)
        inside = [gap for gap in gaps if edges[-1] + low <= _middle(gap) <= edges[-1] + high]
        after = [gap for gap in gaps if _middle(gap) > edges[-1] + high]
        before = [gap for gap in gaps if edges[-1] < _middle(gap) < edges[-1] + low]
        if inside:
            best = max(inside, key=lambda gap: gap[1] - gap[0])
        elif before and _middle(before[-1]) > edges[-1] + low / 2:
            best = before[-1]
        elif after:
            best = after[0]
        else:
            break
        edges.append(_middle(best))
    return [*edges, duration]


def _silences(busy: Iterable[tuple[float, float]], duration: float) -> list[tuple[float, float]]:
    """Stretches between the first and the last sound in which nobody is heard, long enough for a cut."""
    found: list[tuple[float, float]] = []
    until: float | None = None
    for start, end in sorted(busy):
        if until is not None and start - until >= SHORTEST_SILENCE and start < duration:
            found.append((until, start))
        until = end if until is None else max(until, end)
    return found


def _middle(gap: tuple[float, float]) -> float:
    return (gap[0] + gap[1]) / 2
