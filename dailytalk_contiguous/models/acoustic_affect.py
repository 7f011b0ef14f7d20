"""An estimate of affect from loudness, pitch, speech rate and words: no weights, nothing to download.

It is what the embedded profile rates with. It follows what is known of how voices show emotion (Banse & Scherer
1996, "Acoustic profiles in vocal emotion expression"; Juslin & Laukka 2003, "Communication of emotions in vocal
expression and music performance"): arousal shows in energy, pitch and rate; dominance in a loud, low voice;
valence hardly shows in them at all and is read from the words (VADER, Hutto & Gilbert 2014, English only). The
weights are ours, chosen by hand and not fitted to ratings: read the numbers as a ranking within one speaker.
"""

import math
from collections.abc import Hashable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: The name that stands in `affect_model`.
ACOUSTIC_ESTIMATE = "acoustic-estimate"

#: What counts as ordinary where no other speech of the speaker is known: -26 dB below full scale, the nominal
#: level of ITU-T P.56 practice; a pitch between the usual means of men (120 Hz) and women (210 Hz; Traunmüller &
#: Eriksson 1995); 200 words a minute, between interviews and conversations (Tauroza & Allison 1990).
REFERENCE = {"rms": 0.05, "f0_mean": 160.0, "speech_rate": 3.3}

#: A difference that counts as one unit: decibels of energy, semitones of pitch, octaves (doublings) of rate.
UNIT = {"rms": 6.0, "f0_mean": 4.0, "speech_rate": 0.5}

#: Units beyond which a difference counts no more (a click, an octave error of the pitch tracker, no words).
LIMIT = 3.0

#: What one unit adds before squashing. `words` is VADER's compound score in [-1, 1].
WEIGHTS = {
    "arousal": {"rms": 0.9, "f0_mean": 0.6, "speech_rate": 0.5},
    "dominance": {"rms": 0.8, "f0_mean": -0.6},
    "valence": {"words": 2.0, "f0_mean": 0.2},
}

_PER_OCTAVE = {"rms": 20 * math.log10(2), "f0_mean": 12.0, "speech_rate": 1.0}

Floats = NDArray[np.float64]


def estimate(
    rms: ArrayLike,
    f0_mean: ArrayLike,
    speech_rate: ArrayLike,
    texts: Sequence[str | None],
    groups: Sequence[Hashable] | None,
) -> dict[str, Floats]:
    """Valence, arousal and dominance of utterances, all of shape (n,) and in [0, 1]; 0.5 is the speaker's usual.

    Each measure is taken as a ratio to the median of its group. Arousal never falls when energy, pitch or rate
    rises; dominance never falls with energy nor rises with pitch; valence never falls with VADER's score of the
    text or with pitch (all else, medians included, being equal).

    Args:
        rms: linear, shape (n,). f0_mean: Hz. speech_rate: words a second. NaN counts as the median.
        texts: what was said; None counts as nothing.
        groups: who is speaking where (a speaker in a conversation). None: compare with `REFERENCE`, so that what
            an utterance gets does not depend on which others happen to stand beside it.

    Raises:
        ValueError: the arguments differ in length.
    """
    units = {
        name: _units(np.asarray(values, np.float64), name, groups)
        for name, values in (("rms", rms), ("f0_mean", f0_mean), ("speech_rate", speech_rate))
    }
    units["words"] = np.array([_sentiment(text or "") for text in texts], np.float64)
    lengths = {name: len(values) for name, values in units.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"one value an utterance is needed of each, not {lengths}")
    return {
        name: _squash(sum((weight * units[of] for of, weight in WEIGHTS[name].items()), np.zeros(len(texts))))
        for name in ("valence", "arousal", "dominance")
    }


def _units(values: Floats, name: str, groups: Sequence[Hashable] | None) -> Floats:
    """How far values lie from the usual, in units of their measure, within `LIMIT`."""
    usual = np.full(len(values), REFERENCE[name]) if groups is None else _medians(values, groups)
    span = 2.0 ** (LIMIT * UNIT[name] / _PER_OCTAVE[name])
    # Limited as a ratio, before the logarithm, so that silence (0) counts as very low and not as minus infinity.
    ratio = np.divide(values, usual, out=np.ones(len(values)), where=usual > 0)
    ratio = np.clip(np.where(np.isnan(ratio), 1.0, ratio), 1 / span, span)
    units: Floats = np.log2(ratio) * _PER_OCTAVE[name] / UNIT[name]
    return units


def _medians(values: Floats, groups: Sequence[Hashable]) -> Floats:
    """The median of each value's group; NaN where the group has no finite value."""
    if len(groups) != len(values):
        raise ValueError(f"{len(values)} utterances but {len(groups)} groups")
    members: dict[Hashable, list[float]] = {}
    for group, value in zip(groups, values, strict=True):
        members.setdefault(group, []).extend([float(value)] if np.isfinite(value) else [])
    medians = {group: float(np.median(found)) if found else np.nan for group, found in members.items()}
    return np.array([medians[group] for group in groups], np.float64)


def _squash(values: Floats) -> Floats:
    return 1.0 / (1.0 + np.exp(-values))


def _sentiment(text: str) -> float:
    """VADER's compound score of a text, in [-1, 1]; 0 for one without words that it knows."""
    return float(_analyser().polarity_scores(text)["compound"])


@lru_cache(maxsize=1)
def _analyser() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()
