"""Where every utterance goes when one side of a conversation is resynthesised and lasts longer or shorter.

`anchor` keeps what people do to each other: answers keep their gap, backchannels stay inside the turn they
belong to, interruptions keep their distance to the end of what they cut off. `sequential` lays everything end to
end with its gaps and gives up all overlap. Only the quiet between events changes: no event is cut, and events of
one channel never overlap, because both would lose speech.
"""

import heapq
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

#: How to place: see the module and `rebuild`.
MODES = ("anchor", "sequential")

#: Seconds of quiet that stay before an event of the same channel which has to be pushed right, where the source
#: had as much. Under the shortest pauses that listeners notice (about 0.12 s: Heldner 2011, "Detection thresholds
#: for gaps, overlaps, and no-gap-no-overlaps"), so that pushing costs as little overlap as possible.
KEPT_PAUSE = 0.08

#: Seconds that an interrupted turn gets for itself at least, where it had as much in the source. Without it the
#: interruption of a 10 s turn that shrinks to 8 s could begin before that turn.
KEPT_LEAD = 0.2

#: Seconds by which the length of a kept event may differ from its source (rounding to samples).
ROUNDING = 0.001


class Event(NamedTuple):
    """Something on one channel of the source, at `start`..`end`, that lasts `new_length` in the rebuilt one (s).

    `kept`: its own samples are used, so that `new_length` is `end - start`. `run`: a number that pieces cut from
    one run of speech on this channel share; -1 for an event that was not cut.
    """

    channel: str
    start: float
    end: float
    new_length: float
    run: int = -1
    kept: bool = False


class Rebuilt(NamedTuple):
    """The new start of every event, in the order given, and the new duration of the conversation, in seconds."""

    starts: list[float]
    duration: float


class _Unit(NamedTuple):
    """What moves as one. `start` and `end` in the source, `length` rebuilt, events with their distance to `start`.

    Units of one channel are in order and do not overlap: the latest one is also the one that reaches furthest.
    """

    channel: str
    start: float
    end: float
    length: float
    events: list[tuple[int, float]]


class _Clock(NamedTuple):
    """How time is counted: in seconds, or in whole samples. `whole` rounds to what can be counted."""

    ticks: Callable[[float], float]
    whole: Callable[[float], float]
    per_second: float


class _Past(NamedTuple):
    """What has been placed: the latest unit of each channel with its new start, and the furthest ends of all."""

    latest: dict[str, tuple[_Unit, float]]
    end: float = 0.0
    new_end: float = 0.0

    def then(self, unit: _Unit, start: float) -> "_Past":
        latest = {**self.latest, unit.channel: (unit, start)}
        return _Past(latest, max(self.end, unit.end), max(self.new_end, start + unit.length))


def rebuild(
    events: Sequence[Event], duration: float, mode: str = "anchor", sample_rate: int | None = None
) -> Rebuilt:
    """Place all events, taken in order of their source start (equal starts: the longer first).

    In both modes events of one channel never overlap, kept events that overlap or belong to one run move as one
    block with the distances inside it unchanged, and the conversation ends with the source's own tail. Where
    resynthesised events overlap in the source, the time belongs to the one that began first. With P the other
    channel's event so far that reaches furthest in the source, `anchor` places an event that

    1. starts after P has ended, or has no P: at its source gap from the furthest end so far;
    2. starts and ends inside P (a backchannel): at the same share of the room that P leaves it, and so inside P
       whenever it is not longer;
    3. starts inside P and outlasts it: at its distance to P's end, but not before P's start and the lead it had
       over it, up to `KEPT_LEAD`;

    and then as little later as leaves its gap, up to `KEPT_PAUSE`, after the same channel's previous event.
    `sequential` places every event at its source gap, or at 0 where the source overlaps, from the end before it.

    Args:
        events: of at most two channels, in any order. What the rebuilt conversation leaves out is not passed.
        duration: of the source, in seconds.
        mode: one of `MODES`.
        sample_rate: in Hz; if given, all times count in whole samples (source time `t` is sample
            `round(t * sample_rate)`), every guarantee holds to the sample, and `round(start * sample_rate)` is
            the sample at which an event begins. A kept event then has the samples from `round(start * rate)`
            to `round(end * rate)` of its source.

    Raises ValueError for events that can not be (negative times, a third channel, a kept event whose length
    changes) and for an unknown mode.
    """
    _check(events, mode)
    clock = _clock(sample_rate)
    channels = [_units(events, channel, clock) for channel in dict.fromkeys(event.channel for event in events)]
    place = _anchored if mode == "anchor" else _after_all
    starts = [0.0] * len(events)
    past = _Past({})
    # Heads are compared, not sorted, so that the order inside a channel stays as `_units` made it.
    for unit in heapq.merge(*channels, key=lambda unit: (unit.start, unit.start - unit.end, unit.events[0][0])):
        start = place(unit, past, clock)
        past = past.then(unit, start)
        for index, distance in unit.events:
            starts[index] = (start + distance) / clock.per_second
    tail = max(0.0, clock.ticks(duration) - past.end)
    return Rebuilt(starts, (past.new_end + tail) / clock.per_second)


def _anchored(unit: _Unit, past: _Past, clock: _Clock) -> float:
    start = _by_other(unit, past, clock)
    if unit.channel not in past.latest:
        return start
    before, before_start = past.latest[unit.channel]
    pause = min(unit.start - before.end, clock.ticks(KEPT_PAUSE))
    return max(start, before_start + before.length + pause)


def _by_other(unit: _Unit, past: _Past, clock: _Clock) -> float:
    """Where a unit belongs by its relation to the other channel alone: rules 1 to 3 of `rebuild`."""
    other = next((placed for channel, placed in past.latest.items() if channel != unit.channel), None)
    if other is None or unit.start >= other[0].end:
        return _after_all(unit, past, clock)
    turn, turn_start = other
    lead = unit.start - turn.start
    if unit.end <= turn.end:
        room = turn.end - turn.start - (unit.end - unit.start)
        new_room = max(0.0, turn.length - unit.length)
        return turn_start + (clock.whole(lead / room * new_room) if room > 0 else 0.0)
    earliest = turn_start + min(lead, clock.ticks(KEPT_LEAD))
    return max(turn_start + turn.length - (turn.end - unit.start), earliest)


def _after_all(unit: _Unit, past: _Past, clock: _Clock) -> float:
    return past.new_end + max(0.0, unit.start - past.end)


def _units(events: Sequence[Event], channel: str, clock: _Clock) -> list[_Unit]:
    """Units of one channel in order, with source times that do not overlap."""
    units: list[_Unit] = []
    reached = 0.0
    for block in _blocks(events, channel):
        first = clock.ticks(events[block[0]].start)
        last = clock.ticks(max(events[index].end for index in block))
        anew = not events[block[0]].kept
        length = clock.ticks(events[block[0]].new_length) if anew else last - first
        start = max(first, reached)
        reached = max(last, start)
        inside = [(index, clock.ticks(events[index].start) - first) for index in block]
        units.append(_Unit(channel, start, reached, length, inside))
    return units


def _blocks(events: Sequence[Event], channel: str) -> list[list[int]]:
    """Indices of a channel's events that move as one, each block and all of them in order of start."""

    def order(index: int) -> tuple[float, float]:
        return events[index].start, -events[index].end

    runs: dict[tuple[int, int], list[int]] = {}
    resynthesised = 0  # such a piece may last longer and parts the kept pieces on both sides of it
    for index in sorted((i for i, event in enumerate(events) if event.channel == channel), key=order):
        event = events[index]
        resynthesised += not event.kept
        key = (event.run, resynthesised) if event.kept and event.run >= 0 else (-1 - index, 0)
        runs.setdefault(key, []).append(index)
    blocks: list[list[int]] = []
    open_block: list[int] = []
    reach = -math.inf
    for run in runs.values():
        if not events[run[0]].kept:
            blocks.append(run)
            continue
        if events[run[0]].start >= reach:
            open_block = []
            blocks.append(open_block)
        open_block += run
        reach = max(events[index].end for index in open_block)
    return sorted((sorted(block, key=order) for block in blocks), key=lambda block: order(block[0]))


def _clock(sample_rate: int | None) -> _Clock:
    if sample_rate is None:
        return _Clock(float, float, 1.0)
    if sample_rate <= 0:
        raise ValueError(f"sample_rate is {sample_rate} Hz; it must be positive")
    rate = sample_rate
    # Sums and differences of whole numbers are exact in a double: no guarantee is lost to rounding.
    return _Clock(lambda seconds: float(round(seconds * rate)), lambda samples: float(round(samples)), float(rate))


def _check(events: Sequence[Event], mode: str) -> None:
    if mode not in MODES:
        raise ValueError(f"timeline mode {mode!r} is not one of {', '.join(MODES)}")
    channels = {event.channel for event in events}
    if len(channels) > 2:
        raise ValueError(f"a timeline has at most two channels, not {sorted(channels)}")
    for event in events:
        if not (0 <= event.start <= event.end and event.new_length >= 0):
            raise ValueError(f"times of {event} must be 0 <= start <= end and new_length >= 0")
        if event.kept and abs(event.new_length - (event.end - event.start)) > ROUNDING:
            raise ValueError(f"{event} is kept, but its new_length is not end - start")
