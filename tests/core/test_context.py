"""Context: what a short utterance borrows is near, enough, in order, and never itself."""

from dailytalk_contiguous.core.spans import Taken, borrowed


def test_nearest_parts_are_borrowed_and_those_behind_them_left_alone() -> None:
    spans = [(0.0, 1.0), (2.0, 3.0), (4.0, 5.0), (6.0, 7.0), (8.0, 9.0)]
    assert borrowed(spans, 2, 2.0, 5.0) == ([(1, 2.5, 3.0)], [(3, 6.0, 6.5)])
    assert borrowed(spans, 2, 3.0, 5.0) == ([(1, 2.0, 3.0)], [(3, 6.0, 7.0)])
    assert borrowed(spans, 2, 4.0, 5.0) == ([(0, 0.5, 1.0), (1, 2.0, 3.0)], [(3, 6.0, 7.0), (4, 8.0, 8.5)])


def test_speech_that_only_touches_the_reach_lends_nothing() -> None:
    spans = [(0.0, 1.0), (3.0, 4.0), (6.0, 7.0)]
    assert borrowed(spans, 1, 9.0, 2.0) == ([], [])
    assert borrowed(spans, 1, 9.0, 2.25) == ([(0, 0.75, 1.0)], [(2, 6.0, 6.25)])
    assert borrowed(spans, 1, 1.0, 9.0) == ([], [])
    assert borrowed(spans, 1, 1.5, 9.0) == ([(0, 0.75, 1.0)], [(2, 6.0, 6.25)])
    assert borrowed(spans, 1, 3.0, 9.0) == ([(0, 0.0, 1.0)], [(2, 6.0, 7.0)])
    assert Taken(0, 1.5, 4.0).seconds == 2.5


def test_half_comes_from_each_side_and_one_side_stands_in_for_the_other() -> None:
    spans = [(0.0, 5.0), (5.5, 6.5), (7.0, 12.0)]
    assert borrowed(spans, 1, 3.0, 2.0) == ([(0, 4.0, 5.0)], [(2, 7.0, 8.0)])
    assert borrowed(spans[1:], 0, 3.0, 2.5) == ([], [(1, 7.0, 9.0)])
    assert borrowed(spans[:2], 1, 3.0, 2.5) == ([(0, 3.0, 5.0)], [])
    assert borrowed(spans, 1, 3.0, 0.4) == ([], [])
