"""The timeline of a conversation whose resynthesised side lasts longer or shorter, and measures of what it keeps.

`anchor` keeps the relations between both speakers: answers keep their gap, backchannels stay inside the turn they
belong to, interruptions keep their distance to the end of the turn that they cut off. `sequential` lays everything
end to end with its gaps and gives up all overlap. Only the quiet between events changes: no event is cut, and
events of one channel never overlap, because both would lose speech.
"""

import heapq
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.records.record import TimelineMeasures
from dailytalk_contiguous.core.spans import total_seconds
from dailytalk_contiguous.core.turns.turn_taking import (
    Timed,
    join_spans,
    stretches,
    turn_offsets,
    unions,
)

#: How to place: see the module and `rebuild`.
MODES = ("anchor", "sequential")

#: Seconds of quiet that stay before an event of the same channel which has to be pushed right, where the source
#: had as much. Under the shortest pauses that listeners notice (about 0.12 s: Heldner 2011, "Detection thresholds
#: for gaps, overlaps, and no-gap-no-overlaps"), so that pushing costs as little overlap as possible.
KEPT_PAUSE = 0.08


class TurnEvent(NamedTuple):
    """An event on one channel of the source, at `start`..`end`, that lasts `new_length` in the rebuilt one (s).

    With `is_kept` its own samples are used, so that `new_length` is `end - start`. `run` is a number that pieces
    cut from one run of speech on this channel share; -1 for an event that was not cut. `start_trim` and `end_trim`
    are its seconds without sound at both ends, in the source and in the rebuilt one; None where they are unknown.
    """

    channel: str
    start: float
    end: float
    new_length: float
    run: int = -1
    is_kept: bool = False
    start_trim: float | None = None
    end_trim: float | None = None


class Rebuilt(NamedTuple):
    """The new start of every event, in the order passed, and the new duration of the conversation, in seconds."""

    starts: list[float]
    duration: float


class _Unit(NamedTuple):
    """A block of events: `start` and `end` in the source, rebuilt `length`, events with their distance to `start`.

    Units of one channel are in order and do not overlap: the latest one is also the one that reaches furthest.
    """

    channel: str
    start: float
    end: float
    length: float
    events: list[tuple[int, float]]


def _samples(seconds: float, sample_rate: int) -> float:
    """Return a time in whole samples: sums and differences are exact in a double, so that guarantees hold."""
    return float(round(seconds * sample_rate))


class _Placed(NamedTuple):
    """The units placed so far: the latest of each channel with its new start, and the furthest ends of all."""

    latest: dict[str, tuple[_Unit, float]]
    end: float = 0.0
    new_end: float = 0.0


def rebuild(events: Sequence[TurnEvent], duration: float, mode: str, sample_rate: int) -> Rebuilt:
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
        events: events of at most two channels, in any order, without those that the rebuilt conversation leaves
            out.
        duration: length of the source in seconds.
        mode: one of `MODES`.
        sample_rate: rate in Hz. All times count in whole samples (source time `t` is sample
            `round(t * sample_rate)`), every guarantee holds to the sample, and `round(start * sample_rate)` is the
            sample at which an event begins. A kept event has the samples from `round(start * rate)` to
            `round(end * rate)` of its source.
    """
    names = dict.fromkeys(event.channel for event in events)
    channels = [_units(events, channel, sample_rate) for channel in names]
    place_unit = _anchored if mode == "anchor" else _after_all
    starts = [0.0] * len(events)
    placed = _Placed({})
    # Heads are compared, not sorted, so that the order inside a channel stays as `_units` made it.
    # In order of start; of equal starts the longer first.
    for unit in heapq.merge(*channels, key=lambda unit: (unit.start, unit.start - unit.end, unit.events)):
        start = place_unit(unit, placed, sample_rate)
        latest = {**placed.latest, unit.channel: (unit, start)}
        end = max(placed.end, unit.end)
        new_end = max(placed.new_end, start + unit.length)
        placed = _Placed(latest, end, new_end)
        for index, distance in unit.events:
            starts[index] = (start + distance) / sample_rate
    tail = max(0.0, _samples(duration, sample_rate) - placed.end)
    return Rebuilt(starts, (placed.new_end + tail) / sample_rate)


def _anchored(unit: _Unit, placed: _Placed, sample_rate: int) -> float:
    """Return the start at which `anchor` places a unit."""
    start = _by_other(unit, placed, sample_rate)
    if unit.channel not in placed.latest:
        return start
    before, before_start = placed.latest[unit.channel]
    pause = min(unit.start - before.end, _samples(KEPT_PAUSE, sample_rate))
    return max(start, before_start + before.length + pause)


#: Seconds that an interrupted turn gets for itself at least, where it had as much in the source. Without it the
#: interruption of a 10 s turn that shrinks to 8 s could begin before that turn.
KEPT_LEAD = 0.2


def _by_other(unit: _Unit, placed: _Placed, sample_rate: int) -> float:
    """Return the start of a unit by its relation to the other channel alone: rules 1 to 3 of `rebuild`."""
    others = [latest for channel, latest in placed.latest.items() if channel != unit.channel]
    if not others:
        return _after_all(unit, placed, sample_rate)
    turn, turn_start = others[0]
    if unit.start >= turn.end:
        return _after_all(unit, placed, sample_rate)
    lead = unit.start - turn.start
    if unit.end <= turn.end:
        room = turn.end - turn.start - (unit.end - unit.start)
        if room <= 0:
            return turn_start
        new_room = max(0.0, turn.length - unit.length)
        return turn_start + round(lead / room * new_room)
    distance_to_end = turn.end - unit.start
    earliest = turn_start + min(lead, _samples(KEPT_LEAD, sample_rate))
    return max(turn_start + turn.length - distance_to_end, earliest)


def _after_all(unit: _Unit, placed: _Placed, sample_rate: int) -> float:
    """Return the furthest end so far plus the gap of the source, or without a gap where the source overlaps."""
    gap = max(0.0, unit.start - placed.end)
    return placed.new_end + gap


def _units(events: Sequence[TurnEvent], channel: str, sample_rate: int) -> list[_Unit]:
    """Return the units of one channel in order, with source times that do not overlap."""
    units: list[_Unit] = []
    reached = 0.0
    for block in _blocks(events, channel):
        first_event = events[block[0]]
        first = _samples(first_event.start, sample_rate)
        last = _samples(max(events[index].end for index in block), sample_rate)
        length = last - first if first_event.is_kept else _samples(first_event.new_length, sample_rate)
        start = max(first, reached)
        reached = max(last, start)
        inside = [(index, _samples(events[index].start, sample_rate) - first) for index in block]
        units.append(_Unit(channel, start, reached, length, inside))
    return units


def _blocks(events: Sequence[TurnEvent], channel: str) -> list[list[int]]:
    """Return indices of a channel's events that move as one, each block and all of them in order of start."""

    def order(index: int) -> tuple[float, float]:
        return events[index].start, -events[index].end

    blocks: list[list[int]] = []
    open_block: list[int] = []
    reach = -math.inf
    for run in _runs(events, channel):
        first_event = events[run[0]]
        if not first_event.is_kept:
            blocks.append(run)
            continue
        if first_event.start >= reach:
            open_block = []
            blocks.append(open_block)
        open_block += run
        reach = max(events[index].end for index in open_block)
    in_order = [sorted(block, key=order) for block in blocks]
    return sorted(in_order, key=lambda block: order(block[0]))


def _runs(events: Sequence[TurnEvent], channel: str) -> list[list[int]]:
    """Return indices of a channel's events in order of start, those of kept pieces of one run together."""
    indices = [index for index, event in enumerate(events) if event.channel == channel]
    indices.sort(key=lambda index: (events[index].start, -events[index].end))
    runs: dict[tuple[int, int], list[int]] = {}
    resynthesised = 0  # such a piece may last longer and parts the kept pieces on both sides of it
    for index in indices:
        event = events[index]
        if not event.is_kept:
            resynthesised += 1
        is_piece = event.is_kept and event.run >= 0
        key = (event.run, resynthesised) if is_piece else (-1 - index, 0)
        runs.setdefault(key, []).append(index)
    return list(runs.values())


#: Seconds by which a backchannel may reach beyond its turn (rounding to samples).
ROUNDING = 0.001


def compare_turns(
    events: Sequence[TurnEvent], starts: Sequence[float], source_duration: float, duration: float, mode: str
) -> TimelineMeasures:
    """Measure turn-taking before and after a rebuild that loses no sound but speech, and changes no loudness.

    Times are those of the sound of events, where these are known.

    Offsets in seconds are None where the speaker never changes; `offset_distance` is the 1-Wasserstein distance of
    their distributions. `overlap_kept` (None without overlap in the source) is the time that overlapping pairs of
    the source still overlap, over what the new lengths allow: the whole of one that was inside the other, else as
    much as in the source, and never more than the shorter of both; overlap that the rebuild adds counts for
    nothing. `backchannels_kept` counts the source's backchannels that are inside the same turn as before.

    Args:
        events: utterances only; sounds take no floor.
        starts: starts of the events in the rebuilt conversation, in seconds.
        source_duration: length of the source in seconds.
        duration: length of the rebuilt conversation in seconds.
        mode: mode of the rebuild.
    """
    from scipy.stats import wasserstein_distance  # half a second, which commands that rebuild nothing can spare

    source, rebuilt = sounding_times(events, starts)
    # The same on both sides, or a pause that shrinks would look like a change in turn-taking.
    groups = join_spans(source)
    before = stretches(source, groups)
    after = stretches(rebuilt, groups)
    offsets = turn_offsets(after)
    source_offsets = turn_offsets(before)
    offset_distance: float | None = None
    if len(offsets) and len(source_offsets):
        offset_distance = float(wasserstein_distance(offsets, source_offsets))
    n_backchannels = 0
    n_kept = 0
    for stretch in before:
        if stretch.host is None:
            continue
        turn = [rebuilt[index] for index in before[stretch.host].members]
        turn_start = min(piece.start for piece in turn) - ROUNDING
        turn_end = max(piece.end for piece in turn) + ROUNDING
        for index in stretch.members:
            backchannel = rebuilt[index]
            n_backchannels += 1
            if turn_start <= backchannel.start and backchannel.end <= turn_end:
                n_kept += 1
    low, middle, high = _quantiles(offsets)
    source_low, source_middle, source_high = _quantiles(source_offsets)
    return TimelineMeasures(
        mode=mode,
        offset_median=middle,
        offset_p10=low,
        offset_p90=high,
        source_offset_median=source_middle,
        source_offset_p10=source_low,
        source_offset_p90=source_high,
        offset_distance=offset_distance,
        overlap_seconds=unions(rebuilt).overlap_seconds,
        source_overlap_seconds=unions(source).overlap_seconds,
        overlap_kept=_overlap_kept(source, rebuilt),
        backchannels=n_backchannels,
        backchannels_kept=n_kept,
        duration_ratio=duration / source_duration if source_duration > 0 else None,
        lost_speech_seconds=lost_seconds(events, starts, duration),
        lost_sound_seconds=0.0,
        loudness_gain_db=0.0,
        loudness_missing_db=0.0,
    )


def sounding_times(events: Sequence[TurnEvent], starts: Sequence[float]) -> tuple[list[Timed], list[Timed]]:
    """Return the times of sound of events in the source, and in the result, where they begin at `starts`."""
    source: list[Timed] = []
    rebuilt: list[Timed] = []
    for event, start in zip(events, starts, strict=True):
        before = event.start_trim or 0.0
        after = event.end_trim or 0.0
        source_start = event.start + before
        source_end = event.end - after
        new_end = start + event.new_length - after
        source.append(Timed(event.channel, source_start, source_end, event.run))
        rebuilt.append(Timed(event.channel, start + before, new_end, event.run))
    return source, rebuilt


#: Seconds: the coarsest sample of speech audio, at 8 kHz.
SAMPLE = 1 / 8000


def lost_seconds(events: Sequence[TurnEvent], starts: Sequence[float], duration: float) -> float:
    """Return the seconds of kept events that the rebuilt conversation lacks: cut off at an end, or under another.

    `new_length` has to be the length that was really placed. Up to `SAMPLE` an event is rounding, and not counted.
    """
    source: list[Timed] = []
    placed: list[Timed] = []
    for event, start in zip(events, starts, strict=True):
        if event.is_kept:
            placed_start = max(0.0, start)
            placed_end = min(duration, start + event.new_length)
            source.append(Timed(event.channel, event.start, event.end))
            placed.append(Timed(event.channel, placed_start, placed_end))
    before = unions(source).channels
    after = unions(placed).channels
    lost = 0.0
    for channel in dict.fromkeys(span.channel for span in source):
        seconds = total_seconds(before[channel])
        placed_seconds = total_seconds(after.get(channel, []))
        lost += max(0.0, seconds - placed_seconds)
    return lost if lost > SAMPLE * len(source) else 0.0


def _overlap_kept(source: Sequence[Timed], rebuilt: Sequence[Timed]) -> float | None:
    """Return the share of the source's overlap that is kept, as in `compare_turns`; None without overlap."""
    by_channel: dict[str, list[int]] = {}
    for index, span in enumerate(source):
        by_channel.setdefault(span.channel, []).append(index)
    if len(by_channel) < 2:
        return None
    first, second, *_ = by_channel.values()
    before = _pairs(source, first, second)
    after = _pairs(rebuilt, first, second)
    as_before = np.minimum(before.shared, after.shorter)
    allowed = np.where(before.is_inside, after.shorter, as_before)
    allowed = np.where(before.shared > 0, allowed, 0.0)
    if allowed.sum() <= 0:
        return None
    kept = np.minimum(after.shared, allowed)
    return float(kept.sum() / allowed.sum())


class _Pairs(NamedTuple):
    """All pairs of utterances of two channels, in arrays of shape (first, second).

    `shared` has the seconds in common, `is_inside` whether one is inside the other, and `shorter` the seconds of
    the shorter one.
    """

    shared: NDArray[np.float64]
    is_inside: NDArray[np.bool_]
    shorter: NDArray[np.float64]


def _pairs(timed: Sequence[Timed], first: Sequence[int], second: Sequence[int]) -> _Pairs:
    all_starts = np.array([span.start for span in timed], np.float64)
    all_ends = np.array([span.end for span in timed], np.float64)
    starts = all_starts[first, None]
    ends = all_ends[first, None]
    other_starts = all_starts[None, second]
    other_ends = all_ends[None, second]
    shared_until = np.minimum(ends, other_ends)
    shared_from = np.maximum(starts, other_starts)
    holds_other = (starts <= other_starts) & (other_ends <= ends)
    is_in_other = (other_starts <= starts) & (ends <= other_ends)
    return _Pairs(
        shared=np.maximum(0.0, shared_until - shared_from),
        is_inside=holds_other | is_in_other,
        shorter=np.minimum(ends - starts, other_ends - other_starts),
    )


def _quantiles(values: NDArray[np.float64]) -> tuple[float | None, float | None, float | None]:
    """Return the tenth, the fiftieth and the ninetieth percentile; None without values."""
    if not len(values):
        return None, None, None
    low, middle, high = np.percentile(values, (10, 50, 90)).tolist()
    return low, middle, high
