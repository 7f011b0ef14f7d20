"""The table of fillers, and what passes over them."""

import pytest

from dailytalk_contiguous.core.fillers import PATTERNS, PROMPTS, USUAL, are_fillers, without_fillers
from dailytalk_contiguous.core.sentences import goes_on, punctuate, sounds_like_question


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
    marked = [word for word, filler in zip(words, are_fillers(words, language), strict=True) if filler]
    assert marked == fillers.split()
    assert len(without_fillers(words, language)) == len(words) - len(marked)


def test_a_japanese_filler_is_several_words_of_one_character() -> None:
    words = [*"えーと、私は、あのー、行く"]
    marked = "".join(word for word, filler in zip(words, are_fillers(words, "ja"), strict=True) if filler)
    assert marked == "えーとあのー"


def test_each_language_has_fillers_a_usual_one_and_a_prompt_that_hesitates() -> None:
    assert PATTERNS.keys() == USUAL.keys() == PROMPTS.keys()
    for language, spellings in USUAL.items():
        assert all(all(are_fillers(["-", spelling], language)[1:]) for spelling in spellings)
        assert any(spelling.casefold() in PROMPTS[language].casefold() for spelling in spellings)


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


def test_a_filler_at_the_end_is_no_end_of_a_sentence() -> None:
    assert punctuate("um,", "calm", "en", "missing") == "Um…"
    assert punctuate("so I was, uh", "excited", "en", "missing") == "So I was, uh…"
    assert punctuate("um, we could", "calm", "en", "missing") == "Um, we could."
    assert punctuate("I think so, um.", "calm", "en", "missing") == "I think so, um."


def test_a_question_is_one_behind_a_filler() -> None:
    assert sounds_like_question(["um", "where", "is", "it"])
    assert not sounds_like_question(["um", "it", "is", "here"])
