import pytest

from dailytalk_contiguous.core.turns import Timed
from dailytalk_contiguous.publish.verdict import CONVERSATION_MEASURES, Judge, measure_turns


def advised(timed, duration, voices=None, languages=None):
    judge = Judge()
    judge.add_measured("c", measure_turns(timed, duration))
    judge.voices.update(voices or {})
    judge.languages.update(languages or {})
    return [finding.kind for finding in judge.findings()]


def test_conversation_in_which_nobody_speaks_begins_at_its_end():
    assert measure_turns([], 5.5)["first_turn"] == 5.5
    assert measure_turns([Timed("left", 2.0, 3.0), Timed("right", 1.0, 4.0)], 5.5)["first_turn"] == 1.0


LIVELY = [Timed(("left", "right")[n % 2], n * 2.0, n * 2.0 + 2.1) for n in range(50)]


def test_a_lively_conversation_needs_no_advice():
    assert advised(LIVELY, 100.0) == []


def test_fitness_is_advice_with_figures():
    assert "long-turns" in advised([*LIVELY, Timed("left", 100.0, 112.0)], 112.0)
    alone = [*LIVELY, *(Timed("left", 100.0 + 9 * n, 108.0 + 9 * n) for n in range(8))]
    assert "monologue" in advised(alone, 172.0)
    assert advised([Timed(one.channel, one.start + 6, one.end + 6) for one in LIVELY], 106.0) == ["late-start"]
    assert "few-turns" in advised(LIVELY[:2], 100.0)
    slow = [Timed(("left", "right")[n % 2], n * 5.0, n * 5.0 + 2.0) for n in range(20)]
    assert advised(slow, 100.0) == ["slow-responses", "little-overlap"]


def test_hours_are_held_against_what_others_needed():
    assert advised(LIVELY, 100.0, {"anna": 19.0}, {"en": 1.0}) == ["few-hours-of-voice"]
    assert advised(LIVELY, 100.0, {"anna": 20.0}, {"de": 399.0}) == ["few-hours-of-language"]
    assert advised(LIVELY, 100.0, {"anna": 20.0}, {"de": 400.0}) == []


def test_advice_on_hours_comes_by_the_name_of_the_voice_and_of_the_language():
    judge = Judge()
    judge.voices.update({"zoe": 2.0, "anna": 1.0})
    judge.languages.update({"nl": 3.0, "de": 4.0})
    assert [finding.what.partition(" (")[0] for finding in judge.findings()] == [
        "1.00 h with the voice anna",
        "2.00 h with the voice zoe",
        "4.00 h of de",
        "3.00 h of nl",
    ]


#: A conversation within all limits, as far as it is measured.
FINE = dict.fromkeys(CONVERSATION_MEASURES) | {
    "duration": 60.0,
    "response": 0.2,
    "overlapping_turns": 0.4,
    "longest_turn": 1.0,
    "turns_per_window": 10.0,
    "longest_monologue": 1.0,
    "first_turn": 0.0,
}


def found(**measured):
    judge = Judge()
    judge.add_measured("c", FINE | measured)
    judge.add_measured("fine", FINE)
    return judge.findings()


@pytest.mark.parametrize(
    ("measured", "below", "kind", "place"),
    [
        ({"longest_turn": 10.0}, 0.01, "long-turns", "c"),
        ({"longest_monologue": 60.0}, 0.01, "monologue", "c"),
        ({"first_turn": 5.0}, 0.01, "late-start", "c"),
        ({"turns_per_window": 3.0}, -0.01, "few-turns", "c"),
        ({"response": 3.8}, 0.01, "slow-responses", "."),
        ({"overlapping_turns": -0.2}, -0.01, "little-overlap", "."),
    ],
)
def test_figure_at_its_limit_is_fit_and_one_beyond_it_is_advised_on(measured, below, kind, place):
    """Of the last two the median counts, half-way to the conversation that is fine."""
    assert found(**measured) == []
    [finding] = found(**{name: value + below for name, value in measured.items()})
    assert (finding.kind, finding.level, finding.file) == (kind, "advice", place)


def test_advice_names_how_many_of_how_many_and_the_worst():
    assert [one.what for one in found(longest_turn=12.34, first_turn=6.0, turns_per_window=2.0)] == [
        "1 of 2 conversations have a turn over 10 s, up to 12.3 s in c",
        "1 of 2 conversations have fewer than 3 turns a window, down to 2.0 in c",
        "1 of 2 conversations begin with over 5 s of silence, up to 6.0 s in c",
    ]
