"""Cuts of speech too long for a recogniser or a synthesiser: even pieces, cut where it is quietest."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.spans import TimeSpan

#: Seconds of sound over which a cut looks for quiet: longer than the closure of a stop consonant (50-120 ms),
#: so that a pause between words wins over the middle of a word.
QUIET_SECONDS = 0.2

#: Even pieces are at most this share of the longest allowed: a length of just two pieces would leave only one
#: place to cut, even inside speech.
SLACK = 0.9


class CutSpan(NamedTuple):
    """A stretch of one channel, in seconds. Pieces cut from one run of speech share its number `run`."""

    start: float
    end: float
    run: int


def cut_long(
    spans: Sequence[TimeSpan], levels: NDArray[np.float32], frame: float, longest: float = 12.0
) -> list[CutSpan]:
    """Cut spans longer than `longest` seconds at their quietest points; nothing is left out between pieces.

    Args:
        spans: starts and ends in seconds.
        levels: mean square of the channel in each frame, shape (frames,).
        frame: seconds a frame.
        longest: seconds of a piece at most.
    """
    width = max(1, round(QUIET_SECONDS / frame))
    window = np.full(width, 1 / width, np.float32)
    smooth = np.convolve(levels, window, mode="same").astype(np.float32)
    pieces: list[CutSpan] = []
    for run, (start, end) in enumerate(spans):
        while end - start > longest:
            low, high = balanced_range(end - start, longest)
            cut = _quietest(smooth, frame, start + low, start + high)
            pieces.append(CutSpan(start, cut, run))
            start = cut
        pieces.append(CutSpan(start, end, run))
    return pieces


def balanced_range(length: float, longest: float) -> tuple[float, float]:
    """Return the range, in seconds, in which the first cut of `length` seconds gives even pieces under `longest`.

    The rest must still fit into one piece fewer; within that, the cut is at most half a piece away from an even
    one. There is always a choice, because even pieces are at most `SLACK` of the longest.
    """
    pieces = pieces_of(length, longest)
    even = length / pieces
    rest_fits_from = length - (pieces - 1) * longest
    return max(rest_fits_from, 0.5 * even), min(longest, 1.5 * even)


def pieces_of(length: float, longest: float) -> int:
    """Return the number of pieces into which `length` seconds are cut."""
    if length <= longest:
        return 1
    return math.ceil(length / (SLACK * longest))


def _quietest(smooth: NDArray[np.float32], frame: float, low: float, high: float) -> float:
    """Return the middle of the quietest frame between two times in seconds; half-way where there is no frame."""
    first = math.ceil(low / frame)
    last = max(first + 1, math.floor(high / frame))
    window = smooth[first:last]
    if not len(window):
        return (low + high) / 2
    quietest = first + int(np.argmin(window))
    middle = (quietest + 0.5) * frame
    return min(max(middle, low), high)
