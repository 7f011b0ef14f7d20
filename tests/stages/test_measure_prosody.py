"""MeasureProsody: each utterance's own sound, its words and its seconds of speech, in flat columns or lifted."""

import math

import numpy as np
import pytest
from audio_files import EXAMPLES, conversations, reference

from dailytalk_contiguous.core.audio import to_pcm
from dailytalk_contiguous.stages.base import PerUtterance
from dailytalk_contiguous.stages.measure_prosody import MeasureProsody
from dailytalk_contiguous.stages.segment import Segment


def tone(f0: float, seconds: float = 0.5, level: float = 0.1) -> bytes:
    t = np.arange(round(seconds * 16000)) / 16000
    return to_pcm(
        (level * sum(np.sin(2 * np.pi * f0 * k * t) / k for k in (1, 2, 3, 4))).astype("float32")
    ).tobytes()


def test_words_are_counted_over_seconds_of_speech() -> None:
    batch = {
        "speech": [tone(120, 0.5)] * 5,
        "words": [[{}, {}, {}], [], None, None, [{}]],
        "text_raw": ["not counted", "nor this", "three of them", None, ""],
        "speech_seconds": [0.25, 0.25, 0.5, 0.5, None],
    }
    assert MeasureProsody()(batch)["speech_rate"] == pytest.approx([12.0, 0.0, 6.0, math.nan, 2.0], nan_ok=True)
    assert MeasureProsody()({"speech": batch["speech"], "text_raw": ["a b"] * 5})["speech_rate"] == [4.0] * 5
    assert MeasureProsody()({"speech": batch["speech"]})["speech_rate"] == [0.0] * 5


def test_loud_and_low_lines_of_a_conversation_are_told_apart() -> None:
    batch = conversations(EXAMPLES / "bicycle_repair.flac", offset=[0.0], duration=[35.0])
    batch |= Segment()(batch)
    measured = PerUtterance(MeasureProsody())(batch)
    levels: dict[str, list[float]] = {}
    for place, start in enumerate(batch["start"][0]):
        (style,) = [
            one["style"]
            for one in reference("bicycle_repair")
            if one["channel"] == batch["channel"][0][place] and abs(one["start"] - start) < 0.3
        ] or [None]
        levels.setdefault(str(style), []).append(measured["rms"][0][place])
        assert 65 <= measured["f0_mean"][0][place] <= 500
    assert len(measured["rms"][0]) == len(batch["start"][0]) > 8
    assert np.median(levels["loud"]) > 1.5 * np.median(levels["neutral"])
