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
from dailytalk_contiguous.core.emotions import calibration_error
from dailytalk_contiguous.core.errors import BadInput, BadValue
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

    def __init__(self, examples: EmotionExamples) -> None:
        self.classes = examples.classes
        self._levels = np.array([self._level(examples.sound(place)) for place in range(len(examples))])
        self._labels = examples.labels

    def classify(
        self, sounds: Sequence[NDArray[np.float32]], speakers: Sequence[Hashable] | None = None
    ) -> list[EmotionGuess]:
        assert speakers is None or len({*speakers}) == 1
        nearest = [np.abs(self._levels - self._level(sound)).argmin() for sound in sounds]
        return [
            EmotionGuess(np.float32(0.4 * np.eye(len(self.classes))[label] + 0.2))
            if self._level(sound) > 0.01
            else EmotionGuess(np.zeros(0, np.float32), "too quiet")
            for sound, label in zip(sounds, self._labels[nearest], strict=True)
        ]

    @staticmethod
    def _level(sound: NDArray[np.float32]) -> float:
        return float(np.abs(sound).max())


def loud(levels: Sequence[float], labels: Sequence[int], speakers: Sequence[str]) -> EmotionExamples:
    sounds = [np.full(400, level, np.float32) for level in levels]
    return held_examples(sounds, [CLASSES[label] for label in labels], speakers)


def test_figures_are_those_of_the_answers_and_no_answer_is_wrong() -> None:
    people = [f"p{number}" for number in range(6) for _ in range(6)]
    labels = [number % 3 for number in range(36)]
    levels = [0.2 * (label + 1) + 0.001 * number for number, label in enumerate(labels)]
    levels[0], levels[1] = 0.001, 0.6  # of the first nothing is said, the second is taken for another
    evaluation = evaluate_speakers(Nearest, loud(levels, labels, people))
    assert evaluation.confusion.to_numpy().tolist() == [[11, 0, 0, 1], [0, 11, 1, 0], [0, 0, 12, 0]]
    answers = ["none", "sad", *(CLASSES[label] for label in labels[2:])]
    truth = [CLASSES[label] for label in labels]
    assert evaluation.recall == pytest.approx((11 / 12 + 11 / 12 + 1) / 3)
    assert evaluation.macro_f1 == pytest.approx(f1_score(truth, answers, labels=CLASSES, average="macro"))
    assert evaluation.accuracy == pytest.approx(34 / 36)
    assert evaluation.calibration_error == pytest.approx(abs(34 / 35 - 0.6))
    assert evaluation.utterances == 36
    assert evaluation.speakers == 6
    assert any("little about real talk" in sentence for sentence in evaluation.notes)


def test_nobody_is_on_both_sides_and_copies_are_not_tested() -> None:
    people = [f"p{number // 4}" for number in range(24)]
    examples = loud([0.2 + 0.02 * number for number in range(24)], [number % 3 for number in range(24)], people)
    examples = replace(examples, copies=np.arange(24) % 8 == 7)
    tested = []

    def fit(known: EmotionExamples) -> Nearest:
        tested.append({*examples.speakers.tolist()} - {*known.speakers.tolist()})
        return Nearest(known)

    assert evaluate_speakers(fit, examples, 3).utterances == 21
    assert sorted(name for names in tested for name in names) == sorted({*people})


def test_what_can_not_be_divided_is_one_sentence_and_small_classes_are_left_out() -> None:
    one = loud([0.1, 0.2, 0.3, 0.4], [0, 1, 0, 1], ["ann"] * 4)
    with pytest.raises(BadInput, match="too few speakers to tell classes apart"):
        evaluate_speakers(Nearest, one)
    few = loud([0.1, 0.4, 0.11, 0.41, 0.8, 0.12, 0.42], [0, 1, 0, 1, 2, 0, 1], [*"aabbacc"])
    evaluation = evaluate_speakers(Nearest, few)
    assert evaluation.classes == ("angry", "happy")
    assert "1 utterance left out: its class has too few speakers" in evaluation.notes


def test_a_model_of_other_classes_is_refused_and_one_of_more_may_be_wrong() -> None:
    examples = loud([0.1, 0.4, 0.8] * 2, [0, 1, 2] * 2, [*"aaabbb"])
    known = evaluate_model(Nearest(examples), examples.of_classes(("angry", "happy"), "it is sad"))
    assert known.recall == 1
    assert "what it was trained on is not known, and it may have heard these speakers" in known.notes
    heard = evaluate_model(Nearest(examples), replace(examples, corpora=np.full(6, "tess")), trained_on=["tess"])
    assert any(note.startswith("it was trained on tess, and may have heard") for note in heard.notes)
    assert "2 utterances left out: it is sad" in known.notes
    small = Nearest(examples.of_classes(("angry", "happy"), "it is sad"))
    with pytest.raises(BadValue, match="a class of nearest can't be 'sad': give angry, happy"):
        evaluate_model(small, examples)
