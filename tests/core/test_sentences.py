"""Sentence types and lengths of clips."""

import pytest

from dailytalk_contiguous.core.words.sentences import length_class, sentence_type


@pytest.mark.parametrize(
    ("text", "language", "kind"),
    [
        ("Kids are talking by the door.", "en", "declarative"),
        ("Are you coming", "en-GB", "interrogative"),
        ("Are you coming.", "en", "declarative"),
        ("“Really?”", "en", "interrogative"),
        ("What?!", "en", "interrogative"),
        ("He said “no way!”", "en", "exclamatory"),
        ("你好吗？", "zh", "interrogative"),
        ("Τι κάνεις;", "el", "interrogative"),
        ("Well… who is it? I see.", "en", "declarative"),
    ],
)
def test_the_end_mark_decides_and_then_the_first_words(text: str, language: str | None, kind: str) -> None:
    assert sentence_type(text, language) == kind


@pytest.mark.parametrize("text", [None, "", "  ", "…", "?!"])
def test_no_words_are_no_sentence(text: str | None) -> None:
    assert sentence_type(text) is None


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "short"), (1.999, "short"), (2, "medium"), (4.999, "medium"), (5, "long"), (30, "long")],
)
def test_length_classes_meet_without_a_gap(seconds: float, expected: str) -> None:
    assert length_class(seconds) == expected
