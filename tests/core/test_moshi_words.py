"""Words are placed so that the trainer, which gives each 80 ms frame one token, keeps them."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.moshi_words import MOST_MOVED, FrameTimes, SpokenWord, frame_of, place_words

EXACT = 2e-6


def words(
    *starts: float, tokens: tuple[int, ...] = (), first: float = 0.0, last: float = 100.0
) -> list[SpokenWord]:
    """Words that each end where the next one begins, in one utterance."""
    spans = pairwise([*starts, starts[-1] + 0.3])
    sizes = tokens or (1,) * len(starts)
    return [SpokenWord(start, end, size, first, last) for (start, end), size in zip(spans, sizes, strict=True)]


def frames(placed: FrameTimes) -> list[int]:
    return [frame_of(start) for start, _ in placed.times]


def test_words_in_one_frame_get_one_each() -> None:
    placed = place_words(words(1.01, 1.03, 1.5))
    assert frames(placed) == [12, 13, 18]  # 0.96 to 1.04 s is frame 12: 1.03 is next to the frame after it
    assert (placed.moved, placed.lost, placed.cut) == (1, 0, 0)


def test_start_on_the_edge_of_a_frame_is_in_that_frame_for_every_window() -> None:
    """100.08 s is 0.07999999999999829 s of a window that begins at 100 s, which is the frame before."""
    assert int((100.08 - 100) * 12.5) == 0
    placed = place_words(words(100.01, 100.08, last=200.0))
    assert [int((round(start, 6) - 100) * 12.5) for start, _ in placed.times] == [0, 1]
    assert (placed.moved, placed.lost) == (0, 0)


def test_word_of_several_tokens_gets_as_many_frames_where_there_is_room() -> None:
    crowded = words(1.0, 1.1, 1.5, tokens=(3, 1, 1))
    assert place_words(crowded).cut == 0
    placed = place_words(crowded)
    assert frames(placed)[1] - frames(placed)[0] >= 3


@st.composite
def _speech(draw: st.DrawFn) -> list[SpokenWord]:
    gaps = draw(st.lists(st.integers(1, 60), min_size=1, max_size=30))
    start = draw(st.integers(0, 50)) / 100
    found = []
    for gap in gaps:
        found.append((start, start + gap / 100, draw(st.integers(1, 4))))
        start = round(start + gap / 100, 2)
    return [SpokenWord(first, end, tokens, found[0][0], start) for first, end, tokens in found]


@given(_speech())
def test_order_reach_and_utterance_are_kept(spoken: list[SpokenWord]) -> None:
    placed = place_words(spoken)
    starts = [start for start, _ in placed.times]
    assert starts == sorted(starts)
    for word, (start, end) in zip(spoken, placed.times, strict=True):
        assert abs(start - word.start) <= MOST_MOVED + EXACT
        assert word.first <= start < word.last
        assert end > start
    assert all(before[1] <= after[0] + EXACT for before, after in pairwise(placed.times) if before[0] < after[0])


@given(_speech())
def test_counts_are_what_a_reader_of_frames_finds(spoken: list[SpokenWord]) -> None:
    placed = place_words(spoken)
    rooms = [after - before for before, after in pairwise(frames(placed))]
    assert placed.lost == sum(room == 0 for room in rooms)
    assert placed.cut == sum(0 < room < word.tokens for room, word in zip(rooms, spoken, strict=False))
