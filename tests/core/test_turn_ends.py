"""Ends of turns: which there are, and how well holds and shifts are told apart."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from dailytalk_contiguous.core.turns.turn_ends import (
    HOLD,
    MOST_DRAWN,
    SHIFT,
    TurnEnd,
    area_under_curve,
    auc_change,
    mean_change,
    turn_end_figures,
    turn_ends,
)
from dailytalk_contiguous.core.turns.turn_taking import Timed


def test_an_end_is_a_shift_or_a_hold_by_who_speaks_next() -> None:
    talk = [
        Timed("left", 0.0, 1.0),
        Timed("left", 1.5, 2.0),  # after a pause
        Timed("right", 2.6, 4.0),
        Timed("left", 4.2, 5.0),  # a gap of exactly 0.2 s is silence enough
        Timed("left", 5.1, 6.0),  # of the same stretch
        Timed("right", 6.5, 7.0),
    ]
    expected = [
        TurnEnd(0, 1.0, HOLD),
        TurnEnd(1, 2.0, SHIFT),
        TurnEnd(2, 4.0, SHIFT),
        TurnEnd(4, 6.0, SHIFT),
    ]
    assert turn_ends(talk) == expected


@pytest.mark.parametrize(
    "talk",
    [
        [Timed("left", 0.0, 2.0), Timed("right", 1.8, 3.0)],  # ends in the other's speech
        [Timed("left", 0.0, 2.0), Timed("right", 2.1, 3.0)],  # the other begins too soon
        [Timed("left", 0.0, 2.0), Timed("right", 0.5, 0.9), Timed("left", 2.1, 3.0)],  # a backchannel, no pause
        [Timed("right", 0.0, 5.0), Timed("left", 1.0, 2.0), Timed("left", 3.0, 3.5)],  # under a long turn
        [Timed("left", 0.0, 2.0)],
        [],
    ],
)
def test_ends_without_silence_behind_them_and_the_last_one_are_none(talk: list[Timed]) -> None:
    assert turn_ends(talk) == []


def ends_of(talk: Sequence[Timed]) -> set[tuple[Timed, float, str]]:
    ends = set()
    for end in turn_ends(talk):
        utterance = talk[end.utterance]
        ends.add((utterance, end.time, end.transition))
    return ends


def test_the_order_of_utterances_makes_no_difference() -> None:
    talk = [Timed("left", 0.0, 1.0), Timed("right", 1.5, 2.0), Timed("right", 2.5, 3.0), Timed("left", 3.5, 4.0)]
    expected = ends_of(talk)
    for order in itertools.permutations(talk):
        assert ends_of(order) == expected


@pytest.mark.parametrize(("second_start", "joined"), [(1.1, None), (1.1, [[0], [1], [2]]), (1.3, [[0, 1], [2]])])
def test_stretches_of_another_timing_can_be_taken(second_start: float, joined: list[list[int]] | None) -> None:
    talk = [Timed("left", 0.0, 1.0), Timed("left", second_start, 2.0), Timed("right", 2.5, 3.0)]
    ends = turn_ends(talk) if joined is None else turn_ends(talk, joined)
    assert [end.time for end in ends] == [2.0]


def test_the_area_under_the_curve_is_the_share_of_pairs_in_order() -> None:
    generator = np.random.default_rng(3)
    shifts = generator.integers(0, 9, 40) / 10
    holds = generator.integers(0, 7, 25) / 10
    pairs = []
    for shift, hold in itertools.product(shifts, holds):
        if shift == hold:
            pairs.append(0.5)
        else:
            pairs.append(1.0 if shift > hold else 0.0)
    area = area_under_curve(shifts, holds)
    assert area == pytest.approx(np.mean(pairs))


def width(interval: tuple[float, float]) -> float:
    low, high = interval
    return high - low


def test_intervals_are_wider_the_fewer_ends_there_are() -> None:
    generator = np.random.default_rng(1)
    shifts = generator.beta(4, 2, 800)
    holds = generator.beta(2, 4, 800)
    many = turn_end_figures(shifts, holds)
    few = turn_end_figures(shifts[:20], holds[:8])
    assert many.auc_interval
    assert few.auc_interval
    assert many.at_holds_interval
    assert width(few.auc_interval) > 3 * width(many.auc_interval)
    low, high = many.at_holds_interval
    assert low < 1 / 3 < high
    error = np.std(holds) / np.sqrt(800)
    half_width = width(many.at_holds_interval) / 2
    assert half_width == pytest.approx(1.645 * error, rel=0.2)
    assert few.n_shifts == 20
    assert few.n_holds == 8


def test_of_ends_without_a_hold_or_a_shift_what_is_known_is_told() -> None:
    only_shifts = turn_end_figures([0.5, 0.7], [])
    assert only_shifts.at_shifts == pytest.approx(0.6)
    assert only_shifts.at_holds is None
    assert only_shifts.auc is None
    assert only_shifts.at_holds_interval is None
    nothing = turn_end_figures([], [])
    assert nothing.at_shifts is None


def test_changes_are_those_of_the_same_ends() -> None:
    holds = np.array([[0.1, 0.5], [0.2, 0.6], [0.05, 0.45], [0.3, 0.7]])
    shifts = np.array([[0.9, 0.4], [0.8, 0.65], [0.95, 0.9]])
    pause_change = mean_change(holds)
    told_apart = auc_change(shifts, holds)
    assert pause_change
    assert told_apart
    assert pause_change.value == pytest.approx(0.4)
    assert pause_change.interval == pytest.approx((0.4, 0.4))
    shifts_after = shifts[:, 1]
    after = area_under_curve(shifts_after, holds[:, 1])
    low, high = told_apart.interval
    assert told_apart.value == pytest.approx(after - 1.0)
    assert low <= told_apart.value <= high
    assert mean_change(holds[:0]) is None
    assert auc_change(shifts, holds[:0]) is None


def test_a_hundred_thousand_ends_have_the_interval_of_as_many_as_are_drawn_from() -> None:
    generator = np.random.default_rng(2)
    shifts = generator.beta(4, 2, 100_000)
    holds = generator.beta(2, 4, 100_000)
    figures = turn_end_figures(shifts, holds)
    assert figures.at_holds == pytest.approx(holds.mean())
    assert figures.at_holds_interval
    error = np.std(holds) / np.sqrt(MOST_DRAWN)
    half_width = width(figures.at_holds_interval) / 2
    assert half_width == pytest.approx(1.645 * error, rel=0.2)
