"""Turn events and measures: what each label means, and that figures agree with hand-made conversations."""

import math
import random
from collections import Counter
from itertools import pairwise
from operator import itemgetter

import numpy as np
import pytest
from figures import figures
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.schema import TIMELINE
from dailytalk_contiguous.core.timeline import TurnEvent, compare_turns, lost_seconds, rebuild
from dailytalk_contiguous.core.turns import (
    TERMINAL_OVERLAP,
    Timed,
    fitness,
    join_spans,
    label,
    overlap_seconds,
    stretches,
    timing_events,
    turn_offsets,
    unions,
)
from dailytalk_contiguous.core.utterance import EVENTS

ELSEWHERE = {"mode", "lost_sound_seconds", "loudness_gain_db", "loudness_missing_db"}

talk = st.lists(
    st.tuples(st.sampled_from(["left", "right"]), st.integers(0, 30000), st.integers(1, 9000), st.integers(-1, 2)),
    max_size=12,
).map(
    lambda drawn: [Timed(name, start / 1000, (start + length) / 1000, run) for name, start, length, run in drawn]
)


def left(start: float, end: float, run: int = -1) -> Timed:
    return Timed("left", start, end, run)


def right(start: float, end: float, run: int = -1) -> Timed:
    return Timed("right", start, end, run)


def anew(start: float, end: float, length: float) -> TurnEvent:
    return TurnEvent("left", start, end, length)


def kept(start: float, end: float) -> TurnEvent:
    return TurnEvent("right", start, end, end - start, kept=True)


def test_speech_after_a_gap_is_a_turn() -> None:
    assert label([left(1, 2), right(2.3, 4), right(5, 6), left(6, 7)]) == ["turn"] * 4


def test_taking_over_just_before_the_end_is_an_overlap() -> None:
    assert label([left(1, 4), right(4 - TERMINAL_OVERLAP, 6)]) == ["turn", "overlap"]


def test_taking_over_while_the_other_talks_on_is_an_interruption() -> None:
    assert label([left(1, 4), right(3.9 - TERMINAL_OVERLAP, 6)]) == ["turn", "interruption"]


def test_speech_inside_the_others_turn_is_a_backchannel() -> None:
    assert label([right(2, 2.5), left(1, 4), right(3.5, 4)]) == ["backchannel", "turn", "backchannel"]


@pytest.mark.parametrize("shorter_first", [False, True])
def test_of_two_that_begin_together_the_longer_has_the_floor(shorter_first: bool) -> None:
    talked = [left(1, 5), right(1, 2)]
    assert label(talked[::-1] if shorter_first else talked) == (
        ["backchannel", "turn"] if shorter_first else ["turn", "backchannel"]
    )


def test_a_backchannel_over_the_cut_of_a_long_turn_is_inside_it() -> None:
    assert label([left(0, 12, 3), right(11.8, 12.2), left(12, 20, 3)]) == ["turn", "backchannel", "turn"]
    assert label([left(0, 12, 3), right(11.8, 12.2), left(12.5, 20, 4)]) == ["turn", "overlap", "turn"]


def test_short_pauses_and_runs_join_utterances_of_one_speaker() -> None:
    assert join_spans([left(0, 1), left(1.19, 2), left(2.2, 3), right(2.1, 3)]) == [[0, 1], [2], [3]]
    assert join_spans([left(0, 1, 5), left(4, 5, 5), left(6, 7, 6), right(1, 2, 5)]) == [[0, 1], [2], [3]]


def test_only_the_first_utterance_of_a_stretch_takes_the_floor() -> None:
    assert label([left(0, 4), right(3, 5), right(5.1, 6)]) == ["turn", "interruption", "turn"]
    assert label([left(0, 4), right(1, 1.2), right(1.3, 1.5)]) == ["turn", "backchannel", "backchannel"]


def test_offsets_are_gaps_above_and_overlaps_below_zero_without_backchannels() -> None:
    talked = [left(0, 4), right(1, 1.5), right(4.25, 6), left(5.5, 8), left(8.5, 9), right(9, 10)]
    assert turn_offsets(stretches(talked)) == pytest.approx([0.25, -0.5, 0.0])


@given(talk)
def test_every_utterance_has_one_event_and_lies_in_one_stretch(talked: list[Timed]) -> None:
    assert set(label(talked)) <= set(EVENTS)
    assert len(label(talked)) == len(talked)
    found = stretches(talked)
    assert sorted(index for one in found for index in one.members) == list(range(len(talked)))
    for one in found:
        if one.host is not None:
            host = found[one.host]
            assert host.channel != one.channel
            assert host.start <= one.start <= one.end <= host.end


@given(talk)
def test_overlap_is_what_a_millisecond_grid_counts(talked: list[Timed]) -> None:
    grid = np.zeros((2, 40000), bool)
    for one in talked:
        grid[int(one.channel == "right"), round(one.start * 1000) : round(one.end * 1000)] = True
    assert overlap_seconds(talked) == pytest.approx(grid.all(axis=0).sum() / 1000, abs=1e-6)


def test_measures_are_the_columns_of_the_dataset() -> None:
    events = [anew(0, 2, 2.5), kept(2.2, 4), anew(3.8, 6, 2)]
    measured = compare_turns(events, [0, 2.7, 4.3], 7, 7.3)
    assert set(measured) == set(TIMELINE) - ELSEWHERE
    assert measured["source_offset_median"] == pytest.approx(0.0)
    assert measured["source_offset_p10"] == pytest.approx(-0.16)
    assert measured["source_offset_p90"] == pytest.approx(0.16)
    assert measured["offset_distance"] == pytest.approx(0.0)
    assert measured["overlap_seconds"] == pytest.approx(0.2)
    assert measured["duration_ratio"] == pytest.approx(7.3 / 7)


def test_an_unchanged_conversation_measures_as_unchanged() -> None:
    events = [anew(0, 4, 4), kept(1, 1.5), kept(3.8, 6), anew(5, 8, 3)]
    measured = compare_turns(events, [event.start for event in events], 9, 9)
    assert measured["offset_distance"] == 0
    assert measured["overlap_kept"] == pytest.approx(1)
    assert measured["overlap_seconds"] == measured["source_overlap_seconds"] == pytest.approx(1.7)
    assert (measured["backchannels"], measured["backchannels_kept"]) == (1, 1)
    assert measured["lost_speech_seconds"] == 0


def test_offset_distance_is_how_far_offsets_moved() -> None:
    events = [anew(0, 2, 2), kept(2.1, 4), anew(4.3, 6, 1.7)]
    assert compare_turns(events, [0, 2.2, 4.4], 7, 7)["offset_distance"] == pytest.approx(0.05)


def test_a_pause_that_shrinks_makes_no_backchannel_of_what_the_other_said_in_it() -> None:
    events = [anew(0, 2, 2), kept(1.9, 2.25), anew(2.3, 4, 1.7)]
    assert compare_turns(events, [0, 1.9, 2.1], 5, 5)["offset_distance"] == pytest.approx(0.1)


def test_a_shorter_backchannel_that_stays_inside_has_kept_its_overlap() -> None:
    events = [kept(0, 10), anew(4, 5, 0.5)]
    assert compare_turns(events, [0, 4], 11, 11)["overlap_kept"] == pytest.approx(1)
    assert compare_turns(events, [0, 9.75], 11, 11)["overlap_kept"] == pytest.approx(0.5)
    assert compare_turns(events, [0, 9.75], 11, 11)["backchannels_kept"] == 0


def test_overlap_that_the_rebuild_adds_makes_up_for_nothing() -> None:
    events = [kept(0, 5), anew(4, 7, 3), kept(8, 10)]
    measured = compare_turns(events, [0, 6, 8], 11, 11)
    assert measured["overlap_seconds"] == pytest.approx(1)
    assert measured["overlap_kept"] == 0


def test_sequential_loses_all_overlap_and_anchor_none() -> None:
    events = [anew(0, 4, 5), kept(1, 1.5), kept(3.7, 6)]
    for mode, expected in (("anchor", 1.0), ("sequential", 0.0)):
        rebuilt = rebuild(events, 7, mode)
        assert compare_turns(events, rebuilt.starts, 7, rebuilt.duration)["overlap_kept"] == pytest.approx(
            expected
        )


def test_nothing_to_measure_is_nan() -> None:
    for events in ([], [anew(0, 1, 1)]):
        measured = compare_turns(events, [0.0] * len(events), 2, 2)
        assert all(
            math.isnan(measured[f"{name}offset_{q}"]) for name in ("", "source_") for q in ("median", "p10")
        )
        assert math.isnan(measured["offset_distance"])
        assert math.isnan(measured["overlap_kept"])
        assert measured["overlap_seconds"] == 0


def test_lost_speech_is_what_was_cut_off_or_laid_over_another() -> None:
    events = [kept(0, 2), kept(3, 5), anew(0, 5, 1)]
    assert lost_seconds(events, [0, 3, 0], 5) == 0
    assert lost_seconds(events, [0, 3, 0], 4.5) == pytest.approx(0.5)
    assert lost_seconds(events, [-0.25, 3, 0], 5) == pytest.approx(0.25)
    assert lost_seconds(events, [0, 1.5, 0], 5) == pytest.approx(0.5)
    assert lost_seconds([events[0]._replace(new_length=1.9)], [0], 5) == pytest.approx(0.1)


def test_fitness_counts_turns_monologues_and_overlap() -> None:
    talked = [left(0, 20), right(5, 5.5), left(21, 40), right(40.5, 42), left(41.9, 45), right(46, 50)]
    figures = fitness(talked, 50)
    assert figures["longest_turn_seconds"] == 20
    assert figures["longest_monologue_seconds"] == 40
    assert figures["turns_per_window"] == pytest.approx(8)
    assert figures["overlapping_turns"] == pytest.approx(3 / 5)
    assert figures["response_median_seconds"] == pytest.approx(0.5)


def drawn_call(seed: int, count: int = 40) -> list[TurnEvent]:
    """Events of two speakers who wait, overlap, interrupt and answer inside each other's turns."""
    chance = random.Random(seed)
    events, at = [], {"left": 0.0, "right": 0.5}
    for number in range(count):
        channel = chance.choice(["left", "right"])
        start = at[channel] + chance.choice([0.05, 0.15, 0.25, 1.0, 3.0])
        length = chance.choice([0.3, 1.0, 2.5, 6.0])
        is_kept = channel == "right"
        new_length = length if is_kept else round(length * chance.uniform(0.7, 1.4), 3)
        run = number // 9 if chance.random() < 0.5 else -1
        events.append(TurnEvent(channel, round(start, 3), round(start + length, 3), new_length, run, is_kept))
        at[channel] = start + length
    return events


@pytest.mark.parametrize(
    ("mode", "seed", "expected"),
    [
        ("anchor", 1, [24, 3183.860848, 198.1784515, 228.27242649]),
        ("anchor", 2, [24, 3452.3986094, 194.27896773, 229.25682787]),
        ("sequential", 1, [24, 2560.2690525, 176.77300966, 210.7489947]),
        ("sequential", 2, [24, 2536.4091449, 169.0739974, 210.36016174]),
    ],
)
def test_turns_are_measured_as_in_the_version_before(mode: str, seed: int, expected: list[float]) -> None:
    events = drawn_call(seed)
    rebuilt = rebuild(events, 130.0, mode, 16000)
    measured = compare_turns(events, rebuilt.starts, 130.0, rebuilt.duration)
    timed = [Timed(event.channel, event.start, event.end, event.run) for event in events]
    entered = Counter(label(timed)) | {"stretches": len(join_spans(timed))}
    counts = [entered[name] for name in sorted(entered)]
    numbers = [*measured.values(), *fitness(timed, 130.0, 60.0).values(), *counts]
    assert figures(numbers) == pytest.approx(expected, rel=1e-7)


def test_speech_that_only_meets_the_others_touches_none_of_it() -> None:
    assert fitness([left(0, 2), right(2, 4), left(4, 6)], 10)["overlapping_turns"] == 0.0
    assert fitness([left(0, 2), right(1.9, 4), left(4, 6)], 10)["overlapping_turns"] == pytest.approx(2 / 3)


# The timing events of dGSLM

#: Times in 1,024ths of a second, of which sums are exact.
timings = st.lists(
    st.tuples(st.sampled_from(["left", "right"]), st.integers(0, 9000), st.integers(0, 3000)), max_size=12
).map(lambda drawn: [Timed(name, start / 1024, (start + length) / 1024) for name, start, length in drawn])


def shown(talked: list[Timed]) -> list[tuple[str, str, float, float]]:
    return sorted(timing_events(unions(talked)), key=itemgetter(2, 3, 0, 1))


def test_timing_events_of_a_talk_are_units_pauses_gaps_and_overlaps() -> None:
    talked = [
        *(left(1, 2), left(2.1, 3), left(3.5, 4)),  # 0.1 s is no pause, 0.5 s is
        *(right(4.25, 6), right(6.5, 7)),  # a gap; a silence in which the other one speaks is no pause
        left(5, 6.25),
        *(right(8, 8), left(8.5, 9), right(8.5, 10)),  # what has no length is not there
    ]
    assert shown(talked) == [
        ("ipu", "left", 1, 3),
        ("pause", "left", 3, 3.5),
        ("ipu", "left", 3.5, 4),
        ("gap", "right", 4, 4.25),
        ("ipu", "right", 4.25, 6),
        ("overlap", "left", 5, 6),
        ("ipu", "left", 5, 6.25),
        ("gap", "right", 6.25, 6.5),
        ("ipu", "right", 6.5, 7),
        ("pause", "right", 7, 8.5),
        ("ipu", "left", 8.5, 9),
        ("overlap", "left", 8.5, 9),
        ("ipu", "right", 8.5, 10),
    ]


@pytest.mark.parametrize(("silence", "units"), [(0.19, 1), (0.21, 2)])
def test_silence_of_two_tenths_parts_units_of_one_channel_whatever_the_other_does(
    silence: float, units: int
) -> None:
    talked = [left(1, 2), left(2 + silence, 3), right(0, 4)]
    assert [kind for kind, channel, *_ in shown(talked) if channel == "left"].count("ipu") == units


def test_silence_that_two_end_at_once_is_a_pause_of_who_spoke_before_it() -> None:
    for first, second in ((left, right), (right, left)):
        talked = [first(0, 1), first(2, 3), second(2, 4)]
        assert ("pause", first(0, 1).channel, 1, 2) in shown(talked)
        assert not {"gap"} & {kind for kind, *_ in shown(talked)}
        talked = [first(0, 1), second(0, 1), second(2, 4)]
        assert ("pause", second(0, 1).channel, 1, 2) in shown(talked)


@given(timings, st.integers(0, 100))
def test_timing_events_make_up_the_whole_conversation(talked: list[Timed], tail: int) -> None:
    events = shown(talked)
    kinds = ("ipu", "pause", "gap", "overlap")
    seconds = {name: sum(end - start for kind, _, start, end in events if kind == name) for name in kinds}
    units = [Timed(*event[1:]) for event in events if event[0] == "ipu"]
    first, last = min((unit.start for unit in units), default=0), max((unit.end for unit in units), default=0)
    duration = last + tail
    spoken = seconds["ipu"] - seconds["overlap"]
    assert spoken + seconds["pause"] + seconds["gap"] + first + (duration - last) == duration
    assert seconds["overlap"] == overlap_seconds(units)
    assert all(end > start for *_, start, end in events)
    for channel in ("left", "right"):
        own = [unit for unit in units if unit.channel == channel]
        assert all(after.start - before.end >= 0.2 for before, after in pairwise(own))
