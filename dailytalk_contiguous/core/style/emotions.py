"""Emotion in classes: their names, and how sure a model is."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: The classes by default: those that most acted corpora share.
SIX = ("angry", "disgusted", "fearful", "happy", "neutral", "sad")

#: Classes by the name of their set: `five` are those of tools that leave neutral speech out, `all` is every label
#: except `other`, which is for what has no name.
CLASS_SETS: Mapping[str, tuple[str, ...] | None] = {
    "six": SIX,
    "five": tuple(name for name in SIX if name != "neutral"),
    "all": None,
}

#: Probability under which a class is called unsure by models that have no limits of their own.
LEAST_CONFIDENCE = 0.4

#: How often an answer at a model's limit is right, on speakers left out: for an utterance alone.
RIGHT_ALONE = 0.55

#: The same for an utterance beside others of its speaker: an answer is rather right than wrong. A model is right
#: less often for some speakers than for those left out; with 0.7, two of made-up voices, 61 % of whose likeliest
#: classes were right, had 36 % answered (77 % right), with 0.5 84 % (65 % right).
RIGHT_BESIDE = 0.5

#: The answer for an utterance whose likeliest class is less likely than the setting asks.
UNSURE = "unsure"

#: The model of affect and of emotion that comes with the package (`models.linear_emotion.BundledVoice`).
VOICE_LINEAR = "voice-linear"

#: What checkpoints of others call the classes, in lower case: words, and the abbreviations of IEMOCAP and CREMA-D.
#: Words that mean something else, such as `calm` or `excited`, are classes of their own.
CLASS_OF_LABEL: Mapping[str, str] = {
    **dict.fromkeys(("angry", "anger", "ang"), "angry"),
    **dict.fromkeys(("disgusted", "disgust", "dis"), "disgusted"),
    **dict.fromkeys(("fearful", "fear", "fea", "afraid", "scared"), "fearful"),
    **dict.fromkeys(("happy", "happiness", "hap", "joy", "joyful"), "happy"),
    **dict.fromkeys(("neutral", "neu", "no emotion"), "neutral"),
    **dict.fromkeys(("sad", "sadness"), "sad"),
    **dict.fromkeys(("surprised", "surprise", "sur"), "surprised"),
    **dict.fromkeys(("calm", "cal"), "calm"),
}


def class_of_label(label: str) -> str:
    """Return the class that a checkpoint's label means, or an unknown label itself without spaces around it.

    >>> class_of_label("HAP"), class_of_label("bored")
    ('happy', 'bored')
    """
    return CLASS_OF_LABEL.get(label.strip().lower(), label.strip())


def softmax(logits: NDArray[np.float64], temperature: float = 1.0) -> NDArray[np.float64]:
    """Return the probabilities of logits (…, classes), softened by a temperature over 1 (Guo et al. 2017)."""
    scaled = logits / temperature
    highest = scaled.max(axis=-1, keepdims=True)
    powers = np.exp(scaled - highest)
    shares: NDArray[np.float64] = powers / powers.sum(axis=-1, keepdims=True)
    return shares


def emotion_class(label: str, classes: Sequence[str] | None = SIX, mapping: Mapping[str, str] = {}) -> str | None:
    """Return the class of a corpus's label (`core.records.schema.EMOTIONS`); None for one that is left out.

    Nothing is guessed: `calm`, `surprised`, `contemptuous` and `other` are no class unless they are among
    `classes`, or `mapping` gives them a class.

    Args:
        label: label of the corpus.
        classes: classes to choose from; None for every label except `other`.
        mapping: classes by label.

    >>> emotion_class("calm"), emotion_class("calm", mapping={"calm": "neutral"})
    (None, 'neutral')
    """
    name = mapping.get(label, label)
    is_class = name != "other" if classes is None else name in classes
    return name if is_class else None


#: Bins of confidence that a calibration error is the mean of (Guo et al. 2017, "On calibration of modern neural
#: networks").
BINS = 15


def calibration_error(confidences: ArrayLike, right: ArrayLike) -> float:
    """Return how far confidence is from the share of right answers: expected calibration error over `BINS` bins.

    Args:
        confidences: probabilities of the answers, in [0, 1].
        right: whether each answer was right.

    Returns:
        A number in [0, 1]; NaN without answers.
    """
    shares = np.asarray(confidences, np.float64)
    hits = np.asarray(right, np.float64)
    if not len(shares):
        return float("nan")
    numbers = np.ceil(shares * BINS).astype(np.intp)
    bins = np.clip(numbers - 1, 0, BINS - 1)
    gaps = np.bincount(bins, hits - shares, BINS)
    return float(np.abs(gaps).sum() / len(shares))


class ConfidenceLimits(NamedTuple):
    """The probabilities in [0, 1] under which a model's likeliest class is called unsure.

    Attributes:
        alone: limit of an utterance that is judged alone.
        beside: limit of one that is judged beside many others of its speaker.
    """

    alone: float = LEAST_CONFIDENCE
    beside: float = LEAST_CONFIDENCE


#: The limits of models that have none of their own.
DEFAULT_LIMITS = ConfidenceLimits()


def fit_limit(probabilities: ArrayLike, labels: ArrayLike, right: float) -> float:
    """Return the least confidence at which answers are right as often as `right`, a share in (0, 1).

    Their share of right answers is an isotonic regression on their confidence (Barlow et al. 1972). It reaches
    `right` where the sum of (1 if right, else 0) - `right`, over all answers that are less sure, is lowest.

    Args:
        probabilities: shape (n, classes), of speakers that the model was not trained on.
        labels: numbers of the classes, shape (n,).
        right: share of right answers.

    Returns:
        1 if answers of no confidence are right so often; `LEAST_CONFIDENCE` without an answer.
    """
    shares = np.asarray(probabilities, np.float64)
    if not len(shares):
        return LEAST_CONFIDENCE
    confidences = shares.max(axis=1)
    order = np.argsort(confidences, kind="stable")
    is_right = shares.argmax(axis=1) == np.asarray(labels)
    excess = np.cumsum(is_right[order] - right)
    n_unsure = int(np.argmin(np.concatenate(([0.0], excess))))
    return float(confidences[order][n_unsure]) if n_unsure < len(order) else 1.0


def choose_emotion(probabilities: ArrayLike, classes: Sequence[str], confidence: float) -> str | None:
    """Return the likeliest class; `UNSURE` if it is less likely than `confidence`, None without numbers."""
    shares = np.asarray(probabilities, np.float64)
    if not len(shares) or not np.isfinite(shares).all():
        return None
    best = int(shares.argmax())
    is_sure = shares[best] >= confidence
    return classes[best] if is_sure else UNSURE


#: The lowest temperature that is tried: nine times surer than the model.
COLDEST = 1 / 9

#: The highest temperature that is tried: nine times less sure than the model.
HOTTEST = 9.0

#: What the temperature that fits unheard speakers of a corpus is multiplied by, so that a model is as sure as it
#: is right on other corpora. What was trained on RAVDESS is right on 79 % of its speakers left out, and on 56 % of
#: Berlin's clips. Where speakers, sex and sentences of Berlin are new, 1.5 fits, and 1.8 of one line alone.
CARE = 2.5

#: The same of an utterance judged alone, to which a microphone that was never heard matters more: a `linear` of
#: Berlin's clips is right on 74 % of those of new speakers, and by telephone on 29 %.
CARE_ALONE = 4.0


def fit_temperature(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Return the temperature by which probabilities of utterances fit their labels best (Guo et al. 2017).

    The logarithms of the probabilities are divided by it, so it multiplies the temperature of the probabilities.
    The negative log-likelihood is a convex function of its inverse, so halving the range finds its minimum.

    Args:
        probabilities: shape (n, classes), of speakers that the model was not trained on.
        labels: numbers of the classes, shape (n,); or shares of them, shape (n, classes).

    Returns:
        A temperature from `COLDEST` to `HOTTEST`; 1 for no utterance.
    """
    shares = np.asarray(probabilities, np.float64)
    truth = np.asarray(labels)
    if not len(shares):
        return 1.0
    if truth.ndim == 1:
        truth = np.eye(shares.shape[1])[truth]
    logits = np.log(np.maximum(shares, 1e-30))

    def slope(inverse: float) -> float:
        """Return the slope of the log-likelihood at the inverse of a temperature: it falls throughout."""
        errors = truth - softmax(logits, 1 / inverse)
        return float((errors * logits).sum())

    low = 1 / HOTTEST
    high = 1 / COLDEST
    for _ in range(40):
        middle = (low + high) / 2
        if slope(middle) > 0:
            low = middle
        else:
            high = middle
    return 2 / (low + high)
