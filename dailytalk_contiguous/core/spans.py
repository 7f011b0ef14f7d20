"""Arithmetic of spans (start and end in seconds), and of the frames that they touch."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

#: Start and end in seconds.
TimeSpan = tuple[float, float]


def true_runs(flags: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return start and end of every run of true values, shape (runs, 2)."""
    changes = np.diff(flags, prepend=False, append=False)
    return np.flatnonzero(changes).reshape(-1, 2)


def touched_frames(count: int, spans: Iterable[TimeSpan], frame: float) -> NDArray[np.bool_]:
    """True for those of `count` frames of length `frame` that a span touches; spans and `frame` have one unit."""
    touched = np.zeros(count, bool)
    for start, end in spans:
        first = max(0, int(start / frame))
        last = max(0, math.ceil(end / frame))
        touched[first:last] = True
    return touched


def rounded_frames(count: int, spans: Iterable[TimeSpan], frame: float, origin: float = 0.0) -> NDArray[np.bool_]:
    """True for those of `count` frames from `origin` on that are in spans rounded to whole frames, in seconds."""
    inside = np.zeros(count, bool)
    for start, end in spans:
        first = max(0, round((start - origin) / frame))
        last = max(0, round((end - origin) / frame))
        inside[first:last] = True
    return inside


def total_seconds(spans: Iterable[TimeSpan]) -> float:
    return sum([end - start for start, end in spans])


def merge_gaps(spans: Sequence[TimeSpan], gap: float) -> list[TimeSpan]:
    """Close every gap of at most `gap` seconds between spans that are in order."""
    merged: list[TimeSpan] = []
    for start, end in spans:
        if merged and start - merged[-1][1] <= gap:
            first, last = merged[-1]
            merged[-1] = (first, max(end, last))
        else:
            merged.append((start, end))
    return merged


def outside(spans: Sequence[TimeSpan], utterances: Sequence[TimeSpan]) -> list[TimeSpan]:
    """Return parts of spans that no utterance covers (merging may bridge a short one); some have no length."""
    in_order = sorted(utterances)
    parts: list[TimeSpan] = []
    for start, end in spans:
        reached = start
        for first, last in [*in_order, (end, end)]:
            free_until = min(first, end)
            parts.append((reached, max(reached, free_until)))
            reached = max(reached, last)
    return parts
