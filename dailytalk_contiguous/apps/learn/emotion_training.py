"""Training of classifiers of emotion, by kind; their calibration, and their model card.

`linear` is fitted here: a minute's work for a laptop, and the baseline of networks. Its strength and its
temperature are chosen on speakers outside the fit.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.apps.learn import emotion_evaluation
from dailytalk_contiguous.apps.learn.model_cards import DataSource, card_opening, source_lines
from dailytalk_contiguous.apps.learn.probes import check_sklearn, divided, recall_of
from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.documents import is_number
from dailytalk_contiguous.core.emotions import calibration_error, fit_temperature, softmax
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.settings import SEED, setting
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.models import emotion_folder, linear_emotion
from dailytalk_contiguous.models.contracts import TrainedEmotionModel
from dailytalk_contiguous.models.egemaps import EGEMAPS_TERMS
from dailytalk_contiguous.store.files import write_text

if TYPE_CHECKING:
    from dailytalk_contiguous.apps.learn.emotion_examples import EmotionExamples

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


@dataclass(frozen=True)
class LinearSettings:
    features: str = setting(
        "contours",
        "What is measured of a voice: {choices} (opensmile's; no commercial use).",
        panel="models",
        choices=linear_emotion.FEATURE_KINDS,
    )
    seed: int = setting(0, SEED)


def fit_emotion(
    kind: str,
    examples: "EmotionExamples",
    settings: Any = None,
    device: str = "cpu",
    seed: int = 0,
    work: Path | None = None,
    on_epoch: Callable[[int, int, float, float], None] | None = None,
) -> TrainedEmotionModel:
    """Train a classifier on examples, and calibrate it on speakers among them outside a first fit.

    `kind` is of `EMOTION_KINDS`, `settings` the dataclass of that kind or None for its defaults; the others are as
    of `fit_network`. Raises DailytalkError for examples of one speaker or one class, and if an extra is missing.
    """
    check_examples(examples)
    if kind == "linear":
        return fit_linear(examples, settings or LinearSettings(seed=seed))
    if kind not in emotion_folder.EMOTION_KINDS:
        raise DailytalkError(
            f"there is no kind {kind!r}", f"choose among {', '.join(emotion_folder.EMOTION_KINDS)}"
        )
    from dailytalk_contiguous.apps.learn.emotion_networks_training import fit_network

    return fit_network(kind, examples, settings, device, seed, work, on_epoch)


def check_examples(examples: "EmotionExamples") -> None:
    """Raise DailytalkError for examples that can't train a classifier: of one class, or of one speaker."""
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
        return TrainingNumbers(
            self.numbers[places],
            self.targets[places],
            self.speakers[places],
            self.labels[places],
            self.copies[places],
        )


def fit_linear(examples: "EmotionExamples", settings: LinearSettings) -> linear_emotion.LinearEmotion:
    """Train a `LinearEmotion`: each class has the same weight, soft labels count by their shares.

    The strength is that of the best mean recall on speakers left out; their answers set the temperature, too.
    """
    check_sklearn()
    measured = examples.measured(
        f"voice/{settings.features}", partial(linear_emotion.measure_voice, settings.features)
    )
    heard = np.flatnonzero(np.isfinite(measured).any(axis=1))
    if not len(heard):
        raise DailytalkError("nothing is heard in any utterance", "look at the recordings")
    targets = np.eye(len(examples.classes))[examples.labels] if examples.votes is None else examples.votes
    material = TrainingNumbers(
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
    from threadpoolctl import threadpool_limits  # as scikit-learn does

    with threadpool_limits(1):  # such small products take longer by several threads
        strength, temperature = _chosen(material, settings, examples.classes)
        (arrays,) = fit_strengths(material, [strength], _EXACT)
    return linear_emotion.LinearEmotion("linear", examples.classes, settings.features, arrays, temperature)


def _chosen(material: TrainingNumbers, settings: LinearSettings, classes: Sequence[str]) -> tuple[float, float]:
    """The strength with the best recall on speakers left out, and the temperature of its answers."""
    try:
        folds = divided(material.labels, material.speakers, INNER_FOLDS, settings.seed)
    except BadInput:  # the speakers can't be divided
        return PLAIN_STRENGTH, 1.0
    answers = {strength: np.full(material.targets.shape, np.nan) for strength in STRENGTHS}
    for train, test in folds:
        interrupts.check_interrupt()
        if len(np.unique(material.labels[train])) < len(classes):
            continue
        test = test[~material.copies[test]]
        inner, outer = material.take(train), material.take(test)
        for strength, arrays in zip(STRENGTHS, fit_strengths(inner, STRENGTHS, _ROUGH), strict=True):
            model = linear_emotion.LinearEmotion("", classes, settings.features, arrays)
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
    write_text(folder / emotion_folder.CARD, emotion_card(emotion_folder.open_emotion_folder(folder)))


def training_facts(
    examples: "EmotionExamples",
    settings: Mapping[str, Any],
    sources: Sequence[DataSource],
    evaluation: emotion_evaluation.EmotionEvaluation | None = None,
) -> dict[str, Any]:
    """Facts on a training for its model folder, as JSON.

    Args:
        settings: of the training, by the names of the options. sources: of the data.
        evaluation: of models that were trained in the same way on parts of the same examples.
    """
    corpora = {
        str(corpus): {
            "utterances": int((examples.corpora == corpus).sum()),
            "speakers": len(np.unique(examples.speakers[examples.corpora == corpus])),
        }
        for corpus in np.unique(examples.corpora)
    }
    counts = np.bincount(examples.labels, minlength=len(examples.classes))
    facts: dict[str, Any] = {
        "utterances": len(examples),
        "speakers": len(np.unique(examples.speakers)),
        "by_class": dict(zip(examples.classes, map(int, counts), strict=True)),
        "corpora": corpora,
        "soft_labels": examples.votes is not None,
        "left_out": dict(examples.left_out),
        "sources": [source._asdict() for source in sources],
        "trained_with": dict(settings),
    }
    if evaluation is not None:
        known = evaluation.as_dict()
        facts["evaluation"] = {name: known[name] for name in _EVALUATED}
    return facts


#: Fields of an evaluation that a folder keeps; no speaker is named.
_EVALUATED = (
    "protocol",
    "chance",
    "recall",
    "accuracy",
    "macro_f1",
    "calibration_error",
    "utterances",
    "speakers",
    "classes",
    "confusion",
    "notes",
)


class Calibration(NamedTuple):
    """The result of calibrating: calibration error and negative log-likelihood in nats, each before and after."""

    temperature: float
    utterances: int
    speakers: int
    error_before: float
    error_after: float
    loss_before: float
    loss_after: float


#: Utterances that a temperature needs: a few correct answers would make the model sure of everything.
LEAST_CALIBRATED = 20


def calibrate_emotion(model: TrainedEmotionModel, examples: "EmotionExamples") -> Calibration:
    """Set the temperature of a model that fits its answers to examples best; its answers stay the same.

    The examples are of speakers outside its training, otherwise it becomes too sure of itself. Those of unknown
    classes, and altered copies, are left out. Raises DailytalkError if too few are left.
    """
    shared = [name for name in examples.classes if name in model.classes]
    known = np.isin(examples.labels, [examples.classes.index(name) for name in shared])
    if not known.any():
        raise DailytalkError(
            f"no utterance is of a class that {model.name} knows ({', '.join(model.classes)})",
            "name others to calibrate on",
        )
    examples = examples.take(np.flatnonzero(known & ~examples.copies))
    shares, labels, speakers = list[NDArray[Any]](), list[int](), set[str]()
    for places, sounds in emotion_evaluation.examples_together(examples):
        interrupts.check_interrupt()
        own = examples.speakers[places].tolist()
        for place, speaker, guess in zip(places, own, model.classify(sounds, own), strict=True):
            if len(guess.probabilities):
                shares.append(guess.probabilities.astype(np.float64))
                labels.append(model.classes.index(examples.classes[examples.labels[place]]))
                speakers.add(speaker)
    if not shares:
        raise DailytalkError(f"{model.name} says nothing of any utterance", "name others to calibrate on")
    if len(speakers) < 2 or len(shares) < LEAST_CALIBRATED:
        few = f"{counted(len(shares), 'utterance')} of {counted(len(speakers), 'speaker')}"
        raise DailytalkError(
            f"{few} are too few to calibrate on",
            f"name {LEAST_CALIBRATED} utterances or more, of several speakers",
        )
    before, truth = np.stack(shares), np.array(labels)
    change = fit_temperature(before, truth)
    after = softmax(np.log(np.maximum(before, 1e-30)), change)
    model.temperature *= change

    def error(probabilities: NDArray[np.float64]) -> float:
        return calibration_error(probabilities.max(axis=1), probabilities.argmax(axis=1) == truth)

    def loss(probabilities: NDArray[np.float64]) -> float:
        return float(-np.log(np.maximum(probabilities[np.arange(len(truth)), truth], 1e-30)).mean())

    errors = (error(before), error(after), loss(before), loss(after))
    return Calibration(model.temperature, len(truth), len(speakers), *errors)


#: The description of a kind, for its card.
_KINDS = {
    "linear": "A multinomial regression on statistics of pitch, loudness, spectrum and pauses of an utterance, "
    "relative to what is usual of its speaker where several of his are classified together.",
    "spectrogram": "A small convolutional network on spectrograms.",
    "ssl": "A classifier on an encoder of speech: a weighted sum of its layers, pooled by attention.",
}


def emotion_card(folder: emotion_folder.EmotionFolder) -> str:
    facts = folder.facts
    sources = [
        DataSource(str(source.get("name")), source.get("licence") or None)
        for source in facts.get("sources") or ()
        if isinstance(source, dict)
    ]
    lines = card_opening("Classifier of emotion in speech", sources, ("speech", "emotion", "audio-classification"))
    lines += [
        f"{_KINDS[folder.kind]} It tells apart: {', '.join(folder.classes)}.",
        "",
        "```bash",
        "dailytalk emotion predict FILE --model OWNER/NAME",
        "```",
        "",
        "## Data",
        "",
    ]
    counts = [(name, facts.get(name)) for name in ("utterances", "speakers")]
    if all(isinstance(count, int) for _, count in counts):
        lines += [f"{counted(facts['utterances'], 'utterance')} of {counted(facts['speakers'], 'speaker')}.", ""]
    if isinstance(by_class := facts.get("by_class"), dict):
        lines += ["| class | utterances |", "|---|---|"]
        lines += [f"| {name} | {count} |" for name, count in by_class.items()] + [""]
    lines += source_lines(sources)
    if folder.settings.get("features") == "egemaps":
        lines += [f"It needs {EGEMAPS_TERMS}.", ""]
    lines += ["## Evaluation", "", *_evaluation_lines(facts.get("evaluation"))]
    calibration = facts.get("calibration")
    if isinstance(calibration, dict):
        lines += [
            f"Calibrated on {calibration.get('utterances')} utterances of {calibration.get('speakers')} speakers "
            f"(temperature {folder.temperature:.3f}).",
            "",
        ]
    lines += ["## Limits", "", *(f"- {sentence}" for sentence in _LIMITS), ""]
    return "\n".join(lines)


_LIMITS = (
    "Its answer is a guess from the sound of a voice, and no diagnosis: it knows no words and no person.",
    "Acted emotion is not felt emotion: a model that does well on actors does much worse on real talk.",
    "It was not tested on languages, ages and recordings other than those of its data.",
    "Don't decide anything about a person by it. The European Union's AI Act forbids systems that infer emotion "
    "at work and in education, except for medical and safety reasons (Article 5).",
)


def _evaluation_lines(evaluation: Any) -> list[str]:
    if not isinstance(evaluation, dict):
        return ["It was not evaluated when it was trained.", ""]
    rows = []
    for name, title in (
        ("recall", "mean recall of the classes"),
        ("accuracy", "accuracy"),
        ("macro_f1", "macro F1"),
    ):
        score = evaluation.get(name)
        if isinstance(score, dict) and is_number(score.get("value")):
            low, high = score.get("low"), score.get("high")
            interval = f"{low:.1%} to {high:.1%}" if is_number(low) and is_number(high) else "–"
            rows.append(f"| {title} | {score['value']:.1%} | {interval} |")
    if is_number(error := evaluation.get("calibration_error")):
        rows.append(f"| calibration error | {error:.3f} | – |")
    protocol = str(evaluation.get("protocol"))
    chance = evaluation.get("chance")
    return [
        f"Protocol `{protocol}`: {emotion_evaluation.PROTOCOLS.get(protocol, 'not known')}. Models that were "
        "trained in the same way on the other folds were tested; the one that is published was trained on all of "
        "them." + (f" Chance is {chance:.1%}." if is_number(chance) else ""),
        "",
        "| figure | value | 95 % over speakers |",
        "|---|---|---|",
        *rows,
        "",
    ]
