import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dailytalk_contiguous.core.speech_gate import Gate, edges, judge

RATE = 24000
TEXT = "Well, that is good to know."  # 20 letters


def voice(seconds: float, level: float = 0.3, rate: int = RATE) -> NDArray[np.float32]:
    return (level * np.sin(2 * np.pi * 150 * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def silence(seconds: float, rate: int = RATE) -> NDArray[np.float32]:
    return np.zeros(round(seconds * rate), np.float32)


def reason(samples: NDArray[np.float32], text: str = TEXT, source_seconds: float | None = 1.5) -> str | None:
    return judge(samples, RATE, text, source_seconds).reason


def test_good_speech_passes_without_its_edge_silence() -> None:
    judged = judge(np.concatenate([silence(0.5), voice(1.5), silence(0.9)]), RATE, TEXT, 1.5)
    assert judged.reason is None
    assert judged.start == pytest.approx(0.475, abs=0.011)
    assert len(judged.samples) / RATE == pytest.approx(1.55, abs=0.021)


def test_a_faint_onset_is_kept() -> None:
    onset = (
        np.random.default_rng(0).normal(0, 0.003, round(0.1 * RATE)).astype(np.float32)
    )  # 37 dB below the vowel
    judged = judge(np.concatenate([silence(0.3), onset, voice(1.5)]), RATE, TEXT, 1.5)
    assert judged.start <= 0.3


@pytest.mark.parametrize(
    ("samples", "told"),
    [
        (silence(0.0), "empty"),
        (silence(1.5), "silent"),
        (voice(1.5, level=0.002), "silent"),
        (np.full(RATE, np.nan, np.float32), "not numbers"),
        (np.clip(voice(1.5, level=3.0), -1, 1), "clipped"),
    ],
)
def test_what_is_no_speech_is_refused(samples: NDArray[np.float32], told: str) -> None:
    assert told in (reason(samples) or "")


def test_a_peak_at_full_scale_is_no_clipping() -> None:
    samples = voice(1.5)
    samples[1000] = 1.0
    assert reason(samples) is None


@pytest.mark.parametrize(
    ("seconds", "source_seconds", "told"),
    [
        (1.5, 3.7, None),
        (1.5, 3.9, "too short (1.5"),
        (3.7, 1.5, None),
        (3.9, 1.5, "too long (3.9"),
        (1.05, 0.3, None),  # 3.5 times as long, but less than 0.8 s longer
        (1.15, 0.3, "too long"),
        (1.5, None, None),
    ],
)
def test_the_length_is_held_against_the_source(
    seconds: float, source_seconds: float | None, told: str | None
) -> None:
    found = reason(voice(seconds), source_seconds=source_seconds)
    assert (found is None) if told is None else told in (found or "")


@pytest.mark.parametrize(
    ("text", "seconds", "told"),
    [
        (TEXT, 0.85, None),
        (TEXT, 0.7, "too short for its text (20 letters"),
        (TEXT, 10.5, None),
        (TEXT, 11.0, "too long for its text (20 letters"),
        ("Mm-hm.", 0.5, None),
        ("Oh!", 1.5, None),
        ("Oh!", 2.0, "too long"),
        ("1984", 1.8, None),
        ("7", 0.6, None),
        ("元気ですか", 1.0, None),
        ("...", 1.0, None),
    ],
)
def test_the_length_is_held_against_the_letters(text: str, seconds: float, told: str | None) -> None:
    found = reason(voice(seconds), text, source_seconds=None)
    assert (found is None) if told is None else told in (found or "")


def test_limits_are_settings() -> None:
    assert judge(voice(3.0), RATE, TEXT, 1.0, Gate(longest_ratio=4.0)).reason is None


@given(
    lead=st.floats(0, 0.6),
    body=st.floats(0.05, 0.5),
    tail=st.floats(0, 0.6),
    level=st.floats(0.02, 0.9),
    rate=st.sampled_from([8000, 16000, 22050, 24000, 48000]),
)
def test_trimming_cuts_no_speech_and_leaves_little_silence(
    lead: float, body: float, tail: float, level: float, rate: int
) -> None:
    samples = np.concatenate([silence(lead, rate), voice(body, level, rate), silence(tail, rate)])
    first, last = edges(samples, rate, Gate())
    loud = np.flatnonzero(samples)
    assert first <= loud[0]
    assert last > loud[-1]
    assert (loud[0] - first) / rate <= 0.036
    assert (last - loud[-1]) / rate <= 0.037
    judged = judge(samples, rate, "", None)
    assert np.array_equal(judged.samples, samples[first:last])
    assert round(judged.start * rate) == first


@given(st.lists(st.floats(-1, 1, width=32), max_size=400), st.sampled_from([16000, 24000]), st.text(max_size=20))
def test_any_samples_are_judged(values: list[float], rate: int, text: str) -> None:
    judged = judge(np.array(values, np.float32), rate, text, 0.01)
    assert len(judged.samples) <= len(values)
    assert judged.reason is None or judged.reason.startswith("it ")
