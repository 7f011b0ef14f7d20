"""Context: what a short utterance borrows is near, enough, in order, and never itself."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.spans import Taken, borrowed

speakers = st.lists(st.tuples(st.floats(0.0, 4.0), st.floats(0.05, 8.0)), min_size=1, max_size=8)


def laid_out(parts: list[tuple[float, float]]) -> list[tuple[float, float]]:
    spans, at = [], 0.0
    for gap, length in parts:
        spans.append((at + gap, at + gap + length))
        at = spans[-1][1]  # added in another order, it could be a rounding before the end of this one
    return spans


def edges(parts: list[Taken]) -> list[tuple[float, float]]:
    return [(part.start, part.end) for part in parts]


@given(speakers, st.data(), st.floats(0.0, 6.0), st.floats(0.0, 5.0))
def test_what_is_borrowed_is_near_in_order_and_never_too_much(
    parts: list[tuple[float, float]], data: st.DataObject, wanted: float, reach: float
) -> None:
    spans = laid_out(parts)
    index = data.draw(st.integers(0, len(spans) - 1))
    start, end = spans[index]
    before, after = borrowed(spans, index, wanted, reach)
    for part in before + after:
        assert part.span != index
        assert spans[part.span][0] <= part.start <= part.end <= spans[part.span][1]
    before, after = edges(before), edges(after)
    taken = sum(last - first for first, last in before + after)
    assert taken <= max(0.0, wanted - (end - start)) + 1e-9
    assert all(start - reach - 1e-9 <= first <= last <= start for first, last in before)
    assert all(end <= first <= last <= end + reach + 1e-9 for first, last in after)
    assert all(one[1] <= two[0] for one, two in pairwise([*before, (start, end), *after]))
    others = spans[:index] + spans[index + 1 :]
    reachable = sum(
        max(0.0, min(high, edge_high) - max(low, edge_low))
        for low, high in others
        for edge_low, edge_high in [(start - reach, start), (end, end + reach)]
    )
    missing = max(0.0, wanted - (end - start))
    assert taken == pytest.approx(min(missing, reachable), abs=1e-6)


@given(speakers, st.floats(0.0, 5.0))
def test_a_long_utterance_borrows_nothing(parts: list[tuple[float, float]], reach: float) -> None:
    spans = laid_out(parts)
    for index, (start, end) in enumerate(spans):
        assert borrowed(spans, index, end - start, reach) == ([], [])


def test_half_comes_from_each_side_and_one_side_stands_in_for_the_other() -> None:
    spans = [(0.0, 5.0), (5.5, 6.5), (7.0, 12.0)]
    assert borrowed(spans, 1, 3.0, 2.0) == ([(0, 4.0, 5.0)], [(2, 7.0, 8.0)])
    assert borrowed(spans[1:], 0, 3.0, 2.5) == ([], [(1, 7.0, 9.0)])
    assert borrowed(spans[:2], 1, 3.0, 2.5) == ([(0, 3.0, 5.0)], [])
    assert borrowed(spans, 1, 3.0, 0.4) == ([], [])


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
