"""The certainty of the kind of an event: whether it stays the same if times and limits change a little.

The kind of an event follows from times and limits. Times are those of sound in a room, and the quieter the room,
the more exact they are; a limit such as 0.2 s of silence is a convention, which nobody knows to better than a
tenth. So the edges of speech are moved at random, as far as they are usually wrong, and the limits by up to a
tenth, and the rules are applied again. The certainty of an event is the share of these draws in which it keeps its
kind.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.documents import is_number
from dailytalk_contiguous.core.records.record import BuiltSide
from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.turns.turn_ends import SHIFT, silent_ends
from dailytalk_contiguous.core.turns.turn_taking import (
    TURN_LIMITS,
    Timed,
    TurnLimits,
    join_spans,
    labels_of,
    stretches,
)

#: How often times and limits are drawn: a share has a standard deviation of at most 0.05.
CERTAINTY_DRAWS = 100


class EndShares(NamedTuple):
    """The shares of the draws in which the end of a turn keeps its transition or has the other one.

    In the remaining draws it is no end of a turn, because the silence behind it is too short.
    """

    same_transition: float
    other_transition: float


class EventCertainties(NamedTuple):
    """The certainty of each utterance's event, in [0, 1], and the shares of each end of a turn, by utterance."""

    events: list[float]
    ends: dict[int, EndShares]


#: Signal-to-noise ratios in dB.
SNR_DB = (10.0, 15.0, 20.0, 25.0, 30.0, 35.0)

#: Seconds by which an edge is wrong at each of `SNR_DB` (standard deviation, from the range of 80 % of the edges):
#: those that `Segment` finds of phrases of the bundled voices planted into noise so loud. Three talks with other
#: seeds had errors of 0.062, 0.051, 0.029, 0.014, 0.006 and 0.003.
EDGE_ERRORS = (0.059, 0.047, 0.030, 0.023, 0.008, 0.004)


def edge_error(snr_db: object) -> float:
    """Return the standard deviation in seconds of an edge of speech, by the signal-to-noise ratio of its side.

    It is the largest one of `EDGE_ERRORS` where the ratio is unknown.

    >>> edge_error(60.0), edge_error(None)
    (0.004, 0.059)
    """
    if not is_number(snr_db):
        return EDGE_ERRORS[0]
    return float(np.interp(snr_db, SNR_DB, EDGE_ERRORS))


def edge_errors_of(sides: Iterable[BuiltSide]) -> dict[str, float]:
    """Return `edge_error` of each channel of a conversation; of one that is not in `sides` the largest one."""
    errors = {channel: edge_error(None) for channel in CHANNELS}
    for side in sides:
        errors[side.channel] = edge_error(side.snr_db)
    return errors


def event_certainties(
    timed: Sequence[Timed], errors: Sequence[float], source: Sequence[Timed] | None = None
) -> EventCertainties:
    """Return how certain the events of a conversation are.

    Args:
        timed: utterances of the conversation.
        errors: standard deviation of the edges of each, in seconds.
        source: the same utterances in the recording, by which stretches are joined; None to join them by `timed`.
    """
    now = _Events.from_times(timed, source, TURN_LIMITS)
    n_kept = np.zeros(len(timed), int)
    n_ends_kept = dict.fromkeys(now.transitions, 0)
    n_ends_other = dict.fromkeys(now.transitions, 0)
    for shifts, limits in _draws(errors):
        moved_source = None if source is None else _moved(source, shifts)
        drawn = _Events.from_times(_moved(timed, shifts), moved_source, limits)
        n_kept += np.array(drawn.labels) == np.array(now.labels)
        for utterance, transition in now.transitions.items():
            drawn_transition = drawn.transitions.get(utterance)
            if drawn_transition == transition:
                n_ends_kept[utterance] += 1
            elif drawn_transition:
                n_ends_other[utterance] += 1
    ends: dict[int, EndShares] = {}
    for utterance, kept in n_ends_kept.items():
        ends[utterance] = EndShares(kept / CERTAINTY_DRAWS, n_ends_other[utterance] / CERTAINTY_DRAWS)
    shares = n_kept / CERTAINTY_DRAWS
    return EventCertainties(shares.tolist(), ends)


#: Shapes of the beta distributions of how finished holds and shifts sound to Smart Turn, fitted to 22 and 124 of
#: the bundled recordings and of two calls.
HOLD_SHAPE = (0.280, 1.021)
SHIFT_SHAPE = (0.427, 0.470)

#: How many times likelier that sound makes one kind than the other at most. On calls of other people the judge's
#: word is worth little: the log loss of 41 ends is 0.657 by the share of shifts alone and 0.680 with the judge.
MOST_RATIO = 2.0

#: How finished an end sounds at least, and under 1 by so much at least, where it is compared: densities have no
#: bound.
LEAST_FINISHED = 0.005


def transition_certainty(shares: EndShares, transition: str, finished: float | None) -> float:
    """Return how certain a transition is, in [0, 1], by Bayes' rule.

    Times alone give its probability, and how finished the end sounds makes it likelier or less likely than the
    other transition. Whether the silence is long enough can't be heard, so that part of the draws stays.

    Args:
        shares: shares of the end.
        transition: `core.turns.turn_ends.HOLD` or `SHIFT`.
        finished: `turn_end`, in [0, 1]; None where nobody judged.

    >>> shares = EndShares(same_transition=0.8, other_transition=0.2)
    >>> [round(transition_certainty(shares, "shift", finished), 2) for finished in (None, 0.99, 0.01)]
    [0.8, 0.89, 0.67]
    """
    if finished is None:
        return shares.same_transition
    # How much likelier a shift sounds so finished than a hold does: a ratio of two beta densities, bounded.
    heard = min(max(finished, LEAST_FINISHED), 1 - LEAST_FINISHED)
    log_ratio = _log_density(heard, *SHIFT_SHAPE) - _log_density(heard, *HOLD_SHAPE)
    ratio = min(max(math.exp(log_ratio), 1 / MOST_RATIO), MOST_RATIO)
    if transition != SHIFT:
        ratio = 1 / ratio
    same_speaker = (1 - shares.other_transition) * ratio
    return shares.same_transition * ratio / (same_speaker + shares.other_transition)


def _log_density(value: float, first: float, second: float) -> float:
    """Return the logarithm of the density of a beta distribution."""
    scale = math.lgamma(first) + math.lgamma(second) - math.lgamma(first + second)
    return (first - 1) * math.log(value) + (second - 1) * math.log(1 - value) - scale


class _Events(NamedTuple):
    """The event of each utterance, and the transitions, by the last utterance before each."""

    labels: list[str]
    transitions: dict[int, str]

    @classmethod
    def from_times(cls, timed: Sequence[Timed], source: Sequence[Timed] | None, limits: TurnLimits) -> "_Events":
        groups = join_spans(timed if source is None else source, limits.pause)
        speech = stretches(timed, groups, limits)
        ends = silent_ends(speech, timed, limits.pause)
        transitions = {end.utterance: end.transition for end in ends}
        return cls(labels_of(speech, len(timed)), transitions)


#: Share of itself by which a limit may be higher or lower.
LIMIT_SHARE = 0.1


def _draws(errors: Sequence[float]) -> Iterator[tuple[NDArray[np.float64], TurnLimits]]:
    """Draw seconds by which each start and end is moved, shape (n, 2), and limits; the same ones at each call."""
    random = np.random.default_rng(0)
    usual = np.array(TURN_LIMITS)
    deviations = np.array(errors, float).reshape(-1, 1)
    for _ in range(CERTAINTY_DRAWS):
        limits = usual * random.uniform(1 - LIMIT_SHARE, 1 + LIMIT_SHARE, len(usual))
        shifts = deviations * random.standard_normal((len(errors), 2))
        yield shifts, TurnLimits(*limits.tolist())


#: Seconds that remain of speech at least, wherever its edges are moved.
SHORTEST_DRAWN = 0.01


def _moved(timed: Sequence[Timed], shifts: NDArray[np.float64]) -> list[Timed]:
    moved: list[Timed] = []
    for (channel, start, end, run), (start_shift, end_shift) in zip(timed, shifts.tolist(), strict=True):
        moved_start = start + start_shift
        moved_end = max(end + end_shift, moved_start + SHORTEST_DRAWN)
        moved.append(Timed(channel, moved_start, moved_end, run))
    return moved
