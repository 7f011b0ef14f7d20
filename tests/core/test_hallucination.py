"""Guards: each trips on what recognisers invent, and leaves what people say."""

import zlib

import pytest

from dailytalk_contiguous.core.words.hallucination import (
    believed_words,
    compression_ratio,
    distrust,
    repeated_phrase,
)
from dailytalk_contiguous.core.words.word import Word

LOUD = 0.05


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("No, no, no, no, no.", 1.2),
        ("Mm-hm.", 0.3),
        ("I know, I know, I know, but she said she would, she said she would.", 3.5),
        (
            "so we went there and then we came back and then we had to do all of it again you know",
            3.8,
        ),  # 5 words/s
        ("嗯，好的，谢谢你。", 1.0),
    ],
)
def test_what_people_say_is_believed(text: str, seconds: float) -> None:
    assert distrust(text, seconds, LOUD) is None
    unlikely_speech = distrust(text, seconds, LOUD, avg_logprob=-0.9, no_speech_prob=0.9)
    unlikely_words = distrust(text, seconds, LOUD, avg_logprob=-1.5, no_speech_prob=0.3)
    assert unlikely_speech is None
    assert unlikely_words is None


def test_text_on_near_silence_is_not() -> None:
    text = "Thanks for watching!"
    silent = 10 ** (-63 / 20)
    soft = 10 ** (-61 / 20)
    assert distrust(text, 2.0, silent) == "text on near-silence (-63 dBFS)"
    assert distrust(text, 2.0, soft) is None
    assert "near-silence" in str(distrust(text, 2.0, 0.0))


@pytest.mark.parametrize("words", [3, 9, 16])
def test_seven_words_a_second_and_two_more_are_believed_and_the_next_is_not(words: int) -> None:
    text = " ".join("abcdefghijklmnopq"[:words])
    seconds = (words - 2) / 7
    assert distrust(text, seconds + 1e-6, LOUD) is None
    assert distrust(text, seconds - 1e-6, LOUD) == f"{words} words in {seconds:.1f} s"


@pytest.mark.parametrize(
    ("words", "phrase"),
    [
        ("I know, i KNOW I know. I know I know I know", "I know"),
        ("well a b a b a b a b a b a", None),
        ("no no no no no", None),
        ("oh no way no way no way no way no way no way he said", "no way"),
    ],
)
def test_phrase_is_said_six_times_and_shown_once_as_it_was_written(words: str, phrase: str | None) -> None:
    assert repeated_phrase(words.split()) == phrase


def test_text_is_repetitive_from_forty_letters_and_more_than_two_and_four_tenths() -> None:
    long = "abcdefgh" * 30  # one word
    ratio = compression_ratio(long)
    compressed = zlib.compress(long.encode())
    assert ratio == len(long) / len(compressed)
    assert ratio > 2.4
    assert distrust(long, 9.0, LOUD) == f"repetitive text (compression ratio {ratio:.1f})"


def test_of_a_long_turn_only_the_stretches_whose_text_people_say_are_believed() -> None:
    spoken = [Word(" so", start, start + 0.3, 0.9) for start in (1.0, 5.0, 19.0)]
    words = spoken[:2]
    for number in range(16):
        start = 10.5 + 0.5 * number
        words.append(Word(" thanks", start, start + 0.3, 0.9))
    words.sort(key=lambda word: word.start)
    assert believed_words(words, 20.0) == spoken[:2]
    assert believed_words(spoken, 20.0) == spoken
