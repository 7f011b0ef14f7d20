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
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.spans import TimeSpan, merge_gaps, total_seconds

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


@dataclass(frozen=True)
class TimedConversation:
    """The turns of a conversation on one timeline, from which all measures follow.

    Attributes:
        timed: audible utterances.
        groups: result of `join_spans` in the source.
        seconds: length of the conversation.
    """

    timed: list[Timed]
    groups: list[list[int]]
    seconds: float

    @cached_property
    def speech(self) -> list[Stretch]:
        return stretches(self.timed, self.groups)

    @cached_property
    def unbroken(self) -> list[Stretch]:
        """The stretches between its own pauses, which may differ from those of the source."""
        groups = join_spans(self._with_length)
        return self.speech if groups == self.groups else stretches(self._with_length, groups)

    @cached_property
    def _with_length(self) -> list[Timed]:
        return [span for span in self.timed if span.end > span.start]

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
        timed = self._with_length
        speech = self.unbroken
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

    def sides(self) -> list[dict[str, Any]]:
        """Return what each side that speaks does: the column `turn_taking` of its table (docs/tables.md)."""
        sides = []
        for channel in CHANNELS:
            if channel not in self.unions.channels:
                continue
            speech = [stretch for stretch in self.speech if stretch.channel == channel]
            events = Counter(stretch.event for stretch in speech)
            lengths = [stretch.end - stretch.start for stretch in self.unbroken if stretch.channel == channel]
            side = {
                "channel": channel,
                "speech": total_seconds(self.unions.channels[channel]),
                "longest_turn": max(lengths, default=0.0),
                "backchannels": events["backchannel"],
                "interruptions": events["interruption"],
                "offsets": turn_offsets(speech).tolist(),
            }
            sides.append(side)
        return sides


def timed_talk(talk: Conversation) -> TimedConversation:
    """Return the turns of a finished conversation as it was built. Stretches are those of the source if known."""
    rebuilt: list[Timed] = []
    source: list[Timed] = []
    for utterance in talk.audible_utterances:
        span = utterance.new_sounding
        if span is None:
            continue
        rebuilt.append(Timed(utterance.channel, *span))
        if utterance.has_recorded_times:
            source.append(Timed(utterance.channel, *utterance.sounding))
    knows_source = len(source) == len(rebuilt)
    groups = join_spans(source if knows_source else rebuilt)
    return TimedConversation(rebuilt, groups, talk.built_duration or 0.0)
