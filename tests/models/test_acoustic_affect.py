import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.models.affect import REFERENCE, estimate_affect

NAN = float("nan")
RMS = st.floats(0, 1) | st.just(NAN)
F0 = st.floats(0, 500) | st.just(NAN)
RATE = st.floats(0, 20) | st.just(NAN)
UTTERANCE = st.tuples(RMS, F0, RATE, st.sampled_from(["", "great", "terrible", "so so"]), st.sampled_from("ab"))


def rated(rows: list[tuple[float, float, float, str, str]], grouped: bool = True) -> dict[str, np.ndarray]:
    rms, f0, rate, texts, groups = (list(column) for column in zip(*rows, strict=True))
    return estimate_affect(rms, f0, rate, texts, groups if grouped else None)


def alone(rms: float = 0.05, f0: float = 160.0, rate: float = 3.3, text: str = "") -> dict[str, float]:
    return {name: float(value[0]) for name, value in estimate_affect([rms], [f0], [rate], [text], None).items()}


@given(st.lists(UTTERANCE, min_size=1, max_size=12), st.booleans())
def test_everything_lies_between_nought_and_one(
    rows: list[tuple[float, float, float, str, str]], grouped: bool
) -> None:
    for values in rated(rows, grouped).values():
        assert values.shape == (len(rows),)
        assert ((values >= 0) & (values <= 1)).all()


def test_each_measure_counts() -> None:
    usual = alone()
    assert alone(rms=0.1)["arousal"] > usual["arousal"]
    assert alone(f0=200)["arousal"] > usual["arousal"]
    assert alone(rate=5)["arousal"] > usual["arousal"]
    assert alone(rms=0.1)["dominance"] > usual["dominance"] > alone(f0=200)["dominance"]
    assert alone(f0=200)["valence"] > usual["valence"]


def test_kind_words_please_and_unkind_ones_do_not() -> None:
    assert alone(text="I hate this, it is awful.")["valence"] < 0.3
    assert alone(text="The table has four legs.")["valence"] == 0.5
    assert alone(text="I love this, it is wonderful!")["valence"] > 0.7


@given(st.lists(UTTERANCE, min_size=1, max_size=8), st.floats(0.25, 4))
def test_a_speaker_is_compared_with_himself(rows: list[tuple[float, float, float, str, str]], gain: float) -> None:
    louder = [(rms * gain, *rest) for rms, *rest in rows]
    for name, values in rated(rows).items():
        assert rated(louder)[name] == pytest.approx(values, abs=1e-6)  # type: ignore[arg-type]


def test_another_speaker_does_not_shift_the_median() -> None:
    own = [(0.01, 100.0, 2.0, "", "a"), (0.02, 120.0, 3.0, "", "a"), (0.03, 130.0, 4.0, "", "a")]
    other = [(0.5, 400.0, 9.0, "", "b")] * 5
    for name, values in rated(own).items():
        assert rated(own + other)[name][:3] == pytest.approx(values)
        assert values[1] == 0.5


@pytest.mark.parametrize("grouped", [True, False])
def test_what_was_not_measured_counts_as_usual(grouped: bool) -> None:
    known = [(0.05, 160.0, 3.3, "", "a")] * 3
    for values in rated([*known, (NAN, NAN, NAN, "", "a")], grouped).values():
        assert values[3] == 0.5


def test_the_reference_voice_is_neutral() -> None:
    assert set(alone(REFERENCE["rms"], REFERENCE["f0_mean"], REFERENCE["speech_rate"]).values()) == {0.5}


def test_text_may_be_missing() -> None:
    assert estimate_affect([0.05], [160.0], [3.3], [None], None)["valence"].tolist() == [0.5]
