"""Pauses inside utterances: which are holds."""

import pytest

from dailytalk_contiguous.core.turns.inner_pauses import inner_pauses
from dailytalk_contiguous.core.turns.turn_taking import Timed

Spans = list[tuple[float, float]]


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
    pauses = inner_pauses(utterances, {"left": left, "right": right})
    assert {(pause.start, pause.end): pause.is_hold for pause in pauses} == holds
    assert [pause.number for pause in pauses] == list(range(len(pauses)))
    assert {pause.utterance for pause in pauses} <= {1}


def test_nobody_pauses_where_nobody_speaks() -> None:
    assert inner_pauses([], {"left": [], "right": []}) == []
