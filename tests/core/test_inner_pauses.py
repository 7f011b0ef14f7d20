"""Pauses inside utterances: which are holds, and how certain that is."""

import pytest

from dailytalk_contiguous.core.turns.inner_pauses import inner_pauses
from dailytalk_contiguous.core.turns.turn_taking import Timed

Spans = list[tuple[float, float]]

SURE = {"left": 0.0, "right": 0.0}


@pytest.mark.parametrize(
    ("left", "right", "holds"),
    [
        pytest.param([(1, 2), (3, 5)], [(6, 7)], {(2, 3): True}, id="both are silent"),
        pytest.param([(1, 2), (3, 4), (4.5, 5)], [(6, 7)], {(2, 3): True, (4, 4.5): True}, id="two pauses"),
        pytest.param([(1, 2), (3, 5)], [(2.1, 2.5), (6, 7)], {(2, 3): False}, id="the other begins at once"),
        pytest.param([(1, 2), (3, 5)], [(2.5, 2.8), (6, 7)], {(2, 3): False}, id="the other begins later"),
        pytest.param([(1, 2), (3, 5)], [(1.5, 2.1), (6, 7)], {(2, 3): False}, id="the other still speaks"),
        pytest.param([(1, 2), (3, 5)], [(1.2, 1.8), (6, 7)], {(2, 3): True}, id="the other has spoken before"),
        pytest.param([(1, 2), (3, 5)], [(0.5, 5.5)], {(2, 3): False}, id="all in the other's speech"),
        pytest.param([(1, 5), (5.5, 6)], [(7, 8)], {}, id="a pause between utterances"),
    ],
)
def test_a_pause_is_a_hold_if_the_other_is_silent_and_its_speaker_goes_on(
    left: Spans, right: Spans, holds: dict[tuple[float, float], bool]
) -> None:
    utterances = [Timed("left", 5.5, 6.0), Timed("left", 1.0, 5.0)]
    utterances += [Timed("right", start, end) for start, end in right]
    pauses = inner_pauses(utterances, {"left": left, "right": right}, SURE)
    assert {(pause.start, pause.end): pause.certainty is not None for pause in pauses} == holds
    assert [pause.number for pause in pauses] == list(range(len(pauses)))
    assert {pause.utterance for pause in pauses} <= {1}


def test_a_short_pause_is_less_certain_in_noise() -> None:
    speech = {"left": [(1.0, 2.0), (2.25, 3.0), (4.0, 5.0)], "right": [(6.0, 7.0)]}
    utterances = [Timed("left", 1.0, 5.0), Timed("right", 6.0, 7.0)]
    certainties = []
    for errors in (SURE, {"left": 0.06, "right": 0.06}):
        short, long = inner_pauses(utterances, speech, errors)
        assert short.certainty is not None
        assert long.certainty == 1.0
        certainties.append(short.certainty)
    in_silence, in_noise = certainties
    assert in_silence == 1.0
    assert in_noise < 0.8


def test_nobody_pauses_where_nobody_speaks() -> None:
    assert inner_pauses([], {"left": [], "right": []}, SURE) == []
