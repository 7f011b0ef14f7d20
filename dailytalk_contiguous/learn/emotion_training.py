"""Training of classifiers of emotion, by kind; their calibration, and their model card.

`linear` is fitted here: a minute's work for a laptop, and what networks must beat. Its strength and its
temperature are chosen on speakers that the fit has not heard.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.emotions import fit_temperature
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.settings import SEED, setting
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.learn.emotion_evaluation import check_sklearn
from dailytalk_contiguous.learn.probes import divided
from dailytalk_contiguous.models.contracts import TrainedEmotionModel
from dailytalk_contiguous.models.emotion_models import EMOTION_KINDS, write_emotion_folder
from dailytalk_contiguous.models.linear_emotion import (
    FEATURE_KINDS,
    LinearEmotion,
    measure_voice,
    standardised,
    usual_of,
)

if TYPE_CHECKING:
    from dailytalk_contiguous.learn.emotion_examples import EmotionExamples

#: Strengths of regularisation (C of scikit-learn) that `linear` chooses from, and the folds that choose.
STRENGTHS, INNER_FOLDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0), 4

#: The strength where nothing can choose: a speaker of each class is needed on both sides.
PLAIN_STRENGTH = 0.01

#: The least spread that a number may have: what never differs tells nothing apart.
_LEAST_SPREAD = 1e-6


@dataclass(frozen=True)
class LinearSettings:
    """How `linear` is trained."""

    features: str = setting(
        "contours",
        "What is measured of a voice: {choices} (opensmile's; no commercial use).",
        panel="models",
        choices=FEATURE_KINDS,
    )
    seed: int = setting(0, SEED)


def fit_emotion(
    kind: str,
    examples: "EmotionExamples",
    settings: Any = None,
    device: str = "cpu",
    seed: int = 0,
    work: Path | None = None,
) -> TrainedEmotionModel:
    """A classifier trained on examples, and calibrated on speakers among them whom a first fit has not heard.

    Args:
        kind: of `EMOTION_KINDS`. settings: the dataclass of that kind, `LinearSettings` for `linear`; None: its
            defaults.
        device: `cpu` or `cuda`. seed: of all random choices.
        work: a folder for checkpoints and for what is computed once; None: nothing is kept.

    Raises DailytalkError for examples of one speaker or one class, and where an extra is missing.
    """
    check_examples(examples)
    if kind == "linear":
        return fit_linear(examples, settings or LinearSettings(seed=seed))
    if kind not in EMOTION_KINDS:
        raise DailytalkError(f"there is no kind {kind!r}", f"choose among {', '.join(EMOTION_KINDS)}")
    from dailytalk_contiguous.learn.emotion_networks_training import fit_network

    return fit_network(kind, examples, settings, device, seed, work)


def check_examples(examples: "EmotionExamples") -> None:
    """Raise DailytalkError for examples that nothing can be learned from: of one class, or of one speaker."""
    counts = np.bincount(examples.labels, minlength=len(examples.classes))
    classes = [name for name, count in zip(examples.classes, counts, strict=True) if count]
    if len(classes) < 2:
        what = f"are {classes[0]!r} alone" if classes else "there is none"
        raise DailytalkError(f"of {counted(len(examples), 'utterance')}, all {what}", "add others to tell it from")
    if len(classes) < len(examples.classes):
        missing = next(name for name in examples.classes if name not in classes)
        raise DailytalkError(f"no utterance is {missing!r}", "leave it out of --classes, or add some")
    people = np.unique(examples.speakers)
    if len(people) < 2:
        raise DailytalkError(
            f"all {counted(len(examples), 'utterance')} are of one speaker ({people[0]})",
            "add others: what is learned of one person is his voice",
        )


class _Material(NamedTuple):
    """What a regression is fitted on: numbers (n, measures), targets (n, classes) that sum to 1, speakers (n,),
    labels (n,), and which of them are altered copies.
    """

    numbers: NDArray[np.float64]
    targets: NDArray[np.float64]
    speakers: NDArray[Any]
    labels: NDArray[np.intp]
    copies: NDArray[np.bool_]

    def take(self, places: NDArray[np.intp]) -> "_Material":
        return _Material(*(array[places] for array in self))


def fit_linear(examples: "EmotionExamples", settings: LinearSettings) -> LinearEmotion:
    """A `LinearEmotion`: each class has the same weight, soft labels count by their shares.

    The strength is that of the best mean recall on speakers left out; their answers set the temperature, too.
    """
    check_sklearn()
    measured = examples.measured(f"voice/{settings.features}", partial(measure_voice, settings.features))
    heard = np.flatnonzero(np.isfinite(measured).any(axis=1))
    if not len(heard):
        raise DailytalkError("nothing is heard in any utterance", "look at the recordings")
    targets = np.eye(len(examples.classes))[examples.labels] if examples.votes is None else examples.votes
    material = _Material(
        measured.astype(np.float64),
        np.asarray(targets, float),
        examples.speakers,
        examples.labels,
        examples.copies,
    ).take(heard)
    lacking = set(range(len(examples.classes))) - set(material.labels.tolist())
    if lacking:
        name = examples.classes[min(lacking)]
        raise DailytalkError(f"nothing is heard in any utterance that is {name!r}", "leave it out of --classes")
    strength, temperature = _chosen(material, settings, examples.classes)
    (arrays,) = _fitted(material, [strength])
    return LinearEmotion("linear", examples.classes, settings.features, arrays, temperature)


def _chosen(material: _Material, settings: LinearSettings, classes: Sequence[str]) -> tuple[float, float]:
    """The strength that tells classes apart best on speakers left out, and the temperature of its answers."""
    try:
        folds = divided(material.labels, material.speakers, INNER_FOLDS, settings.seed)
    except BadInput:  # speakers who can't be divided
        return PLAIN_STRENGTH, 1.0
    answers = {strength: np.full(material.targets.shape, np.nan) for strength in STRENGTHS}
    for train, test in folds:
        interrupts.check_interrupt()
        if len(np.unique(material.labels[train])) < len(classes):
            continue
        test = test[~material.copies[test]]
        inner, outer = material.take(train), material.take(test)
        for strength, arrays in zip(STRENGTHS, _fitted(inner, STRENGTHS), strict=True):
            model = LinearEmotion("", classes, settings.features, arrays)
            guesses = model.of_measures(outer.numbers, outer.speakers.tolist(), [""] * len(test))
            answers[strength][test] = [guess.probabilities for guess in guesses]
    tested = np.isfinite(answers[STRENGTHS[0]]).all(axis=1)
    if len(np.unique(material.labels[tested])) < len(classes):
        return PLAIN_STRENGTH, 1.0
    labels = material.labels[tested]

    def recall(strength: float) -> float:
        predicted = answers[strength][tested].argmax(axis=1)
        return float(np.mean([np.mean(predicted[labels == label] == label) for label in range(len(classes))]))

    best = max(STRENGTHS, key=recall)  # of equal ones the first, which shrinks most
    return best, fit_temperature(answers[best][tested], material.targets[tested])


def _fitted(material: _Material, strengths: Sequence[float]) -> list[dict[str, NDArray[np.float64]]]:
    """The arrays of a `LinearEmotion` for each strength, all fitted on the same."""
    numbers = material.numbers
    with np.errstate(invalid="ignore"):
        known = np.isfinite(numbers)
    count = np.maximum(known.sum(axis=0), 1)
    usual = np.where(known, numbers, 0.0).sum(axis=0) / count
    usuals, _ = usual_of(numbers, material.speakers.tolist(), usual)
    shared = {"usual": usual}
    heads = {}
    for head, reference in (("alone", np.tile(usual, (len(numbers), 1))), ("relative", usuals)):
        offsets = np.where(known, numbers - reference, 0.0)
        spread = np.maximum(np.sqrt((offsets**2).sum(axis=0) / count), _LEAST_SPREAD)
        shared[f"spread_{head}"] = spread
        heads[head] = standardised(numbers, reference, spread)
    fitted = [dict(shared) for _ in strengths]
    for head, inputs in heads.items():
        for arrays, (weights, bias) in zip(fitted, _regressions(inputs, material.targets, strengths), strict=True):
            arrays |= {f"weights_{head}": weights, f"bias_{head}": bias}
    return fitted


def _regressions(
    inputs: NDArray[np.float64], targets: NDArray[np.float64], strengths: Sequence[float]
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Weights (measures, classes) and bias (classes,) for each strength, the first with the least C."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    rows, labels = np.nonzero(targets > 0)  # a soft label is its classes, each with its share
    n_classes = targets.shape[1]
    shares = targets[rows, labels]
    mass = np.bincount(labels, shares, n_classes)
    counts = shares * (shares.sum() / (n_classes * np.maximum(mass, 1e-12)))[labels]
    regression = LogisticRegression(max_iter=300, tol=1e-4, warm_start=True)
    found = []
    for strength in strengths:
        regression.set_params(C=strength)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the last digits of weights decide no recall
            regression.fit(inputs[rows], labels, sample_weight=counts)
        weights, bias = regression.coef_.T, regression.intercept_
        if n_classes == 2:  # one column, of the second class
            weights, bias = np.hstack((-weights, weights)) / 2, np.concatenate((-bias, bias)) / 2
        found.append((weights.copy(), bias.copy()))
    return found


def save_emotion(model: TrainedEmotionModel, folder: Path, facts: Mapping[str, Any]) -> None:
    """Write a model folder: `emotion.json` and `model.safetensors`, which `load_emotion_model` reads.

    Raises DailytalkError for a folder that holds a model already, and OSError as the disk does.
    """
    write_emotion_folder(model, folder, facts)
