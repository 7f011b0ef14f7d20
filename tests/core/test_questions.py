"""Questions: told by the last mark, or by the first words where there is no mark."""

import pytest

from dailytalk_contiguous.core.sentences import ends_as_question, sounds_like_question


@pytest.mark.parametrize(
    "text", ["Why?", "你好吗？", "هل أنت هنا؟", "he said “why?”", "(really?)", "« Vraiment ? »", "no way?! Oh?  "]
)
def test_final_question_mark_is_seen(text: str) -> None:
    assert ends_as_question(text)


@pytest.mark.parametrize("text", ["", "?!", "Why.", "He asked why? Then he left.", "”", "why"])
def test_no_final_question_mark(text: str) -> None:
    assert not ends_as_question(text)


def test_semicolon_asks_only_in_greek() -> None:
    assert ends_as_question("Τι κάνεις;", "el")
    assert not ends_as_question("Well;", "en")
    assert not ends_as_question("Well;")


@pytest.mark.parametrize(
    "words",
    [
        "what did you do",
        "what happened",
        "what",
        "what about lunch",
        "what's that",
        "who called you",
        "which one do you want",
        "when are you leaving",
        "where to",
        "why not",
        "how are you",
        "how many are there",
        "how nice is it",
        "how's it going",
        "how come",
        "is that so",
        "are you there",
        "did the kids like it",
        "can't you stay",
        "don’t you think",
        "do you know him",
        "have you seen it",
        "so what did he say",
        "okay and well are you coming",
        "Well, is it?",
    ],
)
def test_question_without_a_mark(words: str) -> None:
    assert sounds_like_question(words.split())


@pytest.mark.parametrize(
    "words",
    [
        "",
        "so",
        "well okay",
        "what a day",
        "oh what a mess",
        "what i mean is no",
        "who i saw was john",
        "which is fine",
        "when i was ten we moved",
        "when the bus came we left",
        "where you live is nice",
        "how nice",
        "how nice of you",
        "how lovely it is",
        "do come in",
        "do it",
        "do the dishes",
        "don't worry",
        "have a seat",
        "have fun",
        "had a great day",
        "was a great day",
        "can do",
        "might be",
        "i know what you did",
        "that is what it is",
        "no i don't",
    ],
)
def test_statement_exclamation_or_request_is_no_question(words: str) -> None:
    assert not sounds_like_question(words.split())
