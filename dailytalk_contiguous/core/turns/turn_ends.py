"""Ends of turns: where a speaker falls silent, who speaks next, and how well a judge of the sound knows it.

A judge hears one side up to the end of a stretch of speech and says how finished it sounds, from 0 to 1. Before
the other speaker's turn (a shift) it should sound finished, before a pause of the same speaker (a hold) not.
"""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dailytalk_contiguous.core.turns.turn_taking import PAUSE, Timed, stretches

#: The other speaker speaks behind the end of a stretch of speech.
SHIFT = "shift"

#: The same speaker speaks behind the end of a stretch of speech.
HOLD = "hold"

#: Draws of the bootstrap.
DRAWS = 1000

#: Share of the draws that an interval holds (Efron & Tibshirani 1993, "An Introduction to the Bootstrap",
#: percentile interval).
CONFIDENCE = 0.9

#: The ends of an interval.
Interval = tuple[float, float]


class TurnEnd(NamedTuple):
    """The end of a stretch of speech: index of its last utterance, time in seconds, and `SHIFT` or `HOLD`."""

    utterance: int
    time: float
    transition: str


class TurnEndFigures(NamedTuple):
    """Figures of how finished ends of turns sound, in [0, 1]; None where there is none.

    Attributes:
        n_shifts: number of shifts that were judged.
        n_holds: number of holds that were judged.
        at_shifts: mean of the shifts.
        at_holds: mean of the holds.
        auc: how often a shift sounds more finished than a hold (Fawcett 2006, Pattern Recognition Letters 27:861).
        at_holds_interval: interval of `at_holds` with `CONFIDENCE`, by drawing ends with replacement.
        auc_interval: the same of `auc`.
    """

    n_shifts: int
    n_holds: int
    at_shifts: float | None
    at_holds: float | None
    auc: float | None
    at_holds_interval: Interval | None
    auc_interval: Interval | None


class TurnEndChange(NamedTuple):
    """The change of a figure from recorded to built ends, the same ones in both, and its interval."""

    value: float
    interval: Interval


def turn_ends(timed: Sequence[Timed], groups: Sequence[Sequence[int]] | None = None) -> list[TurnEnd]:
    """Return the ends of stretches of speech after which both are silent for `PAUSE` seconds, in order of time.

    Backchannels, ends in the other's speech, and the last end, after which nobody speaks, are left out.

    Args:
        timed: utterances in any order.
        groups: as in `core.turns.turn_taking.stretches`.

    >>> talk = [Timed("left", 0, 1), Timed("left", 2, 3), Timed("right", 4, 5)]
    >>> [(end.time, end.transition) for end in turn_ends(talk)]
    [(1, 'hold'), (3, 'shift')]
    """
    speech = stretches(timed, groups)
    starts = [stretch.start for stretch in speech]
    latest_ends = list(accumulate((stretch.end for stretch in speech), max))
    ends: list[TurnEnd] = []
    for stretch in speech:
        following = bisect_left(starts, stretch.end + PAUSE)
        if following == len(speech) or stretch.event == "backchannel":
            continue
        is_in_speech = latest_ends[following - 1] > stretch.end
        if is_in_speech:
            continue
        last = max(stretch.members, key=lambda index: timed[index].end)
        transition = HOLD if speech[following].channel == stretch.channel else SHIFT
        ends.append(TurnEnd(last, stretch.end, transition))
    return sorted(ends, key=lambda end: end.time)


def turn_end_figures(at_shifts: ArrayLike, at_holds: ArrayLike) -> TurnEndFigures:
    """Return the figures of ends from how finished the shifts and the holds among them sound.

    >>> turn_end_figures([0.9, 0.7], [0.2]).auc
    1.0
    """
    shifts = np.asarray(at_shifts, float)
    holds = np.asarray(at_holds, float)
    figures = TurnEndFigures(len(shifts), len(holds), None, None, None, None, None)
    drawn_shifts = shifts[_draws(shifts)]
    drawn_holds = holds[_draws(holds)]
    if len(shifts):
        figures = figures._replace(at_shifts=float(shifts.mean()))
    if len(holds):
        means = drawn_holds.mean(axis=1)
        figures = figures._replace(at_holds=float(holds.mean()), at_holds_interval=_interval(means))
    if len(shifts) and len(holds):
        draws = zip(drawn_shifts, drawn_holds, strict=True)
        aucs = [area_under_curve(some_shifts, some_holds) for some_shifts, some_holds in draws]
        auc = area_under_curve(shifts, holds)
        figures = figures._replace(auc=auc, auc_interval=_interval(aucs))
    return figures


def mean_change(holds: NDArray[np.float64]) -> TurnEndChange | None:
    """Return how much more finished the same holds sound as built than as recorded; None without any.

    `holds` says how finished each sounds as recorded and as built, shape (ends, 2).
    """
    changes = holds[:, 1] - holds[:, 0]
    if not len(changes):
        return None
    means = changes[_draws(changes)].mean(axis=1)
    return TurnEndChange(float(changes.mean()), _interval(means))


def auc_change(shifts: NDArray[np.float64], holds: NDArray[np.float64]) -> TurnEndChange | None:
    """Return the change of the area under the curve; None without a shift or without a hold.

    `shifts` and `holds` say how finished each end sounds as recorded and as built, shape (ends, 2).
    """
    if not len(shifts) or not len(holds):
        return None
    changes: list[float] = []
    for drawn_shifts, drawn_holds in zip(_draws(shifts), _draws(holds), strict=True):
        recorded, built = _aucs(shifts[drawn_shifts], holds[drawn_holds])
        changes.append(built - recorded)
    recorded, built = _aucs(shifts, holds)
    return TurnEndChange(built - recorded, _interval(changes))


def _aucs(shifts: NDArray[np.float64], holds: NDArray[np.float64]) -> tuple[float, float]:
    """Return the areas of ends as recorded, and as built."""
    recorded = area_under_curve(shifts[:, 0], holds[:, 0])
    built = area_under_curve(shifts[:, 1], holds[:, 1])
    return recorded, built


def area_under_curve(shifts: NDArray[np.float64], holds: NDArray[np.float64]) -> float:
    """Return the share of pairs of a shift and a hold in which the shift sounds more finished; NaN without a pair.

    Pairs that sound equally finished count half.
    """
    if not len(shifts) or not len(holds):
        return float("nan")
    ordered = np.sort(holds)
    lower = np.searchsorted(ordered, shifts, side="left")
    not_higher = np.searchsorted(ordered, shifts, side="right")
    return float((lower + not_higher).mean() / (2 * len(holds)))


#: Ends of a kind that are drawn from at most, evenly taken: of more the interval would be narrower than anybody
#: needs.
MOST_DRAWN = 1000


def _draws(values: NDArray[np.float64]) -> NDArray[np.intp]:
    """Draw indices of ends with replacement, shape (`DRAWS`, ends), the same ones at each call."""
    n_drawn = min(len(values), MOST_DRAWN)
    random = np.random.default_rng(0)
    numbers = random.integers(max(1, n_drawn), size=(DRAWS, n_drawn))
    if not n_drawn:
        return np.asarray(numbers, np.intp)
    evenly = np.linspace(0, len(values) - 1, n_drawn).round()
    return np.asarray(evenly.astype(np.intp)[numbers], np.intp)


def _interval(draws: ArrayLike) -> Interval:
    """Return the percentiles between which `CONFIDENCE` of the draws are."""
    outside = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.asarray(draws), [outside, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
