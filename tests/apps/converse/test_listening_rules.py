import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.apps.converse.chat import listen

TAG = re.compile(r"\((calm|curious|happy|soft tone)\) ")


def talk(*texts: str) -> list[str]:
    """Answers to texts that are said one after the other, without their tags."""
    turns: list[tuple[str, str]] = []
    for text in texts:
        turns.append(("user", text))
        turns.append(("assistant", listen(turns)))
    return [TAG.sub("", content) for role, content in turns if role == "assistant"]


def answer(text: str) -> str:
    return talk(text)[0]


def heard(text: str, emotion: str) -> str:
    return f"{text}\n[sounds {emotion} (confidence 0.71); valence 0.31, arousal 0.22]"


FOREIGN = "I am sorry, I understand only English. Could you say it in English?"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I lost my keys.", "You lost your keys. How was that for you?"),
        ("It makes me so proud!", "You feel proud. What brought it about?"),
        ("I can't forget what I said to you.", "You can't forget what you said to me. What is that like?"),
        ("My sister is late.", "Your sister is late. How was that for you?"),
        ("Ich bin heute ziemlich traurig und müde.", FOREIGN),
        ("你好，今天怎么样", FOREIGN),
        ("", "I am here. Take your time."),
        ("Okay, bye!", "Goodbye. It was good to listen to you."),
        ("42", "Tell me more about that."),
    ],
)  # fmt: skip
def test_what_was_said_comes_back_with_an_open_question(text: str, expected: str) -> None:
    assert answer(text) == expected


def test_advice_is_refused_with_a_question() -> None:
    said = answer("Should I call her?")
    assert "I can't tell you what to do" in said
    assert said.endswith("?")


def test_a_new_feeling_in_the_voice_is_named_once() -> None:
    first, second, third = talk(
        heard("We moved last month.", "sad"), heard("The house is big.", "sad"), heard("Well.", "angry")
    )
    assert first.startswith("You sound sad as you say that. ")
    assert "sad" not in second
    assert "angry" in third
    assert answer(heard("The house is big.", "neutral")) == answer("The house is big.")


def test_who_is_in_danger_is_asked_for_a_person_who_is_there() -> None:
    said = answer("I just want to kill myself")
    assert "please call the emergency number. Who could be with you now?" in said


def test_who_says_the_same_again_and_again_gets_another_answer_each_time() -> None:
    for text in ("yes", "I don't know.", "It rains.", "", "Hallo zusammen, wie geht es euch"):
        answers = talk(*[text] * 4)
        assert all(one != other for one, other in itertools.pairwise(answers))


TOKENS = (
    "i you feel am not sad happy because my mother can't want always <b>hi</b> (calm) [x] {echo} %s * never "
    "tomorrow work what ? . , yes no die ' ’ - sleep me with"
)
TEXTS = st.text(max_size=60) | st.lists(st.sampled_from(TOKENS.split()), max_size=25).map(" ".join)
SOUNDS = st.sampled_from(["", "sad", "happy", "neutral", "unknown", "calm"])


@given(st.lists(st.tuples(TEXTS, SOUNDS), min_size=1, max_size=6))
def test_any_text_gets_a_short_answer_without_markup_and_never_the_same_twice_in_a_row(
    said: list[tuple[str, str]],
) -> None:
    turns: list[tuple[str, str]] = []
    before = ""
    for text, sound in said:
        turns.append(("user", heard(text, sound) if sound else text))
        full = listen(turns)
        assert full == listen([("system", "Be kind."), *turns])
        plain = TAG.sub("", full, count=1)
        assert 0 < len(plain.split()) <= 45
        assert not set("()[]{}<>*_#`|\\\n") & {*plain}
        assert plain != before
        before = plain
        turns.append(("assistant", full))
