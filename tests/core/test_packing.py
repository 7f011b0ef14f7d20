"""Packing: every utterance in one window of its speaker, every word back to one utterance, with its times."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.word_times import Word, fit
from dailytalk_contiguous.stages.transcribe import GAP_SECONDS, WINDOW_SECONDS, Placed, pack_windows

utterances = st.lists(
    st.tuples(st.floats(0.05, 12.0) | st.floats(25.0, 40.0), st.sampled_from(["left", "right", "third"])),
    max_size=40,
)
times = st.floats(-2.0, 32.0)
words = st.lists(st.tuples(times, st.floats(0.0, 3.0)).map(lambda t: (t[0], t[0] + t[1])), max_size=30).map(
    lambda pairs: [Word(f" w{n}", start, end, 0.5) for n, (start, end) in enumerate(pairs)]
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


def assert_fits(given_words: list[Word], fitted: list[Word], length: float) -> None:
    assert len(fitted) == len(given_words)
    assert all(0.0 <= word.start < word.end <= length for word in fitted)
    assert all(one.end <= two.start for one, two in pairwise(fitted))


@given(words, st.floats(0.05, 30.0))
def test_fitted_words_are_sorted_inside_apart_and_all_there(found: list[Word], length: float) -> None:
    fitted = fit(found, length)
    assert_fits(found, fitted, length)
    assert sorted(word.text for word in fitted) == sorted(word.text for word in found)
    ordered = sorted(found, key=lambda word: (word.start, word.end))
    assert [word.text for word in fitted] == [word.text for word in ordered]
