"""Buckets: what each preset calls LOW, MID and HIGH, and when it refuses to."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.buckets import (
    FLOORS,
    Statistic,
    corpus_statistic,
    gain_db,
    over_median,
    percentile,
    robust,
    seed,
    spread,
)

NAN = math.nan
values_with_nan = st.lists(st.floats(0.001, 1000) | st.just(NAN), max_size=40)
CORPUS = Statistic(median=10.0, spread=2.0)
PRESETS = (
    lambda values: percentile(values, "valence"),
    lambda values: robust(values, CORPUS),
    seed,
)


@given(values_with_nan)
def test_an_unknown_value_is_mid_and_changes_no_other(values: list[float]) -> None:
    known = [value for value in values if not math.isnan(value)]
    for preset in PRESETS:
        labels = preset(values).labels
        assert len(labels) == len(values)
        assert {label for value, label in zip(values, labels, strict=True) if math.isnan(value)} <= {"MID"}
        assert [label for value, label in zip(values, labels, strict=True) if value > 0] == preset(known).labels


def test_percentile_takes_tertiles_with_linear_interpolation() -> None:
    made = percentile(range(10), "speech_rate")
    assert (made.low, made.high) == pytest.approx((2.97, 5.94))
    assert made.labels == ["LOW"] * 3 + ["MID"] * 3 + ["HIGH"] * 4


def test_percentile_calls_ties_that_are_both_mid_and_seed_calls_them_low() -> None:
    values = [1.0] + [5.0] * 8 + [9.0]
    assert percentile(values, "valence").labels == ["LOW"] + ["MID"] * 8 + ["HIGH"]
    assert seed(values).labels == ["LOW"] * 9 + ["HIGH"]


def test_percentile_needs_six_finite_values() -> None:
    assert set(percentile([1, 2, 3, 4, 5, NAN, math.inf], "speech_rate").labels) == {"MID"}
    assert set(percentile([1, 2, 3, 4, 5, 6, NAN], "speech_rate").labels) == {"LOW", "MID", "HIGH"}


@pytest.mark.parametrize(("feature", "floor"), FLOORS.items())
def test_a_spread_below_the_floor_is_flat(feature: str, floor: float) -> None:
    def values_of_spread(wanted: float) -> np.ndarray:
        steps = np.linspace(0, 1, 11) * wanted / 0.8  # the 10th and 90th percentiles are the 2nd and 10th value
        if feature == "rms":
            return 0.1 * 10 ** (steps / 20)
        if feature == "f0_mean":
            return 120 * 2 ** (steps / 12)
        return 0.3 + steps

    assert spread(values_of_spread(floor), feature) == pytest.approx(floor)
    flat = percentile(values_of_spread(0.99 * floor), feature)
    assert set(flat.labels) == {"MID"}
    assert (flat.low, flat.high) == (-math.inf, math.inf)
    assert set(percentile(values_of_spread(1.01 * floor), feature).labels) == {"LOW", "MID", "HIGH"}


def test_robust_shrinks_towards_the_corpus() -> None:
    # 20 values weigh 1/2: centre (20 + 10)/2; their MAD is 1, spread (1.4826 + 2)/2
    values = [19.0, 21.0] * 10
    made = robust(values, CORPUS)
    scale = (1.4826 + 2.0) / 2
    assert (made.low, made.high) == pytest.approx((15 - 0.75 * scale, 15 + 0.75 * scale))
    assert set(made.labels) == {"HIGH"}


def test_robust_is_never_finer_than_seven_tenths_of_the_corpus() -> None:
    made = robust([10.0] * 400, CORPUS)
    assert (made.low, made.high) == pytest.approx((10 - 0.75 * 1.4, 10 + 0.75 * 1.4))
    assert set(made.labels) == {"MID"}


def test_seed_takes_least_and_greatest_below_five_values() -> None:
    assert seed([1.0, 2.0, 3.0, 4.0, NAN]).labels == ["LOW", "MID", "MID", "HIGH", "MID"]
    assert seed([1.0, 2.0, 3.0, 4.0, 5.0]).labels == ["LOW", "LOW", "MID", "HIGH", "HIGH"]
    assert seed([2.0]).labels == ["LOW"]


def test_seed_calls_the_third_up_to_the_33rd_percentile_low_and_that_from_the_66th_high() -> None:
    labels = seed(range(101)).labels
    assert labels == ["LOW"] * 34 + ["MID"] * 32 + ["HIGH"] * 35


def test_corpus_statistic_measures_how_far_one_speaker_strays() -> None:
    low, high = np.array([99.0, 100.0, 101.0]), np.array([199.0, 200.0, 201.0, NAN])
    statistic = corpus_statistic(iter([low, high, [5.0], []]))
    assert statistic.median == 150.0
    assert statistic.spread == pytest.approx(1.4826)


def test_margins_are_against_the_median_and_unknown_where_silent() -> None:
    np.testing.assert_allclose(over_median([1, 2, 4, NAN, 2]), [0.5, 1, 2, NAN, 1])
    np.testing.assert_allclose(gain_db([0.1, 0.1, 0.2, 0.0]), [0, 0, 20 * math.log10(2), NAN])
    assert np.isnan(over_median([NAN, NAN])).all()
    assert np.isnan(gain_db([0.0, 0.0])).all()
    assert over_median([]).size == 0


def test_percentile_counts_values_on_a_threshold() -> None:
    # 101 values: the thresholds are values of the list
    made = percentile(np.arange(101), "speech_rate")
    assert [made.labels[place] for place in (33, 34, 65, 66)] == ["LOW", "MID", "MID", "HIGH"]
