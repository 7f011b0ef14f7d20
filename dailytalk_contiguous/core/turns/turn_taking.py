"""Turn-taking: turns, overlaps and backchannels, and their measures, from times alone.

The categories are those of Heldner & Edlund (2010, "Pauses, gaps and overlaps in conversations", J. Phonetics 38):
a change of speaker leaves a gap or an overlap, and speech wholly inside the other's is an overlap within a turn,
called a backchannel here. They leave open whether an overlap cut the other off. That is decided by its length
here, because times hold no better sign; an interruption at which the other stops at once is therefore an
`overlap`.

Times are those at which people sound (`core.records.conversation.Utterance.sounding`). Speech activity, by which
utterances are found, ends some 80 ms late: gaps would be so much shorter, and overlaps longer.
"""

import math
import statistics
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import itemgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.documents import is_number
from dailytalk_contiguous.core.records.conversation import Conversation, or_none
from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.spans import TimeSpan, merge_gaps, total_seconds
from dailytalk_contiguous.core.words.fillers import language_code

#: Seconds. Utterances of one speaker less than this apart are one stretch of speech, as dGSLM (Nguyen et al. 2023,
#: "Generative Spoken Dialogue Language Modeling") delimits inter-pausal units.
PAUSE = 0.2

#: Seconds. When the newcomer goes on and the other falls silent within this, both met at the end of a turn, which
#: listeners foresee (most overlaps of that kind last under 0.4 s: Levinson & Torreira 2015, "Timing in
#: turn-taking", Frontiers in Psychology 6). A speaker who talks on for longer was not about to end: an
#: interruption.
TERMINAL_OVERLAP = 0.5


class Timed(NamedTuple):
    """Speech on one channel, in seconds; `run` as in `core.turns.timeline.TurnEvent`."""

    channel: str
    start: float
    end: float
    run: int = -1

    @property
    def seconds(self) -> float:
        return self.end - self.start


class Stretch(NamedTuple):
    """Speech of one speaker without a pause, and the way in which it enters.

    Attributes:
        channel: channel of its speaker.
        start: start in seconds.
        end: end in seconds.
        members: indices of its utterances, in order.
        event: turn, overlap, backchannel or interruption.
        host: index of the stretch that a backchannel is in.
        offset: floor-transfer offset in seconds (gap positive, overlap negative); None where the speaker does not
            change or the floor is not taken.
    """

    channel: str
    start: float
    end: float
    members: list[int]
    event: str
    host: int | None
    offset: float | None


def join_spans(timed: Sequence[Timed]) -> list[list[int]]:
    """Group indices of utterances by stretch: one channel, with pauses under `PAUSE`, or pieces of one run."""
    groups: list[list[int]] = []
    channels: dict[str, list[tuple[float, float, int]]] = {}
    for index, (channel, start, end, _) in enumerate(timed):
        spans = channels.setdefault(channel, [])
        spans.append((start, -end, index))
    for spans in channels.values():
        reach = -math.inf
        run = -1
        for start, negative_end, index in sorted(spans):
            is_same_run = run >= 0 and timed[index].run == run
            if start - reach >= PAUSE and not is_same_run:
                groups.append([])
            groups[-1].append(index)
            reach = max(reach, -negative_end)
            run = timed[index].run
    return groups


def indices_by_channel(timed: Sequence[Timed]) -> dict[str, list[int]]:
    """Return the indices of the speech on each channel, in order of start."""
    indices: dict[str, list[int]] = {}
    for index in sorted(range(len(timed)), key=lambda index: timed[index].start):
        indices.setdefault(timed[index].channel, []).append(index)
    return indices


def stretches(timed: Sequence[Timed], groups: Sequence[Sequence[int]] | None = None) -> list[Stretch]:
    """Return all stretches with their events, in order of start (equal starts: the longer first).

    With P the stretch of the other channel so far that reaches furthest: `turn` if there is no P or it has ended;
    `backchannel` if it ends inside P; otherwise `overlap` if P ends within `TERMINAL_OVERLAP`, and
    `interruption` if it does not.

    Args:
        timed: utterances in any order.
        groups: result of `join_spans` for another timing of the same utterances; by default that for `timed`.
    """
    if groups is None:
        groups = join_spans(timed)
    # In order of start, the longer first, then as passed: with their number groups are never compared.
    spans: list[tuple[float, float, int, str, Sequence[int]]] = []
    for group in groups:
        channel, start, end, _ = timed[group[0]]
        if len(group) > 1:
            start = min([timed[index].start for index in group])
            end = max([timed[index].end for index in group])
        spans.append((start, -end, len(spans), channel, group))
    spans.sort()
    ordered: list[Stretch] = []
    floor_channel: str | None = None
    floor_end = 0.0
    furthest: dict[str, tuple[float, int]] = {}
    for start, negative_end, _, channel, group in spans:
        end = -negative_end
        members = [*group]
        other_end = -math.inf
        other_index: int | None = None
        for name, reached in furthest.items():
            if name != channel:
                other_end, other_index = reached
                break
        if start >= other_end:
            event = "turn"
        elif end <= other_end:
            event = "backchannel"
        elif other_end - start <= TERMINAL_OVERLAP:
            event = "overlap"
        else:
            event = "interruption"
        if event == "backchannel":
            ordered.append(Stretch(channel, start, end, members, event, other_index, None))
        else:
            is_change = floor_channel not in (None, channel)
            offset = start - floor_end if is_change else None
            floor_channel = channel
            floor_end = end
            ordered.append(Stretch(channel, start, end, members, event, None, offset))
        if channel not in furthest or end >= furthest[channel][0]:
            furthest[channel] = end, len(ordered) - 1
    return ordered


def label(timed: Sequence[Timed], groups: Sequence[Sequence[int]] | None = None) -> list[str]:
    """Label each utterance as `turn`, `overlap`, `backchannel` or `interruption`.

    See `stretches` for the rules and for `groups`, and `labels_of` for the event of each utterance of a stretch.
    """
    return labels_of(stretches(timed, groups), len(timed))


def labels_of(speech: Sequence[Stretch], n_utterances: int) -> list[str]:
    """Label each utterance by the stretches of all of them.

    The first utterance of a stretch has the event of the stretch; the others are a `backchannel` if the whole
    stretch is, and a `turn` otherwise (they take nothing from anybody).
    """
    events = ["turn"] * n_utterances
    for stretch in speech:
        is_backchannel = stretch.event == "backchannel"
        labelled = stretch.members if is_backchannel else stretch.members[:1]
        for index in labelled:
            events[index] = stretch.event
    return events


def turn_offsets(spoken_stretches: Sequence[Stretch]) -> NDArray[np.float64]:
    """Return floor-transfer offsets in seconds at changes of speaker, backchannels aside, shape (changes,)."""
    offsets = [stretch.offset for stretch in spoken_stretches if stretch.offset is not None]
    return np.array(offsets, np.float64)


#: A stretch of time in seconds: its kind, whose it is, its start and its end.
TimingEvent = tuple[str, str, float, float]


def timing_events(speech: "Unions") -> list[TimingEvent]:
    """Return the turn-taking events by which dGSLM compares corpora (Nguyen et al. 2023, TACL 11:250), unordered.

    An `ipu` (inter-pausal unit) is speech of one channel between silences of at least `PAUSE`; shorter ones are
    part of it. A silence of both channels between two IPUs is a `pause` where one speaker goes on, and a `gap`
    where the other takes over; silence before the first and after the last IPU is neither. An `overlap` is time in
    which both channels have an IPU. So IPUs less overlaps, pauses, gaps and both ends make up the conversation.

    A gap belongs to the speaker who takes over, an overlap to the one who comes in: the one who begins later or,
    if both begin at once, ends first. A silence is a pause if a person who spoke before it ends it, even where the
    other begins at the same time. `Segment` closes silences of up to 0.35 s by speech activity, of 0.45 s by
    sound: its utterances have no shorter pauses.
    """
    units: dict[str, list[TimeSpan]] = {}
    events: list[TimingEvent] = []
    for channel, spans in sorted(speech.channels.items()):
        joined = _joined(spans)
        if joined:
            units[channel] = joined
            events += [("ipu", channel, start, end) for start, end in joined]
    by_start = sorted(events, key=itemgetter(2))
    events += _silences(by_start)
    if len(units) == 2:
        events += _overlaps(*units.items())
    return events


def _joined(spans: Sequence[TimeSpan]) -> list[TimeSpan]:
    """Join spans that have a length, in order and without overlap, as IPUs."""
    joined: list[TimeSpan] = []
    for start, end in spans:
        if end <= start:
            continue
        if joined and start - joined[-1][1] < PAUSE:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _silences(units: Sequence[TimingEvent]) -> Iterator[TimingEvent]:
    """Yield pauses and gaps between IPUs, which are in order of start."""
    reach = -math.inf
    last = set[str]()
    for number, (_, channel, start, end) in enumerate(units):
        if last and start > reach:
            begun = {channel}
            following = number + 1
            while following < len(units) and units[following][2] == start:
                begun.add(units[following][1])
                following += 1
            going_on = last & begun
            if going_on:
                yield "pause", min(going_on), reach, start
            else:
                yield "gap", min(begun), reach, start
        if end > reach:
            reach = end
            last = {channel}
        elif end == reach:
            last = last | {channel}


def _overlaps(
    left: tuple[str, Sequence[TimeSpan]], right: tuple[str, Sequence[TimeSpan]]
) -> Iterator[TimingEvent]:
    """Yield overlaps of the IPUs of two channels, both in order."""
    name, units = left
    other, others = right
    first = 0
    for start, end in units:
        while first < len(others) and others[first][1] <= start:
            first += 1
        for index in range(first, len(others)):
            other_start, other_end = others[index]
            if other_start >= end:
                break
            # Who begins later comes in or, of two who begin at once, who ends first.
            entry = (start, -end, name)
            other_entry = (other_start, -other_end, other)
            _, _, comes_in = max(entry, other_entry)
            yield "overlap", comes_in, max(start, other_start), min(end, other_end)


#: Seconds of silence after which nobody holds the floor: longer than a pause in talk.
LAPSE = 10.0


def floors(speech: Sequence[Stretch]) -> list[tuple[str, float, float]]:
    """Return who holds the floor, with start and end, in order; pauses and the other's backchannels count.

    After `LAPSE` seconds of silence it is taken anew.
    """
    held: list[tuple[str, float, float]] = []
    for channel, start, end, _, event, _, _ in speech:
        if event == "backchannel":
            continue
        holder, first, last = held[-1] if held else ("", 0.0, 0.0)
        if channel == holder and start - last <= LAPSE:
            held[-1] = (channel, first, max(last, end))
        else:
            held.append((channel, start, end))
    return held


class Unions(NamedTuple):
    """Times of speech on each channel, and on any of them, in seconds, in order and without overlap."""

    channels: dict[str, list[TimeSpan]]
    together: list[TimeSpan]

    @property
    def overlap_seconds(self) -> float:
        seconds = sum(map(total_seconds, self.channels.values()))
        return seconds - total_seconds(self.together)


def unions(timed: Sequence[Timed]) -> Unions:
    channels: dict[str, list[TimeSpan]] = {span.channel: [] for span in timed}
    together: list[TimeSpan] = []
    for channel, start, end, _ in sorted(timed, key=itemgetter(1)):
        span = (start, max(start, end))
        channels[channel].append(span)
        together.append(span)
    merged = {channel: merge_gaps(spans, 0.0) for channel, spans in channels.items()}
    return Unions(merged, merge_gaps(together, 0.0))


def _touching(speech: Sequence[Stretch]) -> list[bool]:
    """Whether each stretch, in order of start, is at once with one of another channel."""
    touching = [False] * len(speech)
    reach: dict[str, list[int]] = {}
    for number, stretch in enumerate(speech):
        for name, earlier in reach.items():
            if name == stretch.channel:
                continue
            # A stretch that ends before this one begins also ends before all later ones.
            earlier[:] = [other for other in earlier if speech[other].end > stretch.start]
            for other in earlier:
                if speech[other].start < stretch.end:
                    touching[number] = True
                    touching[other] = True
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
        title: title for people.
        unit: unit for people; a `share` is in [0, 1].
        about: definition in a sentence.
        source: source of the definition.
        sides: sides that have it.
        quantile: quantile of floor-transfer offsets, in [0, 1]; a measure without one is a ratio of two sums.
        gaps: whether the quantile is that of offsets above 0 alone.
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
    title = f"floor-transfer offset, {which}"
    return TurnMeasure(title, "s", about, _HELDNER, quantile=quantile)


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
    """A measure of some conversations: `amount` over `per`. Both are 0 where it is unknown.

    A quantile has `per` 1, and is NaN where it is unknown.
    """

    amount: float = 0.0
    per: float = 0.0

    @property
    def value(self) -> float:
        return self.amount / self.per if self.per > 0 else math.nan


#: Ratios whose divisor is a number of the side: of both it is the sum. Others have one divisor for all.
_PER_SIDE = frozenset(
    ("backchannel_share", "interruption_share", "sounds", "turn_length", "words", "speaks_on", "takes_over")
)


def nearest_rank(ordered: Sequence[float] | NDArray[np.float64], share: float) -> float:
    """Return a percentile of sorted values by the nearest rank, `share` in (0, 1]; NaN without any."""
    if not len(ordered):
        return math.nan
    rank = math.ceil(share * len(ordered) - 1e-9)
    return float(ordered[rank - 1])


@dataclass(frozen=True)
class TimedConversation:
    """The turns of a row on one timeline, from which all measures follow.

    Attributes:
        timed: audible utterances.
        groups: result of `join_spans` in the source.
        events: event of each utterance; None where the row does not have it.
        seconds: length of the conversation.
        words: number of words of each utterance; None where they are unknown.
        sounds: number of laughs, breaths and coughs of each channel in which they are known.
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
        """Measure how well the conversation suits the training of a duplex model, by its own pauses.

        Args:
            window: seconds of a trainer's window.

        Returns:
            These figures, NaN where there is nothing to measure:
            least_talk: share of all speech, in [0, 1], by the speaker who says less.
            main_talk: share of the time in which the left side speaks.
            overlap: share of the time in which both speak.
            overlapping_turns: share of the stretches, backchannels aside, that touch speech of the other.
            response: median floor-transfer offset in seconds.
            turns_per_window: mean number of times that the floor is taken in a window.
            longest_turn: seconds of the longest stretch of one speaker without a pause.
            longest_monologue: longest time in which one speaker holds the floor, pauses and the other's
                backchannels included.
            first_turn: seconds until somebody speaks.
            longest_silence: longest time in which nobody speaks.
        """
        timed = [span for span in self.timed if span.end > span.start]
        groups = join_spans(timed)
        speech = self.speech if groups == self.groups else stretches(timed, groups)
        main_talk = sum([span.seconds for span in timed if span.channel == "left"])
        other_talk = sum([span.seconds for span in timed if span.channel == "right"])
        talk = main_talk + other_talk
        seconds = self.seconds if self.seconds > 0 else math.nan
        held = floors(speech)
        responses = turn_offsets(speech).tolist()
        both = zip(speech, _touching(speech), strict=True)
        turns_touching = [touches for stretch, touches in both if stretch.event != "backchannel"]
        n_touching = sum(turns_touching)
        turn_lengths = [stretch.end - stretch.start for stretch in speech]
        floor_lengths = [end - start for _, start, end in held]
        starts, ends = zip(*self.unions.together, (self.seconds, self.seconds), strict=True)
        silences = np.subtract(starts, (0.0, *ends[:-1]))
        return {
            "least_talk": min(main_talk, other_talk) / talk if talk else 0.0,
            "main_talk": main_talk / seconds,
            "overlap": self.unions.overlap_seconds / seconds,
            "overlapping_turns": n_touching / len(turns_touching) if turns_touching else math.nan,
            "response": statistics.median(responses) if responses else math.nan,
            "turns_per_window": len(held) * window / seconds,
            "longest_turn": max(turn_lengths, default=0.0),
            "longest_monologue": max(floor_lengths, default=0.0),
            "first_turn": min([span.start for span in timed], default=self.seconds),
            "longest_silence": float(silences.max()),
        }

    @cached_property
    def measured(self) -> dict[str, dict[str, Ratio]]:
        """All of `TURN_MEASURES`, each for its sides."""
        left, right = self._sides()
        ratios = self._ratios_by_side(left, right)
        both_offsets = left.offsets + right.offsets
        offsets = {
            "left": sorted(left.offsets),
            "right": sorted(right.offsets),
            "both": sorted(both_offsets),
        }
        measured: dict[str, dict[str, Ratio]] = {}
        for name, measure in TURN_MEASURES.items():
            if measure.quantile is None:
                measured[name] = {side: ratios[name][side] for side in measure.sides}
                continue
            measured[name] = {}
            for side, ordered in offsets.items():
                counted = [offset for offset in ordered if offset > 0] if measure.gaps else ordered
                measured[name][side] = Ratio(nearest_rank(counted, measure.quantile), 1.0)
        return measured

    def _sides(self) -> tuple["_Side", "_Side"]:
        """Return the turns of the left and of the right side, from all stretches and timing events in order."""
        sides = _entries(self.speech, self.words)
        for kind, channel, start, end in timing_events(self.unions):
            if channel in sides:
                sides[channel].lengths[kind].append(end - start)
        if self.words is not None:
            for span, n_words in zip(self.timed, self.words, strict=False):
                side = sides["right" if span.channel == "right" else "left"]
                side.words += n_words
        return sides["left"], sides["right"]

    def _ratios_by_side(self, left: "_Side", right: "_Side") -> dict[str, dict[str, Ratio]]:
        """Return the measures that are ratios, by name and side."""
        # Nothing is known of a mono recording, whose one channel is no side.
        are_sides = {span.channel for span in self.timed} <= {*CHANNELS}
        minutes = self.seconds / 60 if are_sides else 0.0
        minutes_a_second = 1 / 60 if self.words is not None else 0.0  # none where words are unknown
        speech = left.seconds("ipu") + right.seconds("ipu")
        overlap = left.seconds("overlap") + right.seconds("overlap")
        sides: dict[str, dict[str, Ratio]] = {}
        for channel, side, other in (("left", left, right), ("right", right, left)):
            n_taken = side.count("gap")
            n_silences = n_taken + other.count("pause")  # after the speech of the other side
            own_speech = side.seconds("ipu")
            sound_minutes = minutes if channel in self.sounds else 0.0
            sides[channel] = {
                "speech": Ratio(own_speech, minutes),
                "pause": Ratio(side.seconds("pause"), minutes),
                "gap": Ratio(side.seconds("gap"), minutes),
                "overlap": Ratio(side.seconds("overlap"), minutes),
                "overlap_share": Ratio(side.seconds("overlap"), speech - overlap),
                "backchannels": Ratio(side.backchannels, minutes),
                "backchannel_words": Ratio(side.backchannel_words, speech * minutes_a_second),
                "backchannel_share": Ratio(side.backchannels, side.stretches),
                "interruptions": Ratio(side.interruptions, minutes),
                "interruption_share": Ratio(side.interruptions, side.stretches),
                "sounds": Ratio(self.sounds.get(channel, 0), sound_minutes),
                "turn_length": Ratio(side.floor_seconds, side.floors),
                "floor_share": Ratio(own_speech, speech),
                "words": Ratio(side.words, own_speech * minutes_a_second),
                "speaks_on": Ratio(side.spoken_on, other.interruptions),
                "takes_over": Ratio(n_taken, n_silences),
            }
        ratios: dict[str, dict[str, Ratio]] = {}
        for name, of_left in sides["left"].items():
            of_right = sides["right"][name]
            divisor = of_left.per + of_right.per if name in _PER_SIDE else of_left.per
            both = Ratio(of_left.amount + of_right.amount, divisor)
            ratios[name] = {"left": of_left, "right": of_right, "both": both}
        return ratios

    @cached_property
    def ratios(self) -> list[float]:
        """Amount and divisor of each of `measured`, one after the other."""
        ratios: list[float] = []
        for sides in self.measured.values():
            for figure in sides.values():
                ratios += figure
        return ratios


def timed_conversations(talk: Conversation) -> dict[str, TimedConversation]:
    """Return a finished conversation on its timelines: `source`, if its times are known there, and `rebuilt`.

    Both are the same if it was not rebuilt. Stretches are those of the source in both.
    """
    rebuilt: list[Timed] = []
    source: list[Timed] = []
    texts: list[str] = []
    events: list[str | None] = []
    source_events: list[str | None] = []
    for utterance in talk.audible_utterances:
        span = utterance.new_sounding
        if span is None:
            continue
        rebuilt.append(Timed(utterance.channel, *span))
        texts.append(utterance.text or "")
        events.append(or_none(utterance.event))
        source_events.append(or_none(utterance.source_event))
        if utterance.has_recorded_times:
            source.append(Timed(utterance.channel, *utterance.sounding))
    knows_source = len(source) == len(rebuilt)
    groups = join_spans(source if knows_source else rebuilt)
    knows_words = any(texts) and language_code(talk.main_language) not in SPACELESS
    words = [len(text.split()) for text in texts] if knows_words else None
    sounds = _sound_counts(talk)
    conversations: dict[str, TimedConversation] = {}
    if knows_source:
        source_seconds = talk.duration or 0.0
        conversations["source"] = TimedConversation(source, groups, source_events, source_seconds, words, sounds)
    seconds = talk.built_duration or 0.0
    conversations["rebuilt"] = TimedConversation(rebuilt, groups, events, seconds, words, sounds)
    if conversations.get("source") == conversations["rebuilt"]:  # nothing was moved: it is measured once
        conversations["source"] = conversations["rebuilt"]
    return conversations


def _sound_counts(talk: Conversation) -> dict[str, int]:
    """Count the laughs, breaths and coughs of each channel in which they are known."""
    # A conversation says how much of its sounds was lost if somebody looked for them.
    timeline = or_none(talk.timeline)
    if timeline is None or not is_number(timeline.lost_sound_seconds):
        return {}
    channels = [sound.channel for sound in talk.sounds]
    sides = CHANNELS if talk.has_recorded_sides else ("right",)
    return {side: channels.count(side) for side in sides}


@dataclass(slots=True)
class _Side:
    """The turns of one side.

    Attributes:
        stretches: number of stretches.
        backchannels: number of stretches that are backchannels.
        interruptions: number of stretches that are interruptions.
        words: number of words in all utterances.
        backchannel_words: number of words in backchannels.
        floors: number of times that it holds the floor.
        floor_seconds: seconds for which it holds the floor, in all.
        spoken_on: seconds for which it speaks on when it is interrupted, in all.
        offsets: floor-transfer offsets in seconds.
        lengths: seconds of each timing event, by kind.
    """

    stretches: int = 0
    backchannels: int = 0
    interruptions: int = 0
    words: int = 0
    backchannel_words: int = 0
    floors: int = 0
    floor_seconds: float = 0.0
    spoken_on: float = 0.0
    offsets: list[float] = field(default_factory=list)
    lengths: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def seconds(self, kind: str) -> float:
        """Return the seconds of all timing events of a kind."""
        return sum(self.lengths[kind])

    def count(self, kind: str) -> int:
        """Count the timing events of a kind."""
        return len(self.lengths[kind])


def _entries(speech: Sequence[Stretch], words: Sequence[int] | None) -> dict[str, _Side]:
    """Collect the turns of each side from all stretches in order; `words` are counts of each utterance."""
    sides = {channel: _Side() for channel in CHANNELS}
    reach = dict.fromkeys(CHANNELS, -math.inf)
    stretches_of_sides = [stretch for stretch in speech if stretch.channel in sides]
    for channel, start, end, members, event, _, offset in stretches_of_sides:
        side = sides[channel]
        side.stretches += 1
        if event == "backchannel":
            side.backchannels += 1
            if words:
                side.backchannel_words += sum([words[index] for index in members])
        elif event == "interruption":
            side.interruptions += 1
            other = "right" if channel == "left" else "left"
            sides[other].spoken_on += reach[other] - start
        if offset is not None:
            side.offsets.append(offset)
        reach[channel] = max(reach[channel], end)
    for channel, start, end in floors(stretches_of_sides):
        side = sides[channel]
        side.floors += 1
        side.floor_seconds += end - start
    return sides


#: Percentiles over conversations, by their name in the file.
PERCENTILES = {"p5": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}

#: Each measure of each side, in the order in which `TimedConversation.measured` gives them.
_MEASURED = [(name, side) for name, measure in TURN_MEASURES.items() for side in measure.sides]


class TurnTaking:
    """Turn-taking of conversations on one timeline, as they were recorded or as they were rebuilt.

    A conversation takes about 1 KB: every measure of every side, and the floor-transfer offsets.

    Attributes:
        events: number of utterances by the way in which they enter (`core.records.utterance.EVENTS`).
        seconds: length of the conversations.
        speech_seconds: length of the speech of both speakers in them.
    """

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()
        self.seconds = 0.0
        self.speech_seconds = 0.0
        self._offsets = {channel: array("d") for channel in CHANNELS}
        self._figures = array("d")  # amounts and divisors of each conversation, in the order of `_MEASURED`

    def add(self, conversation: TimedConversation) -> None:
        """Count one conversation. Missing events are derived from the times."""
        timed = conversation.timed
        speech = conversation.speech
        events = conversation.events
        if not all(events):
            derived = labels_of(speech, len(timed))
            events = [event or by_times for event, by_times in zip(events, derived, strict=True)]
        self.events.update(filter(None, events))
        for span in speech:
            if span.offset is not None:
                self._offsets[span.channel].append(span.offset)
        self._figures.extend(conversation.ratios)
        self.speech_seconds += sum([span.end - span.start for span in timed])
        self.seconds += conversation.seconds

    def offsets(self, side: str = "both") -> NDArray[np.float64]:
        """Return the floor-transfer offsets in seconds of the side that takes the floor (`SIDES`), sorted."""
        channels = CHANNELS if side == "both" else (side,)
        return np.sort(np.concatenate([self._offsets[channel] for channel in channels]))

    def values(self, name: str, side: str) -> NDArray[np.float64]:
        """Return a measure of each conversation in which it is known, sorted; empty for a side without it."""
        amounts, divisors = self._ratios(name, side)
        return np.sort(amounts / divisors)

    def pooled(self, name: str, side: str) -> float:
        """Return a measure of all conversations as if they were one; NaN where it is unknown."""
        measure = TURN_MEASURES[name]
        if measure.quantile is not None:
            offsets = self.offsets(side)
            if measure.gaps:
                offsets = offsets[offsets > 0]
            return nearest_rank(offsets, measure.quantile)
        amounts, divisors = self._ratios(name, side)
        if not len(amounts):
            return math.nan
        return float(amounts.sum() / divisors.sum())

    def stats(self) -> dict[str, dict[str, dict[str, float]]]:
        """Return every measure of every side: percentiles over conversations, their number, and a pooled value."""
        stats: dict[str, dict[str, dict[str, float]]] = {}
        if not self._figures:
            return stats
        for name, side in _MEASURED:
            values = self.values(name, side)
            figures: dict[str, float] = {"conversations": len(values)}
            if len(values):
                figures["pooled"] = round(self.pooled(name, side), 6)
                for key, share in PERCENTILES.items():
                    figures[key] = round(nearest_rank(values, share), 6)
            stats.setdefault(name, {})[side] = figures
        return stats

    def _ratios(self, name: str, side: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return amount and divisor of a measure in each conversation in which it is known."""
        if (name, side) not in _MEASURED:
            return np.empty(0), np.empty(0)
        figures = np.frombuffer(self._figures).reshape(-1, len(_MEASURED), 2)
        pairs = figures[:, _MEASURED.index((name, side))]
        is_known = (pairs[:, 1] > 0) & np.isfinite(pairs[:, 0])
        amounts, divisors = pairs[is_known].T
        return amounts, divisors
