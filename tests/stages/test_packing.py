"""Packing: every utterance is in one window of its speaker."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.audio import ANALYSIS_RATE
from dailytalk_contiguous.core.word_times import Word
from dailytalk_contiguous.stages.transcribe import (
    GAP_SECONDS,
    WINDOW_SECONDS,
    Placed,
    pack_windows,
    unpack,
    window_of,
)

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


def test_window_has_each_utterance_in_its_place_and_silence_between_them() -> None:
    samples = [np.full(round(length * ANALYSIS_RATE), length, np.float32) for length in (1.5, 2.25, 3.0)]
    (window,) = pack_windows([1.5, 2.25, 3.0], ["left"] * 3)
    silence = np.zeros(round(GAP_SECONDS * ANALYSIS_RATE), np.float32)
    expected = np.concatenate([samples[0], silence, samples[1], silence, samples[2]])
    assert np.array_equal(window_of(samples, window), expected)


def test_words_of_a_window_come_back_to_the_utterance_of_their_midpoint_in_its_seconds() -> None:
    window = [Placed(4, 0.0, 1.5), Placed(7, 2.0, 4.0), Placed(9, 4.5, 5.0)]
    words = [
        Word("in", 0.5, 1.0, 0.9),
        Word("across", 1.25, 2.0, 0.8),  # its midpoint is nearer to the first
        Word("the", 1.75, 2.25, 0.7),
        Word("second", 3.0, 3.5, 0.6),
        Word("after", 5.25, 5.5, 0.5),
    ]
    unpacked = unpack(words, window)
    assert [word.text for word in unpacked[9]] == ["after"]
    assert unpacked[9][0].end == 0.5
    assert unpacked[4] == [Word("in", 0.5, 1.0, 0.9), Word("across", 1.25, 1.5, 0.8)]
    assert unpacked[7] == [Word("the", 0.0, 0.25, 0.7), Word("second", 1.0, 1.5, 0.6)]
