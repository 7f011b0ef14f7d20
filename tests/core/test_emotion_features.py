import numpy as np
import pytest
from emotional_voices import drawn_voices
from hypothesis import given, settings
from hypothesis import strategies as st

from dailytalk_contiguous.core.emotion_features import MEASURES, emotion_features
from dailytalk_contiguous.core.emotions import fit_temperature, softmax


def measures(sound: np.ndarray) -> dict[str, float]:
    return dict(zip(MEASURES, emotion_features(sound).tolist(), strict=True))


def test_a_sound_twice_as_loud_differs_in_level_and_power_alone() -> None:
    sound = 0.2 * drawn_voices(1, 1)[0][0]
    quiet = measures(sound)
    loud = measures(2 * sound)
    for name in ("level_mean", "level_low", "level_high", "power_mean", "power_low", "power_high"):
        assert loud[name] - quiet[name] == pytest.approx(6.02, abs=0.1), name
    others = [name for name in MEASURES if not name.startswith(("level_", "power_"))]
    assert [loud[name] for name in others] == pytest.approx([quiet[name] for name in others], rel=0.02, abs=0.1)


@settings(max_examples=10)
@given(temperature=st.floats(0.2, 5), seed=st.integers(0, 9))
def test_the_temperature_that_answers_were_made_with_is_found(temperature: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = softmax(rng.normal(0, 2, (2000, 4)))
    labels = (truth.cumsum(axis=1) < rng.uniform(size=(2000, 1))).sum(axis=1).clip(0, 3)
    answers = softmax(np.log(truth), 1 / temperature)
    assert fit_temperature(answers, labels) == pytest.approx(temperature, rel=0.15)
    assert fit_temperature(answers, truth) == pytest.approx(temperature, rel=0.01)
