"""MeasureProsody: each utterance's own sound, its words and its seconds of speech, in flat columns or lifted."""

import math

import numpy as np
import pytest
from audio_files import EXAMPLES, conversations, reference
from stage_calls import columns_after

from dailytalk_contiguous.core.sound.samples import to_pcm
from dailytalk_contiguous.stages.measure_prosody import MeasureProsody
from dailytalk_contiguous.stages.segment import Segment


def tone(f0: float, seconds: float = 0.5, level: float = 0.1) -> bytes:
    t = np.arange(round(seconds * 16000)) / 16000
    samples = np.zeros(len(t))
    for k in (1, 2, 3, 4):
        samples += np.sin(2 * np.pi * f0 * k * t) / k
    scaled = level * samples
    return to_pcm(scaled.astype("float32")).tobytes()


def test_words_are_counted_over_seconds_of_speech() -> None:
    measure = MeasureProsody()
    speech = [tone(120, 0.5)] * 5
    word = {"word": "well", "start": 0.0, "end": 0.1}
    batch = {
        "speech": speech,
        "words": [[word, word, word], [], None, None, [word]],
        "text_raw": ["not counted", "nor this", "three of them", None, ""],
        "speech_seconds": [0.25, 0.25, 0.5, 0.5, None],
    }
    expected = [12.0, 0.0, 6.0, math.nan, 2.0]
    by_words = columns_after(measure, batch)
    assert by_words["speech_rate"] == pytest.approx(expected, nan_ok=True)
    by_text = columns_after(measure, {"speech": speech, "text_raw": ["a b"] * 5})
    assert by_text["speech_rate"] == [4.0] * 5
    without_words = columns_after(measure, {"speech": speech})
    assert without_words["speech_rate"] == [0.0] * 5


def style_of(channel: str, start: float) -> str:
    """The style in which the utterance that begins there was made; "None" where none was."""
    styles = [
        line["style"]
        for line in reference("bicycle_repair")
        if line["channel"] == channel and abs(line["start"] - start) < 0.3
    ]
    (style,) = styles or [None]
    return str(style)


def test_loud_and_low_lines_of_a_conversation_are_told_apart() -> None:
    batch = conversations(EXAMPLES / "bicycle_repair.flac", offset=[0.0], duration=[35.0])
    batch |= columns_after(Segment(), batch)
    measured = columns_after(MeasureProsody(), batch)
    (channels,) = batch["channel"]
    (starts,) = batch["start"]
    (rms,) = measured["rms"]
    (f0_mean,) = measured["f0_mean"]
    levels: dict[str, list[float]] = {}
    for index, start in enumerate(starts):
        style = style_of(channels[index], start)
        levels.setdefault(style, []).append(rms[index])
        assert 65 <= f0_mean[index] <= 500
    assert len(rms) == len(starts) > 8
    loud = np.median(levels["loud"])
    neutral = np.median(levels["neutral"])
    assert loud > 1.5 * neutral
