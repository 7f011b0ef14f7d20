"""Training of classifiers of emotion, by kind; their calibration, and their model card.

`linear` is fitted here: a minute's work for a laptop, and the baseline of networks. Its strength and its
temperature are chosen on speakers outside the fit.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.apps.learn import emotion_evaluation
from dailytalk_contiguous.apps.learn.emotion_examples import EmotionExamples
from dailytalk_contiguous.apps.learn.model_cards import DataSource, model_card
from dailytalk_contiguous.apps.learn.probes import check_sklearn, divided, recall_of
from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.emotions import calibration_error, fit_temperature, softmax
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.settings import SEED, setting
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.models import emotion_folder, linear_emotion
from dailytalk_contiguous.models.contracts import TrainedEmotionModel
from dailytalk_contiguous.store.files import write_text

#: Strengths of regularisation (C of scikit-learn) for `linear`, and the folds that choose one.
STRENGTHS, INNER_FOLDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0), 4

#: The strength if none can be chosen: a speaker of each class is needed on both sides.
PLAIN_STRENGTH = 0.01

#: The least spread of a number: constant numbers distinguish nothing.
_LEAST_SPREAD = 1e-6

#: Gradients at which a fit ends: the choice of a strength needs fewer digits.
_ROUGH, _EXACT = 1e-3, 1e-4

#: The least share of a number's variance that counts as between classes.
_LEAST_SHARE = 1e-4

#: Utterances that a temperature needs: a few correct answers would make the model sure of everything.
LEAST_CALIBRATED = 20


@dataclass(frozen=True)
class LinearSettings:
    seed: int = setting(0, SEED)


def fit_emotion(
    kind: str,
    examples: EmotionExamples,
    settings: Any = None,
    device: str = "cpu",
    seed: int = 0,
    work: Path | None = None,
) -> TrainedEmotionModel:
    """Train a classifier on examples, and calibrate it on speakers among them outside a first fit.

    `kind` is of `EMOTION_KINDS`, `settings` the dataclass of that kind or None for its defaults; the others are as
    of `fit_network`. Raises DailytalkError for examples of one speaker or one class, and if an extra is missing.
    """
    names = [name for place, name in enumerate(examples.classes) if (examples.labels == place).any()]
    if len(names) < 2:
        raise DailytalkError(
            f"all {counted(len(examples), 'utterance')} are {' '.join(names)}", "add others to tell it from"
        )
    if missing := [name for name in examples.classes if name not in names]:
        raise DailytalkError(f"no utterance is {missing[0]!r}", "leave it out of --classes, or add some")
    if len(people := np.unique(examples.speakers)) < 2:
        raise DailytalkError(
            f"all {counted(len(examples), 'utterance')} are of one speaker ({people[0]})",
            "add others: what is learned of one person is his voice",
        )
    if kind == "linear":
        return fit_linear(examples, settings.seed if settings else seed)
    if kind not in emotion_folder.EMOTION_KINDS:
        raise DailytalkError(
            f"there is no kind {kind!r}", f"choose among {', '.join(emotion_folder.EMOTION_KINDS)}"
        )
    from dailytalk_contiguous.apps.learn.emotion_networks_training import fit_network

    return fit_network(kind, examples, settings, device, seed, work)


class TrainingNumbers(NamedTuple):
    """The data of a regression.

    Numbers (n, measures), NaN where missing, targets (n, classes) that sum to 1, speakers (n,), labels (n,), and a
    mask of altered copies.
    """

    numbers: NDArray[np.float64]
    targets: NDArray[np.float64]
    speakers: NDArray[Any]
    labels: NDArray[np.intp]
    copies: NDArray[np.bool_]

    def take(self, places: NDArray[np.intp]) -> "TrainingNumbers":
        parts: Any = (part[places] for part in self)
        return TrainingNumbers(*parts)


def fit_linear(examples: EmotionExamples, seed: int) -> linear_emotion.LinearEmotion:
    """Train a `LinearEmotion`: each class has the same weight, soft labels count by their shares.

    The strength is that of the best mean recall on speakers left out; their answers set the temperature, too.
    """
    check_sklearn()
    from threadpoolctl import threadpool_limits

    measured = examples.measured("voice", linear_emotion.measure_voice).astype(np.float64)
    heard = np.flatnonzero(np.isfinite(measured).any(axis=1))
    votes = np.eye(len(examples.classes))[examples.labels] if examples.votes is None else examples.votes
    material = TrainingNumbers(
        measured, votes.astype(np.float64), examples.speakers, examples.labels, examples.copies
    ).take(heard)
    if len(np.unique(material.labels)) < len(examples.classes):
        raise DailytalkError("nothing is heard in any utterance of a class", "look at the recordings")
    with threadpool_limits(1):  # such small products take longer by several threads
        strength, temperature = _chosen(material, seed, examples.classes)
        (arrays,) = fit_strengths(material, [strength], _EXACT)
    return linear_emotion.LinearEmotion("linear", examples.classes, arrays, temperature)


def _chosen(material: TrainingNumbers, seed: int, classes: Sequence[str]) -> tuple[float, float]:
    """The strength with the best recall on speakers left out, and the temperature of its answers."""
    try:
        folds = divided(material.labels, material.speakers, INNER_FOLDS, seed)
    except BadInput:  # the speakers can't be divided
        return PLAIN_STRENGTH, 1.0
    answers = {strength: np.full(material.targets.shape, np.nan) for strength in STRENGTHS}
    for train, test in folds:
        interrupts.check_interrupt()
        if len(np.unique(material.labels[train])) < len(classes):
            continue
        test = test[~material.copies[test]]
        outer = material.take(test)
        for strength, arrays in zip(
            STRENGTHS, fit_strengths(material.take(train), STRENGTHS, _ROUGH), strict=True
        ):
            model = linear_emotion.LinearEmotion("", classes, arrays)
            guesses = model.of_measures(outer.numbers, outer.speakers.tolist())
            answers[strength][test] = [guess.probabilities for guess in guesses]
    tested = np.isfinite(answers[STRENGTHS[0]]).all(axis=1)
    if len(np.unique(material.labels[tested])) < len(classes):
        return PLAIN_STRENGTH, 1.0

    def recall(strength: float) -> float:
        return recall_of(material.labels[tested], answers[strength][tested].argmax(axis=1))

    best = max(STRENGTHS, key=recall)  # of equal ones the first, which shrinks most
    return best, fit_temperature(answers[best][tested], material.targets[tested])


def fit_strengths(
    material: TrainingNumbers, strengths: Sequence[float], tolerance: float
) -> list[dict[str, NDArray[np.float64]]]:
    """The arrays of a `LinearEmotion` (see `linear_emotion.linear_shapes`) for each strength, C of scikit-learn.

    `tolerance` is the gradient at which a fit ends.
    """
    numbers = material.numbers
    with np.errstate(invalid="ignore"):
        known = np.isfinite(numbers)
    count = np.maximum(known.sum(axis=0), 1)
    usual = np.where(known, numbers, 0.0).sum(axis=0) / count
    usuals, _ = linear_emotion.usual_of(numbers, material.speakers.tolist(), usual)
    shared = {"usual": usual}
    heads = {}
    for head, reference in (("alone", np.tile(usual, (len(numbers), 1))), ("relative", usuals)):
        offsets = np.where(known, numbers - reference, 0.0)
        spread = np.maximum(np.sqrt((offsets**2).sum(axis=0) / count), _LEAST_SPREAD)
        shared[f"spread_{head}"] = spread
        heads[head] = linear_emotion.standardised(numbers, reference, spread)
    fitted = [dict(shared) for _ in strengths]
    for head, inputs in heads.items():
        for arrays, (weights, bias) in zip(
            fitted, _regressions(inputs, material.targets, strengths, tolerance), strict=True
        ):
            arrays |= {f"weights_{head}": weights, f"bias_{head}": bias}
    return fitted


def _regressions(
    inputs: NDArray[np.float64], targets: NDArray[np.float64], strengths: Sequence[float], tolerance: float
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Weights (measures, classes) and bias (classes,) for each strength, the first with the least C.

    Each number is first scaled by the root of the share of its variance that is between classes, so that numbers
    that distinguish no classes are shrunk most, as by the weights of an adaptive lasso (Zou 2006). Of voices in
    which three things matter (`benchmarks/emotion.py`), 86.9 % are then right, not 85.5 %; by Bayes' rule it is
    87.4 %.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    rows, labels = np.nonzero(targets > 0)  # a soft label is its classes, each with its share
    n_classes = targets.shape[1]
    shares = targets[rows, labels]
    mass = np.bincount(labels, shares, n_classes)
    counts = shares * (shares.sum() / (n_classes * np.maximum(mass, 1e-12)))[labels]
    means = (targets / np.maximum(mass, 1e-12)).T @ inputs
    between = ((means - means.mean(axis=0)) ** 2).mean(axis=0) / np.maximum(inputs.var(axis=0), _LEAST_SPREAD)
    scale = np.sqrt(np.clip(between - (n_classes - 1) / len(inputs), _LEAST_SHARE, 1.0))  # less what chance adds
    scale /= np.sqrt(np.mean(scale**2))
    inputs = inputs * scale
    regression = LogisticRegression(max_iter=300, tol=tolerance, warm_start=True)
    fits = []
    for strength in strengths:
        regression.set_params(C=strength)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the last digits of weights change no recall
            regression.fit(inputs[rows], labels, sample_weight=counts)
        weights, bias = regression.coef_.T * scale[:, None], regression.intercept_
        if n_classes == 2:  # one column, of the second class
            weights, bias = np.hstack((-weights, weights)) / 2, np.concatenate((-bias, bias)) / 2
        fits.append((weights.copy(), bias.copy()))
    return fits


def save_emotion(model: TrainedEmotionModel, folder: Path, facts: Mapping[str, Any]) -> None:
    """Write a model folder, which `load_emotion_model` reads: `emotion.json`, `model.safetensors`, and its card.

    Args:
        facts: of `training_facts`.

    Raises DailytalkError for a folder that holds a model already, and OSError as the disk does.
    """
    emotion_folder.write_emotion_folder(model, folder, facts)
    write_card(folder)


def write_card(folder: Path) -> None:
    about = emotion_folder.open_emotion_folder(folder)
    sources = [DataSource(source["name"], source["licence"]) for source in about.facts["sources"]]
    evaluation = about.facts.get("evaluation", {})
    protocol = emotion_evaluation.PROTOCOLS.get(evaluation.get("protocol"), "")
    title, tags = "Classifier of emotion in speech", ("speech", "emotion", "audio-classification")
    card = model_card("emotion_card.md", title, sources, tags, about=about, facts=about.facts, protocol=protocol)
    write_text(folder / emotion_folder.CARD, card)


def training_facts(
    examples: EmotionExamples,
    settings: Mapping[str, Any],
    sources: Sequence[DataSource],
    evaluation: emotion_evaluation.EmotionEvaluation | None = None,
) -> dict[str, Any]:
    """Facts on a training for its model folder, as JSON.

    Args:
        settings: of the training, by the names of the options. sources: of the data.
        evaluation: of models that were trained in the same way on parts of the same examples.
    """
    counts = np.bincount(examples.labels, minlength=len(examples.classes)).tolist()
    facts: dict[str, Any] = {
        "utterances": len(examples),
        "speakers": len(np.unique(examples.speakers)),
        "by_class": dict(zip(examples.classes, counts, strict=True)),
        "corpora": sorted({*examples.corpora.tolist()}),
        "soft_labels": examples.votes is not None,
        "left_out": dict(examples.left_out),
        "sources": [source._asdict() for source in sources],
        "trained_with": dict(settings),
    }
    if evaluation is not None:
        facts["evaluation"] = evaluation.as_dict()
    return facts


class Calibration(NamedTuple):
    """The result of calibrating: calibration error and negative log-likelihood in nats, each before and after."""

    temperature: float
    utterances: int
    speakers: int
    error_before: float
    error_after: float
    loss_before: float
    loss_after: float


def calibrate_emotion(model: TrainedEmotionModel, examples: EmotionExamples) -> Calibration:
    """Set the temperature of a model that fits its answers to examples best; its answers stay the same.

    The examples are of speakers outside its training, otherwise it becomes too sure of itself. Those of unknown
    classes, and altered copies, are left out. Raises DailytalkError if too few are left.
    """
    labels = np.array(examples.classes)[examples.labels]
    examples = examples.take(np.isin(labels, model.classes) & ~examples.copies)
    guesses = emotion_evaluation.guesses_of(model, examples)
    examples = examples.take([bool(len(guess.probabilities)) for guess in guesses])
    people = len(np.unique(examples.speakers))
    if people < 2 or len(examples) < LEAST_CALIBRATED:
        few = f"{counted(len(examples), 'utterance')} of {counted(people, 'speaker')}"
        raise DailytalkError(
            f"{few} are too few to calibrate on",
            f"name {LEAST_CALIBRATED} utterances or more of {', '.join(model.classes)}, of several speakers",
        )
    before = np.array([guess.probabilities for guess in guesses if len(guess.probabilities)], np.float64)
    truth = np.array([model.classes.index(examples.classes[label]) for label in examples.labels])
    change = fit_temperature(before, truth)
    after = softmax(np.log(np.maximum(before, 1e-30)), change)
    model.temperature *= change
    errors, losses = [], []
    for shares in (before, after):
        errors.append(calibration_error(shares.max(axis=1), shares.argmax(axis=1) == truth))
        losses.append(float(-np.log(np.maximum(shares[np.arange(len(truth)), truth], 1e-30)).mean()))
    return Calibration(model.temperature, len(truth), people, *errors, *losses)
