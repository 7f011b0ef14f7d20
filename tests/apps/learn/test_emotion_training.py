from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from emotion_held import examples_of
from emotional_voices import MANNERS

from dailytalk_contiguous.apps.learn.emotion_evaluation import EmotionEvaluation, evaluate_model
from dailytalk_contiguous.apps.learn.emotion_examples import EmotionExamples
from dailytalk_contiguous.apps.learn.emotion_training import (
    calibrate_emotion,
    fit_emotion,
    save_emotion,
    training_facts,
)
from dailytalk_contiguous.apps.learn.model_cards import DataSource
from dailytalk_contiguous.core.emotions import SIX
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.models.emotion_folder import CARD
from dailytalk_contiguous.models.emotion_models import load_emotion_model
from dailytalk_contiguous.models.linear_emotion import LinearEmotion
from dailytalk_contiguous.store.files import write_text

SPEAKERS, EACH = 8, 3


@pytest.fixture(scope="module")
def known() -> EmotionExamples:
    return examples_of(SPEAKERS, EACH)


@pytest.fixture(scope="module")
def others() -> EmotionExamples:
    """Speakers whom no model of these tests has heard, in manners that overlap more."""
    return examples_of(5, 4, 1, 0.15)


@pytest.fixture(scope="module")
def model(known: EmotionExamples) -> LinearEmotion:
    fitted = fit_emotion("linear", known)
    assert isinstance(fitted, LinearEmotion)
    return fitted


def recall(evaluation: EmotionEvaluation) -> float:
    return evaluation.figures.recall.value


def test_linear_learns_six_manners_of_speakers_that_it_has_not_heard(model: LinearEmotion) -> None:
    new = examples_of(4, EACH, 2)
    assert model.classes == SIX
    assert recall(evaluate_model(model, new)) > 0.85
    assert recall(evaluate_model(model, new, alone=True)) > 0.6


def test_the_same_examples_make_the_same_model(known: EmotionExamples, model: LinearEmotion) -> None:
    again = fit_emotion("linear", known)
    weights = model.weights()
    assert again.temperature == model.temperature
    assert all(np.array_equal(array, weights[name]) for name, array in again.weights().items())


def test_calibration_makes_a_model_as_sure_as_it_is_right(model: LinearEmotion, others: EmotionExamples) -> None:
    boastful = LinearEmotion("boastful", model.classes, model.weights(), model.temperature / 8)
    before = evaluate_model(boastful, others)
    done = calibrate_emotion(boastful, others)
    after = evaluate_model(boastful, others)
    assert done.error_before == pytest.approx(before.figures.calibration_error, abs=1e-6)
    assert after.figures.calibration_error == pytest.approx(done.error_after, abs=0.01)  # other bins
    assert done.error_after < 0.75 * done.error_before
    assert done.loss_after < done.loss_before
    assert boastful.temperature == done.temperature > model.temperature / 8
    assert after.answers["answer"].equals(before.answers["answer"])
    with pytest.raises(DailytalkError, match="3 utterances of 1 speaker are too few"):
        calibrate_emotion(boastful, others.take(range(3)))


def test_what_can_not_be_learned_is_one_sentence(known: EmotionExamples) -> None:
    first = known.take(known.speakers == known.speakers[0])
    with pytest.raises(DailytalkError, match="all 18 utterances are of one speaker"):
        fit_emotion("linear", first)
    with pytest.raises(DailytalkError, match="all 24 utterances are angry"):
        fit_emotion("linear", known.take(known.labels == 0))
    with pytest.raises(DailytalkError, match="no utterance is 'sad'"):
        fit_emotion("linear", known.take(known.labels != 5))
    with pytest.raises(DailytalkError, match="there is no kind 'forest'"):
        fit_emotion("forest", known)


def test_a_folder_has_a_card_with_data_licences_and_figures(
    model: LinearEmotion, known: EmotionExamples, tmp_path: Path
) -> None:
    evaluation = evaluate_model(model, known)
    facts = training_facts(known, {"seed": 0}, [DataSource("acted", "ODbL-1.0")], evaluation)
    write_text(tmp_path / "corpus" / CARD, "# A corpus")
    with pytest.raises(DailytalkError, match="holds other things than a model"):
        save_emotion(model, tmp_path / "corpus", facts)
    save_emotion(model, tmp_path / "mood", facts)
    card = (tmp_path / "mood" / CARD).read_text()
    for words in (
        "license: odbl\n",
        "| acted | ODbL-1.0 |",
        "no diagnosis",
        "| sad | 24 |",
        "Chance is 16.7 %",
    ):
        assert words in card, words
    assert load_emotion_model(str(tmp_path / "mood")).classes == tuple(sorted(MANNERS))


def test_soft_labels_count_by_their_shares(known: EmotionExamples) -> None:
    certain = np.eye(6, dtype=np.float32)[known.labels]
    hard, soft = fit_emotion("linear", known), fit_emotion("linear", replace(known, votes=certain))
    for name, array in hard.weights().items():
        assert np.allclose(soft.weights()[name], array, atol=1e-5), name
    doubtful = fit_emotion("linear", replace(known, votes=(0.5 * certain + 0.5 / 6).astype(np.float32)))
    sounds = [*known.take([0, 5]).sounds]
    sure, unsure = (max(made.classify(sounds)[0].probabilities) for made in (hard, doubtful))
    assert unsure < sure
