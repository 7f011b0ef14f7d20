"""Evaluations: no speaker is on two sides, and figures are the field's."""

from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from emotion_held import held_examples
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from dailytalk_contiguous.apps.learn.emotion_evaluation import evaluate_model, evaluate_speakers
from dailytalk_contiguous.apps.learn.emotion_examples import EmotionExamples
from dailytalk_contiguous.core.errors import BadInput, BadValue
from dailytalk_contiguous.core.style.emotions import ConfidenceLimits, calibration_error
from dailytalk_contiguous.models.contracts import EmotionGuess

CLASSES = ("angry", "happy", "sad")


def test_calibration_error_is_nothing_where_confidence_is_the_share_that_is_right() -> None:
    assert calibration_error([0.75] * 4, [True, True, True, False]) == 0
    assert calibration_error([1.0, 1.0], [False, False]) == 1
    assert calibration_error([0.0, 0.3, 0.9], [False, False, True]) == pytest.approx(0.4 / 3)
    assert np.isnan(calibration_error([], []))


class Nearest:
    """Answers what the nearest of its examples is, by loudness, or nothing for the quietest."""

    name = "nearest"
    compares = False
    limits = ConfidenceLimits(alone=0.7, beside=0.5)

    def __init__(self, examples: EmotionExamples) -> None:
        self.classes = examples.classes
        sounds = [examples.sound(index) for index in range(len(examples))]
        self._levels = np.array([self._level(sound) for sound in sounds])
        self._labels = examples.labels

    def classify(
        self, sounds: Sequence[NDArray[np.float32]], speakers: Sequence[Hashable] | None = None
    ) -> list[EmotionGuess]:
        assert speakers is None or len({*speakers}) == 1
        return [self._guess(sound) for sound in sounds]

    def _guess(self, sound: NDArray[np.float32]) -> EmotionGuess:
        level = self._level(sound)
        if level <= 0.01:
            return EmotionGuess(np.zeros(0, np.float32), "too quiet")
        nearest = np.abs(self._levels - level).argmin()
        probabilities = np.full(len(self.classes), 0.2, np.float32)
        probabilities[self._labels[nearest]] += 0.4
        return EmotionGuess(probabilities)

    @staticmethod
    def _level(sound: NDArray[np.float32]) -> float:
        return float(np.abs(sound).max())


def loud(levels: Sequence[float], labels: Sequence[int], speakers: Sequence[str]) -> EmotionExamples:
    sounds = [np.full(400, level, np.float32) for level in levels]
    emotions = [CLASSES[label] for label in labels]
    return held_examples(sounds, emotions, speakers)


def test_figures_are_those_of_the_answers_and_no_answer_is_wrong() -> None:
    people = [f"p{number}" for number in range(6) for _ in range(6)]
    labels = [number % 3 for number in range(36)]
    levels = [0.2 * (label + 1) + 0.001 * number for number, label in enumerate(labels)]
    levels[0] = 0.001  # it is too quiet to be classified
    levels[1] = 0.6  # it is taken for another
    evaluation = evaluate_speakers(Nearest, loud(levels, labels, people))
    confusion = evaluation.confusion.to_numpy().tolist()
    assert confusion == [[11, 0, 0, 1], [0, 11, 1, 0], [0, 0, 12, 0]]
    truth = [CLASSES[label] for label in labels]
    answers = ["none", "sad", *truth[2:]]
    f1 = f1_score(truth, answers, labels=CLASSES, average="macro")
    assert evaluation.recall == pytest.approx((11 / 12 + 11 / 12 + 1) / 3)
    assert evaluation.macro_f1 == pytest.approx(f1)
    assert evaluation.accuracy == pytest.approx(34 / 36)
    assert evaluation.calibration_error == pytest.approx(abs(34 / 35 - 0.6))
    assert evaluation.answered == pytest.approx((35 / 36, 34 / 35))  # beside others 0.6 is sure enough
    assert evaluation.answered_alone.share == 0
    assert np.isnan(evaluation.answered_alone.right)
    strict = evaluate_speakers(Nearest, loud(levels, labels, people), confidence=0.65)
    assert strict.answered.share == 0
    assert evaluation.utterances == 36
    assert evaluation.speakers == 6
    assert any("little about real talk" in sentence for sentence in evaluation.notes)


def test_nobody_is_on_both_sides_and_copies_are_not_tested() -> None:
    people = [f"p{number // 4}" for number in range(24)]
    levels = [0.2 + 0.02 * number for number in range(24)]
    labels = [number % 3 for number in range(24)]
    examples = loud(levels, labels, people)
    examples = replace(examples, copies=np.arange(24) % 8 == 7)
    tested: list[str] = []

    def fit(training: EmotionExamples) -> Nearest:
        tested.extend({*people} - {*training.speakers.tolist()})
        return Nearest(training)

    assert evaluate_speakers(fit, examples).utterances == 21
    assert sorted(tested) == sorted({*people})


def test_what_can_not_be_divided_is_one_sentence_and_small_classes_are_left_out() -> None:
    alone = loud([0.1, 0.2, 0.3, 0.4], [0, 1, 0, 1], ["ann"] * 4)
    with pytest.raises(BadInput, match="too few speakers to tell classes apart"):
        evaluate_speakers(Nearest, alone)
    levels = [0.1, 0.4, 0.11, 0.41, 0.8, 0.12, 0.42]
    labels = [0, 1, 0, 1, 2, 0, 1]
    few = loud(levels, labels, [*"aabbacc"])
    evaluation = evaluate_speakers(Nearest, few)
    assert evaluation.classes == ("angry", "happy")
    assert "1 utterance left out: its class has too few speakers" in evaluation.notes


def test_a_model_of_other_classes_is_refused_and_one_of_more_may_be_wrong() -> None:
    examples = loud([0.1, 0.4, 0.8] * 2, [0, 1, 2] * 2, [*"aaabbb"])
    two = examples.of_classes(("angry", "happy"), "it is sad")
    evaluation = evaluate_model(Nearest(examples), two)
    assert evaluation.recall == 1
    assert "what it was trained on is not known, and it may have heard these speakers" in evaluation.notes
    assert "2 utterances left out: it is sad" in evaluation.notes
    tess = replace(examples, corpora=np.full(6, "tess"))
    heard = evaluate_model(Nearest(examples), tess, trained_on=["tess"])
    assert any(note.startswith("it was trained on tess, and may have heard") for note in heard.notes)
    small = Nearest(two)
    with pytest.raises(BadValue, match="a class of nearest can't be 'sad': give angry, happy"):
        evaluate_model(small, examples)
