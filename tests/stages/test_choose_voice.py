"""The voice to be cloned: whole utterances of the right speaker, with nobody else in them."""

import io
from typing import Any

import numpy as np
import pytest
import soundfile
from revoicing import Said, columns, recording

from dailytalk_contiguous.core.audio import to_pcm
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.stages import voice as voice_stage
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


def test_three_seconds_that_touch_those_of_the_other_speaker_are_enough() -> None:
    said = (Said("right", 0.0, 1.0, text="A."), Said("left", 1.0, 4.0, text="One."), Said("right", 4.0, 5.0))
    voice, _, text = chosen(said)
    assert (len(voice), text) == (3 * RATE, "One.")
    with pytest.raises(BadInput, match=r"0\.0 s of the left speaker alone"):
        chosen((*said, Said("right", 3.5, 3.6)))


def test_the_other_speaker_can_be_the_one() -> None:
    said = (*SAID, Said("right", 20.0, 23.0, text="B."))
    voice, _, text = chosen(said, ChooseVoice("right"))
    assert text == "B."
    assert np.array_equal(voice, expected(said, [7]))


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


def test_of_utterances_of_one_length_the_first_are_taken() -> None:
    said = tuple(Said("left", 8 * place, 8 * place + 6, text=f"{place}") for place in range(4))
    voice, _, text = chosen(said)
    assert (len(voice), text) == (18 * RATE, "0 1 2")


def test_seconds_of_a_voice_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice_stage, "LONGEST", 2.0)
    monkeypatch.setattr(voice_stage, "SHORTEST", 2.0)
    said = (Said("left", 1.0, 2.0, text="One."), Said("left", 3.0, 5.0, text="Two."))
    assert chosen(said)[2] == "Two."
    with pytest.raises(BadInput) as refused:
        chosen(said, ChooseVoice("right"))
    assert refused.value.reason == "there are only 0.0 s of the right speaker alone to clone the voice from"
    assert refused.value.remedy == "name a voice of the service with --voice"


def test_voice_at_full_scale_is_not_taken() -> None:
    """Full scale is 0.999 of it: 32735 of 32768."""
    said = (Said("left", 1.0, 5.0, text="One."), Said("left", 6.0, 11.0, text="Two."))
    for peak, text in ((32735, "One. Two."), (32736, "One."), (-32736, "One.")):
        samples = recording(said, 40.0, RATE)
        samples[8 * RATE, 0] = peak / 32768
        assert ChooseVoice()(columns(said, samples, RATE))["voice_text"] == [text]


def test_too_little_of_a_voice_is_bad_input_with_its_row() -> None:
    first = columns(SAID, recording(SAID, 40.0, RATE), RATE)
    short = SAID[1:4]
    second = columns(short, recording(short, 40.0, RATE), RATE)
    with pytest.raises(BadInput, match=r"0\.7 s of the left speaker alone") as error:
        ChooseVoice()({name: first[name] + second[name] for name in first})
    assert error.value.row == 1
    assert "--voice" in error.value.remedy
