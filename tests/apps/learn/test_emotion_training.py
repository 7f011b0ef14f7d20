from dataclasses import replace

import numpy as np
import pytest
from emotion_held import examples_of

from dailytalk_contiguous.apps.learn.emotion_evaluation import EmotionEvaluation, evaluate_model
from dailytalk_contiguous.apps.learn.emotion_examples import EmotionExamples
from dailytalk_contiguous.apps.learn.emotion_training import fit_emotion
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.style.emotions import RIGHT_ALONE, RIGHT_BESIDE, SIX
from dailytalk_contiguous.models.emotion_features import MEASURES, OF_SPEAKER
from dailytalk_contiguous.models.linear_emotion import LinearEmotion, measure_voice

SPEAKERS = 8
EACH = 3


@pytest.fixture(scope="module")
def known() -> EmotionExamples:
    return examples_of(SPEAKERS, EACH)


@pytest.fixture(scope="module")
def model(known: EmotionExamples) -> LinearEmotion:
    fitted = fit_emotion("linear", known)
    assert isinstance(fitted, LinearEmotion)
    return fitted


def recall(evaluation: EmotionEvaluation) -> float:
    return evaluation.recall


def test_linear_learns_six_manners_of_speakers_that_it_has_not_heard(model: LinearEmotion) -> None:
    new = examples_of(4, EACH, 2)
    assert model.classes == SIX
    assert recall(evaluate_model(model, new)) > 0.85


def test_linear_is_more_often_right_than_sure_beside_others_and_alone(model: LinearEmotion) -> None:
    new = examples_of(4, EACH, 2)
    sounds = [new.sound(index) for index in range(len(new))]
    for speakers in (new.speakers.tolist(), None):
        shares = np.array([guess.probabilities for guess in model.classify(sounds, speakers)])
        right = np.mean(shares.argmax(axis=1) == new.labels)
        assert shares.max(axis=1).mean() < right - 0.1


def test_half_and_more_of_unheard_speakers_are_answered_as_often_right_as_the_limits_ask() -> None:
    """Voices whose manners vary so much that a fixed limit of 0.4 leaves a fifth of them when judged alone."""
    new = examples_of(4, EACH, 2, spread=0.2)
    fitted = fit_emotion("linear", examples_of(SPEAKERS, EACH, spread=0.2))
    by_fixed_limit = evaluate_model(fitted, new, confidence=0.4)
    assert by_fixed_limit.answered_alone.share < 0.25
    evaluation = evaluate_model(fitted, new)
    for answered, right in ((evaluation.answered, RIGHT_BESIDE), (evaluation.answered_alone, RIGHT_ALONE)):
        assert answered.share > 0.5
        assert answered.right > right


def test_most_lines_of_two_unheard_speakers_are_answered_where_most_guesses_are_right() -> None:
    examples = examples_of(SPEAKERS, 4, 3, spread=0.25)
    is_new = np.isin(examples.speakers, ["speaker-3-0", "speaker-3-1"])
    fitted = fit_emotion("linear", examples.take(~is_new))
    evaluation = evaluate_model(fitted, examples.take(is_new))
    assert evaluation.accuracy < 0.7
    assert evaluation.answered.share >= 0.6
    assert evaluation.answered.right >= 0.6


def test_a_model_that_has_learned_nothing_answers_little() -> None:
    known = examples_of(SPEAKERS, EACH)
    labels = np.random.default_rng(0).permutation(known.labels)
    fitted = fit_emotion("linear", replace(known, labels=labels))
    new = evaluate_model(fitted, examples_of(4, EACH, 2))
    assert new.answered.share < 0.1
    assert new.answered_alone.share < 0.1


def test_a_higher_voice_alone_has_the_same_answer(model: LinearEmotion) -> None:
    measured = measure_voice(examples_of(1, 1, 2).sound(0))
    higher = measured.copy()
    higher[np.isin(MEASURES, OF_SPEAKER)] += 12  # semitones
    alone, octave_higher = model.of_measures(np.stack([measured, higher]), None)
    assert np.array_equal(alone.probabilities, octave_higher.probabilities)


def test_the_same_examples_make_the_same_model(known: EmotionExamples, model: LinearEmotion) -> None:
    again = fit_emotion("linear", known)
    weights = model.weights()
    assert again.temperature == model.temperature
    assert all(np.array_equal(array, weights[name]) for name, array in again.weights().items())


def test_what_can_not_be_learned_is_one_sentence(known: EmotionExamples) -> None:
    first = known.take(known.speakers == known.speakers[0])
    with pytest.raises(DailytalkError, match="all 18 utterances are of one speaker"):
        fit_emotion("linear", first)
    with pytest.raises(DailytalkError, match="all 24 utterances are angry"):
        fit_emotion("linear", known.take(known.labels == 0))
    with pytest.raises(DailytalkError, match="leave classes out of --classes"):
        fit_emotion("linear", known.take(known.labels != 5))
    with pytest.raises(DailytalkError, match="kind can't be 'forest'"):
        fit_emotion("forest", known)
