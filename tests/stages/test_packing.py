"""Packing: every utterance is in one window of its speaker."""

from itertools import chain, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE
from dailytalk_contiguous.core.words.word import Span, Word
from dailytalk_contiguous.stages.transcribe import (
    GAP_SECONDS,
    WINDOW_SECONDS,
    Window,
    pack_windows,
    unpack,
    window_of,
)

utterances = st.lists(
    st.tuples(st.floats(0.05, 12.0) | st.floats(25.0, 40.0), st.sampled_from(["left", "right", "third"])),
    max_size=40,
)


def packed(drawn: list[tuple[float, str]]) -> list[Window]:
    lengths = [length for length, _ in drawn]
    speakers = [speaker for _, speaker in drawn]
    return pack_windows(lengths, speakers)


@given(utterances)
def test_each_utterance_lies_in_one_window_of_its_own_speaker_in_order(drawn: list[tuple[float, str]]) -> None:
    windows = packed(drawn)
    order: dict[str, list[int]] = {speaker: [] for _, speaker in drawn}
    for window in windows:
        members = [*window]
        spans = [*window.values()]
        (speaker,) = {drawn[index][1] for index in members}
        assert members == sorted(members)
        order[speaker] += members
        assert spans[0].start == 0.0
        for first, second in pairwise(spans):
            assert second.start == pytest.approx(first.end + GAP_SECONDS)
        for index, span in window.items():
            length, _ = drawn[index]
            assert span.end - span.start == pytest.approx(length)
        assert spans[-1].end <= WINDOW_SECONDS or len(window) == 1
    packed_once = sorted(chain.from_iterable(order.values()))
    assert packed_once == list(range(len(drawn)))
    for members in order.values():
        assert members == sorted(members)


def test_window_has_each_utterance_in_its_place_and_silence_between_them() -> None:
    lengths = [1.5, 2.25, 3.0]
    samples = []
    for length in lengths:
        count = round(length * ANALYSIS_RATE)
        samples.append(np.full(count, length, np.float32))
    first, second, third = samples
    (window,) = pack_windows(lengths, ["left"] * 3)
    gap = round(GAP_SECONDS * ANALYSIS_RATE)
    silence = np.zeros(gap, np.float32)
    expected = np.concatenate([first, silence, second, silence, third])
    packed_samples = window_of(samples, window)
    assert np.array_equal(packed_samples, expected)


def test_words_of_a_window_come_back_to_the_utterance_of_their_midpoint_in_its_seconds() -> None:
    window = {4: Span(0.0, 1.5), 7: Span(2.0, 4.0), 9: Span(4.5, 5.0)}
    words = [
        Word("in", 0.5, 1.0, 0.9),
        Word("across", 1.25, 2.0, 0.8),  # its midpoint is nearer to the first
        Word("the", 1.75, 2.25, 0.7),
        Word("second", 3.0, 3.5, 0.6),
        Word("after", 5.25, 5.5, 0.5),
    ]
    unpacked = unpack(words, window)
    (after,) = unpacked[9]
    assert after.word == "after"
    assert after.end == 0.5
    assert unpacked[4] == [Word("in", 0.5, 1.0, 0.9), Word("across", 1.25, 1.5, 0.8)]
    assert unpacked[7] == [Word("the", 0.0, 0.25, 0.7), Word("second", 1.0, 1.5, 0.6)]
