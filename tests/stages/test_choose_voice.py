"""The voice to be cloned: whole utterances of the right speaker, with nobody else in them."""

import io
from typing import Any

import numpy as np
import pytest
import soundfile
from revoicing import Said, columns, recording
from stage_calls import columns_after

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.sound.samples import to_pcm
from dailytalk_contiguous.stages.voice import ChooseVoice

RATE = 16000
SAID = (
    Said("left", 0.5, 4.5, text="One."),
    Said("right", 4.6, 6.0, text="A."),
    Said("left", 5.0, 9.0, text="Two, over A."),
    Said("left", 9.5, 10.2, text="Three."),
    Said("left", 11.5, 12.5, text=" "),
    Said("left", 13.0, 15.0, peak=1.9, text="Four, clipped."),
    Said("left", 16.0, 17.0, text=" Five. "),
)


def chosen(
    said: tuple[Said, ...] = SAID, stage: ChooseVoice | None = None, **others: Any
) -> tuple[np.ndarray, int, str]:
    samples = recording(said, 40.0, RATE)
    batch = columns(said, samples, RATE) | others
    made = columns_after(stage or ChooseVoice(), batch)
    (wav,) = made["voice_wav"]
    (text,) = made["voice_text"]
    voice, rate = soundfile.read(io.BytesIO(wav), dtype="int16")
    info = soundfile.info(io.BytesIO(wav))
    assert info.format == "WAV"
    return voice, rate, text


def expected(said: tuple[Said, ...], indices: list[int]) -> np.ndarray:
    samples = recording(said, 40.0, RATE)
    parts = []
    for index in indices:
        utterance = said[index]
        side = CHANNELS.index(utterance.channel)
        first = round(utterance.start * RATE)
        last = round(utterance.end * RATE)
        parts.append(to_pcm(samples[first:last, side]))
    return np.concatenate(parts)


def test_only_whole_utterances_of_the_speaker_alone_are_taken_in_their_order() -> None:
    voice, rate, text = chosen()
    assert rate == RATE
    assert text == "One. Three. Five."
    whole = expected(SAID, [0, 3, 6])
    assert np.array_equal(voice, whole)


def test_twenty_seconds_are_enough_the_longest_first() -> None:
    lines = (
        Said("left", 0, 2, text="a"),
        Said("left", 3, 12, text="b"),
        Said("left", 13, 21, text="c"),
        Said("left", 22, 25, text="d"),
        Said("left", 26, 29, text="e"),
        Said("left", 30, 31, text="f"),
    )
    voice, _, text = chosen(lines)
    assert text == "b c d"  # 9 + 8 + 3 s
    assert len(voice) == 20 * RATE


def test_too_little_of_a_voice_is_bad_input_with_its_row() -> None:
    samples = recording(SAID, 40.0, RATE)
    first = columns(SAID, samples, RATE)
    short = SAID[1:4]
    short_samples = recording(short, 40.0, RATE)
    second = columns(short, short_samples, RATE)
    batch = {name: first[name] + second[name] for name in first}
    with pytest.raises(BadInput, match=r"0\.7 s of the left speaker alone") as error:
        columns_after(ChooseVoice(), batch)
    assert error.value.row == 1
    assert "--voice" in error.value.remedy
