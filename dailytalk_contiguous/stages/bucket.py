"""Buckets of every utterance's measures within its conversation, and its margins against the speaker's median.

A conversation stage, because LOW and HIGH mean nothing for an utterance alone. It works on one channel at a time
(a loud speaker must not make a quiet one whisper), but for the preset `seed`, which must reproduce a tool that
did not.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from datasets import Features
from numpy.typing import NDArray

from dailytalk_contiguous.core.buckets import (
    FEATURES,
    FLOORS,
    MIN_VALUES,
    Buckets,
    Statistic,
    corpus_statistic,
    gain_db,
    over_median,
    percentile,
    robust,
    seed,
)
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.schema import MEASURE, STRING, Batch, per_utterance
from dailytalk_contiguous.stages.base import Stage

PRESETS = ("percentile", "robust", "seed")

#: The margins: column, the measure it compares with the channel's median, and how.
MARGINS = {
    "rms_gain_db": ("rms", gain_db),
    "f0_ratio": ("f0_mean", over_median),
    "rate_ratio": ("speech_rate", over_median),
}

#: The setting `corpus`: (feature, median, spread) for every feature.
Corpus = tuple[tuple[str, float, float], ...]


@dataclass(frozen=True)
class Bucket(Stage):
    """Adds eight buckets (LOW, MID, HIGH) and three margins an utterance.

    `preset` is `percentile`, `robust` or `seed` (see `core.buckets`). `floors` and `min_values` belong to
    `percentile`; `corpus` to `robust`, which can't run without it: `corpus_of` makes it. `seed` was defined over
    whole recordings; rows are conversations, so it is exact only where recordings were not cut into several.

    `rms_gain_db` is the distance to the median rms of the channel in this conversation in dB; `f0_ratio` and
    `rate_ratio` are multiples of the medians of f0_mean and speech_rate. All are NaN where the measure is
    unknown or 0. Raises ValueError for settings that mean nothing.
    """

    preset: str = "percentile"
    floors: tuple[tuple[str, float], ...] = tuple(FLOORS)
    min_values: int = MIN_VALUES
    corpus: Corpus = ()

    needs: ClassVar[tuple[str, ...]] = (
        "utterance_id",
        "channel",
        "valence",
        "arousal",
        "dominance",
        "rms",
        "zcr",
        "f0_mean",
        "f0_std",
        "speech_rate",
    )
    adds: ClassVar[Features] = per_utterance(
        Features({**dict.fromkeys(FEATURES.values(), STRING), **dict.fromkeys(MARGINS, MEASURE)})
    )

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise ValueError(f"there is no bucket preset {self.preset!r}: choose one of {', '.join(PRESETS)}")
        if self.min_values < 1:
            raise ValueError(f"min_values must be at least 1, not {self.min_values}")
        named = [entry[0] for entry in (*self.floors, *self.corpus)]
        if unknown := sorted(set(named) - set(FEATURES)):
            raise ValueError(f"unknown features {unknown} in floors or corpus: they are {', '.join(FEATURES)}")
        if bad := [entry for entry in self.floors if not entry[1] >= 0]:
            raise ValueError(f"floors must be numbers from 0 up, not {bad}")
        if bad_corpus := [entry for entry in self.corpus if not (math.isfinite(entry[1]) and entry[2] >= 0)]:
            raise ValueError(f"corpus entries are (feature, median, spread from 0 up), not {bad_corpus}")

    def __call__(self, batch: Batch) -> Batch:
        self.preflight()
        added: Batch = {name: [] for name in self.adds}
        for place, ids in enumerate(batch["utterance_id"]):
            row = {name: batch[name][place] for name in self.needs}
            for name, values in self._of_row(row, len(ids)).items():
                added[name].append(values)
        return added

    def preflight(self, fetch: bool = True) -> None:
        missing = sorted(set(FEATURES) - {entry[0] for entry in self.corpus})
        if self.preset == "robust" and missing:
            raise DailytalkError(
                f"the bucket preset 'robust' has no corpus statistics of {', '.join(missing)}",
                "measure the corpus once and pass corpus=corpus_of(rows), of dailytalk_contiguous.stages.bucket, "
                "with the rows of a finished 'dailytalk tag' run (any preset), or use the preset 'percentile'",
            )

    def _of_row(self, row: Mapping[str, Any], n_utterances: int) -> dict[str, list[Any]]:
        channels = _places(row["channel"])
        groups = [np.arange(n_utterances)] if self.preset == "seed" else channels
        made: dict[str, list[Any]] = {}
        for feature, name in FEATURES.items():
            made[name] = [""] * n_utterances
            values = _array(row[feature], n_utterances)
            for places in groups:
                for place, label in zip(places, self._bucket(values[places], feature).labels, strict=True):
                    made[name][place] = label
        for name, (feature, margin) in MARGINS.items():
            # Stored as float32, so that a margin read back from disk is the one that was computed here.
            margins = np.full(n_utterances, math.nan, dtype=np.float32)
            values = _array(row[feature], n_utterances)
            for places in channels:
                margins[places] = margin(values[places])
            made[name] = margins.tolist()
        return made

    def _bucket(self, values: NDArray[np.float64], feature: str) -> Buckets:
        if self.preset == "percentile":
            return percentile(values, feature, self.floors, self.min_values)
        if self.preset == "robust":
            usual = {name: Statistic(median, spread) for name, median, spread in self.corpus}
            return robust(values, usual[feature])
        return seed(values)


def corpus_of(rows: Iterable[Mapping[str, Any]], min_values: int = 3) -> Corpus:
    """The setting `corpus` of `Bucket`, from conversations with the columns that `Bucket` needs, in one pass.

    A channel of a conversation counts for a feature if it has `min_values` finite values of it. Raises
    `DailytalkError` if no channel of any row does.
    """
    arrays: dict[str, list[NDArray[np.float64]]] = {feature: [] for feature in FEATURES}
    for row in rows:
        for places in _places(row["channel"]):
            for feature in FEATURES:
                arrays[feature].append(_array(row[feature], len(row["channel"]))[places])
    try:
        return tuple((feature, *corpus_statistic(values, min_values)) for feature, values in arrays.items())
    except ValueError as error:
        raise DailytalkError(f"corpus statistics are impossible: {error}", "give more or longer rows") from error


def _places(channels: Iterable[str]) -> list[NDArray[np.intp]]:
    """Where the utterances of each channel are."""
    names = np.asarray(list(channels))
    return [np.flatnonzero(names == name) for name in dict.fromkeys(names.tolist())]


def _array(values: Iterable[float | None], n_utterances: int) -> NDArray[np.float64]:
    """A list column of one row, null as NaN."""
    array = np.array(list(values), dtype=np.float64)
    if array.size != n_utterances:
        raise ValueError(f"a list column has {array.size} values for {n_utterances} utterances")
    return array
