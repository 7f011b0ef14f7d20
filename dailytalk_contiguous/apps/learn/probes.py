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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.apps.learn.similar import speaker_of
from dailytalk_contiguous.apps.learn.token_rows import contour_rows_of, contour_shards, open_sound, utterance_sound
from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.audio import ANALYSIS_RATE
from dailytalk_contiguous.core.contours import CONTOURS, as_features
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.core.sentences import sentence_type
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.models.egemaps import check_egemaps, egemaps
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


#: The targets of probes, and the omission of an utterance without each.
TARGETS = {
    "emotion": "an emotion",
    "tag": "a style tag",
    "sentence": "a text that is a question or a statement",
    "gender": "a gender",
    "speaker": "a speaker",
}


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
        recall: mean recall of the classes. chance: its chance level.
        classes: their names. utterances, speakers: of its test.
    """

    target: str
    features: str
    recall: Score
    chance: float
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

    Raises DailytalkError if scikit-learn is missing, BadInput for features of another number of rows.
    """
    check_sklearn()
    for name, vectors in features.items():
        if len(vectors) != len(rows):
            raise BadInput(f"{name} has {len(vectors)} rows for {len(rows)} utterances", "give one for each")
    probes, notes = list[LinearProbe](), list[str]()
    for target in TARGETS:
        try:
            chosen, labels, speakers = _material(target, rows, seed, notes)
        except BadInput as problem:
            notes.append(f"{target}: {problem.reason}")
            continue
        disjoint = None if target == "speaker" else speakers
        folds = divided(labels, disjoint, FOLDS, seed)
        for name, vectors in features.items():
            interrupts.check_interrupt()
            inputs, predicted = vectors[chosen].astype(np.float64), np.empty_like(labels)
            for train, test in folds:
                trained_on = None if disjoint is None else disjoint[train]
                predicted[test] = _fitted(inputs[train], labels[train], trained_on, seed).predict(inputs[test])
            recall = mean_recall(labels, predicted, speakers, seed)
            classes = tuple(np.unique(labels).tolist())
            n_speakers = len(np.unique(speakers))
            probes.append(LinearProbe(target, name, recall, 1 / len(classes), classes, len(labels), n_speakers))
    return probes, notes


def _material(
    target: str, rows: Sequence[Row], seed: int, notes: list[str]
) -> tuple[NDArray[np.intp], NDArray[np.str_], NDArray[np.str_]]:
    """Indices of the utterances that have a target, their labels and their speakers.

    Raises BadInput, without a remedy, if it can't be probed; omissions are added to `notes`.
    """
    labels = np.array([label_of(target, row) or "" for row in rows])
    speakers = np.array([speaker_of(row) for row in rows])
    if not labels.any():
        raise BadInput(f"no utterance has {TARGETS[target]}", "")
    names, counts = np.unique(labels[labels != ""], return_counts=True)
    people = np.array([len(np.unique(speakers[labels == name])) for name in names])
    least = 1 if target == "speaker" else LEAST_SPEAKERS
    enough = (counts >= LEAST_UTTERANCES) & (people >= least)
    if not enough.all():
        few = ", ".join(map(repr, names[~enough][:3].tolist())) + (", …" if (~enough).sum() > 3 else "")
        or_few = "" if target == "speaker" else f" or {LEAST_SPEAKERS} speakers"
        notes.append(f"{target}: {few} left out, of fewer than {LEAST_UTTERANCES} utterances{or_few}")
    if enough.sum() < 2:
        raise BadInput(f"there is nothing to distinguish, with {counted(int(enough.sum()), 'label')}", "")
    places = np.flatnonzero(np.isin(labels, names[enough]))
    if len(places) > MOST:
        notes.append(f"{target}: {MOST:,} of {len(places):,} utterances were drawn")
        places = np.sort(np.random.default_rng((seed, len(places))).choice(places, MOST, replace=False))
    if (n_speakers := len(np.unique(speakers[places]))) < LEAST_DRAWN:
        notes.append(f"{target}: {counted(n_speakers, 'speaker')}, too few for an interval")
    return places, labels[places], speakers[places]


Folds = list[tuple[NDArray[np.intp], NDArray[np.intp]]]


def divided(labels: NDArray[Any], speakers: NDArray[Any] | None, count: int, seed: int) -> Folds:
    """Indices to train and to test on, of `count` folds or as many as there are speakers or utterances of a class.

    Classes are spread evenly over folds. With `speakers` none of them is on both sides of a fold; of several
    divisions, the one with most classes in the training is taken.

    Raises BadInput, without a remedy, if speakers can't be divided.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    counts = np.unique(labels, return_counts=True)[1]
    dummy = np.zeros(len(labels))
    if speakers is None:
        folds = StratifiedKFold(max(2, min(count, int(counts.min()))), shuffle=True, random_state=seed)
        return list(folds.split(dummy, labels))
    n_speakers = len(np.unique(speakers))
    if n_speakers < 2:
        raise BadInput("its speakers can't be divided into folds", "")
    count = max(2, min(count, n_speakers, int(counts.max())))
    best: Folds = []
    least = len(labels) * len(counts)
    for attempt in range(20):
        splitter = StratifiedGroupKFold(count, shuffle=True, random_state=1000 * seed + attempt)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a class with fewer utterances than folds
            folds = [fold for fold in splitter.split(dummy, labels, speakers) if len(fold[0]) and len(fold[1])]
        missing = sum(len(counts) - len(np.unique(labels[train])) for train, _ in folds)
        if missing < least and sum(len(test) for _, test in folds) == len(labels):
            best, least = folds, missing
        if not least:
            break
    if not best:
        raise BadInput("its speakers can't be divided into folds", "")
    return best


def _fitted(vectors: NDArray[np.float64], labels: NDArray[Any], speakers: NDArray[Any] | None, seed: int) -> Any:
    """A probe whose strength of regularisation is the best on the first of three folds within the training."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=300, tol=1e-3))
    try:
        fold = divided(labels, speakers, 3, seed)[0]
        strengths = STRENGTHS if len(np.unique(labels[fold[0]])) > 1 else STRENGTHS[1:2]
    except (BadInput, ValueError):  # too few speakers, or a class with one utterance
        fold, strengths = (np.arange(len(labels)),) * 2, STRENGTHS[1:2]
    grid = {"logisticregression__C": strengths}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last digits of weights change no recall
        return GridSearchCV(probe, grid, scoring="balanced_accuracy", cv=[fold]).fit(vectors, labels)


def recall_of(labels: NDArray[Any], predicted: NDArray[Any]) -> float:
    from sklearn.metrics import recall_score

    return float(recall_score(labels, predicted, labels=np.unique(labels), average="macro"))


def mean_recall(labels: NDArray[Any], predicted: NDArray[Any], speakers: NDArray[Any], seed: int) -> Score:
    """Mean recall of the classes, with its interval over speakers.

    If speakers are the classes, each has the weight of its draws.
    """
    names, classes = np.unique(labels, return_inverse=True)
    people, owners = np.unique(speakers, return_inverse=True)
    shape = len(people), len(names)
    totals, right = np.zeros(shape), np.zeros(shape)
    np.add.at(totals, (owners, classes), 1)
    np.add.at(right, (owners, classes), predicted == labels)

    def recall(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        if (np.count_nonzero(totals, axis=0) == 1).all() and len(people) == len(names):
            return np.asarray(weights @ (right.sum(axis=1) / totals.sum(axis=1)) / weights.sum(axis=1))
        drawn = weights @ totals
        shares = np.divide(weights @ right, drawn, np.full_like(drawn, np.nan), where=drawn > 0)
        return np.asarray(np.nanmean(shares, axis=1))

    return drawn_score(recall, len(people), seed)


def drawn_score(figure: Callable[[NDArray[np.float64]], NDArray[np.float64]], n_speakers: int, seed: int) -> Score:
    """A figure of all speakers, and its interval over draws of as many of them, with replacement.

    Args:
        figure: of weights (draws, speakers), how often each was drawn; returns (draws,).
        n_speakers: of fewer than `LEAST_DRAWN` there is no interval.
    """
    value = float(figure(np.ones((1, n_speakers)))[0])
    if n_speakers < LEAST_DRAWN:
        return Score(value, None, None)
    weights = np.random.default_rng((seed, n_speakers)).multinomial(
        n_speakers, [1 / n_speakers] * n_speakers, DRAWS
    )
    low, high = np.nanquantile(figure(weights.astype(np.float64)), [(1 - INSIDE) / 2, (1 + INSIDE) / 2])
    return Score(value, float(low), float(high))


def speaker_share(vectors: Vectors, speakers: Sequence[str], seed: int = 0) -> Score | None:
    """The share of the variance of features that is between speakers, beyond chance, in [0, 1].

    The adjusted coefficient of determination of all standardised columns together. None for fewer than two
    speakers, and if no speaker says two utterances.
    """
    people, owners = np.unique(np.asarray(speakers), return_inverse=True)
    if not 2 <= len(people) < len(vectors):
        return None
    columns = vectors.astype(np.float64)
    spread = columns.std(axis=0)
    columns = (columns - columns.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    counts = np.bincount(owners).astype(np.float64)
    sums = np.zeros((len(people), columns.shape[1]))
    np.add.at(sums, owners, columns)
    squares = np.bincount(owners, (columns**2).sum(axis=1))
    within_means = (sums**2).sum(axis=1) / counts

    def share(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        n = weights @ counts
        centre = ((weights @ sums) ** 2).sum(axis=1) / n
        total, between = weights @ squares - centre, weights @ within_means - centre
        left = np.maximum(n - np.count_nonzero(weights, axis=1), 1)
        unexplained = np.divide(total - between, total, np.ones_like(total), where=total > 0)
        return np.asarray(np.clip(1 - unexplained * (n - 1) / left, 0.0, 1.0))

    return drawn_score(share, len(people), seed)


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


def statistics_in(folder: Path) -> Iterator[tuple[str, Vectors]]:
    """The id and the `contour_statistics` of each utterance of a folder of `dailytalk tokens extract`.

    Raises DailytalkError for a folder without contours, and BadInput for a damaged file.
    """
    for path in contour_shards(folder):
        for row in contour_rows_of(path):
            yield row["id"], contour_statistics(as_features(row["contours"]))


def egemaps_of(
    rows: Iterable[Row], folder: Path, source: str | None = None
) -> Iterator[tuple[str, Vectors | None]]:
    """The id and the 88 numbers of eGeMAPS (Eyben et al. 2016) of each utterance; None without its sound.

    Sound is that of `open_sound(folder, source)`. Raises DailytalkError if opensmile is not installed, or the
    source of the sound is unknown.
    """
    check_egemaps()
    items = open_sound(folder, source)
    for row in rows:
        interrupts.check_interrupt()
        try:
            samples = utterance_sound(items, row, ANALYSIS_RATE)[:, 0]
        except BadInput:
            yield row["id"], None
            continue
        yield row["id"], egemaps(samples)


def joined_features(
    rows: Sequence[Row], kinds: Mapping[str, Mapping[str, Vectors]]
) -> tuple[list[Row], dict[str, Vectors], list[str]]:
    """The rows that have all kinds of features, these as arrays, and a sentence on each incomplete kind.

    `rows` are of `token_rows`, and `kinds` are features by kind and id. A kind that no row has is left out.
    """
    notes, used = list[str](), dict[str, Mapping[str, Vectors]]()
    for kind, vectors in kinds.items():
        having = sum(row["id"] in vectors for row in rows)
        if having < len(rows):
            notes.append(f"{kind}: {having:,} of {counted(len(rows), 'utterance')} have it")
        if having:
            used[kind] = vectors
    kept = [row for row in rows if all(row["id"] in vectors for vectors in used.values())]
    arrays = {kind: np.stack([vectors[row["id"]] for row in kept]) for kind, vectors in used.items() if kept}
    return kept, arrays, notes
