import pytest

from dailytalk_contiguous.core.documents import quoted
from dailytalk_contiguous.core.wording import kind_of, length_text


def test_reasons_that_differ_in_ids_quotes_and_figures_are_of_one_kind() -> None:
    held = "held back: {} could not be said: it is too short (1.12 s in place of 2.84 s) ({})"
    assert kind_of(held.format("1 utterance", "MUL/left/0010")) == kind_of(
        held.format("1 utterance", "SNG/left/3")
    )
    assert kind_of("line 3 of transcript.jsonl: channel is 'up'") == kind_of(
        "line 9 of other.jsonl: channel is 'x'"
    )
    assert kind_of("-16.5 dB is under the limit") == kind_of("-2 dB is under the limit")
    assert kind_of("its utterance a/left/0001 is that of line 3") == kind_of(
        "its utterance b/right/7 is that of line 8"
    )
    listed = "held back: could not be said: {}"
    names = [f"MUL1423/left/{number:04d}" for number in range(3)]
    assert (
        kind_of(listed.format(names[0]))
        == kind_of(listed.format(", ".join(names)))
        == "held back: could not be said: …"
    )
    assert kind_of("MUL1423 has one channel") == kind_of("SNG1640.wav has one channel") == "… has one channel"


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("its signal-to-noise ratio is -7.2 dB (at least 10.0 dB)", "its signal-to-noise ratio is under 10.0 dB"),
        ("0.61% of it is clipped (at most 0.50%)", "over 0.50% of it is clipped"),
        (
            "it is 0.31 s long (at least 0.50 s), its bandwidth is 3.9 kHz (at least 6.5 kHz)",
            "it is under 0.50 s long, its bandwidth is under 6.5 kHz",
        ),
        ("it is silent for 1.90 s inside (at most 1.50 s)", "it is silent for over 1.50 s inside"),
    ],
)
def test_kind_of_what_is_beyond_a_limit_names_the_limit(reason: str, kind: str) -> None:
    assert kind_of(reason) == kind


def test_reasons_of_different_kinds_stay_apart() -> None:
    assert kind_of("the server answered 503") != kind_of("the server answered 404")
    assert kind_of("it is silent") != kind_of("it is clipped")
    assert kind_of("its speech/noise ratio is low") == "its … ratio is low"
    assert kind_of("") == "no reason given"


def test_apostrophe_is_no_quote() -> None:
    assert kind_of("it can't be used: 'a.b' is no name") == kind_of("it can't be used: 'c' is no name")
    assert kind_of("it's late and can't be said") == "it's late and can't be said"
    texts = ("hello", "I don't know", 'I don\'t "know"', "the dogs' tails", "it's " * 60)
    assert {kind_of(f"the transcript has {quoted(text)} at 3 s") for text in texts} == {
        "the transcript has … at … s"
    }
    assert kind_of("the line 'I don't know' is twice in 'it's.json'") == "the line … is twice in …"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0.0 s"), (119.9, "119.9 s"), (120.0, "2.0 min"), (7199.0, "120.0 min"), (7200.0, "2.0 h")],
)
def test_length_is_told_in_minutes_from_two_of_them_and_in_hours_from_two(seconds: float, text: str) -> None:
    assert length_text(seconds) == text


def test_kind_is_short_and_without_what_is_in_parentheses() -> None:
    assert kind_of("x" * 121) == "x" * 120
    assert kind_of("it is  cut (at 3 s (of 5 s)) and (by 2) loud") == "it is cut"
    assert kind_of("it is cut (at 3 s) and loud (by 2)") == "it is cut and loud"
    assert kind_of("(3)") == "no reason given"
