"""Guards: each trips on what recognisers invent, and leaves what people say."""

import zlib

import pytest

from dailytalk_contiguous.core.hallucination import believed_words, compression_ratio, distrust, repeated_phrase
from dailytalk_contiguous.core.word_times import Word

LOUD = 0.05

NATURAL = [
    ("No, no, no, no, no.", 1.2),
    ("Mm-hm.", 0.3),
    ("I know, I know, I know, but she said she would, she said she would.", 3.5),
    ("so we went there and then we came back and then we had to do all of it again you know", 3.8),  # 5 words/s
    ("嗯，好的，谢谢你。", 1.0),
]


@pytest.mark.parametrize(("text", "seconds"), NATURAL)
def test_what_people_say_is_believed(text: str, seconds: float) -> None:
    assert distrust(text, seconds, LOUD) is None
    assert distrust(text, seconds, LOUD, avg_logprob=-0.9, no_speech_prob=0.9) is None
    assert distrust(text, seconds, LOUD, avg_logprob=-1.5, no_speech_prob=0.3) is None


def test_text_on_near_silence_is_not() -> None:
    assert distrust("Thanks for watching!", 2.0, 10 ** (-63 / 20)) == "text on near-silence (-63 dBFS)"
    assert distrust("Thanks for watching!", 2.0, 10 ** (-61 / 20)) is None
    assert "near-silence" in str(distrust("Thanks for watching!", 2.0, 0.0))


@pytest.mark.parametrize("words", [3, 9, 16])
def test_seven_words_a_second_and_two_more_are_believed_and_the_next_is_not(words: int) -> None:
    text = " ".join("abcdefghijklmnopq"[:words])
    seconds = (words - 2) / 7
    assert distrust(text, seconds + 1e-6, LOUD) is None
    assert distrust(text, seconds - 1e-6, LOUD) == f"{words} words in {seconds:.1f} s"


def test_phrase_is_said_six_times_and_shown_once_as_it_was_written() -> None:
    assert (
        repeated_phrase(["I", "know,", "i", "KNOW", "I", "know.", "I", "know", "I", "know", "I", "know"])
        == "I know"
    )
    assert repeated_phrase(["well", "a", "b", "a", "b", "a", "b", "a", "b", "a", "b", "a"]) is None
    assert repeated_phrase(["no"] * 5) is None
    assert repeated_phrase(["oh", *["no", "way"] * 6, "he", "said"]) == "no way"


def test_text_is_repetitive_from_forty_letters_and_more_than_two_and_four_tenths() -> None:
    long = "abcdefgh" * 30  # one word
    assert compression_ratio(long) == len(long) / len(zlib.compress(long.encode())) > 2.4
    assert distrust(long, 9.0, LOUD) == f"repetitive text (compression ratio {compression_ratio(long):.1f})"


def test_of_a_long_turn_only_the_stretches_whose_text_people_say_are_believed() -> None:
    said = [Word(" so", start, start + 0.3, 0.9) for start in (1.0, 5.0, 19.0)]
    loop = [Word(" thanks", 10.5 + 0.5 * place, 10.8 + 0.5 * place, 0.9) for place in range(16)]
    assert believed_words(sorted([*said[:2], *loop], key=lambda word: word.start), 20.0) == said[:2]
    assert believed_words(said, 20.0) == said
