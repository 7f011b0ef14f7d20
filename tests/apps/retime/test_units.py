"""What moves as one in a conversation, and where it may be placed."""

from itertools import pairwise
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st
from timed_talks import talk

from dailytalk_contiguous.apps.retime.units import Placing, Unit, units_of
from dailytalk_contiguous.core.turn_ends import HOLD, SHIFT
from dailytalk_contiguous.core.turns import Timed, stretches


def kinds(units: list[Unit]) -> list[tuple[str, float, float]]:
    return [
        (unit.transition.kind, round(unit.transition.offset, 3), round(unit.transition.turn, 3))
        for unit in units
        if unit.transition
    ]


def test_transitions_are_floor_transfers_and_pauses_with_the_turn_before() -> None:
    units = units_of(talk("a", [0.3, 9.6, -0.2]))
    assert kinds(units) == [(SHIFT, 0.3, 1.0), (HOLD, 0.6, 1.0), (SHIFT, -0.2, 2.6)]


#: Offsets of a talk: gaps and terminal overlaps, pauses (9 and more), and the seconds of its turns.
OFFSETS = st.lists(
    st.one_of(st.floats(-0.45, 2.0), st.floats(9.25, 11.0)).map(lambda seconds: round(seconds, 2)),
    min_size=1,
    max_size=12,
)
LENGTHS = st.lists(st.floats(0.7, 4.0).map(lambda seconds: round(seconds, 2)), min_size=1, max_size=5)


@given(OFFSETS, LENGTHS, st.lists(st.floats(-3.0, 3.0), min_size=12, max_size=12), st.sampled_from([1000, 100]))
def test_whatever_is_wanted_nothing_is_cut_and_all_enter_in_their_order(
    offsets: list[float], lengths: list[float], wanted: list[float], steps: int
) -> None:
    row = talk("a", offsets, lengths)
    before = [Timed(said["channel"], said["start"], said["end"]) for said in row["utterances"]]
    for channel in ("left", "right"):  # nobody speaks over themselves
        own = [span for span in before if span.channel == channel]
        assume(all(first.end <= second.start for first, second in pairwise(own)))
    units = units_of(row)
    placing = Placing(units, steps)
    for offset in wanted[: len(units) - 1]:
        least = placing.least
        placed = placing.place(offset)
        assert placed is not None
        assert placed >= max(least, offset - 0.6 / steps) - 1e-6
    assert all(abs(shift * steps - round(shift * steps)) < 1e-6 for shift in placing.shifts)
    moved: dict[int, Timed] = {}
    for unit, shift in zip(units, placing.shifts, strict=True):
        for event in unit.events:
            moved[event.number] = Timed(event.channel, event.start + shift, event.end + shift)
    after = [moved[number] for number in range(len(before))]
    assert _entering(stretches(after)) == _entering(stretches(before))
    for channel in ("left", "right"):
        spans = [span for span in after if span.channel == channel]
        assert all(first.end <= second.start + 1e-6 for first, second in pairwise(spans))


def _entering(speech: list[Any]) -> list[tuple[str, list[int], bool]]:
    return [(stretch.channel, stretch.members, stretch.event == "backchannel") for stretch in speech]
