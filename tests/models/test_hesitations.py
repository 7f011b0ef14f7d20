"""Fillers that a recogniser leaves out: found in sound, and put between its words."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
import soxr

from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.words.fillers import are_fillers
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.models.contracts import Line, VoiceSettings
from dailytalk_contiguous.models.engines import load_synthesiser, synthesise
from dailytalk_contiguous.models.hesitations import (
    Hesitation,
    HesitationPlace,
    places_of_hesitations,
    seconds_to_say,
    with_hesitations,
    without_filler_words,
)
from dailytalk_contiguous.models.whisper import load_whisper


def said(text: str) -> tuple[Samples, list[Word]]:
    """A line of the bundled voice at 16 kHz, with its words."""
    piper = load_synthesiser("piper", VoiceSettings("", ""))
    spoken = synthesise(piper, Line(text, "", "en", 0))
    resampled = soxr.resample(spoken.samples, spoken.sample_rate, ANALYSIS_RATE)
    return np.asarray(resampled, np.float32), spoken.words or []


def text_of(words: Sequence[Word]) -> str:
    return "".join(word.word for word in words).strip()


@pytest.mark.parametrize("filler", ["um", "uh"])
def test_a_filler_that_the_voice_says_is_heard_again_where_it_was_said(filler: str) -> None:
    sound, words = said(f"Yes, {filler}, I know him.")
    (heard,) = load_whisper("base", "cpu").transcribe([sound], ["en"], fillers=True)
    texts = [word.word for word in heard.words]
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
    spoken = [word.spelled(f" {word.word}") for word in words]
    assert places_of_hesitations(sound, spoken, "en") == []
    without_it = [spoken[0], *spoken[2:]]
    (filler,) = places_of_hesitations(sound, without_it, "en")
    assert filler.before == 1
    assert filler.start == pytest.approx(words[1].start, abs=0.1)


@pytest.mark.parametrize(
    ("spoken", "n_words", "written"),
    [
        ("It cost one thousand two hundred ninety nine dollars and fifty cents in total.", 2, "$1,299.50"),
        ("My number is E M three nine eight five seven seven one and I wait.", 3, "EM3985771"),
        ("Look at W W W dot example dot org slash help for more of it.", 2, "www.example.org/help"),
    ],
)
def test_only_what_is_said_beside_a_code_or_an_amount_is_a_filler(spoken: str, n_words: int, written: str) -> None:
    before = " ".join(spoken.split()[:n_words])
    behind = " ".join(spoken.split()[-3:])
    for filler in ("", "um, "):
        sound, words = said(spoken.replace(f"{before} ", f"{before} {filler}"))
        texts = [*before.split(), written, *behind.split()]
        step = len(sound) / ANALYSIS_RATE / len(texts)
        recognised = [Word(f" {text}", step * n, step * (n + 1), None) for n, text in enumerate(texts)]
        places = places_of_hesitations(sound, recognised, "en")
        assert [place.before for place in places] == [n_words] * bool(filler)
        for place in places:
            assert place.start == pytest.approx(words[n_words].start, abs=0.1)
            assert place.repeated == ()


def words_of(text: str) -> list[Word]:
    words = []
    for index, word in enumerate(text.split()):
        start = 0.5 * index
        words.append(Word(f" {word}", start, start + 0.5, 0.9))
    return words


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
    filler = Hesitation(HesitationPlace(before, start, start + 0.3), "um", 0.5)
    both = with_hesitations(words, [filler], "en")
    assert text_of(both) == result
    for first, second in pairwise(both):
        assert first.start < second.start
        assert first.end <= second.start + 0.51
    without = text_of(without_filler_words(both, "en"))
    assert without.replace(",", "") == text


@pytest.mark.parametrize(
    ("written", "shorter"), [("1406", "fourteen"), ("£19.98", "nineteen"), ("BZF893", "seven")]
)
def test_digits_signs_and_abbreviations_take_as_long_to_say_as_their_names(written: str, shorter: str) -> None:
    assert seconds_to_say(written) > seconds_to_say(shorter) > 0.2


def test_words_that_are_said_twice_are_written_twice_where_they_were_said() -> None:
    sound, words = said("I was, I was thinking about it.")
    whisper = load_whisper("base", "cpu")
    (plain,) = whisper.transcribe([sound], ["en"])
    (heard,) = whisper.transcribe([sound], ["en"], fillers=True)
    assert text_of(plain.words) == "I was thinking about it."
    assert text_of(heard.words) == "I was, I was thinking about it."
    assert not any(are_fillers([word.word for word in heard.words], "en"))
    for found_again, spoken in zip(heard.words[:2], words, strict=False):
        assert found_again.start == pytest.approx(spoken.start, abs=0.15)
    # The others have the times of the recogniser.


def test_a_word_that_is_cut_off_and_said_again_is_written_with_a_dash() -> None:
    sound, words = said("The restaurant is closed.")
    start = words[1].start
    first = round(start * ANALYSIS_RATE)
    cut = round((start + 0.3) * ANALYSIS_RATE)
    fade = np.linspace(1, 0.2, cut - first, dtype=np.float32)
    part = sound[first:cut] * fade
    pause = np.zeros(ANALYSIS_RATE // 4, np.float32)
    broken_off = np.concatenate([sound[:first], part, pause, sound[first:]])
    (heard,) = load_whisper("base", "cpu").transcribe([broken_off], ["en"], fillers=True)
    assert text_of(heard.words) == "The resta- restaurant is closed."


@pytest.mark.parametrize(
    ("text", "before", "again", "result"),
    [
        ("She had to go.", 0, ["She"], "She, she had to go."),
        ("We saw the courier.", 3, ["cour-"], "We saw the cour- courier."),
        ("So it was late.", 1, ["it", "was"], "So it was, it was late."),
        ("I know. I do.", 2, ["I"], "I know. I, I do."),
    ],
)
def test_a_text_with_a_repeat_stays_one_sentence(text: str, before: int, again: list[str], result: str) -> None:
    words = words_of(text)
    start = words[before].start
    repeated = []
    for n, word in enumerate(again):
        begins = start + 0.1 * n
        repeated.append(Word(word, begins, begins + 0.1, None))
    repeat = HesitationPlace(before, start, repeated[-1].end, repeated=tuple(repeated))
    both = with_hesitations(words, [Hesitation(repeat, "um", 0.5)], "en")
    assert text_of(both) == result
    said_twice = both[before : before + len(again) + 1]
    for first, second in pairwise(said_twice):
        assert first.end <= second.start
