"""The rebuilt timeline: what `rebuild` promises, for any lengths of what is resynthesised."""

from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.turns.timeline import TurnEvent, rebuild

CLOSE = 1e-9

#: Hz, of most rebuilt conversations.
RATE = 24000


#: Lengths in milliseconds: of pauses (from none to long), of speech, and new length over old.
pauses = st.integers(0, 3000) | st.sampled_from([0, 1, 79, 80, 81])
lengths = st.integers(50, 12000)
factors = st.floats(0.4, 2.5)
PIECES = st.lists(st.tuples(pauses, lengths, factors), max_size=8)


@st.composite
def conversations(draw: st.DrawFn, shortest_pause: int = 0, fixed: bool = False) -> list[TurnEvent]:
    """No overlap within a channel; any overlap between them. The right channel is kept, the left resynthesised."""
    events = []
    for channel in ("left", "right"):
        kept = channel == "right"
        end = 0
        for pause, length, factor in draw(PIECES):
            start = end + pause + shortest_pause
            end = start + length
            first = start / 1000
            last = end / 1000
            if kept:
                new_length = last - first
            elif fixed:
                new_length = length / 1000
            else:
                new_length = length / 1000 * factor
            event = TurnEvent(channel, first, last, new_length, -1, kept)
            events.append(event)
    return draw(st.permutations(events))


@st.composite
def messy(draw: st.DrawFn) -> list[TurnEvent]:
    """Overlaps within a channel, runs, and kept events among those resynthesised."""
    drawn = st.tuples(
        st.sampled_from(["left", "right"]),
        st.integers(0, 20000),
        lengths,
        factors,
        st.integers(-1, 3),
        st.booleans(),
    )
    events = []
    for channel, start, length, factor, run, kept in draw(st.lists(drawn, max_size=10)):
        first = start / 1000
        last = (start + length) / 1000
        kept = kept or channel == "right"
        length = last - first
        new_length = length if kept else length * factor
        event = TurnEvent(channel, first, last, new_length, run, kept)
        events.append(event)
    return events


def total(events: Sequence[TurnEvent]) -> float:
    ends = [event.end for event in events]
    return max(ends, default=0.0) + 0.7


def in_order(events: Sequence[TurnEvent]) -> list[int]:
    def key(index: int) -> tuple[float, float]:
        event = events[index]
        return event.start, event.start - event.end

    return sorted(range(len(events)), key=key)


def overlaps(events: Sequence[TurnEvent], starts: Sequence[float], channel: str | None = None) -> float:
    """The longest overlap of an event with the next one, of one channel or of both."""
    spans = []
    for event, start in zip(events, starts, strict=True):
        if channel in (None, event.channel):
            spans.append((start, start + event.new_length))
    longest = 0.0
    for (_, end), (start, _) in pairwise(sorted(spans)):
        longest = max(longest, end - start)
    return longest


@given(conversations())
@pytest.mark.parametrize("mode", ["anchor", "sequential"])
def test_nothing_starts_before_zero_or_overlaps_its_own_channel(mode: str, events: list[TurnEvent]) -> None:
    rebuilt = rebuild(events, total(events), mode, RATE)
    assert len(rebuilt.starts) == len(events)
    assert all(start >= 0 for start in rebuilt.starts)
    slack = 1.5 / RATE
    for channel in ("left", "right"):
        assert overlaps(events, rebuilt.starts, channel) <= slack


@given(conversations(shortest_pause=80, fixed=True))
def test_with_the_old_lengths_everything_stays_where_it_was(events: list[TurnEvent]) -> None:
    rebuilt = rebuild(events, total(events), "anchor", 1000)  # its times are whole milliseconds
    starts = [event.start for event in events]
    assert rebuilt.starts == pytest.approx(starts, abs=CLOSE)
    duration = total(events)
    assert rebuilt.duration == pytest.approx(duration, abs=CLOSE)


@given(conversations())
def test_sequential_overlaps_nothing_and_keeps_every_gap(events: list[TurnEvent]) -> None:
    slack = 2.5 / RATE
    rebuilt = rebuild(events, total(events), "sequential", RATE)
    assert overlaps(events, rebuilt.starts) <= slack
    end = 0.0
    new_end = 0.0
    for index in in_order(events):
        event = events[index]
        new_start = rebuilt.starts[index]
        gap = max(0.0, event.start - end)
        assert new_start - new_end == pytest.approx(gap, abs=slack)
        end = max(end, event.end)
        new_end = new_start + event.new_length
    duration = new_end + total(events) - end
    assert rebuilt.duration == pytest.approx(duration, abs=slack)


class Placed(NamedTuple):
    """An event, and where the rebuild has placed it, in samples."""

    event: TurnEvent
    start: int
    end: int
    moved: int


def place(event: TurnEvent, start: float, rate: int) -> Placed:
    first = round(start * rate)
    source_start = round(event.start * rate)
    source_end = round(event.end * rate)
    length = source_end - source_start if event.is_kept else round(event.new_length * rate)
    return Placed(event, first, first + length, first - source_start)


def are_one_block(event: TurnEvent, other: TurnEvent) -> bool:
    is_overlap = event.start < other.end and other.start < event.end
    return event.is_kept and other.is_kept and is_overlap


@given(messy())
@pytest.mark.parametrize("mode", ["anchor", "sequential"])
def test_edited_transcripts_lose_no_kept_sample_and_blocks_keep_their_distances(
    mode: str, events: list[TurnEvent]
) -> None:
    rebuilt = rebuild(events, total(events), mode, RATE)
    assert all(start >= 0 for start in rebuilt.starts)
    placed = []
    for event, start in zip(events, rebuilt.starts, strict=True):
        here = place(event, start, RATE)
        assert here.start == pytest.approx(start * RATE, abs=1e-6)
        assert here.end <= round(rebuilt.duration * RATE)
        placed.append(here)
    for here, other in combinations(placed, 2):
        if here.event.channel != other.event.channel:
            continue
        if are_one_block(here.event, other.event):
            assert here.moved == other.moved
        else:
            is_apart = here.end <= other.start or other.end <= here.start
            lengths = (here.end - here.start, other.end - other.start)
            assert is_apart or min(lengths) == 0


def test_kept_pieces_of_one_run_stay_exactly_adjacent_on_the_sample_grid() -> None:
    rate = 44100
    cuts = [3.00001, 9.12345, 15.98761, 20.5]
    pieces = []
    for start, end in pairwise(cuts):
        piece = TurnEvent("right", start, end, end - start, 4, True)
        pieces.append(piece)
    first = TurnEvent("left", 1.0, 2.0, 2.3337)
    second = TurnEvent("left", 9.0, 9.5, 1.1, 0)
    rebuilt = rebuild([first, second, *pieces], 22.0, "anchor", rate)
    starts = [round(start * rate) for start in rebuilt.starts[2:]]
    for piece, start, following in zip(pieces, starts, starts[1:], strict=False):
        source_start = round(piece.start * rate)
        source_end = round(piece.end * rate)
        assert start + source_end - source_start == following


def anew(start: float, end: float, length: float) -> TurnEvent:
    return TurnEvent("left", start, end, length)


def kept(start: float, end: float) -> TurnEvent:
    return TurnEvent("right", start, end, end - start, is_kept=True)


def test_an_answer_keeps_its_gap() -> None:
    events = [anew(1.0, 3.0, 2.6), kept(3.2, 5.0)]
    rebuilt = rebuild(events, 6.0, "anchor", RATE)
    assert rebuilt.starts == pytest.approx([1.0, 3.8])
    assert rebuilt.duration == pytest.approx(6.6)


@pytest.mark.parametrize(("interrupted_at", "placed_at"), [(1.0, 0.2), (0.05, 0.05)])
def test_an_early_interruption_of_a_turn_that_shrinks_leaves_it_its_first_200_ms(
    interrupted_at: float, placed_at: float
) -> None:
    events = [anew(0.0, 10.0, 8.0), kept(interrupted_at, 12.0)]
    starts = rebuild(events, 12.0, "anchor", RATE).starts
    assert starts == pytest.approx([0.0, placed_at])


def test_a_backchannel_keeps_its_share_of_the_room() -> None:
    events = [kept(1.0, 11.0), anew(4.0, 5.0, 2.0)]
    starts = rebuild(events, 12.0, "anchor", RATE).starts
    share_of_room = 3 / 9 * 8
    assert starts == pytest.approx([1.0, 1.0 + share_of_room])


def test_overlapping_kept_utterances_are_one_block_and_new_ones_follow_each_other() -> None:
    overlapping = [anew(0.0, 1.0, 1.5), kept(2.0, 5.0), kept(4.0, 7.0)]
    starts = rebuild(overlapping, 8.0, "anchor", RATE).starts
    assert starts == pytest.approx([0.0, 2.5, 4.5])
    resynthesised = [anew(2.0, 5.0, 3.0), anew(4.0, 7.0, 3.0), kept(7.5, 8.0)]
    rebuilt = rebuild(resynthesised, 8.0, "anchor", RATE)
    assert rebuilt.starts == pytest.approx([2.0, 5.0, 8.5])
    assert rebuilt.duration == pytest.approx(9.0)


def test_a_resynthesised_piece_parts_the_kept_pieces_of_its_run() -> None:
    run = [
        TurnEvent("left", 0, 5, 5, 0, True),
        TurnEvent("left", 5, 10, 20, 0),
        TurnEvent("left", 10, 12, 2, 0, True),
    ]
    starts = rebuild(run, 12.0, "anchor", RATE).starts
    assert starts == pytest.approx([0.0, 5.0, 25.0])


def test_an_event_is_pushed_no_further_than_80_ms_after_the_one_before_it() -> None:
    events = [kept(0.0, 9.0), anew(1.0, 3.0, 5.0), anew(3.5, 4.0, 0.5)]
    starts = rebuild(events, 10.0, "anchor", RATE).starts
    end_of_first = starts[1] + 5.0
    assert starts[2] == pytest.approx(end_of_first + 0.08)


def test_equal_starts_place_the_longer_first() -> None:
    events = [anew(1.0, 1.5, 0.5), kept(1.0, 5.0)]
    anchored = rebuild(events, 6.0, "anchor", RATE)
    sequential = rebuild(events, 6.0, "sequential", RATE)
    assert anchored.starts == pytest.approx([1.0, 1.0])
    assert sequential.starts == pytest.approx([5.0, 1.0])
