"""The rebuilt timeline: what `rebuild` promises, for any lengths of what is resynthesised."""

from collections.abc import Sequence
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.timeline import TurnEvent, rebuild

CLOSE = 1e-9


#: Lengths in milliseconds: of pauses (from none to long), of speech, and new length over old.
pauses = st.integers(0, 3000) | st.sampled_from([0, 1, 79, 80, 81])
lengths = st.integers(50, 12000)
factors = st.floats(0.4, 2.5)


@st.composite
def conversations(draw: st.DrawFn, shortest_pause: int = 0, fixed: bool = False) -> list[TurnEvent]:
    """No overlap within a channel; any overlap between them. The right channel is kept, the left resynthesised."""
    events = []
    for channel in ("left", "right"):
        at = 0
        for pause, length, factor in draw(st.lists(st.tuples(pauses, lengths, factors), max_size=8)):
            start = at + pause + shortest_pause
            at = start + length
            kept = channel == "right"
            new = (at - start) / 1000 * (1.0 if kept or fixed else factor)
            if kept:
                new = at / 1000 - start / 1000
            events.append(TurnEvent(channel, start / 1000, at / 1000, new, -1, kept))
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
        events.append(
            TurnEvent(channel, first, last, last - first if kept else (last - first) * factor, run, kept)
        )
    return events


def total(events: Sequence[TurnEvent]) -> float:
    return max((event.end for event in events), default=0.0) + 0.7


def in_order(events: Sequence[TurnEvent]) -> list[int]:
    return sorted(range(len(events)), key=lambda i: (events[i].start, events[i].start - events[i].end))


def overlaps(events: Sequence[TurnEvent], starts: Sequence[float], channel: str | None = None) -> float:
    spans = sorted(
        (start, start + event.new_length)
        for event, start in zip(events, starts, strict=True)
        if channel in (None, event.channel)
    )
    return max((before[1] - after[0] for before, after in pairwise(spans)), default=0.0)


@given(conversations())
@pytest.mark.parametrize("mode", ["anchor", "sequential"])
@pytest.mark.parametrize("rate", [None, 24000])
def test_nothing_starts_before_zero_or_overlaps_its_own_channel(
    mode: str, rate: int | None, events: list[TurnEvent]
) -> None:
    rebuilt = rebuild(events, total(events), mode, rate)
    assert len(rebuilt.starts) == len(events)
    assert all(start >= 0 for start in rebuilt.starts)
    for channel in ("left", "right"):
        assert overlaps(events, rebuilt.starts, channel) <= (CLOSE if rate is None else 1.5 / 24000)


@given(conversations(shortest_pause=80, fixed=True))
def test_with_the_old_lengths_everything_stays_where_it_was(events: list[TurnEvent]) -> None:
    rebuilt = rebuild(events, total(events))
    assert rebuilt.starts == pytest.approx([event.start for event in events], abs=CLOSE)
    assert rebuilt.duration == pytest.approx(total(events), abs=CLOSE)


@given(conversations())
@pytest.mark.parametrize("rate", [None, 24000])
def test_sequential_overlaps_nothing_and_keeps_every_gap(rate: int | None, events: list[TurnEvent]) -> None:
    slack = CLOSE if rate is None else 2.5 / 24000
    rebuilt = rebuild(events, total(events), "sequential", rate)
    assert overlaps(events, rebuilt.starts) <= slack
    order = in_order(events)
    end = 0.0
    new_end = 0.0
    for index in order:
        assert rebuilt.starts[index] - new_end == pytest.approx(max(0.0, events[index].start - end), abs=slack)
        end = max(end, events[index].end)
        new_end = rebuilt.starts[index] + events[index].new_length
    assert rebuilt.duration == pytest.approx(new_end + total(events) - end, abs=slack)


@given(messy())
@pytest.mark.parametrize("mode", ["anchor", "sequential"])
def test_edited_transcripts_lose_no_kept_sample_and_blocks_keep_their_distances(
    mode: str, events: list[TurnEvent]
) -> None:
    rate = 24000
    rebuilt = rebuild(events, total(events), mode, rate)
    assert all(start >= 0 for start in rebuilt.starts)
    placed = []
    for event, start in zip(events, rebuilt.starts, strict=True):
        first = round(start * rate)
        source = round(event.start * rate), round(event.end * rate)
        length = source[1] - source[0] if event.kept else round(event.new_length * rate)
        assert first == pytest.approx(start * rate, abs=1e-6)
        assert first + length <= round(rebuilt.duration * rate)
        placed.append((event, first, first + length, first - source[0]))
    for (one, start, end, moved), (other, other_start, other_end, other_moved) in combinations(placed, 2):
        if one.channel != other.channel:
            continue
        if one.kept and other.kept and one.start < other.end and other.start < one.end:
            assert moved == other_moved
        else:
            assert end <= other_start or other_end <= start or min(end - start, other_end - other_start) == 0


def test_kept_pieces_of_one_run_stay_exactly_adjacent_on_the_sample_grid() -> None:
    cuts = [3.00001, 9.12345, 15.98761, 20.5]
    pieces = [TurnEvent("right", a, b, b - a, 4, True) for a, b in pairwise(cuts)]
    events = [TurnEvent("left", 1.0, 2.0, 2.3337), TurnEvent("left", 9.0, 9.5, 1.1, 0), *pieces]
    starts = [round(start * 44100) for start in rebuild(events, 22.0, sample_rate=44100).starts]
    for piece, start, following in zip(pieces, starts[2:], starts[3:], strict=False):
        assert start + round(piece.end * 44100) - round(piece.start * 44100) == following


def test_an_answer_keeps_its_gap() -> None:
    events = [TurnEvent("left", 1.0, 3.0, 2.6), TurnEvent("right", 3.2, 5.0, 1.8, kept=True)]
    rebuilt = rebuild(events, 6.0)
    assert rebuilt.starts == pytest.approx([1.0, 3.8])
    assert rebuilt.duration == pytest.approx(6.6)


def test_an_early_interruption_of_a_turn_that_shrinks_leaves_it_its_first_200_ms() -> None:
    events = [TurnEvent("left", 0.0, 10.0, 8.0), TurnEvent("right", 1.0, 12.0, 11.0, kept=True)]
    assert rebuild(events, 12.0).starts == pytest.approx([0.0, 0.2])
    short_lead = [TurnEvent("left", 0.0, 10.0, 8.0), TurnEvent("right", 0.05, 12.0, 11.95, kept=True)]
    assert rebuild(short_lead, 12.0).starts == pytest.approx([0.0, 0.05])


def test_a_backchannel_keeps_its_share_of_the_room() -> None:
    events = [TurnEvent("right", 1.0, 11.0, 10.0, kept=True), TurnEvent("left", 4.0, 5.0, 2.0)]
    assert rebuild(events, 12.0).starts == pytest.approx([1.0, 1.0 + 3 / 9 * 8])


def test_overlapping_kept_utterances_are_one_block_and_new_ones_follow_each_other() -> None:
    kept = [TurnEvent("right", 2.0, 5.0, 3.0, kept=True), TurnEvent("right", 4.0, 7.0, 3.0, kept=True)]
    assert rebuild([TurnEvent("left", 0.0, 1.0, 1.5), *kept], 8.0).starts == pytest.approx([0.0, 2.5, 4.5])
    anew = [
        TurnEvent("left", 2.0, 5.0, 3.0),
        TurnEvent("left", 4.0, 7.0, 3.0),
        TurnEvent("right", 7.5, 8.0, 0.5, kept=True),
    ]
    rebuilt = rebuild(anew, 8.0)
    assert rebuilt.starts == pytest.approx([2.0, 5.0, 8.5])
    assert rebuilt.duration == pytest.approx(9.0)


def test_a_resynthesised_piece_parts_the_kept_pieces_of_its_run() -> None:
    run = [
        TurnEvent("left", 0, 5, 5, 0, True),
        TurnEvent("left", 5, 10, 20, 0),
        TurnEvent("left", 10, 12, 2, 0, True),
    ]
    assert rebuild(run, 12.0).starts == pytest.approx([0.0, 5.0, 25.0])


def test_an_event_is_pushed_no_further_than_80_ms_after_the_one_before_it() -> None:
    events = [
        TurnEvent("right", 0.0, 9.0, 9.0, kept=True),
        TurnEvent("left", 1.0, 3.0, 5.0),
        TurnEvent("left", 3.5, 4.0, 0.5),
    ]
    starts = rebuild(events, 10.0).starts
    assert starts[2] == pytest.approx(starts[1] + 5.0 + 0.08)


def test_equal_starts_place_the_longer_first() -> None:
    events = [TurnEvent("left", 1.0, 1.5, 0.5), TurnEvent("right", 1.0, 5.0, 4.0, kept=True)]
    assert rebuild(events, 6.0).starts == pytest.approx([1.0, 1.0])
    assert rebuild(events, 6.0, "sequential").starts == pytest.approx([5.0, 1.0])
