"""The units that move as one when a conversation gets another timing, and where they then begin.

Sounds that belong together stay so: a backchannel stays at its place in the other's words, an interruption at its
distance to what it cuts off, a laugh or a breath beside its speech or in the other's. So the timing of a
conversation is that of the transitions between such units: how long after the last speaker has ended the next one
begins (a floor transfer), or the same one goes on (a pause).
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.record import MovedSound
from dailytalk_contiguous.core.sound.nonspeech_sounds import JOIN
from dailytalk_contiguous.core.turns.timeline import KEPT_PAUSE
from dailytalk_contiguous.core.turns.turn_ends import HOLD, SHIFT
from dailytalk_contiguous.core.turns.turn_taking import PAUSE, TERMINAL_OVERLAP, Stretch, Timed, stretches

#: Kinds of transitions: another speaker takes the floor, or the same one goes on after a pause.
KINDS = (SHIFT, HOLD)

#: Seconds of silence between stretches of one channel: what parts them, and no less by rounding.
APART = PAUSE + 1e-6


class UnitEvent(NamedTuple):
    """An utterance or a sound of a channel, in seconds of its conversation, and its number in its column."""

    channel: str
    start: float
    end: float
    column: str
    number: int


class Transition(NamedTuple):
    """The transition to a unit from the one before it.

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
        speech: the stretches of both channels (`core.turns.turn_taking.Stretch`), by start; the first one takes
            the floor, or goes on with it.
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
        floors = [stretch for stretch in self.speech if stretch.event != "backchannel"]
        return max(floors, key=lambda stretch: stretch.end)


def units_of(talk: Conversation) -> list[Unit]:
    """The units of a finished conversation, in order; none where nobody speaks."""
    heard: list[int] = []
    timed: list[Timed] = []
    for index, utterance in enumerate(talk.utterances):
        span = utterance.new_sounding
        if utterance.is_heard and span is not None:
            heard.append(index)
            timed.append(Timed(utterance.channel, *span))
    speech = stretches(timed)
    if not speech:
        return []
    unit_of: list[int] = []
    floors: list[int] = []
    for number, stretch in enumerate(speech):
        if stretch.host is not None:
            unit_of.append(unit_of[stretch.host])
            continue
        if not floors:
            unit_of.append(0)
        elif stretch.event == "interruption":
            unit_of.append(unit_of[floors[-1]])
        else:
            unit_of.append(unit_of[floors[-1]] + 1)
        floors.append(number)
    units = [Unit([], [], None)]
    for transition in _transitions(speech, floors, unit_of):
        units.append(Unit([], [], transition))
    for number, stretch in zip(unit_of, speech, strict=True):
        members = [heard[member] for member in stretch.members]
        units[number].speech.append(stretch._replace(members=members))
        for index in members:
            utterance = talk.utterances[index]
            span = utterance.new_span
            if span is not None:
                event = UnitEvent(utterance.channel, span.start, span.end, "utterances", index)
                units[number].events.append(event)
    _add_sounds(units, talk.sounds)
    return _joined(units)


def _transitions(speech: Sequence[Stretch], floors: Sequence[int], unit_of: Sequence[int]) -> Iterator[Transition]:
    """Yield the transition to each unit but the first."""
    turn_start = speech[floors[0]].start
    for before, after in pairwise(floors):
        last = speech[before]
        entering = speech[after]
        kind = HOLD if entering.channel == last.channel else SHIFT
        if unit_of[after] != unit_of[before]:
            offset = entering.start - last.end
            yield Transition(kind, offset, last.end - turn_start)
        if kind == SHIFT:
            turn_start = entering.start


def _add_sounds(units: Sequence[Unit], sounds: Sequence[MovedSound]) -> None:
    """Add each laugh or breath to the unit of its own speech beside it, the other's around it, or the nearest.

    If two are as near, it is added to the first.
    """
    speech = [(event, unit) for unit in units for event in unit.events]
    for number, sound in enumerate(sounds):
        laugh = UnitEvent(sound.channel, sound.new_start, sound.new_end, "sounds", number)
        _, home = min(speech, key=lambda pair: _distance(laugh, pair[0]))
        home.events.append(laugh)


def _distance(sound: UnitEvent, speech: UnitEvent) -> tuple[int, float]:
    """Return the distance of a sound from speech: the rank of their relation, and the seconds between them."""
    seconds = max(speech.start - sound.end, sound.start - speech.end, 0.0)
    is_own = speech.channel == sound.channel
    if is_own and seconds <= JOIN:
        return 0, seconds
    if not is_own and speech.start <= sound.start < speech.end:
        return 1, 0.0
    return 2, seconds


def _joined(units: Sequence[Unit]) -> list[Unit]:
    """Join units if events of theirs overlap in one channel, with the units between: they can't be parted."""
    numbered = [(event, number) for number, unit in enumerate(units) for event in unit.events]
    numbered.sort(key=lambda pair: (pair[0].start, pair[0].end))
    last: dict[str, tuple[UnitEvent, int]] = {}
    tied: set[int] = set()  # numbers of units that are one with the unit before
    for event, number in numbered:
        before, number_before = last.get(event.channel, (event, number))
        if event.start < before.end:
            first = min(number, number_before)
            tied.update(range(first + 1, max(number, number_before) + 1))
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


#: Seconds of the next turn that are after the end of the one it overlaps: else it would be a backchannel.
OUTLASTS = 0.1


class Placing:
    """Places the units of a conversation one after another; no event is cut, and no turn changes its kind."""

    def __init__(self, units: Sequence[Unit], steps: int) -> None:
        """`steps`: into how many steps a second is divided; units move by whole steps."""
        self.units = units
        self.steps = steps
        self.shifts: list[float] = []
        # When the last event of each channel ends, now and as it was; when its last speech ends now.
        self._end: dict[str, float] = defaultdict(lambda: -math.inf)
        self._recorded_end: dict[str, float] = defaultdict(lambda: -math.inf)
        self._speech_end: dict[str, float] = defaultdict(lambda: -math.inf)
        self._put(0.0)

    @property
    def next(self) -> Unit:
        return self.units[len(self.shifts)]

    @property
    def _last(self) -> Unit:
        """The unit that was placed last."""
        return self.units[len(self.shifts) - 1]

    @property
    def least(self) -> float:
        """The least offset that the next unit can have.

        Events of one channel keep their distance, up to `KEPT_PAUSE`, and stretches of speech the silence that
        parts them (`APART`); a turn that begins while the last one ends began after it, and outlasts it.
        """
        unit = self.next
        last = self._last.last
        least_shifts: list[float] = []
        for event in unit.events:
            end = self._end[event.channel]
            if end > -math.inf:
                recorded_gap = max(0.0, event.start - self._recorded_end[event.channel])
                gap = min(recorded_gap, KEPT_PAUSE)
                least_shifts.append(end + gap - event.start)
        for stretch in unit.speech:
            speech_end = self._speech_end[stretch.channel]
            least_shifts.append(speech_end + APART - stretch.start)
        for event in unit.events:
            least_shifts.append(-event.start)  # nothing begins before the conversation
        floor = -TERMINAL_OVERLAP
        if unit.transition and unit.transition.kind == HOLD:
            floor = APART
        shorter = min(unit.speech[0].end - unit.start, last.end - last.start)
        least_offset = max(least_shifts) + unit.start - last.end - self.shifts[-1]
        return max(floor, OUTLASTS - shorter, least_offset)

    def place_next(self, offset: float, low: float = -math.inf, high: float = math.inf) -> float | None:
        """Place the next unit so that it begins about `offset` seconds after the speech before it ends.

        Returns the offset that it has: a whole step later than it was, never less than `least`, and within `low`
        and `high`; None, and nothing is placed, if there is no such step.
        """
        end = self._last.end + self.shifts[-1]
        start = self.next.start
        wanted = (offset + end - start) * self.steps
        lowest = (max(low, self.least) + end - start) * self.steps
        highest = (high + end - start) * self.steps
        first = math.ceil(lowest - 1e-6)
        last = highest + 1e-6
        step = max(round(wanted), first)
        if step > last:  # rounded up, and over it
            step = max(math.floor(wanted), first)
        if step > last:
            return None
        self._put(step / self.steps)
        return self._last.start + self.shifts[-1] - end

    def _put(self, shift: float) -> None:
        unit = self.next
        for event in unit.events:
            channel = event.channel
            self._end[channel] = max(self._end[channel], event.end + shift)
            self._recorded_end[channel] = max(self._recorded_end[channel], event.end)
        for stretch in unit.speech:
            channel = stretch.channel
            self._speech_end[channel] = max(self._speech_end[channel], stretch.end + shift)
        self.shifts.append(shift)
