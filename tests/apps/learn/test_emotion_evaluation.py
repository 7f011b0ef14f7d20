"""Protocols and measures: nothing is on two sides, figures are the field's, and mixing speakers is caught."""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from emotion_held import held_examples
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dailytalk_contiguous.apps.learn.emotion_evaluation import (
    PROTOCOLS,
    evaluate_model,
    evaluate_protocol,
    figures_of,
    folds_of,
)
from dailytalk_contiguous.apps.learn.emotion_examples import EmotionExamples, Sounds, SoundsAt
from dailytalk_contiguous.core.emotions import calibration_error
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.models.contracts import EmotionGuess

CLASSES = ("angry", "happy", "sad")


def silent(
    speakers: Sequence[str],
    labels: Sequence[int],
    groups: Sequence[int] | None = None,
    copies: Sequence[bool] | None = None,
    corpora: Sequence[str] | None = None,
) -> EmotionExamples:
    """Examples without sound."""
    count = len(speakers)
    return EmotionExamples(
        CLASSES,
        np.arange(count).astype(str),
        np.full(count, "") if corpora is None else np.array(corpora),
        np.array(speakers),
        np.full(count, ""),
        np.array(labels),
        np.arange(count) if groups is None else np.array(groups),
        np.zeros(count, np.bool_) if copies is None else np.array(copies),
        SoundsAt(NO_SOUNDS, np.arange(count)),
    )


NO_SOUNDS = Sounds()
row = st.tuples(st.integers(0, 5), st.integers(0, 2), st.integers(0, 12), st.booleans(), st.integers(0, 2))


@given(st.lists(row, min_size=4, max_size=40), st.sampled_from([*PROTOCOLS]), st.integers(2, 6), st.integers(0, 3))
def test_nothing_is_on_both_sides_and_each_original_is_tested_once(
    rows: list[tuple[int, int, int, bool, int]], protocol: str, count: int, seed: int
) -> None:
    corpora = ["ravdess", "savee", "crema_d"]
    names = {"ravdess": "01", "savee": "DC", "crema_d": "1001"}
    speakers = [
        f"{corpora[corpus]}/{names[corpora[corpus]] if not number else ('12', 'JK', '1002')[corpus]}"
        for number, *_, corpus in rows
    ]
    _, labels, groups, copies, places = zip(*rows, strict=True)
    examples = silent(speakers, labels, groups, copies, [corpora[place] for place in places])
    try:
        folds, _ = folds_of(protocol, examples, count, seed)
    except BadInput:
        return
    for _, train, test in folds:
        assert len(train)
        assert len(test)
        assert not {*examples.groups[train]} & {*examples.groups[test]}
        if protocol != "random":
            assert not {*examples.speakers[train]} & {*examples.speakers[test]}
        assert not examples.copies[test].any()
    tested = np.sort(np.concatenate([test for _, _, test in folds]))
    originals = np.flatnonzero(~examples.copies)
    assert tested.tolist() == originals.tolist()


def test_figures_are_those_computed_by_hand_and_by_scikit_learn() -> None:
    from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

    answers = pd.DataFrame(
        {
            "label": [*"aaaabbcccc"],
            "answer": [*"aaabbcccc", None],
            "confidence": [0.9, 0.9, 0.5, 0.5, 0.9, 0.5, 0.9, 0.9, 0.5, np.nan],
            "speaker": [*"wwxxwwxxyy"],
        }
    )
    figures = figures_of(answers, [*"abc"])
    assert figures.recall.value == pytest.approx((3 / 4 + 1 / 2 + 3 / 4) / 3)
    assert figures.accuracy.value == pytest.approx(0.7)
    assert figures.macro_f1.value == pytest.approx((6 / 7 + 2 / 4 + 6 / 8) / 3)
    # Of nine answers, four at 0.5 (two right) and five at 0.9 (five right... all of them).
    assert figures.calibration_error == pytest.approx((4 * abs(0.5 - 0.5) + 5 * abs(1.0 - 0.9)) / 9)
    assert (figures.utterances, figures.speakers, figures.unanswered) == (10, 3, 1)
    assert figures.recall.low is None  # of three speakers
    random = np.random.default_rng(0)
    answers = pd.DataFrame({name: random.choice([*"abcd"], 400) for name in ("label", "answer")})
    answers = answers.assign(confidence=random.random(400), speaker=random.integers(20, size=400))
    figures = figures_of(answers, [*"abcd"])
    labels, predicted = answers["label"], answers["answer"]
    assert figures.recall.value == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert figures.accuracy.value == pytest.approx(accuracy_score(labels, predicted))
    assert figures.macro_f1.value == pytest.approx(f1_score(labels, predicted, average="macro"))
    for score in (figures.recall, figures.accuracy, figures.macro_f1):
        assert score.low is not None
        assert score.high is not None
        assert score.low < score.value < score.high


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
        self._levels = np.array([self._level(sound) for sound in examples.sounds])
        self._labels = examples.labels

    def classify(
        self, sounds: Sequence[NDArray[np.float32]], speakers: Sequence[Hashable] | None = None
    ) -> list[EmotionGuess]:
        assert speakers is None or len({*speakers}) == 1
        nearest = [np.abs(self._levels - self._level(sound)).argmin() for sound in sounds]
        return [
            EmotionGuess(np.float32(0.4 * np.eye(len(self.classes))[label] + 0.2), np.zeros(1, np.float32))
            if self._level(sound) > 0.01
            else EmotionGuess(np.zeros(0, np.float32), np.zeros(0, np.float32), "too quiet")
            for sound, label in zip(sounds, self._labels[nearest], strict=True)
        ]

    @staticmethod
    def _level(sound: NDArray[np.float32]) -> float:
        return float(np.abs(sound).max())


def loud(levels: Sequence[float], labels: Sequence[int], speakers: Sequence[str], **known: Any) -> EmotionExamples:
    sounds = [np.full(400, level, np.float32) for level in levels]
    return held_examples(sounds, [CLASSES[label] for label in labels], speakers, **known)


def test_an_evaluation_says_all_that_it_measured() -> None:
    people = [f"p{number}" for number in range(6) for _ in range(6)]
    labels = [number % 3 for number in range(36)]
    levels = [0.2 * (label + 1) + 0.001 * number for number, label in enumerate(labels)]
    levels[0] = 0.001  # of which nothing is said
    genders = ["female" if name < "p3" else "male" for name in people]
    corpora = ["crema_d"] * 18 + ["tess"] * 18
    examples = loud(levels, labels, people, genders=genders, corpora=corpora)
    evaluation = evaluate_protocol(Nearest, examples)
    assert evaluation.confusion.to_numpy().tolist() == [[11, 0, 0, 1], [0, 12, 0, 0], [0, 0, 12, 0]]
    assert evaluation.figures.unanswered == 1
    assert {name: n for name, (_, n) in evaluation.by("gender").items()} == {"female": 18, "male": 18}
    assert evaluation.by("gender")["female"][0].value == pytest.approx((5 / 6 + 2) / 3)
    assert evaluation.by("speaker")["p0"][0].value == pytest.approx((1 / 2 + 2) / 3)
    assert evaluation.figures.calibration_error == pytest.approx(0.4)
    assert sum(test for *_, test in evaluation.folds) == 36
    assert [row[0] for row in evaluation.published()] == ["crema_d", "tess", "msp_podcast"]
    assert "speakers mixed: 91 of 91 on both sides" in str(evaluation.tables())
    unsaid = evaluation.answers[evaluation.answers["answer"].isna()]
    assert unsaid[["id", "label"]].to_numpy().tolist() == [["000000", "angry"]]
    assert any("little about real talk" in sentence for sentence in evaluation.sentences())
    assert evaluate_protocol(Nearest, examples, "corpus").folds[0][0] == "crema_d"


def test_what_can_not_be_divided_is_one_sentence_and_small_classes_are_left_out() -> None:
    one = loud([0.1, 0.2, 0.3, 0.4], [0, 1, 0, 1], ["ann"] * 4)
    with pytest.raises(BadInput, match="angry has 1 speaker"):
        evaluate_protocol(Nearest, one)
    for protocol, sentence in (
        ("speakers", "all 4 utterances are of one speaker"),
        ("corpus", "nothing is left to learn from"),
        ("else", "there is no protocol 'else'"),
    ):
        with pytest.raises(BadInput, match=sentence):
            folds_of(protocol, one)
    mixed = evaluate_protocol(Nearest, one, "random")
    assert any(note.startswith("speakers apart: not to be shown") for note in mixed.notes)
    few = loud([0.1, 0.4, 0.11, 0.41, 0.8, 0.12, 0.42], [0, 1, 0, 1, 2, 0, 1], [*"aabbacc"])
    evaluation = evaluate_protocol(Nearest, few)
    assert evaluation.classes == ("angry", "happy")
    assert "sad is left out: it has 1 utterance" in evaluation.notes
    assert "1 utterance left out: its class has too few" in evaluation.notes


def test_a_model_of_other_classes_is_refused_and_one_of_more_may_be_wrong() -> None:
    examples = loud([0.1, 0.4, 0.8] * 2, [0, 1, 2] * 2, [*"aaabbb"])
    known = evaluate_model(Nearest(examples), examples.of_classes(("angry", "happy"), "it is sad"))
    assert known.figures.recall.value == 1
    assert known.protocol == "fixed"
    assert "what it was trained on is not known, and it may have heard these speakers" in known.notes
    heard = evaluate_model(Nearest(examples), replace(examples, corpora=np.full(6, "tess")), trained_on=["tess"])
    assert any(note.startswith("it was trained on tess, so it may have heard") for note in heard.notes)
    assert "2 utterances left out: it is sad" in known.notes
    small = Nearest(examples.of_classes(("angry", "happy"), "it is sad"))
    with pytest.raises(BadInput, match="nearest does not know sad, only angry, happy"):
        evaluate_model(small, examples)
