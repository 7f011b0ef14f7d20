import numpy as np
import pytest
from emotional_voices import drawn_voices
from hypothesis import given, settings
from hypothesis import strategies as st

from dailytalk_contiguous.core.emotion_features import MEASURES, emotion_features
from dailytalk_contiguous.core.emotions import fit_temperature, softmax


def measures(sound: np.ndarray) -> dict[str, float]:
    features = emotion_features(sound).tolist()
    return dict(zip(MEASURES, features, strict=True))


#: The measures that tell how loud a sound is, all in dB.
OF_LEVEL = ("level_mean", "level_low", "level_high", "power_mean", "power_low", "power_high")


def test_a_sound_twice_as_loud_differs_in_level_and_power_alone() -> None:
    voices = drawn_voices(1, 1)[0]
    sound = 0.2 * voices[0]
    quiet = measures(sound)
    loud = measures(2 * sound)
    for name in OF_LEVEL:
        difference = loud[name] - quiet[name]
        assert difference == pytest.approx(6.02, abs=0.1), name
    for name in MEASURES:
        if not name.startswith(("level_", "power_")):
            assert loud[name] == pytest.approx(quiet[name], rel=0.02, abs=0.1), name


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
