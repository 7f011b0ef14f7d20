"""What moves as one in a conversation, and where it may be placed."""

from itertools import pairwise
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st
from timed_talks import talk

from dailytalk_contiguous.apps.retime.units import Placing, Unit, units_of
from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.turns.turn_ends import HOLD, SHIFT
from dailytalk_contiguous.core.turns.turn_taking import Timed, stretches


def kinds(units: list[Unit]) -> list[tuple[str, float, float]]:
    transitions = []
    for unit in units:
        if unit.transition:
            offset = round(unit.transition.offset, 3)
            turn = round(unit.transition.turn, 3)
            transitions.append((unit.transition.kind, offset, turn))
    return transitions


def test_transitions_are_floor_transfers_and_pauses_with_the_turn_before() -> None:
    units = units_of(from_finished(talk("a", [0.3, 9.6, -0.2])))
    first, second, third = kinds(units)
    assert first == (SHIFT, 0.3, 1.0)
    assert second == (HOLD, 0.6, 1.0)
    assert third == (SHIFT, -0.2, 2.6)


#: Offsets of a talk: gaps and terminal overlaps, pauses (9 and more), and the seconds of its turns.
GAP = st.floats(-0.45, 2.0).map(lambda seconds: round(seconds, 2))
PAUSE = st.floats(9.25, 11.0).map(lambda seconds: round(seconds, 2))
OFFSETS = st.lists(GAP | PAUSE, min_size=1, max_size=12)
LENGTH = st.floats(0.7, 4.0).map(lambda seconds: round(seconds, 2))
LENGTHS = st.lists(LENGTH, min_size=1, max_size=5)
#: Offsets that are asked for, and steps a second in which units are placed.
WANTED = st.lists(st.floats(-3.0, 3.0), min_size=12, max_size=12)
STEPS = st.sampled_from([1000, 100])


def in_order(spans: list[Timed], slack: float = 0.0) -> bool:
    """Whether each begins after the one before it has ended, within some seconds."""
    return all(first.end <= second.start + slack for first, second in pairwise(spans))


def of_channel(channel: str, spans: list[Timed]) -> list[Timed]:
    return [span for span in spans if span.channel == channel]


@given(OFFSETS, LENGTHS, WANTED, STEPS)
def test_whatever_is_wanted_nothing_is_cut_and_all_enter_in_their_order(
    offsets: list[float], lengths: list[float], wanted: list[float], steps: int
) -> None:
    row = talk("a", offsets, lengths)
    before = []
    for line in row["utterances"]:
        before.append(Timed(line["channel"], line["start"], line["end"]))
    for channel in ("left", "right"):  # nobody speaks over themselves
        assume(in_order(of_channel(channel, before)))
    units = units_of(from_finished(row))
    placing = Placing(units, steps)
    for offset in wanted[: len(units) - 1]:
        least = placing.least
        placed = placing.place_next(offset)
        assert placed is not None
        allowed = max(least, offset - 0.6 / steps)
        assert placed >= allowed - 1e-6
    for shift in placing.shifts:
        n_steps = shift * steps
        assert abs(n_steps - round(n_steps)) < 1e-6
    moved: dict[int, Timed] = {}
    for unit, shift in zip(units, placing.shifts, strict=True):
        for event in unit.events:
            start = event.start + shift
            end = event.end + shift
            moved[event.number] = Timed(event.channel, start, end)
    after = [moved[number] for number in range(len(before))]
    assert _entering(stretches(after)) == _entering(stretches(before))
    for channel in ("left", "right"):
        assert in_order(of_channel(channel, after), slack=1e-6)


def _entering(speech: list[Any]) -> list[tuple[str, list[int], bool]]:
    entering = []
    for stretch in speech:
        is_backchannel = stretch.event == "backchannel"
        entering.append((stretch.channel, stretch.members, is_backchannel))
    return entering
