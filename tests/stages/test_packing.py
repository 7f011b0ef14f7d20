"""Packing: every utterance is in one window of its speaker."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.stages.transcribe import GAP_SECONDS, WINDOW_SECONDS, Placed, pack_windows

utterances = st.lists(
    st.tuples(st.floats(0.05, 12.0) | st.floats(25.0, 40.0), st.sampled_from(["left", "right", "third"])),
    max_size=40,
)


def packed(found: list[tuple[float, str]]) -> list[list[Placed]]:
    return pack_windows([length for length, _ in found], [speaker for _, speaker in found])


@given(utterances)
def test_each_utterance_lies_in_one_window_of_its_own_speaker_in_order(found: list[tuple[float, str]]) -> None:
    windows = packed(found)
    assert sorted(placed.utterance for window in windows for placed in window) == list(range(len(found)))
    for window in windows:
        assert len({found[placed.utterance][1] for placed in window}) == 1
        assert [placed.utterance for placed in window] == sorted(placed.utterance for placed in window)
        assert window[0].start == 0.0
        assert all(two.start == pytest.approx(one.end + GAP_SECONDS) for one, two in pairwise(window))
        assert all(p.end - p.start == pytest.approx(found[p.utterance][0]) for p in window)
        assert window[-1].end <= WINDOW_SECONDS or len(window) == 1
    for speaker in {speaker for _, speaker in found}:
        order = [p.utterance for window in windows for p in window if found[p.utterance][1] == speaker]
        assert order == sorted(order)
