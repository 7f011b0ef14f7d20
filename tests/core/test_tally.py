"""Accumulators against what NumPy says of the same values, and rows of conversations and clips in one tally."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core import tally as tally_module
from dailytalk_contiguous.core.schema import UTTERANCE
from dailytalk_contiguous.core.tally import (
    MAX_KINDS,
    UNKNOWN,
    CountGrid,
    Histogram,
    LimitedCounter,
    Moments,
    Purchases,
    Sum,
    Tally,
    total,
)

NUMBERS = st.lists(st.floats(-1e3, 1e3), min_size=1)


@given(NUMBERS)
def test_moments_are_those_of_the_numbers(numbers: list[float]) -> None:
    moments = Moments()
    for number in (*numbers, None, math.nan):
        moments.add(number)
    assert (moments.n, moments.low, moments.high) == (len(numbers), min(numbers), max(numbers))
    assert (moments.mean, moments.deviation) == pytest.approx((np.mean(numbers), np.std(numbers)), abs=1e-6)


def test_moments_of_nothing_are_not_numbers() -> None:
    assert math.isnan(Moments().mean)
    assert math.isnan(Moments().deviation)


@given(st.lists(st.integers(-500, 500), min_size=1), st.floats(0.01, 1))
def test_quantile_of_bins_is_that_of_the_values(values: list[int], share: float) -> None:
    histogram = Histogram(1.0)
    for value in values:
        histogram.add(value)
    assert histogram.quantile(share) == np.quantile(values, share, method="inverted_cdf")


@given(NUMBERS, st.sampled_from([0.01, 0.1, 0.5]))
def test_quantile_of_nearest_bins_is_half_a_bin_off_at_most(values: list[float], width: float) -> None:
    histogram = Histogram(width, nearest=True)
    for value in values:
        histogram.add(value)
    exact = np.quantile(values, 0.5, method="inverted_cdf")
    assert histogram.quantile(0.5) == pytest.approx(exact, abs=width / 2 + 1e-9)


@given(NUMBERS)
def test_shares_of_wider_bins_add_up_to_one_whatever_is_beyond_them(values: list[float]) -> None:
    histogram = Histogram(0.01, -30.0, 30.0, nearest=True)
    for value in values:
        histogram.add(value)
    shares = histogram.shares(-2.0, 3.0, 0.1)
    assert sum(shares.values()) == pytest.approx(1.0)
    assert all(-2.0 <= edge < 3.0 for edge in shares)


def test_values_on_an_edge_are_in_the_bin_above_it_and_those_beyond_the_ends_in_the_outer_bins() -> None:
    histogram = Histogram(0.01, -30.0, 30.0, nearest=True)
    for value in (-7.0, -2.0, 0.0, 0.0, 0.1, 3.0, 12.0, 2.95):
        histogram.add(value)
    assert histogram.shares(-2.0, 3.0, 0.1) == {-2.0: 0.25, 0.0: 0.25, 0.1: 0.125, 2.9: 0.375}
    assert Histogram(0.5).shares(0.0, 1.0, 0.5) == {}
    assert math.isnan(Histogram(0.5).quantile(0.5))


@given(st.lists(st.tuples(st.floats(-1, 2), st.floats(-1, 2))))
def test_each_pair_is_in_a_cell_and_what_is_beyond_is_in_the_outer_ones(pairs: list[tuple[float, float]]) -> None:
    grid = CountGrid(0.04, 1.0)
    for x, y in pairs:
        grid.add(x, y)
    grid.add(None, 0.5)
    points = list(grid.points())
    assert grid.n == sum(n for _, _, n in points) == len(pairs)
    assert all(0 < x < 1 and 0 < y < 1 for x, y, _ in points)


@given(st.lists(st.text(), max_size=200))
def test_kinds_beyond_the_limit_are_counted_together(kinds: list[str]) -> None:
    counts: LimitedCounter[str] = LimitedCounter()
    for kind in kinds:
        counts.add(kind, "others")
    assert len(counts) <= MAX_KINDS + 1
    assert counts.total() == len(kinds)


@given(st.lists(st.builds(Sum, st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)), max_size=5))
def test_sums_add_up(sums: list[Sum]) -> None:
    whole = total(sums)
    assert whole.conversations == sum(part.conversations for part in sums)
    assert whole.words == sum(part.words for part in sums)


def test_memory_does_not_grow_with_the_names_of_speakers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally_module, "MAX_VALUES", 3)
    tally = Tally()
    row = dict.fromkeys(("duration", "source_duration", "utterances", "alignments", "timeline"))
    for number in range(9):
        tally.add(row | {"language": f"x{number}"})
    assert {name: part.conversations for name, part in tally.by["language"].items()} == {
        "x0": 1,
        "x1": 1,
        "x2": 1,
        "others": 6,
    }


def test_a_conversation_with_nothing_in_it_is_counted_as_one() -> None:
    tally = Tally()
    empty = dict.fromkeys(("duration", "source_duration", "language", "utterances", "alignments", "timeline"))
    tally.add(empty, "train")
    assert tally.total == tally.by["split"]["train"] == tally.by["language"][UNKNOWN] == Sum(1)
    assert tally.heard == Sum()


def test_what_became_of_utterances_is_counted_and_what_could_not_be_lost_is_perfect() -> None:
    nothing = {"offset_distance": None, "overlap_kept": math.nan, "duration_ratio": None}
    lost = {"lost_speech_seconds": None, "lost_sound_seconds": 0.25}
    measured = {"offset_distance": 0.5, "overlap_kept": 0.25, "duration_ratio": 2.0, "lost_speech_seconds": 4.0}
    utterance = dict.fromkeys(UTTERANCE) | {"channel": "left"}
    row = {"duration": 2.0, "source_duration": 2.0, "language": "en", "alignments": [{"source": "given"}] * 3}
    row["utterances"] = [utterance | {"status": status} for status in ("spoken", "kept-original")]
    tally = Tally()
    tally.add(row | {"timeline": nothing | lost})
    tally.add(row | {"timeline": lost | measured})
    assert tally.total == Sum(2, 4, 6, 4.0)
    assert tally.statuses == {"spoken": 2, "kept-original": 2}
    means = {name: moments.mean for name, moments in tally.timeline.items()}
    assert means == {"offset_distance": 0.25, "overlap_kept": 0.625, "duration_ratio": 1.5}
    assert tally.lost == {"speech": 4.0, "sound": 0.5}


@given(st.lists(st.integers(0, 9)))
def test_each_purchase_counts_once_however_often_it_is_said(said: list[int]) -> None:
    purchases = Purchases()
    for number in said:
        purchases.add(f"line {number}", 0.25 * number)
    assert purchases.total == sum(0.25 * number for number in set(said))


def test_purchases_without_a_key_count_each() -> None:
    purchases = Purchases()
    for key in ("a", None, None, "a"):
        purchases.add(key, 0.5)
    assert purchases.total == 1.5
