from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.word_times import Word
from dailytalk_contiguous.publish.snapping import snap_words


def words(*times):
    return [Word(f"w{number}", start, end, 1.0) for number, (start, end) in enumerate(times)]


def test_edges_in_silence_move_to_speech_and_the_offset_is_told():
    snapped = snap_words(words((0.8, 1.5), (1.5, 2.3)), [(1.0, 2.0)])
    assert [(word.start, word.end) for word in snapped.words] == [(1.0, 1.5), (1.5, 2.0)]
    assert snapped.offset == pytest.approx(0.2)
    assert (snapped.moved, snapped.unplaced) == (2, 0)


def test_a_word_beside_speech_moves_into_it():
    [word] = snap_words(words((0.5, 0.9)), [(1.0, 2.0)]).words
    assert (word.start, word.end) == pytest.approx((1.0, 1.4))


def test_words_inside_speech_stay():
    given_words = words((1.0, 1.4), (1.4, 2.0))
    assert snap_words(given_words, [(0.5, 2.5)]) == (given_words, 0.0, 0, 0)


def test_a_word_far_from_speech_stays_and_is_counted():
    given_words = words((9.0, 9.5))
    assert snap_words(given_words, [(1.0, 2.0)]) == (given_words, 0.0, 0, 1)
    assert snap_words(given_words, []).unplaced == 1


@pytest.mark.parametrize(
    ("times", "speech", "placed", "figures"),
    [
        ([(0.5, 1.0)], [(1.0, 2.0)], [(1.0, 1.5)], (0.5, 2, 0)),
        ([(2.0, 2.5)], [(1.0, 2.0)], [(1.5, 2.0)], (-0.5, 2, 0)),
        ([(0.0, 0.5)], [(1.0, 2.0)], [(1.0, 1.5)], (1.0, 2, 0)),
        ([(2.5, 3.0)], [(1.0, 2.0)], [(1.5, 2.0)], (-1.0, 2, 0)),
        ([(0.0, 0.25), (2.75, 3.0)], [(1.0, 2.0)], [(0.0, 0.25), (2.75, 3.0)], (0.0, 0, 2)),
        ([(2.25, 2.5)], [(0.5, 2.0), (2.625, 3.0)], [(2.625, 2.875)], (0.375, 2, 0)),
        ([(2.125, 2.25)], [(0.5, 2.0), (2.625, 3.0)], [(1.875, 2.0)], (-0.25, 2, 0)),
        ([(0.0, 0.75)], [(1.0, 1.25)], [(1.0, 1.25)], (1.0, 2, 0)),
        ([(0.5, 3.5)], [(1.0, 1.5), (2.0, 3.0)], [(1.0, 3.0)], (0.5, 2, 0)),
        ([(0.5, 1.25)], [(1.0, 2.0)], [(1.0, 1.25)], (0.5, 1, 0)),
        ([(1.5, 2.25)], [(1.0, 2.0)], [(1.5, 2.0)], (0.0, 1, 0)),
        ([(0.0, 0.5)], [(-1.0, 0.001)], [(0.0, 0.001)], (0.0, 1, 0)),
        ([(0.0, 0.5)], [(-1.0, 0.0009)], [(0.0, 0.5)], (0.0, 0, 0)),
        ([(0.5, 1.0005)], [(1.0, 2.0)], [(0.5, 1.0005)], (0.0, 0, 0)),
        ([(1.0, 1.5), (1.5, 1.5005)], [(1.0, 2.0)], [(1.0, 1.5), (1.5, 1.5005)], (0.0, 0, 0)),
        ([(0.75, 1.25), (4.5, 5.25), (9.0, 9.5)], [(1.0, 2.0), (5.0, 9.0)], None, (0.25, 4, 0)),
        ([(0.75, 1.25), (4.5, 5.25)], [(1.0, 2.0), (5.0, 9.0)], [(1.0, 1.25), (5.0, 5.25)], (0.375, 2, 0)),
    ],
)
def test_every_word_goes_where_speech_is_nearest_and_no_further_than_half_a_second(times, speech, placed, figures):
    snapped = snap_words(words(*times), speech)
    assert (snapped.offset, snapped.moved, snapped.unplaced) == figures
    if placed:
        assert [(word.start, word.end) for word in snapped.words] == placed


def test_words_that_move_to_one_place_follow_each_other():
    snapped = snap_words(words((0.5, 0.75), (0.75, 0.875), (0.875, 1.5)), [(1.0, 2.0)])
    assert [(word.start, word.end) for word in snapped.words] == [(1.0, 1.25), (1.25, 1.251), (1.251, 1.5)]
    assert snapped[1:] == (pytest.approx(0.5), 5, 0)


EDGES = st.lists(st.integers(0, 500).map(lambda n: n / 10), min_size=2, max_size=20, unique=True).map(sorted)


def paired(edges):
    return list(zip(edges[::2], edges[1::2], strict=False))


@given(EDGES, EDGES)
def test_no_word_is_lost_reordered_shortened_to_nothing_or_laid_over_another(edges, speech):
    before = words(*paired(edges))
    after = snap_words(before, paired(speech)).words
    assert [word.text for word in after] == [word.text for word in before]
    assert all(word.end > word.start for word in after)
    assert all(left.end <= right.start for left, right in pairwise(after))
