"""pocketsphinx places words one by one: a word that nobody said costs no other word its place."""

import numpy as np
import pytest
import soxr

from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.core.words.word_times import with_times
from dailytalk_contiguous.models.alignment import align, aligner_named
from dailytalk_contiguous.models.contracts import Line, VoiceSettings
from dailytalk_contiguous.models.engines import load_synthesiser, synthesise

TEXT = "I would love to see the new place by the river."


@pytest.fixture(scope="module")
def line() -> tuple[np.ndarray, list[Word]]:
    piper = load_synthesiser("piper", VoiceSettings("", ""))
    spoken = synthesise(piper, Line(TEXT, "", "en", 0))
    resampled = soxr.resample(spoken.samples, spoken.sample_rate, ANALYSIS_RATE)
    return np.asarray(resampled, np.float32), spoken.words or []


def test_a_word_that_was_not_said_has_no_time_and_the_others_keep_theirs(
    line: tuple[np.ndarray, list[Word]],
) -> None:
    sound, spoken = line
    words = TEXT.split()
    written = [*words[:5], "elephants", *words[5:]]
    placed = align(aligner_named("pocketsphinx"), sound, written, "en")
    assert placed is not None
    assert placed[5] is None
    others = [*placed[:5], *placed[6:]]
    errors = []
    for word, true in zip(others, spoken, strict=True):
        if word is not None:
            errors.append(abs(word.start - true.start))
    # A neighbour may be lost with it.
    assert len(errors) >= len(spoken) - 1
    assert np.median(errors) < 0.1


def test_another_text_is_placed_nowhere(line: tuple[np.ndarray, list[Word]]) -> None:
    sound, _ = line
    other = ["Nobody", "has", "ever", "called", "this", "telephone", "about", "seventeen", "green", "bicycles"]
    assert align(aligner_named("pocketsphinx"), sound, other, "en") is None


def test_words_without_a_place_take_other_times_between_those_that_have_one() -> None:
    placed = [Word("a", 0.0, 0.5, None), None, None, Word("d", 2.0, 2.5, None)]
    others = [
        Word("a", 0.0, 0.3, 0.5),
        Word("b", 0.3, 0.6, 0.5),
        Word("c", 0.6, 0.9, 0.5),
        Word("d", 0.9, 1.2, 0.5),
    ]
    words = with_times([*"abcd"], placed, others, 3.0)
    a, b, c, d = words
    assert (a.start, a.end) == (0.0, 0.5)
    assert (d.start, d.end) == (2.0, 2.5)
    assert b.start == pytest.approx(0.5)
    assert b.end <= c.start < c.end <= 2.0
    assert [word.probability for word in words] == [0.5] * 4
    far = [word.shifted(2.6) for word in others]
    _, b, c, _ = with_times([*"abcd"], placed, far, 5.0)
    assert b.start == pytest.approx(0.5)
    assert c.end == pytest.approx(2.0)
