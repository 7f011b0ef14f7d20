"""Words are placed so that the trainer, which gives each 80 ms frame one token, keeps them."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.words.moshi_words import MOST_MOVED, FrameTimes, SpokenWord, frame_of, place_words

EXACT = 2e-6


def words(
    *starts: float, tokens: tuple[int, ...] = (), first: float = 0.0, last: float = 100.0
) -> list[SpokenWord]:
    """Words that each end where the next one begins, in one utterance."""
    ends = [*starts[1:], starts[-1] + 0.3]
    sizes = tokens or (1,) * len(starts)
    spoken = []
    for start, end, size in zip(starts, ends, sizes, strict=True):
        spoken.append(SpokenWord(start, end, size, first, last))
    return spoken


def frames(placed: FrameTimes) -> list[int]:
    return [frame_of(start) for start, _ in placed.times]


def test_words_in_one_frame_get_one_each() -> None:
    placed = place_words(words(1.01, 1.03, 1.5))
    assert frames(placed) == [12, 13, 18]  # 0.96 to 1.04 s is frame 12: 1.03 is next to the frame after it
    assert placed.moved == 1
    assert placed.lost == 0
    assert placed.cut == 0


def frame_in_window(start: float, window_start: float) -> int:
    """The frame that a trainer computes for a word of a window."""
    return int((start - window_start) * 12.5)


def test_start_on_the_edge_of_a_frame_is_in_that_frame_for_every_window() -> None:
    """100.08 s is 0.07999999999999829 s of a window that begins at 100 s, which is the frame before."""
    assert frame_in_window(100.08, 100) == 0
    placed = place_words(words(100.01, 100.08, last=200.0))
    written = [round(start, 6) for start, _ in placed.times]
    assert [frame_in_window(start, 100) for start in written] == [0, 1]
    assert placed.moved == 0
    assert placed.lost == 0


def test_word_of_several_tokens_gets_as_many_frames_where_there_is_room() -> None:
    crowded = words(1.0, 1.1, 1.5, tokens=(3, 1, 1))
    placed = place_words(crowded)
    first, second, _ = frames(placed)
    assert placed.cut == 0
    assert second - first >= 3


@st.composite
def _speech(draw: st.DrawFn) -> list[SpokenWord]:
    gaps = draw(st.lists(st.integers(1, 60), min_size=1, max_size=30))
    start = draw(st.integers(0, 50)) / 100
    spans = []
    for gap in gaps:
        tokens = draw(st.integers(1, 4))
        spans.append((start, start + gap / 100, tokens))
        start = round(start + gap / 100, 2)
    first_start = spans[0][0]
    return [SpokenWord(first, end, tokens, first_start, start) for first, end, tokens in spans]


@given(_speech())
def test_order_reach_and_utterance_are_kept(spoken: list[SpokenWord]) -> None:
    placed = place_words(spoken)
    starts = [start for start, _ in placed.times]
    assert starts == sorted(starts)
    for word, (start, end) in zip(spoken, placed.times, strict=True):
        moved = abs(start - word.start)
        assert moved <= MOST_MOVED + EXACT
        assert word.first <= start < word.last
        assert end > start
    for (start, end), (next_start, _) in pairwise(placed.times):
        assert start == next_start or end <= next_start + EXACT


@given(_speech())
def test_counts_are_what_a_reader_of_frames_finds(spoken: list[SpokenWord]) -> None:
    placed = place_words(spoken)
    rooms = [after - before for before, after in pairwise(frames(placed))]
    n_cut = 0
    for room, word in zip(rooms, spoken, strict=False):
        if 0 < room < word.tokens:
            n_cut += 1
    assert placed.lost == rooms.count(0)
    assert placed.cut == n_cut
