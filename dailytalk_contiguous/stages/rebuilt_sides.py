"""Rebuilt sides: the sound of a conversation on its new timeline, and the measures of its sides."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dailytalk_contiguous.core import audio
from dailytalk_contiguous.core.conversation import Conversation, or_none
from dailytalk_contiguous.core.crosstalk import Leak
from dailytalk_contiguous.core.loudness import Levelled, Piece, lay, level, limit, loudness, rearrange, room_tone
from dailytalk_contiguous.core.quality import SideMeter
from dailytalk_contiguous.core.records import BuiltSide, SoundSpan
from dailytalk_contiguous.core.schema import CHANNELS, result_sides
from dailytalk_contiguous.core.timeline import TurnEvent
from dailytalk_contiguous.stages.recorded_sides import RecordedSides, audible_leak, leaks_in_tone

#: Seconds of source around a piece that its fades may use.
AROUND = 0.02


class Part(NamedTuple):
    """An event of the conversation: its place among the utterances (None for a sound), and its new sound."""

    event: TurnEvent
    utterance: int | None
    spoken: audio.Samples | None


def sorted_parts(parts: Sequence[Part]) -> list[Part]:
    """Parts by rising start in the source."""

    def position(part: Part) -> tuple[float, str, float]:
        event = part.event
        return event.start, event.channel, event.end

    return sorted(parts, key=position)


class MovedSide(NamedTuple):
    """A side with its own sound, and the seconds of its speech and sounds that are not as they were."""

    samples: audio.Samples
    lost_speech: float
    lost_sound: float


class RevoicedSide(NamedTuple):
    """A side with another voice, and how that was brought to the loudness of the source."""

    samples: audio.Samples
    levelled: Levelled


@dataclass(frozen=True)
class RebuiltSides:
    """The parts of a conversation at their new places.

    Attributes:
        recorded: the sides of the source.
        parts: all events.
        starts: when each part begins in the result, in seconds.
        length: of the result, in samples.
    """

    recorded: RecordedSides
    parts: Sequence[Part]
    starts: Sequence[float]
    length: int

    def moved(self, side: int) -> MovedSide:
        """A side with its own sound, whose events are elsewhere."""
        recorded = self.recorded
        rate = recorded.rate
        samples = recorded.sound[:, side]
        tone = self._tone(side)
        leaked = audible_leak(samples, recorded.leaks[side], tone, rate)
        side_parts = self._parts_of(side)
        moves = []
        for part, start in side_parts:
            first = round(part.event.start * rate)
            last = round(part.event.end * rate)
            moves.append((first, last, round(start * rate)))
        channel = rearrange(samples, moves, tone, self.length, rate, leaked)
        lost_speech = 0.0
        lost_sound = 0.0
        for (part, _), (first, last, new) in zip(side_parts, moves, strict=True):
            if np.array_equal(channel[new : new + last - first], samples[first:last]):
                continue
            if part.utterance is None:
                lost_sound += part.event.end - part.event.start
            else:
                lost_speech += part.event.end - part.event.start
        return MovedSide(channel, lost_speech, lost_sound)

    def revoiced(self, side: int) -> RevoicedSide:
        """A side with the takes of another voice over its room tone, at the loudness of the source."""
        recorded = self.recorded
        rate = recorded.rate
        samples = recorded.sound[:, side]
        side_parts = self._parts_of(side)
        takes = [part.spoken for part, _ in side_parts if part.spoken is not None]
        speech = [recorded.samples_between(start, end, side) for start, end in recorded.speech_of(side)]
        levelled = level(takes, _loudness(speech, rate), _loudness(takes, rate), rate)
        levelled_takes = iter(levelled.pieces)
        nothing = np.array([], np.float32)
        around = round(AROUND * rate)
        pieces = []
        for part, start in side_parts:
            begin = round(start * rate)
            if part.spoken is not None:
                take = next(levelled_takes)
                pieces.append(Piece(begin, take, nothing, nothing, over=True))
            else:
                first = round(part.event.start * rate)
                last = round(part.event.end * rate)
                before = samples[max(0, first - around) : first]
                after = samples[last : last + around]
                pieces.append(Piece(begin, samples[first:last], before, after))
        tone = self._tone(side)[: self.length]
        # Once more: what is kept here, and room tone under a voice, may still pass the ceiling.
        return RevoicedSide(limit(lay(pieces, tone, rate), rate), levelled)

    def _parts_of(self, side: int) -> list[tuple[Part, float]]:
        """The parts of a side, each with its new start."""
        placed = zip(self.parts, self.starts, strict=True)
        return [(part, start) for part, start in placed if part.event.channel == CHANNELS[side]]

    def _tone(self, side: int) -> audio.Samples:
        """Room tone of a side of the source, from where its speaker does nothing and nothing leaks."""
        recorded = self.recorded
        rate = recorded.rate
        length = max(self.length, len(recorded.sound))
        samples = recorded.sound[:, side]
        leaks = leaks_in_tone(samples, recorded.leaks[side], rate)
        name = f"{recorded.name}/{CHANNELS[side]}"
        return room_tone(samples, self._busy(side), length, rate, name, leaks)

    def _busy(self, side: int) -> list[tuple[int, int]]:
        """When anything happens in a channel of the source, in samples: in dropped utterances, too."""
        rate = self.recorded.rate
        spans = self.recorded.speech_of(side)
        events = [part.event for part, _ in self._parts_of(side)]
        spans += [(event.start, event.end) for event in events]
        return [(round(start * rate), round(end * rate)) for start, end in spans]


def result_measures(
    talk: Conversation,
    parts: Sequence[Part],
    starts: Sequence[float],
    revoice: str,
    leaks: tuple[Leak | None, Leak | None],
    result: audio.Pcm,
    rate: int,
) -> list[BuiltSide]:
    """The measures of both sides of a result, shape (n, 2), and when anything can be heard there.

    A leak is still in it where an unchanged piece is under the other speaker's words. Its level is taken from
    the recording, because a rebuilt result no longer has the voice that leaked. So are, from its column `sides`,
    the clipping of a side that was recorded (what was resampled is flat no more) and the silence at its end.
    """
    recorded = {side.channel: side for side in or_none(talk.sides) or ()}
    sides: list[BuiltSide] = []
    for name, side in result_sides(revoice).items():
        heard: list[tuple[float, float]] = []
        speech: list[tuple[float, float]] = []
        for part, start in zip(parts, starts, strict=True):
            if part.event.channel != side:
                continue
            span = (start, start + part.event.new_length)
            heard.append(span)
            if part.utterance is not None:
                speech.append(span)
        kept = [part.event for part in parts if part.event.channel == side and part.event.kept]
        others = [part.event for part in parts if part.event.channel != side]
        is_leak_kept = any(
            event.start < other.end and other.start < event.end for event in kept for other in others
        )
        leak = leaks[CHANNELS.index(side)] if is_leak_kept else None
        channel = result[:, CHANNELS.index(name)]
        meter = SideMeter(rate, len(channel) / rate)
        step = round(audio.BLOCK_SECONDS * rate)
        for first in range(0, len(channel), step):  # a side is never held as floats
            meter.push(audio.pcm_to_float(channel[first : first + step]))
        measured = BuiltSide(channel=name, **meter.measures(speech, heard, leak))
        measured.audible = [SoundSpan(start, end) for start, end in meter.audible()]
        source = recorded.get(side)
        measured.silent_end = source.silent_end if source else None
        if kept and source:
            measured.clipping_ratio = source.clipping_ratio
        sides.append(measured)
    return sides


def _loudness(pieces: list[audio.Samples], rate: int) -> float:
    return loudness(np.concatenate(pieces), rate) if pieces else float("-inf")
