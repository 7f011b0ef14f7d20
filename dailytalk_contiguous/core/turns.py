"""Turn-taking: which turns, overlaps and backchannels there are, and their measures, from times alone.

The categories are those of Heldner & Edlund (2010, "Pauses, gaps and overlaps in conversations", J. Phonetics 38):
a change of speaker leaves a gap or an overlap, and speech wholly inside the other's is an overlap within a turn,
which we call a backchannel. What they leave open, whether an overlap cut the other off, is decided by its length,
because times hold no better sign; an interruption at which the other stops at once is therefore an `overlap`.

Times are those at which people sound (`core.utterance.sounding_span`). Speech activity, by which utterances are
found, ends some 80 ms late: gaps would be so much shorter, and overlaps longer.
"""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.documents import is_number
from dailytalk_contiguous.core.schema import CHANNELS, has_recorded_sides
from dailytalk_contiguous.core.utterance import heard_utterances, sounding_span

#: Seconds. Utterances of one speaker less than this apart are one stretch of speech, as dGSLM (Nguyen et al. 2023,
#: "Generative Spoken Dialogue Language Modeling") delimits inter-pausal units.
PAUSE = 0.2

#: Seconds. When the newcomer goes on and the other falls silent within this, both met at the end of a turn, which
#: listeners foresee (most overlaps of that kind last under 0.4 s: Levinson & Torreira 2015, "Timing in
#: turn-taking", Frontiers in Psychology 6). A speaker who talks on for longer was not about to end: an
#: interruption.
TERMINAL_OVERLAP = 0.5


class Timed(NamedTuple):
    """Speech on one channel, in seconds; `run` as in `core.timeline.TurnEvent`."""

    channel: str
    start: float
    end: float
    run: int = -1


class Stretch(NamedTuple):
    """Speech of one speaker without a pause, and how it enters.

    `members`: indices of its utterances, in order. `event`: turn, overlap, backchannel or interruption. `host`:
    index of the stretch that a backchannel is in. `offset`: floor-transfer offset in seconds (gap positive,
    overlap negative), or None where the speaker does not change or the floor is not taken.
    """

    channel: str
    start: float
    end: float
    members: list[int]
    event: str
    host: int | None
    offset: float | None


def join_spans(timed: Sequence[Timed]) -> list[list[int]]:
    """Indices of the utterances of each stretch: one channel, pauses under `PAUSE`, or pieces of one run."""
    groups: list[list[int]] = []
    channels: dict[str, list[tuple[float, float, int]]] = {}
    for index, (channel, start, end, _) in enumerate(timed):
        channels.setdefault(channel, []).append((start, -end, index))
    for spans in channels.values():
        reach = -math.inf
        run = -1
        for start, end, index in sorted(spans):
            same_run = run >= 0 and timed[index].run == run
            if start - reach >= PAUSE and not same_run:
                groups.append([])
            groups[-1].append(index)
            reach = max(reach, -end)
            run = timed[index].run
    return groups


def stretches(timed: Sequence[Timed], groups: Sequence[Sequence[int]] | None = None) -> list[Stretch]:
    """All stretches in order of start (equal starts: the longer first), each with how it enters.

    With P the stretch of the other channel so far that reaches furthest: `turn` if there is no P or it has ended;
    `backchannel` if it ends inside P; otherwise `overlap` if P ends within `TERMINAL_OVERLAP`, and `interruption`
    if it does not.

    Args:
        timed: in any order.
        groups: as `join_spans` gives them, of another timing of the same utterances; by default those of `timed`.
    """
    # In order of start, the longer first, then as given: with their number groups are never compared.
    spans: list[tuple[float, float, int, str, Sequence[int]]] = []
    for group in join_spans(timed) if groups is None else groups:
        channel, start, end, _ = timed[group[0]]
        if len(group) > 1:
            start = min([timed[i].start for i in group])
            end = max([timed[i].end for i in group])
        spans.append((start, -end, len(spans), channel, group))
    spans.sort()
    ordered: list[Stretch] = []
    floor_channel: str | None = None
    floor_end = 0.0
    furthest: dict[str, tuple[float, int]] = {}
    for start, ending, _, channel, group in spans:
        end = -ending
        members = [*group]
        other = -math.inf
        other_index = None
        for name, reached in furthest.items():
            if name != channel:
                other, other_index = reached
                break
        if start >= other:
            event = "turn"
        elif end <= other:
            event = "backchannel"
        else:
            event = "overlap" if other - start <= TERMINAL_OVERLAP else "interruption"
        if event == "backchannel":
            ordered.append(Stretch(channel, start, end, members, event, other_index, None))
        else:
            offset = start - floor_end if floor_channel not in (None, channel) else None
            floor_channel = channel
            floor_end = end
            ordered.append(Stretch(channel, start, end, members, event, None, offset))
        if channel not in furthest or end >= furthest[channel][0]:
            furthest[channel] = end, len(ordered) - 1
    return ordered


def label(timed: Sequence[Timed], groups: Sequence[Sequence[int]] | None = None) -> list[str]:
    """How each utterance enters: `turn`, `overlap`, `backchannel` or `interruption`.

    See `stretches` for the rules and for `groups`, and `labels_of` for what an utterance has of its stretch.
    """
    return labels_of(stretches(timed, groups), len(timed))


def labels_of(speech: Sequence[Stretch], n_utterances: int) -> list[str]:
    """How each utterance enters, by the stretches of all of them.

    The first utterance of a stretch has the event of the stretch; the others are a `backchannel` if the whole
    stretch is, and a `turn` otherwise (they take nothing from anybody).
    """
    events = ["turn"] * n_utterances
    for stretch in speech:
        inside = stretch.event == "backchannel"
        for index in stretch.members if inside else stretch.members[:1]:
            events[index] = stretch.event
    return events


def turn_offsets(spoken_stretches: Sequence[Stretch]) -> NDArray[np.float64]:
    """Floor-transfer offsets in seconds at each change of speaker, backchannels aside, shape (changes,)."""
    return np.array([stretch.offset for stretch in spoken_stretches if stretch.offset is not None], np.float64)


#: A stretch of time in seconds: its kind, whose it is, its start and its end.
TimingEvent = tuple[str, str, float, float]


def timing_events(speech: "Unions") -> list[TimingEvent]:
    """The turn-taking events by which dGSLM compares corpora (Nguyen et al. 2023, TACL 11:250), in no order.

    An `ipu` (inter-pausal unit) is speech of one channel between silences of at least `PAUSE`; shorter ones are
    part of it. A silence of both channels between two IPUs is a `pause` where one speaker goes on, and a `gap`
    where the other takes over; that before the first and after the last IPU is neither. An `overlap` is time in
    which both channels have an IPU. So IPUs less overlaps, pauses, gaps and both ends make up the conversation.

    A gap is that of who takes over, an overlap that of who comes in: who begins later or, of two who begin at
    once, who ends first. A silence is a pause if a person who spoke before it ends it, even where the other begins
    at the same time. `Segment` closes silences of up to 0.35 s by speech activity, of 0.45 s by sound: its
    utterances have no shorter pauses.
    """
    units = {channel: _joined(spans) for channel, spans in sorted(speech.channels.items())}
    units = {channel: spans for channel, spans in units.items() if spans}
    events = [("ipu", channel, start, end) for channel, spans in units.items() for start, end in spans]
    events += _silences(sorted(events, key=itemgetter(2)))
    if len(units) == 2:
        events += _overlaps(*units.items())
    return events


def _joined(spans: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Spans that have a length, in order and without overlap, as IPUs."""
    joined: list[tuple[float, float]] = []
    for start, end in spans:
        if end <= start:
            continue
        if joined and start - joined[-1][1] < PAUSE:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _silences(units: Sequence[TimingEvent]) -> Iterator[TimingEvent]:
    """Pauses and gaps between IPUs, which are in order of start."""
    reach = -math.inf
    last = set[str]()
    for number, (_, channel, start, end) in enumerate(units):
        if last and start > reach:
            begun = {channel}
            while (number := number + 1) < len(units) and units[number][2] == start:
                begun.add(units[number][1])
            going_on = last & begun
            kind, who = ("pause", going_on) if going_on else ("gap", begun)
            yield kind, min(who), reach, start
        if end > reach:
            reach = end
            last = {channel}
        elif end == reach:
            last = last | {channel}


def _overlaps(
    left: tuple[str, Sequence[tuple[float, float]]], right: tuple[str, Sequence[tuple[float, float]]]
) -> Iterator[TimingEvent]:
    """Overlaps of the IPUs of two channels, both in order."""
    (name, units) = left
    (other, others) = right
    first = 0
    for start, end in units:
        while first < len(others) and others[first][1] <= start:
            first += 1
        for index in range(first, len(others)):
            other_start, other_end = others[index]
            if other_start >= end:
                break
            comes_in = max((start, -end, name), (other_start, -other_end, other))[2]
            yield "overlap", comes_in, max(start, other_start), min(end, other_end)


def overlap_seconds(timed: Sequence[Timed]) -> float:
    return unions(timed).overlap_seconds


def floors(speech: Sequence[Stretch]) -> list[tuple[str, float, float]]:
    """Who holds the floor from when to when, in order: pauses and the other's backchannels are part of a turn."""
    held: list[tuple[str, float, float]] = []
    for channel, start, end, _, event, _, _ in speech:
        if event == "backchannel":
            continue
        if held and held[-1][0] == channel:
            held[-1] = (channel, held[-1][1], max(held[-1][2], end))
        else:
            held.append((channel, start, end))
    return held


_Spans = list[tuple[float, float]]


class Unions(NamedTuple):
    """Times with speech on each channel, and on any, in seconds: in order and without overlap."""

    channels: dict[str, _Spans]
    together: _Spans

    @property
    def overlap_seconds(self) -> float:
        return sum(map(total_seconds, self.channels.values())) - total_seconds(self.together)


def unions(timed: Sequence[Timed]) -> Unions:
    channels: dict[str, _Spans] = {span.channel: [] for span in timed}
    together: _Spans = []
    for channel, start, end, _ in sorted(timed, key=itemgetter(1)):
        for union in (channels[channel], together):
            if not union or start > union[-1][1]:
                union.append((start, end if end > start else start))
            elif end > union[-1][1]:
                union[-1] = (union[-1][0], end)
    return Unions(channels, together)


def total_seconds(spans: Sequence[tuple[float, float]]) -> float:
    return sum([end - start for start, end in spans])


def _touching(speech: Sequence[Stretch]) -> list[bool]:
    """Whether each stretch, in order of start, is at once with one of another channel."""
    touching = [False] * len(speech)
    reach: dict[str, list[int]] = {}
    for number, stretch in enumerate(speech):
        for name, earlier in reach.items():
            if name != stretch.channel:
                # Those that end before this one begins end before all that are to come, too.
                earlier[:] = [other for other in earlier if speech[other].end > stretch.start]
                for other in earlier:
                    if speech[other].start < stretch.end:
                        touching[number] = touching[other] = True
        reach.setdefault(stretch.channel, []).append(number)
    return touching


# Measures of a conversation: what a model that learns from it sees each side do.


#: Sides of a conversation, and both together.
SIDES = (*CHANNELS, "both")

#: Languages that are written without spaces, so that nobody knows how many words a text has.
SPACELESS = frozenset({"zh", "yue", "ja", "th", "lo", "km", "my"})

_DGSLM = "dGSLM (Nguyen et al. 2023, TACL 11:250), as in Moshi's paper"
_HELDNER = "Heldner & Edlund 2010, J. Phonetics 38"
_OURS = "this package"
_YAP = "Open Yap 1K"
_DRAMA = "DuplexDrama"


class TurnMeasure(NamedTuple):
    """A measure of a conversation, which each of `sides` has.

    Attributes:
        title, unit: as they are shown; a `share` is in [0, 1].
        about: its definition, as a sentence.
        source: who defines it so.
        quantile: of floor-transfer offsets, which; a measure without is a ratio of two sums.
        gaps: whether the quantile is of offsets above 0 alone.
    """

    title: str
    unit: str
    about: str
    source: str
    sides: tuple[str, ...] = SIDES
    quantile: float | None = None
    gaps: bool = False


def _of_offsets(which: str, quantile: float) -> TurnMeasure:
    about = (
        "From one speaker's end to the start of the other, who takes the floor; below 0 both speak. Nearest rank."
    )
    return TurnMeasure(f"floor-transfer offset, {which}", "s", about, _HELDNER, SIDES, quantile)


_MINUTE = "a minute"
_SECONDS = "s a minute"
_SPOKEN = "a minute of speech"
_SHARE = "share"

#: The measures by name. A stretch is speech of one side without a silence of `PAUSE`.
TURN_MEASURES = {
    "speech": TurnMeasure(
        "speech",
        _SECONDS,
        "Seconds of speech, from its first to its last sound over the room that is no more than 40 dB under its "
        "loudest moment; silences under 0.2 s included.",
        _DGSLM,
    ),
    "pause": TurnMeasure(
        "pauses", _SECONDS, "Seconds of silence of both after which the speaker goes on.", _DGSLM
    ),
    "gap": TurnMeasure("gaps", _SECONDS, "Seconds of silence of both after which this side takes over.", _DGSLM),
    "overlap": TurnMeasure("overlap", _SECONDS, "Seconds in which both speak, where this side came in.", _DGSLM),
    "offset_p5": _of_offsets("5th percentile", 0.05),
    "offset_p25": _of_offsets("25th percentile", 0.25),
    "offset_median": _of_offsets("median", 0.5),
    "offset_p75": _of_offsets("75th percentile", 0.75),
    "offset_p95": _of_offsets("95th percentile", 0.95),
    "gap_median": TurnMeasure(
        "length of gaps, median",
        "s",
        "Floor-transfer offsets above 0. Nearest rank.",
        _YAP,
        quantile=0.5,
        gaps=True,
    ),
    "overlap_share": TurnMeasure(
        "overlap of voiced time", _SHARE, "Overlap over the time in which anybody speaks.", _YAP
    ),
    "backchannels": TurnMeasure("backchannels", _MINUTE, "Stretches wholly inside the other's speech.", _HELDNER),
    "backchannel_words": TurnMeasure(
        "words of backchannels", _SPOKEN, "Words of its backchannels in a minute of anybody's speech.", "CANDOR"
    ),
    "backchannel_share": TurnMeasure("share of backchannels", _SHARE, "Backchannels among its stretches.", _DRAMA),
    "interruptions": TurnMeasure(
        "interruptions", _MINUTE, f"Stretches of which over {TERMINAL_OVERLAP:g} s, not all, overlap.", _HELDNER
    ),
    "interruption_share": TurnMeasure(
        "share of interruptions", _SHARE, "Interruptions among its stretches.", _DRAMA
    ),
    "sounds": TurnMeasure(
        "laughs, breaths and coughs", _MINUTE, "Unknown of a side that is resynthesised.", _OURS, CHANNELS
    ),
    "turn_length": TurnMeasure(
        "length of turns", "s", "Mean; pauses and the other's backchannels are part of a turn.", _OURS
    ),
    "floor_share": TurnMeasure("share of the floor", _SHARE, "Its share of the speech of both.", _YAP, CHANNELS),
    "words": TurnMeasure("words", _SPOKEN, "Unknown of languages that are written without spaces.", _YAP),
    "speaks_on": TurnMeasure(
        "speaks on when interrupted", "s", f"Mean; over {TERMINAL_OVERLAP:g} s by definition.", _OURS
    ),
    "takes_over": TurnMeasure(
        "takes over in a silence", _SHARE, "Of the silences after the other's speech, those that it ends.", _DGSLM
    ),
}


class Ratio(NamedTuple):
    """A measure of some conversations: `amount` over `per`. Both are 0 where it is unknown."""

    amount: float = 0.0
    per: float = 0.0

    @property
    def value(self) -> float:
        return self.amount / self.per if self.per > 0 else math.nan


#: What a conversation has of each measure, by name and side: of a quantile, all offsets that it is one of.
TurnFigures = dict[str, dict[str, Ratio | list[float]]]


def figure_value(name: str, figure: Ratio | list[float]) -> float:
    """The value of a measure by its name; NaN where it is unknown."""
    if isinstance(figure, Ratio):
        return figure.value
    quantile = TURN_MEASURES[name].quantile
    assert quantile is not None, name
    if not figure:
        return math.nan
    return sorted(figure)[math.ceil(quantile * len(figure) - 1e-9) - 1]  # the nearest rank


@dataclass(frozen=True)
class TimedConversation:
    """The turns of a row on one timeline, from which all measures follow.

    Attributes:
        timed: its audible utterances. groups: those of `join_spans` in the source.
        events: how each enters; None where the row does not say.
        seconds: its length.
        words: of each utterance; None where they are unknown.
        sounds: laughs, breaths and coughs of each channel in which they are known.
    """

    timed: list[Timed]
    groups: list[list[int]]
    events: list[str | None]
    seconds: float
    words: list[int] | None = None
    sounds: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def speech(self) -> list[Stretch]:
        return stretches(self.timed, self.groups)

    @cached_property
    def unions(self) -> "Unions":
        return unions(self.timed)

    def fitness(self, window: float = 100.0) -> dict[str, float]:
        """Figures of how well the conversation suits the training of a duplex model, by its own pauses.

        `window`: seconds of a trainer's window. Returns, with NaN where there is nothing to measure:
            least_talk: share in [0, 1] of the speech that is of who says less. main_talk, overlap: shares of the
                time in which the left side speaks, and in which both do.
            overlapping_turns: share of the stretches, backchannels aside, that touch speech of the other.
            response: median floor-transfer offset in seconds.
            turns_per_window: how often the floor is taken in a window, on average.
            longest_turn: seconds of the longest stretch of one speaker without a pause.
            longest_monologue: longest time in which one speaker holds the floor, pauses and the other's
                backchannels included.
            first_turn: seconds until somebody speaks.
        """
        timed = [span for span in self.timed if span.end > span.start]
        groups = join_spans(timed)
        speech = self.speech if groups == self.groups else stretches(timed, groups)
        talk = {name: sum([span.end - span.start for span in timed if span.channel == name]) for name in CHANNELS}
        spoken = sum(talk.values())
        seconds = self.seconds if self.seconds > 0 else math.nan
        held = floors(speech)
        touching = [
            touches
            for stretch, touches in zip(speech, _touching(speech), strict=True)
            if stretch.event != "backchannel"
        ]
        responses = [stretch.offset for stretch in speech if stretch.offset is not None]
        return {
            "least_talk": min(talk.values()) / spoken if spoken else 0.0,
            "main_talk": talk["left"] / seconds,
            "overlap": self.unions.overlap_seconds / seconds,
            "overlapping_turns": sum(touching) / len(touching) if touching else math.nan,
            "response": statistics.median(responses) if responses else math.nan,
            "turns_per_window": len(held) * window / seconds,
            "longest_turn": max([stretch.end - stretch.start for stretch in speech], default=0.0),
            "longest_monologue": max([end - start for _, start, end in held], default=0.0),
            "first_turn": min([span.start for span in timed], default=self.seconds),
        }

    @cached_property
    def measured(self) -> TurnFigures:
        """All of `TURN_MEASURES`."""
        sides = _entries(self.speech, self.words)
        left, right = both = sides["left"], sides["right"]
        lengths: dict[str, dict[str, list[float]]] = {
            kind: {side: [] for side in CHANNELS} for kind in ("ipu", "pause", "gap", "overlap")
        }
        for kind, who, start, end in timing_events(self.unions):
            if who in CHANNELS:
                lengths[kind][who].append(end - start)
        units, pauses, gaps, overlaps = ([*of.values()] for of in lengths.values())
        seconds = [*map(sum, units)]
        overlap = [*map(sum, overlaps)]
        # Of a mono recording, whose one channel is no side, nothing is known.
        minutes = self.seconds / 60 if {span.channel for span in self.timed} <= {*CHANNELS} else 0.0
        spoken = sum(seconds)
        n_stretches = [side.stretches for side in both]
        backchannels = [side.backchannels for side in both]
        interruptions = [side.interruptions for side in both]
        taken = [*map(len, gaps)]
        sounds = [self.sounds.get(channel) for channel in CHANNELS]
        words = [0, 0]
        for (channel, *_), n in zip(self.timed, self.words or (), strict=False):
            words[channel == "right"] += n
        knows_words = 1 / 60 if self.words is not None else 0.0
        ratios: dict[str, tuple[Sequence[float], float | list[Any]]] = {
            "speech": (seconds, minutes),
            "pause": ([*map(sum, pauses)], minutes),
            "gap": ([*map(sum, gaps)], minutes),
            "overlap": (overlap, minutes),
            "overlap_share": (overlap, spoken - sum(overlap)),
            "backchannels": (backchannels, minutes),
            "backchannel_words": ([side.words for side in both], spoken * knows_words),
            "backchannel_share": (backchannels, n_stretches),
            "interruptions": (interruptions, minutes),
            "interruption_share": (interruptions, n_stretches),
            "sounds": ([n or 0 for n in sounds], [0.0 if n is None else minutes for n in sounds]),
            "turn_length": ([side.floor for side in both], [side.floors for side in both]),
            "floor_share": (seconds, spoken),
            "words": (words, [of * knows_words for of in seconds]),
            "speaks_on": ([side.spoken_on for side in both], interruptions[::-1]),
            "takes_over": (taken, [taken[0] + len(pauses[1]), taken[1] + len(pauses[0])]),
        }
        offsets = {"left": left.offsets, "right": right.offsets, "both": left.offsets + right.offsets}
        for of_side in offsets.values():
            of_side.sort()  # once for all quantiles
        gap_offsets = {side: [offset for offset in of if offset > 0] for side, of in offsets.items()}
        measured: TurnFigures = {}
        for name, measure in TURN_MEASURES.items():
            if measure.quantile is not None:
                measured[name] = {**(gap_offsets if measure.gaps else offsets)}
                continue
            (first, second), per = ratios[name]
            # Each side has its own denominator, or both share one.
            per_left, per_right, per_both = (*per, sum(per)) if isinstance(per, list) else (per, per, per)
            measured[name] = {"left": Ratio(first, per_left), "right": Ratio(second, per_right)}
            if measure.sides is SIDES:
                measured[name]["both"] = Ratio(first + second, per_both)
        return measured

    @cached_property
    def ratios(self) -> list[float]:
        """Amount and divisor of each of `measured`, one after the other; of a quantile its value and 1."""
        known: list[float] = []
        for name, sides in self.measured.items():
            for figure in sides.values():
                known += figure if isinstance(figure, Ratio) else (figure_value(name, figure), 1.0)
        return known


def timed_conversations(row: Mapping[str, Any]) -> dict[str, TimedConversation]:
    """A row of `core.schema.BUILT` on its timelines: `source`, if its times are known there, and `rebuilt`.

    In a row that was not rebuilt both are the same. Stretches are those of the source in both.
    """
    spans = [(utterance, sounding_span(utterance)) for utterance in heard_utterances(row)]
    audible = [utterance for utterance, span in spans if span]
    rebuilt = [Timed(utterance["channel"], *span) for utterance, span in spans if span]
    recorded = [(utterance["channel"], sounding_span(utterance, "source_")) for utterance in audible]
    source = [Timed(channel, *span) for channel, span in recorded if span]
    knows_source = len(source) == len(audible)
    groups = join_spans(source if knows_source else rebuilt)
    texts = [utterance["text"] for utterance in audible]
    has_words = any(texts) and (row["language"] or "").partition("-")[0] not in SPACELESS
    words = [len((text or "").split()) for text in texts] if has_words else None
    # Who keeps a side looks for its sounds, and says how much of them was lost.
    looked = is_number((row["timeline"] or {}).get("lost_sound_seconds"))
    sides = CHANNELS if has_recorded_sides(row) else ("right",)
    sounds = {side: sum(sound["channel"] == side for sound in row.get("sounds") or ()) for side in sides * looked}
    conversations = {}
    if knows_source:
        events = [utterance["source_event"] for utterance in audible]
        seconds = row["source_duration"] or 0.0
        conversations["source"] = TimedConversation(source, groups, events, seconds, words, sounds)
    events = [utterance["event"] for utterance in audible]
    conversations["rebuilt"] = TimedConversation(rebuilt, groups, events, row["duration"] or 0.0, words, sounds)
    if conversations.get("source") == conversations["rebuilt"]:  # nothing was moved: it is measured once
        conversations["source"] = conversations["rebuilt"]
    return conversations


@dataclass(slots=True)
class _Side:
    """The turns of one side: counts, seconds, and its floor-transfer offsets."""

    stretches: int = 0
    backchannels: int = 0
    interruptions: int = 0
    words: int = 0
    floors: int = 0
    floor: float = 0.0
    spoken_on: float = 0.0
    offsets: list[float] = field(default_factory=list)


def _entries(speech: Sequence[Stretch], words: Sequence[int] | None) -> dict[str, _Side]:
    """The turns of each side, by all stretches in order; `words` are those of each utterance."""
    sides = {channel: _Side() for channel in CHANNELS}
    reach = dict.fromkeys(CHANNELS, -math.inf)
    of_sides = [stretch for stretch in speech if stretch.channel in sides]
    for channel, start, end, members, event, _, offset in of_sides:
        side = sides[channel]
        other = CHANNELS[channel == "left"]
        side.stretches += 1
        if event == "backchannel":
            side.backchannels += 1
            side.words += sum([words[index] for index in members]) if words else 0
        elif event == "interruption":
            side.interruptions += 1
            sides[other].spoken_on += reach[other] - start
        if offset is not None:
            side.offsets.append(offset)
        reach[channel] = max(reach[channel], end)
    for channel, start, end in floors(of_sides):
        sides[channel].floors += 1
        sides[channel].floor += end - start
    return sides
