"""What moves as one when a conversation gets another timing, and where it then begins.

What people do to each other is held: a backchannel stays at its place in the other's words, an interruption at its
distance to what it cuts off, a laugh or a breath beside its speech or in the other's. So the timing of a
conversation is that of the transitions between such units: how long after the last speaker has ended the next one
begins (a floor transfer), or the same one goes on (a pause).
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from dailytalk_contiguous.core.nonspeech_sounds import JOIN
from dailytalk_contiguous.core.timeline import KEPT_PAUSE
from dailytalk_contiguous.core.turn_ends import HOLD, SHIFT
from dailytalk_contiguous.core.turns import PAUSE, TERMINAL_OVERLAP, Stretch, Timed, stretches
from dailytalk_contiguous.core.utterance import sounding_span

#: Kinds of transitions: another speaker takes the floor, or the same one goes on after a pause.
KINDS = (SHIFT, HOLD)

#: Seconds of silence between stretches of one channel: what parts them, and no less by rounding.
APART = PAUSE + 1e-6

#: Seconds of the next turn that are after the end of the one it overlaps: else it would be a backchannel.
OUTLASTS = 0.1


class UnitEvent(NamedTuple):
    """An utterance or a sound of a channel, in seconds of its conversation, and its place in its column."""

    channel: str
    start: float
    end: float
    column: str
    number: int


class Transition(NamedTuple):
    """How a unit follows the one before it.

    Attributes:
        kind: of `KINDS`.
        offset: seconds from the end of the speech before to the start of the next; negative is overlap.
        turn: seconds of the turn before, from when its speaker took the floor.
    """

    kind: str
    offset: float
    turn: float


class Unit(NamedTuple):
    """Events that move as one, in seconds of the conversation.

    Attributes:
        events: in no order.
        speech: the stretches of both channels (`core.turns.Stretch`), by start; the first one takes the floor, or
            goes on with it.
        transition: how it follows the unit before; None of the first.
    """

    events: list[UnitEvent]
    speech: list[Stretch]
    transition: Transition | None

    @property
    def start(self) -> float:
        return self.speech[0].start

    @property
    def end(self) -> float:
        """When the last that holds the floor in it ends."""
        return self.last.end

    @property
    def last(self) -> Stretch:
        """The stretch that holds the floor at its end."""
        return max((part for part in self.speech if part.event != "backchannel"), key=lambda part: part.end)


def units_of(row: Mapping[str, Any]) -> list[Unit]:
    """The units of a finished conversation, in order; none where nobody speaks."""
    heard = [(number, said) for number, said in enumerate(row["utterances"] or ()) if said["status"] != "dropped"]
    timed = [Timed(said["channel"], *(sounding_span(said) or (0.0, 0.0))) for _, said in heard]
    speech = stretches(timed)
    if not speech:
        return []
    unit_of: list[int] = []
    floors: list[int] = []
    for number, stretch in enumerate(speech):
        if stretch.host is not None:
            unit_of.append(unit_of[stretch.host])
        elif floors and stretch.event == "interruption":
            unit_of.append(unit_of[floors[-1]])
        else:
            unit_of.append(unit_of[floors[-1]] + 1 if floors else 0)
        if stretch.host is None:
            floors.append(number)
    units = [Unit([], [], transition) for transition in (None, *_transitions(speech, floors, unit_of))]
    for number, stretch in zip(unit_of, speech, strict=True):
        members = [heard[member] for member in stretch.members]
        units[number].speech.append(stretch._replace(members=[index for index, _ in members]))
        units[number].events.extend(
            UnitEvent(said["channel"], said["start"], said["end"], "utterances", index) for index, said in members
        )
    _add_sounds(units, row["sounds"] or ())
    return _joined(units)


def _transitions(speech: Sequence[Stretch], floors: Sequence[int], unit_of: Sequence[int]) -> Iterator[Transition]:
    """How each unit but the first follows the one before."""
    taken = speech[floors[0]].start
    for before, after in pairwise(floors):
        last = speech[before]
        entering = speech[after]
        kind = HOLD if entering.channel == last.channel else SHIFT
        if unit_of[after] != unit_of[before]:
            yield Transition(kind, entering.start - last.end, last.end - taken)
        if kind == SHIFT:
            taken = entering.start


def _add_sounds(units: Sequence[Unit], sounds: Sequence[Mapping[str, Any]]) -> None:
    """Add each laugh or breath to the unit of its own speech beside it, the other's around it, or the nearest.

    Of two that are as near it is the first.
    """
    speech = [(event, unit) for unit in units for event in unit.events]
    for number, sound in enumerate(sounds):
        laugh = UnitEvent(sound["channel"], sound["start"], sound["end"], "sounds", number)
        _, home = min(speech, key=lambda pair: _distance(laugh, pair[0]))
        home.events.append(laugh)


def _distance(sound: UnitEvent, speech: UnitEvent) -> tuple[int, float]:
    away = max(speech.start - sound.end, sound.start - speech.end, 0.0)
    if speech.channel == sound.channel and away <= JOIN:
        return 0, away
    is_around = speech.channel != sound.channel and speech.start <= sound.start < speech.end
    return (1, 0.0) if is_around else (2, away)


def _joined(units: Sequence[Unit]) -> list[Unit]:
    """Units of which events of one channel overlap as one, with those between: what is in both can't be parted."""
    numbered = [(event, number) for number, unit in enumerate(units) for event in unit.events]
    numbered.sort(key=lambda pair: (pair[0].start, pair[0].end))
    last: dict[str, tuple[UnitEvent, int]] = {}
    tied: set[int] = set()  # numbers of units that are one with the unit before
    for event, number in numbered:
        before, of_before = last.get(event.channel, (event, number))
        if event.start < before.end:
            tied.update(range(min(number, of_before) + 1, max(number, of_before) + 1))
        if event.end >= before.end:
            last[event.channel] = event, number
    joined: list[Unit] = []
    for number, unit in enumerate(units):
        if number in tied:
            whole = joined[-1]
            whole.events.extend(unit.events)
            whole.speech.extend(unit.speech)
            whole.speech.sort(key=lambda stretch: stretch.start)
        else:
            joined.append(unit)
    return joined


class Placing:
    """Places the units of a conversation one after another; no event is cut, and no turn changes its kind."""

    def __init__(self, units: Sequence[Unit], steps: int) -> None:
        """`steps`: by how many parts of a second units move."""
        self.units = units
        self.steps = steps
        self.shifts: list[float] = []
        self._reach: dict[str, float] = defaultdict(lambda: -math.inf)
        self._was: dict[str, float] = defaultdict(lambda: -math.inf)
        self._spoken: dict[str, float] = defaultdict(lambda: -math.inf)
        self._put(0.0)

    @property
    def next(self) -> Unit:
        return self.units[len(self.shifts)]

    @property
    def least(self) -> float:
        """The least offset that the next unit can have.

        Events of one channel keep their distance, up to `KEPT_PAUSE`, and stretches of speech the silence that
        parts them (`APART`); a turn that begins while the last one ends began after it, and outlasts it.
        """
        unit = self.next
        before = self.units[len(self.shifts) - 1]
        last = before.last
        moved = []
        for event in unit.events:
            reach = self._reach[event.channel]
            if reach > -math.inf:
                gap = min(max(0.0, event.start - self._was[event.channel]), KEPT_PAUSE)
                moved.append(reach + gap - event.start)
        moved += [self._spoken[stretch.channel] + APART - stretch.start for stretch in unit.speech]
        floor = APART if unit.transition and unit.transition.kind == HOLD else -TERMINAL_OVERLAP
        shorter = min(unit.speech[0].end - unit.start, last.end - last.start)
        moved += [-event.start for event in unit.events]  # nothing begins before the conversation
        return max(floor, OUTLASTS - shorter, max(moved) + unit.start - last.end - self.shifts[-1])

    def place(self, offset: float, low: float = -math.inf, high: float = math.inf) -> float | None:
        """Place the next unit so that it begins about `offset` seconds after the speech before it ends.

        Returns the offset that it has: a whole step later than it was, never less than `least`, and within `low`
        and `high`; None, and nothing is placed, if there is no such step.
        """
        end = self.units[len(self.shifts) - 1].end + self.shifts[-1]
        wanted, first, last = (
            (seconds + end - self.next.start) * self.steps for seconds in (offset, max(low, self.least), high)
        )
        first = math.ceil(first - 1e-6)
        last = last + 1e-6
        step = max(round(wanted), first)
        if step > last:  # rounded up, and over it
            step = max(math.floor(wanted), first)
        if step > last:
            return None
        self._put(step / self.steps)
        return self.units[len(self.shifts) - 1].start + self.shifts[-1] - end

    def _put(self, shift: float) -> None:
        unit = self.next
        for event in unit.events:
            self._reach[event.channel] = max(self._reach[event.channel], event.end + shift)
            self._was[event.channel] = max(self._was[event.channel], event.end)
        for stretch in unit.speech:
            self._spoken[stretch.channel] = max(self._spoken[stretch.channel], stretch.end + shift)
        self.shifts.append(shift)
