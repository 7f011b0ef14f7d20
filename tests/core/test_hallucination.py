"""Guards: each trips on what recognisers invent, and leaves what people say."""

import math
import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dailytalk_contiguous.core.hallucination import compression_ratio, distrust, repeated_phrase

LOUD = 0.05

NATURAL = [
    ("no no no", 1.0),
    ("No, no, no, no, no.", 1.2),
    ("yeah yeah", 0.5),
    ("Mm-hm.", 0.3),
    ("ha ha ha ha ha", 1.0),
    ("I know, I know, I know, but she said she would, she said she would.", 3.5),
    ("so we went there and then we came back and then we had to do all of it again you know", 3.8),  # 5 words/s
    ("You know what I mean, it was really, really, really good, really good, and the food was so good.", 6.0),
    ("嗯，好的，谢谢你。", 1.0),
]


@pytest.mark.parametrize(("text", "seconds"), NATURAL)
def test_what_people_say_is_believed(text: str, seconds: float) -> None:
    assert distrust(text, seconds, LOUD) is None
    assert distrust(text, seconds, LOUD, avg_logprob=-0.9, no_speech_prob=0.9) is None
    assert distrust(text, seconds, LOUD, avg_logprob=-1.5, no_speech_prob=0.3) is None


def test_text_where_nobody_speaks_is_not() -> None:
    reason = distrust("Thank you.", 1.0, LOUD, avg_logprob=-1.2, no_speech_prob=0.8)
    assert reason == "no speech (no_speech_prob 0.80, avg_logprob -1.20)"


def test_text_on_near_silence_is_not() -> None:
    assert distrust("Thanks for watching!", 2.0, 10 ** (-63 / 20)) == "text on near-silence (-63 dBFS)"
    assert distrust("Thanks for watching!", 2.0, 10 ** (-61 / 20)) is None
    assert "near-silence" in str(distrust("Thanks for watching!", 2.0, 0.0))


def test_more_words_than_anyone_speaks_are_not() -> None:
    text = "a b c d e f g h i j"
    assert distrust(text, 1.0, LOUD) == "10 words in 1.0 s"
    assert distrust(text, 1.2, LOUD) is None


@pytest.mark.parametrize("phrase", ["the", "thank you", "I don't know what", "and we went to the sea"])
def test_one_phrase_over_and_over_is_not(phrase: str) -> None:
    said = f"well {phrase}, " + ", ".join([phrase] * 5) + " really"
    assert str(distrust(said, 60.0, LOUD)).startswith("one phrase over and over")
    assert repeated_phrase(said.split()) is not None
    fewer = f"well {phrase}, " + ", ".join([phrase] * 4) + " really"
    assert repeated_phrase(fewer.split()) is None


def test_repetitive_text_is_not() -> None:
    loop = "I think that we should go to the market and then to the station. " * 4
    assert repeated_phrase(loop.split()) is None
    assert "compression ratio" in str(distrust(loop.strip(), 30.0, LOUD))
    assert compression_ratio(loop) > 2.4


@given(st.text(max_size=80), st.floats(0.0, 30.0), st.floats(0.0, 1.0))
@example("hello there", 1.0, 0.0)
@example("a b c d e", 0.1, LOUD)
def test_any_text_gets_a_verdict_and_no_words_never_a_reason(text: str, seconds: float, rms: float) -> None:
    reason, n_words = distrust(text, seconds, rms), len(text.split())
    assert reason is None or (n_words and reason)
    if n_words and (rms < 10 ** (-62 / 20) or n_words > 7 * seconds + 2):
        assert reason
    assert distrust("  ", seconds, rms, -9.0, 1.0) is None


@given(st.lists(st.sampled_from(["well", "no", "so", "yes."]), max_size=40), st.floats(0.01, 6.0))
def test_more_words_than_a_mouth_can_say_are_always_distrusted(words: list[str], seconds: float) -> None:
    reason = distrust(" ".join(words), seconds, LOUD)
    if len(words) > 7 * seconds + 2:
        assert reason == f"{len(words)} words in {seconds:.1f} s"
    elif len(words) < 5:
        assert reason is None


def test_an_unknown_probability_trips_nothing() -> None:
    assert distrust("hello there", 1.0, LOUD, math.nan, math.nan) is None
    assert distrust("hello there", 1.0, LOUD, -5.0, math.nan) is None


@pytest.mark.parametrize(
    ("logprob", "no_speech", "reason"),
    [
        (-1.01, 0.61, "no speech (no_speech_prob 0.61, avg_logprob -1.01)"),
        (-1.0, 0.61, None),
        (-1.01, 0.6, None),
        (math.nan, 0.99, None),
    ],
)
def test_silence_needs_both_of_whisper_s_signs_beyond_their_limits(
    logprob: float, no_speech: float, reason: str | None
) -> None:
    assert distrust("hello there", 1.0, LOUD, logprob, no_speech) == reason


@pytest.mark.parametrize("words", [3, 9, 16])
def test_seven_words_a_second_and_two_more_are_believed_and_the_next_is_not(words: int) -> None:
    text = " ".join("abcdefghijklmnopq"[:words])
    seconds = (words - 2) / 7
    assert distrust(text, seconds + 1e-6, LOUD) is None
    assert distrust(text, seconds - 1e-6, LOUD) == f"{words} words in {seconds:.1f} s"


def test_level_of_room_tone_is_the_first_that_is_believed() -> None:
    assert distrust("hello there", 1.0, 10 ** (-62 / 20)) is None
    assert distrust("hello there", 1.0, 0.0) == "text on near-silence (-180 dBFS)"


def test_phrase_is_said_six_times_and_shown_once_as_it_was_written() -> None:
    assert (
        repeated_phrase(["I", "know,", "i", "KNOW", "I", "know.", "I", "know", "I", "know", "I", "know"])
        == "I know"
    )
    assert repeated_phrase(["well", "a", "b", "a", "b", "a", "b", "a", "b", "a", "b", "a"]) is None
    seven = ["a", "b", "c", "d", "e", "f", "g"]
    assert repeated_phrase(seven[:6] * 6) == "a b c d e f"
    assert repeated_phrase(seven * 6) is None
    assert repeated_phrase(["no"] * 6) == "no"
    assert repeated_phrase(["no"] * 5) is None
    assert repeated_phrase(["oh", *["no", "way"] * 6, "he", "said"]) == "no way"


def test_text_is_repetitive_from_forty_letters_and_more_than_two_and_four_tenths() -> None:
    long = "abcdefgh" * 30  # one word
    assert compression_ratio(long) == len(long) / len(zlib.compress(long.encode())) > 2.4
    assert distrust(long, 9.0, LOUD) == f"repetitive text (compression ratio {compression_ratio(long):.1f})"
    assert distrust("a" * 40, 9.0, LOUD) == "repetitive text (compression ratio 3.3)"
    assert distrust("a" * 39, 9.0, LOUD) is None
