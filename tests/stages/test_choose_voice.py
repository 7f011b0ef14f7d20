"""The voice to be cloned: whole utterances of the right speaker, with nobody else in them."""

import io
from typing import Any

import numpy as np
import pytest
import soundfile
from revoicing import Said, columns, recording

from dailytalk_contiguous.core.audio import to_pcm
from dailytalk_contiguous.core.errors import BadInput
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
    found = (stage or ChooseVoice())(columns(said, samples, RATE) | others)
    voice, rate = soundfile.read(io.BytesIO(found["voice_wav"][0]), dtype="int16")
    assert soundfile.info(io.BytesIO(found["voice_wav"][0])).format == "WAV"
    return voice, rate, found["voice_text"][0]


def expected(said: tuple[Said, ...], places: list[int]) -> np.ndarray:
    samples = recording(said, 40.0, RATE)
    spans = [(said[place].start, said[place].end, said[place].channel) for place in places]
    return np.concatenate(
        [to_pcm(samples[round(s * RATE) : round(e * RATE), int(channel == "right")]) for s, e, channel in spans]
    )


def test_only_whole_utterances_of_the_speaker_alone_are_taken_in_their_order() -> None:
    voice, rate, text = chosen()
    assert (rate, text) == (RATE, "One. Three. Five.")
    assert np.array_equal(voice, expected(SAID, [0, 3, 6]))


def test_twenty_seconds_are_enough_the_longest_first() -> None:
    said = tuple(
        Said("left", start, end, text=name)
        for start, end, name in [
            (0, 2, "a"),
            (3, 12, "b"),
            (13, 21, "c"),
            (22, 25, "d"),
            (26, 29, "e"),
            (30, 31, "f"),
        ]
    )
    voice, _, text = chosen(said)
    assert text == "b c d"  # 9 + 8 + 3 s
    assert len(voice) == 20 * RATE


def test_too_little_of_a_voice_is_bad_input_with_its_row() -> None:
    first = columns(SAID, recording(SAID, 40.0, RATE), RATE)
    short = SAID[1:4]
    second = columns(short, recording(short, 40.0, RATE), RATE)
    with pytest.raises(BadInput, match=r"0\.7 s of the left speaker alone") as error:
        ChooseVoice()({name: first[name] + second[name] for name in first})
    assert error.value.row == 1
    assert "--voice" in error.value.remedy
