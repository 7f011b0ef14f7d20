"""Questions: told by the last mark, or by the first words where there is no mark."""

import pytest

from dailytalk_contiguous.core.words.sentences import ends_as_question, sounds_like_question


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
        "how are you",
        "how's it going",
        "is that so",
        "can't you stay",
        "so what did he say",
    ],
)
def test_question_without_a_mark(words: str) -> None:
    assert sounds_like_question(words.split())


@pytest.mark.parametrize(
    "words",
    [
        "",
        "what a day",
        "when i was ten we moved",
        "how nice",
        "do come in",
        "i know what you did",
    ],
)
def test_statement_exclamation_or_request_is_no_question(words: str) -> None:
    assert not sounds_like_question(words.split())
