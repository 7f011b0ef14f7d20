"""Buckets: what each preset calls LOW, MID and HIGH, and when it refuses to."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.style.buckets import (
    FLOORS,
    gain_db,
    over_median,
    percentile,
    seed,
    spread,
)

NAN = math.nan
values_with_nan = st.lists(st.floats(0.001, 1000) | st.just(NAN), max_size=40)
PRESETS = (
    lambda values: percentile(values, "valence"),
    seed,
)


@given(values_with_nan)
def test_an_unknown_value_is_mid_and_changes_no_other(values: list[float]) -> None:
    measured = [value for value in values if not math.isnan(value)]
    for preset in PRESETS:
        labels = preset(values).labels
        labels_of_measured = []
        for value, label in zip(values, labels, strict=True):
            if math.isnan(value):
                assert label == "MID"
            else:
                labels_of_measured.append(label)
        assert labels_of_measured == preset(measured).labels


def test_percentile_takes_tertiles_with_linear_interpolation() -> None:
    made = percentile(range(10), "speech_rate")
    assert made.low == pytest.approx(2.97)
    assert made.high == pytest.approx(5.94)
    assert made.labels[:3] == ["LOW"] * 3
    assert made.labels[3:6] == ["MID"] * 3
    assert made.labels[6:] == ["HIGH"] * 4


def test_percentile_calls_ties_that_are_both_mid_and_seed_calls_them_low() -> None:
    values = [1.0] + [5.0] * 8 + [9.0]
    by_percentile = percentile(values, "valence")
    by_seed = seed(values)
    assert by_percentile.labels == ["LOW"] + ["MID"] * 8 + ["HIGH"]
    assert by_seed.labels == ["LOW"] * 9 + ["HIGH"]


def test_percentile_needs_six_finite_values() -> None:
    five = percentile([1, 2, 3, 4, 5, NAN, math.inf], "speech_rate")
    six = percentile([1, 2, 3, 4, 5, 6, NAN], "speech_rate")
    labels_of_five = set(five.labels)
    labels_of_six = set(six.labels)
    assert labels_of_five == {"MID"}
    assert labels_of_six == {"LOW", "MID", "HIGH"}


def values_of_spread(feature: str, wanted: float) -> np.ndarray:
    """Eleven values whose 10th and 90th percentiles, the 2nd and the 10th of them, are `wanted` apart."""
    steps = np.linspace(0, 1, 11) * wanted / 0.8
    if feature == "rms":
        return 0.1 * 10 ** (steps / 20)
    if feature == "f0_mean":
        return 120 * 2 ** (steps / 12)
    return 0.3 + steps


@pytest.mark.parametrize(("feature", "floor"), FLOORS.items())
def test_a_spread_below_the_floor_is_flat(feature: str, floor: float) -> None:
    on_floor = values_of_spread(feature, floor)
    below = values_of_spread(feature, 0.99 * floor)
    above = values_of_spread(feature, 1.01 * floor)
    assert spread(on_floor, feature) == pytest.approx(floor)
    flat = percentile(below, feature)
    assert set(flat.labels) == {"MID"}
    assert flat.low == -math.inf
    assert flat.high == math.inf
    divided = percentile(above, feature)
    assert set(divided.labels) == {"LOW", "MID", "HIGH"}


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([1.0, 2.0, 3.0, 4.0, NAN], ["LOW", "MID", "MID", "HIGH", "MID"]),
        ([1.0, 2.0, 3.0, 4.0, 5.0], ["LOW", "LOW", "MID", "HIGH", "HIGH"]),
        ([2.0], ["LOW"]),
    ],
)
def test_seed_takes_least_and_greatest_below_five_values(values: list[float], labels: list[str]) -> None:
    assert seed(values).labels == labels


def test_seed_calls_the_third_up_to_the_33rd_percentile_low_and_that_from_the_66th_high() -> None:
    labels = seed(range(101)).labels
    assert labels == ["LOW"] * 34 + ["MID"] * 32 + ["HIGH"] * 35


def test_margins_are_against_the_median_and_unknown_where_silent() -> None:
    ratios = over_median([1, 2, 4, NAN, 2])
    gains = gain_db([0.1, 0.1, 0.2, 0.0])
    doubled = 20 * math.log10(2)
    np.testing.assert_allclose(ratios, [0.5, 1, 2, NAN, 1])
    np.testing.assert_allclose(gains, [0, 0, doubled, NAN])
    unknown = over_median([NAN, NAN])
    silent = gain_db([0.0, 0.0])
    assert np.isnan(unknown).all()
    assert np.isnan(silent).all()
    assert over_median([]).size == 0


def test_percentile_counts_values_on_a_threshold() -> None:
    # 101 values: the thresholds are values of the list
    labels = percentile(np.arange(101), "speech_rate").labels
    assert labels[33] == "LOW"
    assert labels[34] == "MID"
    assert labels[65] == "MID"
    assert labels[66] == "HIGH"
