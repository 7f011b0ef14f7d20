from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from stage_calls import columns_after

from dailytalk_contiguous.core.records.utterance import AFFECT
from dailytalk_contiguous.stages.rate_affect import RateAffect

BUNDLED = "voice-linear"


def pcm(seconds: float, seed: int = 0, pitch: float = 150.0, level: float = 0.2) -> bytes:
    times = np.arange(round(seconds * 16000)) / 16000
    noise = np.random.default_rng(seed).normal(0, 0.02, len(times))
    phase = 2 * np.pi * pitch * times
    fundamental = np.sin(phase)
    octave = np.sin(2 * phase)
    samples = level * (fundamental + 0.5 * octave + noise)
    return (samples * 20000).astype("<i2").tobytes()


SPEECH = [pcm(1.0, 1), pcm(0.3, 2, 220), pcm(2.5, 3, 90), pcm(0.01, 4)]


def ratings(columns: dict[str, list[float]]) -> np.ndarray:
    return np.array([columns[name] for name in AFFECT]).T


def conversation(**columns: Any) -> dict[str, Any]:
    """Three utterances of the left speaker, two long ones around a short one, and one of the right speaker."""
    starts = [0.0, 3.0, 4.0, 3.2]
    ends = [2.5, 3.5, 6.5, 3.7]
    speech = [
        pcm(2.5, 0),
        pcm(0.5, 1),
        pcm(2.5, 2),
        pcm(0.5, 3),
    ]
    return {
        "speech": speech,
        "conversation_id": ["call"] * 4,
        "channel": ["left", "left", "left", "right"],
        "start": starts,
        "end": ends,
    } | columns


def test_short_utterance_is_rated_together_with_its_speakers_speech_next_to_it(tiny_affect: str) -> None:
    batch = conversation()
    first, short, last, other = batch["speech"]
    second = 32000  # bytes
    before = first[-second:]
    after = last[:second]
    filled = before + short + after
    stage = RateAffect(tiny_affect, context_seconds=2.5, device="cpu")
    in_context = columns_after(stage, batch)
    assert in_context["context_seconds"] == pytest.approx([0.0, 2.0, 0.0, 0.0])
    without_context = RateAffect(tiny_affect, device="cpu")
    filled_speech = [first, filled, last, other]
    alone = ratings(columns_after(without_context, {"speech": filled_speech}))
    np.testing.assert_allclose(ratings(in_context), alone, atol=1e-5)
    order = [2, 0, 3, 1]
    shuffled = Dataset.from_dict(batch)[order]
    reordered = ratings(columns_after(stage, shuffled))
    np.testing.assert_allclose(reordered, alone[order], atol=1e-5)
    plain = columns_after(without_context, batch)
    assert plain["context_seconds"] == [0.0] * 4
    difference = ratings(plain)[1] - alone[1]
    assert abs(difference).max() > 1e-4


@pytest.mark.parametrize("model", ["tiny", BUNDLED])
def test_empty_speech_has_no_affect_and_keeps_its_row(tiny_affect: str, model: str) -> None:
    name = tiny_affect if model == "tiny" else model
    stage = RateAffect(name, device="cpu")
    speech = [b"", SPEECH[0], b""]
    rated = columns_after(stage, {"speech": speech})
    missing = np.isnan(ratings(rated))
    unrated = missing.all(axis=1)
    assert unrated.tolist() == [True, False, True]
    nothing = ratings(columns_after(stage, {"speech": [b""]}))
    assert np.isnan(nothing).all()
    assert rated["affect_model"] == [stage.model] * 3
    assert rated["context_seconds"] == [0.0] * 3


def test_the_bundled_model_compares_what_a_speaker_says_in_a_conversation() -> None:
    speech = SPEECH[:3] * 2
    speakers = {"conversation_id": ["a"] * 6, "channel": ["left"] * 3 + ["right"] * 3}
    rate = RateAffect(BUNDLED)
    beside = ratings(columns_after(rate, {"speech": speech} | speakers))
    alone = ratings(columns_after(rate, {"speech": speech}))
    of_no_call = ratings(columns_after(rate, {"speech": speech} | speakers | {"conversation_id": [None] * 6}))
    fewer = ratings(columns_after(rate, {"speech": SPEECH[:3]}))
    np.testing.assert_array_equal(beside[:3], beside[3:])
    np.testing.assert_array_equal(alone[:3], fewer)
    np.testing.assert_array_equal(alone, of_no_call)
    assert abs(beside - alone).max() > 0.01
