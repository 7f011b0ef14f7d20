"""pocketsphinx places words one by one: a word that nobody said costs no other word its place."""

import numpy as np
import pytest
import soxr

from dailytalk_contiguous.core.audio import ANALYSIS_RATE
from dailytalk_contiguous.core.word_times import Word, with_times
from dailytalk_contiguous.models.alignment import align, aligner_named
from dailytalk_contiguous.models.contracts import Line, VoiceSettings
from dailytalk_contiguous.models.engines import load_synthesiser, synthesise

TEXT = "I would love to see the new place by the river."


@pytest.fixture(scope="module")
def line() -> tuple[np.ndarray, list[Word]]:
    spoken = synthesise(load_synthesiser("piper", VoiceSettings("", "")), Line(TEXT, "", "en", 0))
    sound = np.asarray(soxr.resample(spoken.samples, spoken.sample_rate, ANALYSIS_RATE), np.float32)
    return sound, spoken.words or []


def test_a_word_that_was_not_said_has_no_time_and_the_others_keep_theirs(
    line: tuple[np.ndarray, list[Word]],
) -> None:
    sound, said = line
    words = TEXT.split()
    written = [*words[:5], "elephants", *words[5:]]
    placed = align(aligner_named("pocketsphinx"), sound, written, "en")
    assert placed is not None
    assert placed[5] is None
    others = [*placed[:5], *placed[6:]]
    # A neighbour may be lost with it.
    errors = [abs(word.start - own.start) for word, own in zip(others, said, strict=True) if word]
    assert len(errors) >= len(said) - 1
    assert np.median(errors) < 0.1


def test_another_text_is_placed_nowhere(line: tuple[np.ndarray, list[Word]]) -> None:
    other = ["Nobody", "has", "ever", "called", "this", "telephone", "about", "seventeen", "green", "bicycles"]
    assert align(aligner_named("pocketsphinx"), line[0], other, "en") is None


def test_words_without_a_place_take_other_times_between_those_that_have_one() -> None:
    placed = [Word("a", 0.0, 0.5, None), None, None, Word("d", 2.0, 2.5, None)]
    others = [Word(name, 0.3 * index, 0.3 * index + 0.3, 0.5) for index, name in enumerate("abcd")]
    words = with_times([*"abcd"], placed, others, 3.0)
    assert [(word.start, word.end) for word in words[::3]] == [(0.0, 0.5), (2.0, 2.5)]
    assert words[1].start == pytest.approx(0.5)
    assert words[1].end <= words[2].start < words[2].end <= 2.0
    assert [word.probability for word in words] == [0.5] * 4
    far = [word._replace(start=word.start + 2.6, end=word.end + 2.6) for word in others]
    shared = with_times([*"abcd"], placed, far, 5.0)
    assert (shared[1].start, shared[2].end) == pytest.approx((0.5, 2.0))
