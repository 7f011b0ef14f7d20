"""Who takes the floor, and how: labels of turn-taking and measures of it, from times alone.

The categories are those of Heldner & Edlund (2010, "Pauses, gaps and overlaps in conversations", J. Phonetics 38):
a change of speaker leaves a gap or an overlap, and speech wholly inside the other's is an overlap within a turn,
which we call a backchannel. What they leave open, whether an overlap cut the other off, is decided by its length,
because times hold no better sign; an interruption at which the other stops at once is therefore an `overlap`.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.timeline import Event

#: Seconds. Utterances of one speaker less than this apart are one stretch of speech, as dGSLM (Nguyen et al. 2023,
#: "Generative Spoken Dialogue Language Modeling") delimits inter-pausal units.
PAUSE = 0.2

#: Seconds. When the newcomer goes on and the other falls silent within this, both met at the end of a turn, which
#: listeners foresee (most overlaps of that kind last under 0.4 s: Levinson & Torreira 2015, "Timing in
#: turn-taking", Frontiers in Psychology 6). Whoever talks on for longer was not about to end: an interruption.
TERMINAL_OVERLAP = 0.5

#: Seconds by which a backchannel may miss the edge of its turn: rounding to samples, on both sides.
ROUNDING = 0.001

#: Seconds: the coarsest sample of speech audio, at 8 kHz.
SAMPLE = 1 / 8000


class Timed(NamedTuple):
    """Speech on one channel, in seconds; `run` as in `timeline.Event`."""

    channel: str
    start: float
    end: float
    run: int = -1


class Stretch(NamedTuple):
    """Speech of one speaker without a pause, and how it enters.

    `members`: indices of its utterances, in order. `event`: turn, overlap, backchannel or interruption. `host`:
    index of the stretch that a backchannel lies in. `offset`: floor-transfer offset in seconds (gap positive,
    overlap negative), or None where the speaker does not change or the floor is not taken.
    """

    channel: str
    start: float
    end: float
    members: list[int]
    event: str
    host: int | None
    offset: float | None


def joined(timed: Sequence[Timed]) -> list[list[int]]:
    """Indices of the utterances of each stretch: one channel, pauses under `PAUSE`, or pieces of one run."""
    groups: list[list[int]] = []
    for channel in dict.fromkeys(one.channel for one in timed):
        reach, run = -np.inf, -1
        for index in sorted((i for i, one in enumerate(timed) if one.channel == channel), key=_order(timed)):
            one = timed[index]
            same_run = run >= 0 and one.run == run
            if one.start - reach >= PAUSE and not same_run:
                groups.append([])
            groups[-1].append(index)
            reach, run = max(reach, one.end), one.run
    return groups


def stretches(timed: Sequence[Timed], groups: Sequence[Sequence[int]] | None = None) -> list[Stretch]:
    """All stretches in order of start (equal starts: the longer first), each with how it enters.

    With P the stretch of the other channel so far that reaches furthest: `turn` if there is no P or it has ended;
    `backchannel` if it ends inside P; otherwise `overlap` if P ends within `TERMINAL_OVERLAP`, and `interruption`
    if it does not.

    Args:
        timed: in any order.
        groups: as `joined` gives them, of another timing of the same utterances; by default those of `timed`.
    """
    spans = [
        (min(timed[i].start for i in group), max(timed[i].end for i in group), list(group))
        for group in (joined(timed) if groups is None else groups)
    ]
    found: list[Stretch] = []
    floor: Stretch | None = None
    furthest: dict[str, int] = {}
    for start, end, members in sorted(spans, key=lambda span: (span[0], -span[1])):
        channel = timed[members[0]].channel
        other = next((index for name, index in furthest.items() if name != channel), None)
        event = "turn" if other is None else _event(start, end, found[other].end)
        inside = event == "backchannel"
        changes = floor is not None and floor.channel != channel and not inside
        offset = start - floor.end if floor is not None and changes else None
        found.append(Stretch(channel, start, end, members, event, other if inside else None, offset))
        floor = floor if inside else found[-1]
        if channel not in furthest or end >= found[furthest[channel]].end:
            furthest[channel] = len(found) - 1
    return found


def label(timed: Sequence[Timed], groups: Sequence[Sequence[int]] | None = None) -> list[str]:
    """How each utterance enters: `turn`, `overlap`, `backchannel` or `interruption`.

    See `stretches` for the rules and for `groups`. The first utterance of a stretch has the event of the
    stretch; the others are a `backchannel` if the whole stretch is, and a `turn` otherwise (they take nothing from
    anybody).
    """
    events = ["turn"] * len(timed)
    for stretch in stretches(timed, groups):
        inside = stretch.event == "backchannel"
        for index in stretch.members if inside else stretch.members[:1]:
            events[index] = stretch.event
    return events


def offsets(found: Sequence[Stretch]) -> NDArray[np.float64]:
    """Floor-transfer offsets in seconds at each change of speaker, backchannels aside, shape (changes,)."""
    return np.array([one.offset for one in found if one.offset is not None], np.float64)


def compare(
    events: Sequence[Event], starts: Sequence[float], source_duration: float, duration: float
) -> dict[str, Any]:
    """Turn-taking before and after a rebuild: those columns of `built.TIMELINE` that follow from times.

    Offsets in seconds are NaN where the speaker never changes; `offset_distance` is the 1-Wasserstein distance of
    their distributions. `overlap_kept` (NaN without overlap in the source) is the time that overlapping pairs of
    the source still overlap, over what the new lengths allow: the whole of one that lay inside the other, else as
    much as in the source, and never more than the shorter of both; overlap that the rebuild adds counts for
    nothing. `backchannels_kept` counts the source's backchannels that lie inside the same turn as before.

    Args:
        events: utterances only; sounds take no floor.
        starts: of the events in the rebuilt conversation, in seconds.
        source_duration, duration: of both conversations, in seconds.
    """
    from scipy.stats import wasserstein_distance  # half a second, which commands that rebuild nothing can spare

    source = [Timed(event.channel, event.start, event.end, event.run) for event in events]
    rebuilt = [
        Timed(event.channel, start, start + event.new_length, event.run)
        for event, start in zip(events, starts, strict=True)
    ]
    groups = joined(source)  # the same on both sides, or a pause that shrinks would look like a change in manners
    before, after = stretches(source, groups), stretches(rebuilt, groups)
    changed, changed_before = offsets(after), offsets(before)
    comparable = len(changed) and len(changed_before)
    inside = [_hosted(one, before, rebuilt) for one in before if one.host is not None]
    return {
        **_quantiles("offset", changed),
        **_quantiles("source_offset", changed_before),
        "offset_distance": float(wasserstein_distance(changed, changed_before)) if comparable else np.nan,
        "overlap_seconds": overlap_seconds(rebuilt),
        "source_overlap_seconds": overlap_seconds(source),
        "overlap_kept": _overlap_kept(source, rebuilt),
        "backchannels": sum(len(one) for one in inside),
        "backchannels_kept": sum(sum(one) for one in inside),
        "duration_ratio": duration / source_duration if source_duration > 0 else np.nan,
        "lost_speech_seconds": lost_seconds(events, starts, duration),
    }


def overlap_seconds(timed: Sequence[Timed]) -> float:
    """Seconds in which two channels speak at once."""
    channels = dict.fromkeys(one.channel for one in timed)
    return sum(_length(_union(timed, channel)) for channel in channels) - _length(_union(timed))


def lost_seconds(events: Sequence[Event], starts: Sequence[float], duration: float) -> float:
    """Seconds of kept events that are not in the rebuilt conversation: cut off at an end, or under another.

    Pass what was really placed as `new_length`. Up to `SAMPLE` an event is rounding, and not counted.
    """
    kept = [(event, start) for event, start in zip(events, starts, strict=True) if event.kept]
    source = [Timed(event.channel, event.start, event.end) for event, _ in kept]
    placed = [
        Timed(event.channel, max(0.0, start), min(duration, start + event.new_length)) for event, start in kept
    ]
    lost = 0.0
    for channel in dict.fromkeys(one.channel for one in source):
        lost += max(0.0, _length(_union(source, channel)) - _length(_union(placed, channel)))
    return lost if lost > SAMPLE * len(kept) else 0.0


def fitness(timed: Sequence[Timed], duration: float, window: float = 100.0) -> dict[str, float]:
    """Figures that say how well a conversation suits the training of a duplex model.

    Returns, with NaN where there is nothing to measure:
        longest_turn_seconds: longest stretch of one speaker without a pause.
        longest_monologue_seconds: longest time in which one speaker holds the floor, pauses and the other's
            backchannels included.
        turns_per_window: how often the floor is taken in `window` seconds, on average.
        overlapping_turns: share in [0, 1] of the stretches, backchannels aside, that touch speech of the other.
        response_median_seconds: median floor-transfer offset.
    """
    found = stretches(timed)
    floors: list[tuple[str, float, float]] = []
    for one in (one for one in found if one.event != "backchannel"):
        if floors and floors[-1][0] == one.channel:
            floors[-1] = (one.channel, floors[-1][1], max(floors[-1][2], one.end))
        else:
            floors.append((one.channel, one.start, one.end))
    takers = [one for one in found if one.event != "backchannel"]
    touching = [any(_touch(one, other) for other in found) for one in takers]
    responses = offsets(found)
    return {
        "longest_turn_seconds": max((one.end - one.start for one in found), default=0.0),
        "longest_monologue_seconds": max((end - start for _, start, end in floors), default=0.0),
        "turns_per_window": len(floors) * window / duration if duration > 0 else np.nan,
        "overlapping_turns": float(np.mean(touching)) if touching else np.nan,
        "response_median_seconds": float(np.median(responses)) if len(responses) else np.nan,
    }


def _event(start: float, end: float, other_end: float) -> str:
    if start >= other_end:
        return "turn"
    if end <= other_end:
        return "backchannel"
    return "overlap" if other_end - start <= TERMINAL_OVERLAP else "interruption"


def _hosted(one: Stretch, before: Sequence[Stretch], rebuilt: Sequence[Timed]) -> list[bool]:
    """For each utterance of a backchannel: does it lie in the same turn on the rebuilt timeline?"""
    assert one.host is not None, one
    turn = [rebuilt[index] for index in before[one.host].members]
    start, end = min(piece.start for piece in turn) - ROUNDING, max(piece.end for piece in turn) + ROUNDING
    return [start <= rebuilt[index].start and rebuilt[index].end <= end for index in one.members]


def _overlap_kept(source: Sequence[Timed], rebuilt: Sequence[Timed]) -> float:
    channels = list(dict.fromkeys(one.channel for one in source))
    if len(channels) < 2:
        return np.nan
    first, second = ([i for i, one in enumerate(source) if one.channel == name] for name in channels[:2])
    shared, inside, _ = _pairs(source, first, second)
    still, _, shorter = _pairs(rebuilt, first, second)
    allowed = np.where(shared > 0, np.where(inside, shorter, np.minimum(shared, shorter)), 0.0)
    return float(np.minimum(still, allowed).sum() / allowed.sum()) if allowed.sum() > 0 else np.nan


def _pairs(timed: Sequence[Timed], first: Sequence[int], second: Sequence[int]) -> tuple[NDArray[Any], ...]:
    """For all pairs, shape (first, second): seconds in common, whether one lies in the other, the shorter's."""
    times = np.array([(one.start, one.end) for one in timed], np.float64)
    starts, ends = times[first, None, 0], times[first, None, 1]
    other_starts, other_ends = times[None, second, 0], times[None, second, 1]
    shared = np.maximum(0.0, np.minimum(ends, other_ends) - np.maximum(starts, other_starts))
    inside = ((starts <= other_starts) & (other_ends <= ends)) | ((other_starts <= starts) & (ends <= other_ends))
    return shared, inside, np.minimum(ends - starts, other_ends - other_starts)


def _quantiles(name: str, values: NDArray[np.float64]) -> dict[str, float]:
    low, middle, high = np.percentile(values, (10, 50, 90)).tolist() if len(values) else (np.nan,) * 3
    return {f"{name}_median": middle, f"{name}_p10": low, f"{name}_p90": high}


def _union(timed: Sequence[Timed], channel: str | None = None) -> list[tuple[float, float]]:
    """Where a channel, or anybody, speaks: in order and without overlap."""
    union: list[tuple[float, float]] = []
    for _, start, end, _ in sorted(
        (one for one in timed if channel in (None, one.channel)), key=lambda one: one[1]
    ):
        if union and start <= union[-1][1]:
            union[-1] = (union[-1][0], max(union[-1][1], end))
        elif end > start:
            union.append((start, end))
    return union


def _length(spans: Sequence[tuple[float, float]]) -> float:
    return sum(end - start for start, end in spans)


def _touch(one: Stretch, other: Stretch) -> bool:
    return one.channel != other.channel and one.start < other.end and other.start < one.end


def _order(timed: Sequence[Timed]) -> Any:
    return lambda index: (timed[index].start, -timed[index].end)
