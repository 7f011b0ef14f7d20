from typing import Any

import numpy as np
import pytest

from dailytalk_contiguous.core.utterance import AFFECT
from dailytalk_contiguous.stages.rate_affect import RateAffect

BUNDLED = "voice-linear"


def pcm(seconds: float, seed: int = 0, pitch: float = 150.0, level: float = 0.2) -> bytes:
    times = np.arange(round(seconds * 16000)) / 16000
    noise = np.random.default_rng(seed).normal(0, 0.02, len(times))
    samples = level * (np.sin(2 * np.pi * pitch * times) + 0.5 * np.sin(4 * np.pi * pitch * times) + noise)
    return (samples * 20000).astype("<i2").tobytes()


SPEECH = [pcm(1.0, 1), pcm(0.3, 2, 220), pcm(2.5, 3, 90), pcm(0.01, 4)]


def ratings(columns: dict[str, list[float]]) -> np.ndarray:
    return np.array([columns[name] for name in AFFECT]).T


def conversation(**columns: Any) -> dict[str, Any]:
    """Three utterances of the left speaker, two long ones around a short one, and one of the right speaker."""
    lengths = {"left": [2.5, 0.5, 2.5], "right": [0.5]}
    starts = {"left": [0.0, 3.0, 4.0], "right": [3.2]}
    told = [
        (channel, at, at + length)
        for channel, own in lengths.items()
        for at, length in zip(starts[channel], own, strict=True)
    ]
    return {
        "speech": [pcm(end - start, seed) for seed, (_, start, end) in enumerate(told)],
        "conversation_id": ["call"] * 4,
        "channel": [channel for channel, _, _ in told],
        "start": [start for _, start, _ in told],
        "end": [end for _, _, end in told],
    } | columns


def test_short_utterance_is_rated_together_with_its_speakers_speech_next_to_it(tiny_affect: str) -> None:
    batch = conversation()
    first, short, last, other = batch["speech"]
    filled = [first[-int(1.0 * 32000) :] + short + last[: int(1.0 * 32000)]]
    found = RateAffect(tiny_affect, context=2.5, device="cpu")(batch)
    assert found["context_seconds"] == pytest.approx([0.0, 2.0, 0.0, 0.0])
    alone = ratings(RateAffect(tiny_affect, device="cpu")({"speech": [first, *filled, last, other]}))
    np.testing.assert_allclose(ratings(found), alone, atol=1e-5)
    order = [2, 0, 3, 1]
    shuffled = RateAffect(tiny_affect, context=2.5, device="cpu")(
        {name: [values[place] for place in order] for name, values in batch.items()}
    )
    np.testing.assert_allclose(ratings(shuffled), alone[order], atol=1e-5)
    plain = RateAffect(tiny_affect, device="cpu")(batch)
    assert plain["context_seconds"] == [0.0] * 4
    assert abs(ratings(plain)[1] - alone[1]).max() > 1e-4


@pytest.mark.parametrize("model", ["tiny", BUNDLED])
def test_empty_speech_has_no_affect_and_keeps_its_row(tiny_affect: str, model: str) -> None:
    stage = RateAffect(tiny_affect if model == "tiny" else model, device="cpu")
    found = stage({"speech": [b"", SPEECH[0], b""]})
    assert np.isnan(ratings(found)).all(axis=1).tolist() == [True, False, True]
    assert np.isnan(ratings(stage({"speech": [b""]}))).all()
    assert found["affect_model"] == [stage.model] * 3
    assert found["context_seconds"] == [0.0] * 3


def test_the_bundled_model_compares_what_a_speaker_says_in_a_conversation() -> None:
    speech = SPEECH[:3] * 2
    told = {"speech": speech, "conversation_id": ["a"] * 6, "channel": ["left"] * 3 + ["right"] * 3}
    beside = ratings(RateAffect(BUNDLED)(told))
    alone = ratings(RateAffect(BUNDLED)({"speech": speech}))
    np.testing.assert_array_equal(beside[:3], beside[3:])
    np.testing.assert_array_equal(alone[:3], ratings(RateAffect(BUNDLED)({"speech": SPEECH[:3]})))
    assert abs(beside - alone).max() > 0.01
