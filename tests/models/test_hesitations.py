"""Fillers that a recogniser leaves out: found in sound, and put between its words."""

from itertools import pairwise

import numpy as np
import pytest
import soxr

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.fillers import are_fillers
from dailytalk_contiguous.core.word_times import Word
from dailytalk_contiguous.models.contracts import Line, VoiceSettings
from dailytalk_contiguous.models.engines import load_synthesiser, synthesise
from dailytalk_contiguous.models.hesitations import (
    Filler,
    FillerPlace,
    places_of_fillers,
    with_fillers,
    without_filler_words,
)
from dailytalk_contiguous.models.whisper import load_whisper


def said(text: str) -> tuple[Samples, list[Word]]:
    """A line of the bundled voice at 16 kHz, with its words."""
    spoken = synthesise(load_synthesiser("piper", VoiceSettings("", "")), Line(text, "", "en", 0))
    return np.asarray(
        soxr.resample(spoken.samples, spoken.sample_rate, ANALYSIS_RATE), np.float32
    ), spoken.words or []


@pytest.mark.parametrize("filler", ["um", "uh"])
def test_a_filler_that_the_voice_says_is_heard_again_where_it_was_said(filler: str) -> None:
    sound, words = said(f"Yes, {filler}, I know him.")
    (heard,) = load_whisper("base", "cpu").transcribe([sound], ["en"], fillers=True)
    texts = [word.text for word in heard.words]
    assert are_fillers(texts, "en") == [False, True, False, False, False]
    assert heard.words[1].start == pytest.approx(words[1].start, abs=0.1)


def test_no_filler_is_found_where_none_is_said() -> None:
    sound, _ = said("I would love to see the new place by the river with you.")
    whisper = load_whisper("base", "cpu")
    (plain,) = whisper.transcribe([sound], ["en"])
    (heard,) = whisper.transcribe([sound], ["en"], fillers=True)
    assert heard.words == plain.words


def test_a_sound_beside_a_written_filler_is_no_second_one() -> None:
    sound, words = said("Yes, um, I know him.")
    spoken = [word._replace(text=f" {word.text}") for word in words]
    assert places_of_fillers(sound, spoken, "en") == []
    left_out = [spoken[0], *spoken[2:]]
    (place,) = places_of_fillers(sound, left_out, "en")
    assert place.before == 1
    assert place.start == pytest.approx(words[1].start, abs=0.1)


def words_of(text: str) -> list[Word]:
    return [Word(f" {word}", 0.5 * index, 0.5 * index + 0.5, 0.9) for index, word in enumerate(text.split())]


@pytest.mark.parametrize(
    ("text", "before", "result"),
    [
        ("So I think", 1, "So, um, I think"),
        ("The train leaves.", 0, "Um, the train leaves."),
        ("Anna leaves.", 0, "Um, Anna leaves."),
        ("I know. I do.", 2, "I know. Um, I do."),
        ("I know", 2, "I know, um,"),
    ],
)
def test_a_text_with_a_filler_stays_one_sentence(text: str, before: int, result: str) -> None:
    words = words_of(text)
    start = 0.5 * before
    fillers = [Filler(FillerPlace(before, start, start + 0.3), "um", 0.5)]
    both = with_fillers(words, fillers, "en")
    assert "".join(word.text for word in both).strip() == result
    assert all(first.start < second.start for first, second in pairwise(both))
    assert all(first.end <= second.start + 0.51 for first, second in pairwise(both))
    assert "".join(word.text for word in without_filler_words(both, "en")).strip().replace(",", "") == text
