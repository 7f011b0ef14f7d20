"""Buckets: a measure of an utterance as LOW, MID or HIGH among the others of the same speaker.

A tag must say how a speaker sounds *for them*, so a measure is compared only with values of its own conversation.
Tertiles alone would call a third of a monotonous conversation extreme: `percentile` therefore asks for a spread
that a listener could hear, and `robust` measures distance in the spread of the corpus. `seed` is the older
rule, for reproducing earlier datasets.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dailytalk_contiguous.core.errors import DailytalkError

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

#: Makes the median absolute deviation of a normal distribution its standard deviation.
MAD_TO_SIGMA = 1.4826

#: Percentiles up to which a value is LOW, and from which it is HIGH.
TERTILES = (33, 66)


class Buckets(NamedTuple):
    """A label for every value, and the thresholds, which are infinite where everything is MID."""

    labels: list[str]
    low: float
    high: float


class Statistic(NamedTuple):
    """The usual value in a corpus: a median and a spread (1.4826 times the median absolute deviation)."""

    median: float
    spread: float


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


def robust(values: ArrayLike, corpus: Statistic) -> Buckets:
    """Label values LOW below and HIGH above 0.75 spreads from the median, both shrunk towards the corpus.

    With n finite values, the median and the spread (1.4826·MAD) of `values` (1-D) weigh n/(n+20) and those of
    `corpus` the rest; the spread is never less than 0.7 of the corpus's. NaN is MID, and so is everything if
    there is no spread anywhere.
    """
    array, finite = _finite_values(values)
    speaker = corpus
    if finite.size:
        median = np.median(finite)
        deviation = np.median(np.abs(finite - median))
        speaker = Statistic(float(median), float(MAD_TO_SIGMA * deviation))
    weight = finite.size / (finite.size + 20)
    center = weight * speaker.median + (1 - weight) * corpus.median
    shrunk = weight * speaker.spread + (1 - weight) * corpus.spread
    scale = max(shrunk, 0.7 * corpus.spread)
    if not scale:
        return _all_mid(array)
    low = center - 0.75 * scale
    high = center + 0.75 * scale
    return Buckets(_labels(array < low, array > high), low, high)


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


#: Fewer finite values than this say nothing of how far a speaker strays: a value alone never does.
MIN_STRAYING = 3


def corpus_statistic(arrays: Iterable[ArrayLike]) -> Statistic:
    """Return the usual value of a measure, from one 1-D array per speaker and conversation, each seen once.

    The median is that of all values; the spread is taken around each array's own median, because `robust` needs to
    know how far one speaker strays, not how far speakers differ. Arrays with fewer than `MIN_STRAYING` finite
    values are left out. Raises DailytalkError if none is left.
    """
    counted: list[NDArray[np.float64]] = []
    for values in arrays:
        _, finite = _finite_values(values)
        if finite.size >= MIN_STRAYING:
            counted.append(finite)
    if not counted:
        raise DailytalkError(
            f"corpus statistics are impossible: no speaker of a conversation has {MIN_STRAYING} known values",
            "give more or longer rows",
        )
    deviations = [np.abs(finite - np.median(finite)) for finite in counted]
    median = np.median(np.concatenate(counted))
    deviation = np.median(np.concatenate(deviations))
    return Statistic(float(median), float(MAD_TO_SIGMA * deviation))


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
