"""The evaluation of classifiers of emotion, on speakers that they were not trained on.

The measure is the mean recall of the classes (unweighted average recall), whose chance level is one in as many as
there are classes.
"""

import math
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple, TypedDict

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dailytalk_contiguous.apps.learn.emotion_examples import EmotionExamples
from dailytalk_contiguous.apps.learn.folds import FOLDS, check_installed, divided
from dailytalk_contiguous.core.settings import one_of
from dailytalk_contiguous.core.style.emotions import calibration_error
from dailytalk_contiguous.core.style.sampling import joined_groups
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.machine import interrupts
from dailytalk_contiguous.models.contracts import EmotionGuess, EmotionModel
from dailytalk_contiguous.models.linear_emotion import LinearEmotion, limit_of

#: Trains a classifier on its examples.
Fit = Callable[[EmotionExamples], EmotionModel]

#: Utterances of one speaker that a model gets at once.
MOST_TOGETHER = 500


class Answered(NamedTuple):
    """The answers that are not `unsure`: their share of all utterances, and the share of them that is right.

    `right` is NaN without one.
    """

    share: float
    right: float


class EvaluationRecord(TypedDict):
    """An `EmotionEvaluation` as JSON; `chance` is the recall by chance, and an unknown number is null."""

    model: str
    classes: Sequence[str]
    utterances: int
    speakers: int
    recall: float
    recall_alone: float
    accuracy: float
    macro_f1: float
    calibration_error: float | None
    confidence: float | None
    answered_share: float
    answered_right: float | None
    answered_share_alone: float
    answered_right_alone: float | None
    confusion: list[list[int]]
    notes: Sequence[str]
    chance: float


class EmotionEvaluation(NamedTuple):
    """The answers of a classifier, and their figures.

    No answer counts as wrong.

    Attributes:
        model: its name.
        classes: those that it distinguishes; chance is one in as many.
        utterances: their number in the test.
        speakers: their number in the test.
        recall: mean recall of the classes, where the utterances of a speaker are judged together.
        recall_alone: the same of a model that judges each utterance by itself, as if it knew no other of its
            speaker; of one that compares nothing it is the same.
        accuracy: share of the answers that are right.
        macro_f1: mean F1 of the classes.
        calibration_error: as by `core.style.emotions.calibration_error`; NaN without an answer.
        confidence: probability below which an answer is `unsure`; None: by the limits of the model.
        answered: those that are not, where the utterances of a speaker are judged together.
        answered_alone: those that are not, where each utterance is judged by itself.
        confusion: counts by label (rows) and answer (columns, of which the last is `none`).
        notes: a sentence on each thing that was left out, or that limits the result.
    """

    model: str
    classes: tuple[str, ...]
    utterances: int
    speakers: int
    recall: float
    recall_alone: float
    accuracy: float
    macro_f1: float
    calibration_error: float
    confidence: float | None
    answered: Answered
    answered_alone: Answered
    confusion: pd.DataFrame
    notes: tuple[str, ...]

    def as_dict(self) -> EvaluationRecord:
        """The evaluation as JSON, with the recall by chance; a NaN is null."""
        return {
            "model": self.model,
            "classes": self.classes,
            "utterances": self.utterances,
            "speakers": self.speakers,
            "recall": self.recall,
            "recall_alone": self.recall_alone,
            "accuracy": self.accuracy,
            "macro_f1": self.macro_f1,
            "calibration_error": _or_none(self.calibration_error),
            "confidence": self.confidence,
            "answered_share": self.answered.share,
            "answered_right": _or_none(self.answered.right),
            "answered_share_alone": self.answered_alone.share,
            "answered_right_alone": _or_none(self.answered_alone.right),
            "confusion": self.confusion.to_numpy().tolist(),
            "notes": self.notes,
            "chance": 1 / len(self.classes),
        }


def _or_none(value: float) -> float | None:
    """A number; None for NaN."""
    return None if math.isnan(value) else value


def evaluate_speakers(
    fit: Fit,
    examples: EmotionExamples,
    seed: int = 0,
    confidence: float | None = None,
) -> EmotionEvaluation:
    """Train on some speakers, test on others, until each was tested on.

    Altered copies are used for training, and never for testing. Classes of one speaker or one utterance are left
    out.

    Args:
        fit: trains a classifier; called once a fold. Its classes include those of the examples.
        seed: of the `FOLDS` parts of the speakers.
        confidence: probability below which an answer is `unsure`; None: the limits of each model.

    Raises DailytalkError if scikit-learn is missing, BadInput if the examples can't be divided.
    """
    check_installed("sklearn", "tokens")
    original = examples.take(~examples.copies)
    names = np.array(original.classes)[original.labels]
    n_speakers = pd.Series(original.speakers).groupby(pd.Series(names)).nunique()
    kept = [name for name in examples.classes if n_speakers.get(name, 0) > 1]
    examples = examples.of_classes(kept, "its class has too few speakers")
    groups = joined_groups([*zip(examples.groups, examples.speakers, strict=True)])
    tests: list[NDArray[np.intp]] = []
    guesses: list[EmotionGuess] = []
    alone: list[EmotionGuess] = []
    limits: list[pd.DataFrame] = []
    for train, test in divided(examples.labels, groups, FOLDS, seed):
        test = test[~examples.copies[test]]
        model = fit(examples.take(train))
        held_out = examples.take(test)
        together = guesses_of(model, held_out)
        guesses += together
        alone += guesses_alone(model, held_out, together)
        limits.append(_limits_for(model, held_out, confidence))
        tests.append(test)
    tested = examples.take(np.concatenate(tests))
    all_limits = pd.concat(limits, ignore_index=True)
    return _evaluated(model, tested, guesses, alone, all_limits, confidence)


def evaluate_model(
    model: EmotionModel,
    examples: EmotionExamples,
    trained_on: Collection[str] = (),
    heard: str = "",
    confidence: float | None = None,
) -> EmotionEvaluation:
    """Test a classifier that was trained before on all examples except altered copies.

    Args:
        model: the classifier.
        examples: to test it on.
        trained_on: names of corpora in its training, as far as they are known.
        heard: a sentence on the speakers that it has heard, if those are known otherwise; it replaces the note
            that `trained_on` gives.
        confidence: probability below which an answer is `unsure`; None: the limits of the model.

    Raises BadValue if it doesn't know one of their classes.
    """
    for name in examples.classes:
        one_of(f"a class of {model.name}", name, model.classes)
    tested = examples.take(~examples.copies)
    shared = sorted({*trained_on} & {*examples.corpora.tolist()})
    notes: list[str] = []
    if heard:
        notes.append(heard)
    elif shared:
        notes.append(f"it was trained on {', '.join(shared)}, and may have heard these speakers")
    elif not trained_on:
        notes.append("what it was trained on is not known, and it may have heard these speakers")
    guesses = guesses_of(model, tested)
    alone = guesses_alone(model, tested, guesses)
    limits = _limits_for(model, tested, confidence)
    return _evaluated(model, tested, guesses, alone, limits, confidence, notes)


def _limits_for(model: EmotionModel, examples: EmotionExamples, confidence: float | None) -> pd.DataFrame:
    """The confidence under which the guess for each example is unsure: columns `beside` and `alone`."""
    if confidence is not None:
        return pd.DataFrame({"beside": confidence, "alone": confidence}, index=range(len(examples)))
    speakers = pd.Series(examples.speakers)
    counts = speakers.groupby(speakers).transform("size")
    beside = [limit_of(model, count) for count in counts]
    return pd.DataFrame({"beside": beside, "alone": limit_of(model, 1)})


_WARNINGS = (
    "Acted figures say little about real talk: encoders whose recall is 75 % on actors never heard have "
    "some 20 % on MSP-Podcast.",
    "Emotion in classes is a guess from sound, not a diagnosis.",
)


def _evaluated(
    model: EmotionModel,
    examples: EmotionExamples,
    guesses: Sequence[EmotionGuess],
    alone: Sequence[EmotionGuess],
    limits: pd.DataFrame,
    confidence: float | None,
    notes: Sequence[str] = (),
) -> EmotionEvaluation:
    from sklearn.metrics import accuracy_score, f1_score

    answers = _answers(model.classes, examples, guesses)
    answers_alone = _answers(model.classes, examples, alone)
    labels = np.array(examples.classes, object)[examples.labels]
    is_answered = answers != "none"
    confidences: list[float] = []
    for guess, answered in zip(guesses, is_answered, strict=True):
        if answered:
            confidences.append(float(guess.probabilities.max()))
    answer_names = [*examples.classes, "none"]
    confusion = pd.crosstab(labels, answers).reindex(index=[*examples.classes], columns=answer_names, fill_value=0)
    present = [examples.classes[label] for label in np.unique(examples.labels)]
    macro_f1 = f1_score(labels, answers, labels=present, average="macro", zero_division=0)
    is_right = (labels == answers)[is_answered]
    return EmotionEvaluation(
        model.name,
        examples.classes,
        utterances=len(examples),
        speakers=len(np.unique(examples.speakers)),
        recall=_mean_recall(labels, answers),
        recall_alone=_mean_recall(labels, answers_alone),
        accuracy=float(accuracy_score(labels, answers)),
        macro_f1=float(macro_f1),
        calibration_error=calibration_error(confidences, is_right),
        confidence=confidence,
        answered=_answered(labels, answers, guesses, limits["beside"]),
        answered_alone=_answered(labels, answers_alone, alone, limits["alone"]),
        confusion=confusion,
        notes=(*notes, *left_out_sentences(examples), *_WARNINGS),
    )


def _answered(
    labels: NDArray[np.object_], answers: NDArray[np.object_], guesses: Sequence[EmotionGuess], limits: pd.Series
) -> Answered:
    """The answers whose confidence reaches their limit."""
    confidences = np.array([guess.probabilities.max(initial=0.0) for guess in guesses])
    is_sure = (answers != "none") & (confidences >= limits.to_numpy())
    right = float((labels == answers)[is_sure].mean()) if is_sure.any() else math.nan
    return Answered(float(is_sure.mean()), right)


def _answers(
    classes: Sequence[str], examples: EmotionExamples, guesses: Sequence[EmotionGuess]
) -> NDArray[np.object_]:
    """The likeliest class of each guess; `none` without one, and for a class that no example may have."""
    likeliest: list[str] = []
    for guess in guesses:
        shares = guess.probabilities
        likeliest.append(classes[int(np.argmax(shares))] if len(shares) else "none")
    answers = np.array(likeliest, object)
    answers[~np.isin(answers, examples.classes)] = "none"
    return answers


def _mean_recall(labels: NDArray[np.object_], answers: NDArray[np.object_]) -> float:
    """The mean recall of the classes among the labels, of which there is one at least."""
    from sklearn.metrics import recall_score

    present = sorted({*labels.tolist()})
    return float(recall_score(labels, answers, labels=present, average="macro", zero_division=0))


def left_out_sentences(examples: EmotionExamples) -> list[str]:
    """A sentence on the utterances that were left out, for each reason."""
    return [f"{counted(count, 'utterance')} left out: {reason}" for reason, count in examples.left_out.items()]


def guesses_of(model: EmotionModel, examples: EmotionExamples) -> list[EmotionGuess]:
    """A model's guess for each example, those of one speaker together."""
    guesses: dict[int, EmotionGuess] = {}
    for speaker in np.unique(examples.speakers):
        indices = np.flatnonzero(examples.speakers == speaker)
        n_parts = math.ceil(len(indices) / MOST_TOGETHER)
        for part in np.array_split(indices, n_parts):
            interrupts.check_interrupt()
            speakers = [str(speaker)] * len(part)
            if isinstance(model, LinearEmotion):  # its measures may be known from its training
                measured = examples.sounds.measured(examples.numbers[part].tolist())
                answers = model.of_measures(measured, speakers)
            else:
                sounds = [examples.sound(index) for index in part]
                answers = model.classify(sounds, speakers)
            guesses.update(zip(part.tolist(), answers, strict=True))
    return [guesses[index] for index in range(len(examples))]


def guesses_alone(
    model: EmotionModel, examples: EmotionExamples, together: Sequence[EmotionGuess]
) -> list[EmotionGuess]:
    """A model's guess for each example by itself.

    `together` are those of `guesses_of`, which are the same for a model that compares nothing.
    """
    if not model.compares:
        return [*together]
    if not isinstance(model, LinearEmotion):
        guesses: list[EmotionGuess] = []
        for start in range(0, len(examples), MOST_TOGETHER):
            interrupts.check_interrupt()
            part = range(start, min(start + MOST_TOGETHER, len(examples)))
            guesses += model.classify([examples.sound(index) for index in part])
        return guesses
    measured = examples.sounds.measured(examples.numbers.tolist())
    return model.of_measures(measured, None)
