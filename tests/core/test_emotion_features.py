import numpy as np
import pytest
from emotional_voices import drawn_voices
from hypothesis import given, settings
from hypothesis import strategies as st

from dailytalk_contiguous.core.style.emotions import fit_temperature, softmax
from dailytalk_contiguous.models.emotion_features import at_one_level, emotion_features


@pytest.mark.parametrize("factor", [1 / 16, 4])  # -24 and +12 dB without rounding
def test_a_gain_over_a_sound_changes_no_measure(factor: float) -> None:
    for sound in drawn_voices(1, 1)[0]:
        louder = np.float32(factor) * sound
        measures = emotion_features(at_one_level(sound))
        np.testing.assert_allclose(emotion_features(at_one_level(louder)), measures, rtol=1e-5)
        shifted = np.float32(0.01) + sound  # as a recorder with an offset has it
        np.testing.assert_allclose(emotion_features(at_one_level(shifted)), measures, rtol=0.02, atol=0.02)


@settings(max_examples=10)
@given(temperature=st.floats(0.2, 5), seed=st.integers(0, 9))
def test_the_temperature_that_answers_were_made_with_is_found(temperature: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (2000, 4))
    truth = softmax(logits)
    drawn = rng.uniform(size=(2000, 1))
    is_passed = truth.cumsum(axis=1) < drawn
    labels = is_passed.sum(axis=1).clip(0, 3)
    answers = softmax(np.log(truth), 1 / temperature)
    from_labels = fit_temperature(answers, labels)
    from_truth = fit_temperature(answers, truth)
    assert from_labels == pytest.approx(temperature, rel=0.15)
    assert from_truth == pytest.approx(temperature, rel=0.01)
