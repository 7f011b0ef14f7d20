"""Linear probes: classes that embeddings, tokens and contours of utterances reveal, of unknown speakers.

A probe is a multinomial logistic regression on standardised features. Emotion, tag, sentence and gender are probed
on speakers that it was not trained on; the speaker, on other utterances. The score is the mean recall of the
classes (unweighted average recall, the measure of emotion recognition), whose chance level is one in as many as
there are classes, however frequent each is. Intervals are of a bootstrap over speakers: utterances of one are no
independent observations.
"""

import importlib.util
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dailytalk_contiguous.apps.learn.similar import speaker_of
from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.contours import CONTOURS
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.core.sentences import sentence_type
from dailytalk_contiguous.models.prosodic_sequences import HOP_SECONDS

#: Features of utterances, an array with a row each.
Vectors = NDArray[np.float32]

#: Parts that utterances are divided into; each is tested by a probe of the others.
FOLDS = 5

#: The most utterances of a probe, drawn from more.
MOST = 10_000

#: The least utterances of a class, and speakers of it.
LEAST_UTTERANCES, LEAST_SPEAKERS = 5, 2

#: Strengths of regularisation (C of scikit-learn) from which a probe chooses, within its training.
STRENGTHS = (0.001, 0.01, 0.1, 1.0)

#: Draws of speakers for an interval, and the share of them inside it.
DRAWS, INSIDE = 1000, 0.95

#: Speakers that an interval needs: draws of fewer are too similar.
LEAST_DRAWN = 5

_QUESTION = {"interrogative": "question", "declarative": "statement"}


def label_of(target: str, row: Row) -> str | None:
    """The label of an utterance (a row of `token_rows`) for one of `TARGETS`; None where it is unknown."""
    labels = row["labels"] or {}
    if target == "speaker":
        return None if labels.get("augmented_from") else speaker_of(row)  # copies are on both sides
    if target == "sentence":
        return _QUESTION.get(sentence_type(row["text"], row["language"]) or "")
    value = row["tag"] or labels.get("tag") if target == "tag" else labels.get(target)
    return str(value) if value else None


#: The targets of probes.
TARGETS = ("emotion", "tag", "sentence", "gender", "speaker")


class Score(NamedTuple):
    """A figure with the interval that `INSIDE` of the draws of speakers are in; None for too few speakers."""

    value: float
    low: float | None
    high: float | None

    def shown(self, decimals: int = 1, scale: float = 100.0) -> tuple[str, str]:
        value = f"{scale * self.value:.{decimals}f}"
        if self.low is None or self.high is None:
            return value, "–"
        return value, f"{scale * self.low:.{decimals}f}–{scale * self.high:.{decimals}f}"


class LinearProbe(NamedTuple):
    """The result of a probe.

    Attributes:
        target: one of `TARGETS`. features: its input.
        recall: mean recall of the classes. classes: their names; chance is one in as many.
        utterances, speakers: of its test.
    """

    target: str
    features: str
    recall: Score
    classes: tuple[str, ...]
    utterances: int
    speakers: int


def check_sklearn() -> None:
    """Raise DailytalkError if scikit-learn, which divides speakers and fits regressions, is not installed."""
    if importlib.util.find_spec("sklearn") is None:
        raise DailytalkError("scikit-learn is not installed", "pip install 'dailytalk-contiguous[tokens]'")


def probe_all(
    rows: Sequence[Row], features: Mapping[str, Vectors], seed: int = 0
) -> tuple[list[LinearProbe], list[str]]:
    """Probe every target on every kind of features; also returns a sentence on each impossible probe.

    Args:
        rows: of `token_rows`.
        features: by name, each of shape (len(rows), numbers).
        seed: of the folds, the draws of speakers and the choice among many utterances.

    Raises DailytalkError if scikit-learn is missing.
    """
    check_sklearn()
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probes, notes = list[LinearProbe](), list[str]()
    people = np.array([speaker_of(row) for row in rows])
    for target in TARGETS:
        known = pd.DataFrame({"label": [label_of(target, row) for row in rows], "speaker": people}).dropna()
        counts = known.groupby("label")["speaker"].agg(["size", "nunique"])
        least = 1 if target == "speaker" else LEAST_SPEAKERS
        enough = counts[(counts["size"] >= LEAST_UTTERANCES) & (counts["nunique"] >= least)].index
        if len(enough) < len(counts):
            notes.append(
                f"{target}: {', '.join(map(repr, counts.index.difference(enough)[:3]))} left out, of fewer than "
                f"{LEAST_UTTERANCES} utterances or {least} speakers"
            )
        if len(enough) < 2:
            notes.append(f"{target}: there is nothing to distinguish, with {len(enough)} labels")
            continue
        known = known[known["label"].isin(enough)]
        if len(known) > MOST:
            notes.append(f"{target}: {MOST:,} of {len(known):,} utterances were drawn")
            known = known.sample(MOST, random_state=seed).sort_index()
        labels, speakers = (known[name].to_numpy(str) for name in ("label", "speaker"))
        groups = None if target == "speaker" else speakers
        try:
            folds = divided(labels, groups, FOLDS, seed)
        except BadInput as problem:
            notes.append(f"{target}: {problem.reason}")
            continue
        probe = make_pipeline(
            StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=300, tol=1e-3)
        )
        grid = {"logisticregression__C": STRENGTHS}
        asked = pd.crosstab(speakers, labels).to_numpy(float)
        for name, vectors in features.items():
            interrupts.check_interrupt()
            predicted = np.empty_like(labels)
            inputs = vectors[known.index].astype(np.float64)
            for train, test in folds:
                try:  # the strength is the best on the first of three folds within the training
                    inner = divided(labels[train], None if groups is None else groups[train], 3, seed)[:1]
                except (BadInput, ValueError):  # too few speakers, or a class with one utterance
                    inner = [(np.arange(len(train)),) * 2]
                search = GridSearchCV(probe, grid, scoring="balanced_accuracy", cv=inner)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", ConvergenceWarning)  # the last digits change no recall
                    warnings.simplefilter("ignore", UserWarning)  # a class that the inner fold lacks
                    predicted[test] = search.fit(inputs[train], labels[train]).predict(inputs[test])
            right = pd.crosstab(speakers, labels, labels == predicted, aggfunc="sum").fillna(0)
            recall = share_of_classes(right.to_numpy(float), asked, seed)
            classes = tuple(right.columns)
            probes.append(LinearProbe(target, name, recall, classes, len(labels), len({*speakers.tolist()})))
    return probes, notes


Folds = list[tuple[NDArray[np.intp], NDArray[np.intp]]]


def divided(labels: NDArray[Any], speakers: NDArray[Any] | None, count: int, seed: int) -> Folds:
    """Indices to train and to test on, of `count` folds or as many as there are speakers or utterances of a class.

    Classes are spread evenly over folds. With `speakers` none of them is on both sides of a fold.

    Raises BadInput, without a remedy, if speakers can't be divided.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    counts = np.unique(labels, return_counts=True)[1]
    dummy = np.zeros(len(labels))
    if speakers is None:
        folds = StratifiedKFold(max(2, min(count, int(counts.min()))), shuffle=True, random_state=seed)
        return list(folds.split(dummy, labels))
    n_speakers = len(np.unique(speakers))
    if n_speakers < 2 or counts.max() < 2:
        raise BadInput("its speakers can't be divided into folds", "")
    count = max(2, min(count, n_speakers, int(counts.max())))
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=1000 * seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class with fewer utterances than folds
        return [fold for fold in splitter.split(dummy, labels, speakers) if len(fold[0]) and len(fold[1])]


def recall_of(labels: NDArray[Any], predicted: NDArray[Any]) -> float:
    from sklearn.metrics import recall_score

    return float(recall_score(labels, predicted, labels=np.unique(labels), average="macro"))


def share_of_classes(right: NDArray[np.float64], asked: NDArray[np.float64], seed: int) -> Score:
    """The mean over classes of `right` over `asked`, each of shape (speakers, classes).

    Its interval is that of draws of as many speakers, with replacement; none for fewer than `LEAST_DRAWN`.
    """

    @np.errstate(invalid="ignore")  # a class that nobody who was drawn has said
    def mean(weights: NDArray[np.integer]) -> NDArray[np.float64]:
        return np.asarray(np.nanmean((weights @ right) / (weights @ asked), axis=1))

    n_speakers = len(asked)
    value = float(mean(np.ones((1, n_speakers), int))[0])
    if n_speakers < LEAST_DRAWN:
        return Score(value, None, None)
    rng = np.random.default_rng((seed, n_speakers))
    draws = mean(rng.multinomial(n_speakers, [1 / n_speakers] * n_speakers, DRAWS))
    low, high = np.nanquantile(draws, [(1 - INSIDE) / 2, (1 + INSIDE) / 2])
    return Score(value, float(low), float(high))


def speaker_share(vectors: Vectors, speakers: Sequence[str]) -> float | None:
    """The share of the variance of features that is between speakers, beyond chance, in [0, 1].

    The adjusted coefficient of determination of all standardised columns together. None for fewer than two
    speakers, and if no speaker says two utterances.
    """
    n_speakers = len({*speakers})
    if not 2 <= n_speakers < len(vectors):
        return None
    columns = pd.DataFrame(vectors.astype(np.float64))
    columns = (columns - columns.mean()) / columns.std(ddof=0).replace(0, 1)
    within = columns - columns.groupby(np.asarray(speakers)).transform("mean")
    unexplained = (within**2).to_numpy().sum() / max((columns**2).to_numpy().sum(), 1e-12)
    return float(np.clip(1 - unexplained * (len(vectors) - 1) / (len(vectors) - n_speakers), 0, 1))


def token_histograms(rows: Sequence[Row], n_tokens: int) -> Vectors:
    counts = np.zeros((len(rows), n_tokens), np.float32)
    for histogram, row in zip(counts, rows, strict=True):
        histogram[:] = np.bincount(row["prosody_tokens"], minlength=n_tokens)
    return np.asarray(np.sqrt(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)), np.float32)


def contour_statistics(features: NDArray[np.float32]) -> Vectors:
    """Summarise the contours of an utterance, shape (frames, 6) as of `as_features`, in 38 numbers.

    Of each contour over the voiced frames: mean, standard deviation, 10th and 90th percentile, mean change from
    frame to frame, slope a second. Then the share of voiced frames, and the logarithm of the seconds.
    """
    voiced = features.any(axis=1)
    heard = features[voiced].astype(np.float64)
    columns = np.zeros((6, len(CONTOURS)))
    if len(heard) > 1:
        seconds = np.flatnonzero(voiced) * HOP_SECONDS
        centred = seconds - seconds.mean()
        columns[:4] = heard.mean(axis=0), heard.std(axis=0), *np.quantile(heard, [0.1, 0.9], axis=0)
        columns[4] = np.abs(np.diff(heard, axis=0)).mean(axis=0)
        columns[5] = centred @ (heard - heard.mean(axis=0)) / (centred @ centred)
    length = math.log(max(len(features), 1) * HOP_SECONDS)
    return np.asarray([*columns.ravel(), voiced.mean() if len(features) else 0.0, length], np.float32)
