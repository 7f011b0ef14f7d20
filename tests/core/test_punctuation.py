"""Punctuation: the end mark fits the tag, what the speaker said stays, and doing it twice changes nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.words.sentences import KEPT, MARKS, punctuate, tagged

kinds = st.sampled_from(("never", "missing", "always"))
tags = st.sampled_from(["calm", "excited", "shouting", "curious", "confused", "angry", "any words"])
languages = st.sampled_from([None, "en", "tr", "az", "xx", *sorted(MARKS)])
marks_and_letters = st.text(
    st.sampled_from("aiI9 '\"“”‘’«»()[]「」.,;:?!…-—。！？؟।۔、\u00a0\nßაŉǆ¿¡♪"), max_size=12
)


@pytest.mark.parametrize(
    ("tag", "mark"),
    [("excited", "!"), ("shouting", "!"), ("curious", "?"), ("confused", "?"), ("calm", ".")],
)
def test_end_mark_fits_the_tag(tag: str, mark: str) -> None:
    for end in ("", ".", ",", ";", ":", " .", ",."):
        assert punctuate(f"so be it{end}", tag, "en") == f"So be it{mark}"


@pytest.mark.parametrize("end", ["?", "!", "…", "...", "-", "—", " –", "?!", "！", "؟"])
def test_mark_that_says_how_it_was_spoken_stays(end: str) -> None:
    for tag in ("calm", "excited", "curious"):
        assert punctuate(f"so be it{end}", tag, "en") == f"So be it{end}"


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("he said “no way”.", "He said “no way!”"),
        ("he said “why?”", "He said “why?”"),
        ("« bonjour »", "« Bonjour! »"),
        ("it is 'mine'", "It is 'mine!'"),
    ],
)
def test_closing_quotes_and_brackets_stay_outermost(text: str, made: str) -> None:
    assert punctuate(text, "excited", "en") == made


@pytest.mark.parametrize(
    ("language", "statement", "question", "exclamation"),
    [
        ("zh", "。", "？", "！"),
        ("ar", ".", "؟", "!"),
        ("hi", "।", "?", "!"),
    ],
)
def test_languages_use_their_own_marks(language: str, statement: str, question: str, exclamation: str) -> None:
    for end in ("", ".", statement):
        assert punctuate(f"字{end}", "calm", language) == f"字{statement}"
        assert punctuate(f"字{end}", "curious", language) == f"字{question}"
        assert punctuate(f"字{end}", "excited", language) == f"字{exclamation}"
    assert punctuate(f"字{question}", "calm", language) == f"字{question}"


@pytest.mark.parametrize(
    ("text", "language", "made"),
    [
        ("  its \n ten\u00a0past ", None, "Its ten past."),
        ("¿qué tal", "es", "¿Qué tal."),
        ("'cause I can", "en", "'Cause I can."),
        ("istanbul", "tr", "İstanbul."),
    ],
)
def test_whitespace_is_collapsed_and_the_first_letter_is_upper_case(
    text: str, language: str | None, made: str
) -> None:
    assert punctuate(text, "calm", language) == made


def letters_of(text: str) -> list[str]:
    return [character for character in text.casefold() if character.isalnum()]


@given(st.text(max_size=20) | marks_and_letters, tags, languages)
def test_words_are_never_changed(text: str, tag: str, language: str | None) -> None:
    punctuated = punctuate(text, tag, language)
    assert letters_of(punctuated) == letters_of(text) or language in {"tr", "az"}


@pytest.mark.parametrize("text", ["", "  ", "\n", ".", "...", "♪", "“”"])
def test_text_without_words_gets_no_mark_and_no_tagged_text(text: str) -> None:
    made = punctuate(text, "excited", "en")
    assert made == text.strip()
    assert tagged(made, "excited") is None


# Which marks are set


@given(st.one_of(st.text(max_size=20), marks_and_letters), tags, languages, kinds)
def test_whichever_marks_are_set_twice_is_once(text: str, tag: str, language: str | None, sets: str) -> None:
    once = punctuate(text, tag, language, sets)
    assert punctuate(once, tag, language, sets) == once


def folded(text: str) -> str:
    """The text without its capitals; the Turkish capital of i, İ, folds to i and a dot above."""
    return text.casefold().replace("\u0307", "")


@given(marks_and_letters, tags, languages)
def test_text_whose_marks_are_its_own_keeps_every_character(text: str, tag: str, language: str | None) -> None:
    punctuated = punctuate(text, tag, language, "never")
    collapsed = " ".join(text.split())
    assert folded(punctuated) == folded(collapsed)


@pytest.mark.parametrize(
    "text", ["It's late.", "很晚了。", "देर हो गई।", "He said “no.”", "He said 'no.'", "Wait...", "No --"]
)
def test_full_stop_of_any_language_counts_as_the_end_of_a_sentence(text: str) -> None:
    is_kept = text[-1] in KEPT
    always = punctuate(text, "excited", sets="always")
    assert punctuate(text, "excited", sets="missing") == text
    assert always == text or not is_kept
