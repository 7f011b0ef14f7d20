"""Buckets: a measure of an utterance as LOW, MID or HIGH among the others of the same speaker.

A tag must say how a speaker sounds *for them*, so a measure is compared only with values of its own conversation.
Tertiles alone would call a third of a monotonous conversation extreme: `percentile` therefore asks for a spread
that a listener could hear. `seed` is the older rule, for reproducing earlier datasets.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

LOW = "LOW"
MID = "MID"
HIGH = "HIGH"
LEVELS = (LOW, MID, HIGH)

#: The bucketed measures, with the names that their buckets have.
FEATURES = {
    "valence": "valence_bucket",
    "arousal": "arousal_bucket",
    "dominance": "dominance_bucket",
    "rms": "energy_bucket",
    "speech_rate": "rate_bucket",
    "zcr": "zcr_bucket",
    "f0_mean": "pitch_bucket",
    "f0_std": "pitch_var_bucket",
}

#: The smallest spread that counts, in the feature's unit of spread. See `spread`.
FLOORS = {
    # The raters behind the affect model used seven-point scales (MSP-Podcast), a step of which is 1/6 here.
    # Where the middle 80 % of a conversation span less than a third of a step, the order is chance.
    "valence": 0.05,
    "arousal": 0.05,
    "dominance": 0.05,
    # dB. From a normal to a raised voice it is 6 to 8 dB (ANSI S3.5-1997; Pearsons et al. 1977). Half a step is
    # what a turned head or the sounds of the words alone can do.
    "rms": 3.0,
    # Words/s: one word more or less in an utterance of two seconds.
    "speech_rate": 0.5,
    # Crossings per sample. Fricatives cross about 0.2 more often than vowels: this is a tenth more of them,
    # which the choice of words brings about without any whispering.
    "zcr": 0.02,
    # Semitones: the smallest difference in pitch that changes how prominent a syllable sounds (Rietveld and
    # Gussenhoven 1985, J. of Phonetics 13). Semitones, because 20 Hz is much for a low voice, little for a high.
    "f0_mean": 1.5,
    # Hz: two to four steps of 0.2 semitones, the grid on which pitch is measured, between 100 and 250 Hz.
    "f0_std": 5.0,
}

#: Fewer finite values than this can't show what is usual for a speaker.
MIN_VALUES = 6

#: Percentiles up to which a value is LOW, and from which it is HIGH.
TERTILES = (33, 66)


class Buckets(NamedTuple):
    """A label for every value, and the thresholds, which are infinite where everything is MID."""

    labels: list[str]
    low: float
    high: float


def percentile(values: ArrayLike, feature: str) -> Buckets:
    """Label values LOW up to the 33rd percentile, HIGH from the 66th; a value that is both (ties) is MID.

    `values` is 1-D, in the unit of `feature`; NaN is MID. All are MID when fewer than `MIN_VALUES` are finite or
    when their `spread` is below the floor of the feature.
    """
    array, finite = _finite_values(values)
    if finite.size < MIN_VALUES or spread(finite, feature) < FLOORS[feature]:
        return _all_mid(array)
    low, high = np.percentile(finite, TERTILES).tolist()
    is_low = array <= low
    is_high = array >= high
    labels = _labels(is_low & ~is_high, is_high & ~is_low)
    return Buckets(labels, low, high)


def seed(values: ArrayLike) -> Buckets:
    """Label values LOW up to the 33rd percentile, else HIGH from the 66th; NaN is MID.

    Below 5 finite values the thresholds are the least and the greatest of them. `values` is 1-D.
    """
    array, finite = _finite_values(values)
    if not finite.size:
        return _all_mid(array)
    if finite.size < 5:
        low = float(finite.min())
        high = float(finite.max())
    else:
        low, high = np.percentile(finite, TERTILES).tolist()
    is_low = array <= low
    is_high = ~is_low & (array >= high)
    return Buckets(_labels(is_low, is_high), low, high)


#: Measures that are perceived as ratios: how many units of spread a factor of ten is (20 dB; 39.9 semitones).
PER_DECADE = {"rms": 20.0, "f0_mean": 12 * math.log2(10)}


def spread(values: ArrayLike, feature: str) -> float:
    """Return the distance from the 10th to the 90th percentile of `values` (1-D, finite, at least one).

    It is in dB for rms and in semitones for f0_mean, which are perceived as ratios (infinite if only the lower
    percentile is 0), and in the measure's own unit for the rest.
    """
    array = np.asarray(values, dtype=np.float64)
    ends = np.percentile(array, [10, 90])
    lower = float(ends[0])
    upper = float(ends[1])
    if feature not in PER_DECADE:
        return upper - lower
    if lower <= 0:
        return math.inf if upper > 0 else 0.0
    return PER_DECADE[feature] * math.log10(upper / lower)


def over_median(values: ArrayLike) -> NDArray[np.float64]:
    """Return each value as a multiple of the median of the finite ones; NaN where it isn't finite and positive."""
    array, finite = _finite_values(values)
    median = np.median(finite) if finite.size else math.nan
    if not median > 0:
        return np.full(array.shape, math.nan)
    is_positive = np.isfinite(array) & (array > 0)
    return np.where(is_positive, array, math.nan) / median


def gain_db(values: ArrayLike) -> NDArray[np.float64]:
    """Return `over_median` of amplitudes in decibels (20·log10)."""
    return np.asarray(20 * np.log10(over_median(values)), dtype=np.float64)


def _finite_values(values: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the values with NaN in place of those that aren't finite, and the finite ones alone."""
    array = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(array)
    return np.where(finite, array, math.nan), array[finite]


def _labels(is_low: NDArray[np.bool_], is_high: NDArray[np.bool_]) -> list[str]:
    labels: list[str] = np.select([is_low, is_high], [LOW, HIGH], MID).tolist()
    return labels


def _all_mid(array: NDArray[np.float64]) -> Buckets:
    return Buckets([MID] * array.size, -math.inf, math.inf)
