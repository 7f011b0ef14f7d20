"""Whether the two sides of a conversation belong together, and at the same times.

A model that foresees both speakers says in bits how well the sides of a conversation fit, and how well they would
if the right one were turned by a quarter, half or three quarters of its length (and so had nothing to do with the
left), or were later, earlier, slower or faster. Sides of two recordings fit no better than turned ones; those
whose clocks differ fit better where that is put right.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.apps.probe.activity import RATE, Activity


class Way(NamedTuple):
    """A way to pair the right side: later by seconds at the start and at the end, or turned by a share of it."""

    start: float = 0.0
    end: float = 0.0
    turned: float = 0.0


def _ways() -> Iterator[Way]:
    yield Way()
    for share in (0.25, 0.5, 0.75):
        yield Way(turned=share)
    for seconds in (0.3, 0.6, 1.2):
        yield Way(seconds, seconds)
        yield Way(-seconds, -seconds)
    for seconds in (0.25, 0.5, 1.0, 2.0):
        yield Way(0.0, seconds)
        yield Way(0.0, -seconds)


#: As it is; turned; later or earlier; slower or faster.
WAYS = tuple(_ways())

_TURNED = [number for number, way in enumerate(WAYS) if way.turned]
_MOVED = [number for number, way in enumerate(WAYS) if way.end]

#: Sides belong together if they fit better than turned ones by this many deviations of what turned sides fit by:
#: one pair of strangers in 200 does. Only conversations of which twice as much is to be expected are judged.
APART = 2.6

#: Bits by which a side that is moved must fit better. Of 372 talks of 5 minutes by the law of
#: benchmarks/talk_law.py two did by more, and of 84 in which the clock of a side was half a second off at the end
#: one by less.
MOVED_BITS = 7.0

#: The kind of sides that have nothing to do with each other.
UNPAIRED = "unpaired"

#: The kind of sides one of which is later or slower than it should be.
SHIFTED = "shifted"


class Pairing(TypedDict):
    """The fit of the sides of a conversation, as probe.json has it.

    Attributes:
        id: of the conversation.
        kind: `UNPAIRED`, `SHIFTED`, empty if its sides fit, None if it is too short to tell.
        bits: by which they fit better than turned ones.
        expected: the bits of a conversation as long.
        early_at_start: seconds by which the right side seems to be early at the start (late, if negative).
        early_at_end: the same at the end.
    """

    id: str
    kind: str | None
    bits: float
    expected: float
    early_at_start: float
    early_at_end: float


def paired_in(active: Activity) -> list[Activity]:
    """A conversation with its right side in each of `WAYS`."""
    count = len(active)
    frames = np.arange(count)
    pairs: list[Activity] = []
    for start, end, turned in WAYS:
        later = (start + (end - start) * frames / max(count, 1)) * RATE
        n_later = np.rint(later).astype(np.intp)
        source = (frames - n_later - round(turned * count)) % count
        pairs.append(np.stack((active[:, 0], active[source, 1]), axis=1))
    return pairs


def pairings(names: Sequence[str], fits: NDArray[np.float64], frames: Sequence[int]) -> list[Pairing]:
    """Judge how the sides of each conversation fit.

    Args:
        names: ids of the conversations.
        fits: bits of the sides in each of `WAYS`, shape (conversations, ways).
        frames: the length of each conversation.
    """
    lengths = np.asarray(frames, float)
    turned = fits[:, _TURNED]
    mean = turned.mean(axis=1)
    bits = fits[:, 0] - mean
    # Sums over frames, whose variance grows with their number; each mean took one of the degrees of freedom.
    freedom = (len(_TURNED) - 1) * lengths.sum()
    variance = np.square(turned - mean[:, None]).sum() / freedom
    limits = APART * np.sqrt(variance * lengths * (1 + 1 / len(_TURNED)))
    expected = np.median(bits / lengths) * lengths
    pairings: list[Pairing] = []
    for number, name in enumerate(names):
        fit = fits[number]
        best_move = max(_MOVED, key=fit.__getitem__)
        kind: str | None = ""
        early = WAYS[0]
        if expected[number] < 2 * limits[number]:
            kind = None
        elif bits[number] < limits[number]:
            kind = UNPAIRED
        elif fit[best_move] - fit[0] > MOVED_BITS:
            kind = SHIFTED
            early = WAYS[best_move]
        pairing: Pairing = {
            "id": name,
            "kind": kind,
            "bits": round(float(bits[number]), 2),
            "expected": round(float(expected[number]), 2),
            "early_at_start": early.start,
            "early_at_end": early.end,
        }
        pairings.append(pairing)
    return pairings
