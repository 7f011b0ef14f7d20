"""The table of fillers, and what passes over them."""

import pytest

from dailytalk_contiguous.core.words.fillers import PATTERNS, PROMPTS, USUAL, are_fillers, without_fillers
from dailytalk_contiguous.core.words.sentences import goes_on, punctuate, sounds_like_question


def fillers_among(words: list[str], language: str | None) -> list[str]:
    are = are_fillers(words, language)
    return [word for word, is_filler in zip(words, are, strict=True) if is_filler]


@pytest.mark.parametrize(
    ("text", "language", "fillers"),
    [
        ("So, um, I was, uh, thinking", "en", "um, uh,"),
        ("Er, erm, hm, hmm, mm, ummm uhh", "en-US", "Er, erm, hm, hmm, mm, ummm uhh"),
        ("I, ah, see", "en", "ah,"),
        ("Ah, I see", "en", ""),
        ("uh-huh mm-hm mhm Uh-oh her arm hum", "en", ""),
        ("5 mm or mm", "en", "mm"),
        ("Mm -hmm. yes", "en", ""),
        ("Ja, ähm, das ist äh gut", "de", "ähm, äh"),
        ("Alors euh oui", "fr", "euh"),
        ("um uh", "xx", ""),
        ("um uh", None, ""),
    ],
)
def test_fillers_are_those_of_the_table_of_their_language(text: str, language: str | None, fillers: str) -> None:
    words = text.split()
    marked = fillers_among(words, language)
    remaining = without_fillers(words, language)
    assert marked == fillers.split()
    assert len(remaining) == len(words) - len(marked)


def test_a_japanese_filler_is_several_words_of_one_character() -> None:
    words = [*"えーと、私は、あのー、行く"]
    marked = fillers_among(words, "ja")
    assert "".join(marked) == "えーとあのー"


def test_each_language_has_fillers_a_usual_one_and_a_prompt_that_hesitates() -> None:
    assert PATTERNS.keys() == USUAL.keys() == PROMPTS.keys()
    for language, spellings in USUAL.items():
        prompt = PROMPTS[language].casefold()
        for spelling in spellings:
            _, *are = are_fillers(["-", spelling], language)
            assert all(are)
        assert any(spelling.casefold() in prompt for spelling in spellings)


@pytest.mark.parametrize(
    ("first", "following", "is_one"),
    [
        ("So I was, um,", "thinking", True),
        ("So I was", "um,", True),
        ("Um,", "I think so.", True),
        ("I think so.", "Um, we could", False),
        ("We went to the", "uh, park", True),
    ],
)
def test_a_sentence_goes_on_whatever_fillers_are_at_its_pause(first: str, following: str, is_one: bool) -> None:
    assert goes_on(first, following, "en") is is_one


@pytest.mark.parametrize(
    ("text", "tag", "punctuated"),
    [
        ("um,", "calm", "Um…"),
        ("so I was, uh", "excited", "So I was, uh…"),
        ("um, we could", "calm", "Um, we could."),
        ("I think so, um.", "calm", "I think so, um."),
    ],
)
def test_a_filler_at_the_end_is_no_end_of_a_sentence(text: str, tag: str, punctuated: str) -> None:
    assert punctuate(text, tag, "en", "missing") == punctuated


def test_a_question_is_one_behind_a_filler() -> None:
    assert sounds_like_question(["um", "where", "is", "it"])
    assert not sounds_like_question(["um", "it", "is", "here"])
