"""Whether the two sides of a conversation belong together, and at the same times.

A model that foresees both speakers says in bits how well the sides of a conversation fit, and how well they would
if the right one were turned by a quarter, half or three quarters of its length (and so had nothing to do with the
left), or were later, earlier, slower or faster. Sides of two recordings fit no better than turned ones; those
whose clocks differ fit better where that is put right.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.apps.probe.activity import RATE, Activity


class Way(NamedTuple):
    """How the right side is paired: later by seconds at the start and at the end, or turned by a share of it."""

    start: float = 0.0
    end: float = 0.0
    turned: float = 0.0


#: As it is; turned; later or earlier; slower or faster.
WAYS = (
    Way(),
    *(Way(turned=share) for share in (0.25, 0.5, 0.75)),
    *(Way(sign * by, sign * by) for by in (0.3, 0.6, 1.2) for sign in (1, -1)),
    *(Way(0.0, sign * by) for by in (0.25, 0.5, 1.0, 2.0) for sign in (1, -1)),
)
_TURNED = [number for number, way in enumerate(WAYS) if way.turned]
_MOVED = [number for number, way in enumerate(WAYS) if way.end]

#: Deviations of what turned sides fit by that sides must fit better to belong together: one pair of strangers in
#: 200 does. It is told of conversations of which twice as many are to be expected.
APART = 2.6

#: Bits by which a side that is moved must fit better. Of 372 talks of 5 minutes by the law of benchmarks/probe.py
#: two did by more, and of 84 in which the clock of a side was half a second off at the end one by less.
MOVED_BITS = 7.0

#: Kinds of what is found.
UNPAIRED = "unpaired"
SHIFTED = "shifted"


def paired_in(active: Activity) -> list[Activity]:
    """A conversation with its right side in each of `WAYS`."""
    count = len(active)
    pairs = []
    at = np.arange(count)
    for start, end, turned in WAYS:
        later = (start + (end - start) * at / max(count, 1)) * RATE
        source = (at - np.rint(later).astype(np.intp) - round(turned * count)) % count
        pairs.append(np.stack((active[:, 0], active[source, 1]), axis=1))
    return pairs


def pairings(names: Sequence[str], fits: NDArray[np.float64], frames: Sequence[int]) -> list[dict[str, Any]]:
    """What is found of the sides of conversations, as probe.json has it.

    Args:
        names: their ids. fits: bits of the sides in each of `WAYS`, shape (conversations, ways).
        frames: the length of each.

    Returns, of each, `id`; `kind`: `UNPAIRED`, `SHIFTED`, empty if its sides fit, None if it is too short to tell;
    `bits` by which they fit better than turned ones, and those `expected` of one as long; and the seconds by which
    the right side seems to be early, `early_at_start` and `early_at_end` (late, if negative).
    """
    lengths = np.asarray(frames, float)
    turned = fits[:, _TURNED]
    mean = turned.mean(axis=1)
    bits = fits[:, 0] - mean
    # Sums over frames, whose variance grows with their number; each mean took one of the degrees of freedom.
    variance = np.square(turned - mean[:, None]).sum() / ((len(_TURNED) - 1) * lengths.sum())
    limits = APART * np.sqrt(variance * lengths * (1 + 1 / len(_TURNED)))
    expected = np.median(bits / lengths) * lengths
    found = []
    for number, name in enumerate(names):
        kind: str | None = ""
        way = max(_MOVED, key=lambda way: fits[number, way])
        if expected[number] < 2 * limits[number]:
            kind = None
        elif bits[number] < limits[number]:
            kind = UNPAIRED
        elif fits[number, way] - fits[number, 0] > MOVED_BITS:
            kind = SHIFTED
        start, end, _ = WAYS[way if kind == SHIFTED else 0]
        figures = {"bits": round(float(bits[number]), 2), "expected": round(float(expected[number]), 2)}
        found.append({"id": name, "kind": kind, **figures, "early_at_start": start, "early_at_end": end})
    return found
