"""Turn events and measures: what each label means, and that figures agree with hand-made conversations."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.records.record import TimelineMeasures
from dailytalk_contiguous.core.records.schema import TIMELINE
from dailytalk_contiguous.core.records.utterance import EVENTS
from dailytalk_contiguous.core.turns.timeline import TurnEvent, compare_turns, lost_seconds, sounding_times
from dailytalk_contiguous.core.turns.turn_taking import (
    TERMINAL_OVERLAP,
    Timed,
    TimedConversation,
    join_spans,
    label,
    stretches,
    turn_offsets,
    unions,
)

DRAWN = st.tuples(
    st.sampled_from(["left", "right"]),
    st.integers(0, 30000),
    st.integers(1, 9000),
    st.integers(-1, 2),
)


def timed(name: str, start: int, length: int, run: int) -> Timed:
    """An utterance of times in milliseconds."""
    return Timed(name, start / 1000, (start + length) / 1000, run)


def timed_talk(drawn: list[tuple[str, int, int, int]]) -> list[Timed]:
    return [timed(*utterance) for utterance in drawn]


talk = st.lists(DRAWN, max_size=12).map(timed_talk)


def left(start: float, end: float, run: int = -1) -> Timed:
    return Timed("left", start, end, run)


def right(start: float, end: float, run: int = -1) -> Timed:
    return Timed("right", start, end, run)


def anew(start: float, end: float, length: float) -> TurnEvent:
    return TurnEvent("left", start, end, length)


def kept(start: float, end: float) -> TurnEvent:
    return TurnEvent("right", start, end, end - start, is_kept=True)


@pytest.mark.parametrize(
    ("talked", "labels"),
    [
        ([left(1, 2), right(2.3, 4), right(5, 6), left(6, 7)], "turn turn turn turn"),
        ([left(1, 4), right(4 - TERMINAL_OVERLAP, 6)], "turn overlap"),
        ([left(1, 4), right(3.9 - TERMINAL_OVERLAP, 6)], "turn interruption"),
        ([right(2, 2.5), left(1, 4), right(3.5, 4)], "backchannel turn backchannel"),
        ([left(1, 5), right(1, 2)], "turn backchannel"),
        ([left(0, 12, 3), right(11.8, 12.2), left(12, 20, 3)], "turn backchannel turn"),  # a turn that was cut
        ([left(0, 12, 3), right(11.8, 12.2), left(12.5, 20, 4)], "turn overlap turn"),
        ([left(0, 4), right(3, 5), right(5.1, 6)], "turn interruption turn"),
    ],
)
def test_an_utterance_is_a_turn_an_overlap_an_interruption_or_a_backchannel(
    talked: list[Timed], labels: str
) -> None:
    assert label(talked) == labels.split()


@pytest.mark.parametrize(
    ("talked", "joined"),
    [
        ([left(0, 1), left(1.19, 2), left(2.2, 3), right(2.1, 3)], [[0, 1], [2], [3]]),
        ([left(0, 1, 5), left(4, 5, 5), left(6, 7, 6), right(1, 2, 5)], [[0, 1], [2], [3]]),
    ],
)
def test_short_pauses_and_runs_join_utterances_of_one_speaker(
    talked: list[Timed], joined: list[list[int]]
) -> None:
    assert join_spans(talked) == joined


def test_offsets_are_gaps_above_and_overlaps_below_zero_without_backchannels() -> None:
    talked = [left(0, 4), right(1, 1.5), right(4.25, 6), left(5.5, 8), left(8.5, 9), right(9, 10)]
    offsets = turn_offsets(stretches(talked))
    assert offsets == pytest.approx([0.25, -0.5, 0.0])


@given(talk)
def test_every_utterance_has_one_event_and_lies_in_one_stretch(talked: list[Timed]) -> None:
    labels = label(talked)
    assert set(labels) <= set(EVENTS)
    assert len(labels) == len(talked)
    spoken = stretches(talked)
    members = []
    for stretch in spoken:
        members += stretch.members
    assert sorted(members) == list(range(len(talked)))
    for stretch in spoken:
        if stretch.host is not None:
            host = spoken[stretch.host]
            assert host.channel != stretch.channel
            assert host.start <= stretch.start <= stretch.end <= host.end


@given(talk)
def test_overlap_is_what_a_millisecond_grid_counts(talked: list[Timed]) -> None:
    grid = np.zeros((2, 40000), bool)
    for utterance in talked:
        row = 0 if utterance.channel == "left" else 1
        start = round(utterance.start * 1000)
        end = round(utterance.end * 1000)
        grid[row, start:end] = True
    milliseconds = grid.all(axis=0).sum()
    seconds = unions(talked).overlap_seconds
    assert seconds == pytest.approx(milliseconds / 1000, abs=1e-6)


def test_measures_are_the_columns_of_the_dataset() -> None:
    events = [anew(0, 2, 2.5), kept(2.2, 4), anew(3.8, 6, 2)]
    measured = compare_turns(events, [0, 2.7, 4.3], 7, 7.3, "anchor")
    assert set(msgspec.structs.asdict(measured)) == set(TIMELINE)
    assert measured.mode == "anchor"
    assert measured.source_offset_median == pytest.approx(0.0)
    assert measured.source_offset_p10 == pytest.approx(-0.16)
    assert measured.source_offset_p90 == pytest.approx(0.16)
    assert measured.offset_distance == pytest.approx(0.0)
    assert measured.overlap_seconds == pytest.approx(0.2)
    assert measured.duration_ratio == pytest.approx(7.3 / 7)


def test_an_unchanged_conversation_measures_as_unchanged() -> None:
    events = [anew(0, 4, 4), kept(1, 1.5), kept(3.8, 6), anew(5, 8, 3)]
    starts = [event.start for event in events]
    measured = compare_turns(events, starts, 9, 9, "anchor")
    assert measured.offset_distance == 0
    assert measured.overlap_kept == pytest.approx(1)
    assert measured.overlap_seconds == measured.source_overlap_seconds
    assert measured.overlap_seconds == pytest.approx(1.7)
    assert measured.backchannels == 1
    assert measured.backchannels_kept == 1
    assert measured.lost_speech_seconds == 0


def test_offset_distance_is_how_far_offsets_moved() -> None:
    events = [anew(0, 2, 2), kept(2.1, 4), anew(4.3, 6, 1.7)]
    measured = compare_turns(events, [0, 2.2, 4.4], 7, 7, "anchor")
    assert measured.offset_distance == pytest.approx(0.05)


def with_backchannel_at(start: float, length: float) -> TimelineMeasures:
    """The measures of a turn of 10 s with a backchannel of a second, rebuilt with another start and length."""
    events = [kept(0, 10), anew(4, 5, length)]
    return compare_turns(events, [0, start], 11, 11, "anchor")


def test_a_shorter_backchannel_that_stays_inside_has_kept_its_overlap() -> None:
    inside = with_backchannel_at(4, 0.5)
    assert inside.overlap_kept == pytest.approx(1)
    across = with_backchannel_at(9.75, 0.5)
    assert across.overlap_kept == pytest.approx(0.5)
    assert across.backchannels_kept == 0


def test_a_longer_backchannel_has_kept_its_overlap_only_where_all_of_it_is_inside() -> None:
    inside = with_backchannel_at(4, 1.5)
    assert inside.overlap_kept == pytest.approx(1)
    across = with_backchannel_at(9, 1.5)
    assert across.overlap_kept == pytest.approx(1 / 1.5)


def test_events_sound_as_far_inside_their_edges_after_a_rebuild_as_before() -> None:
    trimmed = TurnEvent("left", 1.0, 3.0, 4.0, start_trim=0.25, end_trim=0.5)
    before, after = sounding_times([trimmed], [2.0])
    assert before == [left(1.25, 2.5)]
    assert after == [left(2.25, 5.5)]
    untrimmed = anew(1, 3, 4)
    before, after = sounding_times([untrimmed], [2.0])
    assert before == [left(1, 3)]
    assert after == [left(2, 6)]


@pytest.mark.parametrize(
    ("starts", "duration", "lost"),
    [
        ([0, 3, 0], 5, 0),
        ([0, 3, 0], 4.5, 0.5),
        ([-0.25, 3, 0], 5, 0.25),
        ([0, 1.5, 0], 5, 0.5),
    ],
)
def test_lost_speech_is_what_was_cut_off_or_laid_over_another(
    starts: list[float], duration: float, lost: float
) -> None:
    events = [kept(0, 2), kept(3, 5), anew(0, 5, 1)]
    seconds = lost_seconds(events, starts, duration)
    assert seconds == pytest.approx(lost, abs=0)  # exactly 0 where nothing is lost
    shortened = events[0]._replace(new_length=1.9)
    seconds = lost_seconds([shortened], [0], 5)
    assert seconds == pytest.approx(0.1)


def timed_conversation(talked: list[Timed], seconds: float) -> TimedConversation:
    return TimedConversation(talked, join_spans(talked), seconds)


def test_fitness_counts_turns_monologues_and_overlap() -> None:
    talked = [left(0, 20), right(5, 5.5), left(21, 40), right(40.5, 42), left(41.9, 45), right(46, 50)]
    figures = timed_conversation(talked, 50.0).fitness()
    assert figures["longest_turn"] == 20
    assert figures["longest_monologue"] == 40
    assert figures["turns_per_window"] == pytest.approx(8)
    assert figures["overlapping_turns"] == pytest.approx(3 / 5)
    assert figures["response"] == pytest.approx(0.5)


def test_silence_of_an_open_line_is_no_monologue() -> None:
    talked = [left(2, 5), left(724, 727), right(727.5, 729), right(735, 740)]
    figures = timed_conversation(talked, 760.0).fitness()
    assert figures["longest_silence"] == 719
    assert figures["longest_monologue"] == 12.5
    voicemail = timed_conversation([left(2, 5)], 760.0).fitness()
    assert voicemail["longest_silence"] == 755
    assert timed_conversation([], 760.0).fitness()["longest_silence"] == 760


def test_overlap_that_the_rebuild_adds_makes_up_for_nothing() -> None:
    events = [kept(0, 5), anew(4, 7, 3), kept(8, 10)]
    measured = compare_turns(events, [0, 6, 8], 11, 11, "anchor")
    assert measured.overlap_seconds == pytest.approx(1)
    assert measured.overlap_kept == 0


def test_measures_of_nothing_are_unknown_and_count_nothing() -> None:
    counts = {"backchannels", "backchannels_kept"}
    seconds = {"overlap_seconds", "source_overlap_seconds", "lost_speech_seconds", "lost_sound_seconds"}
    countable = counts | seconds | {"loudness_gain_db", "loudness_missing_db"}
    measured = compare_turns([], [], 0.0, 0.0, "anchor")
    measures = msgspec.structs.asdict(measured)
    for name in countable:
        assert measures[name] == 0
    for name, value in measures.items():
        assert name in countable or name == "mode" or value is None
