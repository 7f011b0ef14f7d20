"""The evaluation of classifiers of emotion, on speakers that they were not trained on.

The measure is the mean recall of the classes (unweighted average recall), whose chance level is one in as many as
there are classes.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dailytalk_contiguous.apps.learn.emotion_examples import EmotionExamples
from dailytalk_contiguous.apps.learn.folds import FOLDS, check_installed, divided
from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.emotions import calibration_error
from dailytalk_contiguous.core.sampling import joined_groups
from dailytalk_contiguous.core.settings import one_of
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.models.contracts import EmotionGuess, EmotionModel
from dailytalk_contiguous.models.linear_emotion import LinearEmotion

#: Trains a classifier on its examples.
Fit = Callable[[EmotionExamples], EmotionModel]

#: Utterances of one speaker that a model gets at once.
MOST_TOGETHER = 500

_WARNINGS = (
    "Acted figures say little about real talk: encoders whose recall is 75 % on actors never heard have "
    "some 20 % on MSP-Podcast.",
    "Emotion in classes is a guess from sound, and no diagnosis.",
)


class EmotionEvaluation(NamedTuple):
    """The answers of a classifier, and their figures.

    Attributes:
        model: its name. classes: those that it distinguishes; chance is one in as many.
        utterances, speakers: of the test.
        recall: mean recall of the classes. accuracy: share that is right. macro_f1: mean of the classes' F1. No
            answer counts as wrong.
        calibration_error: of `core.emotions.calibration_error`; NaN without an answer.
        confusion: counts by label (rows) and answer (columns, of which the last is `none`).
        notes: a sentence on everything that was left out, or limits the result.
    """

    model: str
    classes: tuple[str, ...]
    utterances: int
    speakers: int
    recall: float
    accuracy: float
    macro_f1: float
    calibration_error: float
    confusion: pd.DataFrame
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        error = None if np.isnan(self.calibration_error) else self.calibration_error
        counts = self.confusion.to_numpy().tolist()
        return self._asdict() | {"calibration_error": error, "confusion": counts, "chance": 1 / len(self.classes)}


def evaluate_speakers(fit: Fit, examples: EmotionExamples, folds: int = FOLDS, seed: int = 0) -> EmotionEvaluation:
    """Train on some speakers, test on others, until each was tested on.

    Altered copies are used for training, and never for testing. Classes of one speaker or one utterance are left
    out.

    Args:
        fit: trains a classifier; called once a fold. Its classes include those of the examples.
        folds: parts of the speakers, or the number of speakers if that is smaller. seed: of the folds.

    Raises DailytalkError if scikit-learn is missing, BadInput if the examples can't be divided.
    """
    check_installed("sklearn", "tokens")
    original = examples.take(~examples.copies)
    named = pd.Series(np.array(original.classes)[original.labels])
    people = pd.Series(original.speakers).groupby(named).nunique()
    kept = [name for name in examples.classes if people.get(name, 0) > 1]
    examples = examples.of_classes(kept, "its class has too few speakers")
    apart = joined_groups([*zip(examples.groups, examples.speakers, strict=True)])
    tests = list[NDArray[np.intp]]()
    guesses = list[EmotionGuess]()
    name = ""
    for train, test in divided(examples.labels, apart, folds, seed):
        test = test[~examples.copies[test]]
        model = fit(examples.take(train))
        guesses += guesses_of(model, examples.take(test))
        tests.append(test)
        name = model.name
        classes = model.classes
    return _evaluated(name, classes, examples.take(np.concatenate(tests)), guesses)


def evaluate_model(
    model: EmotionModel, examples: EmotionExamples, trained_on: Collection[str] = (), known: str = ""
) -> EmotionEvaluation:
    """Test a classifier that was trained before on all examples except altered copies.

    Args:
        trained_on: names of corpora in its training, as far as they are known.
        known: a sentence on the speakers that it has heard, of a model whose training is known otherwise.

    Raises BadValue if it doesn't know one of their classes.
    """
    for name in examples.classes:
        one_of(f"a class of {model.name}", name, model.classes)
    tested = examples.take(~examples.copies)
    heard = sorted({*trained_on} & {*examples.corpora.tolist()})
    if known:
        notes = [known]
    elif heard:
        notes = [f"it was trained on {', '.join(heard)}, and may have heard these speakers"]
    elif trained_on:
        notes = []
    else:
        notes = ["what it was trained on is not known, and it may have heard these speakers"]
    return _evaluated(model.name, model.classes, tested, guesses_of(model, tested), notes)


def _evaluated(
    name: str,
    classes: Sequence[str],
    examples: EmotionExamples,
    guesses: Sequence[EmotionGuess],
    notes: Sequence[str] = (),
) -> EmotionEvaluation:
    from sklearn.metrics import accuracy_score, f1_score, recall_score

    shares = [guess.probabilities for guess in guesses]
    answers = np.array([classes[int(np.argmax(own))] if len(own) else "none" for own in shares], object)
    answers[~np.isin(answers, examples.classes)] = "none"
    labels = np.array(examples.classes, object)[examples.labels]
    said = answers != "none"
    present = np.unique(examples.labels)
    counts = pd.crosstab(labels, answers).reindex(
        index=[*examples.classes], columns=[*examples.classes, "none"], fill_value=0
    )
    averaged: dict[str, Any] = {
        "labels": [examples.classes[label] for label in present],
        "average": "macro",
        "zero_division": 0,
    }
    confidences = [float(own.max()) for own, known in zip(shares, said, strict=True) if known]
    return EmotionEvaluation(
        name,
        examples.classes,
        len(examples),
        len(np.unique(examples.speakers)),
        float(recall_score(labels, answers, **averaged)),
        float(accuracy_score(labels, answers)),
        float(f1_score(labels, answers, **averaged)),
        calibration_error(confidences, (labels == answers)[said]),
        counts,
        (*notes, *left_out_sentences(examples), *_WARNINGS),
    )


def left_out_sentences(examples: EmotionExamples) -> list[str]:
    return [f"{counted(n, 'utterance')} left out: {why}" for why, n in examples.left_out.items()]


def guesses_of(model: EmotionModel, examples: EmotionExamples) -> list[EmotionGuess]:
    """A model's guess for each example, those of one speaker together."""
    guesses: dict[int, EmotionGuess] = {}
    for speaker in np.unique(examples.speakers):
        places = np.flatnonzero(examples.speakers == speaker)
        for part in np.array_split(places, -(-len(places) // MOST_TOGETHER)):
            interrupts.check_interrupt()
            speakers = [str(speaker)] * len(part)
            if isinstance(model, LinearEmotion):  # its measures may be known from its training
                answers = model.of_measures(examples.sounds.measured(examples.numbers[part].tolist()), speakers)
            else:
                answers = model.classify([examples.sound(place) for place in part], speakers)
            guesses |= dict(zip(part.tolist(), answers, strict=True))
    return [guesses[place] for place in range(len(examples))]
