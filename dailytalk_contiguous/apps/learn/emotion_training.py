"""Training of classifiers of emotion, by kind.

`linear` is fitted here: a minute's work for a laptop, and the baseline of networks. Its temperature is fitted to
speakers outside the fit.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.apps.learn.emotion_examples import EmotionExamples
from dailytalk_contiguous.apps.learn.emotion_settings import NetworkSettings
from dailytalk_contiguous.apps.learn.folds import check_installed, divided
from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.emotions import fit_temperature
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.settings import one_of
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.models import emotion_folder, linear_emotion
from dailytalk_contiguous.models.contracts import TrainedEmotionModel

#: The strength of regularisation (C of scikit-learn) of `linear`.
STRENGTH = 0.03

#: Parts of the speakers, whose answers by models of the others set the temperature.
INNER_FOLDS = 4

#: The least spread of a number: constant numbers distinguish nothing.
_LEAST_SPREAD = 1e-6

#: The gradient at which a fit ends; a temperature needs fewer digits.
_ROUGH = 1e-3
_EXACT = 1e-4

#: The least share of a number's variance that counts as between classes.
_LEAST_SHARE = 1e-4


def fit_emotion(
    kind: str,
    examples: EmotionExamples,
    settings: NetworkSettings | None = None,
    device: str = "cpu",
    work: Path | None = None,
) -> TrainedEmotionModel:
    """Train a classifier on examples, and calibrate it on speakers among them outside a first fit.

    `kind` is of `EMOTION_KINDS`; the others are as of `fit_network`. Raises DailytalkError for examples of one
    speaker or one class, and if an extra is missing.
    """
    settings = settings or NetworkSettings()
    names = [name for place, name in enumerate(examples.classes) if (examples.labels == place).any()]
    if len(names) < max(2, len(examples.classes)):
        raise DailytalkError(
            f"all {counted(len(examples), 'utterance')} are {', '.join(names)}",
            f"add some of each class, or leave classes out of --classes ({', '.join(examples.classes)})",
        )
    people = np.unique(examples.speakers)
    if len(people) < 2:
        raise DailytalkError(
            f"all {counted(len(examples), 'utterance')} are of one speaker ({people[0]})",
            "add others: what is learned of one person is his voice",
        )
    if one_of("kind", kind, emotion_folder.EMOTION_KINDS) == "linear":
        return fit_linear(examples, settings.seed)
    from dailytalk_contiguous.apps.learn.emotion_networks_training import fit_network

    return fit_network(kind, examples, settings, device, work)


def fit_linear(examples: EmotionExamples, seed: int) -> linear_emotion.LinearEmotion:
    """Train a `LinearEmotion`, in which each class has the same weight."""
    check_installed("sklearn", "tokens")
    from threadpoolctl import threadpool_limits

    numbers = examples.sounds.measured(examples.numbers.tolist()).astype(np.float64)
    labels = examples.labels
    speakers = examples.speakers
    n_classes = len(examples.classes)
    answers = list[NDArray[Any]]()
    right = list[NDArray[Any]]()
    with threadpool_limits(1):  # such small products take longer by several threads
        for train, test in divided(labels, speakers, INNER_FOLDS, seed):
            interrupts.check_interrupt()
            test = test[~examples.copies[test]]
            if len(np.unique(labels[train])) < n_classes:
                continue
            model = linear_emotion.LinearEmotion(
                "", examples.classes, fit_arrays(numbers[train], labels[train], speakers[train], STRENGTH, _ROUGH)
            )
            for label, guess in zip(
                labels[test], model.of_measures(numbers[test], speakers[test].tolist()), strict=True
            ):
                if not guess.reason:
                    answers.append(guess.probabilities)
                    right.append(label)
        arrays = fit_arrays(numbers, labels, speakers, STRENGTH, _EXACT)
    temperature = fit_temperature(np.array(answers), np.array(right)) if answers else 1.0
    return linear_emotion.LinearEmotion("linear", examples.classes, arrays, temperature)


def fit_arrays(
    numbers: NDArray[np.float64],
    labels: NDArray[np.intp],
    speakers: NDArray[Any],
    strength: float,
    tolerance: float,
) -> dict[str, NDArray[np.float64]]:
    """The arrays of a `LinearEmotion` (see `linear_emotion.linear_shapes`).

    Args:
        numbers: of `measure_voice`, (n, measures), NaN where missing. labels, speakers: of each, (n,).
        strength: C of scikit-learn. tolerance: the gradient at which a fit ends.
    """
    known = np.isfinite(numbers)
    count = np.maximum(known.sum(axis=0), 1)
    usual = np.where(known, numbers, 0.0).sum(axis=0) / count
    usuals, _ = linear_emotion.usual_of(numbers, speakers.tolist(), usual)
    arrays = {"usual": usual}
    for head, reference in (("alone", np.tile(usual, (len(numbers), 1))), ("relative", usuals)):
        offsets = np.where(known, numbers - reference, 0.0)
        spread = np.maximum(np.sqrt((offsets**2).sum(axis=0) / count), _LEAST_SPREAD)
        inputs = linear_emotion.standardised(numbers, reference, spread)
        weights, bias = _regression(inputs, labels, strength, tolerance)
        arrays |= {f"spread_{head}": spread, f"weights_{head}": weights, f"bias_{head}": bias}
    return arrays


def _regression(
    inputs: NDArray[np.float64], labels: NDArray[np.intp], strength: float, tolerance: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights (measures, classes) and bias (classes,).

    Each number is first scaled by the root of the share of its variance that is between classes, so that numbers
    that distinguish no classes are shrunk most, as by the weights of an adaptive lasso (Zou 2006). Of voices in
    which three things matter (`benchmarks/emotion.py`), 86.9 % are then right, not 85.5 %; by Bayes' rule it is
    87.4 %.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    n_classes = int(labels.max()) + 1
    targets = np.eye(n_classes)[labels]
    means = (targets / targets.sum(axis=0)).T @ inputs
    between = means.var(axis=0) / np.maximum(inputs.var(axis=0), _LEAST_SPREAD)
    scale = np.sqrt(np.clip(between - (n_classes - 1) / len(inputs), _LEAST_SHARE, 1.0))  # less what chance adds
    scale /= np.sqrt(np.mean(scale**2))
    regression = LogisticRegression(C=strength, class_weight="balanced", max_iter=300, tol=tolerance)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last digits of weights change no recall
        regression.fit(inputs * scale, labels)
    weights = regression.coef_.T * scale[:, None]
    bias = regression.intercept_
    if n_classes == 2:  # one column, of the second class
        weights = np.hstack((-weights, weights)) / 2
        bias = np.concatenate((-bias, bias)) / 2
    return weights, bias


def _facts_by_corpus(examples: EmotionExamples) -> dict[str, dict[str, Any]]:
    """Of each corpus how many utterances and speakers it has, and its licences (null where one is not known)."""
    facts: dict[str, dict[str, Any]] = {}
    for corpus in sorted({*examples.corpora.tolist()}):
        speakers = examples.speakers[examples.corpora == corpus]
        facts[corpus] = {
            "utterances": len(speakers),
            "speakers": len(np.unique(speakers)),
            "licences": list(examples.licences.get(corpus, (None,))),
        }
    return facts


def training_facts(examples: EmotionExamples) -> dict[str, Any]:
    """Facts on a training for its model folder, as JSON."""
    counts = np.bincount(examples.labels, minlength=len(examples.classes)).tolist()
    return {
        "utterances": len(examples),
        "speakers": len(np.unique(examples.speakers)),
        "by_class": dict(zip(examples.classes, counts, strict=True)),
        "corpora": sorted({*examples.corpora.tolist()}),
        "by_corpus": _facts_by_corpus(examples),
        "languages": list(examples.languages),
        "left_out": dict(examples.left_out),
    }
